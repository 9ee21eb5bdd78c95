"""The emulated F9T as others see it: frames read by pyubx2 and pynmeagps, timing, dialogue, pulses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyubx2 import NMEA_PROTOCOL, SET, UBX_PROTOCOL, UBXMessage, UBXReader

from tests.unit.emulator_devices.wire import START_NS, START_S, SteadyPulses, qerr_of
from timecard.emulator.receiver import EmulatedReceiver
from timecard.emulator.receiver_config import FACTORY_DEFAULTS, TIME_CARD_FLASH
from timecard.emulator.receiver_messages import MESSAGES
from timecard.emulator.receiver_navigation import Start
from timecard.gnss.ubx import Framer, UbxFrame, encode
from timecard.timescale import NS_PER_S
from timecard.values import AntennaStatus

BYTE_NS = 10 * NS_PER_S // 115_200
ALL_ON = {**TIME_CARD_FLASH, **{f"CFG_MSGOUT_UBX_{name}_UART1": 1 for name in MESSAGES}}


def make(flash: Mapping[str, int] = TIME_CARD_FLASH, **options: Any) -> EmulatedReceiver:
    return EmulatedReceiver(SteadyPulses(), START_NS, flash=flash, **options)


def at(second: float) -> int:
    return START_NS + round(second * NS_PER_S)


def parsed(data: bytes) -> list[Any]:
    reader = UBXReader(BytesIO(data), protfilter=UBX_PROTOCOL | NMEA_PROTOCOL, quitonerror=2)
    return [message for _, message in reader]


def ask(device: EmulatedReceiver, message: UBXMessage | bytes, t_ns: int) -> list[Any]:
    """Send, and read what comes within 60 ms; quiet part of a second assumed."""
    device.transmit(t_ns)
    device.receive(message if isinstance(message, bytes) else message.serialize(), t_ns)
    return parsed(device.transmit(t_ns + 60_000_000))


def test_every_message_is_read_by_another_decoder() -> None:
    device = make(ALL_ON)
    device.transmit(at(3.9))
    messages = {message.identity: message for message in parsed(device.transmit(at(4.9)))}
    assert len(messages) == len(MESSAGES)
    pvt = messages["NAV-PVT"]
    assert (pvt.year, pvt.month, pvt.day, pvt.hour, pvt.min, pvt.second) == (2027, 1, 15, 7, 59, 27)
    assert (pvt.fixType, pvt.gnssFixOk, pvt.numSV, pvt.fullyResolved) == (3, 1, 18, 1)
    assert pvt.lat == pytest.approx(47.3769)
    assert pvt.lon == pytest.approx(8.5417)
    utc = messages["NAV-TIMEUTC"]
    assert (utc.year, utc.sec, utc.validUTC, utc.utcStandard) == (2027, 27, 1, 3)
    assert (messages["NAV-TIMEGPS"].week, messages["NAV-TIMEGPS"].leapS) == (2453, 18)
    leap = messages["NAV-TIMELS"]
    assert (leap.currLs, leap.srcOfCurrLs, leap.validCurrLs) == (18, 2, 1)
    assert messages["NAV-SAT"].numSvs == 18
    assert sum(getattr(messages["NAV-SAT"], f"svUsed_{n:02d}") for n in range(1, 19)) == 18
    tp = messages["TIM-TP"]
    assert (tp.week, tp.towMS) == (2453, messages["NAV-TIMEGPS"].iTOW + 1000)
    assert tp.qErr == round(qerr_of(START_S + 5) * 1000)
    assert (tp.timeBase, tp.timeRefGnss) == (0, 0)
    rf = messages["MON-RF"]
    assert (rf.nBlocks, rf.antStatus_01, rf.antPower_02, rf.jammingState_01) == (2, 2, 1, 0)
    assert messages["MON-HW"].aStatus == 2
    assert messages["SEC-SIG"].spoofingState == 1
    assert messages["NAV-STATUS"].msss == 4_000


def test_an_epoch_begins_30_to_150_ms_after_the_pulse_and_ends_with_the_label() -> None:
    device = make(ALL_ON)
    device.transmit(at(2.99))
    for second in range(3, 40):
        early = device.transmit(at(second) + 30_000_000)
        assert early == b""
        seen = device.transmit(at(second) + 150_000_000 + 2 * BYTE_NS)
        assert seen != b""
        rest = device.transmit(at(second + 0.99))
        identities = [message.identity for message in parsed(seen + rest)]
        assert identities[-1] == "TIM-TP"
        navigation = [name for name in identities if name.startswith("NAV")]
        assert navigation[-1] == "NAV-EOE"


def test_the_line_rate_limits_what_has_come() -> None:
    device = make(ALL_ON)
    device.transmit(at(2.99))
    start = device.next_byte_ns()
    assert start == at(3)
    total = 0
    t_ns = at(3) + 30_000_000
    while t_ns < at(3.4):
        t_ns += 1_000_000
        total += len(device.transmit(t_ns))
        assert total <= (t_ns - at(3) - 30_000_000) // BYTE_NS
    assert total > 700


def test_what_the_line_cannot_carry_is_dropped_in_whole_frames() -> None:
    device = make({**ALL_ON, "CFG_UART1_BAUDRATE": 4_800})
    assert device.baud == 4_800
    data = device.transmit(at(30))
    items = Framer().feed(data, 0)
    assert all(isinstance(item, UbxFrame) for item in items)
    assert 10_000 < len(data) <= 30 * 480


def test_rates_are_every_nth_epoch() -> None:
    device = make({**TIME_CARD_FLASH, "CFG_MSGOUT_UBX_NAV_SAT_UART1": 5, "CFG_MSGOUT_UBX_NAV_PVT_UART1": 2})
    device.transmit(at(1.5))
    counts = Counter(message.identity for message in parsed(device.transmit(at(21.5))))
    assert (counts["NAV-TIMEUTC"], counts["NAV-PVT"], counts["NAV-SAT"]) == (20, 10, 4)


def test_factory_settings_speak_nmea_that_another_decoder_reads() -> None:
    device = make({"CFG_MSGOUT_NMEA_ID_ZDA_UART1": 1})
    assert FACTORY_DEFAULTS["CFG_UART1OUTPROT_NMEA"] == 1
    device.transmit(at(4.9))
    messages = parsed(device.transmit(at(5.9)))
    kinds = Counter(message.msgID for message in messages)
    assert set(kinds) == {"RMC", "GGA", "GLL", "GSA", "GSV", "VTG", "ZDA"}
    by_kind = {message.msgID: message for message in messages}
    assert by_kind["RMC"].status == "A"
    assert str(by_kind["RMC"].time) == "07:59:28"
    assert by_kind["GGA"].lat == pytest.approx(47.3769, abs=1e-6)
    assert by_kind["GGA"].lon == pytest.approx(8.5417, abs=1e-6)
    assert (by_kind["ZDA"].year, by_kind["ZDA"].month, by_kind["ZDA"].day) == (2027, 1, 15)
    assert by_kind["GSA"].navMode == 3


def test_nmea_without_a_fix_says_so() -> None:
    device = make({"CFG_MSGOUT_NMEA_ID_ZDA_UART1": 1}, start=Start.COLD)
    device.transmit(at(2.9))
    by_kind = {message.msgID: message for message in parsed(device.transmit(at(3.9)))}
    assert (by_kind["RMC"].status, by_kind["GGA"].quality, by_kind["GSA"].navMode) == ("V", 0, 1)
    assert by_kind["ZDA"].year == ""


# --- dialogue ---


def test_mon_ver_has_the_strings_of_a_real_module() -> None:
    (answer,) = ask(make(firmware="TIM 2.01"), encode(0x0A04), at(3.5))
    assert answer.swVersion.rstrip(b"\0") == b"EXT CORE 1.00 (71b20c)"
    assert answer.hwVersion.rstrip(b"\0") == b"00190000"
    texts = [getattr(answer, f"extension_{n:02d}").rstrip(b"\0") for n in range(1, 7)]
    assert texts == [
        b"ROM BASE 0x118B2060", b"FWVER=TIM 2.01", b"PROTVER=29.00", b"MOD=ZED-F9T", b"GPS;GLO;GAL;BDS",
        b"SBAS;QZSS",
    ]  # fmt: skip


def test_data_comes_first_and_then_the_acknowledgement() -> None:
    answers = ask(make(), UBXMessage.config_poll(0, 0, ["CFG_TMODE_MODE"]), at(3.5))
    assert [answer.identity for answer in answers] == ["CFG-VALGET", "ACK-ACK"]
    assert (answers[1].clsID, answers[1].msgID) == (0x06, 0x8B)


def test_what_is_refused_gets_a_nak() -> None:
    device = make()
    unknown = UBXMessage("CFG", "CFG-ITFM", SET, enable=1)
    for message in (UBXMessage.config_set(1, 0, [("CFG_TMODE_MODE", 9)]), unknown):
        assert [answer.identity for answer in ask(device, message, at(3.5))] == ["ACK-NAK"]


def test_polls_of_other_messages_are_answered_without_acknowledgement() -> None:
    device = make()
    device.transmit(at(3.5))
    assert [answer.identity for answer in ask(device, encode(0x0A38), at(3.5))] == ["MON-RF"]
    assert ask(device, encode(0x0A99), at(3.6)) == []


def test_a_change_takes_effect_at_the_next_epoch() -> None:
    device = make()
    answers = ask(device, UBXMessage.config_set(1, 0, [("CFG_MSGOUT_UBX_NAV_PVT_UART1", 1)]), at(3.5))
    assert [answer.identity for answer in answers] == ["ACK-ACK"]
    assert "NAV-PVT" in {message.identity for message in parsed(device.transmit(at(4.9)))}


def test_a_new_baud_rate_follows_the_acknowledgement() -> None:
    device = make()
    device.transmit(at(3.5))
    device.receive(UBXMessage.config_set(1, 0, [("CFG_UART1_BAUDRATE", 9_600)]).serialize(), at(3.5))
    assert device.baud == 115_200
    assert [message.identity for message in parsed(device.transmit(at(3.52)))] == ["ACK-ACK"]
    assert device.baud == 9_600


def test_a_reset_is_not_acknowledged_and_silences_for_a_second() -> None:
    device = make()
    ask(device, UBXMessage.config_set(1, 0, [("CFG_MSGOUT_UBX_NAV_PVT_UART1", 1)]), at(5.5))
    assert ask(device, bytes.fromhex("b56206040400ffff02000e61"), at(5.6)) == []  # cold, GNSS only
    messages = {message.identity: message for message in parsed(device.transmit(at(6.9)))}
    assert messages["NAV-PVT"].fixType == 0
    assert messages["NAV-STATUS"].msss > 3_000
    assert ask(device, encode(0x0604, b"\x00\x00\x01\x00"), at(7.5)) == []  # whole receiver
    assert ask(device, encode(0x0A04), at(8.0)) == []
    later = {message.identity: message for message in parsed(device.transmit(at(9.9)))}
    assert "NAV-PVT" not in later
    assert later["NAV-STATUS"].msss == 1_000
    assert not device.edge(START_S + 8).present


def test_gnss_can_be_stopped_and_started() -> None:
    device = make()
    device.transmit(at(5.5))
    device.receive(encode(0x0604, b"\x00\x00\x08\x00"), at(5.5))
    assert parsed(device.transmit(at(8.5))) == []
    assert not device.edge(START_S + 8).present
    device.receive(encode(0x0604, b"\x00\x00\x09\x00"), at(8.5))
    assert parsed(device.transmit(at(12.5))) != []
    assert device.edge(START_S + 13).present


# --- pulses ---


def test_no_pulse_before_there_is_a_lock() -> None:
    device = make(start=Start.COLD)
    present = [second for second in range(1, 60) if device.edge(START_S + second).present]
    assert present == list(range(present[0], 60))
    assert 25 <= present[0] <= 30


def test_an_unlocked_pulse_can_be_configured_and_runs_away() -> None:
    device = make({**TIME_CARD_FLASH, "CFG_TP_LEN_TP1": 1000})
    device.edge(START_S + 10)
    device.antenna = AntennaStatus.OPEN
    pulses = [device.edge(START_S + second) for second in range(11, 20)]
    assert all(pulse.present for pulse in pulses)
    assert pulses[-1].error_ns > 1000


def test_a_disabled_output_makes_no_pulse() -> None:
    device = make({**TIME_CARD_FLASH, "CFG_TP_TP1_ENA": 0})
    assert not any(device.edge(START_S + second).present for second in range(2, 12))


def test_the_cable_delay_advances_the_pulse() -> None:
    late = {}
    for delay in (0, 50, -30):
        device = make({**TIME_CARD_FLASH, "CFG_TP_ANT_CABLEDELAY": delay})
        late[delay] = device.edge(START_S + 9).error_ns
    assert late[0] - late[50] == pytest.approx(50.0)
    assert late[0] - late[-30] == pytest.approx(-30.0)


def test_a_recorded_pulse_has_no_error_to_report() -> None:
    flash = {**TIME_CARD_FLASH, "CFG_MSGOUT_UBX_TIM_TP_UART1": 1}
    device = EmulatedReceiver(SteadyPulses(qerr_valid=False), START_NS, flash=flash)
    labels = [message for message in parsed(device.transmit(at(9))) if message.identity == "TIM-TP"]
    assert labels
    assert all(label.qErr == 0 and label.qErrInvalid == 1 for label in labels)


# --- what the FPGA hears ---


def test_the_time_of_day_slave_hears_the_second_just_past() -> None:
    device = make()
    status = device.tod_status(at(5.5))
    assert (status.tai_s, status.time_error_s) == (START_S + 5, 0)
    assert (status.utc_offset_s, status.utc_offset_valid, status.leap_valid) == (37, True, True)
    assert (status.antenna, status.fix_ok, status.fix) == (2, True, 3)
    assert (status.satellites_seen, status.satellites_used, status.satellites_valid) == (18, 18, True)


def test_what_is_not_sent_goes_stale_after_three_seconds() -> None:
    device = make()
    device.tod_status(at(5.5))
    device.silent = True
    assert device.tod_status(at(7.9)).utc_offset_valid
    stale = device.tod_status(at(8.5))
    assert not (stale.utc_offset_valid or stale.antenna_valid or stale.fix_valid or stale.satellites_valid)
    assert stale.tai_s is None


def test_a_cold_receiver_does_not_tell_utc() -> None:
    status = make(start=Start.COLD).tod_status(at(40.5))
    assert (status.utc_offset_valid, status.tai_s) == (False, None)
    assert status.fix_ok


def test_a_wrong_time_reaches_the_slave_too() -> None:
    device = make()
    device.tod_status(at(5.5))
    device.time_offset_s = -2
    status = device.tod_status(at(6.5))
    assert (status.tai_s, status.time_error_s) == (START_S + 4, -2)


@pytest.mark.parametrize("change", [1, -1])
def test_a_leap_second_is_announced_and_passes(change: int) -> None:
    device = make()
    event = START_S + 20
    device.leap.announce(change, event)
    before = device.tod_status(at(10.5))
    assert (before.leap_announced, before.leap_61, before.leap_59) == (True, change > 0, change < 0)
    assert before.seconds_to_leap == 10 + (change > 0)
    times = [device.tod_status(at(second + 0.5)).tai_s for second in range(15, 26)]
    assert times == [START_S + second for second in range(15, 26)]
    after = device.tod_status(at(30.5))
    assert (after.leap_announced, after.utc_offset_s) == (False, 37 + change)


def test_options_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="TIM 9"):
        make(firmware="TIM 9")
    with pytest.raises(ValueError, match="change=2"):
        make().leap.announce(2, START_S)


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert make(seed=7).transmit(at(20)) == make(seed=7).transmit(at(20))
    assert make(seed=7).transmit(at(20)) != make(seed=8).transmit(at(20))


@settings(max_examples=150, deadline=None)
@given(
    key=st.sampled_from([0x068A, 0x068B, 0x068C, 0x0604, 0x0609, 0x0A04, 0x0107, 0x0601]),
    payload=st.binary(max_size=60),
    noise=st.binary(max_size=20),
)
def test_nothing_that_a_host_sends_stops_it(key: int, payload: bytes, noise: bytes) -> None:
    device = make()
    device.receive(noise + encode(key, payload) + noise, at(3.5))
    device.transmit(at(7.9))
    device.receive(bytes(4), at(8.0))  # ends an unfinished frame
    assert device.transmit(at(12.0)) is not None
