"""Pages in fbclock's layouts, read by a reader of our own that follows the published description of it.

Layout, check sum, arithmetic and errors of the reader: facebook/time ``fbclock/fbclock.h`` and ``fbclock.c``.
"""

from __future__ import annotations

import grp
import os
import random
import struct
from pathlib import Path

import pytest

from appliance.bound.writer import BoundPublisher
from appliance.leap.decision import LeapJudgement
from tests.unit.bound.pages import TAI0, S, map_at, report_at
from timecard.leap_list import ComingLeap

NO_DATA, TOO_BIG, PAST, MISMATCH, STALE = -5, -6, -7, -8, -9
MONOTONIC_RAW = 4


class ReaderError(Exception):
    """Its number is fbclock's."""


def crc32c(data: bytes) -> int:
    """Castagnoli's polynomial, reflected, by table."""
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    crc = 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def window(tai_ns: int, seconds: float, error_ns: int, multiplier: int) -> tuple[int, int]:
    if 0xFFFFFFFF in (error_ns, multiplier):
        raise ReaderError(TOO_BIG)
    wou_ns = int(error_ns + multiplier / 65536 * seconds)
    return tai_ns - wou_ns, tai_ns + wou_ns


def read_v1(page: bytes, phc_ns: int) -> tuple[int, int]:
    assert len(page) == 48
    crc, ingress_ns, error_ns, multiplier = struct.unpack_from("<QqII", page)
    if crc != crc32c(struct.pack("<QQQ", ingress_ns, error_ns, multiplier)):
        raise ReaderError(MISMATCH)
    if ingress_ns == 0:
        raise ReaderError(NO_DATA)
    if phc_ns < ingress_ns:
        raise ReaderError(PAST)
    return window(phc_ns, (phc_ns - ingress_ns) / 1e9, error_ns, multiplier)


def read_v2(page: bytes, raw_ns: int, section: int = 0) -> tuple[int, int]:
    assert len(page) == 128
    seq, ingress_ns, error_ns, multiplier = struct.unpack_from("<QqII", page, section)
    clock_id, phc_ns, sysclock_ns, coef_ppb = struct.unpack_from("<Iqqq", page, section + 36)
    if seq == 0:
        raise ReaderError(NO_DATA)
    if seq % 2:
        raise ReaderError(MISMATCH)
    assert clock_id == MONOTONIC_RAW
    since_ns = raw_ns - sysclock_ns
    if not 0 <= since_ns <= 10 * S:
        raise ReaderError(STALE)
    tai_ns = phc_ns + since_ns + since_ns * coef_ppb // S
    return window(tai_ns, max(0, tai_ns - ingress_ns) / 1e9, error_ns, multiplier)


def utc_offset_s(page: bytes, tai_s: float, version: int) -> float:
    """TAI - UTC as its readers smear it."""
    if version == 1:
        start_s, end_s, pre_s, post_s = struct.unpack_from("<QQii", page, 24)
    else:
        start_s, pre_s, post_s = struct.unpack_from("<Qhh", page, 24)
        end_s = start_s + 62_500
    if pre_s == post_s == 0:
        return 37
    if tai_s > end_s:
        return float(post_s)
    if tai_s < start_s:
        return float(pre_s)
    return float(pre_s + (post_s - pre_s) * (tai_s - start_s) / 62_500)


