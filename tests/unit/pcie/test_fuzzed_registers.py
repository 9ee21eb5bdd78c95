"""Whatever stands in the registers: values or a ``TimeCardError``, in finite time."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timecard.boards import BOARDS, Role
from timecard.card import card_on_bus
from timecard.card_values import GeneratorSettings
from timecard.emulator.world import VirtualTime
from timecard.errors import TimeCardError

S = 1_000_000_000
INTERESTING = (0, 1, 0xFFFF_FFFF, 0x8000_0000, 0x8000_0001, 0xC0, 0x61, 999_999_999, 1_000_000_000)


class WildBus:
    """Registers hold anything and forget what was written, but for those that have to look like a clock."""

    name = "wild"

    def __init__(self, board: str, seed: int, tame: bool) -> None:
        self.board = BOARDS[board]
        self._rng = random.Random(seed)
        reg = self.board.blocks["reg"]
        self._tame = {reg.at("ctrl"): 0x8000_0001, reg.at("version"): 0x0102_0000} if tame else {}
        self._kept: dict[int, int] = {}

    def read32(self, offset: int) -> int:
        tame = self._tame.get(offset)
        if tame is not None:
            return tame
        if self._rng.random() < 0.3 and offset in self._kept:
            return self._kept[offset]
        return self._rng.choice(INTERESTING) if self._rng.random() < 0.5 else self._rng.getrandbits(32)

    def write32(self, offset: int, value: int) -> None:
        assert offset % 4 == 0
        assert 0 <= value <= 0xFFFF_FFFF
        self._kept[offset] = value


@pytest.mark.parametrize("board", list(BOARDS))
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1 << 32), tame=st.booleans())
def test_only_typed_errors(board: str, seed: int, tame: bool) -> None:
    time = VirtualTime(1_800_000_000 * S)
    try:
        card = card_on_bus(WildBus(board, seed, tame), time)
    except TimeCardError:
        return
    start_ns = time.mono_ns()
    asks: list[Callable[[], object]] = [
        card.facts,
        card.image,
        card.clock_status,
        card.selector,
        card.pps_slave,
        card.time_of_day,
        card.missing,
        card.sma.read,
        lambda: card.sma.set(1, "in", ["PPS1"]),
        lambda: card.sma.set(4, "out", ["PHC"]),
        card.clock.now_tai_ns,
        card.clock.cross_timestamp,
        lambda: card.clock.step_ns(123_456),
        lambda: card.clock.step_ns(-5 * S),
        lambda: card.clock.set_frequency_ppb(12.5),
        lambda: card.clock.select_source("PPS"),
        lambda: card.timestamper("ts0").enable(),
        lambda: card.timestamper("ts0").poll(),
        lambda: card.generator(1).start(GeneratorSettings(period_ns=S, pulse_ns=S // 2)),
        lambda: card.generator(2).state(),
        lambda: card.counter(1).read(),
        lambda: card.serial(Role.GNSS).read(4096, 0.5),
        lambda: card.serial(Role.GNSS).write(b"x" * 40),
        lambda: card.oscillator_bridge().fine(),
        lambda: card.pps_input().cable_delay_ns(),
        lambda: card.gpio().board_revision(),
    ]
    for ask in asks:
        try:
            ask()
        except TimeCardError:
            continue
    assert time.mono_ns() - start_ns < 60 * S, "every wait has an end"
