"""Everything that goes wrong with reference, oscillator and card, as a user would see it."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from appliance.events import Command, CommandKind, OscillatorReport, SourceFault, SourceRestored
from appliance.snapshot import ClockState
from tests.scenario.discipline_worlds import (
    Script,
    alarms,
    both,
    during,
    errors,
    first,
    loop,
    names,
    steps,
    violations,
    world,
)
from tests.unit.timescale.closed_loop import ClosedLoop, Row, Second
from timecard.timescale import NS_PER_S
from timecard.values import SurveyStatus

SETUPS = [("B", "sa53"), ("C", "ocxo")]
T = 700
"""When trouble begins: well locked."""


def _play(
    topology: str, oscillator: str, script: Script, seconds: int = 1_500
) -> tuple[ClosedLoop, list[Row]]:
    made = world(oscillator, seconds + 10, y0_ppb=4.0)
    played = loop(topology, oscillator, made)
    return played, played.play(seconds, script)


@pytest.mark.parametrize(("topology", "oscillator"), SETUPS)
@pytest.mark.parametrize(
    "facts",
    [
        {"fix_ok": False, "satellites": 0, "pulse": False},  # antenna cut
        {"fix_ok": False, "satellites": 0, "late_ns": 300.0},  # jammed: the pulse runs on, astray
        {"fix_ok": False},
        {"satellites": 0},
        {"pulse_locked": False},
    ],
)
def test_corroborated_loss_is_holdover_within_three_seconds(
    topology: str, oscillator: str, facts: dict[str, object]
) -> None:
    _, rows = _play(topology, oscillator, during(T, T + 200, **facts))
    assert names(rows[T - 10 :]) == ["locked", "holdover", "recovering", "locked"]
    assert first(rows, "holdover") - (T - 1) <= 3, "the last good edge is that of the second before"
    assert violations(rows) == []
    assert np.abs(errors(rows)[T:]).max() < 15.0
    held = rows[T + 100].snapshot
    assert held.holdover_since_mono_ns is not None
    assert held.reasons[0].startswith("reference lost")
    assert rows[-1].snapshot.holdover_since_mono_ns is None


@pytest.mark.parametrize(("topology", "oscillator"), SETUPS)
@pytest.mark.parametrize("count", [1, 3])
def test_glitches_are_rejected_and_nothing_happens(topology: str, oscillator: str, count: int) -> None:
    played, rows = _play(topology, oscillator, during(T, T + count, late_ns=500.0), 900)
    assert names(rows[T - 10 :]) == ["locked"]
    assert played.discipline.counters["samples_rejected"] == count
    assert np.abs(errors(rows)[T:]).max() < 5.0
    assert violations(rows) == []
    calm, after = rows[T - 1].snapshot.bound_wide_ns, rows[T].snapshot.bound_wide_ns
    assert calm is not None
    assert after is not None
    assert after < calm + 2.0, "a glitch does not show in what is announced"


@pytest.mark.parametrize(("topology", "oscillator"), SETUPS)
@pytest.mark.parametrize("count", [1, 7])
def test_missing_pulses_coast_in_lock(topology: str, oscillator: str, count: int) -> None:
    _, rows = _play(topology, oscillator, during(T, T + count, pulse=False), 900)
    assert names(rows[T - 10 :]) == ["locked"]
    assert violations(rows) == []


def test_pulses_that_stop_with_nothing_else_wrong_end_in_holdover_after_ten_seconds() -> None:
    _, rows = _play("B", "sa53", during(T, T + 60, pulse=False), 1_000)
    assert first(rows, "holdover") - (T - 1) == 10
    assert names(rows[T - 10 :]) == ["locked", "holdover", "recovering", "locked"]
    assert rows[T + 30].snapshot.reasons == ("no pulse for 10 s",)


@pytest.mark.parametrize("error_s", [1, -1, 18, -1024 * 604_800])
@pytest.mark.parametrize(("topology", "oscillator"), SETUPS)
def test_wrong_time_is_never_followed(topology: str, oscillator: str, error_s: int) -> None:
    played, rows = _play(topology, oscillator, during(T, T + 100, named_error_s=error_s), 1_100)
    assert names(rows[T - 10 :]) == ["locked", "holdover", "recovering", "locked"]
    assert first(rows, "holdover") - T <= 4
    assert any("wrong by" in alarm for alarm in alarms(rows[T : T + 50]))
    assert all(abs(step) < 1_000 for step in steps(played))
    assert np.abs(errors(rows)[T:]).max() < 10.0
    assert violations(rows) == []
    assert rows[-1].snapshot.alarms == ()


def test_a_receiver_that_falls_silent_is_lost_after_ten_seconds() -> None:
    _, rows = _play("B", "sa53", during(T, T + 60, words=False), 1_000)
    assert names(rows[T - 10 :]) == ["locked", "holdover", "recovering", "locked"]
    assert 8 <= first(rows, "holdover") - T <= 12
    assert rows[T + 30].snapshot.reasons == ("reference lost: receiver silent",)
    assert violations(rows) == []


def test_a_few_seconds_of_silence_are_ridden_through_without_labels() -> None:
    """Serial garbage: the edges' second is known, only the sawtooth cannot be removed."""
    _, rows = _play("C", "ocxo", during(T, T + 7, words=False), 900)
    assert names(rows[T - 10 :]) == ["locked"]
    assert np.abs(errors(rows)[T:]).max() < 6.0


