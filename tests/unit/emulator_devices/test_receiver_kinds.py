"""The emulated receivers beside the F9T: as their makers' documents say, read by other people's decoders."""

from __future__ import annotations

import statistics
from io import BytesIO
from typing import Any

import pytest
from pynmeagps import NMEAReader
from pysbf2 import SBFReader
from pyubx2 import GET, POLL, SET, UBX_PROTOCOL, UBXMessage, UBXReader

from timecard.emulator.arguments import parse
from timecard.emulator.gnss_noise import model_gnss
from timecard.emulator.models import GNSS_RECEIVERS
from timecard.emulator.options import CardOptions, OptionError
from timecard.emulator.rated_line import RatedLine
from timecard.emulator.receiver import EmulatedReceiver
from timecard.emulator.receiver_core import ReceiverCore
from timecard.emulator.receiver_kinds import RECEIVER_KINDS, make_receiver
from timecard.emulator.receiver_messages import MESSAGES
from timecard.emulator.receiver_mosaic import EmulatedMosaic
from timecard.emulator.receiver_navigation import Start
from timecard.emulator.receiver_sbf import BLOCKS
from timecard.emulator.virtual_card import build_in_process
from timecard.timescale import NS_PER_S

START_S = 1_800_000_000
START_NS = START_S * NS_PER_S


def make(kind: str, baud: int = 115_200) -> ReceiverCore:
    pulses = model_gnss(GNSS_RECEIVERS[RECEIVER_KINDS[kind].pulse], 3, START_S)
    return make_receiver(kind, pulses, START_NS, seed=3, start=Start.HOT, baud=baud)


def at(second: float) -> int:
    return START_NS + round(second * NS_PER_S)


def ubx(data: bytes) -> list[Any]:
    return [message for _, message in UBXReader(BytesIO(data), protfilter=UBX_PROTOCOL, quitonerror=2)]


class Asked:
    """A dialogue, one question every 0.1 s from second 5.3 on."""

    def __init__(self, device: ReceiverCore) -> None:
        self.device = device
        self.t_ns = at(5.3)
        device.transmit(self.t_ns)

    def raw(self, data: bytes) -> bytes:
        self.device.receive(data, self.t_ns)
        self.t_ns += NS_PER_S
        return self.device.transmit(self.t_ns)

    def __call__(self, name: str, mode: int = POLL, **fields: Any) -> list[Any]:
        answers = ubx(self.raw(UBXMessage("CFG", name, mode, **fields).serialize()))
        return [answer for answer in answers if answer.identity.startswith(("CFG", "ACK"))]


def names(answers: list[Any]) -> list[str]:
    return [answer.identity for answer in answers]


def test_an_m8t_speaks_in_the_order_of_the_recorded_one() -> None:
    device = make("m8t")
    switch_on(device, list(MESSAGES))
    device.transmit(at(10.01))
    heard = ubx(device.transmit(at(10.99)))
    assert names(heard)[:10] == [
        "TIM-TP", "NAV-SAT", "NAV-STATUS", "NAV-POSECEF", "NAV-POSLLH", "NAV-DOP", "NAV-TIMEGPS",
        "NAV-TIMEUTC", "NAV-TIMELS", "TIM-SVIN",
    ]  # fmt: skip
    assert {"MON-RF", "SEC-SIG", "NAV-SIG"}.isdisjoint(names(heard))
    # The label opens the burst of a second and names the next one.
    assert heard[0].towMS == heard[6].iTOW + 1000


def switch_on(device: ReceiverCore, messages: list[str]) -> None:
    assert isinstance(device, EmulatedReceiver)
    config = device._config
    config.write(
        {
            f"CFG_MSGOUT_UBX_{name}_UART1": 1
            for name in messages
            if config.knows(f"CFG_MSGOUT_UBX_{name}_UART1")
        }
    )


