"""Where true time comes from: the host's clock plus a script, or virtual time that moves when told.

*True TAI* is what a perfect clock would show. It is deliberately not the host's clock: with a scripted offset
and rate, a server that ignores the card and serves the host's time is visibly wrong.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from timecard.timescale import NS_PER_S, TAI_MINUS_UTC_2017_S

SLEW_PPM: Final = 500.0
"""A running world takes a new offset at this rate, so that its time never jumps."""
MAX_SLEWED_NS: Final = 100_000_000
"""Larger offset changes would slew for minutes; they belong to the start of an emulator."""
MAX_RATE_PPB: Final = 500_000.0
_STEP_NS: Final = 1_000_000
_FOLLOWED_PPM: Final = 1000
_GOOD_BRACKET_NS: Final = 2_000
_HOPELESS_NS: Final = 1 << 62


class WorldSample(NamedTuple):
    """True TAI and the host's raw monotonic clock at one instant, to within ``half_width_ns``."""

    true_tai_ns: int
    mono_raw_ns: int
    half_width_ns: int


class WorldTime(Protocol):
    """Where true TAI comes from. One thread at a time may call it."""

    def true_tai_ns(self) -> int:
        """True TAI now; never decreases."""
        ...

    def mono_raw_ns(self) -> int:
        """CLOCK_MONOTONIC_RAW at the instant of the latest ``true_tai_ns`` (the PTM master's time)."""
        ...

    def sample(self) -> WorldSample:
        """Both at one instant."""
        ...

    def host_offset_ns(self) -> int:
        """The host's clock (as TAI) minus true TAI, at the latest ``true_tai_ns``."""
        ...

    @property
    def rate_ppb(self) -> float:
        """How fast true TAI gains on the host's clock."""
        ...

    def set_offset_ns(self, offset_ns: int) -> float:
        """Make true TAI ``offset_ns`` ahead of the host's clock; returns the seconds that this takes."""
        ...

    def set_rate_ppb(self, rate_ppb: float) -> None:
        """Set the rate from now on."""
        ...


