"""From nothing to locked: hot and cold, at 1970, in every topology, and again after a restart."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from appliance.events import GnssEdge, Steer, SyncOscillatorPulse, Tick
from appliance.timescale.discipline import Discipline
from tests.scenario.discipline_worlds import (
    alarms,
    during,
    errors,
    first,
    loop,
    names,
    steps,
    violations,
    world,
)
from tests.unit.timescale.closed_loop import START_TAI_S
from timecard.timescale import NS_PER_S
from timecard.values import EdgeStamp


@pytest.mark.parametrize(
    ("topology", "oscillator", "y0_ppb", "locked_within_s"),
    [
        ("B", "sa53", 10.0, 120),
        ("B", "sa53", -12.0, 120),
        ("C", "sa53", 10.0, 120),
        ("C", "ocxo", 300.0, 120),
        ("C", "tcxo", -2_500.0, 120),
        ("C", "unknown", 30_000.0, 120),
    ],
)
def test_hot_start_locks_within_two_minutes(
    topology: str, oscillator: str, y0_ppb: float, locked_within_s: int
) -> None:
    played = loop(topology, oscillator, world(oscillator, 400, y0_ppb=y0_ppb), loop_clock_error_ns=80_000.0)
    rows = played.play(400)
    assert names(rows) == ["free-run", "acquiring", "locked"]
    assert first(rows, "locked") <= locked_within_s
    assert violations(rows) == []
    settled = errors(rows)[200:]
    assert np.abs(settled).max() < (12.0 if oscillator == "unknown" else 6.0)
    assert rows[-1].snapshot.bound_ns is not None
    assert rows[-1].snapshot.bound_ns <= 100.0
    assert rows[-1].snapshot.tai_minus_utc_s == 37


def test_a_clock_at_1970_is_stepped_by_half_a_century() -> None:
    played = loop(
        "C",
        "ocxo",
        world("ocxo", 200, y0_ppb=-10.0),
        loop_clock_error_ns=-START_TAI_S * NS_PER_S + 123_456_789,
    )
    rows = played.play(200)
    assert names(rows) == ["free-run", "acquiring", "locked"]
    assert steps(played)[0] == pytest.approx(START_TAI_S * NS_PER_S - 123_456_789, abs=200)
    assert rows[-1].snapshot.epoch == len(steps(played))
    assert violations(rows) == []
    unsettled = [row for row in rows if row.state.value == "free-run"]
    assert all(row.snapshot.bound_ns is None for row in unsettled), (
        "nothing is claimed before the second is known"
    )
    assert "waiting for" in unsettled[0].snapshot.reasons[0]


def test_an_edge_latched_before_a_step_is_dropped_even_when_read_after_it() -> None:
    played = loop("C", "ocxo", world("ocxo", 60), loop_clock_error_ns=5_000_000)
    while not steps(played):
        played.play(1)
    second = played.second - 1
    stale = EdgeStamp(
        channel="ts0",
        card_tai_ns=(START_TAI_S + second) * NS_PER_S + 5_000_000,
        event_count=99,
        dropped=False,
        read_mono_ns=played.mono_ns(second + 0.7),
    )
    dropped = played.discipline.counters["edges_before_step"]
    assert played.discipline.handle(GnssEdge(stamp=stale)) == []
    assert played.discipline.counters["edges_before_step"] == dropped + 1
    assert played.discipline.pilot.tracker is None
    rows = played.play(50)
    assert rows[-1].state.value == "locked"
    assert len(steps(played)) <= 2


def test_a_cold_rubidium_is_waited_for() -> None:
    """Five minutes without lock, then a tail of 5e-11."""
    made = world("sa53", 1_500, extra_ppb=lambda t: 0.05 * np.exp(-t / 600.0))
    played = loop("B", "sa53", made)
    rows = played.play(1_500, during(0, 300, oscillator_locked=False, extra_ppb=40.0))
    assert names(rows) == ["free-run", "acquiring", "locked"]
    assert "oscillator module to lock" in rows[200].snapshot.reasons[0]
    assert rows[200].snapshot.bound_ns is None
    assert not [a for a in played.actions[:1] if isinstance(a, Steer)]
    assert 300 < first(rows, "locked") <= 420
    assert violations(rows) == []


def test_a_cold_oven_is_followed_while_it_warms() -> None:
    """200 ppb that fade with a time constant of three minutes."""
    made = world("ocxo", 1_500, y0_ppb=30.0, extra_ppb=lambda t: -200.0 * np.exp(-t / 180.0))
    played = loop("C", "ocxo", made)
    rows = played.play(1_500)
    assert names(rows) == ["free-run", "acquiring", "locked"]
    assert first(rows, "locked") <= 120
    assert violations(rows) == []
    assert np.abs(errors(rows)[120:]).max() < 10.0


def test_without_a_reference_nothing_begins() -> None:
    played = loop("C", "ocxo", world("ocxo", 60))
    rows = played.play(60, during(0, 60, fix_ok=False, satellites=0))
    assert names(rows) == ["free-run"]
    assert "no fix" in rows[-1].snapshot.reasons[0]
    assert played.actions == []


def test_topology_d_only_watches() -> None:
    """The card's servo keeps the clock on the pulse; the discipline asks for nothing."""
    made = world("ocxo", 900)
    made.phase_ns = np.random.default_rng(3).normal(0.0, 2.0, len(made))
    played = loop("D", "ocxo", made)
    rows = played.play(900, during(600, 640, fix_ok=False, pulse=False))
    assert played.actions == []
    assert names(rows) == ["free-run", "acquiring", "locked", "holdover-expired", "recovering", "locked"]
    assert violations(rows) == []
    lost = rows[610].snapshot
    assert lost.bound_ns is not None
    assert lost.bound_ns > 100_000.0, "a bare crystal holds nothing"


