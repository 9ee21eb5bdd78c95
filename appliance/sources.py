"""Sources: what the card says, as events. A failing source becomes a ``SourceFault`` and is tried again.

``SourceRunner.step`` is one poll and never raises a device's error. Live, a thread repeats it; in virtual
time the loop calls it. The events are the same.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

from appliance.event_queue import EventQueue
from appliance.events import (
    Event,
    GnssEdge,
    OscillatorReport,
    OwnEdge,
    SourceFault,
    SourceRestored,
    SteeringApplied,
)
from timecard.card_protocols import Card
from timecard.errors import CardPermissionError, TimeCardError, UnsupportedError
from timecard.gnss.integrity import IntegrityMonitor
from timecard.mac.alarms import OscillatorMonitor
from timecard.mac.wear import WearUsage
from timecard.protocols import AtomicClock, EdgeSource, GnssReceiver, WakingEdgeSource
from timecard.timebase import Timebase
from timecard.timescale import NS_PER_S
from timecard.values import Alarm, LeapInfo, OscillatorStatus

log = logging.getLogger(__name__)

WAKE_LIMIT_S: Final = 0.2
"""How long an edge stays unseen when its interrupt was lost, and how long a thread takes to end."""
USAGE_EVERY_NS: Final = 600 * NS_PER_S
BACKOFF_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
CARD_LEAP: Final = "the FPGA's time of day"
CARD_LEAP_EVERY_NS: Final = 900_000_000
"""Once a second, whatever the rhythm of the polls."""


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
        stop: Callable[[], None] | None = None,
    ) -> None:
        """``wait`` returns when there may be something to poll, at latest after the given seconds.

        ``stop`` gives back what ``start`` took; it is called once, at the end.
        """
        self.name = name
        self.period_s = period_s
        self.wait = wait
        self._poll = poll
        self._start = start
        self._stop = stop
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

    def close(self) -> None:
        """The end: give back what the source holds. Harmless when it never began."""
        if self._stop is not None:
            self._stop()

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


def gnss_runner(
    receiver: GnssReceiver,
    timebase: Timebase,
    monitor: IntegrityMonitor | None = None,
    card_leap_s: Callable[[], int | None] = lambda: None,
) -> SourceRunner:
    """The receiver's words, each after the alarms that it causes.

    A receiver that has restarted has lost its settings and is set up again. ``card_leap_s``: TAI - UTC as the
    card itself heard it (``card_leap_word``), compared once a second with what the receiver tells.
    """
    restarts = 0
    leap_due_ns = 0
    monitor = monitor or IntegrityMonitor()
    waiting: list[Event] = []

    def poll() -> Iterable[Event]:
        nonlocal restarts, leap_due_ns
        events = receiver.poll(0.0)
        now_ns = timebase.mono_ns()
        # What the receiver has just said, the FPGA has heard a moment ago: asked before it is compared.
        if now_ns >= leap_due_ns or any(isinstance(event, LeapInfo) for event in events):
            leap_due_ns = now_ns + CARD_LEAP_EVERY_NS
            monitor.note_peer_leap(CARD_LEAP, card_leap_s(), now_ns)
        for event in events:
            waiting.extend(monitor.feed(event, event.read_mono_ns))
            waiting.append(event)
        waiting.extend(monitor.note_restarts(receiver.restarts, timebase.mono_ns()))
        if receiver.restarts != restarts:
            receiver.start()  # when it raises, what was heard so far is said later
            restarts = receiver.restarts
        else:
            waiting.extend(monitor.look(timebase.mono_ns()))
        said = list(waiting)
        waiting.clear()
        return said

    return SourceRunner("gnss", poll, timebase, period_s=0.05, start=receiver.start)


def card_leap_word(card: Card) -> Callable[[], int | None]:
    """TAI - UTC as the FPGA's time-of-day slave holds it; None while that is not valid, or not to be read.

    A card without such a block, and a driver that does not show it, are asked once. What else fails shows
    in the sources that read the same card.
    """
    asked = True

    def read() -> int | None:
        nonlocal asked
        if not asked:
            return None
        try:
            return card.time_of_day().tai_minus_utc_s
        except (UnsupportedError, CardPermissionError) as error:
            log.info("leap seconds are not compared with the card's reason=%s", error)
            asked = False
        except TimeCardError:
            pass
        return None

    return read


def edge_runner(
    name: str,
    timestamper: EdgeSource,
    event: type[GnssEdge] | type[OwnEdge],
    timebase: Timebase,
    monitor: IntegrityMonitor | None = None,
) -> SourceRunner:
    """A timestamper's edges. One that can wake us is waited for, the others are polled.

    ``monitor`` misses the receiver's pulses when they cease.
    """

    def poll() -> Iterable[Event]:
        stamp = timestamper.poll()
        if stamp is not None and monitor is not None:
            monitor.note_pulse(stamp.read_mono_ns)
        return () if stamp is None else (event(stamp=stamp),)

    if isinstance(timestamper, WakingEdgeSource) and timestamper.wakes:
        return SourceRunner(name, poll, timebase, period_s=WAKE_LIMIT_S, wait=timestamper.wait)
    return SourceRunner(name, poll, timebase, period_s=0.02)


class OscillatorSource:
    """The oscillator module: telemetry out, steering in, one thread on its serial line.

    The newest wanted steering replaces an older one that was not yet sent.
    """

    def __init__(
        self,
        oscillator: AtomicClock,
        timebase: Timebase,
        *,
        on_start: Callable[[], None],
        monitor: OscillatorMonitor | None = None,
        usage: Callable[[], WearUsage] | None = None,
    ) -> None:
        """``on_start`` sets the part up; it is called again when the part was restarted.

        ``monitor`` finds the alarms, which come before the report that they are found in; ``usage`` tells it
        of the part's non-volatile writes.
        """
        self._oscillator = oscillator
        self._monitor = monitor
        self._usage = usage
        self._usage_ns: int | None = None
        self._alarms: list[Alarm] = []
        self._timebase = timebase
        self._wanted_ppb: float | None = None
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._on_start = on_start
        self._resets: int | None = None
        self._set_up_again = False
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
        try:
            return self._talk()
        except TimeCardError as error:
            self._watch(error)  # said when it answers again; meanwhile there is the source's own fault
            raise

    def _watch_usage(self) -> None:
        now_ns = self._timebase.mono_ns()
        if self._usage is None or (self._usage_ns is not None and now_ns - self._usage_ns < USAGE_EVERY_NS):
            return
        self._usage_ns = now_ns
        try:
            self._watch(self._usage())
        except TimeCardError as error:  # a file that cannot be read is no fault of the oscillator
            log.warning("non-volatile writes are not known reason=%s", error)

    def _watch(self, item: OscillatorStatus | TimeCardError | WearUsage) -> None:
        if self._monitor is not None:
            found = self._monitor.feed(item, self._timebase.mono_ns())
            self._alarms += [replace(alarm, name=f"oscillator-{alarm.name}") for alarm in found]

    def _talk(self) -> Iterable[Event]:
        events: list[Event] = []
        if self._set_up_again:
            self._on_start()
            self._set_up_again = False
        while not self._jobs.empty():
            self._jobs.get_nowait()()
        wanted_ppb = self._wanted_ppb
        if wanted_ppb is not None:
            in_force_ppb = self._oscillator.set_frequency_ppb(wanted_ppb)
            if self._wanted_ppb == wanted_ppb:
                self._wanted_ppb = None
            events.append(SteeringApplied(frequency_ppb=in_force_ppb, mono_ns=self._timebase.mono_ns()))
        status = self._oscillator.status()
        if self._resets is not None and status.resets != self._resets:
            log.warning("the oscillator module has started anew: it is set up again")
            self._set_up_again = True  # after this report, which must not get lost when that fails
        self._resets = status.resets
        self._watch(status)
        self._watch_usage()
        events += self._alarms
        self._alarms = []
        events.append(OscillatorReport(status=status))
        return events


class SourceThread(threading.Thread):
    """Repeats ``runner.step`` and queues what it says.

    An exception that is not a device's error is a bug: it is handed to ``on_crash`` and ends the process. The
    runner is closed by its own thread, so that one that hangs in a read is closed too, when it comes back.
    """

    def __init__(
        self,
        runner: SourceRunner,
        events: EventQueue,
        on_crash: Callable[[BaseException], None],
        wake: threading.Event | None = None,
    ) -> None:
        super().__init__(name=f"source-{runner.name}", daemon=True)
        self._runner = runner
        self._events = events
        self._on_crash = on_crash
        self._wake = wake or threading.Event()
        self._stopping = False

    def run(self) -> None:
        """Thread body."""
        try:
            while not self._stopping:
                for event in self._runner.step():
                    self._events.put(event)
                self._pause()
        except Exception as error:  # noqa: BLE001 - the one place where a bug of a source thread leaves it
            self._on_crash(error)
        finally:
            self._runner.close()

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