def _host_clocks() -> tuple[int, int, int]:
    """CLOCK_REALTIME, CLOCK_MONOTONIC_RAW in the middle of reading it, and half the width of that reading."""
    best = (0, 0, _HOPELESS_NS)
    for _ in range(4):
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
        real = time.clock_gettime_ns(time.CLOCK_REALTIME)
        after = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
        half = (after - before + 1) // 2
        if half < best[2]:
            best = (real, (before + after) // 2, half)
        if half <= _GOOD_BRACKET_NS:
            break
    return best


class HostWorldTime:
    """True TAI = CLOCK_REALTIME as TAI + offset + rate times the time since the start.

    Slow corrections of the host's clock are followed. A step of the host's clock is not a step of true time:
    it goes into the offset. A new offset is reached by slewing and a new rate counts from now on, so that
    true time is continuous and always moves forward.
    """

    def __init__(
        self,
        offset_ns: int = 0,
        rate_ppb: float = 0.0,
        clocks: Callable[[], tuple[int, int, int]] = _host_clocks,
    ) -> None:
        """``clocks`` returns realtime ns, raw monotonic ns and half the read bracket; tests replace it."""
        _check_rate(rate_ppb)
        self._clocks = clocks
        self._rate_ppb = rate_ppb
        self._real_ns, self._raw_ns, _ = clocks()
        self._offset_ns = float(offset_ns)
        self._slew_left_ns = 0.0
        self._last_true_ns = 0

    def sample(self) -> WorldSample:
        """Both at one instant."""
        real, raw, half = self._clocks()
        elapsed = max(0, raw - self._raw_ns)
        step = real - self._real_ns - elapsed
        if abs(step) > _STEP_NS + elapsed * _FOLLOWED_PPM // 1_000_000:
            self._offset_ns -= step
        self._offset_ns += elapsed * self._rate_ppb * 1e-9
        if self._slew_left_ns:
            room = elapsed * SLEW_PPM * 1e-6
            slewed = max(-room, min(room, self._slew_left_ns))
            self._offset_ns += slewed
            self._slew_left_ns -= slewed
        self._real_ns, self._raw_ns = real, raw
        true = real + TAI_MINUS_UTC_2017_S * NS_PER_S + round(self._offset_ns)
        self._last_true_ns = max(self._last_true_ns, true)
        return WorldSample(self._last_true_ns, raw, half)

    def true_tai_ns(self) -> int:
        """True TAI now; never decreases."""
        return self.sample().true_tai_ns

    def mono_raw_ns(self) -> int:
        """CLOCK_MONOTONIC_RAW at the instant of the latest ``true_tai_ns``."""
        return self._raw_ns

    def host_offset_ns(self) -> int:
        """The host's clock (as TAI) minus true TAI at the latest ``true_tai_ns``."""
        return -round(self._offset_ns)

    @property
    def rate_ppb(self) -> float:
        """How fast the scripted offset grows."""
        return self._rate_ppb

    def set_offset_ns(self, offset_ns: int) -> float:
        """Slew to a new offset of true TAI against the host's clock; returns the seconds that this takes."""
        self.sample()
        change = offset_ns - self._offset_ns
        if abs(change) > MAX_SLEWED_NS:
            raise ValueError(
                f"offset_ns={offset_ns}: {change:+.0f} ns from the present offset, a running world slews at "
                f"most {MAX_SLEWED_NS} ns; start the emulator with this offset instead"
            )
        self._slew_left_ns = change
        return abs(change) / (SLEW_PPM * 1e3)

    def set_rate_ppb(self, rate_ppb: float) -> None:
        """Let the offset grow at another rate from now on."""
        _check_rate(rate_ppb)
        self.sample()
        self._rate_ppb = rate_ppb


class VirtualTime:
    """True time that moves only in ``sleep_s``: a ``WorldTime`` and a ``Timebase`` for a single thread.

    ``mono_ns`` starts at ``mono_start_ns`` and counts what was slept; true TAI runs ``rate_ppb`` faster than
    it.
    """

    def __init__(
        self,
        start_tai_ns: int,
        offset_ns: int = 0,
        rate_ppb: float = 0.0,
        mono_start_ns: int = 1_000 * NS_PER_S,
    ) -> None:
        """``offset_ns`` is true TAI minus the emulated host's clock at the start."""
        _check_rate(rate_ppb)
        self._true_ns = start_tai_ns
        self._mono_ns = mono_start_ns
        self._host_minus_mono_ns = start_tai_ns - offset_ns - mono_start_ns
        self._rate_ppb = rate_ppb
        self._carry_ns = 0.0
        self._order = itertools.count()
        self._due: list[tuple[int, int, Callable[[], None]]] = []

    def sample(self) -> WorldSample:
        """Both at one instant, exactly."""
        return WorldSample(self._true_ns, self._mono_ns, 0)

    def true_tai_ns(self) -> int:
        """True TAI now."""
        return self._true_ns

    def mono_raw_ns(self) -> int:
        """The emulated host's raw monotonic clock."""
        return self._mono_ns

    def mono_ns(self) -> int:
        """The same, as a ``Timebase``."""
        return self._mono_ns

    def host_offset_ns(self) -> int:
        """The emulated host's clock (as TAI) minus true TAI."""
        return self._mono_ns + self._host_minus_mono_ns - self._true_ns

    def sleep_s(self, seconds: float) -> None:
        """Let ``seconds`` of the host's clock pass, running what was scheduled on the way."""
        end_mono = self._mono_ns + max(0, round(seconds * 1e9))
        while self._due:
            due_true = self._due[0][0]
            due_mono = self._mono_ns + round((due_true - self._true_ns) / (1.0 + self._rate_ppb * 1e-9))
            if due_mono > end_mono:
                break
            instant = max(due_true, self._true_ns)
            self._move(max(due_mono, self._mono_ns))
            # Whole ns of both clocks do not match: make true time exact here and settle the rest later.
            self._carry_ns += self._true_ns - instant
            self._true_ns = instant
            heapq.heappop(self._due)[2]()
        self._move(end_mono)

    def call_at(self, true_tai_ns: int, action: Callable[[], None]) -> None:
        """Run ``action`` when true TAI reaches an instant; at the next ``sleep_s`` if that is past."""
        heapq.heappush(self._due, (true_tai_ns, next(self._order), action))

    @property
    def rate_ppb(self) -> float:
        """How much faster than the host's clock true TAI runs."""
        return self._rate_ppb

    def set_offset_ns(self, offset_ns: int) -> float:
        """Step the emulated host's clock so that true TAI is ``offset_ns`` ahead of it; takes no time."""
        self._host_minus_mono_ns = self._true_ns - offset_ns - self._mono_ns
        return 0.0

    def set_rate_ppb(self, rate_ppb: float) -> None:
        """Run at another rate from now on."""
        _check_rate(rate_ppb)
        self._rate_ppb = rate_ppb

    def _move(self, mono_ns: int) -> None:
        elapsed = mono_ns - self._mono_ns
        extra = elapsed * self._rate_ppb * 1e-9 + self._carry_ns
        whole = round(extra)
        self._carry_ns = extra - whole
        self._mono_ns = mono_ns
        self._true_ns += elapsed + whole


def _check_rate(rate_ppb: float) -> None:
    if not abs(rate_ppb) <= MAX_RATE_PPB:
        raise ValueError(f"rate_ppb={rate_ppb}: must be between -{MAX_RATE_PPB:.0f} and {MAX_RATE_PPB:.0f}")
