"""Plan, apply, verify, rollback, and the guard around the golden image."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.spi_world import SpiBus
from tests.unit.firmware.firmware_world import CARD_ID, CellFlash, firmware, pin_for, updater, world
from timecard.boards import BOARDS
from timecard.emulator.spi_flash import CutAt
from timecard.emulator.spi_flash_images import make_image
from timecard.errors import ProtocolError, RefusedError, TimeCardError
from timecard.firmware.image import check_file
from timecard.firmware.journal import StateFolder, state_folder
from timecard.firmware.layout import GuardedFlash, examine
from timecard.firmware.update import FirmwareUpdate

DATA = firmware(size=24_000)
EVERY_BOARD = pytest.mark.parametrize("board", BOARDS)


def reboot(bus: SpiBus) -> tuple[bool, int]:
    booted = bus.power_cycle()
    assert booted is not None
    return booted.golden, booted.number


@EVERY_BOARD
def test_an_update_through_the_card_s_own_spi_master(board: str, tmp_path: Path) -> None:
    bus = world(board)
    data = firmware(board, size=12_000)
    start = bus.board.flash.update_start
    below = bus.chip.memory.read(0, start)
    factory = bus.chip.memory.dump()
    plan = updater(bus, tmp_path).plan(check_file("new.bin", data), pin_for(data, board))
    assert (plan.refusals, plan.sectors, plan.sectors_to_write, plan.offset) == ((), 3, 3, start)
    assert plan.version == pin_for(data, board).version
    assert bus.chip.operations == 0, "a plan changes nothing"
    outcome = updater(bus, tmp_path).apply(data, "new.bin", pin_for(data, board))
    assert outcome.sectors_written == 3
    assert reboot(bus) == (False, 33)
    assert updater(bus, tmp_path).verify()[1] == []
    assert bus.chip.memory.read(0, start) == below
    assert updater(bus, tmp_path).rollback().sectors_written == 3
    assert bus.chip.memory.dump() == factory
    assert bus.errors == 0


def test_applying_twice_writes_once(tmp_path: Path) -> None:
    bus = world()
    updater(bus, tmp_path).apply(DATA, "new.bin", pin_for(DATA))
    operations = bus.chip.operations
    again = updater(bus, tmp_path).apply(DATA, "new.bin", pin_for(DATA))
    assert (again.sectors_written, again.resumed) == (0, False)
    assert bus.chip.operations == operations
    updater(bus, tmp_path).rollback()
    assert reboot(bus) == (False, 28), "the snapshot is still that of before the first"


def test_only_sectors_that_differ_are_written_and_the_first(tmp_path: Path) -> None:
    bus = world()
    updater(bus, tmp_path).apply(DATA, "new.bin", pin_for(DATA))
    start = bus.board.flash.update_start
    bus.chip.memory.store(start + 2 * 4096 + 17, b"\x00\x01\x02")
    plan = updater(bus, tmp_path).plan(check_file("new.bin", DATA), pin_for(DATA))
    assert plan.sectors_to_write == 2
    before = bus.chip.operations
    assert updater(bus, tmp_path).apply(DATA, "new.bin", pin_for(DATA)).sectors_written == 2
    assert bus.chip.operations - before == 2 + 32
    assert reboot(bus) == (False, 33)


def test_what_lies_behind_the_image_stays(tmp_path: Path) -> None:
    bus = world()
    start = bus.board.flash.update_start
    bus.chip.memory.store(start + 24_576, b"behind")
    updater(bus, tmp_path).apply(DATA, "new.bin", pin_for(DATA))
    assert bus.chip.memory.read(start + 24_000, 576) == b"\xff" * 576
    assert bus.chip.memory.read(start + 24_576, 6) == b"behind"


def test_the_configuration_page_is_kept_and_never_written(tmp_path: Path) -> None:
    bus = world()
    page = bus.chip.memory.read(0x3F_F000, 4096)
    updater(bus, tmp_path).apply(DATA, "new.bin", pin_for(DATA))
    assert (state_folder(tmp_path, CARD_ID) / "config-page").read_bytes() == page
    assert bus.chip.memory.read(0x3F_F000, 4096) == page


def test_state_is_one_snapshot_one_image_and_a_journal(tmp_path: Path) -> None:
    bus = world()
    other = firmware(size=16_000, number=34)
    updater(bus, tmp_path).apply(DATA, "new.bin", pin_for(DATA))
    updater(bus, tmp_path).apply(other, "newer.bin", pin_for(other, version="0.34"))
    names = sorted(path.name.partition("-")[0] for path in state_folder(tmp_path, CARD_ID).iterdir())
    assert names == ["config", "image", "journal", "lock", "snapshot"]
    updater(bus, tmp_path).rollback()
    assert reboot(bus) == (False, 33)


def test_verify_names_the_sectors_that_differ(tmp_path: Path) -> None:
    bus = world()
    image = check_file("new.bin", DATA)
    assert len(updater(bus, tmp_path).verify(image)[1]) == 6
    updater(bus, tmp_path).apply(DATA, "new.bin", pin_for(DATA))
    start = bus.board.flash.update_start
    bus.chip.memory.store(start + 5000, b"\x00\x00\x00")
    assert updater(bus, tmp_path).verify(image) == ("new.bin", [start + 4096])
    assert updater(bus, tmp_path).verify() == ("new.bin", [start + 4096])
    updater(bus, tmp_path).rollback()
    assert updater(bus, tmp_path).verify() == ("snapshot", [])


def test_without_anything_applied_there_is_nothing_to_go_back_to(tmp_path: Path) -> None:
    for use in ("rollback", "resume", "verify"):
        with pytest.raises(RefusedError, match=r"nothing was applied|no update was cut"):
            getattr(updater(world(), tmp_path), use)()


def test_the_card_is_drained_before_the_first_change_and_only_then(tmp_path: Path) -> None:
    bus = world()
    calls: list[int] = []

    def refuse() -> None:
        calls.append(bus.chip.operations)
        raise RefusedError("card", "drain", "in use by process 7")

    for _ in range(2):
        with pytest.raises(RefusedError, match="in use"):
            updater(bus, tmp_path).apply(DATA, "new.bin", pin_for(DATA), refuse)
    assert calls == [0, 0]
    updater(bus, tmp_path).apply(DATA, "new.bin", pin_for(DATA), lambda: calls.append(bus.chip.operations))
    assert calls == [0, 0, 0]
    updater(bus, tmp_path).apply(DATA, "new.bin", pin_for(DATA), refuse)
    with pytest.raises(RefusedError, match="in use"):
        updater(bus, tmp_path).rollback(refuse)
    assert reboot(bus) == (False, 33)


def test_a_cut_update_is_told_and_another_image_refused(tmp_path: Path) -> None:
    bus = world()
    bus.chip.cut_power_at(10, CutAt.HALF)
    with pytest.raises(TimeCardError):
        updater(bus, tmp_path).apply(DATA, "new.bin", pin_for(DATA))
    assert reboot(bus) == (True, 2)
    other = firmware(number=34)
    pin = pin_for(other, version="0.34")
    with pytest.raises(RefusedError, match=r"new\.bin.*was cut"):
        updater(bus, tmp_path).apply(other, "newer.bin", pin)
    assert "was cut" in updater(bus, tmp_path).plan(check_file("newer.bin", other), pin).refusals[0]
    plan = updater(bus, tmp_path).plan(check_file("new.bin", DATA), pin_for(DATA))
    assert plan.resumes
    assert plan.running == "loader 0.2"
    assert updater(bus, tmp_path).apply(DATA, "new.bin", pin_for(DATA)).resumed
    assert reboot(bus) == (False, 33)


def test_a_journal_of_another_card_is_refused(tmp_path: Path) -> None:
    bus = world()
    bus.chip.cut_power_at(10, CutAt.HALF)
    with pytest.raises(TimeCardError):
        updater(bus, tmp_path).apply(DATA, "new.bin", pin_for(DATA))
    other = world("litepcie")
    with pytest.raises(RefusedError, match="the journal is of card"):
        updater(other, tmp_path).rollback()
    assert other.chip.operations == 0


def test_a_damaged_snapshot_is_not_written_back(tmp_path: Path) -> None:
    bus = world()
    updater(bus, tmp_path).apply(DATA, "new.bin", pin_for(DATA))
    snapshot = next(tmp_path.rglob("snapshot-*"))
    snapshot.write_bytes(snapshot.read_bytes()[:-1] + b"x")
    operations = bus.chip.operations
    with pytest.raises(RefusedError, match="damaged"):
        updater(bus, tmp_path).rollback()
    snapshot.unlink()
    with pytest.raises(TimeCardError, match="missing"):
        updater(bus, tmp_path).rollback()
    assert bus.chip.operations == operations


def test_two_updates_of_one_card_do_not_run_at_once(tmp_path: Path) -> None:
    bus = world()
    with (
        StateFolder(state_folder(tmp_path, CARD_ID)).locked(),
        pytest.raises(RefusedError, match="another flash command"),
    ):
        updater(bus, tmp_path).apply(DATA, "new.bin", pin_for(DATA))


def test_a_card_without_golden_image_is_not_updated(tmp_path: Path) -> None:
    for board in ("fb", "art"):
        with pytest.raises(RefusedError, match="golden image"):
            updater(world(board, blank=True), tmp_path, running=False)


def test_a_golden_image_that_starts_another_place_is_not_trusted(tmp_path: Path) -> None:
    bus = world()
    moved = make_image(BOARDS["adva-x1"], 0, 2, golden=True)
    bus.chip.memory.store(0, moved)
    with pytest.raises(RefusedError, match="starts another place"):
        updater(bus, tmp_path, running=False)


def test_progress_is_told(tmp_path: Path) -> None:
    bus = world()
    told: dict[str, list[tuple[int, int]]] = {}
    update = FirmwareUpdate(
        bus.open(),
        bus.board,
        CARD_ID,
        tmp_path,
        board_id="V9",
        progress=lambda stage, done, total: told.setdefault(stage, []).append((done, total)),
    )
    update.apply(DATA, "new.bin", pin_for(DATA))
    assert set(told) == {"storing a snapshot", "writing", "verifying"}
    assert all(rows[-1][0] == rows[-1][1] for rows in told.values())
    assert told["writing"][-1] == (6, 6)


def test_the_plan_is_json(tmp_path: Path) -> None:
    plan = updater(world(), tmp_path).plan(check_file("new.bin", DATA), None)
    facts = json.loads(json.dumps(plan.to_json()))
    assert facts["version"] is None
    assert "not pinned" in facts["refusals"][0]
    assert facts["hardware_revision"] == 2


class SlowFlash(CellFlash):
    """Reading a byte takes 10 us."""

    def read(self, offset: int, size: int) -> bytes:
        self._bus.time.sleep_s(size * 1e-5)
        return super().read(offset, size)


def test_the_estimate_goes_by_the_speed_of_the_flash(tmp_path: Path) -> None:
    bus = world()
    update = FirmwareUpdate(SlowFlash(bus), bus.board, CARD_ID, tmp_path, board_id="V9", timebase=bus.time)
    plan = update.plan(check_file("new.bin", DATA), pin_for(DATA))
    assert plan.seconds == pytest.approx(6 * 0.06 + (2 * 24_576 + 6 * 3.5 * 4096) * 1e-5, abs=0.1)


class FlakyFlash(CellFlash):
    """Loses bytes now and then, as a SPI driver that lets its FIFO run dry."""

    def __init__(self, bus: SpiBus, losses: int) -> None:
        super().__init__(bus)
        self.losses = losses

    def program(self, offset: int, data: bytes) -> None:
        if self.losses and offset >= 0x40_2000:
            self.losses -= 1
            data = data[:100] + b"\xff" + data[101:]
        super().program(offset, data)


def test_a_lost_byte_is_written_again_and_a_hopeless_flash_is_told(tmp_path: Path) -> None:
    bus = world()
    update = FirmwareUpdate(FlakyFlash(bus, 1), bus.board, CARD_ID, tmp_path / "one", board_id="V9")
    update.apply(DATA, "new.bin", pin_for(DATA))
    assert reboot(bus) == (False, 33)
    bus = world()
    update = FirmwareUpdate(FlakyFlash(bus, 99), bus.board, CARD_ID, tmp_path / "all", board_id="V9")
    with pytest.raises(ProtocolError, match="reads back otherwise"):
        update.apply(DATA, "new.bin", pin_for(DATA))
    assert reboot(bus) == (True, 2)
    assert updater(bus, tmp_path / "all", board_id="V9").resume().resumed
    assert reboot(bus) == (False, 33)


@EVERY_BOARD
def test_the_guard_lets_nothing_through_but_the_image_s_own_sectors(board: str) -> None:
    bus = world(board)
    flash = CellFlash(bus)
    layout = examine(flash, bus.board)
    start, end = layout.update_start, layout.update_start + 3 * 4096
    guarded = GuardedFlash(flash, start, end)
    allowed = {start, start + 4096, start + 8192}
    for offset in range(0, flash.size, 4096):
        if offset not in allowed:
            with pytest.raises(RefusedError, match="golden image stays"):
                guarded.erase(offset)
            for at, size in ((offset, 1), (offset + 4095, 1), (offset, 4096)):
                with pytest.raises(RefusedError, match="golden image stays"):
                    guarded.program(at, bytes(size))
    assert bus.chip.operations == 0
    for offset in allowed:
        guarded.erase(offset)
        guarded.program(offset, b"x")
    assert bus.chip.operations == 6


@settings(max_examples=300, deadline=None)
@given(offset=st.integers(-(1 << 25), 1 << 25), size=st.integers(0, 20_000))
def test_no_write_crosses_the_guard(offset: int, size: int) -> None:
    bus = world()
    start, end = 0x40_0000, 0x40_0000 + 8192
    guarded = GuardedFlash(CellFlash(bus), start, end)
    before = bus.chip.memory.read(0, start)
    for use in (partial(guarded.erase, offset), partial(guarded.program, offset, bytes(size))):
        try:
            use()
        except RefusedError:
            assert offset < start or offset + max(size, 1) > end or offset % 4096
    assert bus.chip.memory.read(0, start) == before
    assert bus.chip.memory.read(end, 8192) == world().chip.memory.read(end, 8192)


def test_a_guard_without_a_range_is_a_mistake() -> None:
    flash = CellFlash(world())
    for start, end in ((0, 4096), (4096, 4096), (8192, 4096), (100, 8192), (4096, 1 << 30)):
        with pytest.raises(ValueError, match="no range of sectors"):
            GuardedFlash(flash, start, end)
