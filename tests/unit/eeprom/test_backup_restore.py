"""Backup and restore on emulated chips: what is refused, what is kept, what a second run does."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.eeprom.cards import FakeCard, as_card
from tests.unit.eeprom.test_power_cut import NEW_CONFIG, NEW_TABLE, new_backup, parameters
from timecard.board_data import load_backup, pending, restore, resume, save_backup, take_backup, undo
from timecard.boards import ADVA, ART, BOARDS, FB, Board
from timecard.eeprom.disciplining import config_to_json
from timecard.emulator.i2c_blocks import EepromOptions
from timecard.errors import DeviceAbsentError, RefusedError, TimeCardError


def saved(card: FakeCard, path: Path) -> dict[str, Any]:
    save_backup(take_backup(as_card(card)), path)
    values: dict[str, Any] = json.loads(path.read_text())
    return values


@pytest.mark.parametrize("board", BOARDS.values(), ids=lambda board: board.name)
def test_a_backup_comes_back_from_its_file(board: Board, tmp_path: Path) -> None:
    card = FakeCard(board)
    taken = take_backup(as_card(card))
    save_backup(taken, tmp_path / "backup.json")
    assert load_backup(tmp_path / "backup.json") == taken
    restored = restore(as_card(card), taken, tmp_path / "journal", identity=True)
    assert restored.changed == ()
    assert not (tmp_path / "journal").exists()


def test_restore_changes_the_parameters_and_nothing_else(tmp_path: Path) -> None:
    card = FakeCard(ART, bus=True)
    before = bytes(card.world.chips[0x50].memory[512:])
    done = restore(as_card(card), new_backup(card), tmp_path / "journal")
    assert done.changed == ("disciplining_config", "temperature_table")
    assert (parameters(card).config, parameters(card).table) == (NEW_CONFIG, NEW_TABLE)
    assert bytes(card.world.chips[0x50].memory[512:]) == before
    assert restore(as_card(card), new_backup(card), tmp_path / "journal").changed == ()


def test_values_can_be_edited_in_the_file(tmp_path: Path) -> None:
    card = FakeCard(ART)
    path = tmp_path / "backup.json"
    values = saved(card, path)
    values["parameters"]["disciplining_config"] = config_to_json(NEW_CONFIG)
    path.write_text(json.dumps(values))
    with pytest.raises(RefusedError, match="parameters and hex differ"):
        load_backup(path)
    del values["hex"]["disciplining_config"], values["hex"]["temperature_table"]
    path.write_text(json.dumps(values))
    restore(as_card(card), load_backup(path), tmp_path / "journal")
    assert parameters(card).config == NEW_CONFIG


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "x"}, "format is not"),
        ({"version": 2}, "format is not"),
        ({"board": "none"}, "board 'none'"),
        ({"hex": {"colour": "00"}}, "hex.colour"),
        ({"hex": {"manufacturing": "zz"}}, "hex.manufacturing is not hexadecimal"),
        ({"hex": {"manufacturing": "00"}}, "1 bytes instead of 196"),
        ({"hex": {"manufacturing": 5}}, "hex.manufacturing"),
        ({"hex": [], "parameters": None}, "hex is not an object"),
        ({"hex": {}, "parameters": None}, "disciplining_config, temperature_table missing"),
        ({"serial": 5}, "serial is neither"),
        ({"parameters": {"disciplining_config": {}}}, "temperature_table is missing"),
        ({"parameters": {"disciplining_config": 7}}, "disciplining_config is missing or not"),
    ],
)
def test_a_file_that_is_wrong_is_refused_by_field(
    change: dict[str, object], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "backup.json"
    path.write_text(json.dumps({**saved(FakeCard(ART), path), **change}))
    with pytest.raises(RefusedError) as caught:
        load_backup(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("coarse_equilibrium", "1" + "0" * 400),
        ("coarse_equilibrium", "[" * 900 + "]" * 900),
        ("ctrl_load_nodes", "[" + "1" + "0" * 400 + "]"),
        ("ctrl_load_nodes", "[1e39, NaN]"),
        ("calibration_valid", "1" + "0" * 400),
        ("temperature_table", "[1" + "0" * 400 + "]"),
    ],
)
def test_a_value_that_cannot_be_is_one_short_line(field: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / "backup.json"
    values = saved(FakeCard(ART), path)
    del values["hex"]["disciplining_config"], values["hex"]["temperature_table"]
    parameters = values["parameters"]
    (parameters if field in parameters else parameters["disciplining_config"])[field] = "HERE"
    path.write_text(json.dumps(values).replace('"HERE"', text))
    with pytest.raises(RefusedError, match=r"backup\.json") as caught:
        load_backup(path)
    assert len(str(caught.value)) < 1_000


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b" " * (1 << 20) + b"{}"])
def test_a_file_that_is_no_backup_at_all(raw: bytes, tmp_path: Path) -> None:
    path = tmp_path / "backup.json"
    path.write_bytes(raw)
    with pytest.raises(RefusedError, match=r"backup\.json"):
        load_backup(path)
    with pytest.raises(DeviceAbsentError):
        load_backup(tmp_path / "nothing")


def test_backups_of_another_board_or_card_are_refused(tmp_path: Path) -> None:
    art, fb = FakeCard(ART), FakeCard(FB)
    with pytest.raises(RefusedError, match="of a board art, this is fb"):
        restore(as_card(fb), take_backup(as_card(art)), tmp_path / "journal")
    other = FakeCard(ART, EepromOptions(product_serial="F00000002"))
    with pytest.raises(RefusedError, match="of card F00000002, this is card F00000001"):
        restore(as_card(art), new_backup(other), tmp_path / "journal")
    assert not (tmp_path / "journal").exists()


@pytest.mark.parametrize("unknown", ["card", "backup", "both"])
def test_without_a_serial_number_the_ids_of_the_cards_decide(unknown: str, tmp_path: Path) -> None:
    """A record of text gives no serial number; another card's calibration must not come that way."""
    card, other = FakeCard(ART), FakeCard(ART)
    other.id = "other-card"
    text = b"oscillator=mRO50\n".ljust(32, b"\0")
    for each in (card, other):
        if unknown in ("both", "card" if each is card else "backup"):
            each.world.chips[0x50].memory[0x200:0x220] = text
    assert None in (card.identity().serial, other.identity().serial)
    before = bytes(card.world.chips[0x50].memory)
    with pytest.raises(RefusedError, match=r"is of card other-card, this is test-card.*--same-card"):
        restore(as_card(card), new_backup(other), tmp_path / "journal")
    assert bytes(card.world.chips[0x50].memory) == before
    assert not (tmp_path / "journal").exists()
    assert restore(as_card(card), new_backup(other), tmp_path / "journal", same_card=True).changed


