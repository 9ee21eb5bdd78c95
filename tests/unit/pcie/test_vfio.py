"""The kernel's VFIO interface on a made-up kernel: what is asked for, in which order, what may go wrong."""

from __future__ import annotations

import array
import errno
import os
import select
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from timecard.boards import ART, FB
from timecard.errors import (
    CardPermissionError,
    DeviceAbsentError,
    DeviceLostError,
    ProtocolError,
    RefusedError,
    UnsupportedError,
)
from timecard.pcie import vfio_kernel as k
from timecard.pcie.vfio import VfioBus

ADDRESS = "0000:02:00.0"
CONFIG_OFFSET = 7 << 40
MSI, MSIX, ERR, REQ = 1, 2, 3, 4
VERSION = 0x0100_000C


class FakeKernel:
    """Answers as linux/vfio.h describes; the device is a memory file: BAR0 at 0, config at 7 << 40."""

    def __init__(self) -> None:
        self.paths: dict[int, str] = {}
        self.calls: list[int] = []
        self.closed: list[str] = []
        self.viable = True
        self.bar_flags = 0x7
        self.bar_size = FB.bar0_size
        self.counts = {0: 0, MSI: 32, MSIX: 0, ERR: 1, REQ: 1}
        self.grantable = 32
        self.allocated: dict[int, int] = {}
        self.signals: dict[tuple[int, int], int] = {}
        self.extensions = {k.TYPE1V2_IOMMU}
        self.iommu: int | None = None
        self.device = os.memfd_create("device")
        os.ftruncate(self.device, CONFIG_OFFSET + 4096)
        os.pwrite(self.device, struct.pack("<I", 0x0102_0000), VERSION)
        os.pwrite(self.device, struct.pack("<HHH", 0x1D9B, 0x0400, 0x0400), CONFIG_OFFSET)
        self.refuse: dict[str, int] = {}

    def open(self, path: str) -> int:
        for end, number in self.refuse.items():
            if path.endswith(end):
                raise OSError(number, os.strerror(number))
        fd = os.memfd_create("vfio")
        self.paths[fd] = path
        return fd

    def close(self, fd: int) -> None:
        self.closed.append(self.paths.get(fd, "device"))
        os.close(fd)

    def ioctl(self, fd: int, request: int, argument: int | bytes | bytearray) -> int:
        self.calls.append(request)
        if request == k.GET_API_VERSION:
            return 0
        if request == k.CHECK_EXTENSION:
            return int(argument in self.extensions)
        if request == k.SET_IOMMU:
            assert isinstance(argument, int)
            self.iommu = argument
            return 0
        if request == k.GROUP_SET_CONTAINER:
            assert isinstance(argument, bytes)
            assert self.paths[struct.unpack("=i", argument)[0]].endswith("vfio/vfio")
            return 0
        if request == k.GROUP_GET_DEVICE_FD:
            assert argument == ADDRESS.encode() + b"\0"
            return self.device
        if request == k.DEVICE_SET_IRQS:
            assert isinstance(argument, bytes)
            return self._set_irqs(argument)
        assert isinstance(argument, bytearray)
        self._fill(request, argument)
        return 0

    def _fill(self, request: int, out: bytearray) -> None:
        assert struct.unpack_from("=I", out)[0] == len(out), "argsz"
        if request == k.GROUP_GET_STATUS:
            struct.pack_into("=II", out, 0, 8, int(self.viable))
        elif request == k.DEVICE_GET_INFO:
            struct.pack_into("=IIII", out, 0, 16, 0x2, 9, 5)
        elif request == k.DEVICE_GET_REGION_INFO:
            index = struct.unpack_from("=I", out, 8)[0]
            size, flags = (self.bar_size, self.bar_flags) if index == 0 else (4096, 0x3)
            struct.pack_into("=IIIIQQ", out, 0, 32, flags, index, 0, size, index << 40)
        elif request == k.DEVICE_GET_IRQ_INFO:
            index = struct.unpack_from("=I", out, 8)[0]
            if index not in self.counts:
                raise OSError(errno.EINVAL, "Invalid argument")
            struct.pack_into("=IIII", out, 0, 16, 1, index, self.counts[index])
        else:
            raise AssertionError(hex(request))

    def _set_irqs(self, data: bytes) -> int:
        """The first call allocates start + count vectors, later ones cannot add any."""
        argsz, flags, index, start, count = struct.unpack_from("=IIIII", data)
        assert argsz == len(data) == 20 + 4 * count
        assert flags == 0x4 | 0x20
        if index in (MSI, MSIX):
            if index not in self.allocated:
                if start + count > self.grantable:
                    return self.grantable
                self.allocated[index] = start + count
            elif start + count > self.allocated[index]:
                raise OSError(errno.EINVAL, "Invalid argument")
        for n, fd in enumerate(array.array("i", data[20:])):
            self.signals[index, start + n] = fd
        return 0


