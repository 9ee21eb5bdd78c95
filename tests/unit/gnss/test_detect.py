"""Who is on the line, and at which rate: asked, listened to, foreign, noise and silence."""

from __future__ import annotations

from binascii import crc32
from pathlib import Path

import pytest
from pyubx2 import UBXMessage

from tests.unit.gnss.rated_wire import START_S, RatedWire, wire_to
from timecard.emulator.receiver_messages import MESSAGES
from timecard.emulator.world import VirtualTime
from timecard.errors import DeviceAbsentError, UnsupportedError
from timecard.gnss.detect import BAUDS, LIMIT_S, detect
from timecard.gnss.receivers import RECEIVERS
from timecard.gnss.ubx import without_header
from timecard.timescale import NS_PER_S
from timecard.values import GnssEvent, GnssFix

FOUND = {
    "f9t": ("ublox", "ZED-F9T", "TIM 2.20"),
    "f9t-00b": ("ublox", "ZED-F9T", "TIM 2.01"),
    "m9n": ("ublox", "NEO-M9N", "SPG 4.04"),
    "f10t": ("ublox", "NEO-F10T", "TIM 3.01"),
    "m8t": ("ublox-legacy", "NEO-M8T-0", "TIM 1.10"),
    "mosaic": ("septentrio", "mosaic-T", "4.14.4"),
    "nmea": ("nmea", "NMEA receiver (talker GN)", ""),
}


class Player:
    """A recording said again and again, to a host that may write what it likes."""

    baud = 115_200

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.received = bytearray()
        self._next_ns = 0

    def receive(self, data: bytes, t_ns: int) -> None:
        self.received += data

    def transmit(self, t_ns: int) -> bytes:
        if t_ns < self._next_ns:
            return b""
        self._next_ns = t_ns + NS_PER_S // 2
        return self.data


def play(data: bytes) -> RatedWire:
    return RatedWire(Player(data), VirtualTime(START_S * NS_PER_S))


@pytest.mark.parametrize("baud", [115_200, 38_400, 4_800])
@pytest.mark.parametrize("kind", FOUND)
def test_receiver_and_rate_are_found(kind: str, baud: int) -> None:
    wire = wire_to(kind, device_baud=baud)
    found = detect(wire, wire.time)
    assert found.identity is not None
    assert (found.driver.name, found.identity.model, found.identity.firmware) == FOUND[kind]
    assert (found.baud, wire.baud) == (baud, baud)
    assert found.driver is RECEIVERS[found.driver.name]


@pytest.mark.parametrize("kind", FOUND)
def test_listening_writes_nothing(kind: str) -> None:
    wire = wire_to(kind, device_baud=9_600)
    found = detect(wire, wire.time, listen_only=True)
    assert (found.baud, found.identity) == (9_600, None)
    # The generations of u-blox cannot be told apart without a question.
    assert found.driver.name == FOUND[kind][0].removesuffix("-legacy")
    assert not wire.written


def test_what_was_found_can_be_opened() -> None:
    for kind in FOUND:
        wire = wire_to(kind, device_baud=38_400)
        receiver = detect(wire, wire.time).driver.open(wire, wire.time, None)
        written = len(wire.written)
        receiver.start()
        assert receiver.identity is not None
        end_ns = wire.time.mono_ns() + 3 * NS_PER_S
        events: list[GnssEvent] = []
        while wire.time.mono_ns() < end_ns:
            events += receiver.poll(0.5)
        assert any(isinstance(event, GnssFix) for event in events), kind
        if kind == "nmea":
            assert len(wire.written) == written, "never written to"


def quiet() -> RatedWire:
    """An F9T whose outputs are off."""
    wire = wire_to("f9t", device_baud=460_800)
    off = [(f"CFG_MSGOUT_UBX_{name}_UART1", 0) for name in MESSAGES]
    wire.device.receive(UBXMessage.config_set(1, 0, off).serialize(), wire.time.true_tai_ns())
    wire.time.sleep_s(2.0)
    wire.device.transmit(wire.time.true_tai_ns())
    return wire


def test_a_receiver_with_all_outputs_off_is_asked() -> None:
    wire = quiet()
    assert detect(wire, wire.time).baud == 460_800
    wire = quiet()
    with pytest.raises(DeviceAbsentError, match="nothing received"):
        detect(wire, wire.time, listen_only=True)


