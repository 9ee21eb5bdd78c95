"""The published scheme: its number, its virtues, and the two things that it cannot do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from appliance.ensemble.chauvenet import D_MAX, ChauvenetScheme, ChauvenetWindow, d_max
from tests.scenario.ensemble_worlds import SCENARIOS, play, read_world, rms, sources
from tests.unit.timescale.clock_data import expected, folder


def test_the_published_cut_off_is_that_of_400_samples(shared_dir: Path) -> None:
    assert pytest.approx(3.2272184) == D_MAX
    assert pytest.approx(expected(shared_dir)["ensemble"]["dmax_400"]) == D_MAX
    assert d_max(30) < D_MAX
    with pytest.raises(ValueError, match="0 samples"):
        d_max(0)


def _window(seed: int) -> tuple[ChauvenetWindow, np.random.Generator]:
    rng = np.random.default_rng(seed)
    window = ChauvenetWindow()
    assert {window.accepts(float(x)) for x in 3.0 * rng.standard_normal(400)} == {None}
    return window, rng


def test_a_healthy_clock_is_rejected_by_design_now_and_then() -> None:
    """0.14 % of the samples: every 12 minutes at 1 Hz."""
    window, rng = _window(1)
    rejected = sum(not window.accepts(float(x)) for x in 3.0 * rng.standard_normal(40_000))
    assert 30 <= rejected <= 85


@pytest.mark.parametrize("step_ns", [100.0, 1e4, 1e9])
def test_a_step_of_any_size_is_accepted_again_after_some_36_samples(step_ns: float) -> None:
    """At a share f of the window with (1 - f) / f = D^2 the step has widened its own limit enough."""
    window, rng = _window(2)
    verdicts = [window.accepts(step_ns + float(x)) for x in 3.0 * rng.standard_normal(400)]
    assert not any(verdicts[:30])
    first = verdicts.index(True)
    assert 30 <= first <= 38
    assert all(verdicts[first + 5 : first + 60])


@pytest.mark.parametrize("slope", [0.01, 1.0, 1000.0])
def test_a_steady_ramp_is_never_seen_however_steep(slope: float) -> None:
    rng = np.random.default_rng(5)
    window = ChauvenetWindow()
    values = slope * np.arange(4000.0) + 3.0 * rng.standard_normal(4000)
    verdicts = [window.accepts(float(value)) for value in values]
    assert sum(verdict is False for verdict in verdicts) <= 20
    if slope >= 1.0:
        assert False not in verdicts, "newest minus mean is sqrt(3) standard deviations of a ramp"


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_scenario_files_give_the_known_figures(shared_dir: Path, scenario: str) -> None:
    world = read_world(folder(shared_dir), scenario)
    played = play(ChauvenetScheme(sources(world.names)), world)
    golden = expected(shared_dir)["ensemble"]["cases"][scenario]
    after = played.after(world.onset_s)
    # The figures were made before the readings were rounded to 10 ps.
    assert rms(after) == pytest.approx(golden["chauvenet_invvar"]["rms_after_ns"], abs=0.011)
    assert np.abs(after).max() == pytest.approx(golden["chauvenet_invvar"]["max_abs_after_ns"], abs=0.011)
    assert {int(name[1:]) for name in played.evicted} == set(golden["chauvenet_clocks_expelled"])


def test_a_step_of_our_own_clock_is_no_fault_of_the_others() -> None:
    window, rng = _window(3)
    window.stepped(1e6)
    assert all(window.accepts(1e6 + float(x)) for x in rng.standard_normal(50))
