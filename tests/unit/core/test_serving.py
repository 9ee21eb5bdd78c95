"""What is announced follows from the snapshot, the map and the receiver's words."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import cast

import pytest

from appliance.clock_map import MapState
from appliance.leap.decision import LeapJudgement
from appliance.serving import (
    FLAG_LEAP59,
    FLAG_LEAP61,
    FLAG_PTP_TIMESCALE,
    FLAG_UTC_OFFSET_VALID,
    LeapSwitch,
    clock_identity,
    leap_flags,
    leap_switch,
    plane_bounds,
    utc_offset,
)
from appliance.snapshot import ClockSnapshot
from timecard.leap_list import ComingLeap
from timecard.timescale import NS_PER_S

MAP = MapState(
    anchor_raw_ns=0,
    anchor_tai_ns=0,
    rate_ppb=0.0,
    error_ns=80.0,
    rate_error_ppb=0.0,
    half_width_ns=40.0,
    method="ptm",
    valid_until_raw_ns=3_000_000_000,
)


AT_S = 1_798_761_638
"""Midnight of UTC after a leap second at the end of 2026, TAI - UTC being 38 s from then on."""


def snapshot(change_s: int, left_s: int | None, *, valid: bool = True) -> ClockSnapshot:
    """So long before a leap second; None: the time is not known. ``change_s`` of 0: there is none."""
    coming = ComingLeap(change_s, AT_S) if change_s else None
    leap = LeapJudgement(tai_minus_utc_s=37, valid=valid, coming=coming, why="for the test")
    tai_s = None if left_s is None else AT_S - left_s
    return cast(ClockSnapshot, SimpleNamespace(leap=leap, leap_tai_s=tai_s))


@pytest.mark.parametrize(
    ("change_s", "left_s", "flags", "offset_s"),
    [
        (1, 43_200, FLAG_LEAP61, 37),
        (1, 1, FLAG_LEAP61, 37),
        (-1, 600, FLAG_LEAP59, 37),
        (1, 43_201, 0, 37),
        (1, 0, 0, 38),
        (-1, 0, 0, 36),
        (1, -5, 0, 38),
        (0, 600, 0, 37),
    ],
)
def test_leap_flags_only_in_the_last_twelve_hours(
    change_s: int, left_s: int, flags: int, offset_s: int
) -> None:
    assert leap_flags(snapshot(change_s, left_s)) == flags
    assert utc_offset(snapshot(change_s, left_s)) == (offset_s, True)


def test_without_a_time_no_leap_second_is_announced() -> None:
    assert leap_flags(snapshot(1, None)) == 0
    assert utc_offset(snapshot(1, None)) == (37, True)


def test_an_offset_that_nobody_vouches_for_is_announced_as_such() -> None:
    assert utc_offset(snapshot(0, 600, valid=False)) == (37, False)


def test_the_announcement_says_beforehand_what_it_becomes() -> None:
    flags = FLAG_LEAP61 | FLAG_UTC_OFFSET_VALID | FLAG_PTP_TIMESCALE
    switch = leap_switch(snapshot(1, 600), flags)
    assert switch == LeapSwitch(
        tai_ns=AT_S * NS_PER_S, utc_offset_s=38, flags=FLAG_UTC_OFFSET_VALID | FLAG_PTP_TIMESCALE
    )
    assert leap_switch(snapshot(1, 86_400), flags & ~FLAG_LEAP61) is None
    assert leap_switch(snapshot(0, 600), 0) is None


def test_biases_of_the_planes_add_linearly() -> None:
    nic = dataclasses.replace(MAP, error_ns=300.0)
    soft, hard = plane_bounds(60.0, MAP, MAP, hardware=False), plane_bounds(60.0, MAP, nic, hardware=True)
    assert (soft.card_ns, soft.host_ns, soft.port_ns) == (60.0, 140.0, 5140.0)
    assert (hard.host_ns, hard.port_ns) == (140.0, 410.0)


@pytest.mark.parametrize(("card_ns", "state"), [(None, MAP), (60.0, None), (None, None)])
def test_a_plane_without_its_ground_claims_nothing(card_ns: float | None, state: MapState | None) -> None:
    bounds = plane_bounds(card_ns, state, state, hardware=False)
    assert bounds.card_ns == card_ns
    assert bounds.host_ns is None and bounds.port_ns is None


def test_a_card_with_an_eui48_lends_it() -> None:
    assert clock_identity("0c:42:a1:6d:7c:a6").hex() == "0c42a1fffe6d7ca6"


def test_other_cards_get_one_stable_identity() -> None:
    first, again = clock_identity("pci-0000:3b:00.0"), clock_identity("pci-0000:3b:00.0")
    assert first == again and len(first) == 8 and any(first)
