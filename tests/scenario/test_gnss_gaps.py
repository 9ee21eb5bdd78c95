"""GNSS gaps that a rubidium bridges: readiness stays, nothing steps, and the bound holds, in virtual time.

Gaps of 5 s, 60 s and 10 min, with an SA5X that is steered (topology B) and one that follows the pulse by
itself (topology A). A daemon that judges readiness by how long it has been locked needs two hours to be ready
again after the loss of a few pulses; here the filter's covariance says what a gap has cost. The emulator
tells the truth every second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pytest

from appliance.config import Config
from appliance.config_models import TimescaleConfig
from appliance.simulate import Simulation, build
from appliance.simulation_report import Row
from appliance.snapshot import ClockState

S = ClockState
GAPS_S: Final = (5, 60, 600)
BACK_S: Final = 300
"""After the last second of a gap the clock is locked again, with everything settled."""
MAX_ERROR_NS: Final = 8.0
MAX_STEP_NS: Final = 0.3
"""Between two seconds: noise of the oscillator, and a slew of less than 0.1 ns/s."""
MAX_SLEW_NS: Final = TimescaleConfig().recovery_slew_ns_per_s + MAX_STEP_NS
"""Between two seconds while what a gap has cost is taken back: the policy's slew, and noise."""


@dataclass
class Played:
    """A run with its gaps."""

    simulation: Simulation
    gaps: list[tuple[float, int]] = field(default_factory=list)
    """(begin, length), s."""
    pulse_ns: list[float] = field(default_factory=list)
    """Each second: how late the module's own pulse is."""
    modes: list[str] = field(default_factory=list)
    """Each second: who closes the loop."""

    @property
    def rows(self) -> list[Row]:
        return self.simulation.recorder.rows

    def run_s(self, seconds: float) -> None:
        end_s = self.simulation.elapsed_s + seconds
        while self.simulation.elapsed_s < end_s:
            self.simulation.cycle()
            card: Any = self.simulation.virtual
            second = round(card.truth().true_tai_ns / 1e9 - 0.5)
            self.pulse_ns.append(card.card.mac.edge(second).error_ns)
            self.modes.append(self.simulation.engine.discipline.hand_over.mode.name)

    def gap(self, length_s: int, fault: str) -> None:
        self.gaps.append((self.simulation.elapsed_s, length_s))
        self.simulation.virtual.inject(fault, seconds=length_s)
        self.run_s(length_s)

    def between(self, begin_s: float, end_s: float) -> list[Row]:
        return [row for row in self.rows if begin_s <= row.t_s < end_s]


def play(topology: str, duration_s: int, settle_s: int, faults: tuple[str, ...], seed: int) -> Played:
    """A day, or a short one, with gaps spread over it evenly; each kind of gap with each fault in turn."""
    config = Config.model_validate({"timescale": {"topology": topology}})
    played = Played(build(config, seed=seed))
    played.run_s(settle_s)
    kinds = [(length_s, fault) for fault in faults for length_s in GAPS_S]
    spacing_s = (duration_s - settle_s) / len(kinds)
    for length_s, fault in kinds:
        begin_s = played.simulation.elapsed_s
        played.gap(length_s, fault)
        played.run_s(begin_s + spacing_s - played.simulation.elapsed_s)
    return played


def figures(played: Played, settle_s: float) -> Mapping[str, Any]:
    """What is asserted, and what the record shows."""
    rows = played.between(settle_s, np.inf)
    error = np.array([row.error_ns for row in rows])
    returns = [
        np.array(
            [row.error_ns for row in played.between(begin_s + length_s - 5, begin_s + length_s + BACK_S)]
        )
        for begin_s, length_s in played.gaps
    ]
    return {
        "seconds": len(rows),
        "ready": sum(row.ready for row in rows),
        "max_error_ns": float(np.max(np.abs(error))),
        "std_ns": float(np.std(error)),
        "max_step_ns": float(np.max(np.abs(np.diff(error)))),
        "max_step_at_return_ns": float(max(np.max(np.abs(np.diff(errors))) for errors in returns)),
        "claimed": sum(row.bound_ns is not None for row in rows),
        "violations": sum(row.bound_ns is None or abs(row.error_ns) > row.bound_ns for row in rows),
        "max_bound_ns": max(row.bound_ns or np.inf for row in rows),
    }


def check(played: Played, settle_s: int) -> None:
    found = figures(played, settle_s)
    print(f"\ntopology {played.simulation.assembly.topology}: {found}")
    assert found["ready"] == found["seconds"], "readiness was lost"
    assert found["violations"] == 0
    assert found["max_error_ns"] < MAX_ERROR_NS
    assert found["max_step_ns"] < MAX_SLEW_NS
    assert found["max_bound_ns"] < 100.0
    assert played.simulation.engine.discipline.epoch == 1, "the clock is stepped once, at the start"
    for begin_s, length_s in played.gaps:
        during = {row.state for row in played.between(begin_s, begin_s + length_s)}
        if length_s >= 60:
            assert S.HOLDOVER in during, "the gap was not seen"
        assert {row.state for row in played.between(begin_s, np.inf)} <= {S.LOCKED, S.HOLDOVER, S.RECOVERING}
        assert played.between(begin_s, begin_s + length_s + BACK_S)[-1].state is S.LOCKED


