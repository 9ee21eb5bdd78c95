"""A u-blox receiver on a byte stream: identify, configure, then everything it says as events.

The dialogue (u-blox F9 interface description, UBX-MON-VER, UBX-CFG-VALGET, UBX-CFG-VALSET): a poll of a CFG
message is answered by the data and then ACK-ACK, or by ACK-NAK. What the receiver already has is not written
again, so that a survey that has been done stays done.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pyubx2 import UBXMessage, cfgname2key

from timecard.errors import DeviceAbsentError, DeviceTimeoutError
from timecard.gnss import ublox_messages as ubx
from timecard.gnss.foreign import protocol_name
from timecard.gnss.receivers.ublox_timing import UbloxDecoder
from timecard.gnss.ublox_profile import MAX_KEYS_PER_MESSAGE, PROBE_KEY, UbloxOptions, wanted_values
from timecard.gnss.ubx import Framer, UbxFrame, encode
from timecard.protocols import ByteStream
from timecard.timebase import Timebase
from timecard.timescale import NS_PER_S
from timecard.values import CorruptData, GnssEvent, ReceiverIdentity

_LOG: Final = logging.getLogger(__name__)
_READ_BYTES: Final = 4096
_READS_PER_POLL: Final = 4
_MAX_PENDING: Final = 512
TIME_MODE_PREFIX: Final = "CFG_TMODE_"
TIME_MODE_KEY: Final = "CFG_TMODE_MODE"
FIXED_MODE: Final = 2
_SAMPLE_BYTES: Final = 2048
_VALGET_S: Final = 2.0
_VALSET_S: Final = 2.5
_TRIES: Final = 2
_RAM: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverHealth:
    """What the line and the receiver are like, apart from what the receiver says about GNSS."""

    last_frame_mono_ns: int | None
    """When the last good frame was read; None before the first. Silence shows here."""
    uptime_ms: int | None
    """Since the receiver's start (NAV-STATUS msss)."""
    restarts: int
    """Restarts seen since this object was made; after one, call ``start`` again: RAM settings are gone."""
    frames: int
    corrupt_bytes: int
    warnings: tuple[str, ...]
    """What could not be configured, and why times are refused, in plain words."""


