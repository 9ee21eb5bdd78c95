"""The Septentrio decoder on blocks made here by the layouts of the reference guide."""

from __future__ import annotations

import math
import struct
from binascii import crc_hqx

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pysbf2 import SBFReader

from timecard.gnss import sbf_messages as sbf
from timecard.gnss.framing import Framer, SbfBlock
from timecard.gnss.receivers.septentrio import SbfDecoder
from timecard.timescale import NS_PER_S, S_PER_WEEK
from timecard.values import (
    AntennaPosition,
    AntennaStatus,
    CorruptData,
    FixType,
    GnssEvent,
    GnssFix,
    JammingState,
    LeapInfo,
    PulseLabel,
    ReceiverIdentity,
    RfStatus,
    SatelliteView,
    Signal,
    SignalView,
    SpoofingState,
    SurveyStatus,
)

WEEK = 2420
TOW_MS = 345_600_000
TAI_S = 315_964_819 + WEEK * S_PER_WEEK + TOW_MS // 1000
USED = (
    sbf.PVT_CARTESIAN, sbf.PVT_GEODETIC, sbf.CHANNEL_STATUS, sbf.RECEIVER_STATUS, sbf.MEAS_EPOCH, sbf.GAL_UTC,
    sbf.QUALITY_IND, sbf.RF_STATUS, sbf.BDS_UTC, sbf.GAL_AUTH_STATUS, sbf.GPS_UTC, sbf.RECEIVER_SETUP,
    sbf.POS_COV_CARTESIAN, sbf.POS_COV_GEODETIC, sbf.PPS_OFFSET, sbf.RECEIVER_TIME,
)  # fmt: skip


def block(number: int, body: bytes, tow_ms: int = TOW_MS, week: int = WEEK) -> SbfBlock:
    """A whole block with its CRC, taken through the framer."""
    body = struct.pack("<IH", tow_ms, week) + body
    body += bytes(-len(body) % 4)
    inner = struct.pack("<HH", number, len(body) + 8) + body
    raw = b"$@" + struct.pack("<H", crc_hqx(inner, 0)) + inner
    (item,) = Framer().feed(raw, 0)
    assert item == SbfBlock(number, raw)
    assert isinstance(item, SbfBlock)
    return item


def pvt(
    mode: int = 1,
    error: int = 0,
    satellites: int = 12,
    accuracy_cm: int = 150,
    tow_ms: int = TOW_MS,
    week: int = WEEK,
) -> SbfBlock:
    place = (math.radians(48.1), math.radians(11.6), 560.0) if not error else (-2e10,) * 3
    body = struct.pack("<BB3d5fdfBBB", mode, error, *place, 47.0, 0, 0, 0, -2e10, 0.1, 0.2, 0, 0, satellites)
    body += struct.pack("<BHHIBBHHHHB", 0, 0, 0, 0, 0, 0, 0, 50, accuracy_cm, 2 * accuracy_cm, 0)
    return block(sbf.PVT_GEODETIC, body, tow_ms, week)


def receiver_time(sync: int = 7, leap_s: int = 18, tow_ms: int = TOW_MS) -> SbfBlock:
    return block(sbf.RECEIVER_TIME, struct.pack("<7bB", 26, 5, 28, 0, 0, 0, leap_s, sync), tow_ms)


def fix_of(events: object) -> GnssFix:
    assert isinstance(events, list | tuple)
    (fix,) = (event for event in events if isinstance(event, GnssFix))
    assert isinstance(fix, GnssFix)
    return fix


def test_an_epoch_with_place_and_time() -> None:
    target = SbfDecoder()
    target.decode(receiver_time(), 5)
    fix, place = target.decode(pvt(), 7)
    assert fix == GnssFix(
        epoch_tai_ns=TAI_S * NS_PER_S,
        fix=FixType.FIX_3D,
        fix_ok=True,
        time_valid=True,
        utc_resolved=True,
        time_accuracy_ns=None,
        satellites_used=12,
        read_mono_ns=7,
    )
    assert isinstance(place, AntennaPosition)
    assert (place.latitude_deg, place.longitude_deg) == pytest.approx((48.1, 11.6))
    # HAccuracy is twice the root mean square.
    assert (place.height_m, place.sigma_m) == (560.0, 0.75)


