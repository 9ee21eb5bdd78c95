"""What ``timecard mac status`` tells: facts for JSON, and lines that say each thing once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from timecard.cli.common import Facts, plain, rows, state_root
from timecard.cli.mac_part import Part
from timecard.mac.alarms import OscillatorMonitor
from timecard.mac.log import readings_of
from timecard.mac.oscillators import OSCILLATORS
from timecard.mac.wear import WRITES_FILE, WearLedger, WearUsage
from timecard.values import OscillatorIdentity, OscillatorStatus

ABOVE: Final[Mapping[str, frozenset[str]]] = MappingProxyType({
    "sa5x": frozenset({
        "Locked", "LockProgress", "Alarms", "PpsInDetected", "Disciplining", "Phase", "EffectiveTuning",
        "Temperature",
    }),
    "csac": frozenset({"Steer", "Phase", "Temp"}),
    "sa3xm": frozenset({"version", "serial", "temperature", "digital tuning"}),
    "rod2522": frozenset({"PCT2075"}),
    "quartz": frozenset({"PCT2075"}),
})  # fmt: skip
"""Readings by family, in the part's own words, that a line for all families has already."""


def status_facts(part: Part, state: Path | None) -> Facts:
    """Who the part is and everything that it measures, as JSON has it."""
    status = part.oscillator.status(full=True)
    shown = plain(status)
    shown["readings"] = [plain(reading) for reading in (*status.readings, *readings_of(part.oscillator))]
    identity = part.identity
    usage = WearLedger(state_root(state) / WRITES_FILE).usage(identity.family, identity.serial)
    return {
        "place": part.place,
        "way": part.way,
        "part": plain(identity),
        "capabilities": sorted(part.oscillator.capabilities),
        "limit_ppb": part.oscillator.max_frequency_ppb,
        "resolution_ppb": part.oscillator.frequency_resolution_ppb,
        "status": shown,
        "faults": {name: alarm.evidence for name, alarm in _monitor(identity, status, usage).active.items()},
        "writes": {
            "today": usage.today,
            "life": usage.life,
            "limit_per_day": usage.limit.per_day,
            "limit_per_life": usage.limit.per_life,
        },
    }


def status_lines(facts: Facts) -> list[str]:
    """The same as text; a reading that a line of ours has already is left out."""
    part, status = facts["part"], facts["status"]
    temperature = status["temperature_mdegc"]
    lock = "locked" if status["locked"] else f"not locked, {status['lock_progress_percent']} %"
    steering = (
        f"{status['frequency_ppb']:.6f} ppb of +-{facts['limit_ppb']:g}, steps of {facts['resolution_ppb']:g}"
    )
    loop = {True: "follows its input pulse", False: "off", None: "none, or not told"}[status["disciplining"]]
    told: list[tuple[str, object]] = [
        ("part", " ".join(filter(None, (part["family"], part["model"], part["serial"], part["firmware"])))),
        ("at", f"{facts['place']}, {facts['way']}"),
        ("lock", lock),
        ("steering", steering if facts["limit_ppb"] else "none"),
        ("own loop", loop),
        ("phase", None if status["phase_ns"] is None else f"{status['phase_ns']:.2f} ns"),
        ("input pulse", "yes" if status["pps_detected"] else "no, or not told"),
        ("temperature", None if temperature is None else f"{temperature / 1000:.3f} degC"),
        ("alarms", ", ".join(status["alarm_names"]) or "none"),
        ("faults", "; ".join(f"{name}: {text}" for name, text in facts["faults"].items()) or "none"),
        ("writes", _writes(facts["writes"])),
    ]
    above = ABOVE.get(part["family"], frozenset())
    told += [
        (reading["name"], _reading(reading["value"], reading["unit"]))
        for reading in status["readings"]
        if reading["name"] not in above
    ]
    return rows(told)


# --- internals ---


def _writes(writes: Facts) -> str:
    life = f"{writes['life']} of {writes['limit_per_life']} non-volatile ones"
    return f"{life} by this program ({writes['today']} of {writes['limit_per_day']} today)"


def _reading(value: float | str | None, unit: str) -> str | None:
    """A whole number without its decimals; None stays what it is: unknown."""
    if value is None:
        return None
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    return f"{text} {unit}".strip()


def _monitor(identity: OscillatorIdentity, status: OscillatorStatus, usage: WearUsage) -> OscillatorMonitor:
    """What one look at a part can tell: limits and alarm bits; what takes time to see is the appliance's."""
    monitor = OscillatorMonitor(OSCILLATORS[identity.family].limits)
    monitor.feed(status, status.read_mono_ns)
    monitor.feed(usage, status.read_mono_ns)
    return monitor
