"""``make bench-analyse``: a day of seconds through ``time-appliance analyse``, all masks, JSON, one core.

White frequency noise and white phase noise, written as a user's file has it: time and value in text. The
command runs as a child, on one core where the system lets us choose, so that start-up and reading count.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from bench.result import write

DAY_S = 86_400
LIMIT_S = 60.0
MASKS = ("PRTC-A", "PRTC-B", "ePRTC")


def write_day(path: Path) -> None:
    """About what a rubidium does while it follows GNSS."""
    rng = np.random.default_rng(8)
    phase_ns = 0.02 * np.cumsum(rng.normal(size=DAY_S)) + rng.normal(size=DAY_S)
    rows = "".join(f"{1_800_000_000 + k},{x:.4f}\n" for k, x in enumerate(phase_ns))
    path.write_text("unix_s,offset_ns\n" + rows, encoding="ascii")


def one_core() -> None:
    """Stay on one of the cores that we have."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def measured(arguments: list[str]) -> tuple[float, float, str]:
    """CPU and wall seconds of a child, and its standard output."""
    before, began = os.times(), os.times().elapsed
    result = subprocess.run(arguments, stdout=subprocess.PIPE, text=True, check=False, preexec_fn=one_core)
    after = os.times()
    if result.returncode not in (0, 1):
        sys.exit(f"bench-analyse: {arguments[1:3]} ended with {result.returncode}")
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return cpu_s, after.elapsed - began, result.stdout


def main() -> int:
    command = [sys.executable, "-c", "from api.main import main; main()", "analyse"]
    masks = [word for name in MASKS for word in ("--mask", name)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "day.csv"
        write_day(path)
        cpu_s, wall_s, output = measured([*command, str(path), *masks, "--json"])
        many_s, _, _ = measured([*command, str(path), *masks, "--json", "--tau", "many"])
        plot_s, _, _ = measured([*command, str(path), *masks, "--plot", str(Path(folder) / "day.png")])
    document = json.loads(output)
    assert document["samples"] == DAY_S, document["samples"]
    metrics = {
        "samples": float(DAY_S),
        "octave_cpu_s": round(cpu_s, 2),
        "octave_wall_s": round(wall_s, 2),
        "many_taus_cpu_s": round(many_s, 2),
        "with_plot_cpu_s": round(plot_s, 2),
    }
    limits = {name: ("<=", LIMIT_S) for name in metrics if name.endswith("_s")}
    path = write("analyse", metrics, limits)
    print(path.read_text(encoding="utf-8"))
    return 0 if all(metrics[name] <= LIMIT_S for name in limits) else 1


if __name__ == "__main__":
    sys.exit(main())
