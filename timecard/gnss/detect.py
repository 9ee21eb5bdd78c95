"""Finds out what receiver is on a line, and at which rate.

Asking: at each rate the drivers ask in turn; only an answer with a right checksum (or the receiver's own
identification file) counts. When nobody answers at any rate, all are tried again after 1024 bytes of 0x55,
which end what a receiver may have half received. Listening: nothing is ever written; a rate counts when valid
frames arrive at it. A receiver that none of our drivers drives is named in the error.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from timecard.errors import DeviceAbsentError, RefusedError, UnsupportedError
from timecard.gnss.driver import ReceiverDriver
from timecard.gnss.foreign import protocol_name
from timecard.gnss.frame_names import sentence_id
from timecard.gnss.framing import Framer, NmeaSentence, Rtcm3Frame, SbfBlock, UbxFrame
from timecard.gnss.receivers import OWN, RECEIVERS
from timecard.protocols import ByteStream, RateStream
from timecard.timebase import Timebase
from timecard.timescale import NS_PER_S
from timecard.values import CorruptData, ReceiverIdentity

BAUDS: Final = (9_600, 38_400, 115_200, 230_400, 460_800, 921_600, 4_800, 19_200, 57_600)
"""Tried after the present rate: factory settings first, then what old Time Card configurations have."""
LISTEN_S: Final = 1.2
"""Receivers say something once a second."""
LIMIT_S: Final = 120.0
_FLUSH: Final = b"\x55" * 1024
_READ_BYTES: Final = 4096
_SAMPLE_BYTES: Final = 16_384
_DETECT: Final = "detect GNSS receiver"
_QUECTEL: Final = re.compile(rb"\$P(?:QTM|MTK|AIR|CAS)[A-Z0-9]")
_TIME_SENTENCES: Final = frozenset({"RMC", "ZDA", "GGA", "GNS"})
_PROTOCOL_DRIVERS: Final = (("SBF", "septentrio"), ("UBX", "ublox"), ("NMEA", "nmea"))
_NEVER_UBX: Final = frozenset({"septentrio", "nmea"})
"""On a line with UBX frames there is nothing to be asked for by these."""
_DRIVEN: Final = ("Septentrio SBF", "NMEA")


@dataclass(frozen=True, slots=True, kw_only=True)
class Detected:
    """A receiver that was found."""

    driver: ReceiverDriver
    identity: ReceiverIdentity | None
    """None when it was only listened to."""
    baud: int | None
    """The line is at this rate now; None for a line without one."""
    protocols: frozenset[str]
    """What was heard: ``UBX``, ``SBF``, ``NMEA``, ``RTCM3``."""


class _Ear:
    """A stream that remembers what went through it."""

    def __init__(self, stream: ByteStream, timebase: Timebase) -> None:
        self.name = stream.name
        self.heard = bytearray()
        self.protocols: set[str] = set()
        self.tells_time = False
        self._stream = stream
        self._timebase = timebase
        self._framer = Framer()

    def read(self, max_bytes: int, timeout_s: float) -> bytes:
        """As the stream's own."""
        data = self._stream.read(max_bytes, timeout_s)
        if len(self.heard) < _SAMPLE_BYTES:
            self.heard += data
        for item in self._framer.feed(data, self._timebase.mono_ns()):
            if isinstance(item, NmeaSentence):
                name = sentence_id(item)
                self.tells_time |= not name.startswith("P") and name[2:] in _TIME_SENTENCES
            if not isinstance(item, CorruptData):
                self.protocols.add(_NAMES[type(item)])
        return data

    def write(self, data: bytes) -> None:
        """As the stream's own."""
        self._stream.write(data)

    def listen(self, seconds: float) -> None:
        """Read for so long, or until a frame is valid."""
        deadline_ns = self._timebase.mono_ns() + round(seconds * NS_PER_S)
        while (left_ns := deadline_ns - self._timebase.mono_ns()) > 0:
            if not self.read(_READ_BYTES, left_ns / NS_PER_S):
                return

    @property
    def noise(self) -> bool:
        """Something is sent, but no frame of ours and no protocol that we know by name."""
        return bool(self.heard) and not self.protocols and self.foreign is None

    @property
    def foreign(self) -> str | None:
        """The protocol of a receiver that we do not drive."""
        sample = bytes(self.heard)
        name = protocol_name(sample)
        if name is not None and name not in _DRIVEN and not self.protocols & {"UBX", "SBF"}:
            return name
        if not self.tells_time and _QUECTEL.search(sample):
            return "Quectel NMEA dialect without time sentences"
        return None


_NAMES: Final[Mapping[type, str]] = {
    UbxFrame: "UBX",
    SbfBlock: "SBF",
    NmeaSentence: "NMEA",
    Rtcm3Frame: "RTCM3",
}


