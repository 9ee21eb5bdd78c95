"""Our XMODEM sender: block format, every kind of answer, a bad line; and a receiver that we did not write."""

from __future__ import annotations

import contextlib
import os
import random
import select
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.emulator_devices.wire import START_NS, Wire
from timecard.emulator.sa5x_loader import FirmwareFlash, XmodemReceiver, build_image
from timecard.emulator.serial_line import SerialLine
from timecard.emulator.world import VirtualTime
from timecard.errors import DeviceTimeoutError, RefusedError
from timecard.mac.xmodem import ACK, BLOCK, CAN, EOT, MAX_TRIES, NAK, READY, STX, Sender, State, send_file
from timecard.timebase import HostTimebase


def crc_by_hand(data: bytes) -> int:
    """CRC-16, polynomial 0x1021, bit by bit."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def begun(data: bytes = bytes(3 * BLOCK)) -> Sender:
    sender = Sender(data)
    assert sender.feed(bytes((READY,)))
    return sender


# --- blocks ---


@pytest.mark.parametrize(
    ("data", "crc"), [(b"\x1a" * BLOCK, 0xFC96), (bytes(BLOCK), 0), (b"123456789", None)]
)
def test_blocks(data: bytes, crc: int | None) -> None:
    packet = Sender(data).feed(b"C")
    assert len(packet) == BLOCK + 5
    assert packet[:3] == bytes((STX, 1, 254))
    assert packet[3:-2] == data.ljust(BLOCK, b"\x1a")
    assert int.from_bytes(packet[-2:], "big") == (crc_by_hand(packet[3:-2]) if crc is None else crc)
    assert crc_by_hand(b"123456789") == 0x31C3


def test_block_numbers_wrap() -> None:
    sender = Sender(bytes(600 * BLOCK))
    packet = sender.feed(b"C")
    for number in range(1, 600):
        assert packet[1:3] == bytes((number & 0xFF, 255 - (number & 0xFF)))
        packet = sender.feed(bytes((ACK,)))
    assert sender.feed(bytes((ACK,))) == bytes((EOT,))
    assert sender.feed(bytes((ACK,)) + b"[=1]\r\n") == b""
    assert (sender.state, sender.after) == (State.DONE, b"[=1]\r\n")


def test_an_empty_file_is_an_error() -> None:
    with pytest.raises(ValueError, match="empty"):
        Sender(b"")


# --- answers ---


def test_noise_before_the_first_block_is_ignored() -> None:
    sender = Sender(bytes(10))
    assert sender.feed(b"[\x00[xyz\xff\x15\x06[") == b""
    assert sender.feed(b"C")


def test_a_late_ready_does_not_repeat_the_first_block() -> None:
    sender = begun()
    assert sender.feed(b"CCC") == b""
    assert sender.feed(bytes((ACK,)))[1] == 2


def test_two_answers_at_once_count_once() -> None:
    sender = begun()
    assert sender.feed(bytes((NAK, NAK, NAK)))[1] == 1
    assert sender.repeats == 1
    assert sender.feed(bytes((ACK, ACK)))[1] == 2
    assert sender.acknowledged == 1


def test_ten_refusals_of_a_block_are_the_end() -> None:
    sender = begun()
    sent = [sender.feed(bytes((NAK,))) for _ in range(MAX_TRIES)]
    assert all(packet[1] == 1 for packet in sent[:-1])
    assert sent[-1] == b""
    assert sender.failure == "block 1 of 3 was refused 10 times"


def test_nine_refusals_of_each_block_are_not() -> None:
    sender = begun()
    for _ in range(3):
        for _ in range(MAX_TRIES - 1):
            assert sender.feed(bytes((NAK,)))
        sender.feed(bytes((ACK,)))
    assert sender.feed(bytes((NAK,))) == bytes((EOT,))  # some receivers refuse the first one on principle
    assert sender.feed(bytes((ACK,))) == b""
    assert sender.state is State.DONE


@pytest.mark.parametrize(
    ("heard", "failure", "code"),
    [
        (bytes((CAN, CAN)), "the receiver cancelled", None),
        (b"[!320]\r\n", "error 320: flash erase failed", 320),
        (b"x[[!310]", "error 310: transfer failed, too many retries", 310),
        (b"[!77]", "error 77: not documented", 77),
        (b"[>Loading...]", "the part restarted", None),
    ],
)
def test_what_ends_a_transfer(heard: bytes, failure: str, code: int | None) -> None:
    for data in (heard, *([heard[i : i + 1] for i in range(len(heard))],)):
        sender = begun()
        for piece in [data] if isinstance(data, bytes) else data:
            assert sender.feed(piece) == b""
        assert (sender.state, sender.failure, sender.code) == (State.FAILED, failure, code)


def test_a_single_cancel_is_noise() -> None:
    sender = begun()
    assert sender.feed(bytes((CAN,))) == b""
    assert sender.feed(bytes((ACK,)))[1] == 2


def test_the_result_stands_for_a_lost_last_acknowledgement() -> None:
    sender = begun(bytes(5))
    assert sender.feed(bytes((ACK,))) == bytes((EOT,))
    sender.feed(b"[=1]\r\n")
    assert (sender.state, sender.after) == (State.DONE, b"[=1]")


def test_silence() -> None:
    sender = Sender(bytes(5))
    assert sender.timed_out() == b""
    assert sender.failure == "the receiver did not ask for the file"
    sender = begun()
    assert sender.timed_out()[1] == 1
    assert sender.timed_out()[1] == 1
    assert sender.timed_out() == b""
    assert sender.failure == "silence at block 1 of 3"


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=40), max_size=60))
def test_no_answer_makes_it_fail_otherwise_or_send_something_else(pieces: list[bytes]) -> None:
    sender = Sender(bytes(range(256)) * 10)
    for piece in pieces:
        for reply in (sender.feed(piece), b"" if sender.over else sender.timed_out()):
            assert reply == b"" or reply == bytes((EOT,)) or (reply[0], len(reply)) == (STX, BLOCK + 5)
    assert sender.acknowledged <= sender.blocks
    assert bool(sender.failure) == (sender.state is State.FAILED)


# --- on a line, with the emulated boot loader's receiver ---


class Receiver:
    """The receiver alone on a line; some bytes of each direction may be lost or changed."""

    def __init__(self, seed: int = 0, damage: float = 0.0) -> None:
        self.flash = FirmwareFlash("V1.0.4.0.5ADA4E31")
        self.codes: list[int] = []
        self.cut_after: int | None = None
        self._line = SerialLine(57_600)
        self._random = random.Random(seed)
        self._damage = damage
        self.receiver = XmodemReceiver(
            self.flash, START_NS, self._say, lambda code, t_ns: self._end(code, t_ns)
        )

    def receive(self, data: bytes, t_ns: int) -> None:
        if self.cut_after is not None and self.receiver.blocks >= self.cut_after:
            return
        self.receiver.feed(self._damaged(data), t_ns)

    def transmit(self, t_ns: int) -> bytes:
        if self.cut_after is None or self.receiver.blocks < self.cut_after:
            self.receiver.advance(t_ns)
        return self._line.take(t_ns)

    def _say(self, data: bytes, t_ns: int) -> None:
        self._line.put(self._damaged(data), t_ns)

    def _end(self, code: int, t_ns: int) -> None:
        self.codes.append(code)
        self._line.put(b"[!%d]\r\n" % code if code else b"[=1]\r\n", t_ns)

    def _damaged(self, data: bytes) -> bytes:
        if self._random.random() >= self._damage or not data:
            return data
        at = self._random.randrange(len(data))
        return data[:at] + self._random.choice([b"", b"\x00", bytes((data[at] ^ 0x55,))]) + data[at + 1 :]


@pytest.mark.parametrize("seed", range(12))
def test_a_bad_line_costs_repeats_and_never_content(seed: int) -> None:
    """A fifth of all blocks and answers are damaged: the file arrives whole, or an error says so."""
    image = build_image("V1.6.5.669A7202", 12_345)
    time = VirtualTime(START_NS)
    peer = Receiver(seed, damage=0.2)
    told: list[tuple[int, int]] = []
    try:
        send_file(Wire(peer, time), time, image, lambda done, total: told.append((done, total)))
    except (RefusedError, DeviceTimeoutError):
        assert peer.flash.version is None or peer.codes == [0]
    else:
        assert peer.codes == [0]
        assert peer.flash.version == "V1.6.5.0.669A7202"
    assert told == sorted(told)
    assert told[-1][1] == 13


def test_most_bad_lines_do_not_stop_it() -> None:
    image = build_image("V1.6.5.669A7202", 8_000)
    good = 0
    for seed in range(40):
        time = VirtualTime(START_NS)
        peer = Receiver(seed, damage=0.1)
        with contextlib.suppress(RefusedError, DeviceTimeoutError):
            send_file(Wire(peer, time), time, image)
        good += peer.codes == [0]
    assert good >= 38


@pytest.mark.parametrize("blocks", range(4))
def test_a_cut_at_every_block(blocks: int) -> None:
    time = VirtualTime(START_NS)
    peer = Receiver()
    peer.cut_after = blocks
    with pytest.raises(DeviceTimeoutError, match=rf"silence at block {blocks + 1} of 4|did not ask"):
        send_file(Wire(peer, time), time, build_image("V1.6.5.669A7202", 4_000))
    assert time.true_tai_ns() - START_NS < 90e9


def test_a_storm_of_refusals_ends_with_the_receivers_code() -> None:
    time = VirtualTime(START_NS)
    peer = Receiver()
    peer.receiver.refuse_next = 9
    assert send_file(Wire(peer, time), time, build_image("V1.6.5.669A7202", 4_000)) is not None
    time = VirtualTime(START_NS)
    peer = Receiver()
    peer.receiver.refuse_next = 10
    with pytest.raises(RefusedError, match="error 310"):
        send_file(Wire(peer, time), time, build_image("V1.6.5.669A7202", 4_000))


# --- a receiver that we did not write ---


class SocketStream:
    """``ByteStream`` on a socket."""

    name = "rx"

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def read(self, max_bytes: int, timeout_s: float) -> bytes:
        if not select.select([self._end], [], [], max(0.0, timeout_s))[0]:
            return b""
        return self._end.recv(max_bytes)

    def write(self, data: bytes) -> None:
        self._end.sendall(data)


@pytest.mark.skipif(shutil.which("rx") is None, reason="needs rx of Debian's lrzsz")
@pytest.mark.parametrize("size", [1, 1_024, 1_025, 300_000])
def test_lrzsz_receives_what_we_send(size: int, tmp_path: Path) -> None:
    data = random.Random(size).randbytes(size)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = subprocess.Popen(
            ["rx", "--with-crc", "--binary", "--quiet", "received"],
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=subprocess.DEVNULL,
            cwd=tmp_path,
            env={**os.environ, "LC_ALL": "C"},
        )
        try:
            send_file(SocketStream(ours), HostTimebase(), data)
            assert process.wait(timeout=60) == 0
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    received = (tmp_path / "received").read_bytes()
    assert received[:size] == data
    assert set(received[size:]) <= {0x1A}


@pytest.mark.skipif(shutil.which("sx") is None, reason="needs sx of Debian's lrzsz")
def test_the_emulated_receiver_takes_what_lrzsz_sends(tmp_path: Path) -> None:
    image = build_image("V1.6.5.669A7202", 20_001)
    (tmp_path / "image").write_bytes(image)
    flash, codes = FirmwareFlash("V1.0.4.0.5ADA4E31"), list[int]()
    ours, theirs = socket.socketpair()
    clock = HostTimebase()
    with ours, theirs:
        receiver = XmodemReceiver(
            flash,
            clock.mono_ns(),
            lambda data, t_ns: ours.sendall(data),
            lambda code, t_ns: codes.append(code),
        )
        process = subprocess.Popen(
            ["sx", "--1k", "--binary", "--quiet", "image"],
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=subprocess.DEVNULL,
            cwd=tmp_path,
        )
        try:
            end_ns = clock.mono_ns() + 60 * 10**9
            while not codes and clock.mono_ns() < end_ns:
                receiver.advance(clock.mono_ns())
                if select.select([ours], [], [], 0.05)[0]:
                    receiver.feed(ours.recv(4096), clock.mono_ns())
            assert process.wait(timeout=60) == 0
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    assert codes == [0]
    assert flash.version == "V1.6.5.0.669A7202"