@pytest.mark.parametrize(("topology", "oscillator"), SETUPS)
def test_a_reference_that_steps_is_not_followed(topology: str, oscillator: str) -> None:
    made = world(oscillator, 1_500)
    played = loop(topology, oscillator, made)
    rows = played.play(1_400, during(T, 10_000, late_ns=500.0))
    assert names(rows[T - 10 :]) == ["locked", "holdover"]
    assert first(rows, "holdover") - T <= 11
    assert np.abs(errors(rows)[T:]).max() < 30.0
    assert any("not believed" in alarm for alarm in rows[-1].snapshot.alarms)
    assert violations(rows) == []


@pytest.mark.parametrize(("topology", "oscillator"), SETUPS)
def test_a_reference_that_runs_away_is_not_followed(topology: str, oscillator: str) -> None:
    def script(second: int, now: Second) -> None:
        now.late_ns = min(600.0, max(0.0, 1.0 * (second - T)))

    _, rows = _play(topology, oscillator, script, 1_300)
    assert rows[-1].state is ClockState.HOLDOVER
    assert np.abs(errors(rows)[T:]).max() < 20.0
    assert violations(rows) == []


@pytest.mark.parametrize(
    ("topology", "oscillator", "jump_ppb"), [("B", "sa53", 0.01), ("C", "ocxo", 0.4), ("C", "tcxo", 30.0)]
)
def test_a_jump_of_the_oscillator_is_ridden_through_in_lock(
    topology: str, oscillator: str, jump_ppb: float
) -> None:
    _, rows = _play(topology, oscillator, during(T, 10_000, extra_ppb=jump_ppb), 1_500)
    assert "holdover" not in names(rows[T - 10 :])
    assert rows[-1].state is ClockState.LOCKED
    assert np.abs(errors(rows)[-300:]).max() < 6.0


@pytest.mark.parametrize("warmer_degc", [10.0, -10.0])
@pytest.mark.parametrize(
    ("topology", "oscillator", "ppb_per_degc", "lag_s", "limit_ns"),
    [("B", "sa53", 1.2e-3, 900.0, 6.0), ("C", "ocxo", 0.02, 1200.0, 8.0), ("C", "tcxo", 1.0, 120.0, 40.0)],
)
def test_a_temperature_step_is_ridden_through(
    topology: str, oscillator: str, ppb_per_degc: float, lag_s: float, limit_ns: float, warmer_degc: float
) -> None:
    def course(t: np.ndarray) -> np.ndarray:
        return np.asarray(np.where(t > T, warmer_degc * -np.expm1(-(t - T) / lag_s), 0.0))

    made = world(oscillator, 3_010, extra_ppb=lambda t: ppb_per_degc * course(t))

    def telemetry(second: int, now: Second) -> None:
        now.temperature_mdegc = round(1_000 * (40.0 + float(course(np.array(second)))))

    rows = loop(topology, oscillator, made).play(3_000, telemetry)
    assert set(names(rows[T:])) <= {"locked", "recovering"}
    assert rows[-1].state is ClockState.LOCKED
    assert np.abs(errors(rows)[T:]).max() < limit_ns
    assert violations(rows) == []


