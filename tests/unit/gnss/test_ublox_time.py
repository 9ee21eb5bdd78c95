"""TAI from a receiver's labels and epochs, leap seconds, and the guard against week rollover."""

from __future__ import annotations

import calendar
import struct
from datetime import UTC, datetime
from typing import Any

import pytest

from timecard.gnss.receivers.ublox_timing import UbloxDecoder
from timecard.gnss.ublox_profile import UbloxOptions
from timecard.gnss.ubx import UbxFrame, encode
from timecard.timescale import NS_PER_S
from timecard.values import FixType, GnssEvent, GnssFix, LeapInfo, PulseLabel

# 2025-11-20 00:00:01 GPS is 23:59:43 UTC the day before, and 00:00:20 TAI.
TAI_S = int(datetime(2025, 11, 20, 0, 0, 20, tzinfo=UTC).timestamp())
GPS_WEEK, GPS_TOW_S = 2393, 345_601
UTC_TOW_S = GPS_TOW_S - 18
UTC_KNOWN = 2
QERR_INVALID, NOT_LOCKED = 0x10, 0x20


def decoder(**options: Any) -> UbloxDecoder:
    return UbloxDecoder(UbloxOptions(**({"earliest_tai_s": 1_600_000_000} | options)))


def events(target: UbloxDecoder, key: int, payload: bytes, mono_ns: int = 0) -> list[GnssEvent]:
    return list(target.decode(UbxFrame(key, encode(key, payload)), mono_ns))


def tim_tp(week: int, tow_s: float, flags: int, reference: int, qerr_ps: int = 0) -> bytes:
    return struct.pack("<IIiHBB", round(tow_s * 1000), 0, qerr_ps, week, flags, reference)


def timels(leap_s: int = 18, source: int = 2, valid: int = 3, change: int = 0, left_s: int = 0) -> bytes:
    return struct.pack("<IB3xBbBbiHH3xB", 0, 0, source, leap_s, 2, change, left_s, 0, 0, valid)


def label(target: UbloxDecoder, payload: bytes, mono_ns: int = 0) -> PulseLabel:
    (event,) = events(target, 0x0D01, payload, mono_ns)
    assert isinstance(event, PulseLabel)
    return event


def test_label_of_the_reference_frame() -> None:
    target = decoder()
    frame = bytes.fromhex("b5620d011000e8739914000000002efbffff59090a30e9db")
    (event,) = target.decode(UbxFrame(0x0D01, frame), 5)
    assert event == PulseLabel(
        edge_tai_ns=TAI_S * NS_PER_S, qerr_ns=-1.234, pulse_locked=True, read_mono_ns=5
    )


@pytest.mark.parametrize(
    ("base", "reference", "week", "tow_s"),
    [
        pytest.param(0, 0, GPS_WEEK, GPS_TOW_S, id="GPS"),
        pytest.param(0, 2, GPS_WEEK - 1356, GPS_TOW_S - 14, id="BeiDou"),
        pytest.param(0, 3, GPS_WEEK - 1024, GPS_TOW_S, id="Galileo"),
        pytest.param(0, 1, GPS_WEEK, UTC_TOW_S + 3 * 3600, id="GLONASS"),
        pytest.param(1, 15, GPS_WEEK, UTC_TOW_S, id="UTC"),
    ],
)
def test_every_time_base_names_the_same_second(base: int, reference: int, week: int, tow_s: int) -> None:
    target = decoder()
    events(target, 0x0126, timels())
    payload = tim_tp(week, tow_s, base | UTC_KNOWN, reference)
    assert label(target, payload).edge_tai_ns == TAI_S * NS_PER_S


@pytest.mark.parametrize(("base", "reference"), [(1, 15), (0, 1)])
@pytest.mark.parametrize(
    "leap",
    [
        None,
        timels(source=0),  # the firmware's own figure
        timels(source=6),  # aiding
        timels(source=7),  # configured
        timels(valid=0),
        timels(source=255, valid=1),  # unknown, and no satellite has told of a change either
    ],
)
def test_labels_in_utc_need_leap_seconds_from_a_satellite(
    base: int, reference: int, leap: bytes | None
) -> None:
    target = decoder()
    if leap is not None:
        events(target, 0x0126, leap)
    assert label(target, tim_tp(GPS_WEEK, UTC_TOW_S, base | UTC_KNOWN, reference)).edge_tai_ns is None
    assert label(target, tim_tp(GPS_WEEK, GPS_TOW_S, 0, 0)).edge_tai_ns == TAI_S * NS_PER_S


