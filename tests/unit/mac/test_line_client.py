"""Request and reply: checksums, sequence numbers, late and damaged answers, error codes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timecard.emulator.world import VirtualTime
from timecard.errors import DeviceTimeoutError, ProtocolError, RefusedError, TimeCardError, UnsupportedError
from timecard.mac.client import ERRORS, LineClient, checksum
from timecard.mac.text_line import TextLine

Answer = Callable[[str], bytes]


class Script:
    """A stream whose device answers each write as told, 5 ms later."""

    name = "mac"

    def __init__(self, time: VirtualTime, *answers: Answer) -> None:
        self.time = time
        self.answers = deque(answers)
        self.sent: list[str] = []
        self.pending = b""
        self.leftovers = b""

    def read(self, max_bytes: int, timeout_s: float) -> bytes:
        if self.leftovers:
            data, self.leftovers = self.leftovers, b""
            return data
        if self.pending and timeout_s > 0:
            self.time.sleep_s(0.005)
            data, self.pending = self.pending, b""
            return data
        self.time.sleep_s(timeout_s)
        return b""

    def write(self, data: bytes) -> None:
        self.sent.append(data.decode("ascii"))
        self.pending = self.answers.popleft()(data.decode("ascii")) if self.answers else b""


def whole(text: str) -> bytes:
    """An answer with its checksum."""
    return f"[{text}|{checksum(text):02X}]\r\n".encode("ascii")


def sequence(request: str) -> str:
    return request[request.index("#") + 1 :][:2]


def value(text: str) -> Answer:
    return lambda request: whole(f"#{sequence(request)}={text}")


def error(code: str) -> Answer:
    return lambda request: whole(f"#{sequence(request)}!{code}")


def silence(request: str) -> bytes:
    return b""


def client(*answers: Answer) -> tuple[LineClient, Script]:
    time = VirtualTime(0)
    stream = Script(time, *answers)
    return LineClient(stream, time), stream


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("device?", 0x27),
        ("get,Phase", 0x15),
        ("get,Locked", 0x70),
        ("set,TauPps0,50", 0x44),
        ("get#0A,Phase", 0x47),
        ("swrev?", 0x5A),
        ("=sa5x", 0x62),
        ("=1", 0x0C),
        ("=50", 0x38),
        ("#0A=-3", 0x71),
        ("=276428", 0x30),
        ("!1", 0x10),
    ],
)
def test_checksum_vectors(text: str, expected: int) -> None:
    assert checksum(text) == expected


def test_a_request_carries_a_sequence_number_and_a_checksum() -> None:
    target, stream = client(*[value("-3")] * 10)
    for _ in range(10):
        assert target.request("get", "Phase") == "-3"
    assert stream.sent[-1] == "{get#0A,Phase|47}"
    assert stream.sent[0].startswith("{get#01,Phase|")


def test_sequence_numbers_go_round_without_zero() -> None:
    target, stream = client(*[value("1")] * 300)
    for _ in range(300):
        target.request("get", "Locked")
    numbers = [sequence(request) for request in stream.sent]
    assert "00" not in numbers
    assert numbers[254:256] == ["FF", "01"]


@pytest.mark.parametrize(
    ("text", "expected"), [('"quoted"', "quoted"), ("", ""), ("37.250", "37.250"), ('"', '"')]
)
def test_values_come_without_quotes(text: str, expected: str) -> None:
    assert client(value(text))[0].request("get", "x") == expected


def test_the_late_answer_of_another_request_is_not_taken() -> None:
    def late_then_own(request: str) -> bytes:
        return whole("#77=42") + whole(f"#{sequence(request)}=1")

    target, stream = client(late_then_own)
    assert target.request("get", "Locked") == "1"
    assert target.dropped == 1
    assert len(stream.sent) == 1


@pytest.mark.parametrize(
    "damaged",
    [
        pytest.param(lambda request: whole(f"#{sequence(request)}=1").replace(b"=1", b"=7"), id="value"),
        pytest.param(lambda request: f"[#{sequence(request)}=1]\r\n".encode(), id="no checksum"),
        pytest.param(lambda request: b"[=1|0C]\r\n", id="no sequence"),
        pytest.param(lambda request: b"\xff\xfe#01=1\r\n", id="noise"),
        pytest.param(error("3"), id="request damaged"),
    ],
)
def test_a_damaged_exchange_is_repeated_once(damaged: Answer) -> None:
    target, stream = client(damaged, value("1"))
    assert target.request("get", "Locked") == "1"
    assert len(stream.sent) == 2
    target, stream = client(damaged, damaged, value("1"))
    with pytest.raises(ProtocolError, match="damaged"):
        target.request("get", "Locked")


def test_noise_before_a_whole_answer_does_not_matter() -> None:
    target, stream = client(lambda request: b"\x00\xf3[|]" + whole(f"#{sequence(request)}=5"))
    assert target.request("get", "x") == "5"
    assert len(stream.sent) == 1


def test_silence_is_a_timeout_after_two_tries_of_two_seconds() -> None:
    target, stream = client()
    with pytest.raises(DeviceTimeoutError, match=r"mac: get,Phase: no answer within 2\.0 s"):
        target.request("get", "Phase")
    assert stream.time.mono_ns() - 1_000_000_000_000 == pytest.approx(4e9, rel=0.01)


class Stalled(Script):
    """The host stops for 10 s between its question and its first look; the answer waits in the tty."""

    def read(self, max_bytes: int, timeout_s: float) -> bytes:
        self.leftovers, self.pending = self.leftovers + self.pending, b""
        return super().read(max_bytes, timeout_s)

    def write(self, data: bytes) -> None:
        super().write(data)
        self.time.sleep_s(10.0)


def test_an_answer_that_came_while_we_were_not_running_counts() -> None:
    time = VirtualTime(0)
    stream = Stalled(time, value("7"))
    assert LineClient(stream, time).request("get", "Phase") == "7"
    assert len(stream.sent) == 1
    line = TextLine(Stalled(time, lambda request: b"0.1\r\n"), time, end=b"\r\n", max_bytes=80)
    assert line.ask(b"^", 0.3) == "0.1"


def test_answers_to_nothing_do_not_go_on_for_ever() -> None:
    time = VirtualTime(0)

    class Babbling(Script):
        def read(self, max_bytes: int, timeout_s: float) -> bytes:
            self.time.sleep_s(0.01)
            return whole("#00=1") if self.sent else b""

    began_ns = time.mono_ns()
    with pytest.raises(DeviceTimeoutError):
        LineClient(Babbling(time), time).request("get", "Phase", repeatable=False)
    assert time.mono_ns() - began_ns < 3e9


def test_a_command_that_moves_something_is_not_repeated() -> None:
    target, stream = client(silence, value("1"))
    with pytest.raises(DeviceTimeoutError):
        target.request("sync", repeatable=False)
    assert len(stream.sent) == 1


@pytest.mark.parametrize("code", sorted(ERRORS))
def test_an_error_code_is_named(code: int) -> None:
    expected = UnsupportedError if code in (1, 100) else RefusedError
    if code == 3:
        return  # repeated instead
    with pytest.raises(expected, match=f"error {code}: {ERRORS[code].replace('(', '.').replace(')', '.')}"):
        client(error(str(code)))[0].request("set", "TauPps0", "1")


def test_an_unknown_error_code_is_shown() -> None:
    with pytest.raises(RefusedError, match="error 999: not documented"):
        client(error("999"))[0].request("get", "x")
    with pytest.raises(ProtocolError, match="no number"):
        client(error("x"))[0].request("get", "x")


def test_start_up_notices_are_counted_and_skipped() -> None:
    def rebooted(request: str) -> bytes:
        return b"[>Loading...]\r\n[>Microchip SA5X]\r\n" + whole(f"#{sequence(request)}=1")

    target, _ = client(rebooted)
    assert target.request("get", "Locked") == "1"
    assert target.notices == 2


def test_what_was_there_before_is_drained() -> None:
    target, stream = client(value("1"))
    stream.leftovers = b"[=old]\r\n[>Loading...]\r\n"
    assert target.request("get", "Locked") == "1"
    assert target.dropped == 0
    assert target.notices == 1


def test_an_endless_line_is_bounded() -> None:
    time = VirtualTime(0)

    class Endless:
        name = "mac"

        def read(self, max_bytes: int, timeout_s: float) -> bytes:
            time.sleep_s(min(0.1, timeout_s))
            return b"x" * 4096 if timeout_s > 0 else b""

        def write(self, data: bytes) -> None:
            pass

    target = LineClient(Endless(), time)
    with pytest.raises(DeviceTimeoutError):
        target.request("get", "Locked")
    assert len(target._buffer) < 10_000
    assert target.dropped > 5


@settings(max_examples=200, deadline=None)
@given(noise=st.binary(max_size=80), bracketed=st.booleans())
def test_any_answer_is_a_value_or_an_error_of_the_device(noise: bytes, bracketed: bool) -> None:
    def answer(request: str) -> bytes:
        return b"[#" + noise + b"]\r\n" if bracketed else noise + b"\n"

    try:
        client(answer, answer)[0].request("get", "Locked")
    except TimeCardError:
        return
    raise AssertionError("noise was taken for an answer")
