"""Worlds, faults and questions that the discipline's scenarios share."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from appliance.events import StepClock
from appliance.timescale.clock_quality import ACCURACY_NS, clock_quality
from appliance.timescale.discipline_config import DisciplineConfig
from appliance.timescale.models import GNSS, OSCILLATORS
from tests.unit.timescale.closed_loop import Array, ClosedLoop, Row, Second, World, make_world

Script = Callable[[int, Second], None]

ACTUATOR_PPB = {"B": 20.0, "C": 100_000.0, "D": 20.0}


def world(
    oscillator: str,
    seconds: int,
    *,
    seed: int = 1,
    y0_ppb: float = 0.0,
    extra_ppb: Callable[[Array], Array] | None = None,
) -> World:
    """A model world with a constant frequency offset and, if wanted, a frequency course of its own."""
    made = make_world(OSCILLATORS[oscillator], GNSS["f9t_dual"], seconds + 5, seed)
    t = np.arange(len(made), dtype=np.float64)
    course = np.full(len(made), y0_ppb) + (0.0 if extra_ppb is None else extra_ppb(t))
    made.phase_ns += np.concatenate(([0.0], np.cumsum(course)[:-1]))
    return made


def loop(topology: str, oscillator: str, made: World, **options: Any) -> ClosedLoop:
    """A discipline on that world; options that begin with ``loop_`` go to the closed loop."""
    outer = {k.removeprefix("loop_"): options.pop(k) for k in list(options) if k.startswith("loop_")}
    options.setdefault("actuator_max_ppb", ACTUATOR_PPB[topology])
    config = DisciplineConfig(topology=topology, oscillator_model=oscillator, **options)  # type: ignore[arg-type]  # tests' parameters
    return ClosedLoop(made, config, **outer)


def during(first: int, end: int, **facts: Any) -> Script:
    """From second ``first`` until before ``end`` these facts hold."""

    def script(second: int, now: Second) -> None:
        if first <= second < end:
            for name, value in facts.items():
                setattr(now, name, value)

    return script


def both(*scripts: Script) -> Script:
    """Several scripts at once."""

    def script(second: int, now: Second) -> None:
        for one in scripts:
            one(second, now)

    return script


def violations(rows: list[Row]) -> list[int]:
    """Seconds in which a bound was claimed and not kept."""
    return [
        row.second
        for row in rows
        if row.snapshot.bound_ns is not None and abs(row.tick_error_ns) > row.snapshot.bound_ns
    ]


def untrue(rows: list[Row], *, budget_ns: float = 1_000.0, lock_limit_ns: float = 250.0) -> list[int]:
    """Seconds in which what Announce says, accuracy or class, is better than the truth."""
    promise_ns = {6: lock_limit_ns, 7: budget_ns}
    found = []
    for row in rows:
        snapshot = row.snapshot
        said = clock_quality(
            row.state,
            snapshot.bound_wide_ns,
            card_bound_ns=snapshot.bound_ns,
            profile="meta",
            budget_ns=budget_ns,
            oscillator="rubidium",
        )
        limit_ns = min(
            dict(ACCURACY_NS).get(said.clock_accuracy, math.inf), promise_ns.get(said.clock_class, math.inf)
        )
        if abs(row.tick_error_ns) > limit_ns:
            found.append(row.second)
    return found


def names(rows: list[Row]) -> list[str]:
    """States in order, without repetition."""
    found: list[str] = []
    for row in rows:
        if not found or found[-1] != row.state.value:
            found.append(row.state.value)
    return found


def first(rows: list[Row], state: str) -> int:
    """First second in that state."""
    return next(row.second for row in rows if row.state.value == state)


def errors(rows: list[Row]) -> Array:
    """Clock minus truth just before each pulse."""
    return np.array([row.error_ns for row in rows])


def alarms(rows: list[Row]) -> set[str]:
    """Everything that was ever alarmed."""
    return {alarm for row in rows for alarm in row.snapshot.alarms}


def steps(played: ClosedLoop) -> list[int]:
    """Steps that were asked for, ns."""
    return [action.delta_ns for action in played.actions if isinstance(action, StepClock)]