@pytest.mark.parametrize("reference", [4, 15])
def test_an_unknown_reference_system_names_no_second(reference: int) -> None:
    assert label(decoder(), tim_tp(GPS_WEEK, GPS_TOW_S, UTC_KNOWN, reference)).edge_tai_ns is None


def test_a_label_between_seconds_is_none() -> None:
    target = decoder()
    assert label(target, tim_tp(GPS_WEEK, GPS_TOW_S + 0.2, 0, 0)).edge_tai_ns is None
    late = struct.pack("<IIiHBB", GPS_TOW_S * 1000 - 1, 2**32 - 1, 0, GPS_WEEK, 0, 0)
    assert label(target, late).edge_tai_ns == TAI_S * NS_PER_S


def test_a_utc_label_beside_a_leap_second_is_not_trusted() -> None:
    target = decoder()
    utc = tim_tp(GPS_WEEK, UTC_TOW_S, 1 | UTC_KNOWN, 15)
    events(target, 0x0126, timels(change=1, left_s=5), mono_ns=0)
    assert label(target, utc, mono_ns=1 * NS_PER_S).edge_tai_ns is not None
    assert label(target, utc, mono_ns=4 * NS_PER_S).edge_tai_ns is None
    assert label(target, utc, mono_ns=6 * NS_PER_S).edge_tai_ns is None
    assert label(target, utc, mono_ns=8 * NS_PER_S).edge_tai_ns is not None


@pytest.mark.parametrize(
    ("qerr_ps", "flags", "model", "expected_ns"),
    [
        (4_999, 0, "ZED-F9T", 4.999),
        (5_001, 0, "ZED-F9T", None),
        (10_158, 0, "NEO-M8T-0", 10.158),
        (-10_158, 0, "NEO-M8T-0", -10.158),
        (10_501, 0, "NEO-M8T-0", None),
        (100, QERR_INVALID, "ZED-F9T", None),
        (9_000, 0, "something new", 9.0),
    ],
)
def test_quantisation_error_is_used_within_the_limit_of_the_family(
    qerr_ps: int, flags: int, model: str, expected_ns: float | None
) -> None:
    target = decoder()
    texts = [(b"EXT CORE", 30), (b"00190000", 10), (b"FWVER=X 1", 30), (b"MOD=" + model.encode(), 30)]
    events(target, 0x0A04, b"".join(text.ljust(size, b"\0") for text, size in texts))
    assert label(target, tim_tp(GPS_WEEK, GPS_TOW_S, flags, 0, qerr_ps)).qerr_ns == expected_ns


def test_the_limit_can_be_set_and_an_unlocked_pulse_is_told() -> None:
    target = decoder(qerr_limit_ps=3_000)
    assert label(target, tim_tp(GPS_WEEK, GPS_TOW_S, 0, 0, 3_001)).qerr_ns is None
    assert not label(target, tim_tp(GPS_WEEK, GPS_TOW_S, NOT_LOCKED, 0)).pulse_locked


# --- epochs ---


def nav_pvt(
    itow_ms: int, utc: tuple[int, ...], valid: int = 7, fix: int = 5, flags: int = 1, flags2: int = 0xE0
) -> bytes:
    head = struct.pack("<IH6BIi4B", itow_ms, *utc, valid, 12, 0, fix, flags, flags2, 9)
    return head.ljust(92, b"\0")


def fix_of(target: UbloxDecoder, payload: bytes, mono_ns: int = 0) -> GnssFix:
    (event,) = events(target, 0x0107, payload, mono_ns)
    assert isinstance(event, GnssFix)
    return event


def test_an_epoch_needs_no_leap_seconds() -> None:
    fix = fix_of(decoder(), nav_pvt(GPS_TOW_S * 1000, (2025, 11, 19, 23, 59, 43), valid=3))
    assert fix.epoch_tai_ns == TAI_S * NS_PER_S
    assert fix.fix is FixType.TIME_ONLY
    assert fix.fix_ok
    assert fix.time_valid
    assert fix.time_confirmed
    assert not fix.utc_resolved
    assert fix.time_accuracy_ns == 12.0
    assert fix.satellites_used == 9


@pytest.mark.parametrize("gps_second_of_week", [0, 1, 17, 18, 604_799])
def test_weeks_and_days_roll_over_together(gps_second_of_week: int) -> None:
    target = decoder()
    week_start_tai_s = TAI_S - GPS_TOW_S
    for step in range(-3, 4):
        tai_s = week_start_tai_s + gps_second_of_week + step
        utc = datetime.fromtimestamp(tai_s - 37, UTC)
        itow_ms = (tai_s - week_start_tai_s) % 604_800 * 1000
        fields = (utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second)
        fix = fix_of(target, nav_pvt(itow_ms, fields), mono_ns=step * NS_PER_S)
        assert fix.epoch_tai_ns == tai_s * NS_PER_S


