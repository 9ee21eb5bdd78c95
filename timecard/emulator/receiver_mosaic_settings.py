"""The command line of an emulated mosaic-T: items with arguments, their values, and what is refused.

Septentrio reference guide, "Command Line Interface": a set command answers with the item's new state, an
argument that is left out keeps its value, a bad one changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from timecard.emulator.receiver_sbf import BLOCKS

STREAMS: Final = tuple(f"Stream{number}" for number in range(1, 11))
_INTERVALS: Final = ("off", "OnChange", "sec1", "sec2", "sec5", "sec10", "sec15", "sec30", "sec60")
_SENTENCES: Final = ("GGA", "GLL", "GSA", "GSV", "RMC", "VTG", "ZDA")
_BAUDS: Final = tuple(
    f"baud{rate}" for rate in (4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600)
)
_SYSTEMS: Final = ("GPS", "GLONASS", "GALILEO", "SBAS", "BEIDOU", "QZSS", "NAVIC")
SIGNALS: Final = (
    "GPSL1CA", "GPSL2PY", "GPSL2C", "GPSL5", "GLOL1CA", "GLOL2CA", "GALE1BC", "GALE5a", "GALE5b", "GEOL1",
    "BDSB1I", "BDSB2I", "BDSB1C", "BDSB2a", "QZSL1CA", "QZSL2C", "QZSL5", "NAVICL5",
)  # fmt: skip
_PORTS: Final = ("COM1", "COM2", "COM3", "USB1", "none")


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a command: a word of a list, several joined by ``+``, or a number with its range."""

    name: str
    words: tuple[str, ...] = ()
    several: bool = False
    low: float = -math.inf
    high: float = math.inf
    decimals: int | None = None
    """Digits behind the point; None: not a number."""

    def taken(self, text: str, present: str) -> str | None:
        """The value as it will be shown, or None when it is refused. ``+X`` adds to what is there."""
        if self.decimals is not None:
            try:
                number = float(text)
            except ValueError:
                return None
            return f"{number:.{self.decimals}f}" if self.low <= number <= self.high else None
        by_name = {word.lower(): word for word in self.words}
        if not self.several:
            return by_name.get(text.lower())
        adding = text.startswith("+")
        parts = [part.strip() for part in text.removeprefix("+").split("+")]
        if parts == ["all"]:
            return "+".join(word for word in self.words if word != "none")
        chosen = [by_name.get(part.lower()) for part in parts]
        if None in chosen:
            return None
        have = present.split("+") if adding else []
        joined = [word for word in self.words if word in have or word in chosen]
        return "+".join([word for word in joined if word != "none"] or ["none"])


@dataclass(frozen=True, slots=True)
class Item:
    """Something that can be set: ``set`` and its name, ``get`` and its name."""

    arguments: tuple[Argument, ...]
    default: tuple[str, ...]
    slots: tuple[str, ...] = ()
    """What the first argument chooses from, when there are several of the kind."""
    defaults: Mapping[str, tuple[str, ...]] | None = None
    """Slots that begin otherwise."""


def _number(name: str, low: float, high: float, decimals: int = 0) -> Argument:
    return Argument(name, low=low, high=high, decimals=decimals)


