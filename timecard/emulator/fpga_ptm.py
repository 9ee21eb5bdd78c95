"""LitePCIe's PTM requester, answered by a root port whose time is the host's CLOCK_MONOTONIC_RAW.

A dialogue is over when the trigger's write returns. Way and hold time are those of a short link; the answer
carries the hold time of the previous dialogue, as on the wire.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from timecard.boards.registers import PTM
from timecard.emulator.fpga_block import RegisterBlock
from timecard.emulator.fpga_counter import Counter

WAY_NS: Final = 36
HOLD_NS: Final = 96
STAMP_NS: Final = 8
"""125 MHz."""
_SAMPLES: Final = 8
_GOOD_NS: Final = 40
_AT: Final = {row.name: row.offset for row in PTM}


class Sample(Protocol):
    """True TAI and the host's CLOCK_MONOTONIC_RAW at one instant."""

    @property
    def true_tai_ns(self) -> int:
        """True TAI."""
        ...

    @property
    def mono_raw_ns(self) -> int:
        """The PTM master's time."""
        ...

    @property
    def half_width_ns(self) -> int:
        """How well the two belong together."""
        ...


class World(Protocol):
    """Where true TAI comes from."""

    def true_tai_ns(self) -> int:
        """True TAI now."""
        ...

    def mono_raw_ns(self) -> int:
        """CLOCK_MONOTONIC_RAW at the instant of the latest ``true_tai_ns``."""
        ...

    def sample(self) -> Sample:
        """True TAI and CLOCK_MONOTONIC_RAW at one instant."""
        ...


class PtmBlock(RegisterBlock):
    """The requester's registers."""

    def __init__(
        self,
        counter: Counter,
        sample: Callable[[], Sample],
        catch_up: Callable[[int], None],
        on_dialogue: Callable[[int, int, int], None] | None = None,
    ) -> None:
        """``catch_up`` lets the card process everything up to an instant before it is stamped.

        ``on_dialogue`` is told of every one: true TAI, the master's time and the card's, at one instant.
        """
        super().__init__(PTM)
        self.wrong_ns = 0
        """By a fault: the master's time comes out so much too late."""
        self._on_dialogue = on_dialogue
        self._counter = counter
        self._sample = sample
        self._catch_up = catch_up
        # Double words that the table names once.
        for name in ("master_time", "t1_time", "t4_time"):
            self.words[_AT[name] + 4] = 0

    def write(self, reg: int, value: int, t_ns: int) -> bool:
        """A register; TRIGGER clears itself."""
        if reg != _AT["ptm_ctrl"]:
            return super().write(reg, value, t_ns)
        self.words[reg] = value & 1
        if value & 3 == 3:
            self._dialogue()
        return True

    def _dialogue(self) -> None:
        best = self._sample()
        for _ in range(_SAMPLES - 1):
            if best.half_width_ns <= _GOOD_NS:
                break
            best = min(best, self._sample(), key=lambda sample: sample.half_width_ns)
        t_ns = best.true_tai_ns
        self._catch_up(t_ns)
        stamp = self._counter.stamp_ns
        t1_ns = stamp(t_ns, 0.0, STAMP_NS)
        if self._on_dialogue is not None:
            self._on_dialogue(t_ns, best.mono_raw_ns, t1_ns)
        self._put("t1_time", t1_ns)
        self._put("t4_time", stamp(t_ns, -2.0 * WAY_NS - HOLD_NS, STAMP_NS))
        self._put("master_time", best.mono_raw_ns + WAY_NS + self.wrong_ns)
        self.words[_AT["link_delay"]] = HOLD_NS
        self.words[_AT["ptm_status"]] = 1

    def _put(self, name: str, value: int) -> None:
        self.words[_AT[name]], self.words[_AT[name] + 4] = value >> 32 & 0xFFFF_FFFF, value & 0xFFFF_FFFF
