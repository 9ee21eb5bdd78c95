"""What the ART card's FPGA has of its own: its clock, timestampers, board configuration and identity.

Behaviour follows the published FPGA sources of Orolia's art-card-board and what the kernel's ``ptp_ocp``
driver does with them. The clock free-runs from the mRO50; it has no servo and no selectable source.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from timecard.boards.registers import (
    ART_BOARD_CONFIG,
    ART_IDBOARD,
    CLOCK_ART,
    SOURCE_REGS,
    TIMESTAMPER_ART,
    signed_magnitude,
)
from timecard.emulator.fpga_block import RegisterBlock
from timecard.emulator.fpga_counter import SAMPLE_NS, Counter, Oscillator
from timecard.emulator.uart16550 import SerialDevice
from timecard.timescale import NS_PER_S

MAX_OFFSET_NS: Final = 2 * NS_PER_S
CHIP_ID: Final = 0x0102_7A01_35C4_9E11
BOARD_REVISION: Final = 3
OSCILLATOR_ID: Final = 1
_AT: Final = {row.name: row.offset for row in CLOCK_ART}
_CTRL: Final = _AT["ctrl"]
_TS: Final = {row.name: row.offset for row in TIMESTAMPER_ART}


class ArtClock(RegisterBlock):
    """phy2sys: counts the oscillator in steps of 5 ns whether enabled or not."""

    source = SOURCE_REGS
    """Nothing but the registers sets it."""

    def __init__(
        self,
        oscillator: Oscillator,
        t_ns: int,
        card_ns: int,
        version: int,
        on_change: Callable[[int, bool], None],
    ) -> None:
        super().__init__(CLOCK_ART, {"version": version})
        self.counter = Counter(oscillator, t_ns, card_ns, SAMPLE_NS)
        self.on_snapshot: Callable[[int, int], None] | None = None
        self.adjustable = True
        self.stuck_done: bool | None = None
        self._on_change = on_change
        self._offset_ns = 0

    def read(self, reg: int, t_ns: int) -> int | None:
        """A register; a read of ``ctrl`` takes READ_TIME_DONE away."""
        value = self.words.get(reg)
        if reg == _CTRL and self.stuck_done is None:
            self.words[_CTRL] &= 0x7FFF_FFFF
        return value

    def write(self, reg: int, value: int, t_ns: int) -> bool:
        """A register; ``ctrl`` carries the commands."""
        if reg != _CTRL:
            return super().write(reg, value, t_ns)
        words = self.words
        if value & 2 and self.adjustable:
            self.load(t_ns, words[_AT["adjust_sec"]] * NS_PER_S + words[_AT["adjust_ns"]])
        if value & 4 and self.adjustable:
            offset_ns = signed_magnitude(words[_AT["offset_ns"]])
            self._offset_ns = max(-MAX_OFFSET_NS, min(MAX_OFFSET_NS, offset_ns))
        done = 0
        if value & 0x4000_0000:
            card_ns = self.counter.snapshot_ns(t_ns)
            words[_AT["time_sec"]], words[_AT["time_ns"]] = divmod(card_ns, NS_PER_S)
            words[_AT["time_sec"]] &= 0xFFFF_FFFF
            done = 0x8000_0000
            if self.on_snapshot is not None:
                self.on_snapshot(t_ns, card_ns)
        if self.stuck_done is not None:
            done = self.stuck_done << 31
        words[_CTRL] = value & 1 | done
        return True

    def load(self, t_ns: int, card_ns: int) -> None:
        """Set the time."""
        if not self.counter.frozen:
            self.counter.load(t_ns, card_ns)
            self._on_change(t_ns, True)

    def second_begins(self, t_ns: int) -> bool:
        """Apply the offset that waits for the second to roll over; True when there was one."""
        offset_ns, self._offset_ns = self._offset_ns, 0
        if offset_ns:
            self.counter.jump(t_ns, offset_ns)
            self._on_change(t_ns, True)
        return bool(offset_ns)

    def freeze(self, t_ns: int) -> None:
        """A fault: the time stands still."""
        self.counter.freeze(t_ns)
        self._on_change(t_ns, False)

    def thaw(self, t_ns: int) -> None:
        """It goes on."""
        self.counter.thaw(t_ns)
        self._on_change(t_ns, True)


class ArtTimestamper(RegisterBlock):
    """Shows the stamp of the newest edge; one that comes while the interrupt is enabled also sets ``intr``.

    Any write takes that away. The kernel's driver treats the block like an FB one: words that this one lacks
    read 0, and writes to them are dropped.
    """

    rising = True
    """The block has no polarity."""
    enabled = True
    """It always stamps; ``enable`` is for the interrupt."""

    def __init__(self, interrupt: Callable[[], None]) -> None:
        super().__init__(TIMESTAMPER_ART)
        self._interrupt = interrupt

    @property
    def width_ns(self) -> int:
        """Width of the pulse that the block makes, where it makes one."""
        return self.words[_TS["pulse_width"]]

    def read(self, reg: int, t_ns: int) -> int | None:
        """A register."""
        value = self.words.get(reg)
        return 0 if value is None and _answers(reg) else value

    def write(self, reg: int, value: int, t_ns: int) -> bool:
        """A register."""
        return super().write(reg, value, t_ns) or _answers(reg)

    def edge(self, stamp_ns: int, count: int = 1) -> None:
        """An edge came when the clock read ``stamp_ns``."""
        words = self.words
        seconds, ns = divmod(stamp_ns, NS_PER_S)
        words[_TS["time_ns"]], words[_TS["time_sec"]] = ns, seconds & 0xFFFF_FFFF
        if words[_TS["enable"]] & 1 and not words[_TS["intr"]]:
            words[_TS["intr"]] = 1
            self._interrupt()


def _answers(reg: int) -> bool:
    return not reg & 3 and reg <= _TS["pulse_width"]


class BoardConfig(RegisterBlock):
    """Bit 0 gives the oscillator's serial line to the UART; without it the bridge has it."""

    def __init__(self) -> None:
        super().__init__(ART_BOARD_CONFIG)

    @property
    def serial(self) -> bool:
        """The UART has the line."""
        return bool(self.words[0] & 1)


class SwitchedLine:
    """The oscillator's line at the UART: silent while the bridge has it."""

    def __init__(self, device: SerialDevice, config: BoardConfig) -> None:
        self._device = device
        self._config = config

    @property
    def baud(self) -> int | None:
        """That of the device."""
        return getattr(self._device, "baud", None)

    def receive(self, data: bytes, t_ns: int) -> None:
        """Bytes from the host; lost while the bridge has the line."""
        if self._config.serial:
            self._device.receive(data, t_ns)

    def transmit(self, t_ns: int) -> bytes:
        """Bytes from the device."""
        spoken = self._device.transmit(t_ns)
        return spoken if self._config.serial else b""


def identity_block() -> RegisterBlock:
    """Chip id, board revision and oscillator id."""
    return RegisterBlock(
        ART_IDBOARD,
        {
            "chip_id_high": CHIP_ID >> 32,
            "chip_id_low": CHIP_ID & 0xFFFF_FFFF,
            "board_revision": BOARD_REVISION,
            "oscillator_id": OSCILLATOR_ID,
        },
    )
