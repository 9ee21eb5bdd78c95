"""A power cut at every byte of a restore: afterwards old, new or refused, and a second run finishes."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.unit.eeprom.cards import FakeCard, as_card
from timecard.board_data import Backup, pending, restore, resume, take_backup, undo
from timecard.boards import ART, FB
from timecard.eeprom.disciplining import (
    EMPTY_TABLE,
    FACTORY_CONFIG,
    DiscipliningConfig,
    TemperatureTable,
    encode_config,
    encode_table,
)
from timecard.eeprom.parameters import CURRENT, OLDER, Parameters, decode_parameters
from timecard.errors import TimeCardError

OLD = Parameters(config=FACTORY_CONFIG, table=EMPTY_TABLE, layout=CURRENT)
NEW_CONFIG = dataclasses.replace(
    FACTORY_CONFIG,
    ctrl_load_nodes=(0.125, 0.25, 0.5, 0.75, 0.875, *(0.0,) * 5),
    ctrl_drift_coeffs=(2.5, 1.25, 0.5, -1.5, -2.5, *(0.0,) * 5),
    coarse_equilibrium_factory=4_186_600,
    coarse_equilibrium=4_186_612,
    calibration_date_unix_s=1_700_000_000,
    ctrl_nodes_length=5,
    calibration_valid=True,
    estimated_equilibrium_es=2417,
)
NEW_TABLE = TemperatureTable(tuple(24_000 + 7 * n for n in range(160)))
LEAVES: dict[str, Callable[[int, int], int]] = {
    "erased": lambda old, new: 0xFF,
    "old": lambda old, new: old,
    "new": lambda old, new: new,
    "cleared": lambda old, new: 0x00,
}


def old_layout(config: DiscipliningConfig, table: TemperatureTable) -> bytes:
    """512 bytes as cards had them before there were headers."""
    flat = struct.pack(
        "<10f10f3f3f2iqBB?xH",
        *config.ctrl_load_nodes,
        *config.ctrl_drift_coeffs,
        *config.ctrl_load_nodes_factory,
        *config.ctrl_drift_coeffs_factory,
        config.coarse_equilibrium_factory,
        config.coarse_equilibrium,
        config.calibration_date_unix_s,
        config.ctrl_nodes_length_factory,
        config.ctrl_nodes_length,
        config.calibration_valid,
        config.estimated_equilibrium_es,
    )
    return (flat + struct.pack("<160H", *table.mean_fine_tenths)).ljust(512, b"\0")


def new_backup(card: FakeCard) -> Backup:
    taken = take_backup(as_card(card))
    contents = {
        **taken.contents,
        "disciplining_config": encode_config(NEW_CONFIG),
        "temperature_table": encode_table(NEW_TABLE),
    }
    return dataclasses.replace(taken, contents=contents)


def parameters(card: FakeCard) -> Parameters:
    memory = card.world.chips[0x50].memory
    return decode_parameters(bytes(memory[:144]), bytes(memory[144:512]))


def bytes_of_a_restore(tmp_path: Path, start: bytes | None = None) -> int:
    card = FakeCard(ART)
    if start:
        card.world.chips[0x50].memory[: len(start)] = start
    chip = card.world.chips[0x50]
    chip.cut_after = 100_000
    restore(as_card(card), new_backup(card), tmp_path / "journal")
    return 100_000 - chip.cut_after


@pytest.mark.parametrize("leaves", LEAVES)
def test_cut_at_every_byte_leaves_old_or_new_or_nothing_valid(leaves: str, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    steps = bytes_of_a_restore(tmp_path)
    assert steps > 400, "the restore writes most of both areas"
    seen = set()
    for cut in range(steps):
        card = FakeCard(ART)
        backup = new_backup(card)
        record = bytes(card.world.chips[0x50].memory[512:])
        chip = card.world.chips[0x50]
        chip.cut_after, chip.cut_leaves = cut, LEAVES[leaves]
        with pytest.raises(TimeCardError, match="run it again"):
            restore(as_card(card), backup, journal)
        chip.power_up()
        found = parameters(card)
        if found.complete:
            assert (found.config, found.table) in (
                (OLD.config, OLD.table),
                (NEW_CONFIG, NEW_TABLE),
            ), f"a mixture looks valid after a cut at byte {cut}"
        seen.add(found.complete)
        assert journal.exists()
        done = restore(as_card(card), backup, journal)
        assert set(done.changed) == {"disciplining_config", "temperature_table"}
        assert parameters(card) == Parameters(config=NEW_CONFIG, table=NEW_TABLE, layout=CURRENT)
        assert bytes(chip.memory[512:]) == record
        assert not journal.exists()
    # The first byte is the header: "erased" and "cleared" make the set invalid at once.
    assert seen == ({False, True} if leaves in ("old", "new") else {False})


def test_cut_of_the_second_run_and_the_way_back(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    for cut in range(0, bytes_of_a_restore(tmp_path), 23):
        card = FakeCard(ART)
        chip = card.world.chips[0x50]
        backup = new_backup(card)
        actions: tuple[Callable[[], object], ...] = (
            partial(restore, as_card(card), backup, journal),
            partial(resume, as_card(card), journal),
            partial(undo, as_card(card), journal),
        )
        for action in actions:
            chip.cut_after = min(cut, 11)
            with pytest.raises(TimeCardError):
                action()
            chip.power_up()
        undone = resume(as_card(card), journal)  # the way back, finished
        assert undone.changed
        assert parameters(card) == OLD
        assert pending(as_card(card), journal) is None


@pytest.mark.parametrize("leaves", LEAVES)
def test_cut_of_a_conversion_from_the_older_layout(leaves: str, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    start = old_layout(FACTORY_CONFIG, NEW_TABLE)
    for cut in range(0, bytes_of_a_restore(tmp_path, start), 1 if leaves == "new" else 7):
        card = FakeCard(ART)
        chip = card.world.chips[0x50]
        chip.memory[: len(start)] = start
        assert parameters(card).layout == OLDER
        backup = take_backup(as_card(card))
        chip.cut_after, chip.cut_leaves = cut, LEAVES[leaves]
        try:
            restore(as_card(card), backup, journal)
        except TimeCardError:
            chip.power_up()
            found = parameters(card)
            if found.complete:
                assert found.config == FACTORY_CONFIG, cut
                # Without a header nothing can be taken away first: that byte may hurt one entry.
                assert found.table == NEW_TABLE or (cut == 0 and leaves not in ("old", "new")), cut
            assert restore(as_card(card), backup, journal).converted
        assert parameters(card) == Parameters(config=FACTORY_CONFIG, table=NEW_TABLE, layout=CURRENT)


@pytest.mark.parametrize("cut", [0, 1, 14, 200, 420])
def test_cut_through_the_bus(cut: int, tmp_path: Path) -> None:
    card = FakeCard(ART, bus=True)
    backup = new_backup(card)
    card.world.chips[0x50].cut_after = cut
    with pytest.raises(TimeCardError):
        restore(as_card(card), backup, tmp_path / "journal")
    card.world.chips[0x50].power_up()
    restore(as_card(card), backup, tmp_path / "journal")
    assert parameters(card) == Parameters(config=NEW_CONFIG, table=NEW_TABLE, layout=CURRENT)


def test_identity_of_an_fb_card_survives_a_cut_in_the_journal(tmp_path: Path) -> None:
    card = FakeCard(FB)
    backup = take_backup(as_card(card))
    chip = card.world.chips[0x50]
    chip.memory[0x43:0x50] = b"XXXXXXXXXXXXX"
    chip.cut_after = 5
    with pytest.raises(TimeCardError):
        restore(as_card(card), backup, tmp_path / "journal", identity=True)
    chip.power_up()
    assert resume(as_card(card), tmp_path / "journal").changed == ("memory",)
    assert card.identity().board_id == backup.board_id
