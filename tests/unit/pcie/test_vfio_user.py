"""The client end of vfio-user against servers that die, stall or answer nonsense."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fpga_server import serving
from timecard.boards import FB
from timecard.boards.fb import BLOCKS
from timecard.errors import (
    CardPermissionError,
    DeviceAbsentError,
    DeviceLostError,
    DeviceTimeoutError,
    ProtocolError,
    RefusedError,
    TimeCardError,
)
from timecard.pcie import vfio_user_wire as wire
from timecard.pcie.vfio_user import VfioUserBus

IMAGE = BLOCKS["image"].offset
Reply = Callable[[int, int, bytes], bytes | None]
"""id, command and body of a request to the bytes of its reply; None closes the connection."""


def good_reply(ident: int, command: int, body: bytes) -> bytes:
    """A card that has just enough to be opened."""
    match command:
        case wire.Command.VERSION:
            reply = wire.VERSION.pack(0, 0)
        case wire.Command.GET_REGION_INFO:
            reply = wire.REGION_INFO.pack(32, 3, 0, 0, 32 << 20, 0)
        case wire.Command.REGION_READ:
            region, count = wire.ACCESS.unpack(body)[1:]
            words = {wire.Region.CONFIG: b"\x9b\x1d\x00\x04", wire.Region.BAR0: b"\x1c\0\0\0"}
            reply = body + words[region][:count]
        case _:
            reply = body
    return wire.message(ident, command, reply, wire.REPLY)


@contextmanager
def scripted_server(path: Path, reply: Reply) -> Iterator[None]:
    """Serve one client by ``reply``."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen(1)
    listener.settimeout(5)

    def serve() -> None:
        with listener.accept()[0] as sock, contextlib.suppress(ConnectionError):
            while header := sock.recv(wire.HEADER.size, socket.MSG_WAITALL):
                ident, command, size, _, _ = wire.HEADER.unpack(header)
                body = sock.recv(size - wire.HEADER.size, socket.MSG_WAITALL)
                answer = reply(ident, command, body)
                if answer is None:
                    return
                sock.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join(5)
        listener.close()
    assert not thread.is_alive()


def good_until_bar0(then: Reply) -> Reply:
    """Open properly, then answer accesses to registers by ``then``."""

    def reply(ident: int, command: int, body: bytes) -> bytes | None:
        if command == wire.Command.REGION_READ and wire.ACCESS.unpack(body)[1] == wire.Region.BAR0:
            return then(ident, command, body)
        return good_reply(ident, command, body)

    return reply


def test_it_reads_and_writes_every_width(tmp_path: Path) -> None:
    with serving(tmp_path / "s"):
        bus = VfioUserBus(tmp_path / "s")
        ram = BLOCKS["nmea_out"].offset
        bus.write32(ram, 0x1122_3344)
        assert [bus.read(ram + n, 1) for n in range(4)] == [0x44, 0x33, 0x22, 0x11]
        assert bus.read(ram, 2) == 0x3344
        bus.write(ram, 2, 0xABCD)
        assert bus.read32(ram) == 0xABCD
        assert bus.board is FB
        assert bus.read_config32(0) == 0x0400_1D9B
        bus.close()


def test_bursts_keep_their_order_whatever_their_length(tmp_path: Path) -> None:
    with serving(tmp_path / "s"):
        bus = VfioUserBus(tmp_path / "s")
        ram = BLOCKS["nmea_out"].offset
        for n in range(16):
            bus.write32(ram + 4 * n, n)
        for count in (0, 1, 2, 15, 700):
            assert bus.read32_many([ram + 4 * (n % 16) for n in range(count)]) == [
                n % 16 for n in range(count)
            ]
        bus.close()


def test_threads_share_it(tmp_path: Path) -> None:
    with serving(tmp_path / "s"):
        bus = VfioUserBus(tmp_path / "s")
        ram = BLOCKS["nmea_out"].offset
        wrong: list[int] = []

        def work(index: int) -> None:
            own = ram + 4 * index
            for value in range(200):
                bus.write32(own, value)
                if bus.read32(own) != value or bus.read32_many((own, own)) != [value, value]:
                    wrong.append(index)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert not wrong
        bus.close()