def test_a_fix_without_time_is_not_valid() -> None:
    target = SbfDecoder()
    assert fix_of(target.decode(pvt(tow_ms=0xFFFFFFFF), 0)).epoch_tai_ns is None
    assert fix_of(target.decode(pvt(week=0xFFFF), 0)).epoch_tai_ns is None
    target.decode(receiver_time(sync=3, leap_s=-128), 0)
    fix = fix_of(target.decode(pvt(), 0))
    assert (fix.time_valid, fix.utc_resolved, fix.fix_ok) == (False, False, True)


def test_a_lost_fix_tells_no_place() -> None:
    events = SbfDecoder().decode(pvt(mode=0, error=1, satellites=255), 0)
    fix = fix_of(events)
    assert (fix.fix, fix.fix_ok, fix.time_valid, fix.satellites_used) == (FixType.NONE, False, False, None)
    assert len(events) == 1


def test_a_rolled_over_week_is_refused_and_told() -> None:
    target = SbfDecoder()
    fix = fix_of(target.decode(pvt(week=WEEK - 1024), 0))
    assert fix.epoch_tai_ns is None
    assert not fix.time_valid
    assert fix.refused_tai_ns == (TAI_S - 1024 * S_PER_WEEK) * NS_PER_S
    assert target.problem is not None
    assert "rollover" in target.problem