def test_topology_d_does_not_believe_a_clock_that_is_not_set() -> None:
    played = loop("D", "ocxo", world("ocxo", 30), loop_clock_error_ns=3.3e8)
    rows = played.play(30)
    assert names(rows) == ["free-run"]
    assert "own servo" in rows[-1].snapshot.reasons[0]


def test_the_modules_pulse_is_synchronised_once_when_it_is_far_off() -> None:
    played = loop("B", "sa53", world("sa53", 300, y0_ppb=5.0))
    played.meter_constant_ns = 4.4e8
    rows = played.play(300)
    assert sum(isinstance(action, SyncOscillatorPulse) for action in played.actions) == 1
    assert rows[-1].state.value == "locked"
    assert played.discipline.counters["samples_of_meter"] > 150


def test_a_meter_that_lies_is_alarmed_and_left_out() -> None:
    played = loop("B", "sa53", world("sa53", 900))
    played.play(400)

    def drift(second: int, _now: Any) -> None:
        played.meter_constant_ns += 40.0 if second % 2 else -35.0

    rows = played.play(200, drift)
    assert {row.state.value for row in rows} == {"locked"}
    assert "phase meter disagrees" in " ".join(alarms(rows))
    assert np.abs(errors(rows)).max() < 6.0
    rows = played.play(200)
    assert rows[-1].snapshot.alarms == ()


def test_an_actuator_that_cannot_reach_is_said_and_the_bound_stays_true() -> None:
    played = loop("B", "sa53", world("sa53", 400, y0_ppb=30.0))
    rows = played.play(400)
    assert "steering at its limit of 20 ppb" in alarms(rows)
    assert "locked" not in names(rows)
    assert violations(rows) == []


def test_restart_resumes_in_holdover_and_relocks_without_a_step() -> None:
    made = world("sa53", 3_000, y0_ppb=7.0)
    played = loop("B", "sa53", made)
    played.play(1_200)
    epoch = played.discipline.epoch
    record = json.loads(json.dumps(played.discipline.runtime_record(played.mono_ns(1_200.0))))
    played.second += 300  # nobody is there for five minutes; the steering in force goes on
    played.discipline = Discipline(played.config, played.mono_ns(float(played.second)), record)
    taken_before = len(steps(played))
    rows = played.play(600)
    assert names(rows) == ["holdover", "recovering", "locked"]
    assert rows[0].snapshot.reasons[0].startswith("resumed from the runtime record after 30")
    assert violations(rows) == []
    assert len(steps(played)) == taken_before
    assert rows[-1].snapshot.epoch == epoch
    early = rows[5].snapshot
    assert early.bound_ns is not None
    assert early.bound_ns < 120.0


