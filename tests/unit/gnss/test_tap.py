"""The read-only tap: everybody sees the bytes, nobody reaches the receiver, nobody can make us wait."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from timecard.errors import RefusedError, TimeCardError
from timecard.gnss.tap import (
    MAX_READERS,
    Tap,
    TapAddress,
    TappedRateStream,
    TappedStream,
    parse_tap_address,
    tapped,
)
from timecard.protocols import RateStream


class Line:
    """A serial line with something to say."""

    name = "gnss"
    baud = 115_200

    def __init__(self) -> None:
        self.written = b""
        self.says = b""

    def set_baud(self, baud: int) -> None:
        self.baud = baud

    def read(self, max_bytes: int, timeout_s: float) -> bytes:
        data, self.says = self.says[:max_bytes], self.says[max_bytes:]
        return data

    def write(self, data: bytes) -> None:
        self.written += data


def connected(tap: Tap) -> socket.socket:
    if tap.address.path is not None:
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(tap.address.path))
    else:
        sock = socket.create_connection((tap.address.host, tap.address.port))
    sock.settimeout(5)
    return sock


@pytest.fixture(params=["unix", "127.0.0.1:0", "[::1]:0"])
def tap(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tap]:
    text = str(tmp_path / "gnss.sock") if request.param == "unix" else request.param
    if "::1" in text:
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:
            pytest.skip("no IPv6 loopback here")
    with contextlib.closing(Tap(parse_tap_address(text))) as opened:
        yield opened


def all_of(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        assert piece, f"the tap closed after {len(data)} bytes"
        data += piece
    return data


def test_every_reader_gets_what_is_read_from_then_on(tap: Tap) -> None:
    line = Line()
    stream = TappedStream(line, tap)
    line.says = b"before"
    assert stream.read(100, 0.0) == b"before"
    with connected(tap) as first, connected(tap) as second:
        line.says = bytes(range(256)) * 8
        assert stream.read(4096, 0.0) == bytes(range(256)) * 8
        assert tap.readers == 2
        assert all_of(first, 2048) == all_of(second, 2048) == bytes(range(256)) * 8


def test_nothing_that_a_reader_sends_reaches_the_receiver(tap: Tap) -> None:
    line = Line()
    stream = TappedStream(line, tap)
    with connected(tap) as reader:
        stream.read(100, 0.0)
        reader.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            for _ in range(100):
                reader.send(b"\xb5\x62\x06\x04\x04\x00\xff\xff\x00\x00\x0c\x5d" * 100)
        reader.settimeout(5)
        for _ in range(50):
            line.says = b"still here"
            stream.read(100, 0.0)
        assert all_of(reader, 500) == b"still here" * 50
    assert line.written == b""
    stream.write(b"ours")
    assert line.written == b"ours"


def test_a_reader_that_does_not_keep_up_is_dropped_and_the_others_stay(tap: Tap) -> None:
    with connected(tap) as slow, connected(tap) as quick:
        tap.publish(b"")
        assert tap.readers == 2
        sent = 0
        while tap.readers == 2:
            tap.publish(bytes(4096))
            all_of(quick, 4096)
            sent += 4096
            assert sent < 64 << 20, "a reader that reads nothing was never dropped"
        assert (tap.readers, tap.dropped) == (1, 1)
        tap.publish(b"on")
        assert all_of(quick, 2) == b"on"
        with contextlib.suppress(ConnectionError):
            while slow.recv(1 << 20):
                pass


def test_a_reader_that_only_closed_its_sending_half_goes_on_reading(tap: Tap) -> None:
    with connected(tap) as reader:
        reader.shutdown(socket.SHUT_WR)
        for _ in range(5):
            tap.publish(b"x")
        assert all_of(reader, 5) == b"xxxxx"


def test_a_reader_that_left_is_forgotten(tap: Tap) -> None:
    connected(tap).close()
    reader = connected(tap)
    tap.publish(b"x")
    reader.close()
    for _ in range(5):
        tap.publish(b"x")
    assert (tap.readers, tap.dropped) == (0, 0)


def test_there_are_only_so_many_readers(tap: Tap) -> None:
    with contextlib.ExitStack() as readers:
        for _ in range(MAX_READERS + 3):
            readers.enter_context(connected(tap))
            tap.publish(b"")
        assert (tap.readers, tap.turned_away) == (MAX_READERS, 3)


def test_a_tapped_line_can_still_change_its_rate(tap: Tap) -> None:
    line = Line()
    stream = tapped(tapped(line, tap), tap)
    assert isinstance(stream, RateStream)
    # Python 3.12 looks in the class, not in ``__getattr__``.
    assert {"baud", "set_baud"} <= set(vars(TappedRateStream))
    stream.set_baud(9_600)
    assert (stream.baud, line.baud) == (9_600, 9_600)


def test_a_tapped_line_without_a_rate_has_none(tap: Tap) -> None:
    class Plain:
        name = "plain"

        def read(self, max_bytes: int, timeout_s: float) -> bytes:
            return b""

        def write(self, data: bytes) -> None: ...

    assert not isinstance(tapped(Plain(), tap), RateStream)


def test_closing_ends_the_readers_and_removes_the_socket(tmp_path: Path) -> None:
    path = tmp_path / "gnss.sock"
    tap = Tap(TapAddress(path=path))
    assert path.stat().st_mode & 0o777 == 0o666
    with connected(tap) as reader:
        tap.publish(b"x")
        tap.close()
        assert reader.recv(10) + reader.recv(10) == b"x"
    assert list(tmp_path.iterdir()) == []


def test_a_dead_socket_is_replaced_a_living_one_and_a_file_are_not(tmp_path: Path) -> None:
    path = tmp_path / "gnss.sock"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    with contextlib.closing(Tap(TapAddress(path=path))) as tap:
        with pytest.raises(RefusedError, match="another program serves"):
            Tap(TapAddress(path=path))
        with connected(tap):
            tap.publish(b"")
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(RefusedError, match="something else than a socket"):
        Tap(TapAddress(path=file))
    assert file.read_text() == "mine"
    with pytest.raises(TimeCardError, match="nowhere"):
        Tap(TapAddress(path=tmp_path / "nowhere" / "gnss.sock"))


def test_a_port_that_is_taken_is_refused() -> None:
    tap = Tap(TapAddress(host="127.0.0.1"))
    with contextlib.closing(tap), pytest.raises(RefusedError, match="in use"):
        Tap(tap.address)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/run/gnss.sock", "/run/gnss.sock"),
        ("unix:/run/gnss.sock", "/run/gnss.sock"),
        ("127.0.0.1:2950", "127.0.0.1:2950"),
        ("tcp:127.0.0.2:1", "127.0.0.2:1"),
        ("localhost:2950", "127.0.0.1:2950"),
        ("[::1]:2950", "[::1]:2950"),
    ],
)
def test_addresses(text: str, shown: str) -> None:
    assert str(parse_tap_address(text)) == shown


@pytest.mark.parametrize(
    "text",
    ["", "gnss.sock", "2950", ":2950", "0.0.0.0:2950", "192.168.1.4:2950", "[::]:1", "example.org:1",
     "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:²", "127.0.0.1:", "/" + "a" * 108, "/a\0b"],
)  # fmt: skip
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|other hosts|too long"):
        parse_tap_address(text)
