"""The card process that a guest's slot is connected to: ``timecard emulate --vfio-user``."""

from __future__ import annotations

import contextlib
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from timecard.emulator.control import request

START_LIMIT_S: Final = 60.0
_END_LIMIT_S: Final = 10.0
_EMULATE: Final = "import sys; from timecard.emulator.main import serve; sys.exit(serve(sys.argv[1:]))"


class CardProcess:
    """One emulated card. ``kill`` and ``start`` make a surprise removal and a return."""

    def __init__(self, folder: Path, name: str = "card", *options: str) -> None:
        """``options``: words of ``timecard emulate``, such as ``--board`` and ``art``."""
        self.path = folder / f"{name}.sock"
        self._errors = folder / f"{name}.log"
        self._command = [sys.executable, "-P", "-c", _EMULATE, "--vfio-user", str(self.path), *options]
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it and wait until it listens; QEMU does not try again."""
        with self._errors.open("a") as errors:
            process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        self._process = process
        assert process.stdout is not None
        select.select([process.stdout], [], [], START_LIMIT_S)
        if process.poll() is not None or not process.stdout.readline().startswith("ready"):
            self.kill()
            raise RuntimeError(f"the card did not start: {self.words()}")

    def ask(self, **message: Any) -> dict[str, Any]:
        """A control request, such as ``ask(command="truth")``."""
        reply: dict[str, Any] = request(self.path, message)
        return reply

    def words(self) -> str:
        """What it said on its standard error."""
        return self._errors.read_text(errors="replace")[-4000:]

    def kill(self) -> None:
        """End it at once, as a card that is pulled."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in an orderly way."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is not None:
            print(f"the card ended by itself, status {process.returncode}: {self.words()}", file=sys.stderr)
        process.send_signal(number)
        try:
            process.wait(_END_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


@contextlib.contextmanager
def card_processes(*boards: tuple[str, ...]) -> Iterator[list[CardProcess]]:
    """Started cards, one for each tuple of options."""
    with tempfile.TemporaryDirectory(prefix="timecard-cards-") as folder, contextlib.ExitStack() as stack:
        cards = []
        for number, options in enumerate(boards):
            card = CardProcess(Path(folder), f"card{number}", *options)
            stack.callback(card.stop)
            card.start()
            cards.append(card)
        yield cards
