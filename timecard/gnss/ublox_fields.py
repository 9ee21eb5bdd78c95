"""Each field of an intent in keys of the u-blox configuration interface, and back: tables, no I/O.

Keys, units and enumerations: u-blox F9 interface description, "Configuration interface" (CFG-TP, CFG-TMODE,
CFG-SIGNAL, CFG-NAVSPG, CFG-HW, CFG-ITFM, CFG-MSGOUT). Each key belongs to one field of ``GnssIntent``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from timecard.gnss.geodesy import ecef_m
from timecard.gnss.intent import FixedPosition, Pulse, Survey

Values = Mapping[str, int]
Read = Mapping[str, int | float]

# --- tables -------------------------------------------------------------------------------------------------

_SYSTEMS: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    "GPS": ("GPS", {"L1C/A": "L1CA", "L2C": "L2C", "L5": "L5"}),
    "GAL": ("GAL", {"E1": "E1", "E5a": "E5A", "E5b": "E5B", "E6": "E6"}),
    "BDS": ("BDS", {"B1I": "B1", "B1C": "B1C", "B2I": "B2", "B2a": "B2A", "B3I": "B3"}),
    "GLO": ("GLO", {"L1": "L1", "L2": "L2"}),
    "QZSS": ("QZSS", {"L1C/A": "L1CA", "L1S": "L1S", "L2C": "L2C", "L5": "L5"}),
    "SBAS": ("SBAS", {"L1C/A": "L1CA"}),
    "NavIC": ("NAVIC", {"L5": "L5"}),
}
SYSTEM_KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {system: f"CFG_SIGNAL_{name}_ENA" for system, (name, _) in _SYSTEMS.items()}
)
SIGNAL_KEYS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        system: {signal: f"CFG_SIGNAL_{name}_{key}_ENA" for signal, key in signals.items()}
        for system, (name, signals) in _SYSTEMS.items()
    }
)
GRIDS: Final = {"UTC": 0, "GPS": 1, "GLO": 2, "BDS": 3, "GAL": 4}
_DYNAMICS: Final = {
    "portable": 0, "stationary": 2, "pedestrian": 3, "automotive": 4, "sea": 5, "airborne-1g": 6,
    "airborne-2g": 7, "airborne-4g": 8,
}  # fmt: skip
_UTC_STANDARDS: Final = {"auto": 0, "USNO": 3, "EU": 5, "SU": 6, "NTSC": 7, "NPLI": 8, "NICT": 9}
TIME_MODE: Final = "CFG_TMODE_MODE"
OFF: Final = 0
SURVEY_IN: Final = 1
FIXED: Final = 2
BAUD: Final = "CFG_UART1_BAUDRATE"
MEASURE: Final = "CFG_RATE_MEAS"
NAVIGATE: Final = "CFG_RATE_NAV"
UBX_OUT: Final = "CFG_UART1OUTPROT_UBX"
_POSITION_KEYS: Final = (
    TIME_MODE, "CFG_TMODE_SVIN_MIN_DUR", "CFG_TMODE_SVIN_ACC_LIMIT", "CFG_TMODE_POS_TYPE",
    "CFG_TMODE_FIXED_POS_ACC", *(f"CFG_TMODE_ECEF_{axis}{part}" for axis in "XYZ" for part in ("", "_HP")),
)  # fmt: skip
_LLH_KEYS: Final = tuple(
    f"CFG_TMODE_{name}{part}" for name in ("LAT", "LON", "HEIGHT") for part in ("", "_HP")
)
_PULSE: Final[Mapping[str, int]] = {
    "CFG_TP_PULSE_DEF": 0,  # a period ...
    "CFG_TP_PULSE_LENGTH_DEF": 1,  # ... and a length, in us
    "CFG_TP_PERIOD_TP1": 1_000_000,
    "CFG_TP_PERIOD_LOCK_TP1": 1_000_000,
    "CFG_TP_USER_DELAY_TP1": 0,
    "CFG_TP_TP1_ENA": 1,
    "CFG_TP_SYNC_GNSS_TP1": 1,
    "CFG_TP_USE_LOCKED_TP1": 1,
    "CFG_TP_ALIGN_TO_TOW_TP1": 1,
}
_PULSE_KEYS: Final = (
    *_PULSE, "CFG_TP_LEN_TP1", "CFG_TP_LEN_LOCK_TP1", "CFG_TP_POL_TP1", "CFG_TP_TIMEGRID_TP1",
)  # fmt: skip
_WATCH_KEYS: Final = tuple(f"CFG_HW_ANT_CFG_{name}" for name in ("SHORTDET", "OPENDET", "PWRDOWN", "RECOVER"))
_PORT: Final[Mapping[str, int]] = {"CFG_UART1INPROT_UBX": 1, UBX_OUT: 1, "CFG_UART1OUTPROT_NMEA": 0}
_SLOW_S: Final = 5
PERIODS_S: Final[Mapping[str, int]] = MappingProxyType({
    "NAV_PVT": 1, "NAV_STATUS": 1, "NAV_TIMELS": 1, "NAV_TIMEUTC": 1, "NAV_EOE": 1, "TIM_TP": 1, "MON_HW": 1,
    "TIM_SVIN": _SLOW_S, "MON_RF": _SLOW_S, "SEC_SIG": _SLOW_S, "NAV_SAT": _SLOW_S, "NAV_SIG": _SLOW_S,
})  # fmt: skip
"""The message set ``time-card``: every so many seconds each."""
DEFAULT_BAUD: Final = 115_200
_LONG_FROM_BAUD: Final = 38_400
"""NAV-SIG has more than 1 kB: on a slower line it would hold up what the FPGA needs in each second."""
_MAX_U1: Final = 255


def message_key(message: str) -> str:
    """Output rate of a UBX message on UART1."""
    return f"CFG_MSGOUT_UBX_{message}_UART1"


def epochs_per_s(values: Read) -> float | None:
    """Navigation rate."""
    period_ms = values.get(MEASURE, 0) * values.get(NAVIGATE, 0)
    return 1_000 / period_ms if period_ms else None


# --- one field each -----------------------------------------------------------------------------------------


class Context(NamedTuple):
    """What an encoding depends on beside the value."""

    known: Collection[str] | None
    """Keys of this receiver; None: all that there are."""
    rate_hz: float
    """Navigation epochs per second once the intent is applied."""
    baud: float = DEFAULT_BAUD
    """Of the line, once the intent is applied."""


class Setting(NamedTuple):
    """One field of ``GnssIntent``."""

    keys: tuple[str, ...]
    encode: Callable[[Any, Context], dict[str, int]]
    decode: Callable[[Read], Any]
    """Raises ``KeyError`` or ``ValueError`` when the values are no such setting."""


def _signals(signals: Mapping[str, tuple[str, ...]], context: Context) -> dict[str, int]:
    values = {}
    for system, enable in SYSTEM_KEYS.items():
        values[enable] = int(system in signals)
        if system in signals:
            values |= {key: int(name in signals[system]) for name, key in SIGNAL_KEYS[system].items()}
    if context.known is None:
        return values
    # What this receiver has not is off, and needs no key for it.
    return {key: value for key, value in values.items() if value or key in context.known}


def _read_signals(values: Read) -> dict[str, tuple[str, ...]]:
    if not any(key in values for key in SYSTEM_KEYS.values()):
        raise KeyError("CFG_SIGNAL")
    return {
        system: tuple(name for name, key in SIGNAL_KEYS[system].items() if values.get(key))
        for system, enable in SYSTEM_KEYS.items()
        if values.get(enable)
    }


def _position(position: Survey | FixedPosition, context: Context) -> dict[str, int]:
    if isinstance(position, Survey):
        return {
            TIME_MODE: SURVEY_IN,
            "CFG_TMODE_SVIN_MIN_DUR": position.min_s,
            "CFG_TMODE_SVIN_ACC_LIMIT": round(position.sigma_m * 1e4),  # 0.1 mm
        }
    mode = {
        TIME_MODE: FIXED,
        "CFG_TMODE_POS_TYPE": 0,
        "CFG_TMODE_FIXED_POS_ACC": max(1, round(position.sigma_m * 1e4)),
    }
    for axis, metres in (("X", position.x_m), ("Y", position.y_m), ("Z", position.z_m)):
        # Whole centimetres, and the rest in 0.1 mm.
        tenths_mm = round(metres * 1e4)
        centimetres = (tenths_mm + 50) // 100
        mode[f"CFG_TMODE_ECEF_{axis}"] = centimetres
        mode[f"CFG_TMODE_ECEF_{axis}_HP"] = tenths_mm - centimetres * 100
    return mode


def read_position(values: Read) -> Survey | FixedPosition:
    """Raises ``KeyError`` or ``ValueError`` when there is neither."""
    mode = values[TIME_MODE]
    if mode not in (SURVEY_IN, FIXED):
        raise ValueError("neither survey nor position: the time mode is off")
    if mode == SURVEY_IN:
        return Survey(
            min_s=int(values["CFG_TMODE_SVIN_MIN_DUR"]), sigma_m=values["CFG_TMODE_SVIN_ACC_LIMIT"] / 1e4
        )
    sigma_m = values["CFG_TMODE_FIXED_POS_ACC"] / 1e4
    if values["CFG_TMODE_POS_TYPE"]:
        x_m, y_m, z_m = ecef_m(
            values["CFG_TMODE_LAT"] * 1e-7 + values.get("CFG_TMODE_LAT_HP", 0) * 1e-9,
            values["CFG_TMODE_LON"] * 1e-7 + values.get("CFG_TMODE_LON_HP", 0) * 1e-9,
            values["CFG_TMODE_HEIGHT"] / 100 + values.get("CFG_TMODE_HEIGHT_HP", 0) / 1e4,
        )
    else:
        x_m, y_m, z_m = (
            values[f"CFG_TMODE_ECEF_{axis}"] / 100 + values.get(f"CFG_TMODE_ECEF_{axis}_HP", 0) / 1e4
            for axis in "XYZ"
        )
    return FixedPosition(x_m=x_m, y_m=y_m, z_m=z_m, sigma_m=sigma_m)


def _pulse(pulse: Pulse, context: Context) -> dict[str, int]:
    return {
        **_PULSE,
        "CFG_TP_LEN_TP1": 0 if pulse.locked_only else pulse.width_us,
        "CFG_TP_LEN_LOCK_TP1": pulse.width_us,
        "CFG_TP_POL_TP1": int(pulse.rising),
        "CFG_TP_TIMEGRID_TP1": GRIDS[pulse.grid],
    }


def _read_pulse(values: Read) -> Pulse:
    return Pulse(
        locked_only=not values["CFG_TP_LEN_TP1"],
        width_us=int(values["CFG_TP_LEN_LOCK_TP1"]),
        rising=bool(values["CFG_TP_POL_TP1"]),
        grid=_name_of(GRIDS, values["CFG_TP_TIMEGRID_TP1"]),
    )


def _rate(rate_hz: int, context: Context) -> dict[str, int]:
    return {MEASURE: 1_000 // rate_hz, NAVIGATE: 1, "CFG_RATE_TIMEREF": 1}


def _read_rate(values: Read) -> int:
    return int(1_000 // (values[MEASURE] * values[NAVIGATE] or 1))


def _messages(_: str, context: Context) -> dict[str, int]:
    epochs = {message: round(period_s * context.rate_hz) for message, period_s in PERIODS_S.items()}
    if context.baud < _LONG_FROM_BAUD:
        epochs["NAV_SIG"] = 0
    return dict(_PORT) | {message_key(message): min(count, _MAX_U1) for message, count in epochs.items()}


def _read_messages(values: Read) -> str:
    if message_key("NAV_TIMEUTC") not in values:
        raise KeyError("CFG_MSGOUT")
    return "time-card"  # whether it fits is seen by writing it


def _flag(*keys: str, also: Values = MappingProxyType({})) -> Setting:
    """True sets all ``keys`` and ``also``; false clears ``keys``."""

    def encode(value: bool, context: Context) -> dict[str, int]:
        return {key: int(value) for key in keys} | (dict(also) if value else {})

    return Setting((*keys, *also), encode, lambda values: bool(values[keys[0]]))


def _number(key: str) -> Setting:
    return Setting((key,), lambda value, context: {key: value}, lambda values: int(values[key]))


def _choice(key: str, names: Mapping[str, int]) -> Setting:
    return Setting(
        (key,), lambda name, context: {key: names[name]}, lambda values: _name_of(names, values[key])
    )


def _name_of(names: Mapping[str, int], number: float) -> Any:
    found = next((name for name, value in names.items() if value == number), None)
    if found is None:
        raise ValueError(f"{number} is none of {', '.join(names)}")
    return found


SETTINGS: Final[Mapping[str, Setting]] = {
    "signals": Setting(
        (*SYSTEM_KEYS.values(), *(key for keys in SIGNAL_KEYS.values() for key in keys.values())),
        _signals, _read_signals,
    ),
    "position": Setting(_POSITION_KEYS, _position, read_position),
    "cable_delay_ns": _number("CFG_TP_ANT_CABLEDELAY"),
    "pulse": Setting(_PULSE_KEYS, _pulse, _read_pulse),
    "rate_hz": Setting((MEASURE, NAVIGATE, "CFG_RATE_TIMEREF"), _rate, _read_rate),
    "elevation_mask_deg": _number("CFG_NAVSPG_INFIL_MINELEV"),
    "antenna_supply": _flag("CFG_HW_ANT_CFG_VOLTCTRL"),
    "antenna_watch": _flag(*_WATCH_KEYS),
    "jamming_watch": _flag("CFG_ITFM_ENABLE", also={"CFG_ITFM_ANTSETTING": 2}),
    "dynamics": _choice("CFG_NAVSPG_DYNMODEL", _DYNAMICS),
    "utc_standard": _choice("CFG_NAVSPG_UTCSTANDARD", _UTC_STANDARDS),
    "messages": Setting((*_PORT, *map(message_key, PERIODS_S)), _messages, _read_messages),
    "baud": _number(BAUD),
}  # fmt: skip
FIELD_OF: Final[Mapping[str, str]] = MappingProxyType(
    {key: field for field, setting in SETTINGS.items() for key in setting.keys}
)
"""Every key that is ever written, and the field of ``GnssIntent`` it belongs to."""
READ_BY: Final[Mapping[str, str]] = {**FIELD_OF, **dict.fromkeys(_LLH_KEYS, "position")}
"""Every key that says something about an intent."""
READ_KEYS: Final = tuple(READ_BY)
