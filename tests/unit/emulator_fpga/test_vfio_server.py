"""The server against clients that behave, vanish, or send nonsense."""

from __future__ import annotations

import array
import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fpga_server import Served, serving
from timecard.boards.fb import BLOCKS
from timecard.emulator.vfio_user_server import VfioUserServer
from timecard.errors import RefusedError, TimeCardError
from timecard.pcie import vfio_user_wire as wire
from timecard.pcie.vfio_user import VfioUserBus

READ_IMAGE = wire.ACCESS.pack(BLOCKS["image"].offset, 0, 4)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path / "card.sock") as running:
        yield running


def connect(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(5)
    sock.connect(str(path))
    return sock


def receive(sock: socket.socket) -> tuple[tuple[int, ...], bytes]:
    header = sock.recv(wire.HEADER.size, socket.MSG_WAITALL)
    assert len(header) == wire.HEADER.size, "the server closed the connection"
    fields = wire.HEADER.unpack(header)
    size = fields[2] - wire.HEADER.size
    return fields, sock.recv(size, socket.MSG_WAITALL) if size else b""


def is_closed(sock: socket.socket) -> bool:
    with contextlib.suppress(ConnectionResetError):
        while data := sock.recv(65536):
            assert data
    return True


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def answers(path: Path) -> bool:
    """Whether a well-behaved client is served."""
    deadline_s = time.monotonic() + 5
    while True:
        try:
            bus = VfioUserBus(path)
        except TimeCardError:  # the previous client may not have been noticed to be gone
            if time.monotonic() > deadline_s:
                return False
        else:
            image = bus.read32(BLOCKS["image"].offset)
            bus.close()
            return image == 28


def test_a_message_may_come_in_pieces(served: Served) -> None:
    with connect(served.path) as sock:
        for byte in wire.message(7, wire.Command.REGION_READ, READ_IMAGE):
            sock.send(bytes((byte,)))
        header, body = receive(sock)
    assert header == (7, 9, 16 + 16 + 4, wire.REPLY, 0)
    assert body == READ_IMAGE + b"\x1c\0\0\0"


def test_many_messages_may_come_at_once(served: Served) -> None:
    with connect(served.path) as sock:
        sock.sendall(b"".join(wire.message(n, wire.Command.REGION_READ, READ_IMAGE) for n in range(200)))
        assert [receive(sock)[0][0] for _ in range(200)] == list(range(200))


def test_a_command_without_reply_gets_none(served: Served) -> None:
    with connect(served.path) as sock:
        sock.sendall(wire.message(1, wire.Command.GET_INFO, bytes(16), wire.NO_REPLY))
        sock.sendall(wire.message(2, 99, b"", wire.NO_REPLY))
        sock.sendall(wire.message(3, wire.Command.GET_INFO, bytes(16)))
        assert receive(sock)[0][0] == 3


def test_a_refusal_is_a_header_with_errno(served: Served) -> None:
    with connect(served.path) as sock:
        sock.sendall(wire.message(5, 99, b"what?"))
        header, body = receive(sock)
    assert header[:4] == (5, 99, 16, wire.REPLY | wire.ERROR)
    assert header[4] > 0
    assert body == b""


def test_descriptors_go_to_their_message_even_behind_others(served: Served) -> None:
    ours = os.eventfd(0, os.EFD_NONBLOCK)
    body = wire.SET_IRQS.pack(20, 0x24, 2, 0, 1)
    with connect(served.path) as sock:
        sock.sendall(wire.message(1, wire.Command.REGION_READ, READ_IMAGE))
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [ours]))]
        message = wire.message(2, wire.Command.SET_IRQS, body)
        sent = sock.sendmsg([message[:10]], rights)
        time.sleep(0.02)
        sock.sendall(message[sent:])
        sock.sendall(wire.message(3, wire.Command.SET_IRQS, wire.SET_IRQS.pack(20, 0x21, 2, 0, 1)))
        assert [receive(sock)[0][0:4:3] for _ in range(3)] == [(n, wire.REPLY) for n in (1, 2, 3)]
    assert os.eventfd_read(ours) == 1
    os.close(ours)


