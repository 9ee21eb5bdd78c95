"""The flash chip by itself: commands, times, protection, power."""

from __future__ import annotations

from pathlib import Path

import pytest

from timecard.boards import BOARDS
from timecard.emulator.spi_blocks import FlashOptions, make_flash
from timecard.emulator.spi_flash import CutAt, SpiFlash
from timecard.emulator.spi_flash_memory import FlashMemory
from timecard.emulator.spi_flash_parts import PARTS

MS = 1_000_000
BLANK = FlashOptions(blank=True)


def chip(jedec_id: str = "20ba18") -> SpiFlash:
    part = PARTS[bytes.fromhex(jedec_id)]
    return SpiFlash(part, FlashMemory(part.size))


def send(flash: SpiFlash, out: bytes, reply: int = 0, t_ns: int = 0) -> bytes:
    flash.select(t_ns)
    answer = flash.exchange(out + bytes(reply), t_ns)
    flash.deselect(t_ns)
    return answer[len(out) :]


def program(flash: SpiFlash, offset: int, data: bytes, t_ns: int = 0) -> None:
    send(flash, b"\x06", t_ns=t_ns)
    send(flash, b"\x02" + offset.to_bytes(3, "big") + data, t_ns=t_ns)


def erase(flash: SpiFlash, offset: int, t_ns: int = 0, opcode: int = 0x20) -> None:
    send(flash, b"\x06", t_ns=t_ns)
    send(flash, bytes((opcode,)) + offset.to_bytes(3, "big"), t_ns=t_ns)


def read(flash: SpiFlash, offset: int, size: int, t_ns: int = 10**12) -> bytes:
    return send(flash, b"\x03" + offset.to_bytes(3, "big"), size, t_ns)


@pytest.mark.parametrize("jedec_id", [part.hex() for part in PARTS])
def test_it_says_which_part_it_is(jedec_id: str) -> None:
    assert send(chip(jedec_id), b"\x9f", 3).hex() == jedec_id


@pytest.mark.parametrize("board", BOARDS)
def test_every_board_has_a_part_of_its_list(board: str) -> None:
    flash = make_flash(BOARDS[board], BLANK)
    assert flash.part.jedec_id in BOARDS[board].flash.jedec_ids
    assert flash.part.size == BOARDS[board].flash.default_size


def test_programming_clears_bits_and_erasing_sets_them() -> None:
    flash = chip()
    program(flash, 0x1000, b"\xf0\x0f")
    program(flash, 0x1000, b"\x3c\x3c", 10 * MS)
    assert read(flash, 0x0FFF, 4) == b"\xff\x30\x0c\xff"
    erase(flash, 0x1ABC, 20 * MS)
    assert read(flash, 0x1000, 2) == b"\xff\xff"


def test_a_page_wraps_and_the_last_256_bytes_count() -> None:
    flash = chip()
    program(flash, 0x10F0, bytes(range(32)))
    assert read(flash, 0x1000, 16) == bytes(range(16, 32))
    assert read(flash, 0x10F0, 16) == bytes(range(16))
    program(flash, 0x2000, b"\x00" * 300 + bytes(range(200)) + bytes(range(56)), 10 * MS)
    assert set(read(flash, 0x2000, 256)) == set(range(200)) | set(range(56))


def test_nothing_changes_without_write_enable() -> None:
    flash = chip()
    send(flash, b"\x02\x00\x00\x00\x00")
    send(flash, b"\x06\x00")
    send(flash, b"\x02\x00\x00\x00\x00")
    send(flash, b"\x06")
    send(flash, b"\x04")
    send(flash, b"\x02\x00\x00\x00\x00")
    assert flash.operations == 0
    assert read(flash, 0, 1) == b"\xff"


def test_it_is_busy_as_long_as_the_operation_takes() -> None:
    flash = chip()
    program(flash, 0, b"\x00")
    assert send(flash, b"\x05", 1, t_ns=119_999) == b"\x03"
    assert send(flash, b"\x70", 1, t_ns=119_999) == b"\x00"
    assert send(flash, b"\x03\x00\x00\x00", 1, t_ns=119_999) == b"\xff", "it does not answer while busy"
    assert send(flash, b"\x05", 1, t_ns=120_000) == b"\x00"
    assert send(flash, b"\x70", 1, t_ns=120_000) == b"\x80"
    erase(flash, 0, MS)
    assert send(flash, b"\x05", 1, t_ns=50 * MS) == b"\x03"
    assert send(flash, b"\x05", 1, t_ns=51 * MS) == b"\x00"


def test_a_command_while_busy_is_lost() -> None:
    flash = chip()
    erase(flash, 0)
    program(flash, 0x8000, b"\x00", t_ns=MS)
    assert flash.operations == 1
    assert read(flash, 0x8000, 1) == b"\xff"


def test_64_kib_erase() -> None:
    flash = chip()
    program(flash, 0x1_0000, b"\x00")
    program(flash, 0x1_FFFF, b"\x00", 10 * MS)
    program(flash, 0x2_0000, b"\x00", 20 * MS)
    erase(flash, 0x1_2345, 30 * MS, opcode=0xD8)
    assert read(flash, 0x1_0000, 1) + read(flash, 0x1_FFFF, 2) == b"\xff\xff\x00"


