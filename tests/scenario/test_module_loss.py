"""An SA5X that restarts or falls silent: from the moment at which that shows, the bound holds.

Until then nobody can know, and the clock leaves its bound by what an unlocked part does meanwhile. Here the
loop goes on each second while a question to the module waits for its answer, as with threads.
"""

from __future__ import annotations

from typing import Any, Final

import pytest

from appliance.config import Config
from appliance.simulate import build
from timecard.timescale import NS_PER_S

CALIBRATED: Final = Config.model_validate(
    {
        "delays": [
            {
                "segment": segment,
                "value_ns": 0,
                "uncertainty_ns": 1,
                "origin": "measured",
                "compensated_by": "software",
            }
            for segment in ("antenna", "antenna-cable")
        ]
    }
)
SLICE_S: Final = 0.05
SHOWS_S: Final = 3.2
"""Reports come each second; after two without one, at the next tick, the module counts as not locked."""
UNLOCKED_PPB: Final = 45.0
"""What an SA5X of this seed is off without its lock, and a little more."""


@pytest.mark.parametrize(
    ("fault", "arguments"),
    [
        ("mac-reset", {}),
        pytest.param("mac-power-cut", {"off_s": 0.001}, marks=pytest.mark.full),
        pytest.param("mac-silent", {}, marks=pytest.mark.full),
        ("mac-unlock", {}),
    ],
)
def test_the_bound_holds_from_the_moment_at_which_it_shows(fault: str, arguments: dict[str, Any]) -> None:
    simulation = build(CALIBRATED, seed=2)
    simulation.run_s(200)
    virtual, engine = simulation.virtual, simulation.engine
    timebase, discipline = virtual.timebase, engine.discipline
    pause = timebase.sleep_s
    others = [runner for runner in simulation.assembly.runners if runner.name != "oscillator"]
    seen: list[tuple[float, float, float | None, bool]] = []
    started_ns = next_tick_ns = timebase.mono_ns()

    def sleep_s(seconds: float) -> None:
        nonlocal next_tick_ns
        while seconds > 0:
            pause(min(SLICE_S, seconds))
            seconds -= SLICE_S
            now_ns = timebase.mono_ns()
            if now_ns >= next_tick_ns:
                next_tick_ns = now_ns + NS_PER_S
                for runner in others:
                    for event in runner.step():
                        engine.take(event)
                engine.tick()
            bound_ns = discipline.snapshot(now_ns).bound_at_ns(now_ns)
            error_ns = abs(virtual.truth().card_error_ns)
            at_s, locked = (now_ns - started_ns) / NS_PER_S, discipline.module.locked is True
            seen.append((at_s, error_ns, bound_ns, locked))

    timebase.sleep_s = sleep_s  # type: ignore[method-assign]  # the module's questions wait here
    virtual.inject(fault, **arguments)
    simulation.run_s(20)

    shows_s = next(at_s for at_s, _, _, locked in seen if not locked)
    assert shows_s < SHOWS_S
    for at_s, error_ns, bound_ns, locked in seen:
        if bound_ns is not None and error_ns > bound_ns:
            assert locked and at_s <= shows_s, (
                f"{error_ns - bound_ns:.0f} ns outside {at_s - shows_s} s after"
            )
            assert error_ns - bound_ns <= UNLOCKED_PPB * at_s
