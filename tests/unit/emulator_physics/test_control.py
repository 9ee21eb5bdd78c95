"""The control socket: requests, bad requests, clients that misbehave, stale files."""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timecard.emulator.control import MAX_LINE_BYTES, ControlServer, answer, control_path, free_path, request
from timecard.emulator.faults import FaultError


def handler(message: dict[str, Any]) -> dict[str, Any]:
    if message.get("do") == "fail":
        raise FaultError("no\nsuch thing")
    return {"echo": message.get("do"), "time_ns": 1_700_000_000_123_456_789}


class SelectorLoop:
    """The emulator's loop, in a thread so that the test can be the client."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.stopping = False

    def add_reader(self, source: socket.socket, ready: Callable[[], object]) -> None:
        self.selector.register(source, selectors.EVENT_READ, ready)

    def remove_reader(self, source: socket.socket) -> None:
        self.selector.unregister(source)

    def run(self) -> None:
        while not self.stopping:
            for key, _ in self.selector.select(0.02):
                key.data()


@pytest.fixture
def card(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "card.sock"
    loop = SelectorLoop()
    server = ControlServer(control_path(path), handler, loop)
    thread = threading.Thread(target=loop.run)
    thread.start()
    yield path
    loop.stopping = True
    thread.join()
    server.close()
    loop.selector.close()
    assert not control_path(path).exists()


def test_request_and_answer(card: Path) -> None:
    assert request(card, {"do": "status"}) == {"echo": "status", "time_ns": 1_700_000_000_123_456_789}
    assert stat.S_IMODE(control_path(card).stat().st_mode) == 0o600


def test_a_refusal_is_one_line(card: Path) -> None:
    with pytest.raises(FaultError) as error:
        request(card, {"do": "fail"})
    assert str(error.value) == "no such thing"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"hello", "not a line of JSON"),
        (b"\xff\xfe", "not a line of JSON"),
        (b"[" * 4000, "not a line of JSON"),
        (b"[1]", "a request is an object"),
        (b'"' + b"x" * MAX_LINE_BYTES + b'"', "longer than"),
    ],
)
def test_bad_lines(line: bytes, message: str) -> None:
    reply = json.loads(answer(line, handler))
    assert reply["ok"] is False
    assert message in reply["error"]


def test_several_requests_in_pieces_on_one_connection(card: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.settimeout(5)
        sock.connect(str(control_path(card)))
        for piece in (b'{"do":"a"}\n{"do"', b':"b"}\n'):
            sock.sendall(piece)
        lines = sock.makefile("rb")
        assert [json.loads(lines.readline())["echo"] for _ in range(2)] == ["a", "b"]


def test_an_endless_line_ends_the_connection_and_nothing_else(card: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.settimeout(5)
        sock.connect(str(control_path(card)))
        sock.sendall(b"x" * (2 * MAX_LINE_BYTES))
        received = b""
        while piece := sock.recv(65536):
            received += piece
        assert b"longer than" in received
    assert request(card, {"do": "status"})["echo"] == "status"


def test_too_many_clients_are_turned_away(card: Path) -> None:
    socks = [socket.socket(socket.AF_UNIX) for _ in range(9)]
    try:
        for sock in socks:
            sock.settimeout(5)
            sock.connect(str(control_path(card)))
        assert socks[-1].recv(1) == b""
    finally:
        for sock in socks:
            sock.close()


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(FaultError, match=r"card.sock.ctl: no emulator answers there"):
        request(tmp_path / "card.sock", {"do": "status"})


def test_stale_sockets_are_replaced_and_others_respected(tmp_path: Path, card: Path) -> None:
    with pytest.raises(FileExistsError, match="in use"):
        ControlServer(control_path(card), handler, SelectorLoop())
    stale = tmp_path / "stale"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(stale))
    left.close()
    free_path(stale)
    assert not stale.exists()
    stale.write_text("precious")
    with pytest.raises(FileExistsError, match="is no socket"):
        free_path(stale)
    assert stale.read_text() == "precious"


def test_a_client_that_never_reads_does_not_hold_the_others(card: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.settimeout(5)
        sock.connect(str(control_path(card)))
        with contextlib.suppress(OSError):
            for _ in range(20_000):
                sock.sendall(b'{"do":"x"}\n')
        assert request(card, {"do": "status"})["echo"] == "status"


@given(st.binary(max_size=2 * MAX_LINE_BYTES))
def test_any_bytes_get_one_line_of_json(line: bytes) -> None:
    reply = answer(line, handler)
    assert reply.endswith(b"\n")
    assert reply.count(b"\n") == 1
    assert json.loads(reply)["ok"] in (True, False)
