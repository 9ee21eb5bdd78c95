"""Dialogues on record: what an emulated part answered to each request; a line that plays it back spoilt."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from tests.fuzzing.mutate import Mutator
from timecard.emulator.world import VirtualTime
from timecard.errors import DeviceLostError
from timecard.protocols import ByteStream
from timecard.timescale import NS_PER_S

MAX_READS = 100_000
MAX_SESSION_S = 3_600.0
"""Virtual; the longest dialogue searches a line at all rates and waits for a boot loader."""
MAX_ANSWER = 16_384

Answers = Mapping[bytes, Sequence[bytes]]


class Recorder:
    """A stream that writes down what came after each write."""

    def __init__(self, stream: ByteStream) -> None:
        self.name = stream.name
        self.answers: dict[bytes, list[bytes]] = {b"": [b""]}
        self._stream = stream
        self._request = b""

    def read(self, max_bytes: int, timeout_s: float) -> bytes:
        data = self._stream.read(max_bytes, timeout_s)
        heard = self.answers[self._request]
        heard[-1] = (heard[-1] + data)[:MAX_ANSWER]
        return data

    def write(self, data: bytes) -> None:
        self._request = bytes(data)
        self.answers.setdefault(self._request, []).append(b"")
        self._stream.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class SpoiltLine:
    """Plays a record: each request is answered as it was then, or not quite. Reading costs virtual time."""

    name = "line"

    def __init__(
        self, answers: Answers, rng: random.Random, time: VirtualTime, *, spoilt: float, baud: int = 115_200
    ) -> None:
        """``spoilt``: how many of the answers are."""
        self.baud = baud
        self.reads = 0
        self.bytes_given = 0
        self.time = time
        self._answers = answers
        self._all = [answer for heard in answers.values() for answer in heard if answer] or [b"\x00"]
        self._random = rng
        self._mutator = Mutator(rng, self._all)
        self._spoilt = spoilt
        self._queue: deque[bytes] = deque(answers.get(b"", [])[:1], maxlen=64)
        self._asked: dict[bytes, int] = {}
        self._begun_ns = time.mono_ns()
        self._unasked: Sequence[bytes] = self._all
        self._lost_after = rng.randrange(2_000) if rng.random() < 0.02 else None

    def says_unasked(self, frames: Sequence[bytes]) -> None:
        """What may come between the answers."""
        self._unasked = frames

    def set_baud(self, baud: int) -> None:
        self.baud = baud

    def write(self, data: bytes) -> None:
        assert len(data) < 1 << 20
        self._look()
        known = self._answers.get(bytes(data))
        count = self._asked[bytes(data)] = self._asked.get(bytes(data), -1) + 1
        answer = known[min(count, len(known) - 1)] if known else self._random.choice(self._all)
        if self._random.random() < self._spoilt:
            answer = self._wrong(answer)
        if answer:
            self._queue.append(answer)

    def read(self, max_bytes: int, timeout_s: float) -> bytes:
        assert max_bytes > 0
        self._look()
        if not self._queue:
            if self._random.random() < 0.1:
                self._queue.append(self._mutator.mutate(self._random.choice(self._unasked)[:2_000]))
            else:
                self.time.sleep_s(max(1e-6, timeout_s))
                return b""
        piece = self._queue.popleft()
        size = min(max_bytes, len(piece), self._random.choice((1, 20, 300, 4096)))
        if size < len(piece):
            self._queue.appendleft(piece[size:])
        self.bytes_given += size
        self.time.sleep_s(size * 10 / self.baud)
        return piece[:size]

    def _look(self) -> None:
        self.reads += 1
        assert self.reads < MAX_READS, "the dialogue does not end: too many reads"
        spent_s = (self.time.mono_ns() - self._begun_ns) / NS_PER_S
        assert spent_s < MAX_SESSION_S, f"the dialogue does not end: {spent_s:.0f} s"
        if self._lost_after is not None and self.reads > self._lost_after:
            raise DeviceLostError(self.name, "read", "the port has gone")

    def _wrong(self, answer: bytes) -> bytes:
        kind = self._random.randrange(6)
        if kind == 0:
            return b""
        if kind == 1:
            return self._random.choice(self._all)
        if kind == 2:
            return answer * self._random.choice((2, 5))
        if kind == 3 and answer[:1] in (b"\xb5", b"$"):
            return self._mutator.reframed(answer) if answer[:1] == b"\xb5" else self._mutator.mutate(answer)
        return self._mutator.mutate(answer)
