"""The adjustable clock's registers around the counter.

Behaviour follows the published core (``Ips/AdjustableClock``): adjustments pass only from the selected
source; an offset of at least interval/20 ns is a jump; drift from the registers replaces, drift from the
servo adds up; IN_SYNC needs four corrections in a row within the threshold; IN_HOLDOVER comes on top after
three seconds of the clock without any.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from timecard.boards.registers import CLOCK, SOURCE_PPS, SOURCE_REGS, signed_magnitude, to_signed_magnitude
from timecard.emulator.fpga_block import RegisterBlock
from timecard.emulator.fpga_counter import TICK_NS, Counter, Oscillator
from timecard.timescale import NS_PER_S

HOLDOVER_S: Final = 3
SERVO_SOURCES: Final = frozenset({1, SOURCE_PPS})
"""ToD and PPS: the time-of-day slave sets the seconds, the PPS slave does the rest."""

_AT: Final = {row.name: row.offset for row in CLOCK}
_CTRL, _STATUS, _SELECT = _AT["ctrl"], _AT["status"], _AT["select"]
_CTRL_BITS: Final = 0xC000_010F
_COMMANDS: Final = 0x4000_010E
_FRACTIONS: Final = frozenset(
    {_AT["drift_fraction"], _AT["status_offset_fraction"], _AT["status_drift_fraction"]}
)


class ClockCore(RegisterBlock):
    """The clock. ``on_change(t_ns, jumped)`` is called when its future is no longer what it was."""

    def __init__(
        self,
        oscillator: Oscillator,
        t_ns: int,
        card_ns: int,
        version: tuple[int, int, int],
        on_change: Callable[[int, bool], None],
    ) -> None:
        major, minor, build = version
        super().__init__(
            CLOCK,
            {
                "ctrl": 1,
                "select": SOURCE_PPS << 16 | SOURCE_PPS,
                "version": major << 24 | minor << 16 | build,
            },
        )
        self._has_fraction = major >= 2
        self.counter = Counter(oscillator, t_ns, card_ns)
        self.on_snapshot: Callable[[int, int], None] | None = None
        """Told of every snapshot: true TAI and what was latched."""
        self.adjustable = True
        """False, by a fault: time, offset and drift from the registers are ignored."""
        self.stuck_done: bool | None = None
        """By a fault: the level that READ_TIME_DONE has for ever."""
        self._on_change = on_change
        self._good_offsets = 0
        """The last four corrections as bits, 1 for one within the threshold."""
        self._adjusted_s = card_ns // NS_PER_S
        self._drift_words = 0
        """Drift in force, in 1/65536 ns per ``drift interval``, signed."""
        self.servo_factors = self._servo_words()

    @property
    def source(self) -> int:
        """The selected source."""
        return self.words[_SELECT] & 0xFF

    def read(self, reg: int, t_ns: int) -> int | None:
        """A register."""
        if reg == _STATUS:
            return self._status(t_ns)
        if reg in _FRACTIONS and not self._has_fraction:
            return None
        return self.words.get(reg)

    def write(self, reg: int, value: int, t_ns: int) -> bool:
        """A register; ``ctrl`` carries the commands."""
        if reg == _CTRL:
            self._command(value & _CTRL_BITS, t_ns)
        elif reg == _SELECT:
            # SELECTED mirrors SELECT, so that a driver that restores either half restores the right one.
            self.words[_SELECT] = (value & 0xFF) << 16 | value & 0xFF
        elif reg in _FRACTIONS and not self._has_fraction:
            return False
        else:
            return super().write(reg, value, t_ns)
        return True

    def adjust_offset(self, t_ns: int, offset_ns: int, interval_ns: int) -> None:
        """A correction from the selected source."""
        words = self.words
        words[_AT["status_offset"]] = to_signed_magnitude(offset_ns)
        self._note_correction(t_ns, abs(offset_ns) <= words[_AT["in_sync_threshold"]])
        if offset_ns and abs(offset_ns) >= interval_ns // TICK_NS:
            self.counter.jump(t_ns, offset_ns)
            self._jumped(t_ns)
        elif offset_ns:
            self.counter.slew(t_ns, offset_ns, interval_ns // TICK_NS * TICK_NS)
            self._on_change(t_ns, False)

    def add_drift(self, t_ns: int, drift_ns: int) -> None:
        """A correction of the servo, in ns per second."""
        limit = (NS_PER_S - 1) * 65536
        self._set_drift(t_ns, max(-limit, min(limit, self._drift_words + drift_ns * 65536)), NS_PER_S)

    def load(self, t_ns: int, card_ns: int) -> None:
        """Set the time."""
        self._note_correction(t_ns, good=False)
        self.counter.load(t_ns, card_ns)
        self._adjusted_s = card_ns // NS_PER_S
        self._jumped(t_ns)

    def freeze(self, t_ns: int) -> None:
        """A fault: the time stands still."""
        self.counter.freeze(t_ns)
        self._on_change(t_ns, False)

    def thaw(self, t_ns: int) -> None:
        """It goes on."""
        self.counter.thaw(t_ns)
        self._jumped(t_ns)

    def second_begins(self, t_ns: int) -> bool:
        """The clock's seconds roll over; True when that changed its time (on other boards)."""
        return False

    # --- internals ---

    def _command(self, value: int, t_ns: int) -> None:
        words, counter = self.words, self.counter
        if not value & 1:
            if counter.running:
                counter.stop(t_ns)
                self._good_offsets = self._drift_words = 0
                self._jumped(t_ns)
        elif not counter.running and not counter.frozen:
            counter.load(t_ns, 0)
            self._adjusted_s = 0
            self._jumped(t_ns)
        if counter.running and self.source == SOURCE_REGS and self.adjustable:
            if value & 2:
                ns, seconds = words[_AT["adjust_ns"]], words[_AT["adjust_sec"]]
                self.load(t_ns, seconds * NS_PER_S + ns)
            if value & 4:
                offset_ns = signed_magnitude(words[_AT["offset_ns"]], 30)
                self.adjust_offset(t_ns, offset_ns, words[_AT["offset_interval"]])
            if value & 8:
                self._drift_from_registers(t_ns)
        if value & 0x100:
            self.servo_factors = self._servo_words()
        done = value & 0x8000_0000
        if value & 0x4000_0000:
            card_ns = counter.snapshot_ns(t_ns)
            words[_AT["time_sec"]], words[_AT["time_ns"]] = divmod(card_ns, NS_PER_S)
            words[_AT["time_sec"]] &= 0xFFFF_FFFF
            done = 0x8000_0000
            if self.on_snapshot is not None:
                self.on_snapshot(t_ns, card_ns)
        if self.stuck_done is not None:
            done = self.stuck_done << 31
        words[_CTRL] = value & ~_COMMANDS & 0x7FFF_FFFF | done

    def _drift_from_registers(self, t_ns: int) -> None:
        words = self.words
        drift = signed_magnitude(words[_AT["drift_ns"]], 30) * 65536
        if self._has_fraction:
            fraction = words[_AT["drift_fraction"]] & 0xFFFF
            drift += -fraction if words[_AT["drift_ns"]] & 0x8000_0000 else fraction
        self._set_drift(t_ns, drift, words[_AT["drift_interval"]])

    def _set_drift(self, t_ns: int, drift: int, interval_ns: int) -> None:
        self._drift_words = drift
        whole, fraction = divmod(abs(drift), 65536)
        self.words[_AT["status_drift"]] = to_signed_magnitude(whole if drift >= 0 else -whole)
        self.words[_AT["status_drift_fraction"]] = fraction
        ticks = interval_ns // TICK_NS
        # At most 1 ns per tick.
        per_tick = max(-1.0, min(1.0, drift / 65536 / ticks)) if ticks else 0.0
        self.counter.set_drift(t_ns, per_tick / TICK_NS)
        self._on_change(t_ns, False)

    def _note_correction(self, t_ns: int, good: bool) -> None:
        self._good_offsets = (self._good_offsets << 1 | good) & 0xF
        self._adjusted_s = self.counter.card_ns(t_ns) // NS_PER_S

    def _jumped(self, t_ns: int) -> None:
        self._adjusted_s = self.counter.card_ns(t_ns) // NS_PER_S
        self._on_change(t_ns, True)

    def _status(self, t_ns: int) -> int:
        if self._good_offsets != 0xF:
            return 0
        silent_s = self.counter.card_ns(t_ns) // NS_PER_S - self._adjusted_s
        return 3 if silent_s >= HOLDOVER_S else 1

    def _servo_words(self) -> tuple[int, int, int, int]:
        p, i = self.words[_AT["servo_offset_p"]], self.words[_AT["servo_offset_i"]]
        return p, i, self.words[_AT["servo_drift_p"]], self.words[_AT["servo_drift_i"]]
