"""A receiver that is not heard at its leap second is held to what it announced."""

from __future__ import annotations

import pytest

from timecard.gnss.integrity_leap import LeapWatch
from timecard.gnss.integrity_rules import AlarmBoard, IntegrityOptions
from timecard.timescale import NS_PER_S
from timecard.values import LeapInfo

MIDNIGHT_TAI_S = 1_798_761_600 + 37
"""2027-01-01 00:00:00 UTC, were there no leap second."""


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("said_s", "alarm"), [(1, False), (0, True)])
def test_after_a_silence_the_promised_difference_is_right_and_the_old_one_wrong(
    sign: int, said_s: int, alarm: bool
) -> None:
    board = AlarmBoard()
    watch = LeapWatch(IntegrityOptions(), board)
    at_s = MIDNIGHT_TAI_S + sign

    def says(left_s: int, offset_s: int, change_s: int) -> None:
        leap = LeapInfo(
            tai_minus_utc_s=offset_s,
            change_s=change_s,
            seconds_to_event=left_s if change_s else None,
            source="GPS",
            read_mono_ns=(1000 - left_s) * NS_PER_S,
        )
        watch.take(leap, (at_s - left_s) * NS_PER_S)

    for left_s in range(30, 5, -1):
        says(left_s, 37, sign)
    for left_s in range(5, -30, -1):
        watch.look((1000 - left_s) * NS_PER_S, (at_s - left_s) * NS_PER_S)
    assert "leap-mismatch" not in board
    says(-30, 37 + sign * said_s, 0)
    assert ("leap-mismatch" in board) == alarm


@pytest.mark.parametrize("sign", [1, -1])
def test_a_countdown_that_reaches_nought_with_the_new_difference_promises_nothing_more(sign: int) -> None:
    board = AlarmBoard()
    watch = LeapWatch(IntegrityOptions(), board)
    at_s = MIDNIGHT_TAI_S + sign
    for left_s in range(10, -20, -1):
        leap = LeapInfo(
            tai_minus_utc_s=37 if left_s > 0 else 37 + sign,
            change_s=sign if left_s >= 0 else 0,
            seconds_to_event=left_s if left_s >= 0 else None,
            source="GPS",
            read_mono_ns=(1000 - left_s) * NS_PER_S,
        )
        watch.take(leap, (at_s - left_s) * NS_PER_S)
        watch.look((1000 - left_s) * NS_PER_S + 1, (at_s - left_s) * NS_PER_S)
        assert "leap-mismatch" not in board
