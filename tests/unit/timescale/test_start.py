"""Coarse time, the card's clock on the monotonic axis, and what a start waits for."""

from __future__ import annotations

import dataclasses

import pytest

from appliance.events import Tick
from appliance.timescale.card_watch import CardChange, CardTime, CardWatch
from appliance.timescale.coarse_time import CoarseTime
from appliance.timescale.discipline_config import DisciplineConfig
from appliance.timescale.oscillator_watch import OscillatorWatch
from appliance.timescale.reference import ReferenceHealth
from appliance.timescale.start_up import StartUp
from timecard.timescale import NS_PER_S
from timecard.values import EdgeStamp, FixType, GnssFix, OscillatorStatus

S = NS_PER_S
TAI = 1_750_000_000 * S


def _fix(epoch_tai_ns: int | None, read_mono_ns: int = 0) -> GnssFix:
    return GnssFix(
        epoch_tai_ns=epoch_tai_ns,
        fix=FixType.TIME_ONLY,
        fix_ok=True,
        time_valid=True,
        utc_resolved=True,
        time_accuracy_ns=5.0,
        satellites_used=20,
        read_mono_ns=read_mono_ns,
    )


def _stamp(card_tai_ns: int, read_mono_ns: int = 0) -> EdgeStamp:
    return EdgeStamp(
        channel="ts0", card_tai_ns=card_tai_ns, event_count=1, dropped=False, read_mono_ns=read_mono_ns
    )


def test_two_pulses_and_the_epoch_must_agree() -> None:
    coarse = CoarseTime()
    error_ns = -TAI + 123
    assert coarse.offer(TAI, TAI + error_ns, _fix(TAI - S)) is None
    assert coarse.offer(TAI + S, TAI + S + error_ns + 90, _fix(TAI)) == error_ns + 90


@pytest.mark.parametrize(
    ("second_ns", "offset_change_ns", "epoch_ns"),
    [
        (TAI + 2 * S, 0, TAI + S),  # a second was left out
        (TAI, 0, TAI),  # the same second twice
        (TAI + S, 50_000, TAI),  # the clock jumped between the edges
        (TAI + S, 0, TAI - 604_800 * S),  # the epoch is a week off
        (TAI + S, 0, None),  # no epoch
    ],
)
def test_a_story_that_does_not_fit_is_not_believed(
    second_ns: int, offset_change_ns: int, epoch_ns: int | None
) -> None:
    coarse = CoarseTime()
    assert coarse.offer(TAI, TAI + 500, _fix(TAI - S)) is None
    assert coarse.offer(second_ns, second_ns + 500 + offset_change_ns, _fix(epoch_ns)) is None


def test_edges_are_placed_by_their_latch_not_by_their_reading() -> None:
    card = CardTime()
    card.note(1_000 * S, TAI)
    assert card.edge_mono_ns(_stamp(TAI + 700_000_000, 1_000 * S + 990_000_000)) == 1_000 * S + 700_000_000
    # A latch that does not fit the reading (the clock was set meanwhile) falls back to the reading.
    assert card.edge_mono_ns(_stamp(TAI + 900 * S, 1_001 * S)) == 1_001 * S
    assert CardTime().edge_mono_ns(_stamp(TAI, 5 * S)) == 5 * S


def test_a_clock_that_somebody_set_is_noticed_drift_is_not() -> None:
    card = CardTime()
    assert card.note(0, TAI) is None
    assert card.note(S, TAI + S + 300_000) is None  # 300 ppm: two poor crystals
    assert card.note(2 * S, TAI + 2 * S + 50_000_000) == 49_700_000
    card.stepped(-1_000 * S)
    assert card.note(3 * S, TAI + 3 * S + 50_000_000 - 1_000 * S) is None
    assert card.card_tai_ns(3 * S + 5) == TAI + 3 * S + 50_000_005 - 1_000 * S
    assert card.card_tai_ns(60 * S) is None


def test_a_clock_that_cannot_be_read_is_lost_and_comes_back() -> None:
    watch = CardWatch()
    assert watch.tick(Tick(mono_ns=0, card_tai_ns=TAI), stepping=False) is None
    changes = [watch.tick(Tick(mono_ns=k * S, card_tai_ns=None), stepping=False) for k in range(1, 8)]
    assert changes == [None] * 4 + [CardChange.LOST] + [None] * 2
    assert watch.lost
    assert watch.tick(Tick(mono_ns=8 * S, card_tai_ns=0), stepping=False) is CardChange.BACK
    assert not watch.lost


def test_a_jump_counts_only_when_it_is_not_ours() -> None:
    watch = CardWatch()
    watch.tick(Tick(mono_ns=0, card_tai_ns=TAI), stepping=False)
    assert watch.tick(Tick(mono_ns=S, card_tai_ns=TAI + 9 * S), stepping=True) is None
    assert watch.tick(Tick(mono_ns=2 * S, card_tai_ns=TAI), stepping=False) is CardChange.SET_BY_OTHERS
    assert watch.jump_ns == -10 * S


