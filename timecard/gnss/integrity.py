"""Is this receiver to be believed? Its events in, alarms out: a state machine without a clock of its own.

``feed`` every event in the order in which it was read, and ``look`` a few times a second, after reading: what
does not come is seen there. An alarm is said once when it begins and once when it ends; names, consequences
and hysteresis are in ``integrity_rules``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from timecard.gnss.integrity_leap import LeapWatch
from timecard.gnss.integrity_pulse import PulseWatch
from timecard.gnss.integrity_rules import RULES, AlarmBoard, IntegrityOptions, KnownLeap
from timecard.gnss.integrity_signal import PlaceWatch, SignalWatch
from timecard.gnss.integrity_time import TimeWatch
from timecard.timescale import NS_PER_S
from timecard.values import (
    Alarm,
    AntennaPosition,
    CorruptData,
    GnssEvent,
    GnssFix,
    LeapInfo,
    PulseLabel,
    RfStatus,
    SatelliteView,
    SignalView,
    SurveyStatus,
)

__all__ = ["RULES", "IntegrityMonitor", "IntegrityOptions", "KnownLeap"]

_CORRUPT_WINDOW_NS: Final = 10 * NS_PER_S
_CORRUPT_EVENTS: Final = 3
_CORRUPT_BYTES: Final = 1000
_NEVER_HEARD_NS: Final = 5 * NS_PER_S
_NO_TIME: Final = "no valid time yet"


class IntegrityMonitor:
    """Watches one receiver."""

    def __init__(self, options: IntegrityOptions | None = None) -> None:
        self.options = options or IntegrityOptions()
        self._board = AlarmBoard()
        self._time = TimeWatch(self.options, self._board)
        self._pulse = PulseWatch(self.options, self._board)
        self._leap = LeapWatch(self.options, self._board)
        self._signal = SignalWatch(self.options, self._board)
        self._place = PlaceWatch(self.options, self._board)
        self._started_ns: int | None = None
        self._word_ns: int | None = None
        self._fix_ns: int | None = None
        self._resumed_ns = 0
        """When words came again after a pause."""
        self._known_since_ns: int | None = None
        """Since when the time was valid at each epoch."""
        self._restarts: int | None = None
        self._forgiven = False
        self._pulse_ns: int | None = None
        self._corrupt: deque[tuple[int, int]] = deque(maxlen=64)
        self._handlers: dict[type[Any], Callable[[Any], None]] = {
            GnssFix: self._on_fix,
            PulseLabel: self._on_label,
            LeapInfo: lambda leap: self._leap.take(leap, self._time.tai_ns(leap.read_mono_ns)),
            RfStatus: self._signal.take_rf,
            SatelliteView: self._signal.take_view,
            SignalView: self._signal.take_signals,
            AntennaPosition: self._place.take_position,
            SurveyStatus: self._place.take_survey,
        }

    # ------------------------------------------------------------------ in

    def feed(self, event: GnssEvent, now_mono_ns: int) -> Sequence[Alarm]:
        """Take one event; the alarms that it begins or ends."""
        self._begin(now_mono_ns)
        if self._forgiven:
            self._forgiven = False
            self._time.forgive()
            self._place.forgive()
        if isinstance(event, CorruptData):
            self._on_corrupt(event, now_mono_ns)
        else:
            self._heard(now_mono_ns)
            handler = self._handlers.get(type(event))
            if handler is not None:
                handler(event)
        self._board.settle(now_mono_ns)
        return self._board.take()

    def look(self, now_mono_ns: int) -> Sequence[Alarm]:
        """See what did not come. Call it after reading everything that had arrived."""
        started_ns = self._begin(now_mono_ns)
        board, limit_ns = self._board, self.options.missing_after_ns
        word_ns, fix_ns = self._word_ns, self._fix_ns
        heard_ns = started_ns + _NEVER_HEARD_NS - limit_ns if word_ns is None else word_ns
        silent_ns = now_mono_ns - heard_ns
        if silent_ns >= limit_ns:
            damaged = sum(length for at_ns, length in self._corrupt if at_ns >= heard_ns)
            since_s = (now_mono_ns - (started_ns if word_ns is None else word_ns)) / NS_PER_S
            board.bad(
                "receiver-silent", f"nothing usable for {since_s:.1f} s, {damaged} damaged bytes", now_mono_ns
            )
        elif fix_ns is not None and word_ns is not None:
            # A word that belongs to a later second than the last epoch: others come, epochs do not.
            later = word_ns - fix_ns >= limit_ns // 2
            if later and now_mono_ns - max(fix_ns, self._resumed_ns) >= limit_ns:
                since_s = (now_mono_ns - fix_ns) / NS_PER_S
                board.bad("epochs-missing", f"no epoch for {since_s:.1f} s, other messages come", now_mono_ns)
        if self._known_since_ns is not None:
            self._pulse.look(now_mono_ns, self._time.fix, max(self._known_since_ns, self._resumed_ns))
        self._leap.look(now_mono_ns, self._time.tai_ns(now_mono_ns))
        if "corrupt-data" in board:
            self._review_corrupt(now_mono_ns)
        board.settle(now_mono_ns)
        return board.take()

    def note_restarts(self, restarts: int, now_mono_ns: int) -> Sequence[Alarm]:
        """How often the receiver's driver has seen it begin anew (``Receiver.restarts``)."""
        if self._restarts is not None and restarts > self._restarts:
            text = f"its uptime went backwards, restart {restarts} since the start"
            self._board.bad("receiver-restarted", text, now_mono_ns)
            self._board.good("receiver-restarted", now_mono_ns)
        self._restarts = restarts
        return self._board.take()

    def note_pulse(self, now_mono_ns: int) -> None:
        """A pulse was seen; after the first one they are missed when they stop.

        May be called from another thread; it counts with the next ``feed`` or ``look``.
        """
        self._pulse_ns = now_mono_ns

    def note_peer_leap(self, source: str, tai_minus_utc_s: int | None, now_mono_ns: int) -> None:
        """What another source (the FPGA, a peer) says of TAI - UTC; None: it does not know it.

        Compared with the receiver's word for an hour, or until the source says otherwise.
        """
        self._leap.peer(source, tai_minus_utc_s, now_mono_ns)

    def forgive(self) -> None:
        """Somebody who knows accepts the receiver: time and place go on from what it says next.

        May be called from another thread.
        """
        self._forgiven = True

    # ------------------------------------------------------------------ out

    @property
    def active(self) -> dict[str, str]:
        """The alarms in force and the evidence with which they began."""
        return self._board.active

    @property
    def usable(self) -> bool:
        """The receiver's time may be used."""
        return not self.reasons

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the receiver's time may not be used."""
        found = [f"{name}: {text}" for name, text in self.active.items() if RULES[name].unusable]
        fix = self._time.fix
        if fix is None or not (fix.time_valid and fix.fix_ok):
            found.append(_NO_TIME if not self._time.ever_valid else "the latest epoch is not valid")
        return tuple(found)

    # ------------------------------------------------------------------ inside

    def _begin(self, now_ns: int) -> int:
        pulse_ns, self._pulse_ns = self._pulse_ns, None
        if pulse_ns is not None:
            self._pulse.take_pulse(pulse_ns)
        if self._started_ns is None:
            self._started_ns = now_ns
        return self._started_ns

    def _heard(self, now_ns: int) -> None:
        last_ns = self._word_ns
        if last_ns is None or now_ns - last_ns > 1.3 * self.options.epoch_period_s * NS_PER_S:
            self._time.resumed(now_ns)
            self._resumed_ns = now_ns
        self._word_ns = now_ns
        self._board.good("receiver-silent", now_ns)

    def _on_fix(self, fix: GnssFix) -> None:
        now_ns = fix.read_mono_ns
        self._fix_ns = now_ns
        self._board.good("epochs-missing", now_ns)
        self._time.take_fix(fix, self._begin(now_ns))
        if not (fix.time_valid and fix.fix_ok):
            self._known_since_ns = None
        elif self._known_since_ns is None:
            self._known_since_ns = now_ns
        self._pulse.take_fix(fix)
        self._place.take_fix(fix)
        self._signal.take_fix(fix)

    def _on_label(self, label: PulseLabel) -> None:
        self._pulse.take_label(label, self._time.fix, self._time.on_time(label.read_mono_ns))

    def _on_corrupt(self, event: CorruptData, now_ns: int) -> None:
        if self._word_ns is None:
            return  # the line was opened in the middle of a message
        self._corrupt.append((now_ns, event.length))
        self._review_corrupt(now_ns)

    def _review_corrupt(self, now_ns: int) -> None:
        while self._corrupt and now_ns - self._corrupt[0][0] > _CORRUPT_WINDOW_NS:
            self._corrupt.popleft()
        count, total = len(self._corrupt), sum(length for _, length in self._corrupt)
        self._board.judge(
            "corrupt-data",
            count >= _CORRUPT_EVENTS or total >= _CORRUPT_BYTES,
            lambda: f"{count} damaged stretches with {total} bytes in {_CORRUPT_WINDOW_NS // NS_PER_S} s",
            now_ns,
        )
