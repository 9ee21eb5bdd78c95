"""The step that makes the clock show the right second, told by the receiver or by the host."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from timecard.bringup.bench import Bench
from timecard.bringup.card_settings import GNSS_CHANNEL
from timecard.bringup.engine import Setting, Stepper
from timecard.bringup.intent import TimeIntent
from timecard.errors import DeviceTimeoutError, RefusedError, UnsupportedError
from timecard.timescale import NS_PER_S
from timecard.values import EdgeStamp, GnssFix

MESSAGE_LATE_NS: Final = NS_PER_S * 3 // 10
"""A navigation message comes 0 to 0.6 s after its second: this much, give or take as much."""
PULSE_TO_MESSAGE_NS: Final = NS_PER_S * 9 // 10
"""A message speaks of the pulse before it if it comes within this time."""
CHECK_LISTENS_S: Final = 5.0
MESSAGES: Final = 3
"""Seconds that are listened to before a clock is called wrong."""
BACKLOG_READS: Final = 50
PULSE_WAIT_S: Final = 5.0
SETTLES_S: Final = 10.0
"""How long the clock may take to show a time that it was set to: its own servo may be at work too."""
EARLIEST_HOST_TAI_NS: Final = 1_735_689_637 * NS_PER_S
"""2025-01-01: a host's clock before that has never been set."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class _Teller(Protocol):
    """Who tells the time."""

    tolerance_ns: int
    """A difference up to this is none."""

    def offset_ns(self) -> int:
        """The card's clock minus the time told."""
        ...

    def exact_offset_ns(self) -> int:
        """The same, as exactly as can be had with the help of the card."""
        ...


class _HostTime:
    """The host's clock as TAI."""

    def __init__(self, bench: Bench, wanted: TimeIntent) -> None:
        self.tolerance_ns = round(wanted.limit_s * NS_PER_S)
        self._bench = bench

    def offset_ns(self) -> int:
        host_ns = self._bench.host_tai_ns()
        if host_ns < EARLIEST_HOST_TAI_NS:
            raise RefusedError(
                "host", "read the clock", "it is before 2025 itself; set it, or use the receiver"
            )
        return self._bench.card.clock.now_tai_ns() - host_ns

    def exact_offset_ns(self) -> int:
        return self.offset_ns()


class _ReceiverTime:
    """What the receiver says of its seconds."""

    def __init__(self, bench: Bench, wanted: TimeIntent, listen_s: float) -> None:
        self.tolerance_ns = round(wanted.limit_s * NS_PER_S) + MESSAGE_LATE_NS
        self._bench = bench
        self._listen_s = listen_s

    def offset_ns(self) -> int:
        """Good to the delay of a message; writes nothing.

        A busy host reads messages late, which only makes the clock seem ahead: the smallest of a few counts.
        """
        self._forget_backlog()
        found_ns: list[int] = []
        for event in self._bench.events(self._listen_s):
            epoch_ns = _valid_epoch_ns(event)
            if epoch_ns is None or not isinstance(event, GnssFix):
                continue
            found_ns.append(self._bench.card_tai_ns(event.read_mono_ns) - epoch_ns - MESSAGE_LATE_NS)
            if len(found_ns) == MESSAGES or abs(found_ns[-1]) <= self.tolerance_ns:
                break
        if found_ns:
            return min(found_ns, key=lambda offset_ns: (abs(offset_ns) > self.tolerance_ns, offset_ns))
        raise DeviceTimeoutError(
            "receiver",
            "tell the time",
            f"no valid time within {self._listen_s:g} s: see antenna and sky view",
        )

    def exact_offset_ns(self) -> int:
        """Exact: a message names the second of the pulse that was latched just before it."""
        try:
            edges = self._bench.timestamper(GNSS_CHANNEL)
        except UnsupportedError:
            return self.offset_ns()
        self._forget_backlog()
        receiver, timebase = self._bench.receiver(), self._bench.timebase
        pulse: EdgeStamp | None = None
        deadline_ns = timebase.mono_ns() + round(PULSE_WAIT_S * NS_PER_S)
        while timebase.mono_ns() < deadline_ns:
            pulse = edges.poll() or pulse  # before the messages: an edge is read before what it is called
            for event in receiver.poll(0.01):
                epoch_ns = _valid_epoch_ns(event)
                if epoch_ns is None or pulse is None:
                    continue
                if 0 <= timebase.mono_ns() - pulse.read_mono_ns < PULSE_TO_MESSAGE_NS:
                    return pulse.card_tai_ns - epoch_ns
        return self.offset_ns()

    def _forget_backlog(self) -> None:
        """Messages that have waited in a buffer say nothing about now."""
        receiver = self._bench.receiver()
        for _ in range(BACKLOG_READS):
            if not receiver.poll(0.0):
                return


def _valid_epoch_ns(event: object) -> int | None:
    """The second that a message names, if it can be believed."""
    if isinstance(event, GnssFix) and event.fix_ok and event.time_valid:
        return event.epoch_tai_ns
    return None


def right_time(bench: Bench, stepper: Stepper) -> None:
    """The right second. What is left of the phase is the servo's business, or the proof's."""
    wanted = bench.intent.time
    if wanted is None:
        return
    listen_s = min(wanted.wait_s, CHECK_LISTENS_S) if stepper.check else wanted.wait_s
    teller: _Teller = (
        _HostTime(bench, wanted) if wanted.source == "host" else _ReceiverTime(bench, wanted, listen_s)
    )
    stepper.settle(
        Setting(
            what="time",
            wanted=f"the {wanted.source}'s, within {wanted.limit_s:g} s",
            read=teller.offset_ns,
            matches=lambda offset_ns: abs(offset_ns) <= teller.tolerance_ns,
            write=lambda: bench.card.clock.step_ns(-teller.exact_offset_ns()),
            show=lambda offset_ns: _shown(bench, offset_ns),
            required=wanted.required,
            wait_s=SETTLES_S,
        )
    )


def _shown(bench: Bench, offset_ns: int) -> str:
    """What the clock shows; a second run must say the same, so no moving figure for a good clock."""
    if abs(offset_ns) < NS_PER_S:
        return "right to a second"
    shows = _EPOCH + timedelta(seconds=bench.card.clock.now_tai_ns() // NS_PER_S)
    return f"{shows:%Y-%m-%d %H:%M:%S} TAI, {offset_ns / NS_PER_S:+.0f} s off"
