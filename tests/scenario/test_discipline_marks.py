"""How fast: to a steady phase from a cold prior, to lock after a restart, back from a long holdover."""

from __future__ import annotations

import json

import numpy as np
import pytest

from appliance.timescale.discipline import Discipline
from tests.scenario.discipline_worlds import during, errors, first, loop, names, violations, world


def test_phase_is_steady_within_ten_minutes_of_a_cold_prior() -> None:
    """The oscillator is warm, nothing is known about it: sigma within 10 % of what an hour more gives."""
    played = loop("B", "sa53", world("sa53", 4_800, seed=3, y0_ppb=6.0), loop_clock_error_ns=30_000.0)
    rows = played.play(4_500)
    sigmas = [row.snapshot.offset_sigma_ns for row in rows]
    begun = first(rows, "acquiring")
    steady, early = sigmas[-1], sigmas[begun + 600]
    assert steady is not None
    assert early is not None
    assert early <= 1.1 * steady
    assert violations(rows) == []


def test_after_a_restart_of_core_locked_within_a_minute() -> None:
    """The card's clock went on; core was away for twenty seconds."""
    played = loop("B", "sa53", world("sa53", 2_400, seed=4, y0_ppb=6.0))
    played.play(1_800)
    record = json.loads(json.dumps(played.discipline.runtime_record(played.mono_ns(1_800.0))))
    played.second += 20
    played.discipline = Discipline(played.config, played.mono_ns(float(played.second)), record)
    rows = played.play(300)
    assert names(rows) == ["holdover", "recovering", "locked"]
    assert first(rows, "locked") - rows[0].second <= 60
    assert violations(rows) == []


@pytest.mark.parametrize(
    ("topology", "oscillator", "error_ns", "stepped"),
    [
        ("B", "sa53", 500.0, False),
        ("B", "sa53", -500.0, False),
        ("C", "ocxo", 22_000.0, False),
        # 20 ppb cannot bring 22 us back in time: the policy's step, as a new epoch.
        ("B", "sa53", -22_000.0, True),
    ],
)
def test_back_from_a_long_holdover_within_a_quarter_of_an_hour(
    topology: str, oscillator: str, error_ns: float, stepped: bool
) -> None:
    """Off by what a day costs, and a slew does not undershoot by 5 ns.

    The outage is short here: its uncertainty is put into the filter as a day would have.
    """
    made = world(oscillator, 3_400, seed=8, y0_ppb=2.0)
    played = loop(topology, oscillator, made, step_limit_ns=10_000.0 if stepped else 50_000.0)
    played.play(1_800)
    played.play(30, during(1_800, 1_830, fix_ok=False, pulse=False))
    tracker = played.discipline.pilot.tracker
    assert tracker is not None
    tracker.estimator.open_frequency(0.0, abs(error_ns) / 2.0)
    played.move_clock(round(error_ns))
    rows = played.play(1_500)
    offset = errors(rows) * np.sign(error_ns)
    settled = int(np.flatnonzero(np.abs(offset) > 5.0)[-1]) + 1
    assert settled <= 900, "counted from the first pulse of the reference that is back"
    # A step is decided while the slew is on: until the steering has followed, the clock still runs at 20 ppb.
    assert offset.min() >= (-60.0 if stepped else -5.0), "undershoot"
    assert rows[-1].state.value == "locked"
    assert len({row.snapshot.epoch for row in rows}) == (2 if stepped else 1)
    assert violations(rows) == []
