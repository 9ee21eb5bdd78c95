"""A SPI-NOR flash chip: commands, busy times, write protection, and what a power cut leaves behind.

Programming only clears bits, erasing sets them; both take their time, in which nothing but the status
registers answers. The chip is moved by its controller: ``select``, ``exchange``, ``deselect``. Commands as in
the data sheets of Micron's MT25Q and Macronix' MX25L25645G, with one data line. Not modelled: suspend, OTP,
deep power-down, non-volatile configuration.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from enum import Enum
from typing import Final, NamedTuple

from timecard.emulator.spi_flash_commands import COMMANDS, Command
from timecard.emulator.spi_flash_memory import SECTOR, FlashMemory
from timecard.emulator.spi_flash_parts import FlashPart, sfdp

PAGE: Final = 256
BLOCK: Final = 0x1_0000
WIP: Final = 0x01
WEL: Final = 0x02
_NOTHING: Final = b"\xff"


class CutAt(Enum):
    """Where a power cut meets an operation."""

    BEFORE = "not begun"
    HALF = "half done"
    AFTER = "done"


_WHILE_BUSY: Final = ("status", "flags")
_FLAG_READY: Final = 0x80
_FLAG_PROTECTED: Final = 0x02
_FLAG_PROGRAM_FAILED: Final = 0x10
_FLAG_ERASE_FAILED: Final = 0x20


class _Change(NamedTuple):
    """What an operation does to the cells."""

    offset: int
    before: bytes
    after: bytes


class SpiFlash:
    """The chip. ``speed`` divides its times; ``on_cut`` is told when a planned power cut happens."""

    def __init__(self, part: FlashPart, memory: FlashMemory, *, speed: float = 1.0) -> None:
        self.part = part
        self.memory = memory
        self.operations = 0
        """Program, erase and status-write operations begun so far."""
        self.ignored = 0
        """Commands that the chip does not know, or not while it is busy."""
        self.powered = True
        self.on_cut: Callable[[], None] | None = None
        self.status = 0
        """Block protection bits."""
        self._speed = speed
        self._sfdp = sfdp(part)
        self._reset_enabled = False
        self._cut: tuple[int, CutAt] | None = None
        self._change: _Change | None = None
        self._busy_until_ns = 0
        self._flags = 0
        self._reset()

    # --- bus ---

    def select(self, t_ns: int) -> None:
        """Chip select becomes active: a command follows."""
        self._header = bytearray()
        self._header_size = 0
        self._command: Command | None = None
        self._payload = bytearray()
        self._position = 0
        self._selected = True

    def exchange(self, data: bytes, t_ns: int) -> bytes:
        """Bytes in, as many bytes out."""
        if not self.powered or not self._selected:
            return _NOTHING * len(data)
        done = 0
        out = b""
        if self._command is None:
            self._begin(data[0], t_ns)
            done = 1
            out = _NOTHING
        missing = self._header_size - len(self._header)
        if missing > 0:
            header = data[done : done + missing]
            self._header += header
            done += len(header)
            out += _NOTHING * len(header)
        if done < len(data):
            out += self._data(data[done:], t_ns)
        return out

    def deselect(self, t_ns: int) -> None:
        """Chip select becomes inactive: what changes the chip begins now."""
        command, self._selected = self._command, False
        if command is None or not self.powered:
            return
        if len(self._header) == self._header_size:
            act = command.act
            arming = self._reset_enabled
            self._reset_enabled = act == "reset enable"
            if act == "program":
                self._program(t_ns)
            elif act.startswith("erase"):
                self._erase(SECTOR if act == "erase 4k" else BLOCK, t_ns)
            elif act == "write status":
                self._write_status(t_ns)
            elif act == "reset" and arming:
                self._reset()
            else:
                self._switch(act)
        self._command = None

    # --- power ---

    def cut_power_at(self, operation: int, where: CutAt) -> None:
        """Plan a power cut at an operation, counted from now on (0 is the next one)."""
        self._cut = (self.operations + operation, where)

    def cut_power(self, t_ns: int) -> None:
        """Power goes away now; an operation under way stays half done."""
        if self._change is not None and t_ns < self._busy_until_ns:
            self._leave_half(self._change)
        self._die()

    def power_on(self) -> None:
        """Power is back; what volatile memory held is gone."""
        self.powered = True
        self._reset()

    def busy(self, t_ns: int) -> bool:
        """An operation is under way."""
        return t_ns < self._busy_until_ns

    # --- commands ---

    def _begin(self, opcode: int, t_ns: int) -> None:
        command = COMMANDS.get(opcode)
        if command is None or (self.busy(t_ns) and command.act not in _WHILE_BUSY):
            self.ignored += 1
            command = Command("nothing")
        address = command.address if command.address >= 0 else self._address_bytes
        self._command = command
        self._header_size = address + command.dummy

    def _data(self, data: bytes, t_ns: int) -> bytes:
        act = self._command.act if self._command else "nothing"
        count = len(data)
        if act == "read":
            out = self.memory.read(self._address() + self._position, count)
        elif act == "status":
            out = bytes((self._status(t_ns),)) * count
        elif act == "flags" and self.part.micron:
            out = bytes((self._flag_status(t_ns),)) * count
        elif act == "security" and not self.part.micron:
            out = bytes((self._security(),)) * count
        elif act == "id":
            out = _part_of(self.part.jedec_id + self.part.more_id, self._position, count)
        elif act == "sfdp":
            out = _part_of(self._sfdp, self._address() + self._position, count)
        else:
            out = _NOTHING * count
            self._payload += data
            # Of more than a page, the last 256 bytes count; whole pages less change nothing.
            if len(self._payload) > 3 * PAGE:
                del self._payload[: (len(self._payload) // PAGE - 2) * PAGE]
        self._position += count
        return out

    def _switch(self, act: str) -> None:
        if self._position:
            return
        if act == "write enable":
            self._write_enabled = True
        elif act == "write disable":
            self._write_enabled = False
        elif act == "clear flags":
            self._flags = 0
        elif act in ("enter 4-byte", "leave 4-byte"):
            self._address_bytes = 4 if act.startswith("enter") and self.part.four_byte else 3

    def _program(self, t_ns: int) -> None:
        if not self._write_enabled or not self._payload:
            return
        address = self._address()
        page = address - address % PAGE
        if self._protected(page, PAGE):
            self._fail(_FLAG_PROGRAM_FAILED)
            return
        before = self.memory.read(page, PAGE)
        after = bytearray(before)
        for index, byte in enumerate(_buffered(self._payload, address % PAGE)):
            if byte is not None:
                after[index] &= byte
        self._operate(_Change(page, before, bytes(after)), self.part.program_ns, t_ns)

    def _erase(self, size: int, t_ns: int) -> None:
        if not self._write_enabled or self._position:
            return
        address = self._address()
        start = address - address % size
        if self._protected(start, size):
            self._fail(_FLAG_ERASE_FAILED)
            return
        time_ns = self.part.erase_4k_ns if size == SECTOR else self.part.erase_64k_ns
        self._operate(_Change(start, self.memory.read(start, size), _NOTHING * size), time_ns, t_ns)

    def _write_status(self, t_ns: int) -> None:
        if self._write_enabled and self._payload:
            self.status = self._payload[0] & 0xFC
            self._operate(None, self.part.status_ns, t_ns)

    def _operate(self, change: _Change | None, time_ns: int, t_ns: int) -> None:
        index, self.operations = self.operations, self.operations + 1
        self._write_enabled = False
        if not self.part.micron:
            self._flags = 0
        planned = self._cut[1] if self._cut is not None and self._cut[0] == index else None
        if planned is CutAt.BEFORE:
            self._die()
            return
        # The end is stored at once: nobody can look before the busy time is over, and a process that is
        # killed leaves a chip that kept its power.
        if change is not None:
            self.memory.store(change.offset, change.after)
        self._change = change
        self._busy_until_ns = t_ns + round(time_ns / self._speed)
        if planned is not None:
            if planned is CutAt.HALF and change is not None:
                self._leave_half(change)
            self._die()

    def _fail(self, flag: int) -> None:
        self._write_enabled = False
        self._flags |= flag | _FLAG_PROTECTED

    def _leave_half(self, change: _Change) -> None:
        """Some pages as before, some done, some with a part of their bits changed."""
        chance = random.Random(f"{self.operations} {change.offset}")
        programming = len(change.after) == PAGE
        cells = bytearray(change.before)
        for index, (before, after) in enumerate(zip(change.before, change.after, strict=True)):
            # A page is programmed from its first byte on; a sector is erased in all its pages, unevenly.
            state = index * 16 // PAGE - 7 if programming else (index // PAGE) % 3
            if state < 0 or (state == 0 and not programming):
                cells[index] = after
            elif state <= (0 if programming else 1):
                cells[index] = before ^ (before ^ after) & chance.getrandbits(8)
        self.memory.store(change.offset, bytes(cells))

    def _die(self) -> None:
        self.powered = False
        self._selected = False
        self._change = None
        self._cut = None
        if self.on_cut is not None:
            self.on_cut()

    def _reset(self) -> None:
        self._write_enabled = False
        self._reset_enabled = False
        self._address_bytes = 3
        self._busy_until_ns = 0
        self._change = None
        self._flags = 0
        self.select(0)
        self._selected = False

    # --- registers ---

    def _address(self) -> int:
        dummy = self._command.dummy if self._command else 0
        return int.from_bytes(self._header[: len(self._header) - dummy], "big")

    def _status(self, t_ns: int) -> int:
        busy = self.busy(t_ns)
        return self.status | (WIP if busy else 0) | (WEL if self._write_enabled or busy else 0)

    def _flag_status(self, t_ns: int) -> int:
        ready = 0 if self.busy(t_ns) else _FLAG_READY
        return ready | self._flags | (1 if self._address_bytes == 4 else 0)

    def _security(self) -> int:
        """Macronix' security register: the last program or erase failed."""
        failed = self._flags & (_FLAG_PROGRAM_FAILED | _FLAG_ERASE_FAILED)
        return (0x20 if failed & _FLAG_PROGRAM_FAILED else 0) | (0x40 if failed & _FLAG_ERASE_FAILED else 0)

    def _protected(self, offset: int, size: int) -> bool:
        """Block protection: BP bits name a power of two of 64 KiB blocks at the top or (TB) bottom."""
        status = self.status
        if self.part.micron:
            level = status >> 2 & 7 | (status >> 6 & 1) << 3
            bottom = bool(status & 0x20)
        else:
            level, bottom = status >> 2 & 15, False
        if not level:
            return False
        area = min(self.part.size, BLOCK << level - 1)
        return offset < area if bottom else offset + size > self.part.size - area


def _part_of(data: bytes, position: int, count: int) -> bytes:
    return data[position : position + count].ljust(count, _NOTHING)


def _buffered(payload: bytearray, start: int) -> list[int | None]:
    """The page buffer after a transfer: it begins at ``start`` and wraps within the page."""
    page: list[int | None] = [None] * PAGE
    for index, byte in enumerate(payload):
        page[(start + index) % PAGE] = byte
    return page
