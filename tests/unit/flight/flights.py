"""Flights that the tests of the recorder share: a closed loop in a model world, written down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from appliance.flight.files import Limits, numbered
from appliance.flight.recorder import FlightRecorder, RecordedDiscipline
from appliance.flight.writer import FlightWriter
from appliance.timescale.discipline_config import DisciplineConfig
from tests.scenario.discipline_worlds import ACTUATOR_PPB, Script, world
from tests.unit.timescale.closed_loop import ClosedLoop, World

WIDE = Limits(file_bytes=1 << 30, file_s=1e9, total_bytes=1 << 40)


def recorder(directory: Path, limits: Limits = WIDE, *, threaded: bool = False) -> FlightRecorder:
    """A recorder that writes in place unless it is to have its thread."""
    return FlightRecorder(FlightWriter(directory, limits, threaded=threaded), {"card": "emulated"})


def recorded_loop(
    flight: FlightRecorder,
    topology: str = "B",
    oscillator: str = "sa53",
    made: World | None = None,
    *,
    seconds: int = 1_000,
    begin: dict[str, Any] | None = None,
    start_s: int = 0,
    **options: Any,
) -> ClosedLoop:
    """A recorded discipline on a world of its own; ``start_s`` is the second in which it begins."""
    options.setdefault("actuator_max_ppb", ACTUATOR_PPB[topology])
    config = DisciplineConfig(topology=topology, oscillator_model=oscillator, **options)  # type: ignore[arg-type]  # tests' parameters
    made = made or world(oscillator, seconds, y0_ppb=1.3)
    discipline = RecordedDiscipline(flight, config, ClosedLoop.mono_ns(float(start_s)), **(begin or {}))
    played = ClosedLoop(made, config, discipline=discipline)
    played.second = start_s
    return played


def fly(directory: Path, seconds: int, script: Script | None = None, **options: Any) -> list[Path]:
    """A whole flight; its files, oldest first."""
    flight = recorder(directory, options.pop("limits", WIDE))
    recorded_loop(flight, seconds=seconds, **options).play(seconds, script)
    flight.close()
    return files(directory)


def files(directory: Path) -> list[Path]:
    """Flight records there, oldest first."""
    return [path for _, path in numbered(directory)]
