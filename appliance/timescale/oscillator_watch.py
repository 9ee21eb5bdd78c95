"""What the oscillator module reports, kept for those who decide: lock, temperature, alarms."""

from __future__ import annotations

from typing import Final

from timecard.timescale import NS_PER_S
from timecard.values import OscillatorStatus

CHANGE_NS: Final = 2_500_000_000
"""A report may be older or younger than the change it tells of: so long any frequency is possible."""
CREDIBLE_MDEGC: Final = (-60_000, 150_000)
SUSPECT_NS: Final = 60 * NS_PER_S
OVERDUE_NS: Final = 2 * NS_PER_S
"""A report comes each second; without one for so long nothing is known of the lock."""


class OscillatorWatch:
    """The newest report and what followed from it."""

    def __init__(self) -> None:
        self.locked: bool | None = None
        """None before the first report, and for a card without a module."""
        self.seen_unlocked = False
        """It has been without lock since the start: it is cold, or was."""
        self.temperature_degc: float | None = None
        self.alarms: dict[str, str] = {}
        self.unseen_s = 0.0
        """For how long it may have been without lock before the newest report said so."""
        self._changed_ns: int | None = None
        self._progress_percent = 0
        self._read_ns: int | None = None
        self._resets: int | None = None

    def note(self, status: OscillatorStatus) -> bool:
        """Take a report; True when lock was lost or found with it, or the part was restarted."""
        before, self.locked = self.locked, status.locked
        before_ns, self._read_ns = self._read_ns, status.read_mono_ns
        millidegrees = status.temperature_mdegc
        if millidegrees is not None and CREDIBLE_MDEGC[0] <= millidegrees <= CREDIBLE_MDEGC[1]:
            self.temperature_degc = millidegrees / 1000.0
        self._progress_percent = status.lock_progress_percent
        self.alarms.clear()
        if status.alarms:
            names = ", ".join(status.alarm_names) or f"0x{status.alarms:x}"
            self.alarms["oscillator-alarm"] = f"oscillator module: {names}"
        if not status.locked:
            self.seen_unlocked = True
            self.alarms["oscillator-unlocked"] = "oscillator module is not locked"
        # A part that was restarted was without lock, even if no report says so.
        restarted = self._resets is not None and status.resets != self._resets
        self._resets = status.resets
        changed = before is not None and (restarted or before is not status.locked)
        self.unseen_s = 0.0
        if changed:
            self._changed_ns = status.read_mono_ns
            if before and before_ns is not None:
                self.unseen_s = (status.read_mono_ns - before_ns) / NS_PER_S
        return changed

    def overdue_s(self, mono_ns: int, limit_ns: int = OVERDUE_NS) -> float | None:
        """Once, when reports have ceased: for how long. Until the next one it counts as not locked.

        ``limit_ns``: so long nothing is said of it; 0 when it was asked and did not answer.
        """
        if not self.locked or self._read_ns is None or mono_ns - self._read_ns <= limit_ns:
            return None
        self.locked = False
        self._changed_ns = mono_ns
        self.alarms["oscillator-unlocked"] = "oscillator module is silent: counts as not locked"
        return (mono_ns - self._read_ns) / NS_PER_S

    @property
    def waiting_for(self) -> str:
        """What a start waits for."""
        if self.locked is None:
            return "the oscillator module's first report"
        return f"the oscillator module to lock ({self._progress_percent} %)"

    def changing(self, mono_ns: int) -> bool:
        """Lock was lost or found just now."""
        return self._changed_within(mono_ns, CHANGE_NS)

    def suspect(self, mono_ns: int) -> bool:
        """It is without lock, or was a minute ago."""
        return self.locked is False or self._changed_within(mono_ns, SUSPECT_NS)

    def _changed_within(self, mono_ns: int, within_ns: int) -> bool:
        return self._changed_ns is not None and mono_ns - self._changed_ns < within_ns