def check_hand_over(played: Played, settle_s: int) -> None:
    """Topology A: the module follows, is taken over in each gap and follows again; its pulse never jumps."""
    modes, rows = played.modes, played.rows
    at = {round(row.t_s): mode for row, mode in zip(rows, modes, strict=True)}
    for begin_s, length_s in played.gaps:
        assert at[round(begin_s)] == "PART"
        if length_s >= 60:
            assert {at[round(begin_s) + s] for s in range(5, length_s)} == {"OURS"}
        back = [at.get(round(begin_s) + length_s + s) for s in range(BACK_S)]
        assert "PART" in back, "the module was not handed back"
    counters = played.simulation.engine.discipline.counters
    assert counters["hand_overs"] == counters["take_overs"] + 1
    pulse_ns = np.array(
        [late for row, late in zip(rows, played.pulse_ns, strict=True) if row.t_s >= settle_s]
    )
    steps_ns = np.abs(np.diff(pulse_ns))
    assert np.max(steps_ns) < MAX_SLEW_NS, "the module's pulse was jam-synced"
    settled = [mode for row, mode in zip(rows, modes, strict=True) if row.t_s >= settle_s]
    handed = [k for k in range(1, len(settled)) if settled[k] != settled[k - 1]]
    assert max(steps_ns[max(k - 2, 0) : k + 3].max() for k in handed) < MAX_STEP_NS, "a step at a hand-over"


SHORT_SETTLE_S: Final = 1200
SHORT_S: Final = 5400
DAY_S: Final = 86_400
DAY_SETTLE_S: Final = 3600


@pytest.mark.parametrize("topology", ["A", "B"])
def test_gaps_cost_nothing(topology: str) -> None:
    played = play(topology, SHORT_S, SHORT_SETTLE_S, ("antenna-cut",), seed=3)
    check(played, SHORT_SETTLE_S)
    if topology == "A":
        check_hand_over(played, SHORT_SETTLE_S)


@pytest.mark.full
@pytest.mark.parametrize("seed", [3, 8])
@pytest.mark.parametrize("topology", ["A", "B"])
def test_a_day_with_gaps(topology: str, seed: int) -> None:
    played = play(topology, DAY_S, DAY_SETTLE_S, ("antenna-cut", "pps-stop", "jam"), seed=seed)
    check(played, DAY_SETTLE_S)
    if topology == "A":
        check_hand_over(played, DAY_SETTLE_S)


@pytest.mark.parametrize(
    ("fault", "arguments"),
    [("pps-glitch", {}), ("pps-step", {"late_ns": 60}), ("pps-step", {"late_ns": 500})],
)
def test_a_wrong_pulse_is_not_followed_by_the_modules_loop(fault: str, arguments: dict[str, int]) -> None:
    """Below the module's phase limit and above it: we take over before its loop has moved the clock."""
    played = Played(build(Config.model_validate({"timescale": {"topology": "A"}}), seed=4))
    played.run_s(900)
    assert played.modes[-1] == "PART"
    begin_s = played.simulation.elapsed_s
    played.simulation.virtual.inject(fault, seconds=30, **arguments)
    played.run_s(300)
    rows = played.between(begin_s, np.inf)
    error = np.array([row.error_ns for row in rows])
    assert np.max(np.abs(np.diff(error))) < MAX_STEP_NS
    assert np.max(np.abs(error)) < MAX_ERROR_NS
    assert all(row.bound_ns is not None and abs(row.error_ns) <= row.bound_ns for row in rows)
    assert played.modes[-1] == "PART", "handed back"
    assert ("OURS" in played.modes[-300:]) == (fault == "pps-step")


def test_a_gap_that_wears_the_knowledge_out_costs_readiness() -> None:
    """An OCXO ages and wanders: hours without a reference spend half of its budget, and that is said."""
    named = Config.model_validate({"timescale": {"oscillator_model": "ocxo"}})
    simulation = build(named, seed=3, mac="none", oscillator="ocxo")
    simulation.run_s(2400)
    assert simulation.recorder.rows[-1].ready
    simulation.virtual.inject("antenna-cut")
    simulation.run_s(60)
    assert simulation.recorder.rows[-1].ready
    now_ns = simulation.virtual.timebase.mono_ns
    for _ in range(12):
        simulation.run_s(900)
        if not simulation.recorder.rows[-1].ready:
            break
    snapshot = simulation.engine.discipline.snapshot(now_ns())
    assert snapshot.state is S.HOLDOVER
    assert not snapshot.holdover_ready
    assert any("half of the budget" in text or "known to" in text for text in snapshot.not_ready_reasons)
