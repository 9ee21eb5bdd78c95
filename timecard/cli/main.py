"""``timecard``: what cards there are, what they say, how they are set up, and a virtual one.

Facts go to stdout, as text or with ``--json`` as JSON (nanoseconds of a date as text: a JSON number may lose
digits). An error is one line on stderr; exit status 1 when the hardware failed, 2 when the command was wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from typing import Any, Final, cast

import typer

from timecard.cli import (
    attributes,
    bringup,
    cards,
    delay,
    doctor,
    eeprom,
    flash,
    gnss,
    mac,
    output,
    phc,
    registers,
    sma,
    udev,
)
from timecard.cli.common import EXIT_FAILED, EXIT_USAGE
from timecard.errors import DeviceAbsentError, TimeCardError

PROGRAM: Final = "timecard"
EMULATORS: Final = "timecard.emulators"
EMULATOR: Final = "virtual"
_CLICK_ERROR: Final = cast(
    type[Exception], next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
)
"""Base of the command line's own errors; typer brings its own click, or uses the installed one."""
MODULES: Final = (
    *(cards, doctor, eeprom, flash, udev, bringup, sma, delay, output, phc),
    *(attributes, registers, gnss, mac),
)
"""Each adds its commands to the program by ``register(app)``."""

app = typer.Typer(
    help="Time Card hardware: what is there, what it says, and how it is set up.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
for module in MODULES:
    module.register(app)


@app.command(
    "emulate",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def emulate_command(context: typer.Context) -> None:
    """Run a virtual card behind a vfio-user socket, or talk to one that runs (--help shows its options)."""
    serve = _load_emulator()
    raise typer.Exit(serve(context.args))


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit status."""
    command = typer.main.get_command(app)
    try:
        status = command.main(args=argv, prog_name=PROGRAM, standalone_mode=False)
    except TimeCardError as error:
        return _fail(str(error), EXIT_FAILED)
    except _CLICK_ERROR as error:
        return _fail(f"{cast(Any, error).format_message()} (see {_command_of(error)} --help)", EXIT_USAGE)
    except typer.Abort:
        return _fail("interrupted", EXIT_FAILED)
    return status if isinstance(status, int) else 0


def _command_of(error: Exception) -> str:
    """The command that an error of the command line is about: ``timecard gnss survey``."""
    context = getattr(error, "ctx", None)
    return PROGRAM if context is None else str(context.command_path)


def _load_emulator() -> Callable[[Sequence[str]], int]:
    for entry in entry_points(group=EMULATORS):
        if entry.name == EMULATOR:
            serve: Callable[[Sequence[str]], int] = entry.load()
            return serve
    raise DeviceAbsentError(
        "emulator",
        "load",
        f"no {EMULATOR!r} in entry points {EMULATORS!r}; install timecard-toolkit (pip install)",
    )


def _fail(message: str, status: int) -> int:
    typer.echo(f"timecard: {' '.join(message.split())}", err=True)
    return status
