"""The stock kernel's part in flashing, played on an emulated SPI block.

Written after the kernel's ``spi-xilinx.c``, ``spi-altera-core.c``, ``spi-nor/core.c`` (6.12) and the flash
procedure of ``ptp_ocp.c``: the order of accesses is theirs, and they wait for interrupts where the drivers
do.
"""

from __future__ import annotations

import struct
from typing import Protocol

from tests.spi_world import SpiBus

RESET, TX_EMPTY_IRQ, GLOBAL_IRQ = 0xA, 0x04, 0x8000_0000
MANUAL_SELECT, MASTER, ENABLE, FIFO_RESETS, INHIBIT, LOOP = 0x80, 0x04, 0x02, 0x60, 0x100, 0x01


class KernelSpi(Protocol):
    """A SPI controller's driver: messages of one or more parts, chip selected from first to last."""

    def message(self, out: bytes, reply: int = 0) -> bytes: ...


class SpiXilinx:
    """``spi-xilinx`` with ``force_irq``, as ``ptp_ocp`` asks for."""

    def __init__(self, bus: SpiBus) -> None:
        self._bus = bus
        at = bus.board.at
        self._at = {
            name: at("spi_flash", name)
            for name in ("DGIER", "ISR", "IER", "SRR", "CR", "SR", "DTR", "DRR", "SSR")
        }
        self._write("CR", LOOP)
        assert self._read("CR") & LOOP, "taken for big-endian"
        self.buffer_size = self._find_buffer_size()
        self._init_hw()

    def message(self, out: bytes, reply: int = 0) -> bytes:
        """The command and the reply are two transfers of one message."""
        cr = self._read("CR") & ~0x218
        self._write("CR", cr)
        self._write("SSR", 0xFFFF ^ 1)
        self._transfer(out)
        answer = self._transfer(bytes(reply)) if reply else b""
        self._write("SSR", 0xFFFF)
        return answer

    def _transfer(self, out: bytes) -> bytes:
        cr = self._read("CR")
        self._write("CR", cr | INHIBIT)
        pending = self._read("ISR")
        if pending:
            self._write("ISR", pending)
        self._write("DGIER", GLOBAL_IRQ)
        answer = bytearray()
        left = out
        while left:
            chunk, left = left[: self.buffer_size], left[self.buffer_size :]
            before = self._bus.interrupts
            for byte in chunk:
                self._write("DTR", byte)
            self._write("CR", cr)
            assert self._bus.interrupts == before + 1, "the driver would wait for ever"
            events = self._read("ISR")
            self._write("ISR", events)
            assert events & TX_EMPTY_IRQ
            self._write("CR", cr | INHIBIT)
            for _ in chunk[1:]:
                answer.append(self._read("DRR"))
            assert not self._read("SR") & 1, "the last word is missing"
            answer.append(self._read("DRR"))
        self._write("DGIER", 0)
        self._write("CR", cr)
        return bytes(answer)

    def _find_buffer_size(self) -> int:
        self._write("SRR", RESET)
        for words in range(100_000):
            self._write("DTR", 0)
            if self._read("SR") & 0x08:
                return words
        raise AssertionError("the driver would loop for ever")

    def _init_hw(self) -> None:
        self._write("SRR", RESET)
        self._write("IER", TX_EMPTY_IRQ)
        self._write("DGIER", 0)
        self._write("SSR", 0xFFFF)
        self._write("CR", MANUAL_SELECT | MASTER | ENABLE | FIFO_RESETS)

    def _read(self, name: str) -> int:
        return self._bus.read32(self._at[name])

    def _write(self, name: str, value: int) -> None:
        self._bus.write32(self._at[name], value)


class SpiAltera:
    """``spi-altera`` with its interrupt: a byte goes out when the one before came in."""

    def __init__(self, bus: SpiBus) -> None:
        self._bus = bus
        at = bus.board.at
        names = ("rxdata", "txdata", "status", "control", "slave_select")
        self._at = {name: at("spi_flash", name) for name in names}
        self._write("control", 0)
        self._write("status", 0)
        if self._read("status") & 0x80:
            self._read("rxdata")

    def message(self, out: bytes, reply: int = 0) -> bytes:
        self._write("slave_select", 1)
        self._write("control", 0x400)
        self._transfer(out)
        answer = self._transfer(bytes(reply)) if reply else b""
        self._write("control", 0)
        self._write("slave_select", 0)
        return answer

    def _transfer(self, out: bytes) -> bytes:
        self._write("control", 0x480)
        answer = bytearray()
        for byte in out:
            before = self._bus.interrupts
            self._write("txdata", byte)
            assert self._bus.interrupts == before + 1, "the driver would wait for ever"
            answer.append(self._read("rxdata"))
        self._write("control", 0x400)
        return bytes(answer)

    def _read(self, name: str) -> int:
        return self._bus.read32(self._at[name])

    def _write(self, name: str, value: int) -> None:
        self._bus.write32(self._at[name], value)


