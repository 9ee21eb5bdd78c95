"""At a leap second the packets themselves switch: what goes out at or after midnight has the new offset."""

from __future__ import annotations

import pytest

from appliance.ptp._native import ClockPage
from tests.unit.ptp.native_client import (
    ANNOUNCE,
    ANNOUNCE_TYPE,
    NS,
    Client,
    Datagram,
    fresh_page,
    raw_ns,
    request,
    serving,
    signaling,
)

FLAG61, VALID_AND_PTP = 0x01, 0x0C
LONG_S = 20.0
"""A busy machine may take its time; every reply says for itself which instant it is of."""


def said(announce: Datagram) -> tuple[int, int]:
    """currentUtcOffset and the low byte of flagField."""
    return int.from_bytes(announce.data[44:46], "big", signed=True), announce.data[7]


def announce_leap(page: ClockPage, in_ns: int) -> int:
    """Announce a leap second; its TAI. After that nobody writes to the page."""
    now_tai_ns = page.read_map(raw_ns())
    assert now_tai_ns is not None
    page.set_leap(tai_ns=now_tai_ns + in_ns, utc_offset_after=38, flags_after=VALID_AND_PTP)
    page.publish_announce(**ANNOUNCE | {"flags": VALID_AND_PTP | FLAG61})
    return now_tai_ns + in_ns


def expected(origin_tai_ns: int, leap_tai_ns: int) -> tuple[int, int]:
    return (37, VALID_AND_PTP | FLAG61) if origin_tai_ns < leap_tai_ns else (38, VALID_AND_PTP)


def test_sptp_replies_switch_at_midnight_by_their_own_time() -> None:
    page = fresh_page()
    announce_leap(page, 3600 * NS)
    with serving(page) as server, Client(server) as client:
        assert said(client.exchange(1)[1]) == (37, VALID_AND_PTP | FLAG61)
        leap_tai_ns = announce_leap(page, NS // 4)
        deadline, sequence, offset_s = raw_ns() + round(LONG_S * NS), 1, 37
        while offset_s == 37 and raw_ns() < deadline:
            sequence += 1
            _, announce = client.exchange(sequence)
            assert said(announce) == expected(announce.timestamp_ns, leap_tai_ns)
            offset_s = said(announce)[0]
        assert offset_s == 38


def test_unicast_announce_messages_switch_too() -> None:
    page = fresh_page()
    leap_tai_ns = announce_leap(page, NS // 2)
    with serving(page) as server, Client(server) as client:
        client.general(signaling(request(ANNOUNCE_TYPE, -4, 60)))
        deadline, offset_s = raw_ns() + round(LONG_S * NS), 37
        while offset_s == 37 and raw_ns() < deadline:
            message = client.next(LONG_S)
            if message.kind == ANNOUNCE_TYPE:
                assert said(message) == expected(message.timestamp_ns, leap_tai_ns)
                offset_s = said(message)[0]
        assert offset_s == 38


def test_a_leap_second_goes_out_with_the_next_announce_data_and_not_before() -> None:
    page = fresh_page()
    with serving(page) as server, Client(server) as client:
        page.set_leap(tai_ns=1, utc_offset_after=38, flags_after=0)
        assert said(client.exchange(1)[1]) == (37, ANNOUNCE["flags"])
        page.publish_announce(**ANNOUNCE)
        assert said(client.exchange(2)[1]) == (38, 0)
        page.set_leap(tai_ns=0, utc_offset_after=0, flags_after=0)
        page.publish_announce(**ANNOUNCE)
        assert said(client.exchange(3)[1]) == (37, ANNOUNCE["flags"])


@pytest.mark.parametrize(
    ("tai_ns", "offset_s", "flags"), [(-1, 0, 0), (0, 40_000, 0), (0, -40_000, 0), (0, 0, 256), (0, 0, -1)]
)
def test_impossible_leap_data_is_refused(tai_ns: int, offset_s: int, flags: int) -> None:
    with pytest.raises(ValueError, match="out of range"):
        ClockPage().set_leap(tai_ns=tai_ns, utc_offset_after=offset_s, flags_after=flags)
