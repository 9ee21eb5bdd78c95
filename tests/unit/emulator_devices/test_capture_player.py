"""Recordings played on the GNSS port: re-stamped, repeated, never with an old quantisation error."""

from __future__ import annotations

import struct
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyubx2 import UBX_PROTOCOL, UBXMessage, UBXReader

from tests.unit.emulator_devices.wire import START_NS, START_S, SteadyPulses, Wire, half_past
from timecard.emulator.capture import CaptureError, CaptureReceiver, read_capture
from timecard.emulator.world import VirtualTime
from timecard.gnss.receiver import UbloxReceiver
from timecard.gnss.ubx import encode
from timecard.timescale import NS_PER_S
from timecard.values import FixType, GnssFix, LeapInfo, PulseLabel, SatelliteView, SurveyStatus

M8T = "u-blox-m8t-time.log"


@pytest.fixture
def gnss_dir(shared_dir: Path) -> Path:
    return shared_dir / "data" / "gnss"


def player(path: Path, **options: Any) -> CaptureReceiver:
    return CaptureReceiver(path, SteadyPulses(), START_NS, **options)


def parsed(data: bytes) -> list[Any]:
    return [message for _, message in UBXReader(BytesIO(data), protfilter=UBX_PROTOCOL, quitonerror=2)]


def at(second: float) -> int:
    return START_NS + round(second * NS_PER_S)


def test_a_recording_is_cut_into_its_epochs(gnss_dir: Path) -> None:
    recording = read_capture(gnss_dir / M8T)
    assert len(recording.epochs) == 151
    # An M8T opens its burst with TIM-TP and closes it with TIM-SVIN.
    assert {(epoch[0].key, epoch[-1].key, len(epoch)) for epoch in recording.epochs} == {(0x0D01, 0x0D04, 10)}
    # The file ends with the TIM-TP of an epoch that is not there and the first 21 bytes of another frame.
    assert recording.skipped_bytes == 24 + 21


