"""Timestampers through the kernel: EXTTS channels of the PHC.

All channels share one queue per open device (and before 6.7 one queue for all programs), so one reader
takes it and sorts. The kernel tells every edge it got, but not that the hardware latch was still occupied.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from timecard.errors import TimeCardError, UnsupportedError
from timecard.kernel.phc import Phc
from timecard.kernel.ptp_abi import QUEUE
from timecard.timebase import Timebase
from timecard.timescale import NS_PER_S
from timecard.values import EdgeStamp

SLICE_S: Final = 0.05
"""How long a waiter sleeps without looking whether another thread has fetched its event."""

SILENT_NS: Final = 3 * NS_PER_S
"""Without an edge for so long, a channel is switched on once more: to the driver that is nothing new."""


class EdgeQueue:
    """The events of one open PHC, sorted by channel. May be used by several threads."""

    def __init__(self, phc: Phc, timebase: Timebase) -> None:
        self._phc = phc
        self._timebase = timebase
        self._lock = threading.Lock()
        self._waiting: dict[int, deque[tuple[int, int]]] = {}
        self._lossy: set[int] = set()

    def mono_ns(self) -> int:
        """Now, by the clock that events are stamped with."""
        return self._timebase.mono_ns()

    def open(self, channel: int) -> None:
        """Keep events of ``channel`` from now on; older ones are thrown away."""
        with self._lock:
            self._drain()
            self._waiting[channel] = deque(maxlen=QUEUE)
            self._lossy.discard(channel)

    def shut(self, channel: int) -> None:
        """Keep no more."""
        with self._lock:
            self._waiting.pop(channel, None)

    def take(self, channel: int) -> tuple[int, int, bool] | None:
        """Edge time, when it was read, and whether earlier ones were lost."""
        with self._lock:
            mine = self._waiting.get(channel)
            if mine is None:
                return None
            if not mine:
                self._drain()
            if not mine:
                return None
            lost = channel in self._lossy
            self._lossy.discard(channel)
            return (*mine.popleft(), lost)

    def wait(self, channel: int, timeout_s: float) -> bool:
        """Wait for an event of a channel; another thread may fetch it from the device for us."""
        end_ns = self._timebase.mono_ns() + round(timeout_s * NS_PER_S)
        while True:
            with self._lock:
                if self._waiting.get(channel):
                    return True
            left_s = (end_ns - self._timebase.mono_ns()) / NS_PER_S
            if self._phc.wait_events(max(0.0, min(left_s, SLICE_S))):
                with self._lock:
                    self._drain()
            elif left_s <= 0:
                return False

    def _drain(self) -> None:
        events = self._phc.read_events(0.0)
        read_mono_ns = self._timebase.mono_ns()
        # A full queue has dropped its oldest events, of whichever channel.
        overrun = len(events) >= QUEUE - 1
        for event in events:
            waiting = self._waiting.get(event.channel)
            if waiting is None:
                continue
            if overrun or len(waiting) == QUEUE:
                self._lossy.add(event.channel)
            waiting.append((event.time_ns, read_mono_ns))


class KernelTimestamper:
    """``EdgeChannel`` on EXTTS."""

    def __init__(
        self,
        phc: Phc,
        queue: EdgeQueue,
        channel: str,
        stamps_already: Callable[[str], bool] = lambda channel: False,
    ) -> None:
        """``stamps_already``: whether another program has the channel switched on, as far as can be seen."""
        self.channel = channel
        self.name = f"{phc.name} {channel}"
        self._phc = phc
        self._queue = queue
        self._number = int(channel.removeprefix("ts"))
        self._stamps_already = stamps_already
        self._leave_on = False
        self._count = 0
        self._heard_ns = 0
        self.enabled = False

    def enable(self, *, cable_delay_ns: int = 0) -> None:
        """Latch rising edges. The driver leaves the block's delay register alone, so a delay is refused."""
        if cable_delay_ns:
            raise UnsupportedError(
                self.name,
                "enable",
                f"the driver cannot set a cable delay ({cable_delay_ns} ns): compensate it in software",
            )
        if not self.enabled:
            # The kernel counts no users: whoever switches a channel off, does so for all programs.
            self._leave_on = self._stamps_already(self.channel)
        self._queue.open(self._number)
        self._count = 0
        self._heard_ns = self._queue.mono_ns()
        try:
            self._phc.enable_extts(self._number)
        except UnsupportedError as error:
            self._queue.shut(self._number)
            raise UnsupportedError(
                self.name,
                "enable",
                "the driver has no such channel: the image or board lacks the block, or the card was given "
                "too few interrupt messages",
            ) from error
        self.enabled = True

    def disable(self) -> None:
        """Latch no more; a channel that another program had switched on before stays on."""
        self.enabled = False
        self._queue.shut(self._number)
        if not self._leave_on:
            self._phc.disable_extts(self._number)

    def release(self) -> None:
        """Disable it if it was enabled here; never raises, as the card may have gone."""
        if self.enabled:
            with contextlib.suppress(TimeCardError):
                self.disable()

    @property
    def wakes(self) -> bool:
        """``wait`` ends with the interrupt."""
        return self.enabled

    def wait(self, timeout_s: float) -> bool:
        """Wait for an edge; ``DeviceLostError`` when the card goes meanwhile."""
        return self._queue.wait(self._number, timeout_s)

    def poll(self) -> EdgeStamp | None:
        """The next edge; ``event_count`` counts those that the kernel delivered since ``enable``."""
        taken = self._queue.take(self._number)
        if taken is None:
            self._switch_on_again()
            return None
        self._heard_ns = self._queue.mono_ns()
        edge_ns, read_mono_ns, lost = taken
        self._count += 1
        return EdgeStamp(
            channel=self.channel,
            card_tai_ns=edge_ns,
            event_count=self._count,
            dropped=lost,
            read_mono_ns=read_mono_ns,
        )

    def _switch_on_again(self) -> None:
        """A channel that says nothing may have been switched off by another program that ended."""
        now_ns = self._queue.mono_ns()
        if self.enabled and now_ns - self._heard_ns > SILENT_NS:
            self._heard_ns = now_ns
            self._phc.enable_extts(self._number)
