"""The receiver on a line, whichever it is: found when it is started, and found anew when it went silent.

The rate that the line was opened with is tried first. A start that finds nobody there tries one further rate
at the next attempt, so that no attempt takes long.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Protocol, runtime_checkable

from timecard.errors import DeviceAbsentError, ProtocolError, RefusedError, UnsupportedError
from timecard.gnss.detect import BAUDS, detect
from timecard.gnss.driver import Capability, Receiver, ReceiverDriver
from timecard.gnss.intent import GnssIntent
from timecard.gnss.nmea_sentences import UtcOffset
from timecard.gnss.receivers import RECEIVERS
from timecard.protocols import ByteStream, RateStream
from timecard.timebase import Timebase
from timecard.values import GnssEvent, ReceiverIdentity

_LOG: Final = logging.getLogger(__name__)
ATTEMPT_S: Final = 8.0
"""For the questions of all drivers at one rate."""
LEFT_DELAY: Final = "takes {:g} ns out of its pulse, as it was set before: name the delay in [[delays]]"


class _Health(Protocol):
    warnings: tuple[str, ...]


@runtime_checkable
class _WithHealth(Protocol):
    def health(self) -> _Health: ...


@runtime_checkable
class _WithWarnings(Protocol):
    warnings: tuple[str, ...]


@runtime_checkable
class _ToldUtcOnly(Protocol):
    def use_utc_offset(self, utc_offset: UtcOffset) -> None: ...


class AnyReceiver:
    """``GnssReceiver`` of ``timecard.protocols``: a receiver of any family in ``RECEIVERS``."""

    def __init__(
        self,
        stream: ByteStream,
        timebase: Timebase,
        intent: GnssIntent | None,
        *,
        drivers: Mapping[str, ReceiverDriver] = RECEIVERS,
        utc_offset: UtcOffset | None = None,
    ) -> None:
        """``intent``: what the receiver is made to be at each start; None: it is used as it is.

        ``utc_offset``: TAI - UTC for a receiver that tells UTC and nothing else; None: the built-in table.
        """
        self.name = stream.name
        self.driver: ReceiverDriver | None = None
        """Of the receiver that was found; None before."""
        self.left_delay_ns: float | None = None
        """The cable delay that was found in the receiver, where the intent leaves it alone."""
        self.delay_limit_ns = math.inf
        """A receiver in which a larger one is found is refused: nobody counts on it."""
        self._stream = stream
        self._timebase = timebase
        self._intent = intent
        self._drivers = drivers
        self._utc_offset = utc_offset
        self._inner: Receiver | None = None
        self._identity: ReceiverIdentity | None = None
        self._earlier_restarts = 0
        self._as_it_is = False
        self._refused: tuple[str, ...] = ()
        self._own = stream.baud if isinstance(stream, RateStream) else None
        self._rates = self._rates_in_turn()

    @property
    def identity(self) -> ReceiverIdentity | None:
        """Who answered last; None before the first ``start``."""
        return self._identity if self._inner is None else self._inner.identity or self._identity

    @property
    def restarts(self) -> int:
        """How often a receiver on this line was seen to begin anew by itself."""
        return self._earlier_restarts + (0 if self._inner is None else self._inner.restarts)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What could not be configured, and what the driver has to say about the receiver."""
        inner, said = self._inner, ()
        if isinstance(inner, _WithHealth):
            said = inner.health().warnings
        elif isinstance(inner, _WithWarnings):
            said = inner.warnings
        left = (LEFT_DELAY.format(self.left_delay_ns),) if self.left_delay_ns else ()
        return (*self._refused, *left, *said)

    def start(self) -> None:
        """Find the receiver if it is not known yet, identify it, and make it as the intent says.

        One that cannot be made so is used as it is, with a warning. Raises ``DeviceAbsentError`` and
        ``UnsupportedError`` that say what was heard, ``RefusedError`` for a delay above ``delay_limit_ns``,
        and the errors of the line.
        """
        self._refused = ()
        inner, driver = self._found()
        try:
            try:
                inner.start()
            except (RefusedError, UnsupportedError) as error:
                if self._intent is None:
                    raise
                self._refused = (f"used as it is configured: {error.operation}: {error.reason}",)
                _LOG.warning("%s: %s", self.name, self._refused[0])
                inner = self._open(driver, None)
                inner.start()
            if self._intent is not None and self._intent.cable_delay_ns is None:
                self._note_delay(inner)
        except DeviceAbsentError:
            self._forget()
            raise

    def poll(self, timeout_s: float) -> Sequence[GnssEvent]:
        """Events decoded from the bytes that have arrived; none before a successful ``start``."""
        return () if self._inner is None else self._inner.poll(timeout_s)

    # --- internals ---

    def _found(self) -> tuple[Receiver, ReceiverDriver]:
        if self._inner is not None and self.driver is not None:
            if self._as_it_is:  # it refused before; the next start asks again
                self._open(self.driver, self._intent)
            return self._inner, self.driver
        rate = next(self._rates)
        found = detect(
            self._stream,
            self._timebase,
            None if rate is None else (rate,),
            drivers=self._drivers,
            limit_s=ATTEMPT_S,
        )
        _LOG.info("%s: driver=%s baud=%s", self.name, found.driver.name, found.baud)
        self._rates = self._rates_in_turn()
        self.driver, self._identity = found.driver, found.identity
        return self._open(found.driver, self._intent), found.driver

    def _open(self, driver: ReceiverDriver, intent: GnssIntent | None) -> Receiver:
        self._forget()
        self.driver, self._as_it_is = driver, intent is None and self._intent is not None
        self._inner = driver.open(self._stream, self._timebase, intent)
        if self._utc_offset is not None and isinstance(self._inner, _ToldUtcOnly):
            self._inner.use_utc_offset(self._utc_offset)
        return self._inner

    def _note_delay(self, inner: Receiver) -> None:
        """What would have to be changed for no delay at all is what there is; None where nobody can ask."""
        self.left_delay_ns = None
        if Capability.CONFIGURE not in inner.capabilities:
            return
        try:
            plan = inner.plan(GnssIntent(cable_delay_ns=0, store="ram"))
        except (RefusedError, UnsupportedError) as error:
            _LOG.warning("%s: its cable delay is not known: %s", self.name, error.reason)
            return
        found = [change.before for change in plan.changes if change.setting == "cable_delay_ns"]
        try:
            self.left_delay_ns = float(found[0]) if found else 0.0
        except ValueError as error:
            raise ProtocolError(self.name, "read the cable delay", f"it is {found[0]!r}") from error
        if not abs(self.left_delay_ns) <= self.delay_limit_ns:
            raise RefusedError(
                self.name,
                "use GNSS receiver",
                f"it takes {self.left_delay_ns:g} ns out of its pulse, which the bound does not count: name "
                "the delay in [[delays]], or restart to have it counted",
            )

    def _forget(self) -> None:
        if self._inner is not None:
            self._earlier_restarts += self._inner.restarts
            self._identity = self._inner.identity or self._identity
        self._inner = self.driver = None

    def _rates_in_turn(self) -> Iterator[int | None]:
        """The line's own rate, and after each failure of it one of the others."""
        if self._own is None:
            return itertools.repeat(None)
        others = [baud for baud in BAUDS if baud != self._own]
        return itertools.chain.from_iterable((self._own, other) for other in itertools.cycle(others))