@pytest.fixture
def kernel() -> FakeKernel:
    return FakeKernel()


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    device = tmp_path / "bus/pci/devices" / ADDRESS
    device.mkdir(parents=True)
    _bind(tmp_path, ADDRESS, "vfio-pci")
    group = tmp_path / "kernel/iommu_groups/17"
    (group / "devices").mkdir(parents=True)
    (device / "iommu_group").symlink_to(group)
    (group / "devices" / ADDRESS).symlink_to(device)
    return tmp_path


def _bind(sysfs: Path, address: str, driver: str) -> None:
    target = sysfs / "bus/pci/drivers" / driver
    target.mkdir(parents=True, exist_ok=True)
    link = sysfs / "bus/pci/devices" / address / "driver"
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def open_bus(kernel: FakeKernel, sysfs: Path) -> VfioBus:
    return VfioBus(ADDRESS, FB, sysfs, Path("/dev"), kernel)


def test_the_kernel_is_asked_in_its_order(kernel: FakeKernel, sysfs: Path) -> None:
    bus = open_bus(kernel, sysfs)
    assert kernel.calls[:8] == [
        k.GET_API_VERSION,
        k.GROUP_GET_STATUS,
        k.GROUP_SET_CONTAINER,
        k.CHECK_EXTENSION,
        k.SET_IOMMU,
        k.GROUP_GET_DEVICE_FD,
        k.DEVICE_GET_INFO,
        k.DEVICE_GET_REGION_INFO,
    ]
    assert sorted(kernel.paths.values()) == ["/dev/vfio/17", "/dev/vfio/vfio"]
    assert kernel.iommu == k.TYPE1V2_IOMMU
    assert not bus.noiommu
    bus.close()
    assert kernel.closed == ["device", "/dev/vfio/17", "/dev/vfio/vfio"]


def test_the_request_numbers_are_those_of_the_header() -> None:
    numbers = [0x3B64 + n for n in (0, 1, 2, 3, 4, 6, 7, 8, 9, 10)]
    assert numbers == [
        k.GET_API_VERSION,
        k.CHECK_EXTENSION,
        k.SET_IOMMU,
        k.GROUP_GET_STATUS,
        k.GROUP_SET_CONTAINER,
        k.GROUP_GET_DEVICE_FD,
        k.DEVICE_GET_INFO,
        k.DEVICE_GET_REGION_INFO,
        k.DEVICE_GET_IRQ_INFO,
        k.DEVICE_SET_IRQS,
    ]


