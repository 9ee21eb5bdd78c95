"""PTM cross timestamps: announced in configuration space, exact against the emulator's truth."""

from __future__ import annotations

import pytest

from tests.fpga_world import make_world
from timecard.boards import FB
from timecard.boards.fb import BLOCKS
from timecard.emulator.fpga_ptm import PtmBlock
from timecard.errors import DeviceLostError, DeviceTimeoutError, ProtocolError
from timecard.pcie.bus import device_serial, has_ptm
from timecard.pcie.clock import RegisterClock
from timecard.pcie.ptm import PtmRequester
from timecard.values import CrossTimestamp


class PtmBus:
    """A requester with chosen answers."""

    name = "ptm"
    board = FB

    def __init__(self, **words: int) -> None:
        at = BLOCKS["ptm"].at
        self._words = {
            at(name.removesuffix("_low")) + 4 * name.endswith("_low"): v for name, v in words.items()
        }

    def read32(self, offset: int) -> int:
        return self._words.get(offset, 0)

    def write32(self, offset: int, value: int) -> None:
        pass


def test_it_agrees_with_the_truth_within_its_half_width() -> None:
    world = make_world(ppb=3_000.0, rate_ppb=-20_000.0)
    clock = RegisterClock(world.card, world.time)
    for _ in range(200):
        world.time.sleep_s(0.0123456789)
        stamp = clock.cross_timestamp()
        assert stamp.method == "ptm"
        truth_ns = world.card.card_tai_ns(world.now_ns) - world.time.mono_ns()
        assert abs(stamp.card_tai_ns - stamp.mono_raw_ns - truth_ns) <= stamp.half_width_ns <= 100


def test_without_the_capability_its_registers_are_never_touched() -> None:
    world = make_world(ptm=False)
    assert not has_ptm(world.card)
    stamp = RegisterClock(world.card, world.time).cross_timestamp()
    assert stamp.method == "bracket"
    assert world.card.unmapped == 0


def test_a_bus_without_configuration_space_has_no_ptm() -> None:
    assert not has_ptm(PtmBus())
    assert device_serial(PtmBus()) is None


def test_the_first_dialogue_only_prepares_the_second() -> None:
    world = make_world()
    requester = PtmRequester(world.card, "card")
    stamp = requester.cross_timestamp()
    assert isinstance(stamp, CrossTimestamp)
    assert stamp.mono_raw_ns == pytest.approx(world.time.mono_ns(), abs=stamp.half_width_ns)


def test_a_root_port_without_ptm_leaves_the_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world()
    clock = RegisterClock(world.card, world.time)
    monkeypatch.setattr(PtmBlock, "_dialogue", lambda self: None)
    stamp = clock.cross_timestamp()
    assert stamp.method == "bracket"
    truth_ns = world.now_ns - world.time.mono_ns()
    assert abs(stamp.card_tai_ns - stamp.mono_raw_ns - truth_ns) <= stamp.half_width_ns


def test_a_dialogue_without_answer_is_a_timeout() -> None:
    with pytest.raises(DeviceTimeoutError, match="ptm"):
        PtmRequester(PtmBus(ptm_status=2), "card").cross_timestamp()


def test_all_ones_is_a_lost_card() -> None:
    with pytest.raises(DeviceLostError, match="all ones"):
        PtmRequester(PtmBus(ptm_status=0xFFFF_FFFF), "card").cross_timestamp()


@pytest.mark.parametrize("held_ns", [10_000, 0])
def test_an_implausible_link_delay_is_a_protocol_error(held_ns: int) -> None:
    t4_ns = 100 if held_ns else 1_000_000
    bus = PtmBus(ptm_status=1, t1_time_low=50, t4_time_low=50 + t4_ns, link_delay=held_ns)
    with pytest.raises(ProtocolError, match="link delay"):
        PtmRequester(bus, "card").cross_timestamp()
