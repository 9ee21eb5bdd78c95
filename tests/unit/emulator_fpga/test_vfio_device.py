"""The device's commands, as QEMU sends them, without a socket."""

from __future__ import annotations

import errno
import os
import struct

import pytest

from tests.fpga_server import make_card
from timecard.boards.fb import BLOCKS
from timecard.emulator.vfio_user_device import CommandError, VfioUserDevice
from timecard.pcie import vfio_user_wire as wire

EVENTFD = wire.IrqFlag.DATA_EVENTFD | wire.IrqFlag.TRIGGER
NONE = wire.IrqFlag.DATA_NONE | wire.IrqFlag.TRIGGER
QEMU_VERSION = (
    b'{"capabilities": {"pgsizes": 4096, "max_msg_fds": 16, "max_dma_maps": 65535,'
    b' "max_data_xfer_size": 1048576, "migration": {"max_bitmap_size": 268435456, "pgsize": 4096},'
    b' "write_multiple": true}}\0'
)


def make_device(*, msix: bool = True) -> VfioUserDevice:
    return VfioUserDevice(make_card(msix=msix)[0])


def access(offset: int, region: int, count: int, data: bytes = b"") -> bytes:
    return wire.ACCESS.pack(offset, region, count) + data


def set_irqs(device: VfioUserDevice, flags: int, index: int, start: int, fds: list[int], count: int) -> None:
    body = wire.SET_IRQS.pack(wire.SET_IRQS.size, flags, index, start, count)
    assert device.handle(wire.Command.SET_IRQS, body, fds) == b""


def test_version_is_answered_with_no_more_than_was_sent() -> None:
    device = make_device()
    request = wire.VERSION.pack(0, 0) + QEMU_VERSION
    reply = device.handle(wire.Command.VERSION, request, [])
    assert len(reply) <= len(request)
    assert reply == wire.VERSION.pack(0, 0) + wire.CAPABILITIES
    assert b'"write_multiple"' not in reply, "every write is to be acknowledged"
    assert device.handle(wire.Command.VERSION, wire.VERSION.pack(0, 5), []) == wire.VERSION.pack(0, 0)
    with pytest.raises(CommandError):
        device.handle(wire.Command.VERSION, wire.VERSION.pack(1, 0), [])


def test_information_as_qemu_wants_it() -> None:
    device = make_device()
    info = wire.DEVICE_INFO.unpack(
        device.handle(wire.Command.GET_INFO, wire.DEVICE_INFO.pack(16, 0, 0, 0), [])
    )
    assert info == (16, 3, 9, 5)
    sizes, counts = {}, {}
    for index in range(9):
        reply = device.handle(wire.Command.GET_REGION_INFO, wire.REGION_INFO.pack(32, 0, index, 0, 0, 0), [])
        _, flags, _, _, sizes[index], _ = wire.REGION_INFO.unpack(reply)
        assert flags == (3 if sizes[index] else 0)
    assert sizes == {0: 32 << 20, 1: 0, 2: 4096, 3: 0, 4: 0, 5: 0, 6: 0, 7: 4096, 8: 0}
    for index in range(5):
        reply = device.handle(wire.Command.GET_IRQ_INFO, wire.IRQ_INFO.pack(16, 0, index, 0), [])
        _, flags, _, counts[index] = wire.IRQ_INFO.unpack(reply)
        assert flags == (1 if counts[index] else 0)
    assert counts == {0: 0, 1: 0, 2: 32, 3: 1, 4: 0}


def test_msi_instead_of_msix() -> None:
    device = make_device(msix=False)
    reply = device.handle(wire.Command.GET_IRQ_INFO, wire.IRQ_INFO.pack(16, 0, 1, 0), [])
    assert wire.IRQ_INFO.unpack(reply)[3] == 32
    reply = device.handle(wire.Command.GET_REGION_INFO, wire.REGION_INFO.pack(32, 0, 2, 0, 0, 0), [])
    assert wire.REGION_INFO.unpack(reply)[4] == 0


@pytest.mark.parametrize(
    ("board", "bar0_mib", "bar2", "kind", "count"),
    [
        ("litepcie", 64, 0, wire.Irq.MSIX, 64),
        ("art", 32, 4096, wire.Irq.MSIX, 16),
        ("adva", 32, 4096, wire.Irq.MSIX, 32),
    ],
)
def test_regions_and_vectors_of_other_boards(
    board: str, bar0_mib: int, bar2: int, kind: int, count: int
) -> None:
    device = VfioUserDevice(make_card(board=board)[0])
    sizes = [
        wire.REGION_INFO.unpack(
            device.handle(wire.Command.GET_REGION_INFO, wire.REGION_INFO.pack(32, 0, index, 0, 0, 0), [])
        )[4]
        for index in (0, 2)
    ]
    assert sizes == [bar0_mib << 20, bar2]
    reply = device.handle(wire.Command.GET_IRQ_INFO, wire.IRQ_INFO.pack(16, 0, kind, 0), [])
    assert wire.IRQ_INFO.unpack(reply)[3] == count


