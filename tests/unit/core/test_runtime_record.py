"""A runtime record is used only when everything that makes it true still holds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance import runtime_record
from appliance.runtime_record import RuntimeRecord
from timecard.values import CrossTimestamp

S = 1_000_000_000
RATE_PPB = 8_000.0
RECORD = RuntimeRecord(
    card_id="pci-1",
    boot_id="boot-a",
    mono_raw_ns=100 * S,
    card_tai_ns=5_000 * S,
    error_ns=700.0,
    rate_ppb=RATE_PPB,
    rate_error_ppb=40.0,
    discipline={"x": 1.5},
)


def load(
    folder: Path, card_id: str = "pci-1", boot_id: str = "boot-a", after_s: int = 60, off_ns: int = 0
) -> tuple[RuntimeRecord | None, str]:
    """Some time later, with the card that far from where its rate would have taken it."""
    card_tai_ns = (5_000 + after_s) * S + round(after_s * RATE_PPB) + off_ns
    now = CrossTimestamp(
        card_tai_ns=card_tai_ns, mono_raw_ns=(100 + after_s) * S, half_width_ns=500.0, method="bracket"
    )
    return runtime_record.load(folder, card_id=card_id, boot_id=boot_id, now=now)


@pytest.mark.parametrize("off_ns", [0, 50_000, -50_000])
def test_a_running_card_resumes(tmp_path: Path, off_ns: int) -> None:
    runtime_record.save(tmp_path, RECORD)
    assert load(tmp_path, off_ns=off_ns) == (RECORD, "resumed")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"card_id": "pci-2"}, "pci-2"),
        ({"boot_id": "boot-b"}, "earlier boot"),
        ({"off_ns": S}, "did not run on"),
        ({"off_ns": 60_000}, "60000 ns off, 53600 ns are allowed"),
        ({"after_s": 2, "off_ns": -25_000}, "-25000 ns off, 22280 ns are allowed"),
        ({"off_ns": -5_000 * S}, "did not run on"),
        ({"after_s": -1}, "older"),
        ({"after_s": 86_401}, "older"),
    ],
)
def test_anything_else_does_not(tmp_path: Path, change: dict[str, Any], word: str) -> None:
    runtime_record.save(tmp_path, RECORD)
    record, reason = load(tmp_path, **change)
    assert record is None
    assert word in reason


@pytest.mark.parametrize(
    ("field", "value"),
    [("mono_raw_ns", float("inf")), ("error_ns", float("inf")), ("rate_ppb", "fast"), ("version", 1)],
)
def test_a_field_that_cannot_be_is_named(tmp_path: Path, field: str, value: object) -> None:
    runtime_record.save(tmp_path, RECORD)
    path = tmp_path / runtime_record.NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    record, reason = load(tmp_path)
    assert record is None
    assert field in reason and str(path) in reason


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"version": 2}', "\x00\x00", "[" * 100_000, json.dumps({"version": "A" * 1_000_000})],
    ids=range(7),
)
def test_a_damaged_file_is_said_and_not_used(tmp_path: Path, content: str) -> None:
    (tmp_path / runtime_record.NAME).write_text(content)
    record, reason = load(tmp_path)
    assert record is None
    assert "unreadable" in reason and str(tmp_path) in reason
    assert len(reason) < 300 + len(str(tmp_path))
    assert runtime_record.last_epoch(tmp_path, "boot-a") is None


def test_a_file_without_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    runtime_record.save(tmp_path, replace(RECORD, discipline={"epoch": 3}))
    assert runtime_record.last_epoch(tmp_path, "boot-a") == 3
    with (tmp_path / runtime_record.NAME).open("ab") as file:
        file.write(b" " * runtime_record.MAX_BYTES)
    record, reason = load(tmp_path)
    assert record is None
    assert "larger than 1048576 bytes" in reason
    assert runtime_record.last_epoch(tmp_path, "boot-a") is None


@pytest.mark.parametrize("field", ["card_id", "rate_ppb"])
def test_what_somebody_wrote_is_not_repeated_at_length(tmp_path: Path, field: str) -> None:
    runtime_record.save(tmp_path, RECORD)
    path = tmp_path / runtime_record.NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: "A" * 100_000}))
    record, reason = load(tmp_path)
    assert record is None
    assert "AAAA" in reason
    assert len(reason) < 300 + len(str(tmp_path))


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / runtime_record.NAME).mkdir()
    with pytest.raises(OSError, match="directory"):
        runtime_record.save(tmp_path, RECORD)
    assert [item.name for item in tmp_path.iterdir()] == [runtime_record.NAME]


def test_no_file_is_no_fault(tmp_path: Path) -> None:
    assert load(tmp_path) == (None, "no runtime record")
