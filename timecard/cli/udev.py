"""``timecard install-udev``: stable names and a group for every card's nodes."""

from __future__ import annotations

import grp
import subprocess
from pathlib import Path
from typing import Annotated

import typer

from timecard.board_data.files import write_safely
from timecard.errors import DeviceAbsentError
from timecard.udev import GROUP, RULES_PATH, rules

_COMMAND_LIMIT_S = 30


def register(app: typer.Typer) -> None:
    """Add ``install-udev``."""
    app.command("install-udev")(install_udev_command)


def install_udev_command(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, do nothing.")] = False,
    path: Annotated[Path, typer.Option("--rules", help="Where the rules go.")] = RULES_PATH,
) -> None:
    """Install rules that name every card's nodes /dev/timecard/<id>/... and give them to a group.

    Doing it again changes nothing. Needs root, but for --dry-run.
    """
    text = rules()
    unchanged = _text(path) == text
    commands = [] if _group_exists() else [["groupadd", "--system", GROUP]]
    if not unchanged:
        commands.append(["udevadm", "control", "--reload"])
    commands.append(["udevadm", "trigger", "--action=change"])
    if dry_run:
        typer.echo(f"{path} {'is up to date' if unchanged else 'would hold:'}")
        if not unchanged:
            typer.echo(text)
        for command in commands:
            typer.echo(f"would run: {' '.join(command)}")
        return
    if not unchanged:
        write_safely(path, text)
    for command in commands:
        _run(command)
    typer.echo(f"{path} {'is up to date' if unchanged else 'written'}; members of {GROUP} may use the cards")


def _group_exists() -> bool:
    try:
        grp.getgrnam(GROUP)
    except KeyError:
        return False
    return True


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None


def _run(command: list[str]) -> None:
    name = " ".join(command)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_COMMAND_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeviceAbsentError(command[0], "run", f"{name}: {error}") from error
    if done.returncode:
        raise DeviceAbsentError(command[0], "run", f"{name}: {done.stderr.strip() or done.returncode}")
