"""Bytes of any supported receiver in, events out: the decoder is chosen frame by frame.

A stream may mix protocols: UBX with RTCM3 and NMEA, SBF with NMEA. Where a binary protocol tells time and
place, the same from NMEA is left out, because it is the same word said with less.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from timecard.gnss.frame_names import frame_name
from timecard.gnss.framing import Framer, Item, NmeaSentence, SbfBlock, UbxFrame
from timecard.gnss.receivers.nmea import NmeaDecoder
from timecard.gnss.receivers.septentrio import SbfDecoder
from timecard.gnss.receivers.ublox_timing import UbloxDecoder
from timecard.gnss.ublox_profile import UbloxOptions
from timecard.gnss.ublox_time import EARLIEST_TAI_S
from timecard.timescale import NS_PER_S
from timecard.values import (
    AntennaPosition,
    CorruptData,
    GnssEvent,
    GnssFix,
    PulseLabel,
    SatelliteView,
    SignalView,
)

MAX_NAMES: Final = 512
"""Different messages that are counted by name; a stream has a few dozen."""
OTHERS: Final = "others"
_BINARY_FRESH_NS: Final = 3 * NS_PER_S
_SAID_TWICE: Final = (GnssFix, PulseLabel, AntennaPosition, SignalView, SatelliteView)

Pacer = Callable[[Item], int]


@dataclass(slots=True)
class FrameCounts:
    """What a stream was made of."""

    good: int = 0
    """Right checksum, a message with a name, a payload that fits it."""
    unknown: int = 0
    """Right checksum, a message that its maker's published tables do not name."""
    bad: int = 0
    """Runs of bytes that were no frame, and frames whose payload does not fit."""
    bad_bytes: int = 0
    """Bytes of both."""
    by_name: dict[str, int] = field(default_factory=dict)
    """Frames with a right checksum, by name."""


class StreamDecoder:
    """A whole receiver line without I/O."""

    def __init__(self, earliest_tai_s: int = EARLIEST_TAI_S, pacer: Pacer | None = None) -> None:
        """Dates are believed in the 1024 weeks from ``earliest_tai_s`` on.

        ``pacer`` gives the time at which a frame counts as read, for recordings that do not tell; its
        answers replace the ``read_mono_ns`` of ``feed``.
        """
        self.counts = FrameCounts()
        self.ublox = UbloxDecoder(UbloxOptions(earliest_tai_s=earliest_tai_s))
        self.septentrio = SbfDecoder(earliest_tai_s)
        self.nmea = NmeaDecoder(earliest_tai_s)
        self._framer = Framer()
        self._pacer = pacer
        self._binary_ns: int | None = None

    @property
    def problem(self) -> str | None:
        """Why times are being refused, in plain words; None when they are not."""
        return self.ublox.problem or self.septentrio.problem or self.nmea.problem

    def feed(self, data: bytes, read_mono_ns: int) -> list[GnssEvent]:
        """Take bytes read at ``read_mono_ns``; the same events however the stream is cut."""
        return self._decode(self._framer.feed(data, read_mono_ns), read_mono_ns)

    def finish(self, read_mono_ns: int) -> list[GnssEvent]:
        """The stream has ended."""
        return self._decode(self._framer.finish(read_mono_ns), read_mono_ns)

    def _decode(self, items: Sequence[Item], read_mono_ns: int) -> list[GnssEvent]:
        events: list[GnssEvent] = []
        for item in items:
            mono_ns = read_mono_ns if self._pacer is None else self._pacer(item)
            if isinstance(item, CorruptData):
                self._count_bad(item.length)
                events.append(CorruptData(length=item.length, reason=item.reason, read_mono_ns=mono_ns))
                continue
            name, known = frame_name(item)
            self._count_name(name)
            found = self._events_of(item, mono_ns)
            if found and isinstance(found[-1], CorruptData):
                self._count_bad(len(item.raw))
            elif known:
                self.counts.good += 1
            else:
                self.counts.unknown += 1
            events.extend(found)
        return events

    def _events_of(self, frame: Item, mono_ns: int) -> Sequence[GnssEvent]:
        if isinstance(frame, UbxFrame):
            events = self.ublox.decode(frame, mono_ns)
        elif isinstance(frame, SbfBlock):
            events = self.septentrio.decode(frame, mono_ns)
        elif isinstance(frame, NmeaSentence):
            events = self.nmea.decode(frame, mono_ns)
            if self._binary_ns is not None and mono_ns - self._binary_ns < _BINARY_FRESH_NS:
                return [event for event in events if not isinstance(event, _SAID_TWICE)]
            return events
        else:
            return ()
        if any(isinstance(event, GnssFix) for event in events):
            self._binary_ns = mono_ns
        return events

    def _count_bad(self, length: int) -> None:
        self.counts.bad += 1
        self.counts.bad_bytes += length

    def _count_name(self, name: str) -> None:
        by_name = self.counts.by_name
        if name not in by_name and len(by_name) >= MAX_NAMES:
            name = OTHERS
        by_name[name] = by_name.get(name, 0) + 1