def test_nobody_can_vouch_against_serial_numbers(tmp_path: Path) -> None:
    other = FakeCard(ART, EepromOptions(product_serial="F00000002"))
    with pytest.raises(RefusedError, match="of card F00000002"):
        restore(as_card(FakeCard(ART)), new_backup(other), tmp_path / "journal", same_card=True)


@pytest.mark.parametrize("board", [FB, ADVA], ids=lambda board: board.name)
def test_a_board_with_nothing_but_its_identity(board: Board, tmp_path: Path) -> None:
    card = FakeCard(board)
    taken = take_backup(as_card(card))
    with pytest.raises(RefusedError, match="--identity"):
        restore(as_card(card), taken, tmp_path / "journal")
    card.world.chips[0x50].memory[0x43:0x47] = b"XXXX"
    assert restore(as_card(card), taken, tmp_path / "journal", identity=True).changed == ("memory",)
    assert bytes(card.world.chips[0x50].memory) == taken.contents["memory"]


def test_a_manufacturing_record_is_restored_on_demand_and_only_a_valid_one(tmp_path: Path) -> None:
    card = FakeCard(ART)
    taken = take_backup(as_card(card))
    chip = card.world.chips[0x50]
    chip.memory[0x200:0x220] = b"oscillator=mRO50\n".ljust(32, b"\0")
    assert card.identity().serial is None
    assert restore(as_card(card), taken, tmp_path / "journal", identity=True).changed == ("manufacturing",)
    assert card.identity().serial == "F00000001"
    chip.memory[0x263] ^= 1
    damaged = take_backup(as_card(card))
    with pytest.raises(RefusedError, match="CRC"):
        restore(as_card(card), damaged, tmp_path / "journal", identity=True)


def test_invalid_parameters_are_not_written(tmp_path: Path) -> None:
    card = FakeCard(ART)
    card.world.chips[0x50].memory[0:144] = b"\xff" * 144
    blank = take_backup(as_card(card))
    card.world.chips[0x50].memory[0:512] = b"".join(list(new_backup(card).contents.values())[:2])
    with pytest.raises(RefusedError, match="disciplining_config: blank"):
        restore(as_card(card), blank, tmp_path / "journal")


def test_write_protection_is_refused_before_and_found_out_during(tmp_path: Path) -> None:
    card = FakeCard(FB)
    taken = take_backup(as_card(card))
    chip = card.world.chips[0x50]
    chip.memory[0x43:0x45] = b"YY"
    before = bytes(chip.memory)
    card.protected = True
    with pytest.raises(RefusedError, match="EEPROM_WP"):
        restore(as_card(card), taken, tmp_path / "journal", identity=True)
    card.protected = False
    chip.write_protected = True
    with pytest.raises(RefusedError, match=r"write-protected.*nothing was changed"):
        restore(as_card(card), taken, tmp_path / "journal", identity=True)
    assert bytes(chip.memory) == before
    assert not (tmp_path / "journal").exists(), "nothing is left to finish"


def test_an_unfinished_restore_of_other_contents_is_finished_first(tmp_path: Path) -> None:
    card = FakeCard(ART)
    journal = tmp_path / "journal"
    first, factory = new_backup(card), take_backup(as_card(card))
    card.world.chips[0x50].cut_after = 100
    with pytest.raises(TimeCardError, match="--undo"):
        restore(as_card(card), first, journal)
    card.world.chips[0x50].power_up()
    with pytest.raises(RefusedError, match="--resume"):
        restore(as_card(card), factory, journal)
    assert undo(as_card(card), journal).changed
    assert take_backup(as_card(card)) == factory
    with pytest.raises(RefusedError, match="no restore was cut short"):
        resume(as_card(card), journal)


def test_the_journal_of_another_card_is_left_alone(tmp_path: Path) -> None:
    card = FakeCard(ART)
    journal = tmp_path / "journal"
    card.world.chips[0x50].cut_after = 100
    with pytest.raises(TimeCardError):
        restore(as_card(card), new_backup(card), journal)
    other = FakeCard(ART)
    other.id = "other"
    with pytest.raises(RefusedError, match=r"of card test-card, this is other"):
        pending(as_card(other), journal)
    assert journal.exists()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_file_is_loaded_or_refused(data: st.DataObject, tmp_path: Path) -> None:
    path = tmp_path / "backup.json"
    values = saved(FakeCard(ART), path)
    target = data.draw(st.sampled_from([values, values["hex"], values["parameters"]]))
    target[data.draw(st.sampled_from(sorted(target)))] = data.draw(json_values)
    path.write_text(json.dumps(values))
    try:
        loaded = load_backup(path)
    except RefusedError:
        return
    dataclasses.replace(loaded)
