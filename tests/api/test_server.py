"""The API as a process: TCP and UNIX socket together, with core coming and going."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from api.client import DoNotServeError, ask_status
from api.server import bind_tcp
from appliance.core_report import CoreReport
from appliance.ipc import CoreServer
from appliance.verdict import Verdict
from tests.api.publishing import Publishing

ROOT = Path(__file__).resolve().parents[2]
START = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from api.main import main; main()"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_socket(path: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30.0
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(os.fspath(path))
            except OSError:
                time.sleep(0.05)
            else:
                return
    raise AssertionError(f"nobody listens at {path}")


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def process(tmp_path: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [
        sys.executable,
        "-P",
        "-c",
        START,
        "api",
        "--runtime-dir",
        str(tmp_path),
        "--api-port",
        str(port),
    ]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/")
    try:
        wait_for_socket(tmp_path / "api.sock", child)
        yield child
    finally:
        child.kill()
        child.communicate()


def test_core_may_come_and_go_and_every_answer_is_true(
    tmp_path: Path, port: int, process: subprocess.Popen[bytes], report_of: Callable[..., CoreReport]
) -> None:
    url = f"http://127.0.0.1:{port}/api/v1/health"
    with httpx.Client(timeout=5.0) as client:
        response = client.get(url)
        assert response.status_code == 503
        assert "core is not running" in response.json()["reasons"][0]
        with pytest.raises(DoNotServeError, match="core is not running"):
            ask_status([tmp_path])

        with CoreServer(tmp_path / "core.sock", Publishing(report_of)):
            time.sleep(0.1)  # the shared answer of the last question is held for 50 ms
            assert client.get(url).json()["verdict"] == "serve"
            answer = ask_status([tmp_path])
            assert answer.status.health.verdict is Verdict.SERVE
            assert answer.note is None, "asked over api.sock"

        time.sleep(0.1)
        assert client.get(url).status_code == 503

    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=10.0)
    assert (process.returncode, output, errors) == (0, b"", b"")
    assert not (tmp_path / "api.sock").exists()


def test_malformed_requests_end_their_connection_only(port: int, process: subprocess.Popen[bytes]) -> None:
    for garbage in (
        b"\x16\x03\x01\x02\x00garbage\r\n\r\n",
        b"GET " + b"/" * 100_000,
        b"GET / HTTP/9.9\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", port), timeout=5.0) as sock:
            sock.sendall(garbage)
            answer = sock.recv(1000)
            assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5")) or answer == b""
    with httpx.Client(timeout=5.0) as client:
        document = json.loads(client.get(f"http://127.0.0.1:{port}/").content)
    assert document["openapi"] == "/api/openapi.json"
    assert process.poll() is None


def test_responses_do_not_wait_for_acknowledgements() -> None:
    """asyncio sets TCP_NODELAY on accepted sockets only if the listener names the protocol."""
    with bind_tcp("127.0.0.1", free_port()) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_ctrl_c_ends_it_quietly(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=10.0)
    assert (process.returncode, output, errors) == (0, b"", b"")