def test_second_60_is_an_epoch_like_any_other() -> None:
    leap_tai_s = calendar.timegm((2027, 1, 1, 0, 0, 0)) + 37
    itow_ms = (leap_tai_s - 315_964_819) % 604_800 * 1000
    fix = fix_of(decoder(), nav_pvt(itow_ms, (2026, 12, 31, 23, 59, 60)))
    assert fix.epoch_tai_ns == leap_tai_s * NS_PER_S


@pytest.mark.parametrize("valid", [0, 1, 2])
def test_time_is_not_valid_before_date_and_time_are(valid: int) -> None:
    fix = fix_of(
        decoder(), nav_pvt(GPS_TOW_S * 1000, (2025, 11, 19, 23, 59, 43), valid=valid, fix=0, flags=0)
    )
    assert fix.epoch_tai_ns is None
    assert not fix.time_valid
    assert not fix.fix_ok


def test_an_impossible_date_is_no_time() -> None:
    assert fix_of(decoder(), nav_pvt(0, (2025, 13, 40, 25, 61, 0))).epoch_tai_ns is None


@pytest.mark.parametrize("weeks", [-1024, 1024])
def test_a_rolled_over_week_is_refused_and_named(weeks: int) -> None:
    target = UbloxDecoder(UbloxOptions())
    assert label(target, tim_tp(GPS_WEEK + weeks, GPS_TOW_S, 0, 0)).edge_tai_ns is None
    assert target.problem is not None
    assert "rollover" in target.problem
    wrong = datetime.fromtimestamp(TAI_S - 37 + weeks * 604_800, UTC)
    payload = nav_pvt(
        GPS_TOW_S * 1000, (wrong.year, wrong.month, wrong.day, wrong.hour, wrong.minute, wrong.second)
    )
    fix = fix_of(target, payload)
    assert fix.epoch_tai_ns is None
    assert not fix.time_valid
    assert label(target, tim_tp(GPS_WEEK, GPS_TOW_S, 0, 0)).edge_tai_ns == TAI_S * NS_PER_S
    assert target.problem is None


# --- leap seconds ---


def leap_of(target: UbloxDecoder, payload: bytes, mono_ns: int = 0) -> LeapInfo | None:
    found = events(target, 0x0126, payload, mono_ns)
    leaps = [event for event in found if isinstance(event, LeapInfo)]
    assert len(leaps) == len(found)
    return leaps[0] if leaps else None


def test_leap_seconds_count_only_from_satellites() -> None:
    target = decoder()
    known = leap_of(target, timels())
    assert known is not None
    assert (known.tai_minus_utc_s, known.source, known.change_s, known.seconds_to_event) == (
        37,
        "GPS",
        0,
        None,
    )
    default = leap_of(target, timels(source=0))
    assert default is not None
    assert (default.tai_minus_utc_s, default.source) == (None, "none")


@pytest.mark.parametrize("change", [1, -1])
def test_an_announced_leap_second_counts_down_each_second(change: int) -> None:
    target = decoder()
    for second, left_s in enumerate((3, 2, 1, 0)):
        info = leap_of(target, timels(change=change, left_s=left_s), mono_ns=second * NS_PER_S)
        assert info is not None
        assert (info.change_s, info.seconds_to_event) == (change, left_s)
    past = leap_of(target, timels(leap_s=18 + change, left_s=-1, change=change), mono_ns=4 * NS_PER_S)
    assert past is not None
    assert (past.tai_minus_utc_s, past.change_s, past.seconds_to_event) == (37 + change, 0, None)


def test_an_unchanged_message_is_not_decoded_again_at_once() -> None:
    target = decoder()
    assert leap_of(target, timels(), mono_ns=0) is not None
    assert leap_of(target, timels(left_s=-5), mono_ns=1 * NS_PER_S) is None
    assert leap_of(target, timels(leap_s=19), mono_ns=2 * NS_PER_S) is not None
    assert leap_of(target, timels(leap_s=19), mono_ns=12 * NS_PER_S) is not None


@pytest.mark.parametrize(("valid", "change"), [(1, 1), (3, 2), (3, -128)])
def test_a_change_without_validity_or_of_a_strange_size_is_none(valid: int, change: int) -> None:
    info = leap_of(decoder(), timels(valid=valid, change=change, left_s=100))
    assert info is not None
    assert (info.change_s, info.seconds_to_event) == (0, None)
