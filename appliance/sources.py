"""Sources: what the card says, as events. A failing source becomes a ``SourceFault`` and is tried again.

``SourceRunner.step`` is one poll and never raises a device's error. Live, a thread repeats it; in virtual
time the loop calls it. The events are the same.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from appliance.events import (
    Event,
    GnssEdge,
    OscillatorReport,
    OwnEdge,
    SourceFault,
    SourceRestored,
    SteeringApplied,
)
from timecard.errors import TimeCardError
from timecard.protocols import AtomicClock, EdgeSource, GnssReceiver, WakingEdgeSource
from timecard.timebase import Timebase
from timecard.timescale import NS_PER_S

WAKE_LIMIT_S: Final = 0.2
"""How long an edge stays unseen when its interrupt was lost, and how long a thread takes to end."""
BACKOFF_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0)


class SourceRunner:
    """One source: poll it, report its faults once, restart it with growing pauses."""

    def __init__(
        self,
        name: str,
        poll: Callable[[], Iterable[Event]],
        timebase: Timebase,
        *,
        period_s: float,
        start: Callable[[], None] | None = None,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        """``wait`` returns when there may be something to poll, at latest after the given seconds."""
        self.name = name
        self.period_s = period_s
        self.wait = wait
        self._poll = poll
        self._start = start
        self._timebase = timebase
        self._failures = 0
        self._reported = False
        self._started = start is None
        self._retry_ns = 0
        self.last_error: str | None = None

    def step(self) -> Sequence[Event]:
        """One poll."""
        now_ns = self._timebase.mono_ns()
        if now_ns < self._retry_ns:
            return ()
        try:
            if not self._started and self._start is not None:
                self._start()
                self._started = True
            events = list(self._poll())
        except TimeCardError as error:
            return self._failed(error)
        if self._failures:
            self._failures = 0
            self._reported = False
            self.last_error = None
            events.insert(0, SourceRestored(source=self.name, mono_ns=now_ns))
        return events

    def _failed(self, error: TimeCardError) -> Sequence[Event]:
        now_ns = self._timebase.mono_ns()
        pause_s = BACKOFF_S[min(self._failures, len(BACKOFF_S) - 1)]
        self._failures += 1
        self._retry_ns = now_ns + round(pause_s * NS_PER_S)
        self._started = self._start is None
        self.last_error = str(error)
        if self._reported:
            return ()
        self._reported = True
        return (SourceFault(source=self.name, reason=str(error), mono_ns=now_ns),)


def gnss_runner(receiver: GnssReceiver, timebase: Timebase) -> SourceRunner:
    """The receiver's words. One that has restarted has lost its settings and is set up again."""
    restarts = 0

    def poll() -> Iterable[Event]:
        nonlocal restarts
        events = receiver.poll(0.0)
        if receiver.restarts != restarts:
            receiver.start()
            restarts = receiver.restarts
        return events

    return SourceRunner("gnss", poll, timebase, period_s=0.05, start=receiver.start)


def edge_runner(
    name: str, timestamper: EdgeSource, event: type[GnssEdge] | type[OwnEdge], timebase: Timebase
) -> SourceRunner:
    """A timestamper's edges. One that can wake us is waited for, the others are polled."""

    def poll() -> Iterable[Event]:
        stamp = timestamper.poll()
        return () if stamp is None else (event(stamp=stamp),)

    if isinstance(timestamper, WakingEdgeSource) and timestamper.wakes:
        return SourceRunner(name, poll, timebase, period_s=WAKE_LIMIT_S, wait=timestamper.wait)
    return SourceRunner(name, poll, timebase, period_s=0.02)


class OscillatorSource:
    """The oscillator module: telemetry out, steering in, one thread on its serial line.

    The newest wanted steering replaces an older one that was not yet sent.
    """

    def __init__(self, oscillator: AtomicClock, timebase: Timebase, *, on_start: Callable[[], None]) -> None:
        self._oscillator = oscillator
        self._timebase = timebase
        self._wanted_ppb: float | None = None
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.runner = SourceRunner("oscillator", self._poll, timebase, period_s=1.0, start=on_start)
        self.wake = threading.Event()

    def steer(self, frequency_ppb: float) -> None:
        """Ask for a steering; it is sent at the next poll, which is woken."""
        self._wanted_ppb = frequency_ppb
        self.wake.set()

    def submit(self, job: Callable[[], None]) -> None:
        """Run ``job`` on the source's thread before the next telemetry."""
        self._jobs.put(job)
        self.wake.set()

    def _poll(self) -> Iterable[Event]:
        events: list[Event] = []
        while not self._jobs.empty():
            self._jobs.get_nowait()()
        wanted_ppb = self._wanted_ppb
        if wanted_ppb is not None:
            in_force_ppb = self._oscillator.set_frequency_ppb(wanted_ppb)
            if self._wanted_ppb == wanted_ppb:
                self._wanted_ppb = None
            events.append(SteeringApplied(frequency_ppb=in_force_ppb, mono_ns=self._timebase.mono_ns()))
        events.append(OscillatorReport(status=self._oscillator.status()))
        return events


class SourceThread(threading.Thread):
    """Repeats ``runner.step`` and queues what it says.

    When the queue is full the oldest sample goes: a late sample is worth less than a new one. An exception
    that is not a device's error is a bug: it is handed to ``on_crash`` and ends the process.
    """

    def __init__(
        self,
        runner: SourceRunner,
        events: queue.Queue[Event],
        on_crash: Callable[[BaseException], None],
        wake: threading.Event | None = None,
    ) -> None:
        super().__init__(name=f"source-{runner.name}", daemon=True)
        self._runner = runner
        self._events = events
        self._on_crash = on_crash
        self._wake = wake or threading.Event()
        self._stopping = False
        self.dropped = 0

    def run(self) -> None:
        """Thread body."""
        try:
            while not self._stopping:
                for event in self._runner.step():
                    self._put(event)
                self._pause()
        except Exception as error:  # noqa: BLE001 - the one place where a bug of a source thread leaves it
            self._on_crash(error)

    def _pause(self) -> None:
        runner = self._runner
        if runner.wait is not None and runner.last_error is None:
            # A device that goes away while it is waited for is seen by the next poll, which reports it.
            with contextlib.suppress(TimeCardError):
                runner.wait(runner.period_s)
                return
        self._wake.wait(runner.period_s)
        self._wake.clear()

    def stop(self) -> None:
        """Ask the thread to end."""
        self._stopping = True
        self._wake.set()

    def _put(self, event: Event) -> None:
        while True:
            try:
                self._events.put_nowait(event)
                return
            except queue.Full:
                try:
                    self._events.get_nowait()
                    self.dropped += 1
                except queue.Empty:
                    continue
