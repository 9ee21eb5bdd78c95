"""The state file of a card: whole or not at all, the one before kept, corrupt ones put aside and said."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from appliance import learnt_state
from appliance.learnt_state import SAVE_EVERY_NS, LearntState
from appliance.timescale import spectrum
from appliance.timescale.models import GNSS
from appliance.timescale.noise_fit import common_start
from timecard.timescale import NS_PER_S

CARD = "00:11:22:33:44:55/66"


def _record(value: float = 7.0) -> dict[str, Any]:
    known = {"value": 0.003, "sigma": 0.001}
    return {
        "version": 1,
        "oscillator": "sa53",
        "gnss": "f9t_dual",
        "tai_s": 1_750_000_000,
        "reference_degc": None,
        "frequency_ppb": {"value": value, "sigma": 0.01},
        "drift_ppb_per_day": known,
        "tempco_ppb_per_degc": known,
        "noise": None,
    }


def test_nothing_there_is_no_problem(tmp_path: Path) -> None:
    state = LearntState(tmp_path, CARD)
    assert state.load() is None
    assert state.alarm(0) is None


def test_what_is_saved_is_loaded_and_the_one_before_kept(tmp_path: Path) -> None:
    state = LearntState(tmp_path, CARD)
    state.save(_record(1.0))
    state.save(_record(2.0))
    assert state.path.parent.parent == tmp_path, "a card's name makes no folders"
    assert state.load() == _record(2.0)
    assert json.loads(state.before.read_text(encoding="utf-8")) == _record(1.0)
    assert sorted(p.name for p in state.path.parent.iterdir()) == [state.path.name, state.before.name]


def test_a_number_that_is_too_large_for_a_machine_stops_nobody(tmp_path: Path) -> None:
    state = LearntState(tmp_path, CARD)
    bins = len(spectrum.grid().ordinates)
    figures = common_start(3e-12, GNSS["f9t_dual"], 0.0).to_record()
    noise = {"figures": figures, "power_ns2": [10**400] * bins, "windows": 1.0, "steps_ns": 0.0}
    state.save(_record() | {"noise": noise})
    assert state.load() is not None, "only the noise is of no use"
    state.save(_record() | {"reference_degc": 10**400})
    assert state.load() is not None, "the one before"
    assert state.alarm(0) is not None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[1]",
        b"\xff\xfe",
        b'{"version": 9}',
        b'{"version": "%s"}' % (b"A" * 1_000_000),
        b"[" * 100_000,
        b" " * ((1 << 20) + 1),
    ],
)
def test_a_corrupt_file_is_put_aside_and_the_one_before_used(tmp_path: Path, content: bytes) -> None:
    state = LearntState(tmp_path, CARD)
    state.save(_record(1.0))
    state.save(_record(2.0))
    state.path.write_bytes(content)
    assert state.load() == _record(1.0)
    aside = state.path.with_suffix(".json.corrupt")
    assert aside.read_bytes() == content
    alarm = state.alarm(5)
    assert alarm is not None
    assert alarm.active
    assert not alarm.unusable
    assert str(state.path) in alarm.evidence
    assert aside.name in alarm.evidence
    assert len(alarm.evidence) < 500 + 2 * len(str(tmp_path))


def test_both_corrupt_is_a_start_from_nothing(tmp_path: Path) -> None:
    state = LearntState(tmp_path, CARD)
    state.save(_record(1.0))
    state.save(_record(2.0))
    for path in (state.path, state.before):
        path.write_bytes(b"no")
    assert state.load() is None
    assert state.problem is not None
    assert state.problem.count("cannot be used") == 2


def test_a_write_that_was_cut_off_between_the_two_names(tmp_path: Path) -> None:
    state = LearntState(tmp_path, CARD)
    state.save(_record(1.0))
    state.path.replace(state.before)
    assert state.load() == _record(1.0)
    assert state.problem is None


def test_it_is_written_every_ten_minutes_and_at_the_end(tmp_path: Path) -> None:
    state = LearntState(tmp_path, CARD)
    asked: list[int] = []

    def learnt() -> dict[str, Any]:
        asked.append(1)
        return _record(float(len(asked)))

    for second in range(0, 1_300):
        state.note(learnt, second * NS_PER_S)
    assert len(asked) in (1, 2), "the second is left out if the disk was slow"
    assert SAVE_EVERY_NS == 600 * NS_PER_S
    state.close(_record(99.0))
    assert state.load() == _record(99.0)


def test_nothing_learnt_leaves_the_file_as_it_is(tmp_path: Path) -> None:
    state = LearntState(tmp_path, CARD)
    state.save(_record(1.0))
    for second in (0, 700, 1_400):
        state.note(lambda: None, second * NS_PER_S)
    state.close(None)
    assert state.load() == _record(1.0)
    assert not state.before.exists()


def test_a_folder_that_cannot_be_written_costs_only_the_file(tmp_path: Path) -> None:
    (tmp_path / "learnt").write_text("in the way", encoding="utf-8")
    LearntState(tmp_path, CARD).save(_record())


def test_a_disk_that_hangs_is_given_up_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    back, asked, sync = threading.Event(), threading.Event(), os.fsync

    def hang(file: int) -> None:
        asked.set()
        assert back.wait(200)
        sync(file)

    monkeypatch.setattr(os, "fsync", hang)
    monkeypatch.setattr(learnt_state, "CLOSE_S", 0.05)
    state = LearntState(tmp_path, CARD)
    state.note(lambda: _record(1.0), 0)
    state.note(lambda: _record(1.0), SAVE_EVERY_NS)
    assert asked.wait(100)
    closing = threading.Thread(target=state.close, args=(_record(2.0),))
    closing.start()
    closing.join(100)
    given_up = not closing.is_alive()
    back.set()
    closing.join()
    for thread in threading.enumerate():
        if thread.name.startswith("learnt-state"):
            thread.join()
    assert given_up
    assert "is not on the disk after" in caplog.text
    assert state.load() == _record(2.0), "a disk that comes back gets it all the same"
    assert sorted(p.name for p in state.path.parent.iterdir()) == [state.path.name, state.before.name]