def test_sawtooth_of_an_m8t_is_as_wide_as_the_recorded_one() -> None:
    for kind, least, most in (("m8t", 9_000, 10_500), ("f9t", 3_000, 4_001), ("m9n", 6_500, 7_900)):
        device = make(kind)
        switch_on(device, ["TIM_TP"])
        errors = []
        for second in range(3, 603):
            heard = ubx(device.transmit(at(second)))
            errors += [message.qErr for message in heard if message.identity == "TIM-TP"]
        assert least < max(map(abs, errors)) <= most, kind
        assert abs(statistics.mean(errors)) < most / 4


def test_an_m8t_takes_messages_and_no_keys() -> None:
    ask = Asked(make("m8t"))
    refused = ubx(ask.raw(UBXMessage.config_poll(0, 0, ["CFG_RATE_MEAS"]).serialize()))
    assert [m.identity for m in refused if m.identity.startswith("ACK")] == ["ACK-NAK"]
    port, ack = ask("CFG-PRT")
    assert (port.portID, port.baudRate, port.outUBX, port.outNMEA, ack.identity) == (
        1,
        115_200,
        1,
        0,
        "ACK-ACK",
    )
    pulse, _ = ask("CFG-TP5")
    assert (pulse.tpIdx, pulse.antCableDelay, pulse.pulseLenRatioLock, pulse.active) == (0, 50, 200_000, 1)
    mode, _ = ask("CFG-TMODE2")
    assert (mode.timeMode, mode.fixedPosAcc) == (2, 1_000), "millimetres"
    gnss, _ = ask("CFG-GNSS")
    assert gnss.numConfigBlocks == 6
    assert names(ask("CFG-MSG", SET, msgClass=0x01, msgID=0x07, rateUART1=1)) == ["ACK-ACK"]
    assert names(ask("CFG-MSG", SET, msgClass=0x0A, msgID=0x38, rateUART1=1)) == ["ACK-NAK"], "no MON-RF"
    assert ask("CFG-MSG", POLL, msgClass=0x01, msgID=0x07)[0].rateUART1 == 1
    assert names(ask("CFG-RATE", SET, measRate=1000, navRate=1, timeRef=1)) == ["ACK-ACK"]
    assert names(ask("CFG-RATE", SET, measRate=10, navRate=1, timeRef=1)) == ["ACK-NAK"]


def test_what_an_m8t_was_told_is_kept_only_by_cfg_cfg() -> None:
    ask = Asked(make("m8t"))

    def delay() -> int:
        return int(ask("CFG-TP5")[0].antCableDelay)

    def told(value: int) -> None:
        payload = bytearray(ask("CFG-TP5")[0].payload)
        payload[4:6] = value.to_bytes(2, "little", signed=True)
        answers = ubx(ask.raw(UBXMessage(b"\x06", b"\x31", SET, payload=bytes(payload)).serialize()))
        assert "ACK-ACK" in names(answers)

    told(-33)
    assert delay() == -33
    ask.device.restart(ask.t_ns)
    ask.t_ns += 3 * NS_PER_S
    ask.device.transmit(ask.t_ns)
    assert delay() == 50
    told(77)
    save = UBXMessage(b"\x06", b"\x09", SET, payload=bytes(4) + b"\xff\xff\0\0" + bytes(4) + b"\x01")
    assert "ACK-ACK" in names(ubx(ask.raw(save.serialize())))
    ask.device.restart(ask.t_ns)
    ask.t_ns += 3 * NS_PER_S
    ask.device.transmit(ask.t_ns)
    assert delay() == 77


def values(ask: Asked, key: str) -> list[str]:
    answers = ubx(ask.raw(UBXMessage.config_poll(0, 0, [key]).serialize()))
    return [m.identity for m in answers if m.identity.startswith(("ACK", "CFG"))]