def test_every_time_is_now_and_the_same_in_all_messages(gnss_dir: Path) -> None:
    device = player(gnss_dir / M8T)
    for second in range(1, 320):  # more than twice through the recording
        messages = {message.identity: message for message in parsed(device.transmit(at(second + 0.99)))}
        gps_s = START_S + second - 315_964_819
        utc = messages["NAV-TIMEUTC"]
        for name in ("NAV-TIMEUTC", "NAV-TIMEGPS", "NAV-TIMELS", "NAV-SAT", "NAV-STATUS", "NAV-DOP"):
            assert messages[name].iTOW == gps_s % 604_800 * 1000
        assert messages["NAV-TIMEGPS"].week == gps_s // 604_800
        assert (utc.year, utc.month, utc.day) == (2027, 1, 15)
        assert utc.hour * 3600 + utc.min * 60 + utc.sec == (START_S + second - 37) % 86_400
        label = messages["TIM-TP"]
        utc_label_s = START_S + second + 1 - 37 - 315_964_800
        assert (label.week, label.towMS) == (utc_label_s // 604_800, utc_label_s % 604_800 * 1000)


def test_the_recorded_quantisation_error_never_comes_through(gnss_dir: Path) -> None:
    device = player(gnss_dir / M8T)
    labels = [m for m in parsed(device.transmit(at(200))) if m.identity == "TIM-TP"]
    assert len(labels) >= 198
    assert all(label.qErr == 0 and label.qErrInvalid == 1 for label in labels)


def test_the_receiver_does_not_restart_where_the_recording_does(gnss_dir: Path) -> None:
    device = player(gnss_dir / M8T)
    uptimes = [m.msss for m in parsed(device.transmit(at(400))) if m.identity == "NAV-STATUS"]
    assert len(uptimes) > 390
    assert {later - earlier for earlier, later in pairwise(uptimes)} <= {1000, 2000}


def test_it_is_an_m8t_and_refuses_configuration(gnss_dir: Path) -> None:
    device = player(gnss_dir / M8T)
    device.transmit(at(3.5))
    device.receive(encode(0x0A04), at(3.5))
    device.receive(UBXMessage.config_set(1, 0, [("CFG_TMODE_MODE", 1)]).serialize(), at(3.5))
    device.receive(UBXMessage.config_poll(0, 0, ["CFG_TMODE_MODE"]).serialize(), at(3.5))
    answers = parsed(device.transmit(at(3.6)))
    assert [answer.identity for answer in answers] == ["MON-VER", "ACK-NAK", "ACK-NAK"]
    assert answers[0].extension_04.rstrip(b"\0") == b"MOD=NEO-M8T-0"
    assert device.refused == {0x068A: 1, 0x068B: 1}


def test_the_driver_uses_it_as_it_is(gnss_dir: Path) -> None:
    time = VirtualTime(START_NS)
    device = player(gnss_dir / M8T)
    driver = UbloxReceiver(Wire(device, time), time)
    time.sleep_s(1.3)
    driver.start()
    assert driver.identity is not None
    assert driver.identity.model == "NEO-M8T-0"
    (warning,) = driver.health().warnings
    assert "used as it is configured" in warning
    seen: set[type] = set()
    for number, second in enumerate(half_past(time, 200)):
        events = list(driver.poll(0.0))
        seen |= {type(event) for event in events}
        if not number:
            continue  # with what came during the dialogue
        (fix,) = [event for event in events if isinstance(event, GnssFix)]
        assert fix.epoch_tai_ns == second * NS_PER_S
        assert (fix.fix, fix.fix_ok, fix.time_valid, fix.utc_resolved) == (
            FixType.TIME_ONLY,
            True,
            True,
            True,
        )
        (label,) = [event for event in events if isinstance(event, PulseLabel)]
        assert label.edge_tai_ns == (second + 1) * NS_PER_S
        assert label.qerr_ns is None
        assert device.edge(second).present
        for event in events:
            if isinstance(event, LeapInfo):
                assert event.tai_minus_utc_s == 37
            if isinstance(event, SurveyStatus):
                assert event.valid
    assert {SatelliteView, LeapInfo, SurveyStatus} <= seen
    assert driver.health().restarts == 0


def test_an_epoch_that_is_closed_keeps_what_follows_it(tmp_path: Path) -> None:
    frames = [
        encode(key, struct.pack("<I", itow) + bytes(rest))
        for itow in (1000, 2000)
        for key, rest in ((0x0103, 12), (0x0161, 0))
    ]
    label = encode(0x0D01, bytes(16))
    path = tmp_path / "f9t.ubx"
    path.write_bytes(frames[0] + frames[1] + label + frames[2] + frames[3] + label)
    keys = [[frame.key for frame in epoch] for epoch in read_capture(path).epochs]
    assert keys == [[0x0103, 0x0161, 0x0D01], [0x0103, 0x0161, 0x0D01]]


def test_noise_in_a_recording_is_skipped_and_counted(gnss_dir: Path, tmp_path: Path) -> None:
    clean = (gnss_dir / M8T).read_bytes()
    path = tmp_path / "noisy.log"
    path.write_bytes(clean[:20_000] + bytes(range(50)) + clean[20_000:])
    recording = read_capture(path)
    assert 150 <= len(recording.epochs) <= 152
    assert 45 + 50 <= recording.skipped_bytes <= 45 + 50 + 400


def test_the_pulse_follows_the_recorded_fix(tmp_path: Path) -> None:
    frames = b"".join(
        encode(0x0103, struct.pack("<I4BII", itow * 1000, 3, itow % 2, 0, 0, 0, itow * 1000))
        for itow in range(1, 5)
    )
    path = tmp_path / "loses-fix.ubx"
    path.write_bytes(frames)
    device = player(path)
    assert [device.edge(START_S + second).present for second in range(1, 9)] == [True, False] * 4


def test_the_time_of_day_slave_hears_it(gnss_dir: Path) -> None:
    status = player(gnss_dir / M8T).tod_status(at(20.9))
    assert (status.tai_s, status.time_error_s) == (START_S + 20, 0)
    assert (status.utc_offset_s, status.utc_offset_valid) == (37, True)
    assert (status.fix_ok, status.fix, status.antenna_valid) == (True, 5, False)


@pytest.mark.parametrize(
    "name", ["pygpsdata-NAV.log", "pygpsdata-MIXED.log", "ublox-f9p-rtcm.log", "pygpsdata-NAV-ZED-X20P.log"]
)
def test_other_recordings_play_too(name: str, gnss_dir: Path) -> None:
    device = player(gnss_dir / name)
    messages = parsed(device.transmit(at(10)))
    assert messages
    for message in messages:
        if message.identity == "NAV-PVT":
            assert (message.year, message.month, message.day) == (2027, 1, 15)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("trimble-res720.log", "Trimble TSIP"),
        ("neo-m8n.log", "NMEA"),
        ("sbf/mosaic-x5-sbfdata.log", "Septentrio SBF"),
    ],
)
def test_a_recording_of_something_else_is_named(name: str, reason: str, gnss_dir: Path) -> None:
    with pytest.raises(CaptureError, match=f"{Path(name).name}: looks like {reason}"):
        read_capture(gnss_dir / name)


def test_a_file_that_cannot_be_played_is_named(tmp_path: Path) -> None:
    empty, noise = tmp_path / "empty.ubx", tmp_path / "noise.ubx"
    empty.touch()
    noise.write_bytes(bytes(1000))
    with pytest.raises(CaptureError, match=r"empty\.ubx: empty"):
        read_capture(empty)
    with pytest.raises(CaptureError, match=r"noise\.ubx: no UBX navigation messages"):
        read_capture(noise)
    with pytest.raises(CaptureError, match=r"absent\.ubx: cannot read"):
        read_capture(tmp_path / "absent.ubx")
    with pytest.raises(CaptureError, match="cannot read"):
        read_capture(tmp_path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    frames=st.lists(
        st.tuples(
            st.sampled_from([0x0103, 0x0107, 0x0120, 0x0121, 0x0126, 0x0135, 0x013B, 0x0D01, 0x0A09]),
            st.binary(max_size=100),
        ),
        max_size=6,
    )
)
def test_any_recording_plays_or_is_refused(frames: list[tuple[int, bytes]], tmp_path: Path) -> None:
    path = tmp_path / "any.ubx"
    path.write_bytes(b"x" + b"".join(encode(key, payload) for key, payload in frames))
    try:
        device = player(path)
    except CaptureError:
        return
    device.transmit(at(10))
    device.tod_status(at(10))
    device.edge(START_S + 9)
