"""The kernel's VFIO interface for one PCI device: container, group, device; regions and interrupts.

Request numbers and structures: include/uapi/linux/vfio.h. The structures are those of vfio-user messages,
which took them over. Host byte order; all hosts with a Time Card are little-endian.
"""

from __future__ import annotations

import array
import errno
import fcntl
import os
import struct
from pathlib import Path
from typing import Final, Protocol

from timecard.errors import (
    CardPermissionError,
    DeviceAbsentError,
    ProtocolError,
    RefusedError,
    UnsupportedError,
    from_oserror,
)
from timecard.pcie import vfio_user_wire as wire

GET_API_VERSION: Final = 0x3B64
CHECK_EXTENSION: Final = 0x3B65
SET_IOMMU: Final = 0x3B66
GROUP_GET_STATUS: Final = 0x3B67
GROUP_SET_CONTAINER: Final = 0x3B68
GROUP_GET_DEVICE_FD: Final = 0x3B6A
DEVICE_GET_INFO: Final = 0x3B6B
DEVICE_GET_REGION_INFO: Final = 0x3B6C
DEVICE_GET_IRQ_INFO: Final = 0x3B6D
DEVICE_SET_IRQS: Final = 0x3B6E
"""_IO(';', 100 + n)."""
TYPE1V2_IOMMU: Final = 3
TYPE1_IOMMU: Final = 1
NOIOMMU_IOMMU: Final = 8
GROUP_STATUS: Final = struct.Struct("=II")
"""argsz, flags"""
GROUP_VIABLE: Final = 0x1
DEVICE_PCI: Final = 0x2
REGION_MMAP: Final = 0x4
NO_FD: Final = -1

_DRIVER: Final = "vfio-pci"


class Kernel(Protocol):
    """The system calls, for tests to replace."""

    def open(self, path: str) -> int:
        """Open for reading and writing."""
        ...

    def ioctl(self, fd: int, request: int, argument: int | bytes | bytearray) -> int:
        """``ioctl(2)``; a bytearray is changed in place."""
        ...

    def close(self, fd: int) -> None:
        """Close."""
        ...


class HostKernel:
    """The kernel of this host."""

    def open(self, path: str) -> int:
        """Open for reading and writing."""
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def ioctl(self, fd: int, request: int, argument: int | bytes | bytearray) -> int:
        """``ioctl(2)``."""
        if isinstance(argument, bytes):  # read only for the kernel, and longer than Python's copy may be
            argument = bytearray(argument)
        return fcntl.ioctl(fd, request, argument)

    def close(self, fd: int) -> None:
        """Close."""
        os.close(fd)