def test_of_ten_epochs_a_second_one_names_a_pulse() -> None:
    target = SbfDecoder()
    fixes = [
        event
        for tenth in range(20)
        for event in target.decode(pvt(tow_ms=TOW_MS + tenth * 100), tenth * NS_PER_S // 10)
        if isinstance(event, GnssFix)
    ]
    assert [fix.epoch_tai_ns for fix in fixes] == [TAI_S * NS_PER_S, (TAI_S + 1) * NS_PER_S]


def test_a_survey_and_a_fixed_location() -> None:
    target = SbfDecoder()
    told: list[SurveyStatus] = []
    for second, mode in enumerate([1, 0x41, 0x41, 0x41, 3, 3]):
        events = target.decode(pvt(mode=mode, tow_ms=TOW_MS + second * 1000), second * NS_PER_S)
        told += [event for event in events if isinstance(event, SurveyStatus)]
    assert [(one.active, one.valid, one.read_mono_ns // NS_PER_S) for one in told] == [
        (True, False, 1),
        (False, True, 4),
    ]
    assert fix_of(target.decode(pvt(mode=3), 0)).fix is FixType.TIME_ONLY


def pulse(offset_ns: float, scale: int = 1, age_s: int = 0, tow_ms: int = TOW_MS) -> SbfBlock:
    return block(sbf.PPS_OFFSET, struct.pack("<BBf", age_s, scale, offset_ns), tow_ms)


def label_of(target: SbfDecoder, item: SbfBlock) -> PulseLabel:
    (label,) = target.decode(item, 3)
    assert isinstance(label, PulseLabel)
    return label


def test_an_early_pulse_needs_a_positive_correction() -> None:
    """Offset is negative for a pulse that is early: (edge minus second) + qerr is then zero."""
    label = label_of(SbfDecoder(), pulse(-6.5))
    assert label.qerr_ns == pytest.approx(6.5)
    assert label.edge_tai_ns == TAI_S * NS_PER_S
    assert label.pulse_locked


def test_a_pulse_that_means_nothing() -> None:
    target = SbfDecoder()
    assert label_of(target, pulse(-2e10)).qerr_ns is None
    assert label_of(target, pulse(math.nan)).qerr_ns is None
    assert not label_of(target, pulse(1.0, scale=3)).pulse_locked
    assert not label_of(target, pulse(1.0, age_s=60)).pulse_locked
    assert label_of(target, pulse(1.0, tow_ms=TOW_MS + 500)).edge_tai_ns is None
    target.decode(receiver_time(sync=3), 0)
    assert not label_of(target, pulse(1.0)).pulse_locked


def utc(number: int, leap_s: int, week: int, day: int, next_s: int, tow_ms: int) -> SbfBlock:
    reference = b"" if number == sbf.BDS_UTC else struct.pack("<IB", 0, 0)
    body = (
        struct.pack("<BBfd", 5, 0, 0.0, 0.0)
        + reference
        + struct.pack("<bBBb", leap_s, week % 256, day, next_s)
    )
    return block(number, body, tow_ms)


@pytest.mark.parametrize(
    ("number", "leap_s", "week", "day"),
    [(sbf.GPS_UTC, 18, WEEK, 5), (sbf.GAL_UTC, 18, WEEK - 1024, 5), (sbf.BDS_UTC, 4, WEEK - 1356, 4)],
)
def test_a_leap_second_at_the_end_of_the_day(number: int, leap_s: int, week: int, day: int) -> None:
    """Thursday ends at 5 x 86400 s of the week, UTC; GPS is 19 s ahead after the inserted second."""
    target = SbfDecoder()
    end_ms = (5 * 86_400 + 19) * 1000
    (first,) = target.decode(utc(number, leap_s, week, day, leap_s + 1, end_ms - 60_000), 0)
    assert isinstance(first, LeapInfo)
    assert (first.tai_minus_utc_s, first.change_s, first.seconds_to_event) == (37, 1, 60)
    assert first.source in ("GPS", "Galileo", "BeiDou")
    # ReceiverTime counts down each second and has the new value at the event.
    told: list[GnssEvent] = []
    for left_s in range(59, -3, -1):
        leap = 18 if left_s > 0 else 19
        mono_ns = (60 - left_s) * NS_PER_S
        told += target.decode(receiver_time(leap_s=leap, tow_ms=end_ms - left_s * 1000), mono_ns)
    leaps = [event for event in told if isinstance(event, LeapInfo)]
    assert [event.seconds_to_event for event in leaps[:60]] == list(range(59, -1, -1))
    assert (leaps[-1].tai_minus_utc_s, leaps[-1].change_s, leaps[-1].seconds_to_event) == (38, 0, None)


def test_the_leap_second_of_2016_is_no_news() -> None:
    (event,) = SbfDecoder().decode(utc(sbf.GPS_UTC, 18, 1929, 7, 18, TOW_MS), 0)
    assert isinstance(event, LeapInfo)
    assert (event.tai_minus_utc_s, event.change_s, event.seconds_to_event) == (37, 0, None)


@pytest.mark.parametrize(
    "numbers", [(99, 100, 1, 99), (18, WEEK, 0, 19), (18, WEEK, 9, 19), (18, WEEK, 5, 40)]
)
def test_impossible_leap_data_is_not_used(numbers: tuple[int, int, int, int]) -> None:
    assert SbfDecoder().decode(utc(sbf.GPS_UTC, *numbers, TOW_MS), 0) == ()


def receiver_status(state: int = 0b1110010, error: int = 0, uptime_s: int = 100) -> SbfBlock:
    body = struct.pack("<BBIII", 20, 0, uptime_s, state, error) + bytes((1, 4, 0, 140)) + bytes(4)
    return block(sbf.RECEIVER_STATUS, body)


def test_an_antenna_that_no_longer_draws_current_is_gone() -> None:
    target = SbfDecoder()
    told: list[GnssEvent] = []
    for second, item in enumerate(
        [
            receiver_status(0b1110000),
            receiver_status(),
            receiver_status(),
            receiver_status(0b1110000),
            receiver_status(error=1 << 5),
        ]
    ):
        told += target.decode(item, second * NS_PER_S)
    assert [event.antenna for event in told if isinstance(event, RfStatus)] == [
        AntennaStatus.UNKNOWN,
        AntennaStatus.OK,
        AntennaStatus.OPEN,
        AntennaStatus.SHORT,
    ]


def test_a_restart_is_seen() -> None:
    target = SbfDecoder()
    target.decode(receiver_time(), 0)
    for uptime_s in (100, 101, 3, 4):
        target.decode(receiver_status(uptime_s=uptime_s), 0)
    assert (target.restarts, target.uptime_s) == (1, 4)
    assert not fix_of(target.decode(pvt(), 0)).utc_resolved


def rf_status(modes: list[int], flags: int = 0) -> SbfBlock:
    groups = b"".join(struct.pack("<IHBx", 1_575_420_000, 2000, mode) for mode in modes)
    return block(sbf.RF_STATUS, bytes((len(modes), 8, flags, 0, 0, 0)) + groups)


@pytest.mark.parametrize(
    ("modes", "flags", "jamming", "spoofing"),
    [
        ([], 0, JammingState.OK, SpoofingState.NONE),
        ([1, 2], 0, JammingState.WARNING, SpoofingState.NONE),
        ([2, 8], 1, JammingState.CRITICAL, SpoofingState.INDICATED),
        ([], 2, JammingState.OK, SpoofingState.INDICATED),
        ([8], 3, JammingState.CRITICAL, SpoofingState.MULTIPLE),
    ],
)
def test_interference(modes: list[int], flags: int, jamming: JammingState, spoofing: SpoofingState) -> None:
    (event,) = SbfDecoder().decode(rf_status(modes, flags), 0)
    assert isinstance(event, RfStatus)
    assert (event.jamming, event.spoofing) == (jamming, spoofing)


def authentication(status: int, active: int, authentic: int) -> SbfBlock:
    return block(sbf.GAL_AUTH_STATUS, struct.pack("<HfQQQQ", status, 0.0, active, authentic, 0, 0))


def test_a_satellite_that_fails_authentication_is_an_indication_that_rf_status_does_not_hide() -> None:
    target = SbfDecoder()
    assert target.decode(authentication(1, 3, 0), 0) == ()
    (good,) = target.decode(authentication(6, 3, 3), 0)
    (bad,) = target.decode(authentication(6, 3, 1), NS_PER_S)
    (also,) = target.decode(rf_status([]), 2 * NS_PER_S)
    assert [event.spoofing for event in (good, bad, also) if isinstance(event, RfStatus)] == [
        SpoofingState.NONE,
        SpoofingState.INDICATED,
        SpoofingState.INDICATED,
    ]


def test_identity_and_quality() -> None:
    texts = ((60, ""), (20, ""), (20, ""), (40, ""), (20, "1234567"), (20, "4.14.10"), (20, ""), (20, ""))
    body = bytes(2) + b"".join(text.encode().ljust(size, b"\0") for size, text in texts) + bytes(12)
    body += bytes(20 + 40) + b"mosaic-T".ljust(40, b"\0")
    (event,) = SbfDecoder().decode(block(sbf.RECEIVER_SETUP, body), 9)
    assert event == ReceiverIdentity(model="mosaic-T", firmware="4.14.10", protocol="SBF", read_mono_ns=9)
    target = SbfDecoder()
    assert (
        target.decode(
            block(sbf.QUALITY_IND, struct.pack("<BBHHH", 3, 0, 0 | 9 << 8, 1 | 7 << 8, 11 | 15 << 8)), 0
        )
        == ()
    )
    assert target.quality == {"overall": 9, "signals": 7}


def measurement(svid: int, signal: int, strength: int, more: tuple[tuple[int, int, int], ...] = ()) -> bytes:
    first = struct.pack("<BBBBIiHbBHBB", 1, signal, svid, 0, 0, 0, 0, 0, strength, 0, 0, len(more))
    return first + b"".join(
        struct.pack("<BBBBbBHHH", number, 0, cno, 0, 0, info, 0, 0, 0) for number, cno, info in more
    )


def channel(svid: int, used: bool) -> bytes:
    head = struct.pack("<BBHHHbBBB", svid, 0, 0, 100, 1, 45, 1, 1, 0)
    return head + struct.pack("<BBHHH", 0, 0, 3, 2 if used else 0, 0)


def test_strengths_of_all_signals() -> None:
    target = SbfDecoder()
    channels = b"".join((channel(5, True), channel(71, False), channel(40, True)))
    assert target.decode(block(sbf.CHANNEL_STATUS, bytes((3, 12, 8, 0, 0, 0)) + channels), 0) == ()
    groups = (
        measurement(5, 0, 140, ((4, 120, 0), (1, 100, 0)))
        + measurement(71, 17, 132)
        + measurement(40, 8, 255)
    )
    groups += measurement(181, 31, 88, ((31, 80, 1 << 3),))
    item = block(sbf.MEAS_EPOCH, bytes((4, 20, 12, 0, 0, 0)) + groups)
    view, satellites = target.decode(item, NS_PER_S)
    assert isinstance(view, SignalView)
    assert view.signals == (
        Signal(system="GPS", satellite=5, signal="L1C/A", cno_dbhz=45.0, used=True),
        Signal(system="GPS", satellite=5, signal="L5", cno_dbhz=40.0, used=True),
        Signal(system="GPS", satellite=5, signal="L1P", cno_dbhz=25.0, used=True),
        Signal(system="GAL", satellite=1, signal="E1", cno_dbhz=43.0, used=False),
        Signal(system="QZSS", satellite=1, signal="L1C", cno_dbhz=32.0, used=False),
        Signal(system="QZSS", satellite=1, signal="L1S", cno_dbhz=30.0, used=False),
    )
    assert isinstance(satellites, SatelliteView)
    assert (satellites.seen, satellites.used, satellites.by_system) == (3, 2, {"GPS": 1, "GLO": 1})
    # At most once a second.
    assert target.decode(item, NS_PER_S + 100_000_000) == ()
    # The same through pysbf2, which scales by 0.25 and leaves the offset of 10 to its user.
    theirs = SBFReader.parse(item.raw)
    assert (theirs.CN0_01, theirs.CN0_01_01, theirs.CN0_01_02) == (35.0, 30.0, 25.0)


@pytest.mark.parametrize("number", USED)
def test_a_short_block_is_corrupt_data_and_names_the_block(number: int) -> None:
    (event,) = SbfDecoder().decode(block(number, b"\x05\x00"), 4)
    assert isinstance(event, CorruptData)
    assert event.reason.startswith(f"SBF {number}: ")
    assert event.read_mono_ns == 4


@pytest.mark.parametrize(
    "item",
    [
        block(sbf.RF_STATUS, bytes((200, 8, 0, 0, 0, 0)) + bytes(16)),
        block(sbf.RF_STATUS, bytes((3, 0, 0, 0, 0, 0)) + bytes(16)),
        block(sbf.QUALITY_IND, bytes((200, 0)) + bytes(16)),
        block(sbf.MEAS_EPOCH, bytes((200, 20, 12, 0, 0, 0)) + bytes(16)),
        block(sbf.MEAS_EPOCH, bytes((1, 20, 12, 0, 0, 0)) + measurement(5, 0, 140)[:-1] + b"\x09"),
        block(sbf.CHANNEL_STATUS, bytes((1, 12, 0, 0, 0, 0)) + channel(5, True)),
    ],
)
def test_more_groups_announced_than_sent_is_corrupt_data(item: SbfBlock) -> None:
    (event,) = SbfDecoder().decode(item, 0)
    assert isinstance(event, CorruptData)


@settings(max_examples=400, deadline=None)
@given(
    number=st.sampled_from(USED),
    body=st.binary(max_size=400),
    tow_ms=st.integers(0, 0xFFFFFFFF),
    week=st.integers(0, 0xFFFF),
)
def test_any_content_gives_events_and_no_exception(number: int, body: bytes, tow_ms: int, week: int) -> None:
    target = SbfDecoder(earliest_tai_s=0)
    for event in target.decode(block(number, body, tow_ms, week), 0):
        assert isinstance(event, GnssEvent)
