"""The driver of any receiver that speaks NMEA 0183: it is read, and nothing is ever sent to it."""

from __future__ import annotations

import dataclasses
from typing import Final

from timecard.errors import UnsupportedError
from timecard.gnss.driver import Receiver, ReceiverDriver
from timecard.gnss.foreign import protocol_name
from timecard.gnss.frame_names import sentence_id
from timecard.gnss.framing import Framer, NmeaSentence
from timecard.gnss.intent import GnssIntent, Plan
from timecard.gnss.nmea_sentences import UtcOffset
from timecard.gnss.stream_receiver import READ_BYTES, StreamReceiver, absent
from timecard.protocols import ByteStream
from timecard.timebase import Timebase
from timecard.timescale import NS_PER_S
from timecard.values import ReceiverIdentity

LISTEN_S: Final = 2.5
_WITH_TIME: Final = frozenset({"RMC", "ZDA", "GGA", "GNS"})
_NOT_SETTINGS: Final = ("store",)


class NmeaReceiver(StreamReceiver):
    """``Receiver`` without a writing half: there is no common way to configure such a receiver."""

    def __init__(self, stream: ByteStream, timebase: Timebase, intent: GnssIntent | None = None) -> None:
        super().__init__(stream, timebase)
        self._intent = intent

    @property
    def warnings(self) -> tuple[str, ...]:
        """Why pulses are not named, if they are not."""
        problem = self.decoder.nmea.leap_problem
        return () if problem is None else (problem,)

    def use_utc_offset(self, utc_offset: UtcOffset) -> None:
        """Take TAI - UTC from here: the receiver does not tell it."""
        self.decoder.nmea.utc_offset = utc_offset

    def start(self) -> None:
        """Wait for a sentence; raises ``DeviceAbsentError``. The intent is not carried out (see ``plan``)."""
        heard = bytearray()
        deadline_ns = self._deadline(LISTEN_S)
        framer = Framer()
        while data := self._read_until(deadline_ns):
            self._keep(data)
            heard += data
            for item in framer.feed(data, self._timebase.mono_ns()):
                if isinstance(item, NmeaSentence) and _tells_time(item):
                    self.identity = _identity(item, self._timebase)
                    self._pending.append(self.identity)  # no sentence will say it
                    return
        raise absent(self.name, bytes(heard), "NMEA")

    def plan(self, intent: GnssIntent) -> Plan:
        """Nothing can be changed: every setting of the intent is named as unsupported."""
        asked = [
            field.name
            for field in dataclasses.fields(intent)
            if field.name not in _NOT_SETTINGS and getattr(intent, field.name) is not None
        ]
        return Plan(
            changes=(),
            unsupported=tuple(f"{name}: an NMEA receiver is only read" for name in asked),
            store=intent.store,
        )

    def apply(self, plan: Plan) -> None:
        """Raises ``UnsupportedError`` unless there is nothing to write."""
        if plan.changes:
            raise UnsupportedError(self.name, "configure GNSS receiver", "an NMEA receiver is only read")

    def undo(self, plan: Plan) -> None:
        """As ``apply``."""
        self.apply(plan)


def _tells_time(sentence: NmeaSentence) -> bool:
    name = sentence_id(sentence)
    return not name.startswith("P") and name[2:] in _WITH_TIME


def _identity(sentence: NmeaSentence, timebase: Timebase) -> ReceiverIdentity:
    talker = sentence_id(sentence)[:2]
    return ReceiverIdentity(
        model=f"NMEA receiver (talker {talker})",
        firmware="",
        protocol="NMEA",
        read_mono_ns=timebase.mono_ns(),
    )


def _probe(stream: ByteStream, timebase: Timebase) -> ReceiverIdentity | None:
    """Listen: sentences that tell time, and no other protocol beside them."""
    framer, heard, found = Framer(), bytearray(), None
    deadline_ns = timebase.mono_ns() + round(LISTEN_S * NS_PER_S)
    while (left_ns := deadline_ns - timebase.mono_ns()) > 0:
        data = stream.read(READ_BYTES, left_ns / NS_PER_S)
        if not data:
            break
        heard += data
        for item in framer.feed(data, timebase.mono_ns()):
            if isinstance(item, NmeaSentence) and _tells_time(item):
                found = item
        if found is not None and protocol_name(bytes(heard)) in (None, "NMEA"):
            return _identity(found, timebase)
    return None


def _open(stream: ByteStream, timebase: Timebase, intent: GnssIntent | None) -> Receiver:
    return NmeaReceiver(stream, timebase, intent)


NMEA: Final = ReceiverDriver(name="nmea", bauds=(9_600, 115_200, 4_800, 38_400), probe=_probe, open=_open)
