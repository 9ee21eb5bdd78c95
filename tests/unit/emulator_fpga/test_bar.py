"""BAR0 as a whole: widths, holes, storage, a dead card, configuration space."""

from __future__ import annotations

import pytest

from tests.fpga_world import SteadyOscillator, make_world
from timecard.boards.fb import BLOCKS
from timecard.emulator.fpga import FpgaCard
from timecard.emulator.fpga_config import ConfigSpace
from timecard.pcie.bus import EXT_CAP_PTM, EXT_CAP_SERIAL, device_serial, extended_capability, has_ptm


@pytest.mark.parametrize("offset", [0, 0x0100_0018, 0x0100_1000, 0x0300_0000, 0x0100_0002, 0x0150_0000])
def test_what_nothing_decodes_reads_all_ones_and_is_counted(offset: int) -> None:
    world = make_world()
    assert world.card.read32(offset) == 0xFFFF_FFFF
    world.card.write32(offset, 1)
    assert world.card.unmapped == 2


def test_narrow_accesses_take_part_of_a_word() -> None:
    world = make_world()
    ram = BLOCKS["nmea_out"].offset
    world.card.write32(ram, 0x1122_3344)
    assert [world.card.read(ram + n, 1) for n in range(4)] == [0x44, 0x33, 0x22, 0x11]
    assert world.card.read(ram + 2, 2) == 0x1122
    world.card.write(ram + 1, 1, 0xAB)
    assert world.card.read32(ram) == 0x0000_AB00, "byte strobes are ignored"
    assert world.card.read(ram + 3, 2) == 0xFFFF
    world.card.write(ram + 3, 2, 5)
    assert world.card.unmapped == 2
    assert world.card.accesses.narrow == 8


def test_ram_of_the_dummy_cores_repeats_through_its_window() -> None:
    world = make_world()
    ram = BLOCKS["irig_in"].offset
    world.card.write32(ram + 0x10, 77)
    assert world.card.read32(ram + 0x10 + 0x400) == 77
    assert world.card.read32(ram + 0xFC10) == 77
    assert world.card.read32(BLOCKS["irig_out"].offset + 0x10) == 0


def test_read_only_words_do_not_change() -> None:
    world = make_world(image_version=0x800E)
    world.card.write32(BLOCKS["image"].offset, 1)
    assert world.card.read32(BLOCKS["image"].offset) == 0x800E
    assert world.card.unmapped == 0


def test_a_dead_card_answers_all_ones_while_its_clock_goes_on() -> None:
    world = make_world()
    world.card.dead = True
    assert world.card.dead
    assert world.card.read32(BLOCKS["image"].offset) == 0xFFFF_FFFF
    world.card.write32(BLOCKS["reg"].at("ctrl"), 0)
    world.sleep_s(5)
    world.card.dead = False
    assert world.card.read32(BLOCKS["image"].offset) == 28
    assert abs(world.error_ns()) < 100


def test_an_unknown_device_is_refused_by_name() -> None:
    world = make_world()
    with pytest.raises(ValueError, match=r"gps.*gnss, gnss2, mac, nmea"):
        FpgaCard(SteadyOscillator(), world.gnss, None, {"gps": world.device}, world.time)


class TestConfigSpace:
    def test_identity(self) -> None:
        config = ConfigSpace(0x0123_4567_89AB_CDEF, msix=True, ptm=True)
        assert config.read(0, 4).hex() == "9b1d0004"
        assert config.read(8, 4).hex() == "00008005", "revision 0, class 058000"
        assert config.read(0x2C, 4).hex() == "ee100700"

    def test_capability_list_ends_and_has_what_was_asked_for(self) -> None:
        for msix, expected in ((True, [0x01, 0x11, 0x10]), (False, [0x01, 0x05, 0x10])):
            config = ConfigSpace(1, msix=msix, ptm=True)
            assert config.read(0x06, 1)[0] & 0x10
            seen, offset = [], config.read(0x34, 1)[0]
            while offset:
                seen.append(config.read(offset, 1)[0])
                offset = config.read(offset + 1, 1)[0]
            assert seen == expected

    def test_serial_number_and_ptm_are_found_over_the_bus(self) -> None:
        card = make_world(serial=0x0123_4567_89AB_CDEF).card
        assert device_serial(card) == 0x0123_4567_89AB_CDEF
        assert has_ptm(card)
        assert extended_capability(card, EXT_CAP_SERIAL) == 0x100
        assert extended_capability(card, EXT_CAP_PTM) == 0x110
        assert extended_capability(make_world(ptm=False).card, EXT_CAP_PTM) is None

    def test_sizing_of_bar0_gives_32_mib(self) -> None:
        config = ConfigSpace(1, msix=True, ptm=True)
        config.write(0x10, b"\xff\xff\xff\xff")
        assert int.from_bytes(config.read(0x10, 4), "little") == 0xFE00_0000
        config.write(0x14, b"\xff\xff\xff\xff")
        assert config.read(0x14, 4) == bytes(4)

    def test_only_writable_bits_change_and_a_reset_undoes_them(self) -> None:
        config = ConfigSpace(1, msix=True, ptm=True)
        before = config.read(0, 4096)
        config.write(0, b"\xff" * 4096)
        config.write(4095, b"\xff\xff\xff")
        assert config.read(0, 4) == before[:4]
        assert config.read(4, 2) == b"\x46\x05"
        config.reset()
        assert config.read(0, 4096) == before
        assert config.read(4090, 10) == bytes(10)
