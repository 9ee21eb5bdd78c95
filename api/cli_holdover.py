"""``time-appliance holdover``: enter and leave it by hand, and how long until a limit.

Exit status of ``enter`` and ``leave``: 0 done; 1 refused, or not seen to be done; 3 nobody answers, or we may
not ask; 64 the command line is wrong.
"""

from __future__ import annotations

import json
import time
from typing import Annotated, Final

import typer

from api.cli_errors import CommandError
from api.cli_status import duration
from api.cli_values import ConfigOption, JsonOption, RuntimeOption
from api.client import core_client
from api.schemas import StatusView
from appliance.config import load_config
from appliance.core_report import CoreReport
from appliance.events import CommandKind
from appliance.ipc import CoreClient, CoreError
from appliance.reporting import limit_forecasts
from appliance.run_options import Overrides
from appliance.snapshot import ClockState
from timecard.timebase import HostTimebase

NO_FORECAST: Final = 2
UNREACHABLE: Final = 3
POLL_S: Final = 0.2
DONE_WITHIN_S: Final = 30.0
IN_HOLDOVER: Final = frozenset({ClockState.HOLDOVER, ClockState.HOLDOVER_EXPIRED})

LimitOption = Annotated[
    float | None, typer.Option("--limit", metavar="NS", min=0.1, max=1e9, help="How long until this bound.")
]
ProbabilityOption = Annotated[
    float | None,
    typer.Option("--p", metavar="P", min=0.5, max=0.999999, help="With this confidence, as 0.99."),
]

holdover_app = typer.Typer()


@holdover_app.command("enter")
def enter_command(
    config: ConfigOption = None, runtime_dir: RuntimeOption = None, as_json: JsonOption = False
) -> int:
    """Stop following the reference, until `holdover leave`.

    The clock goes on by its oscillator and says so: the state is holdover, clients are told its class, and
    the bound grows. With the budget spent the time is no longer announced as good. A rehearsal ends. A clock
    that has no time yet is not set meanwhile. A restart of core changes nothing of it, a reboot ends it.

    In topology D the card's own servo goes on following its pulse: only what is announced changes.
    """
    before, after = _carry_out(CommandKind.ENTER_HOLDOVER, config, runtime_dir, forced=True)
    if after.clock.state not in IN_HOLDOVER:
        said = f"the clock is {after.clock.state.value}, and is not set"
    elif before.clock.state in IN_HOLDOVER:
        said = f"the clock was in {before.clock.state.value} already, and does not take a reference back"
    else:
        announced = f"clockClass {after.announced.clock_class} is announced"
        said = f"the clock is in {after.clock.state.value}, {announced}, {_lasting(after)}"
    _tell(f"{said}; until `time-appliance holdover leave`", after, as_json=as_json)
    return 0


@holdover_app.command("leave")
def leave_command(
    config: ConfigOption = None, runtime_dir: RuntimeOption = None, as_json: JsonOption = False
) -> int:
    """Let the clock follow its reference again, and believe what the receiver says now.

    Ends what `holdover enter` began, and a rehearsal. In holdover, also in one that began by itself, a
    healthy reference is accepted even if it disagrees with the clock, once half a minute of its pulses has
    been seen: then the clock begins anew from it, and may be stepped. This acceptance lapses after ten
    minutes; nothing is accepted while the receiver is at fault. Doubts about the receiver and evicted peers
    are forgotten.
    """
    before, after = _carry_out(CommandKind.LEAVE_HOLDOVER, config, runtime_dir, forced=False)
    if before.clock.state in IN_HOLDOVER:
        said = "a healthy reference is followed once half a minute of it has been seen, even if it disagrees"
    else:
        said = f"the clock is {after.clock.state.value}; doubts about the receiver and peers are forgotten"
    _tell(said, after, as_json=as_json)
    return 0


def only_limit(status: StatusView, limit_ns: float, p: float | None) -> StatusView:
    """The status with the forecast for this limit alone; without ``p``, with the bound's probability."""
    view = status.holdover
    if view.growth is None:
        raise CommandError(f"there is no forecast: {view.why_null['growth']}", NO_FORECAST)
    limits = limit_forecasts(view.growth, limit_ns, p or status.clock.p, view.as_of_tai_ns)
    return status.model_copy(update={"holdover": view.model_copy(update={"limits": limits})})


def _carry_out(
    kind: CommandKind, config: ConfigOption, runtime_dir: RuntimeOption, *, forced: bool
) -> tuple[CoreReport, CoreReport]:
    """The reports before and after."""
    try:
        client = core_client(Overrides(runtime_dir=runtime_dir).apply(load_config(config)))
        before = client.report()
        client.command(kind)
    except CoreError as error:
        raise CommandError(str(error), UNREACHABLE) from error
    return before, _when_done(client, forced=forced)


def _when_done(client: CoreClient, *, forced: bool) -> CoreReport:
    """The first report made after now that shows it; a core that is late for once is asked again."""
    sent_ns = HostTimebase().mono_ns()
    deadline_s = time.monotonic() + DONE_WITHIN_S
    problem = "its report does not show it"
    while time.monotonic() < deadline_s:
        try:
            report = client.report()
        except CoreError as error:
            problem = str(error)
        else:
            if report.as_of_mono_ns > sent_ns and report.holdover.forced is forced:
                return report
        time.sleep(POLL_S)
    raise CommandError(f"core took the command, but {problem}; see `time-appliance status`")


def _lasting(report: CoreReport) -> str:
    """Bound, and how long the budget lasts."""
    holdover, growth = report.holdover, report.holdover.growth
    if growth is None or report.bounds.card_ns is None:
        return "without a bound"
    (at, _) = limit_forecasts(growth, holdover.budget_ns, report.clock.p, report.as_of_tai_ns)
    lasts = at.why_null["seconds"] if at.seconds is None else f"in {duration(at.seconds)}"
    return f"bound {report.bounds.card_ns:.0f} ns, the budget of {holdover.budget_ns:g} ns is spent {lasts}"


def _tell(said: str, report: CoreReport, *, as_json: bool) -> None:
    if as_json:
        facts = {"said": said, "state": report.clock.state.value, "forced": report.holdover.forced}
        said = json.dumps(facts | {"clock_class": report.announced.clock_class}, indent=2)
    typer.echo(said)