def test_an_erase_needs_exactly_its_address() -> None:
    flash = chip()
    program(flash, 0, b"\x00")
    for tail in (b"\x00\x00", b"\x00\x00\x00\x00"):
        send(flash, b"\x06", t_ns=10 * MS)
        send(flash, b"\x20" + tail, t_ns=10 * MS)
    assert read(flash, 0, 1) == b"\x00"


def test_protected_blocks_refuse_and_say_so() -> None:
    flash = chip()
    send(flash, b"\x06")
    send(flash, b"\x01\x04")
    t_ns = 100 * MS
    top = flash.part.size - 0x1_0000
    for offset, kept in ((top - 1, b"\x00"), (top, b"\xff")):
        program(flash, offset, b"\x00", t_ns)
        t_ns += 10 * MS
        assert read(flash, offset, 1) == kept
    assert send(flash, b"\x70", 1, t_ns) == b"\x92"
    send(flash, b"\x50", t_ns=t_ns)
    assert send(flash, b"\x70", 1, t_ns) == b"\x80"
    send(flash, b"\x06", t_ns=t_ns)
    send(flash, b"\x01\x24", t_ns=t_ns)
    erase(flash, 0x1000, t_ns + 100 * MS)
    assert flash.operations == 3, "with the bottom bit the first block is protected"


def test_parts_beyond_16_mib_take_four_address_bytes() -> None:
    flash = chip("20ba19")
    send(flash, b"\x06")
    send(flash, b"\x12" + (0x0180_0000).to_bytes(4, "big") + b"\x42")
    assert send(flash, b"\x13\x01\x80\x00\x00", 1, 10 * MS) == b"\x42"
    assert read(flash, 0x80_0000, 1) == b"\xff"
    send(flash, b"\xb7", t_ns=10 * MS)
    assert send(flash, b"\x03\x01\x80\x00\x00", 1, 10 * MS) == b"\x42"
    send(flash, b"\xe9", t_ns=10 * MS)
    assert read(flash, 0x80_0000, 1) == b"\xff"
    small = chip()
    send(small, b"\xb7")
    assert read(small, 0, 1) == b"\xff"


def test_a_reset_needs_its_enabling_right_before() -> None:
    flash = chip("20ba19")
    send(flash, b"\xb7")
    send(flash, b"\x66")
    send(flash, b"\x06")
    send(flash, b"\x99")
    assert send(flash, b"\x70", 1) == b"\x81"
    send(flash, b"\x66")
    send(flash, b"\x99")
    assert send(flash, b"\x70", 1) == b"\x80"


@pytest.mark.parametrize("where", list(CutAt), ids=lambda where: where.value)
def test_a_planned_cut_leaves_the_operation_as_asked(where: CutAt) -> None:
    flash = chip()
    cuts: list[int] = []
    flash.on_cut = lambda: cuts.append(flash.operations)
    program(flash, 0, bytes(256))
    flash.cut_power_at(1, where)
    program(flash, 0x100, bytes(256), MS)
    erase(flash, 0, 2 * MS)
    assert cuts == [3]
    assert not flash.powered
    assert read(flash, 0x100, 1) == b"\xff"
    program(flash, 0x200, b"\x00", 100 * MS)
    flash.power_on()
    assert send(flash, b"\x05", 1, 100 * MS) == b"\x00"
    left = read(flash, 0, 512)
    assert read(flash, 0x200, 1) == b"\xff", "nothing happens without power"
    if where is CutAt.BEFORE:
        assert left == bytes(512)
    elif where is CutAt.AFTER:
        assert left == b"\xff" * 512
    else:
        assert left not in (bytes(512), b"\xff" * 512)


def test_a_half_programmed_page_has_its_first_half_only() -> None:
    flash = chip()
    flash.cut_power_at(0, CutAt.HALF)
    program(flash, 0, bytes(256))
    flash.power_on()
    left = read(flash, 0, 256)
    assert left[:112] == bytes(112)
    assert left[128:] == b"\xff" * 128
    assert left[112:128] not in (bytes(16), b"\xff" * 16)


def test_power_may_go_at_any_time() -> None:
    done = chip()
    erase(done, 0)
    done.cut_power(50 * MS)
    done.power_on()
    assert read(done, 0, 256) == b"\xff" * 256
    amid = chip()
    program(amid, 0x200, bytes(256))
    erase(amid, 0, 10 * MS)
    amid.cut_power(20 * MS)
    amid.power_on()
    assert amid.memory.read(0, 4096) != b"\xff" * 4096


def test_contents_outlive_the_process(tmp_path: Path) -> None:
    file = tmp_path / "flash.bin"
    options = FlashOptions(file=file)
    first = make_flash(BOARDS["fb"], options)
    program(first, 0x90_0000, b"kept")
    assert file.stat().st_size == first.part.size
    again = make_flash(BOARDS["fb"], options)
    assert again.memory.dump() == first.memory.dump()
    assert read(again, 0x90_0000, 4) == b"kept"
    (tmp_path / "short").write_bytes(b"x")
    with pytest.raises(ValueError, match="has 1 bytes"):
        make_flash(BOARDS["fb"], FlashOptions(file=tmp_path / "short"))


@pytest.mark.parametrize(
    "wrong", [{"fpga": "xc7k325t"}, {"part": "ef4018"}, {"fifo_depth": 17}, {"speed": 0.0}]
)
def test_options_that_cannot_be_are_refused_by_name(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        FlashOptions(**wrong)  # type: ignore[arg-type]  # wrong on purpose