def test_nobody_there_is_absent_and_names_the_socket(tmp_path: Path) -> None:
    with pytest.raises(DeviceAbsentError, match=r"nothing\.sock: connect"):
        VfioUserBus(tmp_path / "nothing.sock", connect_timeout_s=0.05)
    with pytest.raises(DeviceAbsentError, match="too long"):
        VfioUserBus("/tmp/" + "x" * 200, connect_timeout_s=0)


def test_a_server_that_is_just_starting_is_waited_for(tmp_path: Path) -> None:
    opened: list[VfioUserBus] = []
    opener = threading.Thread(target=lambda: opened.append(VfioUserBus(tmp_path / "s", connect_timeout_s=5)))
    opener.start()
    time.sleep(0.1)
    with serving(tmp_path / "s"):
        opener.join(5)
        assert opened
        opened[0].close()


def test_another_device_is_not_taken_for_a_card(tmp_path: Path) -> None:
    def reply(ident: int, command: int, body: bytes) -> bytes:
        return good_reply(ident, command, body).replace(b"\x9b\x1d\x00\x04", b"\x86\x80\x34\x12")

    with scripted_server(tmp_path / "s", reply), pytest.raises(DeviceAbsentError, match="8086:1234"):
        VfioUserBus(tmp_path / "s")


def test_a_bar_that_is_too_small_is_a_protocol_error(tmp_path: Path) -> None:
    def reply(ident: int, command: int, body: bytes) -> bytes:
        if command == wire.Command.GET_REGION_INFO:
            return wire.message(ident, command, wire.REGION_INFO.pack(32, 3, 0, 0, 4096, 0), wire.REPLY)
        return good_reply(ident, command, body)

    with scripted_server(tmp_path / "s", reply), pytest.raises(ProtocolError, match="BAR0 has 0x1000"):
        VfioUserBus(tmp_path / "s")


def test_another_protocol_version_is_a_protocol_error(tmp_path: Path) -> None:
    def reply(ident: int, command: int, body: bytes) -> bytes:
        return wire.message(ident, command, wire.VERSION.pack(3, 0), wire.REPLY)

    with scripted_server(tmp_path / "s", reply), pytest.raises(ProtocolError, match="another protocol"):
        VfioUserBus(tmp_path / "s")


def test_a_server_that_turns_clients_away_is_refused(tmp_path: Path) -> None:
    with (
        scripted_server(tmp_path / "s", lambda *_: None),
        pytest.raises(RefusedError, match="one client at a time"),
    ):
        VfioUserBus(tmp_path / "s")


@pytest.mark.parametrize("burst", [False, True])
def test_a_server_that_dies_during_a_request_is_lost_at_once_and_for_good(
    tmp_path: Path, burst: bool
) -> None:
    with scripted_server(tmp_path / "s", good_until_bar0(lambda *_: None)):
        bus = VfioUserBus(tmp_path / "s", request_timeout_s=5.0)
        started_s = time.monotonic()
        with pytest.raises(DeviceLostError, match=str(tmp_path / "s")):
            bus.read32_many((IMAGE, IMAGE)) if burst else bus.read32(IMAGE)
        assert time.monotonic() - started_s < 4
        for again in (
            lambda: bus.read32(IMAGE),
            lambda: bus.write32(IMAGE, 0),
            lambda: bus.read32_many((IMAGE,)),
        ):
            with pytest.raises(DeviceLostError):
                again()
        bus.close()


def test_a_server_that_stalls_is_a_timeout_and_then_lost(tmp_path: Path) -> None:
    with scripted_server(tmp_path / "s", good_until_bar0(lambda *_: b"")):
        bus = VfioUserBus(tmp_path / "s", request_timeout_s=0.1)
        with pytest.raises(DeviceTimeoutError, match=r"no answer within 0\.1 s"):
            bus.read32(IMAGE)
        with pytest.raises(DeviceLostError, match="failed earlier"):
            bus.read32(IMAGE)
        bus.close()