def test_own_pulse() -> None:
    watch = CardWatch()
    assert not watch.own_pulse_stopped(100 * S)  # a card without TS5 never shows one
    watch.own_edge(100 * S)
    assert not watch.own_pulse_stopped(104 * S)
    assert watch.own_pulse_stopped(106 * S)


def _start_up(topology: str) -> tuple[StartUp, CardTime, ReferenceHealth, OscillatorWatch]:
    config = DisciplineConfig(topology=topology, oscillator_model="sa53", delay_ns=276.0)  # type: ignore[arg-type]  # a test's parameter
    health = ReferenceHealth(min_satellites=1, max_time_accuracy_ns=1000.0)
    card, module = CardTime(), OscillatorWatch()
    return StartUp(config, card, health, module), card, health, module


def _status(*, locked: bool) -> OscillatorStatus:
    return OscillatorStatus(
        locked=locked,
        lock_progress_percent=100 if locked else 42,
        frequency_ppb=0.0,
        phase_ns=None,
        pps_detected=True,
        temperature_mdegc=None,
        alarms=0,
        alarm_names=(),
        read_mono_ns=0,
    )


def test_the_start_says_what_it_waits_for_in_order() -> None:
    start, card, health, module = _start_up("B")
    said = []

    def ready(*, forced: bool = False) -> bool:
        result = start.ready(0, forced_holdover=forced)
        said.append(start.waiting_for)
        return result

    assert not ready()
    card.note(0, TAI)
    assert not ready(forced=True)
    assert not ready()
    module.note(_status(locked=False))
    assert not ready()
    module.note(_status(locked=True))
    assert not ready()
    health.note(dataclasses.replace(_fix(TAI), fix_ok=False))
    assert not ready()
    health.note(_fix(TAI))
    assert ready()
    assert said == [
        "the first reading of the card's clock",
        "an operator to leave holdover",
        "the oscillator module's first report",
        "the oscillator module to lock (42 %)",
        "a valid fix",
        "the reference (no fix)",
        "two pulses that name the same time",
    ]


def test_topology_c_does_not_wait_for_a_module() -> None:
    start, card, health, _ = _start_up("C")
    card.note(0, TAI)
    health.note(_fix(TAI))
    assert start.ready(0, forced_holdover=False)


def test_a_clock_at_1970_is_stepped_by_whole_nanoseconds_exactly() -> None:
    start, _, health, _ = _start_up("C")
    health.note(_fix(TAI))
    assert start.edge(_stamp(12_345_678_901), TAI) is None
    health.note(_fix(TAI + S))
    found = start.edge(_stamp(13_345_678_906), TAI + S)
    assert found is not None
    # The stamp of a pulse that the antenna chain makes 276 ns late belongs to TAI + 276 ns.
    assert found.step_ns == TAI + S + 276 - 13_345_678_906
    assert start.time_verified
    after = start.edge(_stamp(TAI + 3 * S + 281), TAI + 3 * S)
    assert after is not None
    assert (after.step_ns, after.error_ns) == (None, 5.0)


def test_a_clock_that_is_nearly_right_is_not_stepped() -> None:
    start, _, health, _ = _start_up("C")
    health.note(_fix(TAI))
    start.edge(_stamp(TAI + 700), TAI)
    found = start.edge(_stamp(TAI + S + 700), TAI + S)
    assert found is not None
    assert (found.step_ns, found.error_ns) == (None, 424.0)


def test_topology_d_waits_for_the_cards_own_servo() -> None:
    start, _, health, _ = _start_up("D")
    health.note(_fix(TAI))
    start.edge(_stamp(TAI + 300_000_000), TAI)
    assert start.edge(_stamp(TAI + S + 300_000_000), TAI + S) is None
    assert "own servo" in start.waiting_for
    health.note(_fix(TAI + 2 * S))
    start.edge(_stamp(TAI + 2 * S + 2_000), TAI + 2 * S)
    found = start.edge(_stamp(TAI + 3 * S + 2_000), TAI + 3 * S)
    assert found is not None
    assert found.step_ns is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("topology", "E"),
        ("oscillator_model", "sundial"),
        ("gnss_model", "loran"),
        ("p", 1.0),
        ("lock_limit_ns", 2000.0),
        ("slew_ns_per_s", 101.0),
        ("actuator_max_ppb", 0.0),
        ("delay_ns", float("nan")),
        ("delay_uncertainty_ns", -1.0),
    ],
)
def test_a_configuration_that_cannot_be_names_its_field(field: str, value: object) -> None:
    fields: dict[str, object] = {"topology": "C", "oscillator_model": "ocxo"} | {field: value}
    with pytest.raises(ValueError, match=f"discipline: {field} is"):
        DisciplineConfig(**fields)  # type: ignore[arg-type]  # wrong on purpose
