"""A receiver's intent as a file (TOML): ``[gnss]``, every error at once, each naming file, table and key.

``profile = "time-card"`` starts from what a Time Card needs; every other key says one thing more. What is not
said is left alone in the receiver.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast, get_args

from timecard.gnss.geodesy import ecef_m
from timecard.gnss.intent import (
    MAX_RATE_HZ,
    MAX_SURVEY_S,
    SIGNAL_NAMES,
    TIME_CARD,
    Dynamics,
    FixedPosition,
    GnssIntent,
    Grid,
    Pulse,
    Store,
    Survey,
    UtcStandard,
)
from timecard.toml_reader import IntentError, Table, parse_document, read_document

PROFILES: Final = {"time-card": TIME_CARD}
_ECEF: Final = ("x_m", "y_m", "z_m")
_LLH: Final = ("latitude_deg", "longitude_deg", "height_m")
_EARTH_M: Final = 6_400_000.0


def load_gnss_intent(path: Path) -> GnssIntent:
    """Read a file; raises ``IntentError``."""
    document, _ = read_document(path)
    return gnss_intent_from(document, str(path))


def parse_gnss_intent(text: str, source: str = "intent") -> GnssIntent:
    """Read a text; raises ``IntentError``."""
    return gnss_intent_from(parse_document(text.encode("utf-8"), source), source)


def gnss_intent_from(document: dict[str, Any], source: str = "intent") -> GnssIntent:
    """An intent from a dictionary as TOML gives it; raises ``IntentError`` with every problem."""
    problems: list[str] = []
    top = Table(document, source, "", problems)
    table = top.table("gnss")
    if table is None and "gnss" not in top:
        top.problem("gnss", "is missing; the receiver's settings go below [gnss]")
    intent = read_table(table) if table is not None else GnssIntent()
    top.finish()
    if problems:
        raise IntentError(problems)
    return intent


def read_table(table: Table) -> GnssIntent:
    """The intent of a table ``[gnss]``; problems are noted at the table."""
    profile = table.text("profile", choices=tuple(PROFILES))
    base = PROFILES[profile] if profile else GnssIntent()
    intent = replace(
        read_settings(table, base),
        position=_position(table, base),
        cable_delay_ns=table.whole("cable_delay_ns", -32_768, 32_767, base.cable_delay_ns),
        messages=cast(Any, table.text("messages", base.messages, choices=("time-card",))),
        store=cast(Store, table.text("store", base.store, choices=get_args(Store)) or base.store),
    )
    table.finish()
    return intent


def read_settings(table: Table, base: GnssIntent) -> GnssIntent:
    """``base`` with the keys that ``[gnss]`` has in common with ``[receiver]`` of a card's intent.

    Problems are noted at the table, which may have further keys.
    """
    return replace(
        base,
        signals=_signals(table) if "signals" in table else base.signals,
        pulse=_pulse(table, base),
        rate_hz=_rate(table, base),
        elevation_mask_deg=table.whole("elevation_mask_deg", -90, 90, base.elevation_mask_deg),
        antenna_supply=table.maybe("antenna_supply", base.antenna_supply),
        antenna_watch=table.maybe("antenna_watch", base.antenna_watch),
        jamming_watch=table.maybe("jamming_watch", base.jamming_watch),
        dynamics=cast(Dynamics | None, table.text("dynamics", base.dynamics, choices=get_args(Dynamics))),
        utc_standard=cast(
            UtcStandard | None, table.text("utc_standard", base.utc_standard, choices=get_args(UtcStandard))
        ),
        baud=table.whole("baud", 1_200, 3_000_000, base.baud),
    )


def _rate(table: Table, base: GnssIntent) -> int | None:
    rate_hz = table.whole("rate_hz", 1, MAX_RATE_HZ, base.rate_hz)
    if rate_hz is not None and 1_000 % rate_hz:
        rates = [str(rate) for rate in range(1, MAX_RATE_HZ + 1) if not 1_000 % rate]
        table.problem("rate_hz", f"got {rate_hz}, expected one of {', '.join(rates)}")
        return base.rate_hz
    return rate_hz


def _signals(table: Table) -> dict[str, tuple[str, ...]] | None:
    signals = table.table("signals")
    if signals is None:
        return None
    found = {}
    for system, names in SIGNAL_NAMES.items():
        listed = signals.texts(system, names)
        if system in signals:
            found[system] = listed
    signals.finish()
    if not found:
        signals.problem("", f"names no system; there are {', '.join(SIGNAL_NAMES)}")
        return None
    return found


def _position(table: Table, base: GnssIntent) -> Survey | FixedPosition | None:
    survey, position = table.table("survey"), table.table("position")
    if survey is not None and position is not None:
        table.problem("", "survey and position exclude each other; keep one of them")
    if position is not None:
        return _place(position) or base.position
    if survey is None:
        return base.position
    usual = base.position if isinstance(base.position, Survey) else Survey()
    found = Survey(
        min_s=survey.whole("min_s", 0, MAX_SURVEY_S, usual.min_s) or 0,
        sigma_m=survey.number("sigma_m", 0.0, 1_000.0, usual.sigma_m) or 0.0,
    )
    survey.finish()
    return found


def _place(table: Table) -> FixedPosition | None:
    geodetic = any(key in table for key in _LLH)
    if geodetic and any(key in table for key in _ECEF):
        table.problem("", f"give either {', '.join(_ECEF)} or {', '.join(_LLH)}")
    limits = {"latitude_deg": 90.0, "longitude_deg": 180.0, "height_m": 10_000.0}
    names = _LLH if geodetic else _ECEF
    found = [
        table.number(key, -limits.get(key, _EARTH_M), limits.get(key, _EARTH_M), required=True)
        for key in names
    ]
    sigma_m = table.number("sigma_m", 0.0001, 100.0, 0.1) or 0.1
    table.finish()
    if any(number is None for number in found):
        return None
    numbers = [number or 0.0 for number in found]
    x_m, y_m, z_m = ecef_m(*numbers) if geodetic else numbers
    try:
        return FixedPosition(x_m=x_m, y_m=y_m, z_m=z_m, sigma_m=sigma_m)
    except ValueError as error:
        table.problem("", str(error))
        return None


def _pulse(table: Table, base: GnssIntent) -> Pulse | None:
    pulse = table.table("pulse")
    if pulse is None:
        return base.pulse
    usual = base.pulse or Pulse()
    found = Pulse(
        locked_only=pulse.flag("locked_only", usual.locked_only),
        width_us=pulse.whole("width_us", 1, 999_999, usual.width_us) or usual.width_us,
        rising=pulse.flag("rising", usual.rising),
        grid=cast(Grid, pulse.text("grid", usual.grid, choices=get_args(Grid)) or usual.grid),
    )
    pulse.finish()
    return found
