"""What is announced follows from the snapshot, the map and the receiver's words."""

from __future__ import annotations

import dataclasses

import pytest

from appliance.board import StatusBoard
from appliance.clock_map import MapState
from appliance.serving import FLAG_LEAP59, FLAG_LEAP61, clock_identity, leap_flags, plane_bounds
from timecard.values import LeapInfo

MAP = MapState(
    anchor_raw_ns=0,
    anchor_tai_ns=0,
    rate_ppb=0.0,
    error_ns=80.0,
    half_width_ns=40.0,
    method="ptm",
    valid_until_raw_ns=3_000_000_000,
)


def leap(change_s: int, seconds: int | None) -> StatusBoard:
    board = StatusBoard()
    board.note(
        LeapInfo(
            tai_minus_utc_s=37, change_s=change_s, seconds_to_event=seconds, source="GPS", read_mono_ns=0
        )
    )
    return board


@pytest.mark.parametrize(
    ("change_s", "seconds", "flags"),
    [
        (1, 43_200, FLAG_LEAP61),
        (1, 1, FLAG_LEAP61),
        (-1, 600, FLAG_LEAP59),
        (1, 43_201, 0),
        (1, 0, 0),
        (1, -5, 0),
        (0, 600, 0),
        (1, None, 0),
    ],
)
def test_leap_flags_only_in_the_last_twelve_hours(change_s: int, seconds: int | None, flags: int) -> None:
    assert leap_flags(leap(change_s, seconds)) == flags


def test_no_leap_word_no_flag() -> None:
    assert leap_flags(StatusBoard()) == 0


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
