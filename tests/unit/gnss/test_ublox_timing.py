"""The decoder on real captures and on payloads that no receiver should send."""

from __future__ import annotations

import struct
from collections import Counter
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyubx2 import UBX_PROTOCOL, UBXReader

from timecard.gnss import ublox_messages as ubx
from timecard.gnss.receivers.ublox_timing import UbloxDecoder
from timecard.gnss.ublox_profile import UbloxOptions
from timecard.gnss.ubx import Framer, UbxFrame, encode, without_header
from timecard.timescale import NS_PER_S
from timecard.values import (
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
    SpoofingState,
    SurveyStatus,
)

EARLIEST = 1_500_000_000
USED_KEYS = (
    ubx.NAV_STATUS, ubx.NAV_PVT, ubx.NAV_TIMEGPS, ubx.NAV_TIMEUTC, ubx.NAV_TIMELS, ubx.NAV_SAT, ubx.MON_VER,
    ubx.MON_HW, ubx.MON_RF, ubx.TIM_TP, ubx.TIM_SVIN, ubx.SEC_SIG,
)  # fmt: skip
M8T = "u-blox-m8t-time.log"


def decode_file(path: Path, paced: bool = True) -> list[GnssEvent]:
    """All events; ``paced``: each TIM-TP begins a new second of monotonic time."""
    target = UbloxDecoder(UbloxOptions(earliest_tai_s=EARLIEST))
    out: list[GnssEvent] = []
    mono_ns = 0
    for item in Framer().feed(without_header(path.read_bytes()), 0):
        if isinstance(item, UbxFrame):
            if paced and item.key == ubx.TIM_TP:
                mono_ns += NS_PER_S
            out.extend(target.decode(item, mono_ns))
    return out


@pytest.fixture
def gnss_dir(shared_dir: Path) -> Path:
    return shared_dir / "data" / "gnss"


def test_every_capture_decodes(gnss_dir: Path) -> None:
    seen = Counter(
        type(event).__name__ for path in sorted(gnss_dir.rglob("*.log")) for event in decode_file(path)
    )
    assert seen["CorruptData"] == 0
    assert seen["GnssFix"] > 190
    assert seen["ReceiverIdentity"] == 5


