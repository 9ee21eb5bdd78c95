"""`timecard` commands run in this process, and `timecard emulate` beside it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest

from timecard.cli import main as cli
from timecard.emulator.control import request

COMMAND: Final = (sys.executable, "-m", "timecard.cli")
LIMIT_S: Final = 60.0
"""For what takes a second or two on an idle machine."""

T = TypeVar("T")
Answer = tuple[int, str, str]
"""Exit status, output, errors."""


@contextlib.contextmanager
def emulated(*argv: str | Path, seed: int = 2) -> Iterator[None]:
    """An emulator, ready; ended afterwards."""
    process = subprocess.Popen(
        [*COMMAND, "emulate", "--seed", str(seed), *map(str, argv)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready ")
        yield
    finally:
        process.terminate()
        process.communicate(timeout=LIMIT_S)


def eventually(ask: Callable[[], T], good: Callable[[T], bool]) -> T:
    """The first answer that is good, or the last within ``LIMIT_S``: emulators are late on a busy machine."""
    deadline = time.monotonic() + LIMIT_S
    answer = ask()
    while not good(answer) and time.monotonic() < deadline:
        answer = ask()
    return answer


def wait_until_set(path: Path) -> None:
    """Until the receiver of an emulated card has told its clock the time of day."""
    deadline = time.monotonic() + LIMIT_S
    while abs(request(path, {"do": "truth"})["card_error_ns"]) > 1e9:
        assert time.monotonic() < deadline, "the card's clock was not set"
        time.sleep(0.1)


def answer_of(capsys: pytest.CaptureFixture[str], *argv: str | Path | float) -> Answer:
    """What a command answers."""
    status = cli.main(list(map(str, argv)))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def facts_of(answer: Answer) -> Any:
    """The JSON of a command that did what it was told."""
    status, out, err = answer
    assert (status, err) == (0, ""), answer
    return json.loads(out)
