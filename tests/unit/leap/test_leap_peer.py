"""What another server announces of leap seconds becomes a word, once when it changes and once a minute."""

from __future__ import annotations

import contextlib
import time

import pytest

from appliance.clock_map import MapState
from appliance.leap.words import LeapWord
from appliance.peer_config import PeerConfig
from appliance.peers import LEAP_EVERY_NS, SptpPeer
from tests.unit.ptp.native_client import ANNOUNCE, NS, UTC_OFFSET_NS, Client, fresh_page, serving
from timecard.errors import DeviceTimeoutError
from timecard.leap_list import ComingLeap
from timecard.timebase import HostTimebase

MIDNIGHT_TAI_S = 1_798_761_600 + 37
EVENING_NS = (MIDNIGHT_TAI_S - 3 * 3600) * NS


class Clock(HostTimebase):
    """The host's, and ahead by what a test says."""

    ahead_ns = 0

    def mono_ns(self) -> int:
        return super().mono_ns() + self.ahead_ns


def evening(raw_ns: int) -> MapState:
    """Our own clock, three hours before midnight."""
    return MapState(
        anchor_raw_ns=raw_ns,
        anchor_tai_ns=EVENING_NS,
        rate_ppb=0.0,
        error_ns=100.0,
        rate_error_ppb=0.0,
        half_width_ns=100.0,
        method="test",
        valid_until_raw_ns=raw_ns + 3600 * NS,
    )


def read(peer: SptpPeer) -> None:
    """A stalled host may lose packets."""
    with contextlib.suppress(DeviceTimeoutError):
        peer.read()


@pytest.mark.parametrize(("flag", "sign"), [(0x01, 1), (0x02, -1), (0, 0)])
def test_a_peers_announce_becomes_a_word(flag: int, sign: int) -> None:
    page = fresh_page(offset_ns=EVENING_NS - time.time_ns() - UTC_OFFSET_NS)
    page.publish_announce(**ANNOUNCE | {"flags": 0x0C | flag, "clock_accuracy": 0x21})
    clock = Clock()
    with serving(page) as server, Client(server):
        ports = (server.event_port, server.general_port)
        card: list[MapState] = []
        peer = SptpPeer(
            PeerConfig(name="other", address="127.0.0.1", ports=ports),
            *(clock, lambda: card[0] if card else None, bytes(8)),
        )
        peer.open()
        read(peer)
        assert peer.leap_words() == [], "our own time is not known"
        card.append(evening(clock.mono_ns()))
        words: list[LeapWord] = []
        for _ in range(20):
            read(peer)
            words = peer.leap_words()
            if words:
                break
        (word,) = words
        assert (word.source, word.tai_minus_utc_s) == ("peer other", 37)
        expected = ComingLeap(sign, MIDNIGHT_TAI_S + sign) if sign else None
        assert word.coming(MIDNIGHT_TAI_S - 10_000) == expected
        assert peer.leap_words() == [], "nothing new"
        clock.ahead_ns = LEAP_EVERY_NS
        assert len(peer.leap_words()) == 1
        page.publish_announce(**ANNOUNCE | {"flags": 0x08, "clock_accuracy": 0x21})
        told = []
        for _ in range(20):
            read(peer)
            told += peer.leap_words()
            if told:
                break
        assert told[0].tai_minus_utc_s is None, "its offset is not valid any more"
        peer.close()
