"""Spoiling bytes: blindly, and below a right checksum so that what decodes the content is reached as well."""

from __future__ import annotations

import random
from binascii import crc_hqx
from collections.abc import Sequence
from functools import reduce
from operator import xor
from pathlib import Path

from timecard.gnss.capture import CaptureReader
from timecard.gnss.checksums import crc24q, fletcher8
from timecard.gnss.frame_names import frame_name
from timecard.gnss.framing import Framer, NmeaSentence, Rtcm3Frame, SbfBlock, UbxFrame
from timecard.values import CorruptData

EDGES = (0x00, 0x01, 0x7F, 0x80, 0xFF, 0xB5, 0x24, 0xD3, 0x0A, 0x0D, 0x2A, 0x2C)
PER_NAME = 12
"""Frames of one name that are kept of all recordings."""
SENTENCE_BYTES = b"0123456789.,-NSEWAVM$*GP\r\n \x00\xff"


class Corpus:
    """Frames of real receivers and of emulated ones, and where they come from."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.runs: list[list[bytes]] = []
        """Frames in the order in which a receiver sent them."""
        self._seen: dict[str, int] = {}

    def add_stream(self, data: bytes) -> None:
        """Take the frames of a stream."""
        framer = Framer()
        items = [*framer.feed(data, 0), *framer.finish(0)]
        frames = [item for item in items if not isinstance(item, CorruptData)]
        run = [frame.raw for frame in frames[:400]]
        if run:
            self.runs.append(run)
        for frame in frames:
            name = frame_name(frame)[0]
            if self._seen.setdefault(name, 0) < PER_NAME and frame.raw not in self.frames:
                self._seen[name] += 1
                self.frames.append(frame.raw)

    def add_recordings(self, folder: Path) -> None:
        """Take every recording below a folder."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.add_stream(b"".join(piece.data for piece in CaptureReader(path)))


class Mutator:
    """Random changes from one source of randomness."""

    def __init__(self, rng: random.Random, pool: Sequence[bytes] = ()) -> None:
        self.random = rng
        self.pool = pool

    def mutate(self, data: bytes, most: int = 6) -> bytes:
        """A few changes anywhere."""
        spoilt = bytearray(data)
        for _ in range(self.random.randint(1, most)):
            self._change(spoilt)
        return bytes(spoilt)

    def text(self, text: str, most: int = 6) -> str:
        """A text with a few changes, which may be no text any more."""
        return self.mutate(text.encode("utf-8"), most).decode("utf-8", "replace")

    def reframed(self, raw: bytes) -> bytes:
        """A frame whose content is changed and whose checksum is right again."""
        if raw[:2] == b"\xb5\x62":
            return self._ubx(raw)
        if raw[:2] == b"$@":
            return self._sbf(raw)
        if raw[:1] == b"\xd3":
            payload = self._content(raw[3:-3], 1023)
            head = b"\xd3" + len(payload).to_bytes(2, "big") + payload
            return head + crc24q(head).to_bytes(3, "big")
        return self._sentence(raw)

    def stream(self, corpus: Corpus, frames: int) -> bytes:
        """A piece of a receiver's stream in which some frames are spoilt."""
        rng = self.random
        if corpus.runs and rng.random() < 0.5:
            run = rng.choice(corpus.runs)
            at = rng.randrange(len(run))
            chosen = run[at : at + frames]
        else:
            chosen = [rng.choice(corpus.frames) for _ in range(frames)]
        return b"".join(self._passed(raw) for raw in chosen)

    def pieces(self, data: bytes) -> list[bytes]:
        """The data cut at random places."""
        rng, pieces, at = self.random, [], 0
        largest = rng.choice((1, 7, 64, 700, 5000))
        while at < len(data):
            size = rng.randint(1, largest)
            pieces.append(data[at : at + size])
            at += size
        return pieces

    def _passed(self, raw: bytes) -> bytes:
        fate = self.random.random()
        if fate < 0.35:
            return raw
        if fate < 0.75:
            return self.reframed(raw)
        if fate < 0.9:
            return self.mutate(raw)
        return raw + self.random.randbytes(self.random.randint(1, 40))

    def _change(self, data: bytearray) -> None:
        rng = self.random
        at = rng.randrange(len(data) + 1)
        size = min(rng.choice((1, 1, 2, 4, 16, 64)), len(data) - at)
        kind = rng.randrange(9)
        if kind == 0 and size:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and size:
            data[at] = rng.choice(EDGES)
        elif kind == 2:
            del data[at : at + size]
        elif kind == 3:
            data[at:at] = data[at : at + size] * rng.choice((1, 1, 3, 40))
        elif kind == 4:
            data[at:at] = rng.randbytes(rng.choice((1, 2, 8, 100)))
        elif kind == 5:
            del data[at:]
        elif kind == 6 and self.pool:
            other = rng.choice(self.pool)
            begin = rng.randrange(len(other) + 1)
            data[at : at + size] = other[begin : begin + rng.choice((4, 16, 64, len(other)))]
        elif kind == 7:
            data[at : at + size] = bytes((rng.choice(EDGES),)) * size
        else:
            data[at : at + size] = rng.randbytes(size)

    def _content(self, content: bytes, longest: int) -> bytes:
        if self.random.random() < 0.5 and content:  # of the same length: it is decoded, not refused
            changed = bytearray(content)
            for _ in range(self.random.randint(1, 6)):
                at = self.random.randrange(len(changed))
                changed[at] = self.random.choice((*EDGES, self.random.randrange(256)))
            return bytes(changed)
        return self.mutate(content)[:longest]

    def _ubx(self, raw: bytes) -> bytes:
        head = raw[2:4] if self.random.random() < 0.95 else self.random.randbytes(2)
        payload = self._content(raw[6:-2], 8100)
        body = head + len(payload).to_bytes(2, "little") + payload
        return b"\xb5\x62" + body + bytes(fletcher8(body))

    def _sbf(self, raw: bytes) -> bytes:
        content = self._content(raw[8:], 8100)
        content += bytes(-len(content) % 4)
        body = raw[4:6] + (len(content) + 8).to_bytes(2, "little") + content
        return b"$@" + crc_hqx(body, 0).to_bytes(2, "little") + body

    def _sentence(self, raw: bytes) -> bytes:
        body = bytearray(raw[1 : raw.rfind(b"*")])
        fields = body.split(b",")
        for _ in range(self.random.randint(1, 4)):
            at = self.random.randrange(len(fields))
            kind = self.random.randrange(5)
            if kind == 0:
                fields[at] = bytearray()
            elif kind == 1:
                fields[at] = bytearray(
                    self.random.choice(SENTENCE_BYTES) for _ in range(self.random.randint(1, 12))
                )
            elif kind == 2:
                fields.insert(at, bytearray(b"%d" % self.random.randrange(-(10**9), 10**18)))
            elif kind == 3 and len(fields) > 1:
                del fields[at]
            else:
                fields[at] = bytearray(self.mutate(bytes(fields[at]), 2))
        body = bytearray(b",".join(fields))
        return b"$%s*%02X\r\n" % (body, reduce(xor, body, 0))


__all__ = ["Corpus", "Mutator", "NmeaSentence", "Rtcm3Frame", "SbfBlock", "UbxFrame"]