class VfioDevice:
    """An opened device; ``fd`` serves ``pread``, ``pwrite`` and ``mmap`` of its regions."""

    def __init__(self, address: str, name: str, sysfs: Path, dev: Path, kernel: Kernel) -> None:
        """Raises a ``TimeCardError`` that says what to do."""
        self.name = name
        self.noiommu = False
        self._kernel = kernel
        self._open: list[int] = []
        self._enabled: dict[int, int] = {}
        try:
            self.fd = self._connect(address, sysfs, dev)
            info = bytearray(wire.DEVICE_INFO.pack(wire.DEVICE_INFO.size, 0, 0, 0))
            self._call(self.fd, DEVICE_GET_INFO, info, "ask for the device")
            if not wire.DEVICE_INFO.unpack(info)[1] & DEVICE_PCI:
                raise ProtocolError(name, "open", "VFIO says that it is no PCI device")
        except BaseException:
            self.close()
            raise

    def region(self, index: int) -> tuple[int, int, int]:
        """Flags, size and file offset of a region."""
        size = wire.REGION_INFO.size
        info = bytearray(wire.REGION_INFO.pack(size, 0, index, 0, 0, 0))
        self._call(self.fd, DEVICE_GET_REGION_INFO, info, f"ask for region {index}")
        _, flags, _, _, length, offset = wire.REGION_INFO.unpack(info)
        return flags, length, offset

    def vectors(self, index: int) -> int:
        """How many interrupts of a kind (``wire.Irq``) the device offers; 0 for a kind that it has not."""
        info = bytearray(wire.IRQ_INFO.pack(wire.IRQ_INFO.size, 0, index, 0))
        try:
            self._kernel.ioctl(self.fd, DEVICE_GET_IRQ_INFO, info)
        except OSError as error:
            if error.errno == errno.EINVAL:
                return 0
            raise from_oserror(self.name, f"ask for interrupts {index}", error) from error
        return int(wire.IRQ_INFO.unpack(info)[3])

    def signal(self, index: int, vector: int, fd: int) -> None:
        """Let an interrupt count in an eventfd.

        MSI vectors can only be allocated all at once, so the first call takes as many as there are; a host
        may grant fewer. ``RefusedError`` for a vector beyond them.
        """
        if index not in self._enabled:
            self._enabled[index] = self._allocate(index, self.vectors(index))
        if vector >= self._enabled[index]:
            raise RefusedError(
                self.name,
                f"interrupt {vector}",
                f"the host granted {self._enabled[index]} vectors (more need interrupt remapping)",
            )
        self._set_irqs(index, vector, [fd])

    def _allocate(self, index: int, count: int) -> int:
        while count > 0:
            granted = self._set_irqs(index, 0, [NO_FD] * count)
            if granted == 0:
                return count
            count = min(granted, count - 1)  # as many as there would be
        return 0

    def _set_irqs(self, index: int, start: int, fds: list[int]) -> int:
        flags = wire.IrqFlag.DATA_EVENTFD | wire.IrqFlag.TRIGGER
        data = array.array("i", fds).tobytes()
        size = wire.SET_IRQS.size + len(data)
        request = wire.SET_IRQS.pack(size, flags, index, start, len(fds)) + data
        return self._call(self.fd, DEVICE_SET_IRQS, request, f"set up interrupts {index}")

    def close(self) -> None:
        """Let go of device, group and container; the kernel switches the interrupts off."""
        while self._open:
            self._kernel.close(self._open.pop())

    # --- connecting ---

    def _connect(self, address: str, sysfs: Path, dev: Path) -> int:
        group, self.noiommu = self._group(address, sysfs, dev)
        container = self._open_file(dev / "vfio/vfio")
        if self._call(container, GET_API_VERSION, 0, "ask for the version") != 0:
            raise ProtocolError(self.name, "open", "the kernel speaks another version of VFIO")
        group_fd = self._open_file(group)
        status = bytearray(GROUP_STATUS.pack(GROUP_STATUS.size, 0))
        self._call(group_fd, GROUP_GET_STATUS, status, "ask for the IOMMU group")
        if not GROUP_STATUS.unpack(status)[1] & GROUP_VIABLE:
            raise RefusedError(self.name, "open", self._not_viable(address, sysfs))
        self._call(group_fd, GROUP_SET_CONTAINER, struct.pack("=i", container), "join the container")
        kinds = (NOIOMMU_IOMMU,) if self.noiommu else (TYPE1V2_IOMMU, TYPE1_IOMMU)
        kind = next((k for k in kinds if self._call(container, CHECK_EXTENSION, k, "ask for an IOMMU")), None)
        if kind is None:
            raise UnsupportedError(self.name, "open", "the kernel offers no IOMMU that VFIO can use here")
        self._call(container, SET_IOMMU, kind, "set the IOMMU")
        fd = self._call(group_fd, GROUP_GET_DEVICE_FD, address.encode() + b"\0", "open the device")
        self._open.append(fd)
        return fd

    def _group(self, address: str, sysfs: Path, dev: Path) -> tuple[Path, bool]:
        """The group's device file, and whether it works without an IOMMU."""
        device = sysfs / "bus/pci/devices" / address
        if not device.is_dir():
            raise DeviceAbsentError(self.name, "open", "there is no such PCI device (lspci -D lists them)")
        driver = (device / "driver").resolve().name if (device / "driver").exists() else None
        if driver != _DRIVER:
            raise RefusedError(
                self.name,
                "open",
                f"{driver or 'no driver'} holds the card, not {_DRIVER}; give it over: modprobe {_DRIVER};"
                + (f" echo {address} > {device}/driver/unbind;" if driver else "")
                + f" echo {_DRIVER} > {device}/driver_override;"
                + f" echo {address} > {sysfs}/bus/pci/drivers_probe",
            )
        link = device / "iommu_group"
        if not link.exists():
            raise UnsupportedError(
                self.name,
                "open",
                "the card is in no IOMMU group: switch the IOMMU on (firmware setting VT-d or AMD-Vi, kernel"
                " word intel_iommu=on), or accept VFIO without protection: vfio.enable_unsafe_noiommu_mode=1",
            )
        number = link.resolve().name
        plain, unsafe = dev / "vfio" / number, dev / "vfio" / f"noiommu-{number}"
        return (unsafe, True) if unsafe.exists() and not plain.exists() else (plain, False)

    def _not_viable(self, address: str, sysfs: Path) -> str:
        devices = sysfs / "bus/pci/devices" / address / "iommu_group/devices"
        others = [
            f"{other.name} ({(other / 'driver').resolve().name})"
            for other in sorted(devices.glob("*"))
            if (other / "driver").exists() and (other / "driver").resolve().name not in (_DRIVER, "pcieport")
        ]
        return (
            f"its IOMMU group is shared with {', '.join(others) or 'devices that are in use'}: unbind those"
            " or give them to vfio-pci, or plug the card into another slot"
        )

    def _open_file(self, path: Path) -> int:
        try:
            fd = self._kernel.open(os.fspath(path))
        except PermissionError as error:
            raise CardPermissionError(
                self.name, f"open {path}", "permission denied: run as root, or give this file to your group"
            ) from error
        except OSError as error:
            if error.errno == errno.EBUSY:
                raise RefusedError(self.name, f"open {path}", "another program uses the card") from error
            raise from_oserror(self.name, f"open {path}", error) from error
        self._open.append(fd)
        return fd

    def _call(self, fd: int, request: int, argument: int | bytes | bytearray, operation: str) -> int:
        try:
            return self._kernel.ioctl(fd, request, argument)
        except OSError as error:
            raise from_oserror(self.name, operation, error) from error
