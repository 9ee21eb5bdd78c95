"""A day's flight record of the emulated card: its size, what writing it takes, its replay to the last bit."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from appliance import simulate
from appliance.config_models import Config, FlightConfig
from appliance.flight.decision import VOCABULARY
from appliance.flight.files import numbered
from appliance.flight.reader import FlightFile
from appliance.flight.recorder import open_flight
from appliance.flight.replay import replay
from appliance.flight.shapes import Packer
from bench.result import write

DAY_H = 24.0
LIMIT_S = 60.0
OUTAGE_S = 3_600.0


def fly(directory: Path, seconds: float) -> Path:
    """A flight with an hour without GNSS in its middle."""
    flight = open_flight(FlightConfig(file_hours=168.0), directory, threaded=False, card="emulated")
    assert flight is not None
    simulation = simulate.build(Config(), flight=flight, seed=7)
    simulation.run_s(seconds / 2)
    simulation.virtual.inject("antenna-cut", seconds=min(OUTAGE_S, seconds / 4))
    simulation.run_s(seconds / 2)
    flight.close()
    (only,) = (path for _, path in numbered(directory))
    return only


def packing_s(path: Path) -> float:
    """CPU time of packing all values of a file again: what the main loop spends on it."""
    packer, spent_s = Packer(VOCABULARY), 0.0
    with FlightFile(path) as file:
        for value in file.values():
            begun = time.process_time()
            packer.pack(value)
            spent_s += time.process_time() - begun
    return spent_s


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=DAY_H)
    hours = parser.parse_args().hours
    with tempfile.TemporaryDirectory() as directory:
        path = fly(Path(directory), hours * 3_600.0)
        size = path.stat().st_size
        begun = time.process_time()
        found = replay(path)
        replay_s = time.process_time() - begun
        packing_ms = packing_s(path) / found.duration_s * 1e3
    days = DAY_H / hours
    metrics = {
        "hours": hours,
        "events": found.events,
        "differing": found.differing,
        "replay_of_a_day_cpu_s": replay_s * days,
        "file_of_a_day_mib": size * days / (1 << 20),
        "packing_ms_per_s": packing_ms,
    }
    write("replay", metrics, {"differing": ("<=", 0), "replay_of_a_day_cpu_s": ("<=", LIMIT_S)})
    print(
        f"{hours:g} h, {found.events} events: {'identical' if not found.differing else 'DIFFERENT'}; a day is"
        f" replayed in {replay_s * days:.0f} s of CPU, takes {size * days / (1 << 20):.1f} MiB and"
        f" {packing_ms:.2f} ms a second to pack"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
