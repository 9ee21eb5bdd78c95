"""What only the emulator knows: the record of snapshots, and the account of accesses."""

from __future__ import annotations

import pytest

from tests.fpga_world import World, make_world
from timecard.emulator.fpga_access import KEPT
from timecard.emulator.fpga_latches import CAPACITY, LatchLog
from timecard.timescale import NS_PER_S


@pytest.mark.parametrize("board", ["fb", "art"])
def test_every_snapshot_is_kept_with_the_truth(board: str) -> None:
    world = make_world(board=board, ppb=1000.0)
    if board == "fb":
        world.free_run()
    seen = []
    for _ in range(5):
        world.sleep_s(0.3)
        world.write("reg", "ctrl", 0x4000_0001)
        at = (world.now_ns, world.time.mono_raw_ns())
        shown = world.read("reg", "time_sec") * NS_PER_S + world.read("reg", "time_ns")
        seen.append((*at, shown))
        world.write("reg", "ctrl", 1)
    latches = world.card.latches.since(0)
    assert [latch.sequence for latch in latches] == [0, 1, 2, 3, 4]
    assert {latch.kind for latch in latches} == {"read"}
    assert [(one.true_tai_ns, one.mono_raw_ns, one.card_tai_ns) for one in latches] == seen


def test_a_ptm_dialogue_is_kept_too() -> None:
    world = make_world()
    world.sleep_s(1)
    world.write("ptm", "ptm_ctrl", 3)
    (latch,) = world.card.latches.since(0)
    t1 = world.at("ptm", "t1_time")
    assert latch.kind == "ptm"
    assert latch.card_tai_ns == world.card.read32(t1) << 32 | world.card.read32(t1 + 4)
    assert (latch.true_tai_ns, latch.mono_raw_ns) == (world.now_ns, world.time.mono_raw_ns())


def test_the_record_is_bounded_and_numbered_on() -> None:
    log = LatchLog(lambda: 7)
    for n in range(CAPACITY + 10):
        log.read(n, n)
    assert log.next_sequence == CAPACITY + 10
    assert log.since(0, 2)[0].sequence == 10
    assert [latch.sequence for latch in log.since(CAPACITY + 8)] == [CAPACITY + 8, CAPACITY + 9]
    assert log.since(CAPACITY + 10) == []
    assert len(log.since(0)) == 1000


class TestAccesses:
    @pytest.fixture
    def world(self) -> World:
        return make_world(strict=True)

    def test_aligned_words_of_the_tables_are_no_violation(self, world: World) -> None:
        world.read("reg", "version")
        world.write("reg", "ctrl", 1)
        assert not world.card.accesses.violations
        assert (world.card.accesses.narrow, world.card.accesses.unmapped) == (0, 0)

    @pytest.mark.parametrize(
        ("offset", "size", "why"),
        [(0x0016_1014, 1, "narrow"), (0x0100_0000, 2, "narrow"), (0x0100_0000, 8, "narrow")],
    )
    def test_anything_but_a_word_is_one(self, world: World, offset: int, size: int, why: str) -> None:
        world.card.read(offset, size)
        world.card.write(offset, size, 1)
        kept = [(one.kind, one.offset, one.size) for one in world.card.accesses.violations if one.why == why]
        assert kept == [("read", offset, size), ("write", offset, size)]
        assert world.card.accesses.narrow == 2

    def test_an_unaligned_word_is_narrow_and_answered_by_nothing(self, world: World) -> None:
        assert world.card.read32(0x0100_0002) == 0xFFFF_FFFF
        assert [one.why for one in world.card.accesses.violations] == ["narrow"]
        assert (world.card.accesses.narrow, world.card.accesses.unmapped) == (1, 1)

    def test_what_nothing_decodes_is_one(self, world: World) -> None:
        world.card.write32(0x0150_0000, 1)
        assert [(one.kind, one.why) for one in world.card.accesses.violations] == [("write", "unmapped")]

    def test_the_record_is_bounded(self, world: World) -> None:
        for _ in range(KEPT + 5):
            world.card.read32(0x0150_0000)
        assert len(world.card.accesses.violations) == KEPT
        assert world.card.accesses.unmapped == KEPT + 5
        assert len(world.card.accesses.newest()) == 50

    def test_a_card_that_is_not_strict_only_counts(self) -> None:
        world = make_world()
        world.card.read(0x0016_1014, 1)
        assert world.card.accesses.narrow == 1
        assert not world.card.accesses.violations
