"""One line per error, whatever goes wrong: the command line never shows a traceback for a user's mistake."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Final

import typer
from typer.core import TyperGroup

from api.server import ListenError
from appliance.config import ConfigError
from appliance.config_models import PROGRAM
from appliance.ipc import CommandRefusedError, CoreError, SocketError
from appliance.ptp.sptp_diagnosis import SptpError
from timecard.errors import TimeCardError

USAGE: Final = 64
"""Exit status of a wrong command line (EX_USAGE); 1 to 3 mean something to ``status``."""
FAILED: Final = 1
INTERRUPTED: Final = 130


class CommandError(Exception):
    """A user's error; the text says what to do. ``status`` is the exit status."""

    def __init__(self, text: str, status: int = FAILED) -> None:
        super().__init__(text)
        self.status = status


_EXPECTED: Final = (
    CommandError,
    CommandRefusedError,
    ConfigError,
    CoreError,
    ListenError,
    SocketError,
    SptpError,
    TimeCardError,
)


def complain(text: str) -> None:
    """Say what is wrong, on standard error; every line names the program."""
    for line in text.splitlines():
        sys.stderr.write(f"{PROGRAM}: {line}\n")


class OneLineErrors(TyperGroup):
    """The command group: expected errors become one line and an exit status."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command and exit with what it returns.

        ``prog_name`` and ``standalone_mode`` are not taken over: the name is ours, and so are the errors.
        """
        sys.exit(self._status(args, complete_var, extra))

    def _status(self, args: Sequence[str] | None, complete_var: str | None, extra: dict[str, Any]) -> int:
        try:
            result = super().main(args, PROGRAM, complete_var, standalone_mode=False, **extra)
        except _EXPECTED as error:
            complain(str(error))
            return error.status if isinstance(error, CommandError) else FAILED
        except typer.TyperException as error:
            context = getattr(error, "ctx", None)
            command = context.command_path if isinstance(context, typer.Context) else PROGRAM
            complain(f"{_one_line(error.format_message())}; see `{command} --help`")
            return USAGE
        except (typer.Abort, KeyboardInterrupt):
            return INTERRUPTED
        return result if isinstance(result, int) else 0


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