def test_interrupts_fire_on_time_without_any_access(served: Served) -> None:
    bus = VfioUserBus(served.path)
    fd = bus.irq_eventfd(BLOCKS["ts0"].vector or 0)
    assert bus.irq_eventfd(1) == fd
    bus.write32(BLOCKS["ts0"].at("enable"), 1)
    bus.write32(BLOCKS["ts0"].at("intr_mask"), 1)
    ready, _, _ = select.select([fd], [], [], 3)
    assert ready, "the pulse of the next second raises vector 1"
    assert bus.read32(BLOCKS["ts0"].at("intr")) == 1
    bus.close()


def test_serial_data_raise_their_vector(served: Served) -> None:
    bus = VfioUserBus(served.path)
    base = BLOCKS["port[GNSS]"].offset
    fd = bus.irq_eventfd(BLOCKS["port[GNSS]"].vector or 0)
    for reg, value in ((0x0C, 0x83), (0, 27), (4, 0), (0x0C, 3), (8, 0xC1), (4, 1)):
        bus.write(base + reg, 1, value)
    served.device.to_say = [(0, b"x")]
    ready, _, _ = select.select([fd], [], [], 3)
    assert ready
    assert bus.read(base, 1) == ord("x")
    bus.close()


def test_clients_come_and_go_and_the_clock_goes_on(served: Served) -> None:
    times = []
    for _ in range(3):
        assert answers(served.path)
        times.append(served.card.fabric.clock.counter.card_ns(served.card.fabric.agenda.now_ns))
    assert times == sorted(set(times))


def test_a_killed_client_makes_room_for_the_next(served: Served) -> None:
    script = (
        "import sys, time; from timecard.pcie.vfio_user import VfioUserBus;"
        f"bus = VfioUserBus({str(served.path)!r}); bus.irq_eventfd(0);"
        "print(bus.read32(0x20000), flush=True);"
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"28\n"
        client.send_signal(signal.SIGKILL)
        client.wait(5)
        assert answers(served.path)


def test_only_one_client_at_a_time(served: Served) -> None:
    with connect(served.path) as first:
        first.sendall(wire.message(1, wire.Command.GET_INFO, bytes(16)))
        receive(first)
        with pytest.raises(TimeCardError, match="one client at a time"):
            VfioUserBus(served.path)
        first.sendall(wire.message(2, wire.Command.GET_INFO, bytes(16)))
        assert receive(first)[0][0] == 2
    assert answers(served.path)


def test_a_client_that_does_not_read_is_dropped_not_waited_for(served: Served) -> None:
    whole = wire.message(1, wire.Command.REGION_READ, wire.ACCESS.pack(0, 7, 4096))
    with connect(served.path) as sock:
        sock.setblocking(False)
        sent = 0
        deadline_s = time.monotonic() + 5
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < deadline_s:
                try:
                    sent += sock.send(whole * 100)
                except BlockingIOError:
                    break
        assert sent
        time.sleep(0.1)
    assert answers(served.path)


@pytest.mark.parametrize(
    "header",
    [
        wire.HEADER.pack(1, 9, 15, 0, 0),
        wire.HEADER.pack(1, 9, 0, 0, 0),
        wire.HEADER.pack(1, 9, wire.MAX_MESSAGE + 1, 0, 0),
        wire.HEADER.pack(1, 9, 16, wire.REPLY, 0),
    ],
)
def test_a_stream_out_of_step_is_closed(served: Served, header: bytes) -> None:
    with connect(served.path) as sock:
        sock.sendall(header)
        assert is_closed(sock)
    assert answers(served.path)


def test_too_many_descriptors_are_not_collected(served: Served) -> None:
    before = open_descriptors()
    with connect(served.path) as sock, contextlib.suppress(OSError):
        message = wire.message(1, wire.Command.REGION_WRITE, bytes(4000))
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0] * 16))]
        for byte in message[:100]:
            sock.sendmsg([bytes((byte,))], rights)
        assert is_closed(sock)
    assert answers(served.path)
    deadline_s = time.monotonic() + 5
    while open_descriptors() > before and time.monotonic() < deadline_s:
        time.sleep(0.01)  # the server closes its end of the last connection
    assert open_descriptors() <= before


