"""Registers with any contents at all: typed errors or bytes, after a bounded time, by aligned words only."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timecard.boards import ADVA, ART, FB, Board
from timecard.errors import TimeCardError
from timecard.pcie.i2c import open_i2c
from timecard.pcie.memory import memory_on, read_identity

LIMIT_NS = 60_000_000_000
WORDS = (0x00, 0xD0, 0xC0, 0x84, 0x40, 0x10, 0x12, 0x01, 0x02, 61, 0xFFFF_FFFF)


class FuzzedBus:
    """Every read is drawn; some runs prefer words with which a master gets on."""

    writes_are_posted = False

    def __init__(self, board: Board, seed: int, tame: bool, ones: float) -> None:
        self.name = "fuzzed"
        self.board = board
        self.now_ns = 0
        self._random = random.Random(seed)
        self._tame = tame
        self._ones = ones

    def read32(self, offset: int) -> int:
        assert offset % 4 == 0
        self.now_ns += 1_000
        assert self.now_ns < LIMIT_NS, "no end"
        if self._random.random() < self._ones:
            return 0xFFFF_FFFF
        if self._tame:
            return self._random.choice(WORDS[:-1])
        return self._random.getrandbits(32)

    def write32(self, offset: int, value: int) -> None:
        assert offset % 4 == 0
        assert 0 <= value <= 0xFFFF_FFFF
        self.now_ns += 1_000

    def mono_ns(self) -> int:
        return self.now_ns

    def sleep_s(self, seconds: float) -> None:
        self.now_ns += max(0, round(seconds * 1e9))


@pytest.mark.parametrize("board", [FB, ART, ADVA], ids=lambda board: board.name)
@given(seed=st.integers(0, 2**32), tame=st.booleans(), ones=st.sampled_from([0.0, 0.01, 0.2]))
def test_any_contents(board: Board, seed: int, tame: bool, ones: float) -> None:
    bus = FuzzedBus(board, seed, tame, ones)
    for _ in range(3):
        try:
            i2c = open_i2c(bus, bus)
            break
        except TimeCardError:
            continue
    else:
        return
    chip = board.i2c.chips[0]
    for attempt in (
        lambda: i2c.transfer(0x50, b"\x00", 5),
        lambda: i2c.transfer(0x50, b"\x00\x01", 0),
        lambda: memory_on(i2c, chip).write(3, bytes(20)),
        lambda: read_identity(i2c, board),
    ):
        try:
            attempt()
        except TimeCardError as error:
            assert str(error)