@pytest.mark.parametrize("fault_ppb", [40.0, -40.0])
def test_a_module_that_loses_its_lock_opens_the_bound_honestly(fault_ppb: float) -> None:
    """40 ppb against 20 ppb of steering: the clock runs away, and every second of it is inside the bound."""
    fault = during(T, T + 60, oscillator_locked=False, extra_ppb=fault_ppb)
    played, rows = _play("B", "sa53", fault, 2_000)
    assert violations(rows) == []
    assert played.discipline.counters["samples_rejected"] == 0, "after the report any frequency is possible"
    assert names(rows[T - 10 :]) == ["locked", "recovering", "locked"]
    unlocked = rows[T + 30].snapshot
    assert "oscillator module is not locked" in unlocked.alarms
    assert np.abs(errors(rows)[T : T + 60]).max() > 900.0
    # Back within fifteen minutes, without a step, and no worse than before.
    assert first(rows[T + 60 :], "locked") - (T + 60) <= 900
    assert np.abs(errors(rows)[-60:]).max() < 6.0


def test_a_module_that_loses_its_lock_in_holdover_spends_the_budget() -> None:
    script = both(
        during(T, T + 400, fix_ok=False, pulse=False),
        during(T + 100, T + 160, oscillator_locked=False, extra_ppb=40.0),
    )
    _, rows = _play("B", "sa53", script, 2_400)
    assert names(rows[T - 10 :]) == ["locked", "holdover", "holdover-expired", "recovering", "locked"]
    assert first(rows, "holdover-expired") - (T + 100) <= 4
    assert violations(rows) == []


def test_a_dead_card_claims_nothing_and_starts_again() -> None:
    made = world("sa53", 1_000, y0_ppb=3.0)
    played = loop("B", "sa53", made)
    played.play(400)
    played.readable = False
    dead = during(
        400, 401, extra_events=[SourceFault(source="card", reason="all ones", mono_ns=played.mono_ns(400.4))]
    )
    rows = played.play(30, dead)
    for row in rows:
        assert row.state is ClockState.FREE_RUN
        assert row.snapshot.bound_ns is None
        assert row.snapshot.bound_wide_ns is None
        assert row.snapshot.as_of_tai_ns is None
    assert "card: all ones" in rows[-1].snapshot.alarms
    played.readable = True
    back = during(430, 431, extra_events=[SourceRestored(source="card", mono_ns=played.mono_ns(430.4))])
    rows = played.play(150, back)
    assert names(rows) == ["free-run", "acquiring", "locked"]
    assert rows[-1].snapshot.alarms == ()


def test_a_card_that_silently_cannot_be_read_is_lost_too() -> None:
    played = loop("C", "ocxo", world("ocxo", 500))
    played.play(200)
    played.readable = False
    rows = played.play(12)
    assert rows[-1].state is ClockState.FREE_RUN
    assert rows[-1].snapshot.bound_ns is None
    played.readable = True
    assert played.play(120)[-1].state is ClockState.LOCKED


def test_a_clock_that_somebody_set_is_a_new_epoch_and_a_new_start() -> None:
    played = loop("C", "ocxo", world("ocxo", 500))
    played.play(200)
    epoch = played.discipline.epoch
    played.move_clock(2_000_000_001)
    rows = played.play(150)
    assert rows[0].state is ClockState.FREE_RUN
    assert rows[0].snapshot.bound_ns is None
    assert rows[0].snapshot.epoch == epoch + 1
    assert any("somebody else set" in alarm for alarm in rows[0].snapshot.alarms)
    assert rows[-1].state is ClockState.LOCKED
    assert rows[-1].snapshot.alarms == ()
    assert np.abs(errors(rows)[-30:]).max() < 6.0