@pytest.mark.parametrize(
    ("kind", "lacks", "has"),
    [
        ("m9n", "CFG_TMODE_MODE", "CFG_TP_TIMEGRID_TP1"),
        ("m9n", "CFG_MSGOUT_UBX_TIM_SVIN_UART1", "CFG_MSGOUT_UBX_MON_HW_UART1"),
        ("m9n", "CFG_MSGOUT_UBX_SEC_SIG_UART1", "CFG_MSGOUT_UBX_MON_RF_UART1"),
        ("m9n", "CFG_SIGNAL_GPS_L5_ENA", "CFG_SIGNAL_GPS_L1CA_ENA"),
        ("f10t", "CFG_MSGOUT_UBX_MON_HW_UART1", "CFG_MSGOUT_UBX_SEC_SIG_UART1"),
        ("f10t", "CFG_SIGNAL_GPS_L2C_ENA", "CFG_SIGNAL_GPS_L5_ENA"),
        ("f9t-00b", "CFG_MSGOUT_UBX_SEC_SIG_UART1", "CFG_TMODE_MODE"),
    ],
)
def test_what_a_receiver_lacks_is_refused(kind: str, lacks: str, has: str) -> None:
    ask = Asked(make(kind))
    assert values(ask, lacks) == ["ACK-NAK"]
    assert values(ask, has) == ["CFG-VALGET", "ACK-ACK"]


def test_an_m9n_never_surveys_and_an_f10t_tells_jamming_by_band() -> None:
    device = make("m9n")
    switch_on(device, ["NAV_PVT", "TIM_TP", "MON_RF"])
    device.transmit(at(30))
    heard = {message.identity: message for message in ubx(device.transmit(at(31)))}
    assert (heard["NAV-PVT"].fixType, heard["MON-RF"].nBlocks) == (3, 1)
    device = make("f10t")
    switch_on(device, ["NAV_PVT", "SEC_SIG", "MON_RF", "NAV_SIG"])
    device.jam_db = 20.0
    device._settings.write({"CFG_ITFM_ENABLE": 1})  # type: ignore[attr-defined]  # the u-blox kind's own
    device.transmit(at(30))
    heard = {message.identity: message for message in ubx(device.transmit(at(31)))}
    assert (heard["NAV-PVT"].fixType, heard["MON-RF"].nBlocks) == (5, 2)
    security = heard["SEC-SIG"]
    assert (security.version, security.jammingState, security.jammed_01, security.centFreq_02) == (
        2,
        3,
        1,
        1_176_450,
    )
    signals = heard["NAV-SIG"]
    seen = {
        (getattr(signals, f"gnssId_{n:02d}"), getattr(signals, f"sigId_{n:02d}"))
        for n in range(1, signals.numSigs + 1)
    }
    assert seen == {(0, 0), (0, 6), (2, 0), (2, 3), (3, 0), (3, 7), (6, 0)}


def test_pulse_without_lock_is_flagged_by_the_generations_that_can() -> None:
    for kind, flagged in (("m9n", 1), ("f10t", 1), ("f9t", 0), ("m8t", 0)):
        device = make(kind)
        switch_on(device, ["TIM_TP"])
        device.transmit(at(10))
        device.satellites_visible = 0
        device.transmit(at(19))
        label = next(m for m in ubx(device.transmit(at(20))) if m.identity == "TIM-TP")
        assert label.TpNotLocked == flagged, kind


def test_blocks_of_a_mosaic_are_read_by_another_decoder() -> None:
    pulses = model_gnss(GNSS_RECEIVERS["mosaic"], 3, START_S)
    boot = [f"SBFOutput, Stream1, COM1, {'+'.join(BLOCKS)}, sec1"]
    device = EmulatedMosaic(pulses, START_NS, boot=boot)
    device.transmit(at(59.99))
    heard = {
        message.identity: message for _, message in SBFReader(BytesIO(device.transmit(at(62))), quitonerror=2)
    }
    assert set(heard) == set(BLOCKS)
    time, pvt, pulse = heard["ReceiverTime"], heard["PVTGeodetic"], heard["xPPSOffset"]
    assert (time.UTCYear, time.UTCMonth, time.UTCDay, time.DeltaLS, time.SyncLevel) == (27, 1, 15, 18, 7)
    assert (pvt.Type, pvt.Error, pvt.NrSV) == (1, 0, 18)
    assert pvt.Latitude == pytest.approx(0.826883, abs=1e-6)
    past_s = START_S + 61
    assert pulse.Offset == pytest.approx(-pulses.edge(past_s).qerr_ns * 1e-9, abs=1e-14), "opposite sign"
    assert heard["ReceiverSetup"].ProductName.rstrip(b"\0") == b"mosaic-T"
    assert (heard["GPSUtc"].DEL_t_LS, heard["GPSUtc"].DEL_t_LSF) == (18, 18)
    assert pytest.approx(45, abs=5) == heard["MeasEpoch"].CN0_01 + 10


