"""The ART card's clock (phy2sys): it counts the oscillator, can be set and stepped, and has no servo.

There is no source to select and no drift register: the oscillator itself is steered, by its serial port or
by the ``mro50_bridge``. Register semantics: the published FPGA sources of the ART card and the kernel's
``ptp_ocp`` driver.
"""

from __future__ import annotations

from typing import Final

from timecard.boards.registers import to_signed_magnitude
from timecard.errors import ProtocolError, UnsupportedError
from timecard.pcie.snapshot_clock import ADJUST_OFFSET, SnapshotClock
from timecard.timescale import NS_PER_S

_AFTER_SECOND_S: Final = 0.002
_RATE_SLACK_PPB: Final = 200_000.0
"""Host's crystal against the card's: what two comparisons may differ by without any step."""


class ArtClock(SnapshotClock):
    """``CardClock`` of an ART card."""

    TICK_NS = 5
    CTRL_UNUSED = 0x3FFF_FFF8

    @property
    def max_frequency_ppb(self) -> float:
        """0: this clock cannot be steered."""
        return 0.0

    def set_frequency_ppb(self, frequency_ppb: float) -> float:
        """Always ``UnsupportedError``."""
        raise UnsupportedError(
            self.name,
            "steer",
            "this board's clock has no drift register: it is steered through the oscillator",
        )

    def source_name(self) -> str:
        """``NONE``, as the kernel driver says: the clock counts the oscillator and follows nothing."""
        return "NONE"

    def select_source(self, name: str) -> None:
        """Always ``UnsupportedError``."""
        raise UnsupportedError(self.name, "select", "this board's clock has no source to select")

    def _step_by_core(self, delta_ns: int) -> None:
        """Returns when the step has been made, which the core does as its second rolls over: within 1 s."""
        if delta_ns == 0:
            return
        before = self.cross_timestamp()
        self._adjust({"offset_ns": to_signed_magnitude(delta_ns), "offset_interval": NS_PER_S}, ADJUST_OFFSET)
        left_ns = NS_PER_S - self.now_tai_ns() % NS_PER_S
        self._timebase.sleep_s(left_ns / NS_PER_S + _AFTER_SECOND_S)
        after = self.cross_timestamp()
        elapsed_ns = after.mono_raw_ns - before.mono_raw_ns
        stepped_ns = after.card_tai_ns - before.card_tai_ns - elapsed_ns
        slack_ns = before.half_width_ns + after.half_width_ns + elapsed_ns * _RATE_SLACK_PPB * 1e-9
        if abs(stepped_ns - delta_ns) > slack_ns:
            raise ProtocolError(
                self.name,
                "step",
                f"{delta_ns} ns were asked for, the second rolled over with {stepped_ns} ns",
            )