ITEMS: Final[Mapping[str, Item]] = {
    "PPSParameters": Item(
        (Argument("Interval", ("off", "msec100", "msec500", "sec1", "sec2", "sec5", "sec10")),
         Argument("Polarity", ("Low2High", "High2Low")), _number("Delay", -1e6, 1e6, 2),
         Argument("TimeScale", ("GPS", "Galileo", "BeiDou", "GLONASS", "UTC", "RxClock")),
         _number("MaxSyncAge", 0, 3600), _number("PulseWidth", 1e-6, 1000, 6)),
        ("sec1", "Low2High", "0.00", "GPS", "60", "5.000000"),
    ),
    "CalibCommonDelay": Item((_number("CommonDelay", -10_000, 10_000, 3),), ("0.000",)),
    "ElevationMask": Item((_number("Mask", -90, 90),), ("0",), ("Tracking", "PVT"), {"PVT": ("10",)}),
    "SatelliteTracking": Item(
        (Argument("Satellite", (*_SYSTEMS, "none"), several=True),), ("+".join(_SYSTEMS),)
    ),
    "SignalTracking": Item((Argument("Signal", SIGNALS, several=True),), ("+".join(SIGNALS),)),
    "PVTMode": Item(
        (Argument("Mode", ("Static", "Rover")),
         Argument("RoverMode", ("StandAlone", "SBAS", "DGNSS", "RTKFloat", "RTKFixed"), several=True),
         Argument("StaticPosition", ("auto", *(f"Geodetic{n}" for n in range(1, 6)),
                                     *(f"Cartesian{n}" for n in range(1, 6))))),
        ("Rover", "StandAlone+SBAS+DGNSS", "auto"),
    ),
    "StaticPosGeodetic": Item(
        (_number("Latitude", -90, 90, 9), _number("Longitude", -180, 180, 9),
         _number("Altitude", -1e3, 3e4, 4), Argument("Datum", ("WGS84", "ETRS89", "NAD83"))),
        ("0.000000000", "0.000000000", "0.0000", "WGS84"), tuple(f"Geodetic{n}" for n in range(1, 6)),
    ),
    "StaticPosCartesian": Item(
        (_number("X", -8e6, 8e6, 4), _number("Y", -8e6, 8e6, 4), _number("Z", -8e6, 8e6, 4),
         Argument("Datum", ("WGS84", "ETRS89", "NAD83"))),
        ("0.0000", "0.0000", "0.0000", "WGS84"), tuple(f"Cartesian{n}" for n in range(1, 6)),
    ),
    "ReceiverDynamics": Item(
        (Argument("Level", ("Max", "High", "Moderate", "Low")),
         Argument("Motion", ("Static", "Quasistatic", "Pedestrian", "Automotive", "UAV", "Unlimited"))),
        ("Moderate", "Automotive"),
    ),
    "TimingSystem": Item((Argument("System", ("auto", "GPS", "Galileo")),), ("auto",)),
    "DataInOut": Item(
        (Argument("Input", ("auto", "none", "CMD", "RTCMv3", "NMEA")),
         Argument("Output", ("none", "SBF", "NMEA", "RTCMv3"), several=True)),
        ("auto", "SBF+NMEA"), _PORTS[:4],
    ),
    "COMSettings": Item(
        (Argument("Rate", _BAUDS), Argument("DataBits", ("bits8",)), Argument("Parity", ("No",)),
         Argument("StopBits", ("bit1",)), Argument("FlowControl", ("none", "RTS|CTS"))),
        ("baud115200", "bits8", "No", "bit1", "none"), _PORTS[:3],
    ),
    "SBFOutput": Item(
        (Argument("Cd", _PORTS), Argument("Messages", (*BLOCKS, "none"), several=True),
         Argument("Interval", _INTERVALS)),
        ("none", "none", "off"), STREAMS,
    ),
    "NMEAOutput": Item(
        (Argument("Cd", _PORTS), Argument("Messages", (*_SENTENCES, "none"), several=True),
         Argument("Interval", _INTERVALS)),
        ("none", "none", "off"), STREAMS,
    ),
}  # fmt: skip
MNEMONICS: Final[Mapping[str, str]] = {
    "sso": "setSBFOutput", "gso": "getSBFOutput", "sno": "setNMEAOutput", "gno": "getNMEAOutput",
    "sdio": "setDataInOut", "scs": "setCOMSettings", "gcs": "getCOMSettings", "spm": "setPVTMode",
    "gpm": "getPVTMode", "sem": "setElevationMask", "gem": "getElevationMask", "scco": "setCalibCommonDelay",
    "sst": "setSatelliteTracking", "snt": "setSignalTracking", "gnt": "getSignalTracking",
    "lif": "lstInternalFile", "grc": "getReceiverCapabilities", "eccf": "exeCopyConfigFile",
    "ererst": "exeResetReceiver",
}  # fmt: skip
_SCALES: Final = {"UTC": 0, "GPS": 1, "GLONASS": 2, "BeiDou": 3, "Galileo": 4, "RxClock": 1}
SURVEY_S: Final = 60
"""Static mode averages so long here; the manual names no figure."""
_ANY_ACCURACY: Final = 1 << 31
Values = dict[tuple[str, str], tuple[str, ...]]