def test_a_reply_that_trickles_in_does_not_outlast_the_deadline(tmp_path: Path) -> None:
    def trickle(ident: int, command: int, body: bytes) -> bytes:
        time.sleep(0.06)
        return good_reply(ident, command, body)[:10]

    with scripted_server(tmp_path / "s", good_until_bar0(trickle)):
        bus = VfioUserBus(tmp_path / "s", request_timeout_s=0.1)
        with pytest.raises(DeviceTimeoutError):
            bus.read32(IMAGE)
        bus.close()


@pytest.mark.parametrize(
    "change",
    [
        lambda reply: b"\xff\xff" + reply[2:],
        lambda reply: reply[:2] + b"\x55\x00" + reply[4:],
        lambda reply: reply[:4] + b"\x05\0\0\0" + reply[8:],
        lambda reply: reply[:4] + b"\xff\xff\xff\x7f" + reply[8:],
        lambda reply: reply[:8] + b"\0\0\0\0" + reply[12:],
    ],
    ids=["id", "command", "short", "huge", "request"],
)
def test_what_is_no_reply_is_a_protocol_error(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    with scripted_server(tmp_path / "s", good_until_bar0(lambda *request: change(good_reply(*request)))):
        bus = VfioUserBus(tmp_path / "s", request_timeout_s=0.5)
        with pytest.raises(ProtocolError):
            bus.read32(IMAGE)
        with pytest.raises(DeviceLostError, match="protocol error"):
            bus.read32(IMAGE)
        bus.close()


def test_a_burst_out_of_step_is_a_protocol_error(tmp_path: Path) -> None:
    def same_id(ident: int, command: int, body: bytes) -> bytes:
        return good_reply(0, command, body)

    with scripted_server(tmp_path / "s", good_until_bar0(same_id)):
        bus = VfioUserBus(tmp_path / "s")
        with pytest.raises(ProtocolError, match="burst read"):
            bus.read32_many((IMAGE, IMAGE))
        bus.close()


def test_a_refused_request_says_why_and_leaves_the_bus_usable(tmp_path: Path) -> None:
    with serving(tmp_path / "s"):
        bus = VfioUserBus(tmp_path / "s")
        with pytest.raises(RefusedError, match="Invalid argument"):
            bus.read(32 << 20, 4)
        assert bus.read32(IMAGE) == 28
        bus.close()


@pytest.mark.parametrize(("offset", "size"), [(1, 4), (2, 4), (1, 2), (0, 3), (0, 8)])
def test_an_access_that_is_not_aligned_is_refused(tmp_path: Path, offset: int, size: int) -> None:
    with serving(tmp_path / "s"):
        bus = VfioUserBus(tmp_path / "s")
        with pytest.raises(RefusedError, match="aligned"):
            bus.read(offset, size)
        with pytest.raises(RefusedError, match="outside of BAR0"):
            bus.read32_many((0, 32 << 20))
        bus.close()


def test_interrupts(tmp_path: Path) -> None:
    with serving(tmp_path / "s", msix=False):
        bus = VfioUserBus(tmp_path / "s")
        assert bus.irq_eventfd(5) == bus.irq_eventfd(5)
        with pytest.raises(RefusedError, match="no such vector"):
            bus.irq_eventfd(32)
        bus.close()
        with pytest.raises(DeviceLostError, match="was closed"):
            bus.irq_eventfd(6)


def test_a_socket_without_permission_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(CardPermissionError):
        VfioUserBus(tmp_path / "s", connect_timeout_s=1)


def test_every_error_names_the_socket(tmp_path: Path) -> None:
    with scripted_server(tmp_path / "card-7", good_until_bar0(lambda *_: None)):
        bus = VfioUserBus(tmp_path / "card-7")
        with pytest.raises(TimeCardError, match="card-7: region_read"):
            bus.read32(IMAGE)
        bus.close()