class HalfReceived(Player):
    """Says MON-VER only after it got rid of what it had half received."""

    def __init__(self, inner: RatedWire) -> None:
        super().__init__(b"")
        self.inner = inner.device
        self.flushed = False

    def receive(self, data: bytes, t_ns: int) -> None:
        self.flushed |= b"\x55" * 1024 in data
        if self.flushed:
            self.inner.receive(data, t_ns)

    def transmit(self, t_ns: int) -> bytes:
        said = self.inner.transmit(t_ns)
        return said if self.flushed else b""


def test_a_stuck_receiver_is_flushed_in_the_second_round() -> None:
    wire = wire_to("f9t")
    wire.device = HalfReceived(wire)
    wire.line.device = wire.device
    found = detect(wire, wire.time, [9_600, 115_200])
    assert (found.driver.name, found.baud) == ("ublox", 115_200)
    assert b"\x55" * 1024 in bytes(wire.written)


def test_silence_takes_a_bounded_time_and_leaves_the_rate() -> None:
    wire = play(b"")
    begin_ns = wire.time.mono_ns()
    with pytest.raises(
        DeviceAbsentError, match=r"nothing received at 115200, 9600, .*: no receiver"
    ) as error:
        detect(wire, wire.time)
    assert (wire.time.mono_ns() - begin_ns) / NS_PER_S <= LIMIT_S + 3
    assert wire.baud == 115_200
    assert set(wire.rates) == set(BAUDS)
    short = play(b"")
    begin_ns = short.time.mono_ns()
    with pytest.raises(DeviceAbsentError, match="the time for it is over"):
        detect(short, short.time, limit_s=10.0)
    assert (short.time.mono_ns() - begin_ns) / NS_PER_S <= 13.0
    assert "detect GNSS receiver" in str(error.value)


def test_noise_is_called_noise() -> None:
    wire = play(bytes(range(7, 207)) * 3)
    with pytest.raises(DeviceAbsentError, match="bytes without a valid frame"):
        detect(wire, wire.time, [9_600, 115_200])


def unicore(body: bytes) -> bytes:
    """A binary message: sync, header of 24 bytes with the length at 6, CRC-32 without inversions."""
    message = b"\xaa\x44\xb5\x10\x25\x00" + len(body).to_bytes(2, "little") + bytes(16) + body
    return message + (crc32(message, 0xFFFFFFFF) ^ 0xFFFFFFFF).to_bytes(4, "little")


@pytest.mark.parametrize("listen_only", [False, True])
def test_a_receiver_that_we_do_not_drive_is_named(shared_dir: Path, listen_only: bool) -> None:
    trimble = without_header((shared_dir / "data/gnss/trimble-res720.log").read_bytes())
    for data, name in (
        (trimble, "Trimble TSIP"),
        (unicore(b"UM980"), "Unicore binary"),
        (b'#VERSIONA,89,GPS,FINE,2393,345601000,0,0,18,42;"UM980"*12345678\r\n', "Unicore ASCII"),
        (b"$PQTMVERNO,LC29HBSNR01A01S,2023/01/01,12:00:00*1B\r\n", "Quectel NMEA dialect"),
    ):
        wire = play(data)
        with pytest.raises(UnsupportedError, match=rf"speaks {name}.* at 115200 baud; there is no driver"):
            detect(wire, wire.time, listen_only=listen_only)
        assert wire.baud == 115_200


def test_a_quectel_that_tells_time_is_read_as_nmea(shared_dir: Path) -> None:
    data = without_header((shared_dir / "data/gnss/quectel-l76k-nmea.log").read_bytes())
    wire = play(data[:4000])
    assert detect(wire, wire.time).driver.name == "nmea"


def test_a_receiver_that_sends_but_does_not_answer_says_so() -> None:
    wire = play(b"\xd3\x00\x00\x47\xea\x4b" * 3)
    with pytest.raises(DeviceAbsentError, match="sends RTCM3 at 115200 baud but answers nobody"):
        detect(wire, wire.time, [115_200])


def test_a_rate_that_the_port_cannot_make_is_left_out() -> None:
    wire = wire_to("f9t", device_baud=115_200, host_baud=9_600)
    wire.impossible = frozenset({38_400})
    assert detect(wire, wire.time).baud == 115_200


def test_a_line_without_a_rate_is_asked_as_it_is() -> None:
    wire = wire_to("m8t")

    class Plain:
        name = "plain"
        read = staticmethod(wire.read)
        write = staticmethod(wire.write)

    found = detect(Plain(), wire.time)
    assert (found.driver.name, found.baud) == ("ublox-legacy", None)
