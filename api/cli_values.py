"""Values of command line options, checked before anything is started."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import Annotated, Final

import typer

from appliance.run_options import RunOptions

LOG_VARIABLE: Final = "TIME_APPLIANCE_LOG"
SECONDS_OF: Final = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}
_DURATION: Final = re.compile(r"^(?P<number>\d+(\.\d+)?) ?(?P<unit>[a-z]*)$", re.ASCII)


def duration_s(text: str) -> float:
    """``90``, ``90s``, ``15m``, ``2h`` or ``1d``, in seconds."""
    match = _DURATION.match(text)
    if match is None or match["unit"] not in SECONDS_OF or (seconds := float(match["number"])) <= 0:
        raise typer.BadParameter(f"{text!r} is no duration; write for example 90s, 15m, 2h or 1d")
    return seconds * SECONDS_OF[match["unit"]]


def two_ports(text: str) -> tuple[int, int]:
    """``319,320``: event and general port."""
    parts = text.split(",")
    numbers = [int(part) for part in parts if part.isascii() and part.isdecimal() and 1 <= len(part) <= 5]
    if len(parts) != 2 or len(numbers) != 2 or not all(1 <= number <= 65_535 for number in numbers):
        raise typer.BadParameter(f"{text!r} is no pair of UDP ports; write for example 10319,10320")
    if numbers[0] == numbers[1]:
        raise typer.BadParameter(f"{text!r}: event and general messages need two different ports")
    return numbers[0], numbers[1]


def readable_file(path: Path | None, option: str) -> Path | None:
    """An existing file that we may read."""
    if path is None:
        return None
    try:
        with path.open("rb"):
            return path
    except OSError as error:
        raise typer.BadParameter(f"{option} {path}: {error.strerror or error}") from error


def writable_place(path: Path | None, option: str) -> Path | None:
    """A file that can be made: its directory exists."""
    if path is not None and not path.absolute().parent.is_dir():
        raise typer.BadParameter(f"{option} {path}: there is no directory {path.absolute().parent}")
    return path


def log_level() -> int:
    """Level of the log on standard error, from the environment; warnings by default."""
    text = os.environ.get(LOG_VARIABLE, "WARNING").upper()
    level = logging.getLevelNamesMapping().get(text)
    if level is None:
        raise typer.BadParameter(
            f"{LOG_VARIABLE}={text!r} is no log level; use DEBUG, INFO, WARNING or ERROR"
        )
    return level


def refuse_contradictions(options: RunOptions) -> None:
    """Options of a run that make no sense together."""
    emulated = {
        "--gnss-phase": options.gnss_phase,
        "--oscillator": options.oscillator,
        "--gnss-capture": options.gnss_capture,
        "--faults": options.faults,
        "--fast": options.fast or None,
    }
    used = [name for name, value in emulated.items() if value is not None]
    if used and not options.virtual:
        raise typer.BadParameter(f"{', '.join(used)} works on an emulated card only; add --virtual")
    summary = {
        "--report": options.report,
        "--series": options.series,
        "--plot": options.plot,
        "--flight": options.flight,
        "--json": options.json or None,
    }
    asked = [name for name, value in summary.items() if value is not None]
    if asked and not options.fast:
        raise typer.BadParameter(f"{', '.join(asked)} sums up a fast run; add --virtual --fast")


ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Configuration instead of the default file.")
]
PortsOption = Annotated[
    str | None, typer.Option("--ports", metavar="EVENT,GENERAL", help="UDP ports of PTP.", show_default=False)
]
ApiPortOption = Annotated[
    int | None, typer.Option("--api-port", min=1, max=65_535, help="TCP port of the API on loopback.")
]
RuntimeOption = Annotated[
    Path | None, typer.Option("--runtime-dir", metavar="DIR", help="Where the sockets are.")
]
StateOption = Annotated[
    Path | None, typer.Option("--state-dir", metavar="DIR", help="Where state is kept over a restart.")
]
SocketOption = Annotated[
    Path | None, typer.Option("--vfio-user", metavar="SOCKET", help="Card served over vfio-user.")
]
ColdOption = Annotated[bool, typer.Option("--cold", help="Start in free-run; take up no earlier state.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