@pytest.fixture(params=[1, 2])
def version(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def path(tmp_path: Path, version: int) -> Path:
    return tmp_path / "fbclock" / f"data_v{version}"


@pytest.fixture
def publisher(tmp_path: Path, path: Path) -> BoundPublisher:
    return BoundPublisher(tmp_path / "bound", fbclock_page=path)


def read(path: Path, version: int, instant_ns: int) -> tuple[int, int]:
    page = path.read_bytes()
    return read_v1(page, instant_ns) if version == 1 else read_v2(page, instant_ns)


def test_the_check_sum_of_this_reader_is_the_published_one() -> None:
    assert crc32c(b"123456789") == 0xE3069283


def test_everybody_may_read_it_and_nothing_is_claimed_at_first(
    path: Path, publisher: BoundPublisher, version: int
) -> None:
    assert path.stat().st_mode & 0o777 == 0o644
    assert path.stat().st_size == {1: 48, 2: 128}[version]
    with pytest.raises(ReaderError) as refused:
        read(path, version, S)
    assert refused.value.args[0] in (NO_DATA, MISMATCH)


def test_the_group_of_the_page_is_its_group_too(tmp_path: Path, path: Path, version: int) -> None:
    group = grp.getgrgid(os.getegid()).gr_name
    BoundPublisher(tmp_path / "bound", group=group, fbclock_page=path)
    assert path.stat().st_mode & 0o777 == 0o640


def test_its_readers_get_an_interval_that_holds_the_truth(
    path: Path, publisher: BoundPublisher, version: int
) -> None:
    """The card is off by up to its bound, the line and its rate by up to what the map says."""
    source = random.Random(version)
    for _ in range(300):
        anchor_ns = source.randrange(1, 1 << 45)
        rate_ppb = source.uniform(-50_000, 50_000)
        wrong_ppb, off_share = source.uniform(-40, 40), source.choice((-1.0, 1.0, source.uniform(-1, 1)))
        publisher.note(report_at(anchor_ns))
        publisher.write(map_at(anchor_ns, rate_ppb=rate_ppb))
        later_ns = source.randrange(0, 5 * S)
        moved_ns = later_ns + round(later_ns * (rate_ppb + wrong_ppb) / S)
        card_tai_ns = TAI0 + anchor_ns + moved_ns
        if version == 1:
            truth_ns = card_tai_ns - round(off_share * (61 + 0.4 * later_ns / S))
            earliest_ns, latest_ns = read(path, version, card_tai_ns)
        else:
            truth_ns = card_tai_ns - round(off_share * (61 + 60 + 0.4 * later_ns / S))
            earliest_ns, latest_ns = read(path, version, anchor_ns + later_ns)
        assert earliest_ns <= truth_ns <= latest_ns
        widest_ns = 61 + 0.4 * 5 + 4 if version == 1 else 121 + 201 * 5 + 8
        assert latest_ns - earliest_ns <= 2 * widest_ns, "and it is no wider than it has to be"


def test_nothing_claimed_is_an_error_for_its_readers(
    path: Path, publisher: BoundPublisher, version: int
) -> None:
    publisher.note(report_at(S))
    publisher.write(map_at(S))
    instant_ns = TAI0 + 2 * S if version == 1 else 2 * S
    assert read(path, version, instant_ns)
    error = TOO_BIG if version == 1 else STALE
    for refuse in (publisher.disrupt, publisher.close):
        publisher.note(report_at(S))
        publisher.write(map_at(S))
        refuse()
        with pytest.raises(ReaderError) as refused:
            read(path, version, TAI0 + 20 * S if version == 1 else 20 * S)
        assert refused.value.args == (error,)


def test_a_dead_writer_is_stale_for_readers_of_version_2(tmp_path: Path) -> None:
    path = tmp_path / "data_v2"
    publisher = BoundPublisher(tmp_path / "bound", fbclock_page=path)
    publisher.note(report_at(S))
    publisher.write(map_at(S))
    assert read_v2(path.read_bytes(), 11 * S)
    for instant_ns in (S - 1, 11 * S + 1):
        with pytest.raises(ReaderError) as refused:
            read_v2(path.read_bytes(), instant_ns)
        assert refused.value.args == (STALE,)


def test_times_in_the_past_are_not_offered(tmp_path: Path) -> None:
    path = tmp_path / "data_v2"
    publisher = BoundPublisher(tmp_path / "bound", fbclock_page=path)
    publisher.note(report_at(S))
    publisher.write(map_at(S))
    with pytest.raises(ReaderError) as refused:
        read_v2(path.read_bytes(), 2 * S, section=64)
    assert refused.value.args == (NO_DATA,)


@pytest.mark.parametrize("change_s", [1, -1])
def test_its_readers_smear_a_leap_second_without_a_jump(
    path: Path, publisher: BoundPublisher, version: int, change_s: int
) -> None:
    midnight_s = 1_798_761_600 + 37
    coming = ComingLeap(change_s, midnight_s + change_s)

    def page_at(tai_s: int, *, withdrawn: bool = False) -> bytes:
        over = tai_s >= coming.at_tai_s
        leap = LeapJudgement(
            tai_minus_utc_s=37 + (change_s if over else 0),
            valid=True,
            coming=None if over or withdrawn else coming,
            why="test",
        )
        publisher.note(report_at(S, leap=leap, leap_tai_s=tai_s))
        publisher.write(map_at(S))
        return path.read_bytes()

    assert utc_offset_s(page_at(midnight_s - 9000), midnight_s - 9000, version) == 37
    before = 37.0
    for after_s in (-1, 0, 1, 2, 10_000, 31_250, 62_499, 62_501, 90_000):
        now = utc_offset_s(page_at(midnight_s + after_s), midnight_s + after_s, version)
        assert (now - before) * change_s >= 0
        assert abs(now - 37 - change_s * min(max(after_s / 62_500, 0), 1)) < 1e-9
        before = now
    assert before == 37 + change_s
    # One that was taken back before it came is not smeared.
    page_at(midnight_s - 9000)
    page_at(midnight_s - 8000, withdrawn=True)
    assert utc_offset_s(page_at(midnight_s - 10, withdrawn=True), midnight_s + 100, version) == 37
