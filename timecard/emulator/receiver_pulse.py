"""The time pulse of an emulated receiver: what CFG-TP makes of the pulse that physics gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from timecard.emulator.gnss_noise import GnssPulse

FREE_RUNNING_NS_PER_S: Final = 250.0
"""The receiver's crystal, where unlocked pulses are allowed."""


class PulsePhysics(Protocol):
    """When the pulse of a whole TAI second comes."""

    def edge(self, second_tai_s: int) -> GnssPulse:
        """Late by ``error_ns``."""
        ...


class TimePulse:
    """Output 1. Polarity 0 marks the second with the falling edge, so that the rising one ends the pulse."""

    def __init__(self, value: Callable[[str], int]) -> None:
        """``value`` gives the integer value of a key."""
        enabled = bool(value("CFG_TP_TP1_ENA"))
        locked_length = "CFG_TP_LEN_LOCK_TP1" if value("CFG_TP_USE_LOCKED_TP1") else "CFG_TP_LEN_TP1"
        self._when_locked = enabled and value(locked_length) > 0
        self._when_unlocked = enabled and value("CFG_TP_LEN_TP1") > 0
        self._late_ns = float(value("CFG_TP_USER_DELAY_TP1") - value("CFG_TP_ANT_CABLEDELAY"))
        if not value("CFG_TP_POL_TP1"):
            self._late_ns += 1e3 * value(locked_length)

    def shape(self, pulse: GnssPulse, unlocked_s: int) -> GnssPulse:
        """The pulse at the pin, ``unlocked_s`` seconds after the lock was lost; 0 while locked."""
        wanted = self._when_unlocked if unlocked_s else self._when_locked
        late_ns = self._late_ns + FREE_RUNNING_NS_PER_S * unlocked_s
        return pulse._replace(error_ns=pulse.error_ns + late_ns, present=pulse.present and wanted)
