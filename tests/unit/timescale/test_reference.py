"""Evidence against the reference, and seconds that do not agree."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from appliance.timescale.named_seconds import NamedSeconds
from appliance.timescale.reference import ReferenceHealth
from timecard.timescale import NS_PER_S
from timecard.values import (
    AntennaPosition,
    AntennaStatus,
    FixType,
    GnssFix,
    JammingState,
    PulseLabel,
    RfStatus,
    SpoofingState,
    SurveyStatus,
)

S = NS_PER_S
TAI = 1_750_000_000 * S


def _fix(at_ns: int, **changes: Any) -> GnssFix:
    fix = GnssFix(
        epoch_tai_ns=TAI,
        fix=FixType.TIME_ONLY,
        fix_ok=True,
        time_valid=True,
        utc_resolved=True,
        time_accuracy_ns=5.0,
        satellites_used=20,
        read_mono_ns=at_ns,
    )
    return dataclasses.replace(fix, **changes)


def _label(at_ns: int, **changes: Any) -> PulseLabel:
    label = PulseLabel(edge_tai_ns=TAI, qerr_ns=1.0, pulse_locked=True, read_mono_ns=at_ns)
    return dataclasses.replace(label, **changes)


def _health() -> ReferenceHealth:
    return ReferenceHealth(min_satellites=1, max_time_accuracy_ns=1000.0)


def test_nothing_is_usable_before_the_first_fix() -> None:
    health = _health()
    assert not health.usable(0)
    health.note(_label(0))
    assert not health.usable(0)
    health.note(_fix(S))
    assert health.usable(S)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"fix_ok": False}, "no fix"),
        ({"fix": FixType.NONE}, "no fix"),
        ({"fix": FixType.DEAD_RECKONING}, "no fix"),
        ({"time_valid": False}, "time not valid"),
        ({"satellites_used": 0}, "too few satellites"),
        ({"time_accuracy_ns": 5e6}, "receiver's time accuracy poor"),
        ({"epoch_tai_ns": None}, "receiver's date not credible"),
    ],
)
def test_one_bad_epoch_is_no_loss_two_running_are(change: dict[str, Any], says: str) -> None:
    health = _health()
    health.note(_fix(0))
    health.note(_fix(S, **change))
    assert health.evidence(S) == (says,)
    assert not health.usable(S)
    assert health.loss(S + 500_000_000) is None
    health.note(_fix(2 * S, **change))
    assert health.loss(2 * S + 500_000_000) == says
    health.note(_fix(3 * S))
    assert health.loss(3 * S) is None
    assert health.clean_for_ns(5 * S) == 2 * S


def test_two_kinds_of_evidence_corroborate_at_once() -> None:
    health = _health()
    health.note(_fix(0))
    health.note(_fix(S, fix_ok=False, satellites_used=0))
    assert health.loss(S) == "no fix, too few satellites"


@pytest.mark.parametrize(
    ("word", "says"),
    [
        (_label(S, pulse_locked=False), "pulse not locked"),
        (RfStatus(jamming=JammingState.CRITICAL, read_mono_ns=S), "jamming critical"),
        (RfStatus(spoofing=SpoofingState.INDICATED, read_mono_ns=S), "spoofing indicated"),
    ],
)
def test_other_words_count_as_evidence(word: Any, says: str) -> None:
    health = _health()
    health.note(_fix(S))
    health.note(word)
    assert health.evidence(S) == (says,)
    # A word is no evidence for ever: it has to be repeated.
    assert health.evidence(8 * S) == ()


def test_antenna_open_alone_is_an_alarm() -> None:
    health = _health()
    health.note(_fix(0))
    health.note(RfStatus(antenna=AntennaStatus.OPEN, jamming=JammingState.WARNING, read_mono_ns=0))
    assert health.loss(4 * S) is None
    assert health.usable(4 * S)
    assert health.alarms(4 * S) == ("antenna open", "jamming warning")


def test_a_survey_that_runs_is_an_alarm() -> None:
    health = _health()
    health.note(_fix(0))
    running = SurveyStatus(active=True, valid=False, duration_s=9, position_sigma_m=3.0, read_mono_ns=0)
    health.note(running)
    assert "survey-in not finished" in health.alarms(0)
    health.note(dataclasses.replace(running, active=False, valid=True))
    assert health.alarms(0) == ()


def test_a_silent_receiver_is_lost_after_ten_seconds() -> None:
    health = _health()
    health.note(_fix(0))
    assert health.loss(10 * S) is None
    health.note(_label(9 * S))  # labels alone say nothing about the solution
    assert health.loss(11 * S) == "receiver silent"


@pytest.mark.parametrize(("source", "says"), [("gnss", "receiver lost"), ("pps", "pulse input lost")])
def test_a_failed_source_is_lost_at_once(source: str, says: str) -> None:
    health = _health()
    health.note(_fix(0))
    health.source_lost(source, S)
    assert health.loss(S) == says
    health.source_restored(source, 2 * S)
    assert health.loss(2 * S) is None
    health.source_lost("oscillator", 3 * S)
    assert health.loss(3 * S) is None


def _play(
    seconds: NamedSeconds, first: int, last: int, error_s: int, *, epochs: bool, labels: bool
) -> int | None:
    for k in range(first, last):
        if labels:
            seconds.add_label(_label((k - 1) * S + 150_000_000, edge_tai_ns=TAI + (k + error_s) * S))
        fix = _fix((k - 1) * S + 200_000_000, epoch_tai_ns=TAI + (k - 1 + error_s) * S)
        seconds.compare(k * S + 20_000_000, TAI + k * S, fix if epochs else None)
    return seconds.error_s


@pytest.mark.parametrize("error_s", [1, -1, 37, -1024 * 604_800])
def test_a_label_that_names_another_second_three_times_is_wrong(error_s: int) -> None:
    seconds = NamedSeconds()
    assert _play(seconds, 0, 10, 0, epochs=True, labels=True) is None
    assert _play(seconds, 10, 12, error_s, epochs=False, labels=True) is None
    assert _play(seconds, 12, 13, error_s, epochs=False, labels=True) == error_s
    # Right again: believed after ten agreements.
    assert _play(seconds, 13, 22, 0, epochs=True, labels=True) == error_s
    assert _play(seconds, 22, 23, 0, epochs=True, labels=True) is None


def test_epochs_tell_of_gross_errors_without_labels() -> None:
    seconds = NamedSeconds()
    assert _play(seconds, 0, 10, 0, epochs=True, labels=False) is None
    # The epoch is that of the pulse before: the error is right to a second or so.
    found_s = _play(seconds, 10, 13, 3600, epochs=True, labels=False)
    assert found_s is not None
    assert abs(found_s - 3600) <= 2
    seconds.forgive()
    assert seconds.error_s is None


def test_an_epoch_that_comes_late_is_not_wrong() -> None:
    seconds = NamedSeconds()
    assert _play(seconds, 0, 20, -1, epochs=True, labels=False) is None


def test_a_single_disagreement_is_a_lost_message() -> None:
    seconds = NamedSeconds()
    for start in range(0, 40, 4):
        assert _play(seconds, start, start + 2, 0, epochs=True, labels=True) is None
        assert _play(seconds, start + 2, start + 4, 1, epochs=False, labels=True) is None


SURVEY = SurveyStatus(active=True, valid=False, duration_s=9, position_sigma_m=5.0, read_mono_ns=0)
DONE = dataclasses.replace(SURVEY, active=False, valid=True)
NO_FIGURE = dataclasses.replace(DONE, position_sigma_m=0.0)
FREE = dataclasses.replace(NO_FIGURE, valid=False)


def _place(sigma_m: float | None) -> AntennaPosition:
    return AntennaPosition(
        latitude_deg=47.0, longitude_deg=8.0, height_m=470.0, sigma_m=sigma_m, read_mono_ns=0
    )


@pytest.mark.parametrize(
    ("fixed_m", "words", "counts_m"),
    [
        (None, [], 0.0),
        (None, [SURVEY], 5.0),
        (None, [SURVEY, DONE], 5.0),
        (None, [NO_FIGURE, _place(0.7), _place(None)], 0.7),
        (None, [DONE, _place(0.7)], 5.0),
        (None, [DONE, FREE, _place(6.0)], 6.0),
        (None, [_place(8.0)], 8.0),
        (2.0, [], 2.0),
        (2.0, [NO_FIGURE, _place(0.7)], 2.0),
        (2.0, [SURVEY], 5.0),
        (None, [dataclasses.replace(SURVEY, position_sigma_m=math.nan)], 10_000.0),
        (None, [dataclasses.replace(SURVEY, position_sigma_m=math.inf)], 10_000.0),
    ],
)
def test_a_position_costs_what_is_not_known_of_it(
    fixed_m: float | None, words: list[Any], counts_m: float
) -> None:
    """3 ns per metre, three sigma, while it is surveyed and afterwards."""
    health = ReferenceHealth(min_satellites=1, max_time_accuracy_ns=1000.0, fixed_sigma_m=fixed_m)
    health.note(_fix(0))
    for word in words:
        health.note(word)
    assert health.position_bias_ns == pytest.approx(9.0 * counts_m)


def test_a_receiver_without_a_fix_tells_nothing_of_its_antenna() -> None:
    health = _health()
    health.note(_place(4_000.0))
    health.note(_fix(0))
    health.note(_place(2.0))
    health.note(_fix(S, fix_ok=False))
    health.note(_place(4_000.0))
    assert health.position_bias_ns == pytest.approx(18.0)


def test_a_dispute_can_be_overruled_and_a_majority_cannot() -> None:
    health = _health()
    health.note(_fix(S))
    health.note_witnesses("a, b", S)
    health.overrule_dispute(S)
    assert health.loss(S) == "contradicted by other sources: a, b"
    health.note_witnesses("no majority", S, disputed=True)
    assert health.loss(S) == "contradicted by other sources: no majority"
    health.overrule_dispute(S)
    assert health.loss(S) is None
    assert health.clean_for_ns(3 * S) == 2 * S
