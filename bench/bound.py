"""``make bench-bound``: how long a program waits for the time, from C and from Python, while it is written.

A process of its own writes the page a thousand times a second, a hundred times as often as the daemon. Times
are from before the call to after it, with the reading of the clock that measures them. Then a hundred million
copies of a page in which every word follows from the number of the write: the first one that mixes two writes
ends it.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from appliance.bound.layout import Plane
from appliance.bound.reader import BoundReader
from bench.result import ROOT, write

NATIVE = ROOT / "appliance" / "bound" / "native"
DRIVER = ROOT / "tests" / "native" / "bound_driver.c"
WRITE_PERIOD_US = 1000
ROUNDS = 5
C_READS = 2_000_000
PYTHON_READS = 200_000
COPIES = 100_000_000


def build(folder: Path) -> Path:
    """The driver of the tests, as a user's compiler would build it."""
    program = folder / "driver"
    sources = [DRIVER, NATIVE / "time_bound.c", NATIVE / "page_writer.c"]
    command = ["gcc", "-std=c11", "-O2", f"-I{NATIVE}", f"-I{DRIVER.parent}", *map(str, sources)]
    subprocess.run([*command, "-o", str(program)], check=True)
    return program


def measured(program: Path, *arguments: str | Path) -> dict[str, float]:
    """What the driver counted; ``CalledProcessError`` when it found something wrong."""
    command = [str(program), *map(str, arguments)]
    result: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return result


def python_times_ns(path: Path) -> list[int]:
    """Sorted durations of ``BoundReader.now``."""
    reader, clock = BoundReader(path), time.perf_counter_ns
    times = []
    for _ in range(PYTHON_READS):
        began_ns = clock()
        reader.now(Plane.HOST)
        times.append(clock() - began_ns)
    return sorted(times)


def read_times(program: Path, path: Path) -> dict[str, float]:
    """Medians over the rounds: one that the machine disturbed does not decide."""
    command = [str(program), "serve", str(path), str(WRITE_PERIOD_US)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        in_c = [measured(program, "latency", path, str(C_READS)) for _ in range(ROUNDS)]
        in_python = [python_times_ns(path) for _ in range(ROUNDS)]
        writer.kill()
    metrics = {
        f"c_{name}": statistics.median(each[name] for each in in_c)
        for name in ("median_ns", "p99_ns", "p999_ns", "clock_ns")
    }
    for name, share in (("median_us", 0.5), ("p99_us", 0.99), ("p999_us", 0.999)):
        at = int(share * PYTHON_READS)
        metrics[f"python_{name}"] = statistics.median(times[at] / 1000 for times in in_python)
    metrics["refused"] = sum(each["refused"] for each in in_c)
    return metrics


def main() -> int:
    if shutil.which("gcc") is None:
        sys.stderr.write("bench.bound: gcc is needed to build the reader in C\n")
        return 2
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = build(folder)
        metrics = read_times(program, folder / "page")
        counted = measured(program, "torn", folder / "words", str(COPIES), str(WRITE_PERIOD_US))
    metrics |= {"copies": COPIES, "torn": 0, "writes_seen": counted["changes"]}
    write(
        "bound",
        metrics,
        {
            "c_p99_ns": ("<=", 200),
            "python_p99_us": ("<=", 5),
            "refused": ("<=", 0),
            "torn": ("<=", 0),
        },
    )
    print(
        f"bound read at 1 kHz of writes: C {metrics['c_median_ns']:.0f} ns, p99 {metrics['c_p99_ns']:.0f} ns;"
        f" Python {metrics['python_median_us']:.2f} us, p99 {metrics['python_p99_us']:.2f} us;"
        f" no torn one in {COPIES:.0e}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
