"""A power cut at every step of an update leaves a card that starts, and the update is finished afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.spi_world import SpiBus
from tests.unit.firmware.firmware_world import CARD_ID, CellFlash, Crash, firmware, pin_for, world
from timecard.boards import BOARDS
from timecard.card_values import ImageVersion
from timecard.emulator.spi_flash import CutAt
from timecard.emulator.spi_flash_images import factory_content, image_tag
from timecard.errors import TimeCardError
from timecard.firmware.bitstream import SYNC
from timecard.firmware.journal import StateFolder
from timecard.firmware.update import FirmwareUpdate

CUTS = list(CutAt)
OTHERS = tuple(name for name in BOARDS if name != "fb")
EVERY = ("fb", *(pytest.param(name, marks=pytest.mark.full) for name in OTHERS))
"""Each step of the others belongs to the full run."""


def fast(bus: SpiBus, state: Path) -> FirmwareUpdate:
    booted = bus.booted()
    assert booted is not None, "the card does not start"
    version = ImageVersion(loader=booted.golden, tag=booted.tag, number=booted.number)
    return FirmwareUpdate(CellFlash(bus), bus.board, CARD_ID, state, running=version)


def golden(bus: SpiBus) -> bytes:
    return bus.chip.memory.read(0, bus.board.flash.update_start)


def operations_of(board: str, data: bytes, state: Path) -> int:
    bus = world(board)
    fast(bus, state).apply(data, "new.bin", pin_for(data, board))
    return bus.chip.operations


def assert_starts(bus: SpiBus, old: int, new: int, what: str) -> None:
    booted = bus.power_cycle()
    assert booted is not None, f"{what}: the card does not start"
    assert booted.on_bus, what
    assert booted.golden or booted.number in (old, new), what


@pytest.mark.parametrize("where", CUTS, ids=lambda cut: cut.value)
@pytest.mark.parametrize("board", EVERY)
def test_a_cut_at_every_step_leaves_a_card_that_starts_and_apply_goes_on(
    board: str, where: CutAt, tmp_path: Path
) -> None:
    data = firmware(board, size=24_576 if board == "fb" else 12_288)
    pin = pin_for(data, board)
    steps = operations_of(board, data, tmp_path / "uncut")
    assert steps > len(data) // 256
    reference = world(board)
    untouched = golden(reference)
    fast(reference, tmp_path / "reference").apply(data, "new.bin", pin)
    for step in range(steps):
        what = f"{where.value} at {step}"
        bus = world(board)
        state = tmp_path / f"{step}"
        bus.chip.cut_power_at(step, where)
        with pytest.raises(TimeCardError):
            fast(bus, state).apply(data, "new.bin", pin)
        assert not bus.chip.powered
        assert_starts(bus, bus_number(board), 33, what)
        if where is not CutAt.HALF:
            assert_nothing_begins_a_mixture(bus, data, what)
        outcome = fast(bus, state).resume()
        assert outcome.resumed
        booted = bus.power_cycle()
        assert booted is not None
        assert (booted.golden, booted.tag, booted.number) == (False, image_tag(BOARDS[board]), 33), what
        assert bus.chip.memory.dump() == reference.chip.memory.dump(), what
        assert golden(bus) == untouched


@pytest.mark.parametrize("where", CUTS, ids=lambda cut: cut.value)
@pytest.mark.parametrize("board", EVERY)
def test_a_cut_at_every_step_of_a_rollback_leaves_a_card_that_starts(
    board: str, where: CutAt, tmp_path: Path
) -> None:
    data = firmware(board, size=12_288)
    pin = pin_for(data, board)
    bus = world(board)
    factory = bus.chip.memory.dump()
    fast(bus, tmp_path / "count").apply(data, "new.bin", pin)
    before = bus.chip.operations
    fast(bus, tmp_path / "count").rollback()
    assert bus.chip.memory.dump() == factory
    for step in range(bus.chip.operations - before):
        bus = world(board)
        state = tmp_path / f"{step}"
        fast(bus, state).apply(data, "new.bin", pin)
        bus.chip.cut_power_at(step, where)
        with pytest.raises(TimeCardError):
            fast(bus, state).rollback()
        assert_starts(bus, bus_number(board), 33, f"{where.value} at {step}")
        with pytest.raises(TimeCardError, match="rollback of this card was cut"):
            fast(bus, state).apply(data, "new.bin", pin)
        assert fast(bus, state).rollback().resumed
        assert bus.chip.memory.dump() == factory, f"{where.value} at {step}"


@pytest.mark.parametrize("board", OTHERS)
def test_other_boards_survive_cuts_as_well(board: str, tmp_path: Path) -> None:
    data = firmware(board, size=12_288)
    steps = operations_of(board, data, tmp_path / "uncut")
    for step in range(0, steps, 5):
        bus = world(board)
        state = tmp_path / f"{step}"
        bus.chip.cut_power_at(step, CutAt.HALF)
        with pytest.raises(TimeCardError):
            fast(bus, state).apply(data, "new.bin", pin_for(data, board))
        assert_starts(bus, bus_number(board), 33, f"at {step}")
        fast(bus, state).resume()
        booted = bus.power_cycle()
        assert booted is not None
        assert (booted.golden, booted.tag, booted.number) == (False, image_tag(BOARDS[board]), 33)


def assert_nothing_begins_a_mixture(bus: SpiBus, data: bytes, what: str) -> None:
    """Where an FPGA finds a sync word, all of the old or of the new image follows: no checksum is needed."""
    start, memory = bus.board.flash.update_start, bus.chip.memory
    if SYNC in memory.read(start, 4096):
        images = factory_content(bus.board)[start], data[16:]
        assert any(memory.read(start, len(image)) == image for image in images), what


def bus_number(board: str) -> int:
    booted = world(board).booted()
    assert booted is not None
    return booted.number


def test_a_cut_during_the_resumed_update_is_resumed_again(tmp_path: Path) -> None:
    data = firmware(size=16_384)
    bus = world()
    bus.chip.cut_power_at(40, CutAt.HALF)
    with pytest.raises(TimeCardError):
        fast(bus, tmp_path).apply(data, "new.bin", pin_for(data))
    for step in (0, 1, 2, 17, 5):
        assert_starts(bus, 28, 33, f"again at {step}")
        bus.chip.cut_power_at(step, CutAt.HALF)
        with pytest.raises(TimeCardError):
            fast(bus, tmp_path).resume()
    assert_starts(bus, 28, 33, "at last")
    fast(bus, tmp_path).resume()
    booted = bus.power_cycle()
    assert booted is not None
    assert booted.number == 33


@pytest.mark.parametrize("action", ["resume", "rollback"])
def test_a_sector_in_which_the_power_went_is_written_again_whatever_it_reads(
    action: str, tmp_path: Path
) -> None:
    """Cells whose erasing was cut may read right today and wrong tomorrow."""
    data = firmware(size=20_480)
    start = BOARDS["fb"].flash.update_start
    for sector, step in ((1, 1), (1, 9), (1, 17), (2, 18), (3, 40), (4, 68)):
        bus = world()
        old = bus.chip.memory.read(start, 20_480)
        state = tmp_path / f"{step}"
        bus.chip.cut_power_at(step, CutAt.HALF)
        with pytest.raises(TimeCardError):
            fast(bus, state).apply(data, "new.bin", pin_for(data))
        bus.power_cycle()
        wanted = data[16:] if action == "resume" else old
        bus.chip.memory.store(start + 4096, wanted[4096:20_480].ljust(16_384, b"\xff"))
        flash = CellFlash(bus)
        update = FirmwareUpdate(flash, bus.board, CARD_ID, state, board_id="V9")
        getattr(update, action)()
        assert flash.erased == [start, start + sector * 4096], step


def test_a_cut_apply_can_be_rolled_back(tmp_path: Path) -> None:
    data = firmware(size=16_384)
    for step in (0, 1, 20, 45, 66):
        bus = world()
        factory = bus.chip.memory.dump()
        state = tmp_path / f"{step}"
        bus.chip.cut_power_at(step, CutAt.HALF)
        with pytest.raises(TimeCardError):
            fast(bus, state).apply(data, "new.bin", pin_for(data))
        bus.power_cycle()
        fast(bus, state).rollback()
        assert bus.chip.memory.dump() == factory, step
        booted = bus.power_cycle()
        assert booted is not None
        assert booted.number == 28


def test_the_host_may_die_at_any_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = firmware(size=12_288)

    def run(bus: SpiBus, state: Path, crash_at: int) -> int:
        """Apply; the host dies amid its ``crash_at``-th write. Returns how many there were."""
        writes = 0
        note, replace = StateFolder.note, StateFolder._replace

        def dies(torn: object) -> None:
            nonlocal writes
            writes += 1
            if writes - 1 == crash_at:
                assert callable(torn)
                torn()
                raise Crash

        def noting(self: StateFolder, row: dict[str, object]) -> None:
            def torn() -> None:
                with (self.folder / "journal").open("ab") as file:
                    file.write(b'{"era')

            dies(torn)
            note(self, row)

        def replacing(self: StateFolder, name: str, content: bytes) -> None:
            dies(lambda: (self.folder / f"{name}.new").write_bytes(content[: len(content) // 2]))
            replace(self, name, content)

        with monkeypatch.context() as patch:
            patch.setattr(StateFolder, "note", noting)
            patch.setattr(StateFolder, "_replace", replacing)
            fast(bus, state).apply(data, "new.bin", pin_for(data))
        return writes

    total = run(world(), tmp_path / "count", -1)
    assert total > 8
    for number in range(total):
        bus = world()
        state = tmp_path / f"{number}"
        with pytest.raises(Crash):
            run(bus, state, number)
        assert_starts(bus, 28, 33, f"write {number}")
        fast(bus, state).apply(data, "new.bin", pin_for(data))
        booted = bus.power_cycle()
        assert booted is not None
        assert (booted.golden, booted.number) == (False, 33), f"write {number}"
