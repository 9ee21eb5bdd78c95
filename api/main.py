"""``time-appliance``: run the appliance, ask it, check its configuration.

Exit status: 0 done; 1 it failed, one line on standard error says why; 64 the command line is wrong.
``status`` and ``holdover`` tell the verdict instead: 0 serve, 1 degraded, 2 do not serve, 3 nobody answers.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Annotated, Final, Literal, NoReturn

import typer
from rich.console import Console

from api import cli_status
from api.cli_analyse import analyse_command
from api.cli_errors import USAGE, CommandError, OneLineErrors, complain
from api.cli_holdover import LimitOption, ProbabilityOption, holdover_app, only_limit
from api.cli_leap import leap_status, print_leap, rehearse_command
from api.cli_rehearse import rehearse_app
from api.cli_replay import replay_command
from api.cli_values import (
    ApiPortOption,
    ColdOption,
    ConfigOption,
    JsonOption,
    PortsOption,
    RuntimeOption,
    SocketOption,
    StateOption,
    duration_s,
    log_level,
    readable_file,
    refuse_contradictions,
    two_ports,
    writable_place,
)
from api.client import Answer, DoNotServeError, UnreachableError, ask_status, runtime_directories
from api.server import serve
from appliance.config import ConfigError, check_config, load_config
from appliance.run_options import Overrides, RunOptions
from appliance.verdict import Verdict
from appliance.version import installed_version

VERDICT_STATUS: Final = {Verdict.SERVE: 0, Verdict.DEGRADED: 1, Verdict.DO_NOT_SERVE: 2}
UNREACHABLE: Final = 3

# A bug ends with a plain traceback: it is read in a journal.
app = typer.Typer(
    cls=OneLineErrors,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Time appliance: core, API and tools.",
)


def main() -> NoReturn:
    """Entry point; ends the process."""
    app()
    sys.exit(0)


app.command("analyse")(analyse_command)
app.command("replay")(replay_command)
app.add_typer(rehearse_app, name="rehearse")
app.add_typer(holdover_app, name="holdover")
leap_app = typer.Typer(help="Leap seconds: what is believed, and a rehearsal.")
leap_app.command("rehearse")(rehearse_command)
app.add_typer(leap_app, name="leap")


@app.callback(invoke_without_command=True)
def top(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> None:
    """Time appliance: core, API and tools."""
    if version:
        typer.echo(installed_version())
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(USAGE)


@app.command()
def run(
    config: ConfigOption = None,
    virtual: Annotated[bool, typer.Option("--virtual", help="With an emulated card.")] = False,
    gnss_phase: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Recorded phase error of the emulated GNSS pulse.")
    ] = None,
    oscillator: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Recorded frequency of the emulated oscillator.")
    ] = None,
    gnss_capture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Recorded receiver bytes, replayed.")
    ] = None,
    faults: Annotated[Path | None, typer.Option(metavar="FILE", help="Script of emulated faults.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the emulated noise.")] = 1,
    fast: Annotated[bool, typer.Option("--fast", help="Virtual time in one process; serves nobody.")] = False,
    duration: Annotated[
        str | None, typer.Option(metavar="TIME", help="End after 90s, 15m, 2h or 1d.")
    ] = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the summary here.")] = None,
    series: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write every second of a fast run here, for analyse.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the run here.")] = None,
    flight: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the flight record of a fast run here.")
    ] = None,
    ports: PortsOption = None,
    api_port: ApiPortOption = None,
    runtime_dir: RuntimeOption = None,
    state_dir: StateOption = None,
    vfio_user: SocketOption = None,
    cold: ColdOption = False,
    as_json: JsonOption = False,
) -> int:
    """Run core and API (and an emulated card) together, until Ctrl-C."""
    options = RunOptions(
        config_path=config,
        overrides=_overrides(ports, api_port, runtime_dir, state_dir, vfio_user, cold=cold),
        virtual=virtual,
        gnss_phase=readable_file(gnss_phase, "--gnss-phase"),
        oscillator=readable_file(oscillator, "--oscillator"),
        gnss_capture=readable_file(gnss_capture, "--gnss-capture"),
        faults=readable_file(faults, "--faults"),
        seed=seed,
        fast=fast,
        duration_s=None if duration is None else duration_s(duration),
        report=writable_place(report, "--report"),
        series=writable_place(series, "--series"),
        plot=writable_place(plot, "--plot"),
        flight=writable_place(flight, "--flight"),
        json=as_json,
    )
    refuse_contradictions(options)
    options.load()  # a wrong configuration is told before anything is started
    log_level()
    from appliance.supervisor import run as run_appliance

    return run_appliance(options)


@app.command()
def core(
    config: ConfigOption = None,
    ports: PortsOption = None,
    api_port: ApiPortOption = None,
    runtime_dir: RuntimeOption = None,
    state_dir: StateOption = None,
    vfio_user: SocketOption = None,
    cold: ColdOption = False,
) -> int:
    """Run core alone: hold the card, keep time, answer packets."""
    overrides = _overrides(ports, api_port, runtime_dir, state_dir, vfio_user, cold=cold)
    loaded = overrides.apply(load_config(config))
    log_level()
    from appliance.daemon import main as run_core

    return run_core(loaded)


@app.command()
def api(
    config: ConfigOption = None,
    ports: PortsOption = None,
    api_port: ApiPortOption = None,
    runtime_dir: RuntimeOption = None,
    state_dir: StateOption = None,
    vfio_user: SocketOption = None,
    cold: ColdOption = False,
) -> int:
    """Run the API alone: REST on loopback and api.sock; asks core over core.sock.

    Takes the options of ``core``, so that both can be started with the same ones.
    """
    overrides = _overrides(ports, api_port, runtime_dir, state_dir, vfio_user, cold=cold)
    loaded = overrides.apply(load_config(config))
    if not loaded.api.enable:
        raise CommandError("the API is disabled; set api.enable = true to run it")
    logging.basicConfig(level=log_level(), stream=sys.stderr, format="api %(levelname)s %(name)s %(message)s")
    return serve(loaded)


@app.command()
def status(
    config: ConfigOption = None, runtime_dir: RuntimeOption = None, as_json: JsonOption = False
) -> int:
    """Show the state; exit status 0 serve, 1 degraded, 2 do not serve, 3 nobody answers."""
    answer = _ask(config, runtime_dir, as_json=as_json)
    if isinstance(answer, int):
        return answer
    if as_json:
        typer.echo(answer.status.model_dump_json(indent=2))
    else:
        cli_status.print_status(answer.status, Console())
    return VERDICT_STATUS[answer.status.health.verdict]


@holdover_app.callback(invoke_without_command=True)
def holdover(
    context: typer.Context,
    config: ConfigOption = None,
    runtime_dir: RuntimeOption = None,
    limit: LimitOption = None,
    p: ProbabilityOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show readiness for holdover and its forecast; exit status as for ``status``. Or enter and leave it.

    With --limit only how long the bound stays below that, with probability --p (the bound's own without it).
    """
    if context.invoked_subcommand is not None:
        if any((config, runtime_dir, limit, p, as_json)):
            raise typer.BadParameter(f"write options behind `{context.invoked_subcommand}`")
        return 0
    if p is not None and limit is None:
        raise typer.BadParameter("--p is the probability of --limit; give both")
    answer = _ask(config, runtime_dir, as_json=as_json)
    if isinstance(answer, int):
        return answer
    status = answer.status if limit is None else only_limit(answer.status, limit, p)
    if as_json:
        typer.echo(status.holdover.model_dump_json(indent=2))
    else:
        cli_status.print_holdover(status, Console())
    return VERDICT_STATUS[status.health.verdict]