class _Search:
    """One search over rates; remembers the best that it heard, for the error."""

    def __init__(
        self, stream: ByteStream, timebase: Timebase, drivers: Mapping[str, ReceiverDriver], limit_s: float
    ) -> None:
        self.stream = stream
        self.timebase = timebase
        self.drivers = drivers
        self.deadline_ns = timebase.mono_ns() + round(limit_s * NS_PER_S)
        self.heard_bytes = 0
        self.understood: tuple[int | None, frozenset[str]] | None = None
        """Rate at which valid frames came, though nobody answered, and their protocols."""

    @property
    def baud(self) -> int | None:
        return self.stream.baud if isinstance(self.stream, RateStream) else None

    @property
    def over(self) -> bool:
        return self.timebase.mono_ns() >= self.deadline_ns

    def rates(self, bauds: Sequence[int] | None) -> list[int | None]:
        if not isinstance(self.stream, RateStream):
            return [None]
        others = (baud for driver in self.drivers.values() for baud in driver.bauds)
        wanted = (self.stream.baud, *BAUDS, *others) if bauds is None else bauds
        return list(dict.fromkeys(wanted))

    def tune(self, baud: int | None) -> bool:
        if baud is None or not isinstance(self.stream, RateStream) or baud == self.stream.baud:
            return True
        try:
            self.stream.set_baud(baud)
        except RefusedError:
            return False  # a rate that this UART cannot make
        return True

    def ask(self, flush: bool) -> Detected | None:
        """All drivers in turn, at the present rate."""
        ear = _Ear(self.stream, self.timebase)
        if flush:
            ear.write(_FLUSH)
        for driver in itertools.chain(self.drivers.values(), self._once_more(ear)):
            if self.over:
                break
            # Noise is another rate to our own; what it is to others only they know.
            if ear.noise and (driver.name in OWN or self.baud not in (None, *driver.bauds)):
                continue
            if driver.name in _NEVER_UBX and "UBX" in ear.protocols:
                continue
            identity = driver.probe(ear, self.timebase)
            if identity is not None:
                found = frozenset(ear.protocols)
                return Detected(driver=driver, identity=identity, baud=self.baud, protocols=found)
        self._note(ear)
        return None

    def _once_more(self, ear: _Ear) -> Iterator[ReceiverDriver]:
        """Somebody is there, but nobody was answered: one that was just switched on was deaf before."""
        if ear.protocols and ear.foreign is None:
            yield from self.drivers.values()

    def listen(self) -> Detected | None:
        """No driver: what is understood at the present rate."""
        ear = _Ear(self.stream, self.timebase)
        ear.listen(LISTEN_S)
        self._note(ear)
        if ear.protocols:
            for protocol, name in _PROTOCOL_DRIVERS:
                if protocol in ear.protocols and name in self.drivers and (name != "nmea" or ear.tells_time):
                    found = frozenset(ear.protocols)
                    return Detected(driver=self.drivers[name], identity=None, baud=self.baud, protocols=found)
        return None

    def _note(self, ear: _Ear) -> None:
        self.heard_bytes += len(ear.heard)
        if ear.foreign is not None:
            at = "" if self.baud is None else f" at {self.baud} baud"
            known = ", ".join(self.drivers)
            raise UnsupportedError(
                self.stream.name, _DETECT, f"speaks {ear.foreign}{at}; there is no driver for it ({known})"
            )
        if ear.protocols:
            self.understood = (self.baud, frozenset(ear.protocols))

    def nothing(self, rates: Sequence[int | None]) -> DeviceAbsentError:
        at = ", ".join(str(rate) for rate in rates if rate is not None) or "the line's rate"
        if self.understood is not None:
            rate, protocols = self.understood
            reason = (
                f"sends {' and '.join(sorted(protocols))}{f' at {rate} baud' if rate else ''} but answers "
                "nobody and tells no time: is its input enabled, is the TX line wired?"
            )
        elif self.heard_bytes:
            reason = f"{self.heard_bytes} bytes without a valid frame at {at}: another rate, or a noisy line"
        else:
            reason = f"nothing received at {at}: no receiver, or the line is cut"
        if self.over:
            reason += "; the time for it is over"
        return DeviceAbsentError(self.stream.name, _DETECT, reason)


def detect(
    stream: ByteStream,
    timebase: Timebase,
    bauds: Sequence[int] | None = None,
    *,
    listen_only: bool = False,
    drivers: Mapping[str, ReceiverDriver] = RECEIVERS,
    limit_s: float = LIMIT_S,
) -> Detected:
    """Find the receiver and leave the line at its rate.

    ``bauds``: the rates to try; None: the present one, then the usual ones. ``listen_only`` never writes; it
    tells UBX receivers of both generations apart by nothing and names ``ublox``. Takes at most ``limit_s``
    and the time of one question. Raises ``UnsupportedError`` that names a receiver which we do not drive, and
    ``DeviceAbsentError`` that says what was heard; the line is then at the rate that it had before.
    """
    search = _Search(stream, timebase, drivers, limit_s)
    rates = search.rates(bauds)
    before = search.baud
    try:
        for flush in (False,) if listen_only else (False, True):
            for baud in rates:
                if search.over:
                    break
                if search.tune(baud):
                    found = search.listen() if listen_only else search.ask(flush)
                    if found is not None:
                        return found
        raise search.nothing(rates)
    except (DeviceAbsentError, UnsupportedError):
        search.tune(before)
        raise
