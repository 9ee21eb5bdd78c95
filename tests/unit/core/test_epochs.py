"""No two disciplines of a boot share an epoch, unless the later goes on with the clock of the earlier."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from appliance import runtime_record
from appliance.config import Config
from appliance.daemon import Core
from appliance.runtime_record import NAME, RuntimeRecord, current_boot_id, last_epoch
from tests.scenario.discipline_worlds import loop, world
from timecard.card import card_on_bus
from timecard.emulator.virtual_card import build_in_process

SAVED = RuntimeRecord(
    card_id="another",
    boot_id="boot-a",
    mono_raw_ns=1,
    card_tai_ns=2,
    error_ns=0.0,
    rate_ppb=0.0,
    rate_error_ppb=0.0,
    discipline={"epoch": 6, "version": 0},
)


def test_a_record_that_fits_nothing_else_still_tells_the_epoch(tmp_path: Path) -> None:
    runtime_record.save(tmp_path, SAVED)
    assert last_epoch(tmp_path, "boot-a") == 6
    assert last_epoch(tmp_path, "boot-b") is None, "another boot, another count"


@pytest.mark.parametrize("epoch", [None, True, "3", 3.0, -1, 1 << 31])
def test_an_epoch_that_is_none_is_not_taken(tmp_path: Path, epoch: Any) -> None:
    (tmp_path / NAME).write_text(json.dumps({"boot_id": "boot-a", "discipline": {"epoch": epoch}}))
    assert last_epoch(tmp_path, "boot-a") is None


@pytest.mark.parametrize("content", [None, "", "[]", '{"boot_id": "boot-a", "discipline": 3}', "\x00"])
def test_a_record_that_is_missing_or_damaged_tells_nothing(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / NAME).write_text(content)
    assert last_epoch(tmp_path, "boot-a") is None


def test_core_goes_on_from_the_last_epoch(tmp_path: Path) -> None:
    config = Config.model_validate({"paths": {"runtime": tmp_path, "state": tmp_path}})
    virtual = build_in_process(seed=1)
    card = card_on_bus(virtual.bus, virtual.timebase)
    assert Core(config)._assemble(card).engine.discipline.epoch == 0
    (tmp_path / NAME).write_text(
        json.dumps({"boot_id": current_boot_id(), "discipline": {"epoch": 4}}), encoding="utf-8"
    )
    core = Core(config)
    assert core._assemble(card).engine.discipline.epoch == 5, "core was restarted, and the record is refused"
    core._last_epoch = 8
    assert core._assemble(card, fresh=True).engine.discipline.epoch == 9


def test_a_resumed_clock_keeps_its_epoch_and_a_refused_record_does_not() -> None:
    played = loop("C", "ocxo", world("ocxo", 300))
    played.play(200)
    record = json.loads(json.dumps(played.discipline.runtime_record(played.mono_ns(200.0))))
    epoch, make = played.discipline.epoch, type(played.discipline)
    for begun_with, expected in ((record, epoch), (record | {"version": 99}, epoch + 1)):
        played.discipline = make(played.config, played.mono_ns(200.0), begun_with, epoch=epoch + 1)
        assert played.play(1)[-1].snapshot.epoch == expected