@pytest.mark.parametrize("flags", [0x7, 0x3], ids=["mapped", "by calls"])
def test_registers_and_configuration_space(kernel: FakeKernel, sysfs: Path, flags: int) -> None:
    kernel.bar_flags = flags
    bus = open_bus(kernel, sysfs)
    assert bus.read32(VERSION) == 0x0102_0000
    bus.write32(0x0100_0020, 0x1_1122_3344)
    assert os.pread(kernel.device, 4, 0x0100_0020) == bytes.fromhex("44332211")
    assert bus.read32_many((VERSION, 0x0100_0020)) == [0x0102_0000, 0x1122_3344]
    assert bus.read_config32(0) == 0x0400_1D9B
    # Memory decoding and bus mastering are switched on, the rest of the command stays.
    assert bus.read_config32(4) & 0xFFFF == 0x0406
    for offset in (2, -4, FB.bar0_size):
        with pytest.raises(RefusedError, match="aligned word of BAR0"):
            bus.read32(offset)
        with pytest.raises(RefusedError, match="aligned word of BAR0"):
            bus.write32(offset, 0)
    bus.close()
    bus.close()
    with pytest.raises(DeviceLostError, match="closed"):
        bus.read32(VERSION)
    assert bus.lost == "the bus was closed"


@pytest.mark.parametrize("flags", [0x7, 0x3], ids=["mapped", "by calls"])
def test_all_ones_are_a_value_until_the_version_is_so_too(
    kernel: FakeKernel, sysfs: Path, flags: int
) -> None:
    kernel.bar_flags = flags
    bus = open_bus(kernel, sysfs)
    os.pwrite(kernel.device, b"\xff" * 4, 0x0022_0008)
    assert bus.read32(0x0022_0008) == 0xFFFF_FFFF
    assert bus.lost is None
    os.pwrite(kernel.device, b"\xff" * 4, VERSION)
    with pytest.raises(DeviceLostError, match="removed"):
        bus.read32_many((0x0100_0020, 0x0022_0008))
    assert bus.lost is not None
    os.pwrite(kernel.device, b"\0" * 4, VERSION)
    with pytest.raises(DeviceLostError, match="removed"):
        bus.read32(VERSION)
    bus.close()


def test_interrupts_count_in_eventfds(kernel: FakeKernel, sysfs: Path) -> None:
    bus = open_bus(kernel, sysfs)
    fd, other = bus.irq_eventfd(16), bus.irq_eventfd(0)
    assert bus.irq_eventfd(16) == fd != other
    assert kernel.allocated == {MSI: 32}
    os.eventfd_write(kernel.signals[MSI, 16], 1)
    assert select.select([fd, other], [], [], 0)[0] == [fd]
    with pytest.raises(RefusedError, match="no such vector"):
        bus.irq_eventfd(32)
    bus.close()


def test_msix_is_preferred(kernel: FakeKernel, sysfs: Path) -> None:
    kernel.counts[MSIX] = 64
    kernel.grantable = 64
    bus = open_bus(kernel, sysfs)
    bus.irq_eventfd(51)
    assert kernel.allocated == {MSIX: 64}
    bus.close()


def test_a_host_that_grants_one_vector_gives_that_one(kernel: FakeKernel, sysfs: Path) -> None:
    kernel.grantable = 1
    bus = open_bus(kernel, sysfs)
    bus.irq_eventfd(0)
    assert kernel.allocated == {MSI: 1}
    with pytest.raises(RefusedError, match=r"granted 1 vectors \(more need interrupt remapping\)"):
        bus.irq_eventfd(3)
    bus.close()


@pytest.mark.parametrize(("index", "reason"), [(REQ, "being removed"), (ERR, "PCI link")])
def test_removal_and_errors_are_news_for_the_owner(
    kernel: FakeKernel, sysfs: Path, index: int, reason: str
) -> None:
    bus = open_bus(kernel, sysfs)
    assert bus.lost is None
    os.eventfd_write(kernel.signals[index, 0], 1)
    assert reason in (bus.lost or "")
    with pytest.raises(DeviceLostError, match=reason):
        bus.read32(VERSION)
    bus.close()


