"""What an intent is in a Septentrio receiver's own words.

An item is written whole: ``PPSParameters`` and its arguments, as the receiver shows them itself. Commands:
mosaic-T reference guide, "Command Line Reference". An argument that is not ours keeps its value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, cast

from timecard.gnss.intent import (
    Dynamics,
    FixedPosition,
    GnssIntent,
    Grid,
    InForce,
    NotModelled,
    Pulse,
    Survey,
)

Values = tuple[str, ...]
Read = Callable[[str], Values]
"""Arguments in force of an item such as ``ElevationMask, PVT``."""

EACH_SECOND: Final = ("PVTGeodetic", "ReceiverTime", "xPPSOffset", "GPSUtc", "ReceiverStatus", "RFStatus",
                      "PosCovGeodetic")  # fmt: skip
EVERY_FEW_SECONDS: Final = ("MeasEpoch", "ChannelStatus")
SLOW: Final = "sec5"
STREAMS: Final = tuple(f"Stream{number}" for number in range(1, 11))
OWN_SIGNALS: Final[Mapping[tuple[str, str], str]] = {
    ("GPS", "L1C/A"): "GPSL1CA", ("GPS", "L2C"): "GPSL2C", ("GPS", "L5"): "GPSL5", ("GAL", "E1"): "GALE1BC",
    ("GAL", "E5a"): "GALE5a", ("GAL", "E5b"): "GALE5b", ("GAL", "E6"): "GALE6BC", ("BDS", "B1I"): "BDSB1I",
    ("BDS", "B1C"): "BDSB1C", ("BDS", "B2I"): "BDSB2I", ("BDS", "B2a"): "BDSB2a", ("BDS", "B3I"): "BDSB3I",
    ("GLO", "L1"): "GLOL1CA", ("GLO", "L2"): "GLOL2CA", ("QZSS", "L1C/A"): "QZSL1CA",
    ("QZSS", "L1S"): "QZSL1S", ("QZSS", "L2C"): "QZSL2C", ("QZSS", "L5"): "QZSL5", ("SBAS", "L1C/A"): "GEOL1",
    ("NavIC", "L5"): "NAVICL5",
}  # fmt: skip
_PREFIXES: Final = {"GPS": "GPS", "GAL": "GAL", "BDS": "BDS", "GLO": "GLO", "QZSS": "QZS", "SBAS": "GEO",
                    "NavIC": "NAVIC"}  # fmt: skip
_GRIDS: Final = {"GPS": "GPS", "UTC": "UTC", "GAL": "Galileo", "BDS": "BeiDou", "GLO": "GLONASS"}
_MOTIONS: Final = {"stationary": ("Low", "Static"), "pedestrian": ("Moderate", "Pedestrian"),
                   "automotive": ("Moderate", "Automotive")}  # fmt: skip
_MAX_DELAY_NS: Final = 10_000
_SLOT: Final = "Cartesian1"
SURVEY_LIMITS: Final = "position: surveyed, but duration and accuracy cannot be set on this receiver"


class Wishes:
    """What an intent wants of the items, and what it cannot have."""

    def __init__(self, intent: GnssIntent, read: Read, port: str, signals: Sequence[str]) -> None:
        """``signals``: what the receiver can track, by its own names."""
        self.wanted: list[tuple[str, str, Values]] = []
        """Field of the intent, item, arguments."""
        self.unsupported: list[str] = []
        self._read = read
        self._signals = signals
        self._port = port
        steps: tuple[tuple[object, Callable[[], None]], ...] = (
            (intent.signals, lambda: self._track(intent.signals or {})),
            (intent.position, lambda: self._position(intent.position)),
            (intent.cable_delay_ns, lambda: self._cable(intent.cable_delay_ns or 0)),
            (intent.pulse, lambda: self._pulse(intent.pulse or Pulse())),
            (intent.elevation_mask_deg, lambda: self._mask(intent.elevation_mask_deg or 0)),
            (intent.dynamics, lambda: self._dynamics(str(intent.dynamics))),
            (intent.messages, self._messages),
            (intent.baud, lambda: self._baud(intent.baud or 0)),
        )
        for asked, step in steps:
            if asked is not None:
                step()
        self._cannot(intent)

    def _want(self, field: str, item: str, *arguments: str) -> None:
        """``""`` keeps an argument as it is."""
        present = self._read(item)
        values = [new or old for new, old in zip(arguments, present, strict=False)]
        self.wanted.append((field, item, (*values, *present[len(values) :])))

    def _track(self, systems: Mapping[str, tuple[str, ...]]) -> None:
        chosen: set[str] = set()
        for system, names in systems.items():
            for name in names:
                own = OWN_SIGNALS.get((system, name))
                if own is not None and own in self._signals:
                    chosen.add(own)
                else:
                    self.unsupported.append(f"signals: {system} {name} is not received")
        known = set(OWN_SIGNALS.values())
        present = self._read("SignalTracking")[0].split("+")
        prefixes = tuple(_PREFIXES[system] for system in systems)
        chosen |= {own for own in present if own not in known and own.startswith(prefixes)}
        if set(present) == chosen:
            return
        order = [own for own in self._signals if own in chosen]
        self._want("signals", "SignalTracking", "+".join([*order, *sorted(chosen - set(order))]))

    def _position(self, position: Survey | FixedPosition | None) -> None:
        if isinstance(position, FixedPosition):
            metres = (position.x_m, position.y_m, position.z_m)
            place = (*(f"{axis:.4f}" for axis in metres), "WGS84")
            self._want("position", f"StaticPosCartesian, {_SLOT}", *place)
            self._want("position", "PVTMode", "Static", "", _SLOT)
            self.unsupported.append("position: this receiver takes no uncertainty with it")
            return
        self.unsupported.append(SURVEY_LIMITS)
        if self._read("PVTMode")[0] != "Static":  # else there is a position, or one is being found
            self._want("position", "PVTMode", "Static", "", "auto")

    def _cable(self, delay_ns: int) -> None:
        if abs(delay_ns) > _MAX_DELAY_NS:
            self.unsupported.append(f"cable_delay_ns: at most {_MAX_DELAY_NS}")
            return
        self._want("cable_delay_ns", "CalibCommonDelay", f"{delay_ns:.3f}")

    def _pulse(self, pulse: Pulse) -> None:
        """MaxSyncAge: seconds without a fix after which pulses end; 0 is never."""
        age = "1" if pulse.locked_only else "0"
        self._want(
            "pulse", "PPSParameters", "sec1", "Low2High" if pulse.rising else "High2Low", "",
            _GRIDS[pulse.grid], age, f"{pulse.width_us / 1e3:.6f}",
        )  # fmt: skip

    def _mask(self, degrees: int) -> None:
        self._want("elevation_mask_deg", "ElevationMask, PVT", str(degrees))

    def _dynamics(self, dynamics: str) -> None:
        if dynamics not in _MOTIONS:
            self.unsupported.append(f"dynamics: not {dynamics}")
            return
        self._want("dynamics", "ReceiverDynamics", *_MOTIONS[dynamics])

    def _messages(self) -> None:
        """Blocks that do not flow on our port yet, on a stream that nobody uses."""
        streams = {stream: self._read(f"SBFOutput, {stream}") for stream in STREAMS}
        ours = [values for values in streams.values() if values[0] == self._port]
        quick = {block for _, blocks, every in ours if every == "sec1" for block in blocks.split("+")}
        slow = quick | {block for _, blocks, every in ours if every == SLOW for block in blocks.split("+")}
        for wanted, flowing, every in ((EACH_SECOND, quick, "sec1"), (EVERY_FEW_SECONDS, slow, SLOW)):
            lacking = [block for block in wanted if block not in flowing]
            if not lacking:
                continue
            free = [name for name, (port, _, rate) in streams.items() if port == "none" or rate == "off"]
            fitting = [
                name for name, (port, _, rate) in streams.items() if (port, rate) == (self._port, every)
            ]
            stream = next(iter(fitting + free), None)
            if stream is None:
                self.unsupported.append("messages: all ten SBF streams are in use")
                return
            port, blocks, rate = streams[stream]
            have = blocks.split("+") if (port, rate) == (self._port, every) else []
            streams[stream] = (self._port, "+".join([*have, *lacking]), every)
            self._want("messages", f"SBFOutput, {stream}", *streams[stream])
        output = self._read(f"DataInOut, {self._port}")[1]
        if "SBF" not in output.split("+"):
            joined = "+".join(["SBF", *(part for part in output.split("+") if part != "none")])
            self._want("messages", f"DataInOut, {self._port}", "", joined)
        self.unsupported.append("messages: the FPGA's time-of-day slave does not understand this receiver")

    def _baud(self, baud: int) -> None:
        if not self._port.startswith("COM"):
            self.unsupported.append(f"baud: {self._port} has no rate")
            return
        self._want("baud", f"COMSettings, {self._port}", f"baud{baud}")

    def _cannot(self, intent: GnssIntent) -> None:
        plain: tuple[tuple[str, object, tuple[object, ...]], ...] = (
            ("rate_hz", intent.rate_hz, (1,)),
            ("antenna_watch", intent.antenna_watch, (True,)),
            ("jamming_watch", intent.jamming_watch, (True,)),
            ("utc_standard", intent.utc_standard, ("auto",)),
            ("antenna_supply", intent.antenna_supply, ()),
        )
        for name, asked, always in plain:
            if asked is not None and asked not in always:
                given = f"it is always {always[0]}" if always else "it is decided by the wiring"
                self.unsupported.append(f"{name}: {given}")


def in_force(read: Read, port: str) -> InForce:
    """Settings in neutral words. Raises ``ValueError``, ``IndexError`` for what the manual does not have."""
    left: list[NotModelled] = []
    signals: dict[str, tuple[str, ...]] = {}
    names = {own: name for name, own in OWN_SIGNALS.items()}
    for own in read("SignalTracking")[0].split("+"):
        if own in names:
            system, name = names[own]
            signals[system] = (*signals.get(system, ()), name)
        else:
            left.append(_left("SignalTracking", own))
    delay_ns = float(read("CalibCommonDelay")[0])
    if delay_ns != round(delay_ns):
        left.append(_left("CalibCommonDelay", f"{delay_ns:g}"))
    dynamics = next((name for name, own in _MOTIONS.items() if own == read("ReceiverDynamics")[:2]), None)
    if dynamics is None:
        left.append(_left("ReceiverDynamics", ", ".join(read("ReceiverDynamics"))))
    pulse = _pulse_of(read("PPSParameters"))
    if pulse is None:
        left.append(_left("PPSParameters", ", ".join(read("PPSParameters"))))
    # A position has no accuracy here, a survey no limits: neither fits an intent.
    left.append(_left("PVTMode", ", ".join(read("PVTMode"))))
    rate = read(f"COMSettings, {port}")[0] if port.startswith("COM") else ""
    intent = GnssIntent(
        signals=signals or None,
        cable_delay_ns=round(delay_ns) if delay_ns == round(delay_ns) else None,
        pulse=pulse,
        rate_hz=1,
        elevation_mask_deg=int(read("ElevationMask, PVT")[0]),
        antenna_watch=True,
        jamming_watch=True,
        dynamics=cast(Dynamics | None, dynamics),
        utc_standard="auto",
        baud=int(rate.removeprefix("baud")) if rate else None,
    )
    return InForce(intent=intent, left_over=tuple(left))


def _pulse_of(values: Values) -> Pulse | None:
    interval, polarity, delay, scale, age, width_ms = values[:6]
    grid = next((name for name, own in _GRIDS.items() if own == scale), None)
    if interval != "sec1" or float(delay) or grid is None or age not in ("0", "1"):
        return None
    width_us = round(float(width_ms) * 1e3)
    return Pulse(
        locked_only=age == "1", width_us=width_us, rising=polarity == "Low2High", grid=cast(Grid, grid)
    )


def _left(key: str, value: str) -> NotModelled:
    return NotModelled(key=key, value=value, reason="not modelled")