def test_a_cold_mosaic_sends_what_must_not_be_used() -> None:
    pulses = model_gnss(GNSS_RECEIVERS["mosaic"], 3, START_S)
    device = EmulatedMosaic(pulses, START_NS, start=Start.COLD)
    heard = {m.identity: m for _, m in SBFReader(BytesIO(device.transmit(at(4))), quitonerror=2)}
    assert (heard["ReceiverTime"].SyncLevel, heard["ReceiverTime"].DeltaLS) == (0, -128)
    assert (heard["PVTGeodetic"].Type, heard["PVTGeodetic"].Latitude, heard["PVTGeodetic"].WNc) == (
        0,
        -2e10,
        65_535,
    )


def test_an_nmea_receiver_speaks_sentences_only() -> None:
    device = make("nmea", 9_600)
    device.receive(UBXMessage("MON", "MON-VER", POLL).serialize(), at(2.5))
    device.transmit(at(3))
    data = device.transmit(at(5))
    kinds = [message.msgID for _, message in NMEAReader(BytesIO(data), quitonerror=2)]
    assert kinds[:2] == ["GGA", "GLL"]
    assert b"\xb5\x62" not in data
    assert device.edge(START_S + 10).present


def test_another_rate_is_noise_both_ways() -> None:
    device = make("f9t")
    line = RatedLine(device, 9_600)
    device.transmit(at(3))
    noise = line.to_host(at(4))
    assert noise
    assert b"\xb5\x62\x01" not in noise
    line.to_device(UBXMessage("MON", "MON-VER", POLL).serialize(), at(4.4))
    line.baud = 115_200
    assert b"FWVER" not in line.to_host(at(4.9))
    line.to_device(UBXMessage("MON", "MON-VER", POLL).serialize(), at(5.4))
    assert b"FWVER=TIM 2.20" in line.to_host(at(5.9))
    assert UBXReader.parse(UBXMessage("MON", "MON-VER", POLL).serialize(), msgmode=GET).identity == "MON-VER"


@pytest.mark.parametrize("kind", RECEIVER_KINDS)
def test_a_card_can_have_any_of_them(kind: str) -> None:
    card = build_in_process(receiver=kind)
    card.timebase.sleep_s(5.0)
    assert card.truth().gnss_error_ns is not None
    assert CardOptions(receiver=kind).gnss == RECEIVER_KINDS[kind].pulse
    card.inject("antenna-cut", 2.0)
    card.inject("wrong-time", 2.0)


def test_options_are_checked() -> None:
    with pytest.raises(OptionError, match="receiver='z': must be one of f9t, f9t-00b"):
        CardOptions(receiver="z")
    with pytest.raises(OptionError, match="receiver_baud=1: must be one of 4800"):
        CardOptions(receiver_baud=1)
    arguments = parse(["--pty", "/tmp/x", "--receiver", "mosaic", "--receiver-baud", "230400"])
    assert (arguments.receiver_only, arguments.options.gnss_baud) == (True, 230_400)
    with pytest.raises(OptionError, match="give --vfio-user"):
        parse(["--pty", "/tmp/x", "--status"])
    with pytest.raises(OptionError, match="one of the arguments --vfio-user --pty is required"):
        parse(["--receiver", "mosaic"])
