"""What receivers share that are read by ``StreamDecoder``: bytes in, events out, and who it seems to be."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from timecard.errors import DeviceAbsentError
from timecard.gnss.driver import Capability
from timecard.gnss.foreign import protocol_name
from timecard.gnss.stream_decoder import StreamDecoder
from timecard.protocols import ByteStream
from timecard.timebase import Timebase
from timecard.timescale import NS_PER_S
from timecard.values import GnssEvent, ReceiverIdentity

READ_BYTES: Final = 4096
_READS_PER_POLL: Final = 4
_MAX_PENDING: Final = 512
_SAMPLE_BYTES: Final = 4096


class StreamReceiver:
    """The reading half of a ``Receiver``; ``capabilities`` and the writing half are the family's."""

    capabilities: frozenset[Capability] = frozenset()

    def __init__(self, stream: ByteStream, timebase: Timebase) -> None:
        self.name = stream.name
        self.identity: ReceiverIdentity | None = None
        self.decoder = StreamDecoder()
        self._stream = stream
        self._timebase = timebase
        self._pending: deque[GnssEvent] = deque(maxlen=_MAX_PENDING)

    @property
    def restarts(self) -> int:
        """How often the receiver was seen to begin anew by itself."""
        return self.decoder.septentrio.restarts + self.decoder.ublox.restarts

    def poll(self, timeout_s: float) -> Sequence[GnssEvent]:
        """Events decoded from what has arrived; waits at most ``timeout_s`` for the first byte."""
        events = list(self._pending)
        self._pending.clear()
        timeout_s = 0.0 if events else timeout_s
        for _ in range(_READS_PER_POLL):
            data = self._stream.read(READ_BYTES, timeout_s)
            if not data:
                break
            events.extend(self.decoder.feed(data, self._timebase.mono_ns()))
            if len(data) < READ_BYTES:
                break
            timeout_s = 0.0
        return events

    def _keep(self, data: bytes) -> None:
        """Decode what arrives during a dialogue; ``poll`` gives it out."""
        self._pending.extend(self.decoder.feed(data, self._timebase.mono_ns()))

    def _deadline(self, timeout_s: float) -> int:
        return self._timebase.mono_ns() + round(timeout_s * NS_PER_S)

    def _read_until(self, deadline_ns: int) -> bytes:
        left_ns = deadline_ns - self._timebase.mono_ns()
        return self._stream.read(READ_BYTES, left_ns / NS_PER_S) if left_ns > 0 else b""


def absent(name: str, heard: bytes, wanted: str) -> DeviceAbsentError:
    """The error for a receiver that is not there, saying what was heard instead."""
    protocol = protocol_name(heard[:_SAMPLE_BYTES])
    if protocol is not None:
        reason = f"speaks {protocol}, no {wanted} receiver"
    elif heard:
        reason = f"{len(heard)} bytes without a valid frame: wrong baud rate?"
    else:
        reason = "nothing received: no receiver, or the line is cut"
    return DeviceAbsentError(name, "identify GNSS receiver", reason)