class UbloxReceiver:
    """``GnssReceiver`` for u-blox timing receivers (F9T and newer; an M8T is used as it is configured)."""

    def __init__(self, stream: ByteStream, timebase: Timebase, options: UbloxOptions | None = None) -> None:
        self.name = stream.name
        self.identity: ReceiverIdentity | None = None
        """Who answered; None before ``start``."""
        self._stream = stream
        self._timebase = timebase
        self._options = options or UbloxOptions()
        self._framer = Framer()
        self._decoder = UbloxDecoder(self._options)
        self._pending: deque[GnssEvent] = deque(maxlen=_MAX_PENDING)
        self._last_frame_mono_ns: int | None = None
        self._frames = 0
        self._corrupt_bytes = 0
        self._warnings: list[str] = []
        self._problem: str | None = None
        self.changed: Mapping[str, tuple[int, int]] = {}
        """What the last ``start`` wrote: key to the value before and the value wanted."""

    def health(self) -> ReceiverHealth:
        """The state of the line."""
        problem = self._decoder.problem
        return ReceiverHealth(
            last_frame_mono_ns=self._last_frame_mono_ns,
            uptime_ms=self._decoder.uptime_ms,
            restarts=self.restarts,
            frames=self._frames,
            corrupt_bytes=self._corrupt_bytes + self._framer.unreported_bytes,
            warnings=(*self._warnings, problem) if problem else tuple(self._warnings),
        )

    @property
    def restarts(self) -> int:
        """How often the receiver was seen to begin anew by itself."""
        return self._decoder.restarts

    def start(self) -> None:
        """Identify and configure; what arrives meanwhile is given out by ``poll``.

        Raises ``DeviceAbsentError`` when nobody answers MON-VER, saying what was heard instead. A receiver
        that refuses to be configured is used as it is, with a warning (``health``).
        """
        self._warnings.clear()
        self.identity = self._identify()
        _LOG.info("%s: found model=%s firmware=%s", self.name, self.identity.model, self.identity.firmware)
        if self._options.configure:
            self._configure()
        for warning in self._warnings:
            _LOG.warning("%s: %s", self.name, warning)

    def compare(self) -> Mapping[str, tuple[int, int]]:
        """Identify and read only: key to the value in force and the value that ``start`` would write.

        Raises as ``start``; what cannot be asked for is a warning (``health``).
        """
        self._warnings.clear()
        self.identity = self._identify()
        wanted, present = self._wanted_and_present()
        return {name: (present[name], value) for name, value in wanted.items() if present[name] != value}

    def poll(self, timeout_s: float) -> Sequence[GnssEvent]:
        """Events decoded from what has arrived; waits at most ``timeout_s`` for the first byte."""
        events: list[GnssEvent] = list(self._pending)
        self._pending.clear()
        timeout_s = 0.0 if events else timeout_s
        for _ in range(_READS_PER_POLL):
            data = self._stream.read(_READ_BYTES, timeout_s)
            if not data:
                break
            for frame in self._take(data, events):
                events.extend(self._decoder.decode(frame, self._timebase.mono_ns()))
            if len(data) < _READ_BYTES:
                break  # that was all
            timeout_s = 0.0
        self._note_problem()
        return events

    def _take(self, data: bytes, events: list[GnssEvent]) -> list[UbxFrame]:
        now_ns = self._timebase.mono_ns()
        frames = []
        for item in self._framer.feed(data, now_ns):
            if isinstance(item, CorruptData):
                self._corrupt_bytes += item.length
                events.append(item)
                continue
            self._last_frame_mono_ns = now_ns
            self._frames += 1
            if isinstance(item, UbxFrame):
                frames.append(item)
        return frames

    def _note_problem(self) -> None:
        problem = self._decoder.problem
        if problem != self._problem:
            self._problem = problem
            if problem:
                _LOG.warning("%s: %s", self.name, problem)

    # --- identification -------------------------------------------------------------------------------------

    def _identify(self) -> ReceiverIdentity:
        heard = bytearray()
        sentences = self._frames
        for _ in range(self._options.identify_tries):
            self._stream.write(encode(ubx.MON_VER))
            deadline_ns = self._deadline(self._options.identify_timeout_s)
            while data := self._read_until(deadline_ns):
                if len(heard) < _SAMPLE_BYTES:
                    heard += data
                found = self._keep_events(self._take_pending(data))
                if found is not None:
                    return found
        if self._frames > sentences:
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

    def _take_pending(self, data: bytes) -> list[UbxFrame]:
        events: list[GnssEvent] = []
        frames = self._take(data, events)
        self._pending.extend(events)
        return frames

    def _keep_events(self, frames: Sequence[UbxFrame]) -> ReceiverIdentity | None:
        """Decode frames that arrive during a dialogue; the identity if it is among them."""
        found = None
        for frame in frames:
            for event in self._decoder.decode(frame, self._timebase.mono_ns()):
                self._pending.append(event)
                if isinstance(event, ReceiverIdentity):
                    found = event
        return found

    # --- configuration --------------------------------------------------------------------------------------

    def _configure(self) -> None:
        wanted, present = self._wanted_and_present()
        different = {name: value for name, value in wanted.items() if present[name] != value}
        self.changed = {name: (present[name], value) for name, value in different.items()}
        if different:
            self._write_values(different)
            present |= self._read_all(list(different))
            refused = [name for name, value in different.items() if present[name] != value]
            if refused:
                self._warnings.append(f"could not be set: {', '.join(refused)}")
        if present:
            self._decoder.fixed_position = present.get(TIME_MODE_KEY) == FIXED_MODE

    def _wanted_and_present(self) -> tuple[dict[str, int], dict[str, int]]:
        """Values wanted, as far as the receiver knows their keys, and values in force."""
        wanted = wanted_values(self._options)
        try:
            takes_keys = self._read_values([PROBE_KEY]) is not None
        except DeviceTimeoutError:
            takes_keys = False
        if not takes_keys:
            self._warnings.append(
                "does not take configuration by keys (CFG-VALGET refused): used as it is configured; "
                "1 Hz TIM-TP, NAV-STATUS, NAV-TIMEUTC and NAV-TIMELS are needed"
            )
            return {}, {}
        present = self._read_all(list(wanted))
        if self._options.fixed_position is None and present.get(TIME_MODE_KEY) == FIXED_MODE:
            # Nobody gave a position, but the receiver has one: a new survey would throw it away.
            wanted = {name: value for name, value in wanted.items() if not name.startswith(TIME_MODE_PREFIX)}
        missing = [name for name in wanted if name not in present]
        if missing:
            self._warnings.append(f"firmware does not know {', '.join(missing)}")
        return {name: value for name, value in wanted.items() if name in present}, present

    def _read_all(self, names: Sequence[str]) -> dict[str, int]:
        """Values in force. One unknown key refuses a request, so that is asked again in halves."""
        values: dict[str, int] = {}
        for chunk in _chunks(names):
            found = self._read_values(chunk)
            if found is None and len(chunk) > 1:
                middle = len(chunk) // 2
                found = self._read_all(chunk[:middle]) | self._read_all(chunk[middle:])
            values |= found or {}
        return values

    def _read_values(self, names: Sequence[str]) -> dict[str, int] | None:
        """One CFG-VALGET of the RAM layer; None when it was refused."""
        poll = UBXMessage.config_poll(_RAM, 0, list(names)).serialize()
        message = self._exchange(poll, ubx.CFG_VALGET, _VALGET_S, names)
        return None if message is None else {name: int(getattr(message, name)) for name in names}

    def _write_values(self, values: Mapping[str, int]) -> None:
        """CFG-VALSET, all or nothing; if refused, group by group: a bad key costs only its group."""
        for chunk in _chunks(list(values)):
            if self._set_values({name: values[name] for name in chunk}):
                continue
            groups: dict[int, dict[str, int]] = {}
            for name in chunk:
                groups.setdefault(cfgname2key(name)[0] >> 16 & 0xFFF, {})[name] = values[name]
            for group in groups.values():
                self._set_values(group)

    def _set_values(self, values: Mapping[str, int]) -> bool:
        message = UBXMessage.config_set(self._options.layers, 0, list(values.items())).serialize()
        return self._exchange(message, ubx.CFG_VALSET, _VALSET_S) is not None

    def _exchange(self, request: bytes, key: int, timeout_s: float, names: Sequence[str] = ()) -> Any:
        """Send a CFG message; the data reply (True without one), or None when it was refused.

        Only a reply with all of ``names`` is taken: an earlier try may be answered late. Raises
        ``DeviceTimeoutError`` after silence.
        """
        answered = key.to_bytes(2, "big")
        for _ in range(_TRIES):
            self._stream.write(request)
            deadline_ns = self._deadline(timeout_s)
            reply: Any = None if names else True
            while data := self._read_until(deadline_ns):
                frames = self._take_pending(data)
                self._keep_events(frames)
                for frame in frames:
                    if frame.key == key:
                        message = ubx.parse(frame, self._timebase.mono_ns())
                        if all(hasattr(message, name) for name in names):
                            reply = message
                    elif frame.key == ubx.ACK_NAK and frame.payload == answered:
                        return None
                    elif frame.key == ubx.ACK_ACK and frame.payload == answered and reply is not None:
                        return reply
        raise DeviceTimeoutError(
            self.name, f"configure GNSS receiver ({key:04X})", f"no answer in {timeout_s} s"
        )

    def _deadline(self, timeout_s: float) -> int:
        return self._timebase.mono_ns() + round(timeout_s * NS_PER_S)

    def _read_until(self, deadline_ns: int) -> bytes:
        left_ns = deadline_ns - self._timebase.mono_ns()
        return self._stream.read(_READ_BYTES, left_ns / NS_PER_S) if left_ns > 0 else b""


def _chunks(names: Sequence[str]) -> list[Sequence[str]]:
    return [names[at : at + MAX_KEYS_PER_MESSAGE] for at in range(0, len(names), MAX_KEYS_PER_MESSAGE)]
