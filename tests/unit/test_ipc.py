"""core.sock: what it answers, and that no client can hurt core or another client."""

from __future__ import annotations

import grp
import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from appliance import ipc_server
from appliance.board import StatusBoard
from appliance.core_report import (
    Announced,
    Bounds,
    CardReport,
    ClockMapReport,
    CoreReport,
    ProcessReport,
    PtpReport,
)
from appliance.ensemble_report import ensemble_report
from appliance.events import CommandKind
from appliance.ipc import (
    CommandRefusedError,
    CoreClient,
    CoreNotReadyError,
    CoreProtocolError,
    CoreServer,
    CoreStaleError,
    CoreUnreachableError,
    SocketError,
)
from appliance.ipc_messages import MAX_REQUEST_BYTES
from appliance.leap.report import leap_report
from appliance.reporting import clock_report, gnss_report, holdover_report, oscillator_report
from appliance.snapshot import ClockSnapshot, ClockState
from appliance.unix_socket import bind_unix
from timecard.timebase import HostTimebase
from timecard.timescale import NS_PER_S


def free_running(now_ns: int) -> CoreReport:
    """The first report after a start without anything: nearly every field is null."""
    snapshot = ClockSnapshot(
        state=ClockState.FREE_RUN,
        since_mono_ns=now_ns,
        reasons=("no GNSS time yet",),
        alarms=(),
        epoch=0,
        as_of_mono_ns=now_ns,
        as_of_tai_ns=None,
        void_after_mono_ns=now_ns + 5 * NS_PER_S,
        offset_ns=None,
        offset_sigma_ns=None,
        last_sample_ns=None,
        frequency_ppb=0.0,
        oscillator_ppb=None,
        oscillator_sigma_ppb=None,
        bound_ns=None,
        bound_wide_ns=None,
        bias_ns=50.0,
        p=0.999,
        drift_ppb=0.0,
        holdover_since_mono_ns=None,
        holdover_ready=False,
        not_ready_reasons=("never locked",),
        limits=(),
        topology="C",
        tai_minus_utc_s=None,
        leap_change_s=0,
        counters={},
    )
    board = StatusBoard()
    nothing = Bounds.partial("nothing is claimed in free-run", port={"lo": None})
    return CoreReport.partial(
        "the card's clock could not be read",
        as_of_mono_ns=now_ns,
        valid_until_mono_ns=snapshot.void_after_mono_ns,
        clock=clock_report(snapshot),
        leap=leap_report(snapshot),
        ensemble=ensemble_report(None),
        bounds=nothing,
        bounds_wide=nothing,
        announced=Announced.partial("PTP is off"),
        holdover=holdover_report(snapshot, budget_ns=1000.0, temperature_assumption=None, excluded_events=()),
        gnss=gnss_report(board, now_ns),
        oscillator=oscillator_report(board, None, now_ns),
        ptp=PtpReport.partial(
            "PTP is off",
            enabled=False,
            addresses=(),
            interfaces=(),
            timestamping={},
            counters={},
        ),
        card=CardReport.partial("not asked yet", faults=()),
        clock_maps={"host": ClockMapReport.partial("not compared yet")},
        process=ProcessReport(pid=os.getpid(), version="test", started_mono_ns=now_ns),
    )


class Handler:
    """Core, reduced to what the server asks of it."""

    def __init__(self) -> None:
        self.newest: CoreReport | None = free_running(HostTimebase().mono_ns())
        self.commands: list[CommandKind] = []
        self.refuse: str | None = None
        self.bug = False

    def report(self) -> CoreReport | None:
        if self.bug:
            raise ZeroDivisionError("a bug in core's report")
        return self.newest

    def command(self, kind: CommandKind) -> str:
        if self.refuse is not None:
            raise CommandRefusedError(self.refuse)
        self.commands.append(kind)
        return "holdover begins with the next second"

    def rehearse(self, limit_ns: float, duration_s: float) -> str:
        if self.refuse is not None:
            raise CommandRefusedError(self.refuse)
        return f"{duration_s:g} s up to {limit_ns:g} ns"


@pytest.fixture
def handler() -> Handler:
    return Handler()


@pytest.fixture
def server(tmp_path: Path, handler: Handler) -> Iterator[CoreServer]:
    with CoreServer(tmp_path / "run" / "core.sock", handler) as running:
        yield running


def connected(server: CoreServer) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.connect(os.fspath(server.path))
    sock.settimeout(5.0)
    return sock