def test_art_offers_16_messages() -> None:
    device = VfioUserDevice(make_card(board="art", msix=False)[0])
    reply = device.handle(wire.Command.GET_IRQ_INFO, wire.IRQ_INFO.pack(16, 0, wire.Irq.MSI, 0), [])
    assert wire.IRQ_INFO.unpack(reply)[3] == 16


def test_the_vector_table_of_litepcie_is_part_of_bar0() -> None:
    device = VfioUserDevice(make_card(board="litepcie")[0])
    entry = struct.pack("<IIII", 0xFEE0_0000, 0, 33, 0)
    for part in range(4):
        word = entry[4 * part : 4 * part + 4]
        device.handle(wire.Command.REGION_WRITE, access(0x2210 + 4 * part, 0, 4, word), [])
    for part in range(4):
        reply = device.handle(wire.Command.REGION_READ, access(0x2210 + 4 * part, 0, 4), [])
        assert reply[16:] == entry[4 * part : 4 * part + 4]
    masked = device.handle(wire.Command.REGION_READ, access(0x220C, 0, 4), [])
    assert masked[16:] == b"\1\0\0\0", "vectors are masked after reset"


def test_dma_is_accepted_and_of_no_consequence() -> None:
    device = make_device()
    read, write = os.pipe()
    os.close(write)
    fds = [read]
    assert device.handle(wire.Command.DMA_MAP, wire.DMA_MAP.pack(32, 3, 0, 0, 1 << 28), fds) == b""
    assert fds == [read], "the descriptor is left to the caller to close"
    os.close(read)
    body = wire.DMA_UNMAP.pack(24, 0, 0, 1 << 28)
    assert device.handle(wire.Command.DMA_UNMAP, body, []) == body


@pytest.mark.parametrize("size", [1, 2, 4])
def test_registers_are_read_and_written_in_every_width(size: int) -> None:
    device = make_device()
    ram = BLOCKS["nmea_out"].offset
    data = bytes(range(1, size + 1))
    request = access(ram, 0, size, data)
    assert device.handle(wire.Command.REGION_WRITE, request, []) == request[:16]
    request = access(ram, 0, size)
    assert device.handle(wire.Command.REGION_READ, request, []) == request + data


def test_eight_bytes_are_two_registers() -> None:
    device = make_device()
    ram = BLOCKS["nmea_out"].offset
    device.handle(wire.Command.REGION_WRITE, access(ram + 4, 0, 8, struct.pack("<II", 1, 2)), [])
    reply = device.handle(wire.Command.REGION_READ, access(ram + 4, 0, 8), [])
    assert struct.unpack("<II", reply[16:]) == (1, 2)


def test_config_space_is_read_in_one_go_and_reset_by_the_device_reset() -> None:
    device = make_device()
    reply = device.handle(wire.Command.REGION_READ, access(0, 7, 4096), [])
    assert len(reply) == 16 + 4096
    assert reply[16:20].hex() == "9b1d0004"
    device.handle(wire.Command.REGION_WRITE, access(4, 7, 2, b"\x06\x00"), [])
    assert device.handle(wire.Command.REGION_READ, access(4, 7, 2), [])[16:] == b"\x06\x00"
    assert device.handle(wire.Command.RESET, b"", []) == b""
    assert device.handle(wire.Command.REGION_READ, access(4, 7, 2), [])[16:] == b"\x00\x00"


def test_the_msix_table_is_plain_memory() -> None:
    device = make_device()
    device.handle(wire.Command.REGION_WRITE, access(0x10, 2, 4, b"abcd"), [])
    assert device.handle(wire.Command.REGION_READ, access(0x0C, 2, 8), [])[16:] == b"\0\0\0\0abcd"


def test_a_reset_of_the_function_leaves_the_clock_alone() -> None:
    card, _, world = make_card()
    device = VfioUserDevice(card)
    device.handle(wire.Command.RESET, b"", [])
    assert abs(card.card_error_ns(world.true_tai_ns())) < 10_000_000


