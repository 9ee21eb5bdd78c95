"""The ART card's bridge to the mRO-50: registers on one side, the oscillator's serial line on the other.

Behaviour of the command bits follows the published FPGA sources and what the vendor's driver waits for:
a command's bit stays 1 until the exchange is over, READ_DONE falls with a read of the value or any command,
error bits fall when they are read.
"""

from __future__ import annotations

from typing import Final

from timecard.boards.registers import MRO50
from timecard.emulator.fpga_art import BoardConfig
from timecard.emulator.fpga_block import RegisterBlock
from timecard.emulator.mro50 import EmulatedMro50
from timecard.timescale import NS_PER_S

READY_AFTER_S: Final = 31
"""After configuration of the FPGA; ENABLE has no effect before."""
EXCHANGE_NS: Final = 5_000_000
TIMEOUT_NS: Final = 100_000_000
POLL_NS: Final = 8_000_000
"""How long the status line of each second takes."""
ENABLE: Final = 1 << 0
LOCK: Final = 1 << 1
READ: Final = 1 << 2
READ_COARSE: Final = 1 << 3
READ_DONE: Final = 1 << 4
ADJUST: Final = 1 << 5
ADJUST_COARSE: Final = 1 << 6
SAVE: Final = 1 << 7
ERR_UNKNOWN: Final = 1 << 28
ERR_TIMEOUT: Final = 1 << 30
POLLING: Final = 1 << 31
_COMMANDS: Final = READ | ADJUST | SAVE
_STORED: Final = ENABLE | READ_COARSE | ADJUST_COARSE
_AT: Final = {row.name: row.offset for row in MRO50}


class Mro50Bridge(RegisterBlock):
    """The registers."""

    def __init__(self, device: EmulatedMro50 | None, config: BoardConfig, ready_ns: int) -> None:
        """``device`` of None: nothing is fitted; ``ready_ns``: when ENABLE begins to have an effect."""
        super().__init__(MRO50)
        self._device = device
        self._config = config
        self._ready_ns = ready_ns
        self._stored = 0
        self._command = 0
        """The command bits of the exchange under way."""
        self._end_ns = 0
        self._done = False
        self._locked = False
        self._errors = 0
        self._polled = -1

    def read(self, reg: int, t_ns: int) -> int | None:
        """A register; ``ctrl`` and ``value`` have side effects."""
        self._catch_up(t_ns)
        if reg == _AT["value"]:
            self._done = False
        if reg != _AT["ctrl"]:
            return self.words.get(reg)
        errors, self._errors = self._errors, 0
        word = self._stored | self._command | errors
        word |= LOCK if self._locked else 0
        word |= READ_DONE if self._done else 0
        return word | (POLLING if self._polls(t_ns) and (t_ns - self._ready_ns) % NS_PER_S < POLL_NS else 0)

    def write(self, reg: int, value: int, t_ns: int) -> bool:
        """A register; a command while another is under way is lost."""
        self._catch_up(t_ns)
        if reg != _AT["ctrl"]:
            return super().write(reg, value, t_ns)
        self._stored = value & _STORED
        self._done = False
        if not self._command and value & _COMMANDS and value & ENABLE:
            self._command = value & _COMMANDS
            takes_ns = EXCHANGE_NS if self._reachable() else TIMEOUT_NS
            self._end_ns = max(t_ns, self._ready_ns) + takes_ns
        return True

    # --- internals ---

    def _reachable(self) -> bool:
        return self._device is not None and not self._device.silent and not self._config.serial

    def _polls(self, t_ns: int) -> bool:
        return t_ns >= self._ready_ns and bool(self._stored & ENABLE) and self._reachable()

    def _catch_up(self, t_ns: int) -> None:
        device = self._device
        if self._command and t_ns >= self._end_ns:
            command, self._command = self._command, 0
            if device is None or not self._reachable():
                self._errors |= ERR_TIMEOUT
            else:
                device.advance(self._end_ns)
                self._exchange(device, command)
        if self._polls(t_ns) and device is not None:
            poll = (t_ns - self._ready_ns) // NS_PER_S
            if poll != self._polled:
                self._polled = poll
                device.advance(t_ns)
                self._locked = device.locked
                self.words[_AT["temp"]] = device.temperature_word(t_ns)
                for name in "AB":
                    self.words[_AT[f"field_{name.lower()}"]] = device.fields[name]

    def _exchange(self, device: EmulatedMro50, command: int) -> None:
        if command & READ:
            self.words[_AT["value"]] = device.coarse if self._stored & READ_COARSE else device.fine
            self._done = True
        if command & ADJUST:
            put = device.set_coarse if self._stored & ADJUST_COARSE else device.set_fine
            if not put(self.words[_AT["adjust"]], self._end_ns):
                self._errors |= ERR_UNKNOWN
        if command & SAVE:
            device.save_coarse()