def reply_to(sock: socket.socket) -> dict[str, Any]:
    raw = bytearray()
    while not raw.endswith(b"\n"):
        data = sock.recv(65_536)
        assert data, "closed without an answer"
        raw += data
    document: dict[str, Any] = json.loads(raw)
    return document


def closed(sock: socket.socket) -> bool:
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 5.0
    while not condition():
        assert time.monotonic() < deadline, "did not happen within 5 s"
        time.sleep(0.005)


def test_the_report_arrives_as_it_was_published(server: CoreServer, handler: Handler) -> None:
    assert CoreClient(server.path).report() == handler.newest


def test_commands_and_pings_are_answered(server: CoreServer, handler: Handler) -> None:
    client = CoreClient(server.path)
    assert client.command(CommandKind.ENTER_HOLDOVER) == "holdover begins with the next second"
    assert handler.commands == [CommandKind.ENTER_HOLDOVER]
    assert client.ping().pid == os.getpid()


def test_a_refused_command_says_why(server: CoreServer, handler: Handler) -> None:
    handler.refuse = "not locked: there is nothing to hold"
    with pytest.raises(CommandRefusedError, match="nothing to hold"):
        CoreClient(server.path).command(CommandKind.ENTER_HOLDOVER)


def test_before_the_first_report_core_is_not_ready(server: CoreServer, handler: Handler) -> None:
    handler.newest = None
    with pytest.raises(CoreNotReadyError, match="nothing to report yet"):
        CoreClient(server.path).report()


def test_an_expired_report_is_an_error_and_never_a_value(server: CoreServer, handler: Handler) -> None:
    handler.newest = free_running(HostTimebase().mono_ns() - 60 * NS_PER_S)
    with pytest.raises(CoreStaleError, match=r"expired 55\.\d s ago.*restart it"):
        CoreClient(server.path).report()


def test_without_core_the_error_says_how_to_start_it(tmp_path: Path) -> None:
    with pytest.raises(CoreUnreachableError, match=r"core is not running.*time-appliance run"):
        CoreClient(tmp_path / "core.sock").report()


def test_a_socket_left_by_a_dead_core_is_no_running_core(tmp_path: Path, handler: Handler) -> None:
    path = tmp_path / "core.sock"
    bind_unix(path, mode=0o600).close()
    with pytest.raises(CoreUnreachableError, match="core is not running"):
        CoreClient(path).report()
    with CoreServer(path, handler):
        assert CoreClient(path).report() == handler.newest
    assert not path.exists()


def test_a_running_core_is_not_replaced(server: CoreServer, handler: Handler) -> None:
    with pytest.raises(SocketError, match="another process already serves here"):
        CoreServer(server.path, handler).start()
    assert CoreClient(server.path).ping().pid == os.getpid()


def test_a_file_is_not_replaced(tmp_path: Path, handler: Handler) -> None:
    path = tmp_path / "core.sock"
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(SocketError, match="is not a socket; move it away"):
        CoreServer(path, handler).start()
    assert path.read_text(encoding="utf-8") == "mine"


def test_a_name_too_long_for_a_socket_is_told(tmp_path: Path, handler: Handler) -> None:
    with pytest.raises(SocketError, match=r"too long for a UNIX socket; choose a shorter paths\.runtime"):
        CoreServer(tmp_path / ("x" * 100) / "core.sock", handler).start()


def test_an_unknown_group_is_told(tmp_path: Path, handler: Handler) -> None:
    with pytest.raises(SocketError, match='no group "no-such-group" on this host'):
        CoreServer(tmp_path / "core.sock", handler, group="no-such-group").start()


def test_only_the_owner_may_open_the_socket(server: CoreServer) -> None:
    assert server.path.stat().st_mode & 0o777 == 0o600


def as_nobody(path: Path, groups: list[int]) -> str:
    """What an unprivileged process with these supplementary groups gets when it commands core."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups(groups)
            os.setgid(65_534)
            os.setuid(65_534)
            word = CoreClient(path).command(CommandKind.ENTER_HOLDOVER)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the parent wants to know
            word = f"{type(error).__name__}: {error}"
        os.write(write_end, word.encode())
        os._exit(0)
    os.close(write_end)
    os.waitpid(child, 0)
    with os.fdopen(read_end, "rb") as pipe:
        return pipe.read().decode()


@pytest.fixture
def open_dir() -> Iterator[Path]:
    """A directory that everybody may enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


become_nobody = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
fork_is_fine = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