def test_a_position_that_is_not_surveyed_yet_costs_the_lock_until_it_is_good_enough() -> None:
    """30 m of height may be 270 ns: the bound says so, and a clock with such a bound is not locked."""

    def survey(sigma_m: float, *, active: bool) -> Script:
        word = SurveyStatus(
            active=active, valid=not active, duration_s=60, position_sigma_m=sigma_m, read_mono_ns=0
        )
        return during(0, 10_000, extra_events=[word])

    played = loop("B", "sa53", world("sa53", 600))
    rows = played.play(150, survey(30.0, active=True))
    assert names(rows) == ["free-run", "acquiring"]
    assert rows[-1].snapshot.bound_ns is not None
    assert rows[-1].snapshot.bound_ns > 300.0
    rows = played.play(30, survey(10.0, active=True))
    assert rows[-1].state is ClockState.LOCKED
    assert "survey-in not finished" in rows[-1].snapshot.alarms
    rows = played.play(30, survey(3.0, active=False))
    assert rows[-1].snapshot.alarms == ()
    assert rows[-1].snapshot.bias_ns == 81.5, "a survey that is done is as wrong as before"


def test_a_runaway_is_inside_the_bound_before_the_module_tells_of_it() -> None:
    """The pulse is rejected at first; if it is right, the clock ran off: the bound allows for that."""
    late_report = both(during(T, T + 12, extra_ppb=40.0), during(T + 4, T + 12, oscillator_locked=False))
    made = world("sa53", 900)
    played = loop("B", "sa53", made, calibrated=True, delay_uncertainty_ns=1.0)
    rows = played.play(T + 12, late_report)
    assert played.discipline.counters["samples_rejected"] >= 2
    # Within the first second nobody can know; after the first odd pulse it is told.
    assert [second for second in violations(rows) if second > T + 1] == []


def test_a_slow_drag_is_followed_but_alarmed() -> None:
    """2e-11 is invisible to every gate: only the oscillator's own history tells."""

    def script(second: int, now: Second) -> None:
        now.late_ns = 0.02 * max(0, second - 4_500)

    made = world("sa53", 8_800)
    rows = loop("B", "sa53", made).play(8_700, script)
    assert {row.state for row in rows[100:]} == {ClockState.LOCKED}
    assert alarms(rows[:4_500]) == set()
    assert any("dragged away" in alarm for alarm in rows[-1].snapshot.alarms)


@pytest.mark.parametrize("source", ["gnss", "pps"])
def test_a_failed_source_is_holdover_at_once(source: str) -> None:
    def script(second: int, now: Second) -> None:
        if second == T:
            now.extra_events = [SourceFault(source=source, reason="EIO", mono_ns=ClosedLoop.mono_ns(T + 0.4))]
        if second == T + 60:
            now.extra_events = [SourceRestored(source=source, mono_ns=ClosedLoop.mono_ns(T + 60.4))]

    _, rows = _play("B", "sa53", script, 1_000)
    assert first(rows, "holdover") == T
    assert names(rows[T - 10 :]) == ["locked", "holdover", "recovering", "locked"]
    assert f"{source}: EIO" in rows[T + 10].snapshot.alarms


def test_an_actuator_that_fails_is_an_alarm_and_the_bound_stays_true() -> None:
    made = world("ocxo", 1_200)
    played = loop("C", "ocxo", made)
    played.play(T)
    take = played._take

    def refuse(event: object, t_s: float) -> None:
        for action in played.discipline.handle(event):  # type: ignore[arg-type]  # any event
            del action
            played.discipline.handle(
                SourceFault(source="actuator", reason="write failed", mono_ns=played.mono_ns(t_s))
            )

    played._take = refuse  # type: ignore[method-assign]  # this loop alone
    rows = played.play(200)
    assert "actuator: write failed" in rows[-1].snapshot.alarms
    assert violations(rows) == []
    played._take = take  # type: ignore[method-assign]  # and back
    rows = played.play(200)
    assert rows[-1].snapshot.alarms == ()
    assert rows[-1].state is ClockState.LOCKED


