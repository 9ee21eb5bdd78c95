"""What is announced for a state and a bound."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from appliance.snapshot import ClockState
from appliance.timescale.clock_quality import (
    ACCURACY_NS,
    AccuracyHold,
    ClockQuality,
    accuracy_code,
    clock_quality,
)
from tests.unit.timescale.clock_data import folder
from timecard.timescale import NS_PER_S

S = ClockState


def _quality(state: ClockState, bound_ns: float | None = 60.0, **options: Any) -> ClockQuality:
    defaults: dict[str, Any] = {"profile": "meta", "budget_ns": 1000.0, "oscillator": "rubidium"}
    return clock_quality(state, bound_ns, **(defaults | options))


ORDER = (S.FREE_RUN, S.ACQUIRING, S.LOCKED, S.HOLDOVER, S.RECOVERING, S.HOLDOVER_EXPIRED)
CLASSES = {
    "meta": (52, 13, 6, 7, 7, 52),
    "ieee1588": (248, 248, 6, 7, 7, 52),
    "g8275": (248, 248, 6, 7, 7, 150),
}


@pytest.mark.parametrize("profile", list(CLASSES))
def test_class_by_profile_and_state(profile: str) -> None:
    for state, clock_class in zip(ORDER, CLASSES[profile], strict=True):
        assert _quality(state, profile=profile).clock_class == clock_class, state


def test_expired_class_follows_the_oscillator_in_telecom() -> None:
    for oscillator, clock_class in (("rubidium", 150), ("ocxo", 160), ("crystal", 160)):
        said = _quality(S.HOLDOVER_EXPIRED, profile="g8275", oscillator=oscillator)
        assert said.clock_class == clock_class


@pytest.mark.parametrize(("profile", "expired"), [("meta", 52), ("ieee1588", 52), ("g8275", 150)])
def test_recovering_beyond_the_budget_has_the_expired_class(profile: str, expired: int) -> None:
    assert _quality(S.RECOVERING, 1000.0, profile=profile).clock_class == 7
    assert _quality(S.RECOVERING, 1000.1, profile=profile).clock_class == expired
    assert _quality(S.RECOVERING, None, profile=profile).clock_class == expired
    # The budget is one of the card's bound, whatever a port adds.
    assert _quality(S.RECOVERING, 5000.0, card_bound_ns=800.0, profile=profile).clock_class == 7


@pytest.mark.parametrize(
    ("bound_ns", "code"),
    [(0.0, 0x20), (25.0, 0x20), (25.1, 0x21), (60.0, 0x21), (100.0, 0x21), (100.1, 0x22), (250.1, 0x23),
     (1000.0, 0x23), (1000.1, 0x24), (2e9, 0x30), (1e10, 0x30), (1.1e10, 0x31), (float("inf"), 0x31),
     (None, 0xFE)],
)  # fmt: skip
def test_accuracy_is_the_smallest_code_that_covers_the_bound(bound_ns: float | None, code: int) -> None:
    assert accuracy_code(bound_ns) == code


def test_accuracy_table_agrees_with_the_reference(shared_dir: Path) -> None:
    reference = json.loads((folder(shared_dir) / "standards.json").read_text(encoding="utf-8"))
    table = {int(code, 16): limit for code, limit in reference["clock_accuracy"]}
    assert dict(ACCURACY_NS) == {code: limit for code, limit in table.items() if code >= 0x20}


def test_accuracy_follows_the_bound_in_every_state() -> None:
    for state in S:
        assert _quality(state, 700.0).clock_accuracy == 0x23, state
        assert _quality(state, None).clock_accuracy == 0xFE, state


def test_software_stamps_are_never_better_than_ten_microseconds() -> None:
    assert _quality(S.LOCKED, 60.0, software_stamps=True).clock_accuracy == 0x25
    assert _quality(S.LOCKED, 3e4, software_stamps=True).clock_accuracy == 0x27
    assert _quality(S.FREE_RUN, None, software_stamps=True).clock_accuracy == 0xFE


def test_telecom_tells_nothing_when_not_locked() -> None:
    for state in S:
        quality = _quality(state, 60.0, profile="g8275")
        known = state is S.LOCKED
        assert (quality.clock_accuracy == 0xFE) is not known
        assert quality.offset_scaled_log_variance == (0x4E5D if known else 0xFFFF)


@pytest.mark.parametrize("profile", list(CLASSES))
def test_the_variance_of_a_prtc_is_not_said_of_a_clock_beyond_100_ns(profile: str) -> None:
    for bound_ns, variance in ((100.0, 0x4E5D), (100.1, 0xFFFF), (99_000.0, 0xFFFF), (None, 0xFFFF)):
        quality = _quality(S.LOCKED, bound_ns, profile=profile)
        assert (quality.clock_class, quality.offset_scaled_log_variance) == (6, variance)
    assert _quality(S.LOCKED, 60.0, software_stamps=True).offset_scaled_log_variance == 0xFFFF
    assert _quality(S.HOLDOVER, 60.0, profile=profile).offset_scaled_log_variance == 0xFFFF


def test_traceable_flags() -> None:
    flags = {state: _quality(state).time_traceable for state in S}
    assert flags == {
        S.FREE_RUN: False, S.ACQUIRING: False, S.LOCKED: True, S.HOLDOVER: True, S.RECOVERING: True,
        S.HOLDOVER_EXPIRED: False,
    }  # fmt: skip
    assert not _quality(S.HOLDOVER_EXPIRED, profile="g8275").frequency_traceable
    assert not _quality(S.RECOVERING, 2000.0).time_traceable


def _at(second: int) -> int:
    return second * NS_PER_S


def test_worse_at_once_better_after_a_minute_while_locked() -> None:
    hold = AccuracyHold()
    assert hold.update(_at(0), S.LOCKED, 0x21) == 0x21
    assert hold.update(_at(1), S.LOCKED, 0x23) == 0x23
    assert hold.update(_at(2), S.LOCKED, 0x21) == 0x23
    assert hold.update(_at(61), S.LOCKED, 0x21) == 0x23
    assert hold.update(_at(62), S.LOCKED, 0x21) == 0x21


def test_a_relapse_within_the_minute_starts_it_anew() -> None:
    hold = AccuracyHold()
    hold.update(_at(0), S.LOCKED, 0x23)
    hold.update(_at(1), S.LOCKED, 0x21)
    assert hold.update(_at(50), S.LOCKED, 0x23) == 0x23
    assert hold.update(_at(70), S.LOCKED, 0x21) == 0x23
    assert hold.update(_at(130), S.LOCKED, 0x21) == 0x21


def test_the_best_that_held_for_the_whole_minute_is_taken() -> None:
    hold = AccuracyHold()
    hold.update(_at(0), S.LOCKED, 0x24)
    hold.update(_at(1), S.LOCKED, 0x20)
    hold.update(_at(30), S.LOCKED, 0x22)
    assert hold.update(_at(61), S.LOCKED, 0x20) == 0x22


def test_a_new_state_is_announced_as_it_is() -> None:
    hold = AccuracyHold()
    hold.update(_at(0), S.HOLDOVER, 0x23)
    assert hold.update(_at(1), S.LOCKED, 0x21) == 0x21
    assert hold.update(_at(2), S.FREE_RUN, 0xFE) == 0xFE
    assert hold.update(_at(3), S.ACQUIRING, 0x24) == 0x24
    assert hold.update(_at(4), S.ACQUIRING, 0x21) == 0x21
