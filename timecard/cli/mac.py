"""``timecard mac``: the oscillator module: its state, steering, its own loop, firmware, a log for its maker.

Exit status: 0 done, 1 the hardware failed, 2 the command was wrong, 3 refused.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from timecard.cli.common import CardOptions, Facts, card_options, plain, rows, state_root
from timecard.cli.mac_part import WRITES_FILE, Part, Port, opened_part, refusals
from timecard.cli.mac_service import log_command, upgrade_command
from timecard.errors import ProtocolError, RefusedError
from timecard.mac.alarms import OscillatorMonitor
from timecard.mac.driver import OscillatorCapability, SelfDiscipline
from timecard.mac.oscillators import OSCILLATORS
from timecard.mac.wear import WearLedger, WearUsage
from timecard.values import OscillatorIdentity, OscillatorStatus, Reading

State = Annotated[
    Path | None, typer.Option("--state", metavar="DIR", help="Where non-volatile writes are counted.")
]
Store = Annotated[bool, typer.Option("--store", help="Keep the settings without power (wears its memory).")]
TakeOver = Annotated[bool, typer.Option("--take-over", help="End the part's own loop first.")]
LatchIt = Annotated[
    bool, typer.Option("--latch", help="Fold the steering into the base frequency (wears its memory).")
]
Sync = Annotated[bool, typer.Option("--sync", help="Move its pulse onto the input pulse: a step.")]


class Switch(StrEnum):
    """Whether the part follows its input pulse."""

    ON = "on"
    OFF = "off"


def register(app: typer.Typer) -> None:
    """Add the group ``mac``."""
    group = typer.Typer(help="Oscillator module (miniature atomic clock).", no_args_is_help=True)
    group.command("status")(status_command)
    group.command("steer")(steer_command)
    group.command("discipline")(discipline_command)
    group.command("upgrade")(upgrade_command)
    group.command("log")(log_command)
    app.add_typer(group, name="mac")


@card_options("mac status")
def status_command(options: CardOptions, *, port: Port = None, state: State = None) -> None:
    """Show who the oscillator is and everything that it measures."""
    with opened_part(options, port, state) as part:
        facts = _facts(part, part.oscillator.status(full=True), _readings(part), state)
    options.emit(facts, _status_lines(facts))


@card_options("mac steer")
def steer_command(
    options: CardOptions,
    frequency_ppb: Annotated[
        float | None,
        typer.Argument(metavar="[PPB]", help="New steering; positive is faster.", show_default=False),
    ] = None,
    *,
    take_over: TakeOver = False,
    latch: LatchIt = False,
    sync: Sync = False,
    store: Store = False,
    port: Port = None,
    state: State = None,
) -> None:
    """Steer the frequency. What is in force afterwards is read back and printed with its resolution."""
    if frequency_ppb is None and not (take_over or latch or sync or store):
        raise typer.BadParameter("say how much in PPB, or what else: --take-over, --latch, --sync, --store")
    with refusals(options), opened_part(options, port, state) as part:
        oscillator = part.oscillator
        limit = oscillator.max_frequency_ppb
        before = oscillator.status(full=True)
        if frequency_ppb is not None:
            _check(part, "steer", OscillatorCapability.STEER)
            if not -limit <= frequency_ppb <= limit:
                raise typer.BadParameter(f"{frequency_ppb:g} ppb: this part takes -{limit:g} to {limit:g}")
        if take_over:
            oscillator.begin_software_steering()
        elif before.disciplining and frequency_ppb is not None:
            raise RefusedError(oscillator.name, "steer", "its own loop steers; --take-over ends that")
        in_force = None if frequency_ppb is None else oscillator.set_frequency_ppb(frequency_ppb)
        if sync:
            oscillator.sync_pulse()
        if latch:
            oscillator.latch()
        if store:
            oscillator.store()
        after = oscillator.status(full=True)
    facts = {
        "part": plain(part.identity),
        "wanted_ppb": frequency_ppb,
        "in_force_ppb": after.frequency_ppb if in_force is None else in_force,
        "before_ppb": before.frequency_ppb,
        "resolution_ppb": oscillator.frequency_resolution_ppb,
        "limit_ppb": limit,
        "disciplining": after.disciplining,
    }
    options.emit(
        facts,
        rows([
            ("in force", f"{facts['in_force_ppb']:.6f} ppb (in steps of {facts['resolution_ppb']:g} ppb)"),
            ("before", f"{before.frequency_ppb:.6f} ppb"),
        ]),
    )  # fmt: skip


@card_options("mac discipline")
def discipline_command(
    options: CardOptions,
    switch: Annotated[Switch, typer.Argument(metavar="on|off", help="Follow the input pulse, or not.")],
    *,
    time_constant_s: Annotated[
        int | None, typer.Option("--time-constant", metavar="S", min=1, help="Of the part's loop; with on.")
    ] = None,
    phase_limit_ns: Annotated[
        int | None, typer.Option("--phase-limit", metavar="NS", help="Beyond it the part's pulse jumps.")
    ] = None,
    threshold_ns: Annotated[
        int | None, typer.Option("--threshold", metavar="NS", min=1, help="Within it counts as locked.")
    ] = None,
    max_jump_ns: Annotated[
        float | None,
        typer.Option("--max-jump", metavar="NS", min=0, help="Refuse if its pulse would jump more."),
    ] = None,
    store: Store = False,
    port: Port = None,
    state: State = None,
) -> None:
    """Let the part follow its input pulse by itself, or take that from it; the frequency in force stays."""
    on = switch is Switch.ON
    given = [time_constant_s, phase_limit_ns, threshold_ns, max_jump_ns]
    if not on and any(each is not None for each in given):
        raise typer.BadParameter("off takes none of --time-constant, --phase-limit, --threshold, --max-jump")
    if on and time_constant_s is None:
        raise typer.BadParameter("on needs --time-constant")
    with refusals(options), opened_part(options, port, state) as part:
        oscillator = part.oscillator
        _check(part, "discipline", OscillatorCapability.DISCIPLINE)
        before = oscillator.status(full=True)
        if on and time_constant_s is not None:
            oscillator.begin_self_disciplining(
                SelfDiscipline(
                    time_constant_s=time_constant_s,
                    phase_limit_ns=phase_limit_ns,
                    lock_threshold_ns=threshold_ns,
                    max_jump_ns=max_jump_ns,
                )
            )
        else:
            oscillator.begin_software_steering()
        if store:
            oscillator.store()
        after = oscillator.status(full=True)
    if after.disciplining is not None and after.disciplining is not on:
        raise ProtocolError(oscillator.name, f"discipline {switch}", "the part says otherwise afterwards")
    facts = {
        "part": plain(part.identity),
        "disciplining": after.disciplining,
        "was_disciplining": before.disciplining,
        "frequency_ppb": after.frequency_ppb,
        "before_ppb": before.frequency_ppb,
        "phase_ns": after.phase_ns,
    }
    text = "follows its input pulse" if on else "leaves steering to software"
    options.emit(facts, [f"the part {text}; {after.frequency_ppb:.6f} ppb in force"])


# --- internals ---


def _check(part: Part, operation: str, capability: OscillatorCapability) -> None:
    if capability not in part.oscillator.capabilities:
        has = ", ".join(sorted(part.oscillator.capabilities)) or "nothing"
        raise RefusedError(
            part.oscillator.name, operation, f"a {part.identity.family} cannot {capability}; it can: {has}"
        )


def _readings(part: Part) -> tuple[Reading, ...]:
    """What else a driver reads when it is asked for everything."""
    readings: tuple[Reading, ...] = getattr(part.oscillator, "readings", tuple)()
    return readings


def _facts(part: Part, status: OscillatorStatus, more: tuple[Reading, ...], state: Path | None) -> Facts:
    shown = plain(status)
    shown["readings"] = [plain(reading) for reading in (*status.readings, *more)]
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


def _monitor(identity: OscillatorIdentity, status: OscillatorStatus, usage: WearUsage) -> OscillatorMonitor:
    """What one look at a part can tell: limits and alarm bits; what takes time to see is the appliance's."""
    monitor = OscillatorMonitor(OSCILLATORS[identity.family].limits)
    monitor.feed(status, status.read_mono_ns)
    monitor.feed(usage, status.read_mono_ns)
    return monitor


def _status_lines(facts: Facts) -> list[str]:
    part, status = facts["part"], facts["status"]
    temperature = status["temperature_mdegc"]
    lock = "locked" if status["locked"] else f"not locked, {status['lock_progress_percent']} %"
    steering = (
        f"{status['frequency_ppb']:.6f} ppb of +-{facts['limit_ppb']:g}, steps of {facts['resolution_ppb']:g}"
    )
    loop = {True: "follows its input pulse", False: "off", None: "none, or not told"}[status["disciplining"]]
    writes = facts["writes"]
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
        ("writes", f"{writes['life']} by this program, at most {writes['limit_per_life']}"),
    ]
    told += [
        (reading["name"], f"{reading['value']} {reading['unit']}".strip()) for reading in status["readings"]
    ]
    return rows(told)