def test_an_operator_may_ask_for_holdover_and_back() -> None:
    def script(second: int, now: Second) -> None:
        kinds = {T: CommandKind.ENTER_HOLDOVER, T + 120: CommandKind.LEAVE_HOLDOVER}
        if second in kinds:
            now.extra_events = [Command(kind=kinds[second], mono_ns=ClosedLoop.mono_ns(second + 0.4))]

    _, rows = _play("B", "sa53", script, 1_000)
    assert first(rows, "holdover") == T
    assert {row.state for row in rows[T : T + 120]} == {ClockState.HOLDOVER}
    assert rows[T + 10].snapshot.reasons == ("asked for by an operator",)
    assert names(rows[T - 10 :]) == ["locked", "holdover", "recovering", "locked"]


def test_an_operator_may_make_it_accept_a_reference_that_it_does_not_believe() -> None:
    made = world("sa53", 1_500)
    played = loop("B", "sa53", made)
    played.play(900, during(T, 10_000, late_ns=500.0))
    assert played.rows[-1].state is ClockState.HOLDOVER

    def script(second: int, now: Second) -> None:
        now.late_ns = 500.0
        if second == 900:
            now.extra_events = [
                Command(kind=CommandKind.LEAVE_HOLDOVER, mono_ns=ClosedLoop.mono_ns(second + 0.4))
            ]

    rows = played.play(200, script)
    assert names(rows) == ["holdover", "acquiring", "locked"]
    assert rows[-1].snapshot.alarms == ()
    assert rows[-1].error_ns == pytest.approx(-500.0, abs=10.0)
    assert rows[-1].snapshot.epoch > played.rows[800].snapshot.epoch, "stepped, and announced as such"


def test_a_suspended_host_comes_back_in_holdover() -> None:
    """An hour without a single call: the next tick must not believe anything that is an hour old."""
    made = world("sa53", 5_000)
    played = loop("B", "sa53", made)
    played.play(T)
    bound_before = played.rows[-1].snapshot
    played.second += 3_600
    late = played.discipline.snapshot(played.mono_ns(float(played.second)))
    assert late.bound_ns is not None
    assert bound_before.bound_ns is not None
    assert late.bound_ns > bound_before.bound_ns + 8.0, "the bound grows from the last update"
    assert bound_before.bound_at_ns(played.mono_ns(float(played.second))) is None, "the old snapshot is void"
    rows = played.play(120)
    assert violations(rows) == []
    assert rows[-1].state is ClockState.LOCKED


def test_a_sawtooth_correction_that_cannot_be_is_left_out() -> None:
    made = world("ocxo", 900)
    played = loop("C", "ocxo", made)
    played.play(T)
    made.sawtooth_ns[T : T + 100] += 5_000.0
    made.pulse_ns[T : T + 100] += 5_000.0
    rows = played.play(150)
    assert played.discipline.counters["qerr_refused"] == 100
    assert {row.state for row in rows} == {ClockState.LOCKED}
    assert np.abs(errors(rows)).max() < 6.0


def test_garbage_from_the_oscillator_module_does_no_harm() -> None:
    made = world("sa53", 1_000)
    played = loop("B", "sa53", made)
    played.play(T)
    good = played.discipline.handle

    def spoil(event: object) -> object:
        if isinstance(event, OscillatorReport):
            nonsense = dataclasses.replace(event.status, phase_ns=math.nan, temperature_mdegc=10**9)
            return good(OscillatorReport(status=nonsense))
        return good(event)  # type: ignore[arg-type]  # any event

    played.discipline.handle = spoil  # type: ignore[assignment, method-assign]  # this loop alone
    rows = played.play(100)
    assert {row.state for row in rows} == {ClockState.LOCKED}
    assert np.abs(errors(rows)).max() < 6.0
    assert violations(rows) == []


def test_snapshots_expire_and_grow() -> None:
    played = loop("C", "ocxo", world("ocxo", 200))
    snapshot = played.play(150)[-1].snapshot
    assert snapshot.bound_ns is not None
    later = snapshot.bound_at_ns(snapshot.as_of_mono_ns + 4 * NS_PER_S)
    assert later is not None
    assert later > snapshot.bound_ns
    assert snapshot.bound_at_ns(snapshot.void_after_mono_ns + 1) is None