class SpiNor:
    """``spi-nor`` as far as the flash procedure needs it, with SFDP and Micron's flag status register."""

    def __init__(self, spi: KernelSpi, bus: SpiBus) -> None:
        self._spi = spi
        self._bus = bus
        self.id = spi.message(b"\x9f", 6)
        self._flags = self.id[0] == 0x20
        self._read_sfdp()

    def erase(self, offset: int) -> None:
        self._write_enable()
        self._spi.message(bytes((self._erase_opcode,)) + self._address(offset))
        self._wait()

    def write(self, offset: int, data: bytes) -> None:
        opcode = 0x12 if self._four else 0x02
        for start in range(0, len(data), self.page):
            self._write_enable()
            self._spi.message(
                bytes((opcode,)) + self._address(offset + start) + data[start : start + self.page]
            )
            self._wait()

    def read(self, offset: int, size: int) -> bytes:
        """Fast read: the controller can only one line."""
        return self._spi.message(
            bytes((0x0C if self._four else 0x0B,)) + self._address(offset) + b"\x00", size
        )

    def _read_sfdp(self) -> None:
        def sfdp(offset: int, size: int) -> bytes:
            return self._spi.message(b"\x5a" + offset.to_bytes(3, "big") + b"\x00", size)

        magic, minor, major, last, _ = struct.unpack("<4sBBBB", sfdp(0, 8))
        assert (magic, major) == (b"SFDP", 1)
        headers = [sfdp(8 + 8 * index, 8) for index in range(last + 1)]
        basic = headers[0]
        assert (basic[0], basic[7], basic[3] >= 16, minor >= 6) == (0, 0xFF, True, True)
        words = struct.unpack("<16I", sfdp(int.from_bytes(basic[4:7], "little"), 64))
        assert words[0] & 3 == 1, "no 4 KiB erase"
        self._erase_opcode = words[0] >> 8 & 0xFF
        self.size = (words[1] + 1) // 8
        assert (words[7] & 0xFF, words[7] >> 8 & 0xFF) == (12, self._erase_opcode)
        self.page = 1 << (words[10] >> 4 & 15)
        self._four = self.size > 1 << 24
        if self._four:
            assert words[0] >> 17 & 3 == 1
            four = next(header for header in headers if header[0] == 0x84)
            table = struct.unpack("<2I", sfdp(int.from_bytes(four[4:7], "little"), 8))
            assert table[0] & 0b1000010 == 0b1000010, "fast read and page program with four bytes"
            assert table[0] >> 9 & 1, "erase type 1 with four bytes"
            self._erase_opcode = table[1] & 0xFF

    def _write_enable(self) -> None:
        self._spi.message(b"\x06")

    def _wait(self) -> None:
        for _ in range(100_000):
            status = self._spi.message(b"\x05", 1)[0]
            flags = self._spi.message(b"\x70", 1)[0] if self._flags else 0x80
            if not status & 1 and flags & 0x80:
                assert not flags & 0x7A, f"flags {flags:#x}"
                return
            self._bus.time.sleep_s(100e-6)
        raise AssertionError("busy for ever")

    def _address(self, offset: int) -> bytes:
        return offset.to_bytes(4 if self._four else 3, "big")


def kernel_flash(bus: SpiBus) -> SpiNor:
    """The drivers that the kernel binds for the board of ``bus``."""
    xilinx = "CR" in {register.name for register in bus.board.blocks["spi_flash"].registers}
    return SpiNor(SpiXilinx(bus) if xilinx else SpiAltera(bus), bus)


def devlink_flash(bus: SpiBus, firmware: bytes) -> None:
    """What ``ptp_ocp`` does with a file whose header it has checked: 4 KiB at a time, no verification."""
    nor = kernel_flash(bus)
    payload = firmware[16:]
    for start in range(0, len(payload), 4096):
        nor.erase(bus.board.flash.update_start + start)
        nor.write(bus.board.flash.update_start + start, payload[start : start + 4096])