@pytest.mark.parametrize(
    ("command", "body"),
    [
        (wire.Command.REGION_READ, access(0, 1, 4)),
        (wire.Command.REGION_READ, access(0, 99, 4)),
        (wire.Command.REGION_READ, access((32 << 20) - 2, 0, 4)),
        (wire.Command.REGION_READ, access(1 << 63, 0, 4)),
        (wire.Command.REGION_READ, access(0, 0, 0)),
        (wire.Command.REGION_READ, access(0, 0, 3)),
        (wire.Command.REGION_READ, access(0, 7, 4097)),
        (wire.Command.REGION_READ, access(0, 0, 0xFFFF_FFFF)),
        (wire.Command.REGION_READ, b"short"),
        (wire.Command.REGION_WRITE, access(0, 0, 4, b"abc")),
        (wire.Command.REGION_WRITE, access(0, 0, 3, b"abc")),
        (wire.Command.REGION_WRITE, b""),
        (wire.Command.GET_REGION_INFO, wire.REGION_INFO.pack(32, 0, 9, 0, 0, 0)),
        (wire.Command.GET_IRQ_INFO, wire.IRQ_INFO.pack(16, 0, 5, 0)),
        (wire.Command.SET_IRQS, wire.SET_IRQS.pack(20, EVENTFD, 2, 32, 1)),
        (wire.Command.SET_IRQS, wire.SET_IRQS.pack(20, EVENTFD, 2, 0xFFFF_FFFF, 2)),
        (wire.Command.SET_IRQS, wire.SET_IRQS.pack(20, EVENTFD, 7, 0, 0)),
        (wire.Command.SET_IRQS, wire.SET_IRQS.pack(20, 0x9, 2, 0, 1)),
        (wire.Command.SET_IRQS, b""),
        (wire.Command.DMA_MAP, b"x"),
        (wire.Command.DMA_UNMAP, b"x"),
        (wire.Command.GET_INFO, b""),
        (15, b""),
        (0, b""),
        (0xFFFF, b"anything"),
    ],
)
def test_what_cannot_be_is_refused_with_an_errno(command: int, body: bytes) -> None:
    with pytest.raises(CommandError) as caught:
        make_device().handle(command, body, [])
    assert caught.value.number in (errno.EINVAL, errno.ENOTSUP)


class TestInterrupts:
    def raised(self, fd: int) -> int:
        try:
            return os.eventfd_read(fd)
        except BlockingIOError:
            return 0

    @pytest.mark.parametrize("msix", [True, False])
    def test_an_eventfd_per_vector_is_signalled_and_replaced(self, msix: bool) -> None:
        device = make_device(msix=msix)
        index = 2 if msix else 1
        ours = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(3)]
        set_irqs(device, EVENTFD, index, 0, [], 1)  # QEMU's dummy that enables
        set_irqs(device, EVENTFD, index, 0, [os.dup(ours[0]), os.dup(ours[1])], 2)
        interrupt = device.card.on_interrupt
        assert interrupt is not None
        for vector in (0, 1, 1, 5):
            interrupt(vector)
        assert [self.raised(fd) for fd in ours] == [1, 2, 0]
        set_irqs(device, EVENTFD, index, 1, [os.dup(ours[2])], 1)
        interrupt(1)
        assert [self.raised(fd) for fd in ours] == [0, 0, 1]
        set_irqs(device, NONE, index, 0, [], 0)
        interrupt(0)
        interrupt(1)
        assert [self.raised(fd) for fd in ours] == [0, 0, 0]
        for fd in ours:
            os.close(fd)

    def test_software_triggers(self) -> None:
        device = make_device()
        fd = os.eventfd(0, os.EFD_NONBLOCK)
        set_irqs(device, EVENTFD, 2, 3, [os.dup(fd)], 1)
        set_irqs(device, NONE, 2, 3, [], 1)
        body = wire.SET_IRQS.pack(22, 0x22, 2, 3, 2) + b"\1\0"
        device.handle(wire.Command.SET_IRQS, body, [])
        assert self.raised(fd) == 2
        os.close(fd)

    def test_the_error_interrupt_is_accepted_and_its_descriptor_left_to_the_caller(self) -> None:
        device = make_device()
        fds = [os.eventfd(0)]
        set_irqs(device, EVENTFD, 3, 0, fds, 1)
        assert len(fds) == 1
        os.close(fds[0])

    def test_a_wrong_number_of_descriptors_is_refused(self) -> None:
        with pytest.raises(CommandError):
            set_irqs(make_device(), EVENTFD, 2, 0, [1, 2, 3], 2)

    def test_a_full_pipe_instead_of_an_eventfd_does_not_block(self) -> None:
        device = make_device()
        read, write = os.pipe()
        os.set_blocking(write, False)
        with pytest.raises(BlockingIOError):
            while True:
                os.write(write, bytes(4096))
        os.set_blocking(write, True)
        set_irqs(device, EVENTFD, 2, 0, [write], 1)
        assert device.card.on_interrupt is not None
        device.card.on_interrupt(0)
        os.close(read)
        device.card.on_interrupt(0)
        device.forget_client()
