"""Framing of a receiver's mixed bytes, without I/O: UBX, SBF, NMEA and RTCM3 in any order, cut anywhere.

Frame layouts: u-blox F9 interface description (UBX-18010854), "UBX frame structure" and "UBX checksum";
Septentrio SBF block header ("$@", CRC-16/CCITT over all that follows it, length a multiple of 4); NMEA 0183
sentence with its XOR checksum; RTCM 10403 transport layer with CRC-24Q. What fits none of them is counted,
never raised: a serial line carries noise. After a false start the search goes on at the very next byte, so
damage never costs more than the frame that it hit.
"""

from __future__ import annotations

import re
from binascii import crc_hqx
from collections.abc import Sequence
from functools import reduce
from operator import xor
from typing import Final, NamedTuple

from timecard.gnss.checksums import crc24q, fletcher8
from timecard.timescale import NS_PER_S
from timecard.values import CorruptData

MAX_FRAME_BYTES: Final = 8192
"""No message in use is longer; a false start with a huge length must not swallow a minute of data."""
MAX_SENTENCE_BYTES: Final = 256
"""The standard's 82 is exceeded by high-precision and vendor sentences."""
PATIENCE_NS: Final = 2 * NS_PER_S
"""A frame that is still incomplete after this time is a false start: 1200 bytes at 9600 baud take 1.3 s."""
MAX_CORRUPT_RUN: Final = 8192
"""A longer run of noise is reported in pieces, so that a line without a single frame is seen as well."""
MIN_SBF_BYTES: Final = 16
"""Header, time of week, week, and the padding to a multiple of 4."""

_LENGTHS: Final = {
    0x0101: range(20, 21),
    0x0102: range(28, 29),
    0x0103: range(16, 17),
    0x0107: range(84, 93, 8),
    0x0120: range(16, 17),
    0x0121: range(20, 21),
    0x0126: range(24, 25),
    0x0135: range(8, 8 + 12 * 128, 12),
    0x0143: range(8, 8 + 16 * 256, 16),
    0x0161: range(4, 5),
    0x0A09: range(56, 69, 4),
    0x0A38: range(4, 4 + 24 * 9, 24),
    0x0D01: range(16, 17),
    0x0D04: range(28, 29),
}
"""UBX payload lengths of messages that come all the time, over all generations. A header whose length was
damaged on the line is then known at once, instead of holding back what follows until ``PATIENCE_NS`` is
over."""

_STARTS: Final = re.compile(rb"[\xb5$\xd3]")
_NOT_TEXT: Final = re.compile(rb"[^\x20-\x7e]")
_SENTENCE: Final = re.compile(rb"\$([A-Z][0-9A-Z]{2,23}(?:,[\x20-\x7e]*)?)\*([0-9A-Fa-f]{2})\r?\n")
_HEADER_LINE: Final = re.compile(rb"[#{][^\n]*\n")
_INCOMPLETE: Final = -1
_REJECTED: Final = 0


class UbxFrame(NamedTuple):
    """A UBX frame with a right checksum."""

    key: int
    """Class and id: 0x0107 is NAV-PVT."""
    raw: bytes
    """The whole frame, sync characters and checksum included."""

    @property
    def payload(self) -> bytes:
        """What the message says."""
        return self.raw[6:-2]


class SbfBlock(NamedTuple):
    """A Septentrio block with a right CRC."""

    number: int
    """4007 is PVTGeodetic; without the revision, which is in the upper three bits of the id on the wire."""
    raw: bytes


class NmeaSentence(NamedTuple):
    """A sentence with a right checksum, line end included."""

    raw: bytes


class Rtcm3Frame(NamedTuple):
    """An RTCM 3 frame with a right CRC; nothing here uses its content."""

    raw: bytes


Frame = UbxFrame | SbfBlock | NmeaSentence | Rtcm3Frame
Item = Frame | CorruptData


def without_header(capture: bytes) -> bytes:
    """A recorded file without the text lines that recorders put before the first byte of the stream."""
    return capture[header_end(capture)[0] :]


def header_end(capture: bytes) -> tuple[int, int]:
    """Bytes and lines of text before the first byte of the stream in a recorded file."""
    end = lines = 0
    while line := _HEADER_LINE.match(capture, end):
        end = line.end()
        lines += 1
    return end, lines