class MosaicSettings:
    """What is set now, and what is stored in the file ``Boot``; ``value`` translates to the common names."""

    def __init__(self, boot: Sequence[str] = ()) -> None:
        """``boot``: set commands of the stored configuration."""
        self.changes = 0
        self.current = self._defaults()
        for command in boot:
            words = [word.strip() for word in command.split(",")]
            problem = self.set(words[0], words[1:])
            if problem:
                raise ValueError(f"{command}: {problem}")
        self.boot: Values = dict(self.current)

    @staticmethod
    def _defaults() -> Values:
        values: Values = {}
        for name, item in ITEMS.items():
            for slot in item.slots or ("",):
                values[name, slot] = (item.defaults or {}).get(slot, item.default)
        return values

    def lines(self, name: str, slot: str = "") -> list[str]:
        """The state of an item as the receiver shows it, one line for each slot that is meant."""
        keys = [key for key in self.current if key[0] == name and (slot in ("", "all", key[1]))]
        return ["  " + ", ".join(part for part in (*key, *self.current[key]) if part) for key in keys]

    def slot_of(self, name: str, text: str) -> str | None:
        """How the receiver spells a slot; None when there is none such."""
        spelled = {slot.lower(): slot for slot in (*ITEMS[name].slots, "all")}
        return spelled.get(text.lower())

    def set(self, name: str, words: Sequence[str]) -> str | None:
        """Set; says which argument is bad, and then nothing has changed."""
        item = ITEMS[name]
        slots: Sequence[str] = ("",)
        if item.slots:
            slot = self.slot_of(name, words[0]) if words else None
            if slot is None:
                return "Argument 'Cd' is invalid!" if "COM1" in item.slots else "Argument 'Slot' is invalid!"
            slots, words = (item.slots if slot == "all" else (slot,)), words[1:]
        if len(words) > len(item.arguments):
            return "Too many arguments!"
        changed: Values = {}
        for slot in slots:
            values = list(self.current[name, slot])
            for at, (argument, word) in enumerate(zip(item.arguments, words, strict=False)):
                if word:
                    taken = argument.taken(word, values[at])
                    if taken is None:
                        return f"Argument '{argument.name}' is invalid!"
                    values[at] = taken
            changed[name, slot] = tuple(values)
        self.current |= changed
        self.changes += 1
        return None

    def restart(self) -> None:
        """The stored configuration is in force."""
        self.current = dict(self.boot)
        self.changes += 1

    def copy(self, source: str, target: str) -> bool:
        """exeCopyConfigFile."""
        files = {"current": self.current, "boot": self.boot, "rxdefault": self._defaults()}
        if source.lower() not in files or target.lower() not in ("current", "boot"):
            return False
        if target.lower() == "boot":
            self.boot = dict(files[source.lower()])
        else:
            self.current = dict(files[source.lower()])
            self.changes += 1
        return True

    def value(self, name: str) -> int:
        """A setting by its common name."""
        interval, polarity, delay, scale, sync_age, width = self.current["PPSParameters", ""]
        mode, _, place = self.current["PVTMode", ""]
        cable_ns = round(float(self.current["CalibCommonDelay", ""][0]))
        width_us = max(1, round(float(width) * 1e3))
        known = {
            "CFG_TMODE_MODE": 0 if mode != "Static" else 1 if place == "auto" else 2,
            "CFG_TMODE_SVIN_MIN_DUR": SURVEY_S, "CFG_TMODE_SVIN_ACC_LIMIT": _ANY_ACCURACY,
            "CFG_TP_TP1_ENA": int(interval != "off"), "CFG_TP_USE_LOCKED_TP1": 1,
            "CFG_TP_LEN_LOCK_TP1": width_us, "CFG_TP_LEN_TP1": width_us if sync_age == "0" else 0,
            "CFG_TP_POL_TP1": int(polarity == "Low2High"), "CFG_TP_TIMEGRID_TP1": _SCALES[scale],
            "CFG_TP_USER_DELAY_TP1": -round(float(delay)), "CFG_TP_ANT_CABLEDELAY": cable_ns,
            "CFG_RATE_MEAS": 1000, "CFG_RATE_NAV": 1,
            "CFG_UART1_BAUDRATE": int(self.current["COMSettings", "COM1"][0].removeprefix("baud")),
            "CFG_HW_ANT_CFG_OPENDET": 1, "CFG_HW_ANT_CFG_SHORTDET": 1, "CFG_HW_ANT_CFG_PWRDOWN": 1,
            "CFG_ITFM_ENABLE": 1,
        }  # fmt: skip
        return known.get(name, 0)
