"""``timecard mac``: the oscillator module: its state, steering, its own loop, firmware, a log for its maker.

Exit status: 0 done, 1 the hardware failed, 2 the command was wrong, 3 refused.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from timecard.cli.common import CardOptions, card_options, plain, rows
from timecard.cli.mac_part import Part, Pins, Port, check_capability, opened_part, refusals
from timecard.cli.mac_service import log_command, upgrade_command
from timecard.cli.mac_status import status_facts, status_lines
from timecard.errors import ProtocolError, RefusedError
from timecard.mac.driver import OscillatorCapability, SelfDiscipline
from timecard.mac.oscillators import OSCILLATORS

State = Annotated[
    Path | None, typer.Option("--state", metavar="DIR", help="Where non-volatile writes are counted.")
]
Store = Annotated[bool, typer.Option("--store", help="Keep the settings without power (wears its memory).")]
TakeOver = Annotated[bool, typer.Option("--take-over", help="End the part's own loop first.")]
LatchIt = Annotated[
    bool,
    typer.Option(
        "--latch",
        help="Fold the steering into the base frequency (wears its memory); an SA5X needs --store too.",
    ),
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
def status_command(
    options: CardOptions,
    *,
    pins: Annotated[
        Pins | None,
        typer.Option("--pins", help="Switch the MAC port's pins first: i2c for a quartz card."),
    ] = None,
    family: Annotated[
        str | None,
        typer.Option("--family", help=f"The one that must be there: {', '.join(sorted(OSCILLATORS))}."),
    ] = None,
    port: Port = None,
    state: State = None,
) -> None:
    """Show who the oscillator is and everything that it measures."""
    if pins is not None and port is not None:
        raise typer.BadParameter("--pins are those of a card: leave --port out")
    if family is not None and family not in OSCILLATORS:
        raise typer.BadParameter(f"--family {family}: there are {', '.join(sorted(OSCILLATORS))}")
    with opened_part(options, port, state, pins, family) as part:
        facts = status_facts(part, state)
    options.emit(facts, status_lines(facts))


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
        _check_orders(part, steer=frequency_ppb is not None or take_over, sync=sync, latch=latch, store=store)
        if frequency_ppb is not None and not -limit <= frequency_ppb <= limit:
            raise typer.BadParameter(f"{frequency_ppb:g} ppb: this part takes -{limit:g} to {limit:g}")
        before = oscillator.status(full=True)
        if take_over:
            oscillator.begin_software_steering()
        elif before.disciplining and frequency_ppb is not None:
            raise RefusedError(oscillator.name, "steer", "its own loop steers; --take-over ends that")
        in_force_ppb = None if frequency_ppb is None else oscillator.set_frequency_ppb(frequency_ppb)
        if sync:
            oscillator.sync_pulse()
        folded_ppb: float | None = None
        if latch:
            steered_ppb = oscillator.status(full=True).frequency_ppb if in_force_ppb is None else in_force_ppb
            oscillator.latch()
            in_force_ppb = oscillator.status(full=True).frequency_ppb
            folded_ppb = steered_ppb - in_force_ppb
        if store:
            oscillator.store()
        after = oscillator.status(full=True)
    facts = {
        "part": plain(part.identity),
        "wanted_ppb": frequency_ppb,
        "in_force_ppb": after.frequency_ppb if in_force_ppb is None else in_force_ppb,
        "folded_ppb": folded_ppb,
        "before_ppb": before.frequency_ppb,
        "resolution_ppb": oscillator.frequency_resolution_ppb,
        "limit_ppb": limit,
        "disciplining": after.disciplining,
    }
    told = [("in force", f"{facts['in_force_ppb']:.6f} ppb (in steps of {facts['resolution_ppb']:g} ppb)")]
    if folded_ppb is not None:
        told.append(("folded", f"{folded_ppb:.6f} ppb into the base frequency"))
    options.emit(facts, rows([*told, ("before", f"{before.frequency_ppb:.6f} ppb")]))


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
        check_capability(part, "discipline", OscillatorCapability.DISCIPLINE)
        if store:
            check_capability(part, "discipline", OscillatorCapability.STORE)
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


def _check_orders(part: Part, *, steer: bool, sync: bool, latch: bool, store: bool) -> None:
    """Raises ``RefusedError`` before anything is done when the part cannot do all of it."""
    orders = {
        OscillatorCapability.STEER: steer,
        OscillatorCapability.SYNC_PULSE: sync,
        OscillatorCapability.LATCH: latch,
        OscillatorCapability.STORE: store,
    }
    for capability, wanted in orders.items():
        if wanted:
            check_capability(part, "steer", capability)
    if latch and not store and OscillatorCapability.STORE in part.oscillator.capabilities:
        raise RefusedError(
            part.oscillator.name,
            "latch",
            "this part forgets its base frequency without power, and a write is counted all the same: "
            "give --store as well",
        )