messages = st.builds(
    lambda ident, command, body, flags, size_error: (
        wire.HEADER.pack(ident, command, max(0, 16 + len(body) + size_error), flags, 0) + body
    ),
    st.integers(0, 0xFFFF),
    st.one_of(st.sampled_from(list(wire.Command)), st.integers(0, 0xFFFF)),
    st.one_of(
        st.binary(max_size=64),
        st.builds(
            wire.ACCESS.pack,
            st.one_of(st.sampled_from([b.offset for b in BLOCKS.values()]), st.integers(0, 2**64 - 1)),
            st.integers(0, 9),
            st.integers(0, 9),
        ),
        st.builds(
            wire.SET_IRQS.pack,
            st.just(20),
            st.integers(0, 0x3F),
            st.integers(0, 5),
            st.integers(0, 40),
            st.integers(0, 40),
        ),
    ),
    st.sampled_from([0, 0, 0, 0x10, 1, 0xFFFF_FFFF]),
    st.sampled_from([0, 0, 0, 0, 0, 1, -1, -20, 1 << 24]),
)


@given(chunks=st.lists(st.one_of(messages, st.binary(max_size=80)), max_size=12))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nonsense_never_ends_the_server(served: Served, chunks: list[bytes]) -> None:
    with connect(served.path) as sock:
        with contextlib.suppress(OSError):
            for chunk in chunks:
                sock.sendall(chunk)
        sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            while sock.recv(65536):
                pass
    assert answers(served.path)


class TestListening:
    def test_a_socket_that_a_dead_process_left_is_replaced(self, tmp_path: Path) -> None:
        path = tmp_path / "card.sock"
        stale = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        stale.bind(str(path))
        stale.close()
        with serving(path) as running:
            assert answers(running.path)
        assert not path.exists(), "closing removes it"

    def test_a_served_path_is_refused_and_goes_on_being_served(self, served: Served) -> None:
        with pytest.raises(RefusedError, match="another process serves"):
            VfioUserServer(served.path, served.server.device, served.card._agenda)  # type: ignore[arg-type]  # as much of a card as is used
        assert answers(served.path)

    def test_a_file_is_not_overwritten(self, tmp_path: Path) -> None:
        path = tmp_path / "precious"
        path.write_text("data", encoding="ascii")
        with pytest.raises(RefusedError, match="no socket"), serving(path):
            pass
        assert path.read_text(encoding="ascii") == "data"

    @pytest.mark.parametrize("path", ["/nonexistent/card.sock", "/tmp/" + "x" * 200])
    def test_an_unusable_path_is_named(self, path: str) -> None:
        with pytest.raises(TimeCardError, match=path[:20]), serving(Path(path)):
            pass


def test_the_owner_adds_descriptors_to_the_loop(served: Served) -> None:
    ours, theirs = socket.socketpair()
    heard: list[bytes] = []
    served.server.add_reader(theirs, lambda: heard.append(theirs.recv(100)))
    ours.send(b"inject")
    deadline_s = time.monotonic() + 5
    while not heard and time.monotonic() < deadline_s:
        time.sleep(0.01)
    served.server.remove_reader(theirs)
    ours.send(b"more")
    assert answers(served.path)
    assert heard == [b"inject"]
    ours.close()
    theirs.close()
