"""The line to a u-blox receiver: frames in and out, who is there, and requests with their answers.

u-blox F9 interface description: a poll of a CFG message is answered by the data and then UBX-ACK-ACK, or by
UBX-ACK-NAK; a set by either of them. Whatever else arrives during a dialogue is kept for ``poll``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import Any, Final, TypeVar

from timecard.errors import DeviceAbsentError, DeviceTimeoutError
from timecard.gnss import ublox_messages as ubx
from timecard.gnss.foreign import protocol_name
from timecard.gnss.receivers.ublox_timing import UbloxDecoder
from timecard.gnss.ubx import Framer, UbxFrame, encode
from timecard.protocols import ByteStream, RateStream
from timecard.timebase import Timebase
from timecard.timescale import NS_PER_S
from timecard.values import CorruptData, GnssEvent, ReceiverIdentity

READ_TIMEOUT_S: Final = 2.0
SET_TIMEOUT_S: Final = 2.5
CHIP_ID_S: Final = 1.0
TRIES: Final = 2
_READ_BYTES: Final = 4096
_READS_PER_POLL: Final = 4
_MAX_PENDING: Final = 512
_SAMPLE_BYTES: Final = 2048
_FLUSH: Final = bytes([0x55]) * 64
"""Ends what a receiver may have half received at another rate."""
T = TypeVar("T")


class Answer(Enum):
    """What became of a set."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    SILENCE = "no answer"


