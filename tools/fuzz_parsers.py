"""Feed every parser and dialogue with spoilt input for some minutes, and say what was found.

``python -m tools.fuzz_parsers --minutes 10``; the same seed makes the same inputs. ``--target NAME`` with
``--input N`` repeats one of them. The recordings are taken from the folder that ``TIMECARD_SHARED`` names, if
it is there.
"""

from __future__ import annotations

import argparse
import logging
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from tests.fuzzing.mutate import Corpus
from tests.fuzzing.run import TARGETS, Tally, make_corpus, run_input, try_input

SHARED_DEFAULT = Path(__file__).resolve().parents[2] / "shared"
TURN_S = 2.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", choices=sorted(TARGETS), action="append")
    parser.add_argument("--input", type=int, help="repeat this input of the only target")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    recordings = Path(os.environ.get("TIMECARD_SHARED", SHARED_DEFAULT)) / "data" / "gnss"
    corpus = make_corpus(recordings if recordings.is_dir() else None)
    names = arguments.target or list(TARGETS)
    if arguments.input is not None:
        run_input(names[0], arguments.seed, arguments.input, corpus)
        return 0
    begun = datetime.now(UTC)
    tallies = fuzz(names, arguments.seed, arguments.minutes * 60, corpus)
    print("\n".join(report(tallies, arguments.seed, begun, corpus)))
    return 1 if any(tally.findings for tally in tallies.values()) else 0


def fuzz(names: Iterable[str], seed: int, seconds: float, corpus: Corpus) -> dict[str, Tally]:
    """Each target in turn, for the same time."""
    tallies = {name: Tally() for name in names}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for name, tally in tallies.items():
            turn_end = min(end, time.monotonic() + TURN_S)
            while time.monotonic() < turn_end:
                try_input(name, seed, tally.inputs, corpus, tally)
    return tallies


def report(tallies: dict[str, Tally], seed: int, begun: datetime, corpus: Corpus) -> list[str]:
    """The record, as Markdown."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    ).stdout.strip()
    minutes = (datetime.now(UTC) - begun).total_seconds() / 60
    lines = [
        f"## {begun:%Y-%m-%d %H:%M} UTC, seed {seed}",
        "",
        f"{minutes:.1f} minutes, {len(corpus.frames)} different frames to begin with, "
        f"commit {commit or 'unknown'}, {platform.platform()} Python {platform.python_version()}.",
        "",
        "| target | inputs | kB | findings |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, tally in tallies.items():
        lines.append(f"| {name} | {tally.inputs} | {tally.given_bytes // 1000} | {len(tally.findings)} |")
    inputs = sum(tally.inputs for tally in tallies.values())
    given = sum(tally.given_bytes for tally in tallies.values())
    count = sum(len(tally.findings) for tally in tallies.values())
    lines += [f"| all | {inputs} | {given // 1000} | {count} |", ""]
    for name, tally in tallies.items():
        for place, text in tally.findings.items():
            lines += [f"### {name}: {place}", "", "```", text.rstrip(), "```", ""]
    return lines


if __name__ == "__main__":
    sys.exit(main())
