"""Several sources of time: scenario files, fresh worlds, and the ensemble as witness of the discipline."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from appliance.ensemble.interval import IntervalScheme
from appliance.ensemble_report import ensemble_report
from appliance.events import Command, CommandKind
from appliance.snapshot import ClockState
from tests.scenario.discipline_worlds import during, errors, first, names, violations, world
from tests.scenario.ensemble_worlds import (
    ALARM_WITHIN_S,
    GUILTY,
    SCENARIOS,
    ClockWorld,
    Played,
    fresh_world,
    play,
    read_world,
    rms,
    sources,
)
from tests.scenario.witnessed_loop import Peer, dishonest, witnessed
from tests.unit.timescale.clock_data import folder, load_series, world_of
from tests.unit.timescale.closed_loop import ClosedLoop, Second

RMS_NS = dict.fromkeys(SCENARIOS, 5.0) | {"two_collude_slow": 12.0}
MAX_NS = 25.0


def _check(worlds: list[ClockWorld]) -> None:
    """Errors are pooled; each alarm has to be right in each world."""
    scenario = worlds[0].scenario
    played: list[Played] = [play(IntervalScheme(sources(w.names)), w) for w in worlds]
    after = np.concatenate([p.after(w.onset_s) for p, w in zip(played, worlds, strict=True)])
    assert len(after) == sum(len(w.readings_ns) - w.onset_s for w in worlds), "an answer each second"
    assert rms(after) <= RMS_NS[scenario]
    if scenario != "two_collude_slow":
        assert np.abs(after).max() <= MAX_NS
    for one, made in zip(played, worlds, strict=True):
        assert one.alarms.keys() == GUILTY[scenario]
        assert one.evicted.keys() <= GUILTY[scenario]
        if not math.isinf(made.five_sigma_s):
            assert max(one.alarms.values()) <= made.five_sigma_s + ALARM_WITHIN_S


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario_files(shared_dir: Path, scenario: str) -> None:
    _check([read_world(folder(shared_dir), scenario)])


@pytest.mark.parametrize("scenario", ["two_collude_slow"])
def test_a_fresh_world(scenario: str) -> None:
    _check([fresh_world(scenario, 2)])


@pytest.mark.full
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_twenty_fresh_worlds(scenario: str) -> None:
    _check([fresh_world(scenario, seed) for seed in range(20)])


# ---------------------------------------------------------------------- as witness


@pytest.mark.parametrize(
    ("fault", "topology", "begin_s", "end_s", "peers"),
    [
        ("slow_ramp", "C", 5_700, 9_300, 1),
        ("spoof_ramp", "B", 2_700, 4_500, 1),
        pytest.param("slow_ramp", "C", 0, 21_600, 1, marks=pytest.mark.full),
        pytest.param("slow_ramp", "B", 0, 21_600, 2, marks=pytest.mark.full),
        pytest.param("spoof_ramp", "C", 0, 10_800, 2, marks=pytest.mark.full),
    ],
)
def test_a_dragged_reference_is_left_before_it_makes_us_lie(
    shared_dir: Path, fault: str, topology: str, begin_s: int, end_s: int, peers: int
) -> None:
    """0.01 ns/s is below what an mRO-50 can tell: a peer with 20 ns of noise tells."""
    whole = load_series(folder(shared_dir) / f"fault_{fault}.csv.xz")
    made = world_of({column: values[begin_s:end_s] for column, values in whole.items()})
    others = [Peer(name=f"peer{i}", constant_ns=60.0 - 50.0 * i) for i in range(peers)]
    rows = witnessed(topology, "mro50", made, others, timestamper_resolution_ns=1.0).play(len(made) - 1)
    assert dishonest(rows) == []
    assert names(rows)[:3] == ["free-run", "acquiring", "locked"]
    assert names(rows)[-1] == "holdover"
    # Two hours of an mRO-50 in holdover after one of lock are some 30 ns, three sigma more.
    sigma_ns = rows[-1].snapshot.offset_sigma_ns
    assert sigma_ns is not None
    assert np.abs(errors(rows)[100:]).max() < max(30.0, 3.0 * sigma_ns)
    if fault == "slow_ramp":
        assert "contradicted by other sources" in rows[-1].snapshot.reasons[0]


@pytest.mark.full
@pytest.mark.parametrize("ramp_ppb", [0.005, 0.02, 0.1, 1.0, 100.0])
def test_ramps_of_all_speeds_with_two_peers(ramp_ppb: float) -> None:
    top_ns = 300.0

    def script(second: int, now: Second) -> None:
        now.late_ns = min(top_ns, ramp_ppb * max(0, second - 3_600))

    seconds = 3_600 + min(14_000, round(top_ns / ramp_ppb) + 2_000)
    made = world("sa53", seconds + 10)
    rows = witnessed("B", "sa53", made, [Peer(), Peer(name="other", constant_ns=-40.0)]).play(seconds, script)
    assert dishonest(rows) == []
    assert rows[-1].state in (ClockState.HOLDOVER, ClockState.HOLDOVER_EXPIRED)


def test_a_peer_that_errs_is_named_and_time_goes_on() -> None:
    odd = Peer(name="odd", error_ns=lambda s: 700.0 if s >= 300 else 0.0)
    played = witnessed("C", "ocxo", world("ocxo", 500), [Peer(), odd])
    rows = played.play(420)
    assert names(rows) == ["free-run", "acquiring", "locked"]
    estimate = played.witnessing.estimate
    assert estimate is not None
    assert estimate.evicted == ("odd",)
    assert "gnss, peer" in estimate.alarms["odd"]
    assert played.witnessing.against is None
    report = ensemble_report(played.witnessing)
    assert [(m.name, m.standing) for m in report.members] == [
        ("gnss", "member"),
        ("peer", "member"),
        ("odd", "evicted"),
    ]
    assert report.alarms == (f"odd: {estimate.alarms['odd']}",)
    assert report.bound_ns is not None
    assert report.why_null == {"against_reference": "nothing speaks against it"}
    assert violations(rows) == []


def test_a_single_peer_that_jumps_is_told_from_a_reference_that_does() -> None:
    """One against one: our own oscillator did not jump, and so much in so short a time shows."""
    odd = Peer(name="odd", error_ns=lambda s: 3_000.0 if s >= 300 else 0.0)
    played = witnessed("B", "sa53", world("sa53", 700), [odd])
    rows = played.play(500)
    assert names(rows) == ["free-run", "acquiring", "locked"]
    estimate = played.witnessing.estimate
    assert estimate is not None
    assert estimate.evicted == ("odd",)


def test_witnesses_that_contradict_the_reference_cost_it_and_an_operator_may_overrule_them() -> None:
    both = [Peer(name=name, bias_ns=30.0, constant_ns=0.0, error_ns=lambda s: 400.0) for name in "ab"]
    played = witnessed("C", "ocxo", world("ocxo", 700), both)
    rows = played.play(150)
    assert names(rows) == ["free-run", "acquiring", "locked", "holdover"]
    assert 5 <= first(rows, "holdover") - first(rows, "locked") <= 15
    reason = rows[-1].snapshot.reasons[0]
    assert reason.startswith("reference lost: contradicted by other sources: ")
    assert "from a, b" in reason
    assert any("contradicted" in alarm for alarm in rows[-1].snapshot.alarms)
    bound_ns = rows[-1].snapshot.bound_wide_ns
    assert bound_ns is not None
    assert bound_ns > 400.0, "the clock had followed the reference"
    assert rows[-1].snapshot.offset_sigma_ns is not None
    for peer in both:
        peer.error_ns = lambda s: 0.0
    leave = during(
        150,
        151,
        extra_events=[Command(kind=CommandKind.LEAVE_HOLDOVER, mono_ns=ClosedLoop.mono_ns(150.4))],
    )
    rows = played.play(200, leave)
    assert rows[-1].state is ClockState.LOCKED
    assert played.witnessing.against is None
    assert rows[-1].snapshot.alarms == ()


def test_a_reference_that_a_single_peer_disputes_is_released_when_the_budget_is_spent() -> None:
    odd = Peer(error_ns=lambda s: 3_000.0 if s >= 200 else 0.0)
    played = witnessed("C", "tcxo", world("tcxo", 900), [odd], release_s=60.0)
    rows = played.play(360)
    assert names(rows)[-2:] == ["locked", "holdover-expired"]
    assert played.witnessing.against is not None
    rows = played.play(300)
    assert rows[-1].state is ClockState.LOCKED
    assert played.witnessing.against is None
    estimate = played.witnessing.estimate
    assert estimate is not None
    assert estimate.alarms["peer"].startswith("never agreed")


def test_peers_that_fall_silent_cost_nothing() -> None:
    mute = Peer(speaks=lambda s: s < 200)
    rows = witnessed("C", "ocxo", world("ocxo", 500), [mute]).play(300)
    assert names(rows) == ["free-run", "acquiring", "locked"]


def test_in_holdover_the_peers_go_on_measuring_our_clock() -> None:
    cut = during(200, 1_000, fix_ok=False, satellites=0, pulse=False)
    played = witnessed("C", "tcxo", world("tcxo", 900), [Peer(), Peer(name="b", constant_ns=0.0)])
    rows = played.play(700, cut)
    assert rows[-1].state is ClockState.HOLDOVER
    estimate, snapshot = played.witnessing.estimate, rows[-1].snapshot
    assert estimate is not None
    assert estimate.offset_ns is not None
    assert estimate.half_width_ns is not None
    assert abs(estimate.offset_ns - rows[-1].tick_error_ns) <= estimate.half_width_ns
    assert snapshot.bound_ns is not None
    assert played.witnessing.against is None
