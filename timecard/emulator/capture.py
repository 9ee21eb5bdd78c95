"""A recorded UBX byte stream played on the GNSS port as if it were happening now.

Everything that names a time is rewritten to the run's own time, and the recording begins again at its end.
The recorded quantisation errors belong to pulses of the past: TIM-TP goes out with qErr 0 and marked
invalid. The player answers as the M8T whose recording it was made for: it identifies itself and refuses
CFG-VALSET.
"""

from __future__ import annotations

import random
import struct
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from timecard.emulator.gnss_noise import GnssPulse
from timecard.emulator.receiver_firmware import M8T
from timecard.emulator.receiver_leap import LeapSchedule
from timecard.emulator.receiver_pulse import PulsePhysics
from timecard.emulator.receiver_tod import TodStatus, TodTap
from timecard.emulator.serial_line import SerialLine
from timecard.gnss.foreign import protocol_name
from timecard.gnss.ubx import Framer, UbxFrame, encode, without_header
from timecard.timescale import NS_PER_S, S_PER_WEEK, TAI_MINUS_GPS_S, tai_to_gps

MAX_FILE_BYTES: Final = 64_000_000
BAUD: Final = 115_200
_FIRST_BYTE_NS: Final = (30_000_000, 150_000_000)
_REPLY_NS: Final = 8_000_000
_NAV_STATUS, _NAV_PVT, _NAV_TIMEGPS, _NAV_TIMEUTC, _NAV_TIMELS = 0x0103, 0x0107, 0x0120, 0x0121, 0x0126
_NAV_EOE, _TIM_TP, _MON_VER, _ACK_NAK = 0x0161, 0x0D01, 0x0A04, 0x0500
_ITOW_AT: Final[Mapping[int, int]] = {0x0113: 4, 0x0114: 4, 0x013B: 4, 0x013C: 4, 0x0162: 4, 0x0164: 4}
"""Where a NAV message has its time of week, if not at 0: HPPOSECEF, HPPOSLLH, SVIN, RELPOSNED, PL,
TIMETRUSTED."""
_LAYOUT_BYTES: Final[Mapping[int, int]] = {
    _NAV_STATUS: 16, _NAV_PVT: 84, _NAV_TIMEGPS: 16, _NAV_TIMEUTC: 20, _NAV_TIMELS: 24, _TIM_TP: 16,
}  # fmt: skip
"""What is rewritten must be there."""
_KEPT_EPOCHS: Final = 8


class CaptureError(ValueError):
    """A recording that cannot be played; names the file and what is wrong."""


class Recorded(NamedTuple):
    """One frame of the recording."""

    key: int
    payload: bytes


class Recording(NamedTuple):
    """A whole file: frames by epoch."""

    epochs: tuple[tuple[Recorded, ...], ...]
    skipped_bytes: int
    """Noise, other protocols, polls, configuration and an unfinished end."""