@pytest.mark.parametrize("delay_ns", [276.0, -40.0])
def test_another_cable_delay_after_a_restart_is_slewed_in(delay_ns: float) -> None:
    """An operator corrects the cable delay and restarts: the reference is where it was, the clock moves."""
    played = loop("B", "sa53", world("sa53", 3_000, y0_ppb=7.0))
    played.play(1_200)
    record = json.loads(json.dumps(played.discipline.runtime_record(played.mono_ns(1_200.0))))
    played.second += 10
    played.config = replace(played.config, delay_ns=delay_ns)
    played.discipline = Discipline(played.config, played.mono_ns(float(played.second)), record)
    rows = played.play(1_000)
    assert names(rows) == ["holdover", "recovering", "locked"]
    early = rows[5].snapshot
    assert early.bound_ns is not None
    assert early.bound_ns > abs(delay_ns), "what is to be slewed is in the bound"
    assert rows[-1].error_ns == pytest.approx(delay_ns, abs=6.0)
    assert "reference is back but not believed" not in alarms(rows)
    assert len(steps(played)) == 1
    assert rows[-1].snapshot.epoch == record["epoch"]


def test_commands_that_the_record_may_have_missed_widen_the_bound() -> None:
    """In a recovery the steering changes: after the end it may be another than the one on record."""
    made = world("sa53", 1_500, y0_ppb=7.0)
    played = loop("B", "sa53", made)
    played.play(900)
    calm = played.discipline.runtime_record(played.mono_ns(900.0))
    assert calm["steering_spread_ppb"] < 0.1
    bounds = []
    for spread_ppb in (0.0, 1.0):
        record = calm | {"steering_spread_ppb": spread_ppb}
        resumed = Discipline(played.config, played.mono_ns(1_000.0), record)
        resumed.handle(Tick(mono_ns=played.mono_ns(1_000.0), card_tai_ns=(START_TAI_S + 1_000) * NS_PER_S))
        bound_ns = resumed.snapshot(played.mono_ns(1_000.0)).bound_ns
        assert bound_ns is not None
        bounds.append(bound_ns)
    assert bounds[1] - bounds[0] == pytest.approx(3.29 * 100.0, rel=0.05)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"version": 0}, "version is 0"),
        ({"topology": "B"}, "topology is 'B'"),
        ({"tracker": None}, "before the first lock"),
        ({"mono_ns": "now"}, "mono_ns is 'now'"),
        ({"mono_ns": 1 << 62}, "ahead of now"),
        ({"steering_ppb": None}, "steering_ppb is None"),
        ({"epoch": 1.5}, "epoch is 1.5"),
        ({"forced_holdover": 0}, "forced_holdover is 0"),
        ({"holdover_since_mono_ns": "long ago"}, "holdover_since_mono_ns is 'long ago'"),
        ({"doubts": None}, "doubts is not a table"),
        ({"doubts": {"found_out": 1}}, "found_out is 1"),
    ],
)
def test_a_record_that_does_not_fit_is_an_ordinary_start(change: dict[str, Any], says: str) -> None:
    made = world("ocxo", 600)
    played = loop("C", "ocxo", made)
    played.play(150)
    record = played.discipline.runtime_record(played.mono_ns(150.0)) | change
    played.discipline = Discipline(played.config, played.mono_ns(150.0), record)
    rows = played.play(120)
    assert any(says in alarm for alarm in rows[0].snapshot.alarms)
    assert names(rows) == ["free-run", "acquiring", "locked"]
    assert rows[-1].snapshot.alarms == ()


def test_a_record_is_json_and_says_nothing_before_the_first_lock() -> None:
    played = loop("C", "ocxo", world("ocxo", 200))
    played.play(10)
    assert json.loads(json.dumps(played.discipline.runtime_record(played.mono_ns(10.0))))["tracker"] is None
    played.play(150)
    text = json.dumps(played.discipline.runtime_record(played.mono_ns(160.0)), allow_nan=False)
    assert len(text) < 20_000


def test_signs_of_sawtooth_delay_and_steering() -> None:
    """Each of them turned round would show: twice the sawtooth, twice the delay, a clock that runs off."""
    made = world("sa53", 900, y0_ppb=8.0)
    played = loop("C", "sa53", made, timestamper_resolution_ns=1.0, delay_ns=276.0, loop_antenna_ns=276.0)
    rows = played.play(900)
    settled = rows[300:]
    seen = np.array([row.snapshot.last_sample_ns for row in settled], dtype=float)
    assert float(np.std(seen - errors(settled))) < 1.3, (
        "the pulse itself scatters by 1 ns, its sawtooth by 2.3"
    )
    assert abs(float(np.mean(errors(settled)))) < 2.0
    assert rows[-1].snapshot.frequency_ppb == pytest.approx(-8.0, abs=0.1)
    assert rows[-1].snapshot.oscillator_ppb == pytest.approx(8.0, abs=0.1)
