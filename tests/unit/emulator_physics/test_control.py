"""The control socket: requests, bad requests, clients that misbehave, stale files."""

from __future__ import annotations

import json
import socket
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from timecard.emulator.control import MAX_LINE_BYTES, ControlServer, answer, control_path, free_path, request
from timecard.emulator.faults import FaultError


def handler(message: dict[str, Any]) -> dict[str, Any]:
    if message.get("do") == "fail":
        raise FaultError("no\nsuch thing")
    return {"echo": message.get("do"), "time_ns": 1_700_000_000_123_456_789}


@pytest.fixture
def card(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "card.sock"
    server = ControlServer(control_path(path), handler)
    server.start()
    yield path
    server.close()
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
        ControlServer(control_path(card), handler)
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