class Framer:
    """Bytes in, frames out: the same frames however the stream was cut.

    (One exception on purpose: what is still incomplete after ``PATIENCE_NS`` is taken for a false start.)
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._waiting_since_ns: int | None = None
        self._corrupt = 0
        self._reason = ""

    @property
    def unreported_bytes(self) -> int:
        """Noise since the last frame, not yet reported: it is when the next frame ends it."""
        return self._corrupt

    def feed(self, data: bytes, read_mono_ns: int) -> Sequence[Item]:
        """Take bytes read at ``read_mono_ns``; returns what they completed, in order."""
        self._buffer += data
        items: list[Item] = []
        self._scan(read_mono_ns, PATIENCE_NS, items)
        return items

    def finish(self, read_mono_ns: int) -> Sequence[Item]:
        """The stream has ended: what is left has no more to wait for and is reported."""
        items: list[Item] = []
        self._scan(read_mono_ns, -1, items)
        self._report(read_mono_ns, items)
        return items

    def _scan(self, read_mono_ns: int, patience_ns: int, items: list[Item]) -> None:
        buffer = self._buffer
        at = 0
        while at < len(buffer):
            first = buffer[at]
            if first == 0xB5:
                end, reason = self._ubx_end(at)
            elif first == 0x24:
                block = buffer[at + 1 : at + 2] == b"@"
                end, reason = self._sbf_end(at) if block else self._sentence_end(at)
            elif first == 0xD3:
                end, reason = self._rtcm3_end(at)
            else:
                start = _STARTS.search(buffer, at)
                skipped = (start.start() if start else len(buffer)) - at
                self._skip(skipped, "no frame", read_mono_ns, items)
                at += skipped
                continue
            if end == _INCOMPLETE:
                if self._waiting_since_ns is None:
                    self._waiting_since_ns = read_mono_ns
                if read_mono_ns - self._waiting_since_ns <= patience_ns:
                    break
                end, reason = _REJECTED, "unfinished frame"
            self._waiting_since_ns = None
            if end == _REJECTED:
                self._skip(1, reason, read_mono_ns, items)
                at += 1
                continue
            self._report(read_mono_ns, items)
            items.append(_frame(bytes(buffer[at:end])))
            at = end
        del buffer[:at]

    def _ubx_end(self, at: int) -> tuple[int, str]:
        buffer = self._buffer
        have = len(buffer) - at
        if have < 2:
            return _INCOMPLETE, ""
        if buffer[at + 1] != 0x62:
            return _REJECTED, "no frame"
        if have < 6:
            return _INCOMPLETE, ""
        length = buffer[at + 4] + (buffer[at + 5] << 8)
        size = length + 8
        lengths = _LENGTHS.get(buffer[at + 2] << 8 | buffer[at + 3])
        if size > MAX_FRAME_BYTES or (length and lengths is not None and length not in lengths):
            return _REJECTED, "UBX length"
        if have < size:
            return _INCOMPLETE, ""
        end = at + size
        if fletcher8(buffer[at + 2 : end - 2]) != (buffer[end - 2], buffer[end - 1]):
            return _REJECTED, "UBX checksum"
        return end, ""

    def _sbf_end(self, at: int) -> tuple[int, str]:
        buffer = self._buffer
        have = len(buffer) - at
        if have < 8:
            return _INCOMPLETE, ""
        size = buffer[at + 6] + (buffer[at + 7] << 8)
        if size % 4 or not MIN_SBF_BYTES <= size <= MAX_FRAME_BYTES:
            return _REJECTED, "SBF length"
        if have < size:
            return _INCOMPLETE, ""
        end = at + size
        if crc_hqx(buffer[at + 4 : end], 0) != buffer[at + 2] + (buffer[at + 3] << 8):
            return _REJECTED, "SBF CRC"
        return end, ""

    def _sentence_end(self, at: int) -> tuple[int, str]:
        buffer = self._buffer
        limit = at + MAX_SENTENCE_BYTES
        newline = buffer.find(b"\n", at, limit)
        if newline < 0:
            # A carriage return may be the last byte so far; any other control character is no sentence.
            odd = _NOT_TEXT.search(buffer, at, limit)
            if len(buffer) >= limit or (odd and (odd.group() != b"\r" or odd.end() < len(buffer))):
                return _REJECTED, "no frame"
            return _INCOMPLETE, ""
        sentence = _SENTENCE.fullmatch(buffer, at, newline + 1)
        if sentence is None:
            return _REJECTED, "no frame"
        if reduce(xor, sentence.group(1)) != int(sentence.group(2), 16):
            return _REJECTED, "NMEA checksum"
        return newline + 1, ""

    def _rtcm3_end(self, at: int) -> tuple[int, str]:
        buffer = self._buffer
        have = len(buffer) - at
        if have >= 2 and buffer[at + 1] & 0xFC:
            return _REJECTED, "no frame"
        if have < 3:
            return _INCOMPLETE, ""
        size = ((buffer[at + 1] & 3) << 8) + buffer[at + 2] + 6
        if have < size:
            return _INCOMPLETE, ""
        return (_REJECTED, "RTCM3 CRC") if crc24q(buffer[at : at + size]) else (at + size, "")

    def _skip(self, count: int, reason: str, read_mono_ns: int, items: list[Item]) -> None:
        if not self._corrupt:
            self._reason = reason
        self._corrupt += count
        while self._corrupt >= MAX_CORRUPT_RUN:
            items.append(CorruptData(length=MAX_CORRUPT_RUN, reason=self._reason, read_mono_ns=read_mono_ns))
            self._corrupt -= MAX_CORRUPT_RUN

    def _report(self, read_mono_ns: int, items: list[Item]) -> None:
        if self._corrupt:
            items.append(CorruptData(length=self._corrupt, reason=self._reason, read_mono_ns=read_mono_ns))
            self._corrupt = 0


def _frame(raw: bytes) -> Frame:
    if raw[0] == 0xB5:
        return UbxFrame(raw[2] << 8 | raw[3], raw)
    if raw[0] == 0xD3:
        return Rtcm3Frame(raw)
    if raw[1] == 0x40:
        return SbfBlock((raw[4] | raw[5] << 8) & 0x1FFF, raw)
    return NmeaSentence(raw)