def read_capture(path: Path) -> Recording:
    """Read a recording. Raises ``CaptureError``."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise CaptureError(f"{path}: cannot read: {error.strerror or error}") from None
    if len(data) > MAX_FILE_BYTES:
        raise CaptureError(f"{path}: larger than {MAX_FILE_BYTES} bytes; play a shorter piece")
    if not data:
        raise CaptureError(f"{path}: empty")
    stream_bytes = without_header(data)
    items = Framer().feed(stream_bytes, 0)
    frames = [item for item in items if isinstance(item, UbxFrame) and _is_playable(item)]
    epochs = _by_epoch([Recorded(frame.key, frame.payload) for frame in frames])
    if not epochs:
        looks_like = protocol_name(stream_bytes)
        content = f"looks like {looks_like}" if looks_like else "no UBX navigation messages in it"
        raise CaptureError(f"{path}: {content}; a recording of UBX NAV and TIM messages is needed")
    played = sum(len(frame.payload) + 8 for epoch in epochs for frame in epoch)
    return Recording(epochs, len(stream_bytes) - played)


def _is_playable(frame: UbxFrame) -> bool:
    """No dialogue with a host (CFG, ACK, MON-VER, polls), and complete."""
    if frame.key >> 8 in (0x05, 0x06) or frame.key == _MON_VER or len(frame.raw) == 8:
        return False
    return len(frame.raw) - 8 >= _LAYOUT_BYTES.get(frame.key, 1)


def _by_epoch(frames: Sequence[Recorded]) -> tuple[tuple[Recorded, ...], ...]:
    """Frames grouped by time of week.

    What comes between two epochs belongs to the one before, but for a TIM-TP without a NAV-EOE before it: an
    M8T opens its burst with that.
    """
    closes = any(frame.key == _NAV_EOE for frame in frames)
    epochs: list[list[Recorded]] = []
    between: list[Recorded] = []
    itow: int | None = None
    for frame in frames:
        own = _itow(frame)
        if own is None:
            opens = between or not epochs or (frame.key == _TIM_TP and not closes)
            (between if opens else epochs[-1]).append(frame)
            continue
        if own != itow:
            epochs.append([])
            itow = own
        epochs[-1] += between
        between = []
        epochs[-1].append(frame)
    return tuple(tuple(epoch) for epoch in epochs)


def _itow(frame: Recorded) -> int | None:
    at = _ITOW_AT.get(frame.key, 0)
    if frame.key >> 8 != 0x01 or len(frame.payload) < at + 4:
        return None
    return int.from_bytes(frame.payload[at : at + 4], "little")


class CaptureReceiver:
    """A ``SerialDevice`` that plays a recording, one epoch a second."""

    def __init__(
        self,
        path: Path,
        gnss: PulsePhysics,
        start_tai_ns: int,
        *,
        seed: int = 0,
        leap: LeapSchedule | None = None,
        baud: int = BAUD,
    ) -> None:
        """Raises ``CaptureError``. ``baud``: at which it is played."""
        recording = read_capture(path)
        self.skipped_bytes = recording.skipped_bytes
        """Bytes of the file that are not played."""
        self.refused: Counter[int] = Counter()
        """Configuration messages that were refused, by class and id."""
        self.silent = False
        self.time_offset_s = 0
        """Added to every time that is reported."""
        self.leap = leap or LeapSchedule()
        self._epochs = recording.epochs
        self._gnss = gnss
        self._random = random.Random(seed)
        self.baud = baud
        self._line = SerialLine(baud)
        self._framer = Framer()
        self._tod = TodTap()
        self._next_second = start_tai_ns // NS_PER_S + 1
        self._played = 0
        self._locked = True
        self._present: dict[int, bool] = {}
        statuses = (frame for epoch in self._epochs for frame in epoch if frame.key == _NAV_STATUS)
        first_status = next(statuses, None)
        self._first_uptime_ms = int.from_bytes(first_status.payload[12:16], "little") if first_status else 0
        self._restamp: dict[int, Callable[[bytearray, int], None]] = {
            _NAV_STATUS: self._nav_status,
            _NAV_PVT: self._nav_pvt,
            _NAV_TIMEGPS: self._nav_timegps,
            _NAV_TIMEUTC: self._nav_timeutc,
            _NAV_TIMELS: self._nav_timels,
            _TIM_TP: self._tim_tp,
        }

    def receive(self, data: bytes, t_ns: int) -> None:
        """MON-VER is answered, configuration refused, the rest ignored."""
        self.advance(t_ns)
        if self.silent:
            return
        for item in self._framer.feed(data, t_ns):
            if not isinstance(item, UbxFrame):
                continue
            if item.key == _MON_VER:
                self._line.put(encode(_MON_VER, M8T.mon_ver()), t_ns + _REPLY_NS)
            elif item.key >> 8 == 0x06:
                self.refused[item.key] += 1
                self._line.put(encode(_ACK_NAK, item.key.to_bytes(2, "big")), t_ns + _REPLY_NS)

    def transmit(self, t_ns: int) -> bytes:
        """Bytes that have come out of the UART since the last call."""
        self.advance(t_ns)
        return self._line.take(t_ns)

    def next_byte_ns(self) -> int:
        """The earliest time at which ``transmit`` can have something new."""
        waiting = self._line.next_ns()
        next_epoch = self._next_second * NS_PER_S
        return next_epoch if waiting is None else min(waiting, next_epoch)

    def edge(self, second_tai_s: int) -> GnssPulse:
        """The pulse of a whole TAI second: there while the recorded receiver had a fix."""
        self.advance(second_tai_s * NS_PER_S)
        pulse = self._gnss.edge(second_tai_s)
        present = pulse.present and self._present.get(second_tai_s, self._locked)
        return pulse._replace(present=present, qerr_valid=False)

    def tod_status(self, t_ns: int) -> TodStatus:
        """What the FPGA's time-of-day slave has understood by ``t_ns``."""
        self.advance(t_ns)
        return self._tod.status(t_ns)

    def advance(self, t_ns: int) -> None:
        """Let everything happen up to ``t_ns``."""
        while self._next_second * NS_PER_S <= t_ns:
            self._second(self._next_second)
            self._next_second += 1

    def _second(self, second: int) -> None:
        epoch = self._epochs[self._played % len(self._epochs)]
        self._played += 1
        reported = second + self.time_offset_s
        frames = [(frame.key, self._as_now(frame, reported)) for frame in epoch]
        self._present[second] = self._locked
        self._present.pop(second - _KEPT_EPOCHS, None)
        start_ns = second * NS_PER_S
        if self.silent or self._line.free_ns > start_ns + NS_PER_S:
            return
        self._line.put(
            b"".join(encode(key, payload) for key, payload in frames),
            start_ns + self._random.randint(*_FIRST_BYTE_NS),
        )
        for key, payload in frames:
            self._tod.observe(key, payload, self._line.free_ns)

    def _as_now(self, frame: Recorded, tai_s: int) -> bytes:
        payload = bytearray(frame.payload)
        self._set_itow(frame.key, payload, tai_s)
        restamp = self._restamp.get(frame.key)
        if restamp is not None:
            restamp(payload, tai_s)
        if frame.key == _NAV_STATUS:
            self._locked = bool(payload[5] & 1)
        return bytes(payload)

    # --- rewriting times ------------------------------------------------------------------------------------

    @staticmethod
    def _set_itow(key: int, payload: bytearray, tai_s: int) -> None:
        at = _ITOW_AT.get(key, 0)
        if key >> 8 == 0x01 and len(payload) >= at + 4:
            struct.pack_into("<I", payload, at, tai_to_gps(tai_s * NS_PER_S)[1] // 1_000_000)

    def _nav_status(self, payload: bytearray, tai_s: int) -> None:
        """Uptime goes on where the recording begins again: the receiver did not restart."""
        struct.pack_into("<I", payload, 12, (self._first_uptime_ms + 1000 * self._played) & 0xFFFFFFFF)

    def _nav_pvt(self, payload: bytearray, tai_s: int) -> None:
        struct.pack_into("<H5B", payload, 4, *self.leap.utc(tai_s))

    def _nav_timeutc(self, payload: bytearray, tai_s: int) -> None:
        struct.pack_into("<H5B", payload, 12, *self.leap.utc(tai_s))

    def _nav_timegps(self, payload: bytearray, tai_s: int) -> None:
        week, _ = tai_to_gps(tai_s * NS_PER_S)
        struct.pack_into("<hb", payload, 8, week, self._leap_s(tai_s))

    def _nav_timels(self, payload: bytearray, tai_s: int) -> None:
        change, left_s = self.leap.coming(tai_s)
        struct.pack_into("<b", payload, 9, self._leap_s(tai_s))
        struct.pack_into("<bi", payload, 11, change, left_s)

    def _tim_tp(self, payload: bytearray, tai_s: int) -> None:
        """The next pulse in the recording's own time base, without its quantisation error."""
        utc = payload[14] & 1
        zero_s = 315_964_800 + TAI_MINUS_GPS_S + (self._leap_s(tai_s + 1) if utc else 0)
        week, tow_s = divmod(tai_s + 1 - zero_s, S_PER_WEEK)
        struct.pack_into("<IIiH", payload, 0, tow_s * 1000, 0, 0, week)
        payload[14] |= 0x10
        if not utc:
            payload[15] &= 0xF0  # counted in GPS time, whatever it was

    def _leap_s(self, tai_s: int) -> int:
        """GPS - UTC."""
        return self.leap.tai_minus_utc_s(tai_s) - TAI_MINUS_GPS_S