def test_a_device_without_those_two_interrupts_works(kernel: FakeKernel, sysfs: Path) -> None:
    del kernel.counts[ERR], kernel.counts[REQ]
    bus = open_bus(kernel, sysfs)
    assert bus.lost is None
    bus.close()


def test_noiommu_is_used_and_named(kernel: FakeKernel, sysfs: Path, tmp_path: Path) -> None:
    dev = tmp_path / "dev"
    (dev / "vfio").mkdir(parents=True)
    (dev / "vfio/noiommu-17").touch()
    kernel.extensions = {k.NOIOMMU_IOMMU}
    bus = VfioBus(ADDRESS, FB, sysfs, dev, kernel)
    assert bus.noiommu
    assert kernel.iommu == k.NOIOMMU_IOMMU
    assert any(path.endswith("noiommu-17") for path in kernel.paths.values())
    bus.close()


def _unbound(kernel: FakeKernel, sysfs: Path) -> None:
    (sysfs / "bus/pci/devices" / ADDRESS / "driver").unlink()


def _no_group(kernel: FakeKernel, sysfs: Path) -> None:
    (sysfs / "bus/pci/devices" / ADDRESS / "iommu_group").unlink()


def _shared_group(kernel: FakeKernel, sysfs: Path) -> None:
    kernel.viable = False
    other = sysfs / "bus/pci/devices/0000:02:00.1"
    other.mkdir()
    _bind(sysfs, other.name, "snd_hda_intel")
    (sysfs / "kernel/iommu_groups/17/devices/0000:02:00.1").symlink_to(other)


def _busy(kernel: FakeKernel, sysfs: Path) -> None:
    kernel.refuse["vfio/17"] = errno.EBUSY


def _forbidden(kernel: FakeKernel, sysfs: Path) -> None:
    kernel.refuse["vfio/17"] = errno.EACCES


def _no_module(kernel: FakeKernel, sysfs: Path) -> None:
    kernel.refuse["vfio/vfio"] = errno.ENOENT


def _no_type(kernel: FakeKernel, sysfs: Path) -> None:
    kernel.extensions = set()


def _small(kernel: FakeKernel, sysfs: Path) -> None:
    kernel.bar_size = 0x1000


@pytest.mark.parametrize(
    ("spoil", "error", "text"),
    [
        (_unbound, RefusedError, r"no driver holds the card, not vfio-pci; give it over: modprobe vfio-pci"),
        (
            lambda _, sysfs: _bind(sysfs, ADDRESS, "ptp_ocp"),
            RefusedError,
            r"ptp_ocp holds the card, not vfio-pci; .*unbind; echo vfio-pci > .*driver_override",
        ),
        (_no_group, UnsupportedError, r"intel_iommu=on.*enable_unsafe_noiommu_mode"),
        (_shared_group, RefusedError, r"shared with 0000:02:00.1 \(snd_hda_intel\)"),
        (_busy, RefusedError, "another program uses the card"),
        (_forbidden, CardPermissionError, "run as root"),
        (_no_module, DeviceAbsentError, "/dev/vfio/vfio"),
        (_no_type, UnsupportedError, "no IOMMU that VFIO can use"),
        (_small, ProtocolError, "BAR0 has 0x1000 bytes"),
    ],
)
def test_what_is_wrong_is_said_and_everything_is_closed(
    kernel: FakeKernel,
    sysfs: Path,
    spoil: Callable[[FakeKernel, Path], None],
    error: type[Exception],
    text: str,
) -> None:
    spoil(kernel, sysfs)
    with pytest.raises(error, match=text):
        open_bus(kernel, sysfs)
    assert len([path for path in kernel.closed if path != "device"]) == len(kernel.paths)


def test_there_is_no_such_device(kernel: FakeKernel, sysfs: Path) -> None:
    with pytest.raises(DeviceAbsentError, match="no such PCI device"):
        VfioBus("0000:09:00.0", ART, sysfs, Path("/dev"), kernel)
