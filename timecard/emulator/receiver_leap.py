"""Leap seconds of the emulated world, as an emulated receiver tells them."""

from __future__ import annotations

import time

from timecard.timescale import TAI_MINUS_UTC_2017_S


class LeapSchedule:
    """TAI - UTC, and at most one change to come."""

    def __init__(self, tai_minus_utc_s: int = TAI_MINUS_UTC_2017_S) -> None:
        self._before_s = tai_minus_utc_s
        self._change = 0
        self._at_tai_s = 0

    def announce(self, change: int, at_tai_s: int) -> None:
        """A second inserted (+1) as TAI second ``at_tai_s``, or one left out (-1) that would be it."""
        if change not in (-1, 1):
            raise ValueError(f"leap second change={change}: must be +1 or -1")
        self._change, self._at_tai_s = change, at_tai_s

    def tai_minus_utc_s(self, tai_s: int) -> int:
        """In force at ``tai_s``; an inserted second counts as before."""
        after = self._change and tai_s >= self._at_tai_s + (self._change > 0)
        return self._before_s + (self._change if after else 0)

    def coming(self, tai_s: int) -> tuple[int, int]:
        """(change, seconds until it takes effect); (0, 0) when none is announced or it is past."""
        left_s = self._at_tai_s + (self._change > 0) - tai_s
        return (self._change, left_s) if self._change and left_s >= 0 else (0, 0)

    def utc(self, tai_s: int) -> tuple[int, int, int, int, int, int]:
        """Year, month, day, hour, minute, second; second 60 exists."""
        inserted = self._change > 0 and tai_s == self._at_tai_s
        fields = time.gmtime(tai_s - self.tai_minus_utc_s(tai_s) - inserted)
        return (*fields[:5], fields[5] + inserted)
