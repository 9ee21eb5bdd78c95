"""Recordings cut anywhere and fed in any pieces give the same events as in one piece."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from timecard.gnss.capture import REPLAY_EARLIEST_TAI_S
from timecard.gnss.framing import Framer, Item, without_header
from timecard.gnss.pacing import EpochPacer
from timecard.gnss.stream_decoder import StreamDecoder
from timecard.values import GnssEvent

HEAD = 4096
"""Cut at every byte of it."""
TAIL = 2048
"""What follows the head in a window: more than the longest frame of any recording."""
PLACES = 500
NAMES = [
    "neo-m8n.log", "nmea-fuzzy-cases.log", "polarx2.log", "pygpsdata-BADHDR.log", "pygpsdata-MIXED.log",
    "pygpsdata-MIXED3BADCK.log", "pygpsdata-MON.log", "pygpsdata-NAV-ZED-X20P.log", "pygpsdata-NAV.log",
    "pygpsdata-RXMRAWX.log", "pygpsdata-SEC.log", "quectel-l76k-nmea.log", "sbf/mosaic-x5-sbfdata.log",
    "sbf/pygpsdata_mixed.log", "sbf/pygpsdata_x5_pvttruncated.log", "sbf/pygpsdata_x5_status.log",
    "sbf/pygpsdata_x5_time.log", "sbf/pygpsdata_x5pvt.log", "trimble-res720.log", "u-blox-m8t-time.log",
    "ublox-f9p-hpnmea.log", "ublox-f9p-rtcm.log", "ucenter-ZEDF9P-configdebug.log",
]  # fmt: skip


def stream_of(shared_dir: Path, name: str) -> bytes:
    return without_header((shared_dir / "data" / "gnss" / name).read_bytes())


def decode(pieces: Iterable[bytes]) -> list[GnssEvent]:
    decoder = StreamDecoder(REPLAY_EARLIEST_TAI_S, EpochPacer())
    events = [event for piece in pieces for event in decoder.feed(piece, 0)]
    return events + decoder.finish(0)


def frames(pieces: Iterable[bytes]) -> list[Item]:
    framer = Framer()
    items = [item for piece in pieces for item in framer.feed(piece, 0)]
    return items + list(framer.finish(0))


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


def random_pieces(rng: random.Random, data: bytes, longest: int) -> list[bytes]:
    places, at = [], 0
    while (at := at + rng.randint(1, longest)) < len(data):
        places.append(at)
    return cut(data, places)


@pytest.mark.parametrize("name", NAMES)
def test_a_cut_here_and_there(name: str, shared_dir: Path) -> None:
    stream = stream_of(shared_dir, name)
    head = stream[: HEAD + TAIL]
    expected = decode([head])
    for at in range(len(name), min(HEAD, len(head)), 211):
        assert decode(cut(head, [at])) == expected, f"cut at {at}"
    rng = random.Random(name)
    expected_frames = frames([stream])
    for _ in range(5):
        at = rng.randint(0, len(stream))
        assert frames(cut(stream, [at])) == expected_frames, f"cut at {at}"
    assert decode(random_pieces(rng, stream, 400)) == decode([stream])


@pytest.mark.parametrize("name", NAMES)
def test_byte_by_byte(name: str, shared_dir: Path) -> None:
    stream = stream_of(shared_dir, name)[:HEAD]
    assert decode(cut(stream, range(1, len(stream)))) == decode([stream])


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", NAMES)
def test_a_cut_at_every_byte_of_the_head(name: str, shared_dir: Path) -> None:
    head = stream_of(shared_dir, name)[: HEAD + TAIL]
    expected = decode([head])
    for at in range(min(HEAD, len(head)) + 1):
        assert decode(cut(head, [at])) == expected, f"cut at {at}"


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", NAMES)
def test_a_cut_at_random_places_after_the_head(name: str, shared_dir: Path) -> None:
    stream = stream_of(shared_dir, name)
    if len(stream) <= HEAD:
        return
    rng = random.Random(name)
    expected = decode([stream])
    for _ in range(PLACES):
        at = rng.randint(HEAD, len(stream))
        assert decode(cut(stream, [at])) == expected, f"cut at {at}"


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", NAMES)
def test_random_pieces(name: str, shared_dir: Path) -> None:
    stream = stream_of(shared_dir, name)
    rng = random.Random(name)
    expected = decode([stream])
    for longest in (3, 16, 64, 256, 1024, 4096):
        assert decode(random_pieces(rng, stream, longest)) == expected
