"""The CFG messages of u-blox generation 8 as an emulated receiver answers them.

They are another way to the same settings, so each is a translation to the keys of ``receiver_config``. What
is set is in force at once and kept only by CFG-CFG. Layouts: u-blox M8 interface description (UBX-13003221),
"UBX-CFG". None means NAK.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from timecard.emulator.receiver_config import ConfigStore

_UART1: Final = 1
_MODE_8N1: Final = 0x08D0
_PROTOCOLS: Final = ((0x01, "UBX"), (0x02, "NMEA"), (0x20, "RTCM3X"))
_NMEA: Final[Mapping[int, str]] = {
    0xF000: "GGA", 0xF001: "GLL", 0xF002: "GSA", 0xF003: "GSV", 0xF004: "RMC", 0xF005: "VTG", 0xF008: "ZDA",
}  # fmt: skip
_REPORTS: Final = frozenset({0x01, 0x02, 0x03, 0x04, 0x0A, 0x0D, 0x21, 0x27, 0xF0, 0xF1})
"""Classes of messages that a receiver may have and this one just does not send."""
_PRT: Final = struct.Struct("<BxHIIHHH2x")
_RATE: Final = struct.Struct("<HHH")
_TP5: Final = struct.Struct("<BBxxhhIIIIiI")
_TMODE2: Final = struct.Struct("<BxHiiiIII")
_NAV5: Final = struct.Struct("<HBBiIbBHHHHBBBBxxHB5x")
_ITFM: Final = struct.Struct("<II")
_ITFM_BITS: Final = 0x16B156 << 9
_ITFM_BITS2: Final = 0x31E
_LAST_GRID: Final = 4
_ANTENNA: Final = ("VOLTCTRL", "SHORTDET", "OPENDET", "PWRDOWN", "RECOVER")
_SYSTEMS: Final = ((0, "GPS", 8, 16), (1, "SBAS", 1, 3), (2, "GAL", 4, 8), (3, "BDS", 8, 16),
                   (5, "QZSS", 0, 3), (6, "GLO", 8, 14))  # fmt: skip
"""UBX gnssId, name in keys, channels at least and at most."""


class _Kind(NamedTuple):
    lengths: tuple[int, ...]
    """Payloads that set; other lengths poll."""
    poll: Callable[[bytes], bytes | None]
    set: Callable[[bytes], bool]
    polls: tuple[int, ...] = (0,)


class LegacyMessages:
    """CFG-PRT, -MSG, -RATE, -ANT, -NAV5, -TP5, -ITFM, -TMODE2 and -GNSS."""

    def __init__(self, store: ConfigStore, outputs: Mapping[int, str], unknown: frozenset[int]) -> None:
        """``outputs``: class and id to the name of what can be sent; ``unknown``: what is refused."""
        self._store = store
        self._outputs = outputs
        self._unknown = unknown
        self._quiet: dict[int, int] = {}
        self._pulse2 = _TP5.pack(1, 1, 50, 0, 4, 1, 125_000, 100_000, 0, 0xFE)
        self._kinds: dict[int, _Kind] = {
            0x0600: _Kind((20,), self._get_port, self._set_port, (0, 1)),
            0x0601: _Kind((3, 8), self._get_message, self._set_message, (2,)),
            0x0608: _Kind((6,), self._get_rate, self._set_rate),
            0x0613: _Kind((4,), self._get_antenna, self._set_antenna),
            0x0624: _Kind((36,), self._get_nav5, self._set_nav5),
            0x0631: _Kind((32,), self._get_pulse, self._set_pulse, (0, 1)),
            0x0639: _Kind((8,), self._get_itfm, self._set_itfm),
            0x063D: _Kind((28,), self._get_tmode2, self._set_tmode2),
            0x063E: _Kind(tuple(range(12, 4 + 8 * 9, 8)), self._get_gnss, self._set_gnss),
        }

    def handle(self, key: int, payload: bytes) -> bytes | None:
        """Payload that answers a poll, ``b""`` for a set that was accepted, None for NAK."""
        kind = self._kinds.get(key)
        if kind is None:
            return None
        if len(payload) in kind.lengths:
            return b"" if kind.set(payload) else None
        return kind.poll(payload) if len(payload) in kind.polls else None

    # --- one message each -----------------------------------------------------------------------------------

    def _get_port(self, payload: bytes) -> bytes | None:
        if payload and payload[0] != _UART1:
            return None
        value = self._store.value
        masks = [
            sum(bit for bit, name in _PROTOCOLS if value(f"CFG_UART1{way}PROT_{name}"))
            for way in ("IN", "OUT")
        ]
        return _PRT.pack(_UART1, 0, _MODE_8N1, value("CFG_UART1_BAUDRATE"), *masks, 0)

    def _set_port(self, payload: bytes) -> bool:
        port, _, mode, baud, inputs, outputs, _ = _PRT.unpack(payload)
        if port != _UART1:
            return port in (0, 3, 4)  # DDC, USB, SPI: not connected
        if mode & 0x3EC0 != _MODE_8N1 & 0x3EC0:
            return False
        values = {"CFG_UART1_BAUDRATE": baud}
        for way, mask in (("IN", inputs), ("OUT", outputs)):
            values |= {f"CFG_UART1{way}PROT_{name}": int(bool(mask & bit)) for bit, name in _PROTOCOLS}
        return self._store.write(values)

    def _name(self, key: int) -> str | None:
        if key in _NMEA:
            return f"CFG_MSGOUT_NMEA_ID_{_NMEA[key]}_UART1"
        return f"CFG_MSGOUT_UBX_{self._outputs[key]}_UART1" if key in self._outputs else None

    def _get_message(self, payload: bytes) -> bytes | None:
        key = payload[0] << 8 | payload[1]
        name = self._name(key)
        if name is None and key not in self._quiet:
            return None
        rate = self._quiet.get(key, 0) if name is None else self._store.value(name)
        return payload + bytes((0, rate, 0, 0, 0, 0))

    def _set_message(self, payload: bytes) -> bool:
        key = payload[0] << 8 | payload[1]
        rate = payload[2] if len(payload) == 3 else payload[3]
        name = self._name(key)
        if name is not None:
            return self._store.write({name: rate})
        if key in self._unknown or payload[0] not in _REPORTS:
            return False
        self._quiet[key] = rate
        return True

    def _get_rate(self, payload: bytes) -> bytes:
        return _RATE.pack(*(self._store.value(f"CFG_RATE_{name}") for name in ("MEAS", "NAV", "TIMEREF")))

    def _set_rate(self, payload: bytes) -> bool:
        names = ("CFG_RATE_MEAS", "CFG_RATE_NAV", "CFG_RATE_TIMEREF")
        return self._store.write(dict(zip(names, _RATE.unpack(payload), strict=True)))

    def _get_antenna(self, payload: bytes) -> bytes:
        value = self._store.value
        flags = sum(value(f"CFG_HW_ANT_CFG_{name}") << bit for bit, name in enumerate(_ANTENNA))
        pins = (value("CFG_HW_ANT_SUP_SWITCH_PIN") | value("CFG_HW_ANT_SUP_SHORT_PIN") << 5
                | value("CFG_HW_ANT_SUP_OPEN_PIN") << 10)  # fmt: skip
        return struct.pack("<HH", flags, pins & 0x7FFF)

    def _set_antenna(self, payload: bytes) -> bool:
        flags, pins = struct.unpack("<HH", payload)
        values = {f"CFG_HW_ANT_CFG_{name}": flags >> bit & 1 for bit, name in enumerate(_ANTENNA)}
        if pins & 0x8000:
            for shift, name in ((0, "SWITCH"), (5, "SHORT"), (10, "OPEN")):
                values[f"CFG_HW_ANT_SUP_{name}_PIN"] = pins >> shift & 0x1F
        return self._store.write(values)

    def _get_nav5(self, payload: bytes) -> bytes:
        value = self._store.value
        return _NAV5.pack(
            0xFFFF, value("CFG_NAVSPG_DYNMODEL"), value("CFG_NAVSPG_FIXMODE"), 0, 10_000,
            value("CFG_NAVSPG_INFIL_MINELEV"), 0, value("CFG_NAVSPG_OUTFIL_PDOP"),
            value("CFG_NAVSPG_OUTFIL_TDOP"), 100, 300, 0, 60, 0, 0, 0, value("CFG_NAVSPG_UTCSTANDARD"),
        )  # fmt: skip

    def _set_nav5(self, payload: bytes) -> bool:
        fields = _NAV5.unpack(payload)
        settings = (("DYNMODEL", 0, 1), ("INFIL_MINELEV", 1, 5), ("FIXMODE", 2, 2), ("UTCSTANDARD", 10, 16))
        chosen = {f"CFG_NAVSPG_{name}": fields[at] for name, bit, at in settings if fields[0] >> bit & 1}
        return self._store.write(chosen)

    def _get_pulse(self, payload: bytes) -> bytes | None:
        if payload and payload[0]:
            return self._pulse2 if payload[0] == 1 else None
        value = self._store.value
        in_hz, in_us = value("CFG_TP_PULSE_DEF"), value("CFG_TP_PULSE_LENGTH_DEF")
        unit = "FREQ" if in_hz else "PERIOD"
        switches = ("TP1_ENA", "SYNC_GNSS_TP1", "USE_LOCKED_TP1")
        flags = sum(value(f"CFG_TP_{name}") << bit for bit, name in enumerate(switches))
        flags |= (
            in_hz << 3 | in_us << 4 | value("CFG_TP_ALIGN_TO_TOW_TP1") << 5 | value("CFG_TP_POL_TP1") << 6
        )
        flags |= value("CFG_TP_TIMEGRID_TP1") << 7
        return _TP5.pack(
            0, 1, value("CFG_TP_ANT_CABLEDELAY"), 0,
            value(f"CFG_TP_{unit}_TP1"), value(f"CFG_TP_{unit}_LOCK_TP1"),
            value("CFG_TP_LEN_TP1"), value("CFG_TP_LEN_LOCK_TP1"), value("CFG_TP_USER_DELAY_TP1"), flags,
        )  # fmt: skip

    def _set_pulse(self, payload: bytes) -> bool:
        index, _, cable_ns, _, period, period_lock, length, length_lock, delay_ns, flags = _TP5.unpack(
            payload
        )
        if index == 1:
            self._pulse2 = payload
        grid = flags >> 7 & 0xF  # the codes are those of the key
        if index or grid > _LAST_GRID:
            return bool(index == 1 and grid <= _LAST_GRID)
        unit = "FREQ" if flags >> 3 & 1 else "PERIOD"
        return self._store.write({
            "CFG_TP_ANT_CABLEDELAY": cable_ns, "CFG_TP_USER_DELAY_TP1": delay_ns,
            f"CFG_TP_{unit}_TP1": period, f"CFG_TP_{unit}_LOCK_TP1": period_lock,
            "CFG_TP_LEN_TP1": length, "CFG_TP_LEN_LOCK_TP1": length_lock, "CFG_TP_TP1_ENA": flags & 1,
            "CFG_TP_SYNC_GNSS_TP1": flags >> 1 & 1, "CFG_TP_USE_LOCKED_TP1": flags >> 2 & 1,
            "CFG_TP_PULSE_DEF": flags >> 3 & 1, "CFG_TP_PULSE_LENGTH_DEF": flags >> 4 & 1,
            "CFG_TP_ALIGN_TO_TOW_TP1": flags >> 5 & 1, "CFG_TP_POL_TP1": flags >> 6 & 1,
            "CFG_TP_TIMEGRID_TP1": grid,
        })  # fmt: skip

    def _get_itfm(self, payload: bytes) -> bytes:
        value = self._store.value
        config = value("CFG_ITFM_BBTHRESHOLD") | value("CFG_ITFM_CWTHRESHOLD") << 4 | _ITFM_BITS
        return _ITFM.pack(
            config | value("CFG_ITFM_ENABLE") << 31, _ITFM_BITS2 | value("CFG_ITFM_ANTSETTING") << 12
        )

    def _set_itfm(self, payload: bytes) -> bool:
        config, config2 = _ITFM.unpack(payload)
        return self._store.write({
            "CFG_ITFM_BBTHRESHOLD": config & 0xF, "CFG_ITFM_CWTHRESHOLD": config >> 4 & 0x1F,
            "CFG_ITFM_ENABLE": config >> 31, "CFG_ITFM_ANTSETTING": config2 >> 12 & 3,
        })  # fmt: skip

    def _get_tmode2(self, payload: bytes) -> bytes | None:
        """Millimetres here, 0.1 mm in the keys."""
        if not self._store.knows("CFG_TMODE_MODE"):
            return None
        value = self._store.value
        llh = value("CFG_TMODE_POS_TYPE")
        axes = ("LAT", "LON", "HEIGHT") if llh else ("ECEF_X", "ECEF_Y", "ECEF_Z")
        return _TMODE2.pack(
            value("CFG_TMODE_MODE"), llh, *(value(f"CFG_TMODE_{axis}") for axis in axes),
            value("CFG_TMODE_FIXED_POS_ACC") // 10, value("CFG_TMODE_SVIN_MIN_DUR"),
            value("CFG_TMODE_SVIN_ACC_LIMIT") // 10,
        )  # fmt: skip

    def _set_tmode2(self, payload: bytes) -> bool:
        mode, flags, first, second, third, sigma_mm, duration_s, limit_mm = _TMODE2.unpack(payload)
        values = {
            "CFG_TMODE_MODE": mode, "CFG_TMODE_POS_TYPE": flags & 1, "CFG_TMODE_FIXED_POS_ACC": sigma_mm * 10,
            "CFG_TMODE_SVIN_MIN_DUR": duration_s, "CFG_TMODE_SVIN_ACC_LIMIT": limit_mm * 10,
        }  # fmt: skip
        axes = ("LAT", "LON", "HEIGHT") if flags & 1 else ("ECEF_X", "ECEF_Y", "ECEF_Z")
        values |= {
            f"CFG_TMODE_{axis}": value for axis, value in zip(axes, (first, second, third), strict=True)
        }
        return max(values.values()) < 1 << 32 and self._store.write(values)

    def _get_gnss(self, payload: bytes) -> bytes:
        blocks = b"".join(
            struct.pack("<BBBxI", number, least, most, 1 << 16 | self._store.value(f"CFG_SIGNAL_{name}_ENA"))
            for number, name, least, most in _SYSTEMS
        )
        return bytes((0, 32, 32, len(_SYSTEMS))) + blocks

    def _set_gnss(self, payload: bytes) -> bool:
        if len(payload) != 4 + 8 * payload[3]:
            return False
        names = {number: name for number, name, _, _ in _SYSTEMS}
        values = {}
        for number, _, _, flags in struct.iter_unpack("<BBBxI", payload[4:]):
            if number in names:
                values[f"CFG_SIGNAL_{names[number]}_ENA"] = flags & 1
        return self._store.write(values)