@become_nobody
@fork_is_fine
def test_a_stranger_is_denied_even_if_the_file_lets_him_in(open_dir: Path, handler: Handler) -> None:
    with CoreServer(open_dir / "core.sock", handler) as server:
        assert as_nobody(server.path, []).startswith("CoreDeniedError: no permission to ask core")
        server.path.chmod(0o666)
        assert "only core's own user, root may ask" in as_nobody(server.path, [])
        assert server.counters["denied"] == 1
    assert handler.commands == []


@become_nobody
@fork_is_fine
def test_a_member_of_the_group_is_served(open_dir: Path, handler: Handler) -> None:
    group = next(entry for entry in grp.getgrall() if entry.gr_gid not in (0, 65_534))
    with CoreServer(open_dir / "core.sock", handler, group=group.gr_name) as server:
        assert as_nobody(server.path, [group.gr_gid]) == "holdover begins with the next second"
        assert as_nobody(server.path, []).startswith("CoreDeniedError")
    assert handler.commands == [CommandKind.ENTER_HOLDOVER]


GARBAGE = {
    "no JSON": b"hello\n",
    "no request": b'{"kind": "shutdown"}\n',
    "no object": b"[1, 2]\n",
    "empty line": b"\n",
    "unknown key": b'{"kind": "report", "as": "root"}\n',
    "unknown command": b'{"kind": "command", "command": "format"}\n',
    "bytes": bytes(range(128, 256)) + b"\n",
    "huge line": b"x" * (MAX_REQUEST_BYTES + 1),
    "huge number": b'{"kind": ' + b"9" * 900 + b"}\n",
    "deep nesting": b"[" * 1000 + b"\n",
    "two requests at once": b'{"kind": "ping"}\n{"kind": "ping"}\n',
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_refused_and_the_next_client_is_served(server: CoreServer, name: str) -> None:
    with connected(server) as sock:
        sock.sendall(GARBAGE[name])
        reply = reply_to(sock)
        assert reply["code"] == "malformed"
        if "known kinds" in reply["reason"]:
            assert "report, command, rehearse, ping" in reply["reason"]
        assert closed(sock)
    assert CoreClient(server.path).ping().pid == os.getpid()
    assert server.counters["malformed"] == 1


def test_a_request_in_pieces_is_a_request(server: CoreServer) -> None:
    with connected(server) as sock:
        for byte in b'{"kind": "ping"}\n':
            sock.send(bytes([byte]))
        assert reply_to(sock)["kind"] == "pong"
        sock.sendall(b'{"kind": "ping"}\n')
        assert reply_to(sock)["kind"] == "pong", "a connection may be used again"


def test_a_client_that_stops_in_mid_request_is_dropped(
    tmp_path: Path, handler: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ipc_server, "TRANSFER_NS", NS_PER_S // 20)
    with CoreServer(tmp_path / "core.sock", handler) as server, connected(server) as sock:
        sock.sendall(b'{"kind": "pi')
        assert CoreClient(server.path).ping().pid == os.getpid(), "others are served meanwhile"
        assert closed(sock)
        assert server.counters["timed_out"] == 1


def test_a_client_that_does_not_read_its_reply_is_dropped(
    tmp_path: Path, handler: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ipc_server, "TRANSFER_NS", NS_PER_S // 10)
    assert handler.newest is not None
    big = handler.newest.clock.model_copy(update={"reasons": ("r" * 900_000,)})
    handler.newest = handler.newest.model_copy(update={"clock": big})
    with CoreServer(tmp_path / "core.sock", handler) as server, connected(server) as sock:
        sock.sendall(b'{"kind": "report"}\n')
        assert CoreClient(server.path).ping().pid == os.getpid(), "others are served meanwhile"
        wait_for(lambda: server.counters["timed_out"] == 1)
    assert handler.newest is not None


def test_more_connections_than_allowed_cost_the_idlest_one_its_place(server: CoreServer) -> None:
    crowd = [connected(server) for _ in range(3 * ipc_server.MAX_CONNECTIONS)]
    try:
        assert CoreClient(server.path).ping().pid == os.getpid()
        wait_for(lambda: server.counters["evicted"] == 2 * ipc_server.MAX_CONNECTIONS + 1)
        crowd[-1].sendall(b'{"kind": "ping"}\n')
        assert reply_to(crowd[-1])["kind"] == "pong"
        assert closed(crowd[0])
    finally:
        for sock in crowd:
            sock.close()


def test_a_flood_is_held_to_the_budget_while_others_are_served(server: CoreServer) -> None:
    stop = threading.Event()

    def flood() -> None:
        with connected(server) as sock:
            while not stop.is_set():
                sock.sendall(b'{"kind": "ping"}\n')
                reply_to(sock)

    threads = [threading.Thread(target=flood) for _ in range(4)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            assert CoreClient(server.path).report() is not None
        stop.wait(0.3)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    elapsed_s = time.monotonic() - started
    assert server.counters["requests"] <= ipc_server.BURST + ipc_server.REQUESTS_PER_S * elapsed_s + 1


def test_a_client_that_hangs_up_at_any_moment_does_no_harm(server: CoreServer) -> None:
    request = b'{"kind": "report"}\n'
    for length in range(len(request) + 1):
        with connected(server) as sock:
            sock.sendall(request[:length])
    assert CoreClient(server.path).ping().pid == os.getpid()
    assert server.counters["failed"] == 0


def test_a_bug_in_core_is_logged_and_the_server_goes_on(
    server: CoreServer, handler: Handler, caplog: pytest.LogCaptureFixture
) -> None:
    handler.bug = True
    for _ in range(3):
        with pytest.raises(CoreUnreachableError, match="closed without an answer"):
            CoreClient(server.path).report()
    handler.bug = False
    assert CoreClient(server.path).report() == handler.newest
    assert server.counters["failed"] == 3
    assert len(caplog.records) == 1, "one line, not one per client"


def test_a_core_that_accepts_and_says_nothing_is_given_up(tmp_path: Path) -> None:
    client = CoreClient(tmp_path / "core.sock", 0.1)
    silent = bind_unix(client.path, mode=0o600)
    with silent, pytest.raises(CoreUnreachableError, match=r"does not answer .* within 0\.1 s"):
        client.report()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"hello\n", CoreProtocolError),
        (b'{"kind":"report","report":{"report_version":2}}\n', CoreProtocolError),
        (b'{"kind":"pong","pid":1,"version":"x"}\n', CoreProtocolError),
        (b"x" * ((1 << 20) + 70_000), CoreProtocolError),
        (b"", CoreUnreachableError),
    ],
)
def test_a_wrong_answer_is_a_clear_error(tmp_path: Path, answer: bytes, expected: type[Exception]) -> None:
    listener = bind_unix(tmp_path / "core.sock", mode=0o600)

    def serve_once() -> None:
        sock, _ = listener.accept()
        with sock:
            sock.recv(1000)
            try:
                sock.sendall(answer)
            except OSError:
                return  # the client has seen enough

    thread = threading.Thread(target=serve_once)
    thread.start()
    with listener:
        with pytest.raises(expected):
            CoreClient(tmp_path / "core.sock").report()
        thread.join()


def test_closing_twice_or_before_starting_is_harmless(tmp_path: Path, handler: Handler) -> None:
    CoreServer(tmp_path / "never.sock", handler).close()
    server = CoreServer(tmp_path / "core.sock", handler)
    server.start()
    server.close()
    server.close()
    assert not server.path.exists()


def test_a_successor_keeps_its_socket(tmp_path: Path, handler: Handler) -> None:
    first = CoreServer(tmp_path / "core.sock", handler)
    first.start()
    first.path.unlink()
    with CoreServer(tmp_path / "core.sock", handler) as second:
        first.close()
        assert CoreClient(second.path).ping().pid == os.getpid()


def test_null_needs_a_reason_and_a_reason_needs_null() -> None:
    with pytest.raises(ValidationError, match="null without a reason: host_ns"):
        Bounds(card_ns=1.0, host_ns=None, port={})
    with pytest.raises(ValidationError, match=r"null without a reason: port\.eth0"):
        Bounds(card_ns=1.0, host_ns=2.0, port={"eth0": None})
    with pytest.raises(ValidationError, match="reason for what is not null: card_ns"):
        Bounds(card_ns=1.0, host_ns=2.0, port={}, why_null={"card_ns": "?"})
    with pytest.raises(ValidationError, match="host_ns"):
        Bounds.model_validate({"card_ns": 1.0, "port": {}})


def test_instants_keep_every_digit_through_json() -> None:
    report = ProcessReport(pid=1, version="x", started_mono_ns=1_795_310_242_000_000_123)
    text = report.model_dump_json()
    assert '"started_mono_ns":"1795310242000000123"' in text
    assert ProcessReport.model_validate_json(text) == report