class UbloxLine:
    """A byte stream with a u-blox receiver at its end."""

    def __init__(self, stream: ByteStream, timebase: Timebase, decoder: UbloxDecoder) -> None:
        self.name = stream.name
        self.stream = stream
        self.decoder = decoder
        self.last_frame_mono_ns: int | None = None
        self.frames = 0
        self._timebase = timebase
        self._framer = Framer()
        self._pending: deque[GnssEvent] = deque(maxlen=_MAX_PENDING)
        self._corrupt_bytes = 0

    @property
    def corrupt_bytes(self) -> int:
        """Bytes that were part of no frame."""
        return self._corrupt_bytes + self._framer.unreported_bytes

    def poll(self, timeout_s: float) -> list[GnssEvent]:
        """Events decoded from what has arrived; waits at most ``timeout_s`` for the first byte."""
        events: list[GnssEvent] = list(self._pending)
        self._pending.clear()
        timeout_s = 0.0 if events else timeout_s
        for _ in range(_READS_PER_POLL):
            data = self.stream.read(_READ_BYTES, timeout_s)
            if not data:
                break
            for frame in self._take(data, events):
                events.extend(self.decoder.decode(frame, self._timebase.mono_ns()))
            if len(data) < _READ_BYTES:
                break  # that was all
            timeout_s = 0.0
        return events

    # --- who is there ---------------------------------------------------------------------------------------

    def identify(self, tries: int, timeout_s: float) -> ReceiverIdentity:
        """Ask by MON-VER; raises ``DeviceAbsentError`` that says what was heard instead."""
        heard = bytearray()
        frames = self.frames
        for _ in range(tries):
            self.stream.write(encode(ubx.MON_VER))
            deadline_ns = self._deadline(timeout_s)
            while data := self._read_until(deadline_ns):
                if len(heard) < _SAMPLE_BYTES:
                    heard += data
                found = self._keep(self._frames_of(data))
                if found is not None:
                    return found
        if self.frames > frames:
            reason = (
                "sends NMEA or UBX but does not answer MON-VER: is UBX input enabled, is the TX line wired?"
            )
        elif protocol := protocol_name(bytes(heard)):
            reason = f"speaks {protocol}, which is not supported; connect a u-blox timing receiver"
        elif heard:
            reason = f"{len(heard)} bytes without a valid frame: wrong baud rate?"
        else:
            reason = "nothing received: no receiver, or the line is cut"
        raise DeviceAbsentError(self.name, "identify GNSS receiver", reason)

    def chip_id(self) -> str | None:
        """The unique number of the receiver's chip in hexadecimal; None where it does not tell.

        UBX-SEC-UNIQID: version and three bytes, then five bytes in version 1, six in version 2.
        """
        for frame in self._ask(encode(ubx.SEC_UNIQID), CHIP_ID_S):
            if frame.key == ubx.SEC_UNIQID and len(frame.payload) >= 9:
                return frame.payload[4:10].hex()
        return None

    def answers_at(self, baud: int, tries: int, timeout_s: float) -> bool:
        """Change the line's rate and see whether MON-VER is answered."""
        if not isinstance(self.stream, RateStream):
            return False
        self.stream.set_baud(baud)
        self.stream.write(_FLUSH)
        try:
            self.identify(tries, timeout_s)
        except DeviceAbsentError:
            return False
        return True

    # --- requests -------------------------------------------------------------------------------------------

    def get(self, request: bytes, accept: Callable[[UbxFrame], T | None], what: str) -> T | None:
        """Poll a CFG message; what ``accept`` makes of the answer, or None when it was refused.

        A frame that ``accept`` turns down is an answer to something else. Raises ``DeviceTimeoutError``
        after silence, ``what`` saying at what.
        """
        key = int.from_bytes(request[2:4], "big")
        for _ in range(TRIES):
            reply: T | None = None
            for frame in self._ask(request, READ_TIMEOUT_S):
                if frame.key == key:
                    found = accept(frame)
                    reply = found if found is not None else reply
                elif (answer := _acknowledged(frame, key)) is not None:
                    if answer is Answer.REFUSED:
                        return None
                    if reply is not None:
                        return reply
        raise DeviceTimeoutError(self.name, what, f"no answer in {READ_TIMEOUT_S} s ({key:04X})")

    def set(self, request: bytes, timeout_s: float = SET_TIMEOUT_S) -> Answer:
        """Send a CFG message once."""
        key = int.from_bytes(request[2:4], "big")
        for frame in self._ask(request, timeout_s):
            if (answer := _acknowledged(frame, key)) is not None:
                return answer
        return Answer.SILENCE

    def fetch(self, key: int, timeout_s: float) -> Any:
        """Poll a message that is not acknowledged; None when it does not come."""
        for frame in self._ask(encode(key), timeout_s):
            if frame.key == key and len(frame.raw) > 8:
                message = ubx.parse(frame, self._timebase.mono_ns())
                if not isinstance(message, CorruptData):
                    return message
        return None

    def _ask(self, request: bytes, timeout_s: float) -> Iterator[UbxFrame]:
        """Frames that arrive after a request, until its time is over."""
        self.stream.write(request)
        deadline_ns = self._deadline(timeout_s)
        while data := self._read_until(deadline_ns):
            frames = self._frames_of(data)
            self._keep(frames)
            yield from frames

    # --- bytes ----------------------------------------------------------------------------------------------

    def _take(self, data: bytes, events: list[GnssEvent]) -> list[UbxFrame]:
        now_ns = self._timebase.mono_ns()
        frames = []
        for item in self._framer.feed(data, now_ns):
            if isinstance(item, CorruptData):
                self._corrupt_bytes += item.length
                events.append(item)
                continue
            self.last_frame_mono_ns = now_ns
            self.frames += 1
            if isinstance(item, UbxFrame):
                frames.append(item)
        return frames

    def _frames_of(self, data: bytes) -> list[UbxFrame]:
        events: list[GnssEvent] = []
        frames = self._take(data, events)
        self._pending.extend(events)
        return frames

    def _keep(self, frames: Sequence[UbxFrame]) -> ReceiverIdentity | None:
        """Decode frames that arrive during a dialogue; the identity if it is among them."""
        found = None
        for frame in frames:
            for event in self.decoder.decode(frame, self._timebase.mono_ns()):
                self._pending.append(event)
                if isinstance(event, ReceiverIdentity):
                    found = event
        return found

    def _deadline(self, timeout_s: float) -> int:
        return self._timebase.mono_ns() + round(timeout_s * NS_PER_S)

    def _read_until(self, deadline_ns: int) -> bytes:
        left_ns = deadline_ns - self._timebase.mono_ns()
        return self.stream.read(_READ_BYTES, left_ns / NS_PER_S) if left_ns > 0 else b""


def _acknowledged(frame: UbxFrame, key: int) -> Answer | None:
    if frame.key not in (ubx.ACK_ACK, ubx.ACK_NAK) or frame.payload != key.to_bytes(2, "big"):
        return None
    return Answer.ACCEPTED if frame.key == ubx.ACK_ACK else Answer.REFUSED