@app.command()
def bound(
    config: ConfigOption = None,
    runtime_dir: RuntimeOption = None,
    plane: Annotated[
        Literal["host", "card"], typer.Option(help="Whose clock; the interval is TAI with both.")
    ] = "host",
    wide: Annotated[bool, typer.Option("--wide", help="Five sigma and all biases.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Once a second, until Ctrl-C.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Show TAI now as an interval; exit status 2 there is none, 3 no page to read."""
    from api.cli_bound import show_bound
    from appliance.bound.layout import Plane

    directories = runtime_directories(Overrides(runtime_dir=runtime_dir).apply(load_config(config)))
    return show_bound(directories, Plane[plane.upper()], wide=wide, as_json=as_json, watch=watch)


@leap_app.callback(invoke_without_command=True)
def leap(
    context: typer.Context,
    config: ConfigOption = None,
    runtime_dir: RuntimeOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show TAI - UTC and every source; exit status 0 known, 1 with alarms, 2 not known, 3 nobody answers."""
    if context.invoked_subcommand is not None:
        return 0
    answer = _ask(config, runtime_dir, as_json=as_json)
    if isinstance(answer, int):
        return answer
    if as_json:
        typer.echo(answer.status.leap.model_dump_json(indent=2))
    else:
        print_leap(answer.status.leap, Console())
    return leap_status(answer.status.leap)


@app.command("check-config")
def check_configuration(config: ConfigOption = None, as_json: JsonOption = False) -> int:
    """Check the configuration and its drop-ins; every error at once."""
    result = check_config(config)
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "ok": result.config is not None,
                    "files": [str(file) for file in result.files],
                    "errors": result.errors,
                    "notes": result.notes,
                },
                indent=2,
            )
        )
        return 0 if result.config is not None else 1
    if result.config is None:
        raise ConfigError(result.errors)
    for note in result.notes:
        typer.echo(f"note: {note}")
    read = ", ".join(map(str, result.files)) or "no file, all defaults"
    typer.echo(f"configuration is valid ({read})")
    return 0


@app.command()
def sptp(
    server: Annotated[str, typer.Argument(help="Name or address of the server.")],
    count: Annotated[int, typer.Option(min=1, max=1_000_000, help="Exchanges.")] = 10,
    interval: Annotated[float, typer.Option(min=0.0, max=3600.0, help="Seconds between exchanges.")] = 1.0,
    ports: PortsOption = "319,320",
    mode: Annotated[
        Literal["unprivileged", "standard"], typer.Option(help="standard binds the ports itself.")
    ] = "unprivileged",
    timeout: Annotated[float, typer.Option(min=0.001, max=60.0, help="Seconds to wait for a reply.")] = 0.1,
    domain: Annotated[int, typer.Option(min=0, max=255, help="domainNumber.")] = 0,
    as_json: JsonOption = False,
) -> int:
    """Measure this host's offset from an SPTP server; steers nothing."""
    from api.cli_sptp import print_report
    from appliance.ptp.sptp import measure

    report = measure(
        server,
        count=count,
        interval_s=interval,
        ports=two_ports(ports or "319,320"),
        mode=mode,
        timeout_s=timeout,
        domain=domain,
    )
    if as_json:
        typer.echo(json.dumps(report.summary(), indent=2))
    else:
        print_report(report, Console())
    return 0


def _overrides(
    ports: str | None,
    api_port: int | None,
    runtime_dir: Path | None,
    state_dir: Path | None,
    vfio_user: Path | None,
    *,
    cold: bool,
) -> Overrides:
    return Overrides(
        ports=None if ports is None else two_ports(ports),
        api_port=api_port,
        runtime_dir=runtime_dir,
        state_dir=state_dir,
        vfio_user=vfio_user,
        cold=cold,
    )


def _ask(config: Path | None, runtime_dir: Path | None, *, as_json: bool) -> Answer | int:
    """The state, or the exit status after the reason for there being none has been told."""
    try:
        loaded = Overrides(runtime_dir=runtime_dir).apply(load_config(config))
        answer = ask_status(runtime_directories(loaded))
    except ConfigError as error:
        raise CommandError(str(error), UNREACHABLE) from error
    except (UnreachableError, DoNotServeError) as error:
        stopped = isinstance(error, UnreachableError)
        if as_json:
            typer.echo(json.dumps({"verdict": Verdict.DO_NOT_SERVE.value, "reasons": [str(error)]}, indent=2))
        complain(f"{'' if stopped else 'do not serve: '}{error}")
        return UNREACHABLE if stopped else VERDICT_STATUS[Verdict.DO_NOT_SERVE]
    if answer.note is not None:
        complain(answer.note)
    return answer
