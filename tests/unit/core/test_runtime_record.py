"""A runtime record is used only when everything that makes it true still holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from appliance import runtime_record
from appliance.runtime_record import RuntimeRecord

S = 1_000_000_000
RECORD = RuntimeRecord(
    card_id="pci-1", boot_id="boot-a", mono_raw_ns=100 * S, card_tai_ns=5_000 * S, discipline={"x": 1.5}
)
NOW: dict[str, Any] = {
    "card_id": "pci-1",
    "boot_id": "boot-a",
    "mono_raw_ns": 160 * S,
    "card_tai_ns": 5_060 * S + 900_000,
}


def test_a_running_card_resumes(tmp_path: Path) -> None:
    runtime_record.save(tmp_path, RECORD)
    record, reason = runtime_record.load(tmp_path, **NOW)
    assert record == RECORD
    assert reason == "resumed"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"card_id": "pci-2"}, "pci-2"),
        ({"boot_id": "boot-b"}, "earlier boot"),
        ({"card_tai_ns": 5_061 * S}, "did not run on"),
        ({"card_tai_ns": 60 * S}, "did not run on"),
        ({"mono_raw_ns": 99 * S}, "older"),
    ],
)
def test_anything_else_does_not(tmp_path: Path, change: dict[str, Any], word: str) -> None:
    runtime_record.save(tmp_path, RECORD)
    record, reason = runtime_record.load(tmp_path, **(NOW | change))
    assert record is None
    assert word in reason


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 1}', "\x00\x00"])
def test_a_damaged_file_is_said_and_not_used(tmp_path: Path, content: str) -> None:
    (tmp_path / runtime_record.NAME).write_text(content)
    record, reason = runtime_record.load(tmp_path, **NOW)
    assert record is None
    assert "unreadable" in reason and str(tmp_path) in reason


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / runtime_record.NAME).mkdir()
    with pytest.raises(OSError, match="directory"):
        runtime_record.save(tmp_path, RECORD)
    assert [item.name for item in tmp_path.iterdir()] == [runtime_record.NAME]


def test_no_file_is_no_fault(tmp_path: Path) -> None:
    assert runtime_record.load(tmp_path, **NOW) == (None, "no runtime record")
