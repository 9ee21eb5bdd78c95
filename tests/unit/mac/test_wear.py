"""Non-volatile writes: counted before they happen, limited, kept over restarts."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from timecard.errors import RefusedError, TimeCardError
from timecard.mac.wear import LIMITS, MAX_FILE_BYTES, WearLedger, WearLimit

DAY_S = 86_400.0
SMALL = {"csac": WearLimit(3, 5)}


class Clock:
    def __init__(self) -> None:
        self.now_s = 20_000 * DAY_S

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> WearLedger:
    return WearLedger(tmp_path / "state" / "wear.json", SMALL, clock)


def write(ledger: WearLedger, times: int = 1, serial: str = "A") -> None:
    for _ in range(times):
        ledger.charge("mac", "csac", serial, "set mode")


def test_the_count_outlives_the_process(ledger: WearLedger, tmp_path: Path, clock: Clock) -> None:
    write(ledger, 2)
    again = WearLedger(tmp_path / "state" / "wear.json", SMALL, clock)
    usage = again.usage("csac", "A")
    assert (usage.today, usage.life, usage.near, usage.reached) == (2, 2, False, False)
    assert again.usage("csac", "B").life == 0


def test_a_day_has_its_limit(ledger: WearLedger, clock: Clock) -> None:
    write(ledger, 3)
    with pytest.raises(RefusedError, match=r"mac: set mode: csac A: 3 non-volatile writes today, at most 3"):
        write(ledger)
    write(ledger, serial="B")
    clock.now_s += DAY_S
    write(ledger)
    assert ledger.usage("csac", "A").today == 1
    assert ledger.usage("csac", "A").near


def test_a_life_has_its_limit(ledger: WearLedger, clock: Clock) -> None:
    write(ledger, 3)
    clock.now_s += DAY_S
    write(ledger, 2)
    assert ledger.usage("csac", "A").reached
    clock.now_s += 365 * DAY_S
    with pytest.raises(RefusedError, match=r"5 of 5 non-volatile writes of its life"):
        write(ledger)


def test_a_host_clock_that_goes_back_begins_no_new_day(ledger: WearLedger, clock: Clock) -> None:
    write(ledger, 3)
    clock.now_s -= 10 * DAY_S
    with pytest.raises(RefusedError, match="today"):
        write(ledger)


def test_without_a_file_the_limits_hold_too() -> None:
    ledger = WearLedger(limits=SMALL)
    write(ledger, 3)
    with pytest.raises(RefusedError):
        write(ledger)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"version": 2, "parts": {}}',
        '{"version": 1, "parts": []}',
        '{"version": 1, "parts": {"csac/A": {"life": 1}}}',
        '{"version": 1, "parts": {"csac/A": {"life": -1, "day": 1, "today": 1}}}',
        '{"version": 1, "parts": {"csac/A": {"life": true, "day": 1, "today": 1}}}',
        "[" * 100_000,
        " " * (MAX_FILE_BYTES + 1),
    ],
)
def test_a_damaged_count_stops_writing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "wear.json"
    path.write_text(text)
    with pytest.raises(RefusedError, match="remove it to count from zero"):
        write(WearLedger(path, SMALL))
    assert path.read_text() == text


def test_a_count_that_cannot_be_kept_stops_writing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TimeCardError):
        write(WearLedger(tmp_path / "file" / "wear.json", SMALL))


def test_a_write_that_was_cut_leaves_the_old_count(ledger: WearLedger, tmp_path: Path) -> None:
    write(ledger)
    path = tmp_path / "state" / "wear.json"
    path.with_name("wear.json.new").write_text("{ half a")
    write(ledger)
    assert json.loads(path.read_text())["parts"]["csac/A"]["life"] == 2


def test_a_csacs_own_writes_have_room() -> None:
    assert LIMITS["csac"].per_life <= 20_000 // 2


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=120))
def test_any_file_is_a_count_or_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "any.json"
    path.write_bytes(data)
    with contextlib.suppress(RefusedError):
        WearLedger(path).usage("csac", "A")
