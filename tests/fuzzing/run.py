"""All targets, and one input to one of them: what is not an error of ours is a finding."""

from __future__ import annotations

import contextlib
import random
import signal
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from tests.fuzzing.file_targets import FILE_TARGETS
from tests.fuzzing.gnss_targets import GNSS_TARGETS
from tests.fuzzing.mac_targets import MAC_TARGETS
from tests.fuzzing.mutate import Corpus
from tests.unit.gnss.rated_wire import wire_to

TARGETS = {**GNSS_TARGETS, **MAC_TARGETS, **FILE_TARGETS}
EMULATED_S = 12
MAX_INPUT_S = 60
"""Wall clock of one input in a long run: only what never ends takes so long."""


@dataclass
class Tally:
    """What became of one target's inputs."""

    inputs: int = 0
    given_bytes: int = 0
    findings: dict[str, str] = field(default_factory=dict)
    """Where it happened, to the first input that showed it and the traceback."""


def make_corpus(recordings: Path | None) -> Corpus:
    """Frames of emulated receivers, and of the recordings if they are there."""
    corpus = Corpus()
    for kind in ("f9t", "m8t", "mosaic", "nmea"):
        wire = wire_to(kind)
        heard = b""
        for _ in range(EMULATED_S):
            wire.time.sleep_s(1.0)
            heard += wire.read(100_000, 0.0)
        corpus.add_stream(heard)
    if recordings is not None:
        corpus.add_recordings(recordings)
    return corpus


def run_input(name: str, seed: int, number: int, corpus: Corpus) -> int:
    """Make input ``number`` of a target and hand it over; returns its bytes, raises what was found."""
    return TARGETS[name](random.Random(f"{name}/{seed}/{number}"), corpus)


def try_input(name: str, seed: int, number: int, corpus: Corpus, tally: Tally) -> None:
    """As ``run_input``, counted; a finding is kept once per place."""
    tally.inputs += 1
    try:
        with _alarm():
            tally.given_bytes += run_input(name, seed, number, corpus)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what we are looking for
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if "/timecard/" in frame.filename] or frames
        place = f"{type(error).__name__} at {Path(ours[-1].filename).name}:{ours[-1].lineno}"
        text = f"--target {name} --seed {seed} --input {number}\n{traceback.format_exc()}"
        tally.findings.setdefault(place, text)


@contextlib.contextmanager
def _alarm() -> Iterator[None]:
    """Turns an endless loop into a finding."""

    def too_long(_: int, __: FrameType | None) -> None:
        raise AssertionError(f"no end after {MAX_INPUT_S} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(MAX_INPUT_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
