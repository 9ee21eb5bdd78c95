"""EEPROMs: through the kernel's ``at24`` (``eeprom`` files), else over ``/dev/i2c-N``.

Addresses are those that go over the bus, as in the board's table. The driver shows of a 24MAC402 only the
six bytes of its EUI-48, which begin at word address 0x9A. Sources: ``drivers/misc/eeprom/at24.c``;
Microchip 24AA02E48 data sheet.
"""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import Final

import smbus2

from timecard.boards.board import EepromChip
from timecard.errors import DeviceTimeoutError, ProtocolError, RefusedError, UnsupportedError, from_oserror

EUI48_START: Final = 0x9A
EUI48_SIZE: Final = 6
PAGE: Final = 8
"""Smallest page of these parts: a write within it never wraps."""
BLOCK: Final = 256
"""Bytes behind one I2C address; larger parts take several."""
CHUNK: Final = 32
WRITE_CYCLE_S: Final = 0.02


class EepromFile:
    """``Memory`` on an ``eeprom`` file."""

    def __init__(self, path: Path, chip: EepromChip) -> None:
        self.name = f"{chip.part} at {chip.address:#04x} ({path})"
        self.size = chip.size
        self._path = path
        self._start = EUI48_START if chip.part.startswith("24mac") else 0
        self._end = self._start + EUI48_SIZE if self._start else chip.size

    def read(self, offset: int, size: int) -> bytes:
        """Read bytes."""
        operation = f"read {offset:#x}"
        self._check(operation, offset, size)
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                data = os.pread(descriptor, size, offset - self._start)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise from_oserror(self.name, operation, error) from error
        if len(data) != size:
            raise ProtocolError(self.name, operation, f"{len(data)} bytes instead of {size}")
        return data

    def write(self, offset: int, data: bytes) -> None:
        """Write bytes."""
        operation = f"write {offset:#x}"
        self._check(operation, offset, len(data))
        if self._start:
            raise RefusedError(self.name, operation, "the EUI-48 is read-only")
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                written = os.pwrite(descriptor, data, offset)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise from_oserror(self.name, operation, error) from error
        if written != len(data):
            raise ProtocolError(self.name, operation, f"{written} of {len(data)} bytes were taken")

    def _check(self, operation: str, offset: int, size: int) -> None:
        if size < 0 or not self._start <= offset <= offset + size <= self._end:
            if self._start and 0 <= offset <= offset + size <= self.size:
                raise UnsupportedError(
                    self.name,
                    operation,
                    f"the kernel shows of this chip only {self._start:#x} to {self._end - 1:#x}",
                )
            raise RefusedError(self.name, operation, f"{size} bytes are beyond the end, {self._end:#x}")


class I2cMemory:
    """``Memory`` over ``/dev/i2c-N``, for a chip that no driver claims."""

    def __init__(self, node: Path, chip: EepromChip) -> None:
        self.name = f"{chip.part} at {chip.address:#04x} ({node})"
        self.size = chip.size
        self._node = node
        self._chip = chip

    def read(self, offset: int, size: int) -> bytes:
        """Read bytes."""
        operation = f"read {offset:#x}"
        self._check(operation, offset, size)
        data = b""
        while len(data) < size:
            at = offset + len(data)
            count = min(CHUNK, size - len(data), BLOCK - at % BLOCK)
            word = smbus2.i2c_msg.write(self._address(at), [at % BLOCK])
            answer = smbus2.i2c_msg.read(self._address(at), count)
            self._transfer(operation, word, answer)
            data += bytes(answer)
        return data

    def write(self, offset: int, data: bytes) -> None:
        """Write bytes, page by page; returns when the chip answers again."""
        operation = f"write {offset:#x}"
        self._check(operation, offset, len(data))
        done = 0
        while done < len(data):
            at = offset + done
            part = data[done : done + PAGE - at % PAGE]
            self._transfer(operation, smbus2.i2c_msg.write(self._address(at), [at % BLOCK, *part]))
            self._wait(operation, at)
            done += len(part)

    def _address(self, offset: int) -> int:
        return self._chip.address + offset // BLOCK

    def _wait(self, operation: str, offset: int) -> None:
        """The chip answers nothing while it stores."""
        deadline = time.monotonic() + WRITE_CYCLE_S * 5
        while True:
            try:
                self._transfer(operation, smbus2.i2c_msg.write(self._address(offset), [offset % BLOCK]))
                return
            except (ProtocolError, DeviceTimeoutError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.001)

    def _transfer(self, operation: str, *messages: smbus2.i2c_msg) -> None:
        try:
            with smbus2.SMBus(str(self._node)) as bus:
                bus.i2c_rdwr(*messages)
        except OSError as error:
            if error.errno in (errno.ENXIO, errno.EREMOTEIO):
                raise ProtocolError(self.name, operation, "the chip does not acknowledge") from error
            raise from_oserror(self.name, operation, error) from error

    def _check(self, operation: str, offset: int, size: int) -> None:
        if size < 0 or not 0 <= offset <= offset + size <= self.size:
            raise RefusedError(self.name, operation, f"{size} bytes are beyond the end, {self.size:#x}")