def test_m8t_labels_name_consecutive_seconds_with_the_errors_pyubx2_reads(gnss_dir: Path) -> None:
    labels = [event for event in decode_file(gnss_dir / M8T) if isinstance(event, PulseLabel)]
    assert len(labels) == 152
    # The first comes before the leap seconds that its time base needs.
    assert labels[0].edge_tai_ns is None
    seconds = [label.edge_tai_ns // NS_PER_S for label in labels[1:] if label.edge_tai_ns is not None]
    assert seconds == list(range(1_614_103_508, 1_614_103_508 + 151))
    reader = UBXReader(
        BytesIO(without_header((gnss_dir / M8T).read_bytes())), protfilter=UBX_PROTOCOL, quitonerror=0
    )
    theirs = [parsed.qErr for _, parsed in reader if parsed.identity == "TIM-TP"]
    # The family is not known without MON-VER: the widest limit holds, and all of them pass.
    assert [label.qerr_ns for label in labels] == [qerr / 1000 for qerr in theirs]
    assert max(abs(qerr) for qerr in theirs) == 10_158


def test_m8t_epochs_come_from_status_and_time_messages(gnss_dir: Path) -> None:
    events = decode_file(gnss_dir / M8T)
    fixes = [event for event in events if isinstance(event, GnssFix)]
    assert len(fixes) == 151
    epochs = [fix.epoch_tai_ns // NS_PER_S for fix in fixes if fix.epoch_tai_ns is not None]
    assert epochs == list(range(1_614_103_506, 1_614_103_506 + 151))
    assert all(
        fix.fix is FixType.TIME_ONLY and fix.fix_ok and fix.time_valid and fix.utc_resolved for fix in fixes
    )
    assert {fix.satellites_used for fix in fixes} <= set(range(6, 15))
    # The label of a burst is one second after the epoch that follows it.
    order = [event for event in events if isinstance(event, PulseLabel | GnssFix)]
    pairs = [
        (first, second)
        for first, second in pairwise(order)
        if isinstance(first, PulseLabel) and isinstance(second, GnssFix)
    ]
    assert len(pairs) == 151
    for label, fix in pairs[1:]:
        assert label.edge_tai_ns is not None
        assert fix.epoch_tai_ns == label.edge_tai_ns - NS_PER_S


def test_m8t_in_fixed_mode_has_no_survey_to_wait_for(gnss_dir: Path) -> None:
    surveys = [event for event in decode_file(gnss_dir / M8T) if isinstance(event, SurveyStatus)]
    assert surveys
    assert all(survey.valid and not survey.active and survey.duration_s == 0 for survey in surveys)


def test_m8t_leap_seconds_are_known_from_the_sky(gnss_dir: Path) -> None:
    leaps = [event for event in decode_file(gnss_dir / M8T) if isinstance(event, LeapInfo)]
    assert {leap.tai_minus_utc_s for leap in leaps} == {37}
    assert {leap.source for leap in leaps} == {"GPS-GLONASS", "GLONASS"}


def test_heavy_messages_are_decoded_every_ten_seconds_only(gnss_dir: Path) -> None:
    counts = Counter(type(event) for event in decode_file(gnss_dir / M8T))
    assert counts[SatelliteView] == 16
    assert counts[LeapInfo] <= 18
    assert counts[SurveyStatus] <= 32


def test_monitor_messages_of_a_capture(gnss_dir: Path) -> None:
    events = decode_file(gnss_dir / "pygpsdata-MON.log")
    identity = next(event for event in events if isinstance(event, ReceiverIdentity))
    assert (identity.model, identity.firmware, identity.protocol) == ("ZED-F9P", "HPG 1.50", "27.50")
    statuses = [event for event in events if isinstance(event, RfStatus)]
    assert all(status.antenna is not None and status.jamming is not None for status in statuses)
    security = [event for event in decode_file(gnss_dir / "pygpsdata-SEC.log") if isinstance(event, RfStatus)]
    assert security
    assert all(isinstance(status.spoofing, SpoofingState | None) for status in security)


def test_the_identity_of_a_time_card_module(gnss_dir: Path) -> None:
    line = (gnss_dir / "timingCardUBXG9_PPS_TMODE.txt").read_text(encoding="ascii").splitlines()[0]
    body = bytes.fromhex(line.partition(" - ")[2])
    frame = encode(ubx.MON_VER, body[4:])
    (event,) = UbloxDecoder(UbloxOptions()).decode(UbxFrame(ubx.MON_VER, frame), 3)
    assert event == ReceiverIdentity(model="ZED-F9T", firmware="TIM 2.01", protocol="29.00", read_mono_ns=3)


def status_payload(itow_ms: int, msss: int, spoofing: int = 1, fix: int = 3) -> bytes:
    return struct.pack("<I4BII", itow_ms, fix, 1, 0, spoofing << 3, 0, msss)


def test_a_restart_is_seen_and_leap_seconds_are_forgotten() -> None:
    target = UbloxDecoder(UbloxOptions())
    leap = struct.pack("<IB3xBbBbiHH3xB", 0, 0, 2, 18, 2, 0, 0, 0, 0, 3)
    target.decode(UbxFrame(ubx.NAV_TIMELS, encode(ubx.NAV_TIMELS, leap)), 0)
    for msss in (50_000, 51_000, 50_900, 1_000, 2_000):
        target.decode(UbxFrame(ubx.NAV_STATUS, encode(ubx.NAV_STATUS, status_payload(0, msss))), 0)
    assert target.restarts == 1
    assert target.uptime_ms == 2_000
    utc_label = struct.pack("<IIiHBB", 345_583_000, 0, 0, 2393, 3, 15)
    (event,) = target.decode(UbxFrame(ubx.TIM_TP, encode(ubx.TIM_TP, utc_label)), 0)
    assert isinstance(event, PulseLabel)
    assert event.edge_tai_ns is None


def test_spoofing_is_told_at_once() -> None:
    target = UbloxDecoder(UbloxOptions())
    told: list[tuple[int, SpoofingState | None]] = []
    for second, state in enumerate((1, 1, 2, 3, 3, 3, 3, 3, 3)):
        payload = status_payload(second * 1000, second * 1000, spoofing=state)
        frame = UbxFrame(ubx.NAV_STATUS, encode(ubx.NAV_STATUS, payload))
        events = target.decode(frame, second * NS_PER_S)
        told.extend((second, event.spoofing) for event in events if isinstance(event, RfStatus))
    assert told == [
        (0, SpoofingState.NONE),
        (2, SpoofingState.INDICATED),
        (3, SpoofingState.MULTIPLE),
        (8, SpoofingState.MULTIPLE),
    ]


def rf_block(antenna: int, jamming: int, indicator: int) -> bytes:
    return struct.pack("<BBBBI4xHHBbBbB3x", 0, jamming, antenna, 1, 0, 90, 5000, indicator, 0, 0, 0, 0)


def test_the_worst_of_the_rf_blocks_counts_and_a_change_is_told_at_once() -> None:
    target = UbloxDecoder(UbloxOptions())
    told: list[GnssEvent] = []
    for second, blocks in enumerate(
        [
            [rf_block(2, 1, 10), rf_block(2, 1, 20)],
            [rf_block(2, 1, 12), rf_block(2, 1, 25)],
            [rf_block(2, 1, 12), rf_block(4, 3, 200)],
        ]
    ):
        payload = bytes((0, 2, 0, 0)) + b"".join(blocks)
        told += target.decode(UbxFrame(ubx.MON_RF, encode(ubx.MON_RF, payload)), second * NS_PER_S)
    assert told == [
        RfStatus(
            antenna=AntennaStatus.OK,
            antenna_powered=True,
            jamming=JammingState.OK,
            jamming_indicator=20,
            read_mono_ns=0,
        ),
        RfStatus(
            antenna=AntennaStatus.OPEN,
            antenna_powered=True,
            jamming=JammingState.CRITICAL,
            jamming_indicator=200,
            read_mono_ns=2 * NS_PER_S,
        ),
    ]


@settings(max_examples=400, deadline=None)
@given(key=st.sampled_from(USED_KEYS), payload=st.binary(max_size=160))
def test_any_payload_gives_events_and_no_exception(key: int, payload: bytes) -> None:
    target = UbloxDecoder(UbloxOptions(earliest_tai_s=0))
    for event in target.decode(UbxFrame(key, encode(key, payload)), 0):
        assert isinstance(event, GnssEvent)


@pytest.mark.parametrize("key", USED_KEYS)
def test_a_short_payload_is_corrupt_data_and_names_the_message(key: int) -> None:
    (event,) = UbloxDecoder(UbloxOptions()).decode(UbxFrame(key, encode(key, b"\x01\x02")), 9)
    assert isinstance(event, CorruptData)
    assert event.reason.startswith(f"UBX {key >> 8:02X} {key & 0xFF:02X}: ")
    assert event.read_mono_ns == 9


def test_more_groups_announced_than_sent_is_corrupt_data() -> None:
    for key, payload in (
        (ubx.NAV_SAT, bytes((0, 0, 0, 0, 1, 3, 0, 0)) + bytes(24)),
        (ubx.MON_RF, b"\0\2\0\0" + bytes(24)),
    ):
        (event,) = UbloxDecoder(UbloxOptions()).decode(UbxFrame(key, encode(key, payload)), 0)
        assert isinstance(event, CorruptData)
