"""The step engine and the journal, without any card."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from timecard.bringup.engine import NamedStep, Setting, Stepper, StopRunError, run_steps
from timecard.bringup.journal import FileJournal, Journal, JournalError, NoJournal
from timecard.bringup.report import BringUpReport, Outcome, Verdict
from timecard.emulator.world import VirtualTime
from timecard.errors import DeviceLostError, RefusedError, UnsupportedError

START_NS = 1_800_000_000 * 10**9


@dataclass
class Thing:
    """Something that can be set, perhaps not at once, perhaps not at all."""

    value: int = 0
    late: int = 0
    stuck: bool = False
    written: list[int] = field(default_factory=list)
    _coming: int | None = None

    def read(self) -> int:
        if self._coming is not None:
            if self.late == 0:
                self.value, self._coming = self._coming, None
            else:
                self.late -= 1
        return self.value

    def write(self, value: int) -> None:
        self.written.append(value)
        if not self.stuck:
            self._coming = value


def setting(
    thing: Thing, wanted: int, *, wait_s: float = 0.0, required: bool = False, writable: bool = True
) -> Setting[int]:
    return Setting(
        what="thing",
        wanted=str(wanted),
        read=thing.read,
        matches=lambda found: found == wanted,
        write=(lambda: thing.write(wanted)) if writable else None,
        wait_s=wait_s,
        required=required,
    )


def run(
    *works: Callable[[Stepper], object], check: bool = False, journal: Journal | None = None
) -> BringUpReport:
    def named(number: int, work: Callable[[Stepper], object]) -> NamedStep:
        def step(stepper: Stepper) -> None:
            work(stepper)

        return NamedStep(f"step {number}", step)

    return run_steps(
        [named(number, work) for number, work in enumerate(works)],
        VirtualTime(START_NS),
        journal or NoJournal(),
        check=check,
        card="c",
        board="fb",
        access="vfio-user",
    )


def test_what_is_right_is_left_alone() -> None:
    thing = Thing(value=3)
    report = run(lambda stepper: stepper.settle(setting(thing, 3)))
    assert report.steps[0].results[0].outcome is Outcome.AS_INTENDED
    assert thing.written == []
    assert report.verdict is Verdict.DONE


def test_what_differs_is_changed_once_and_verified() -> None:
    thing = Thing(late=2)
    report = run(lambda stepper: stepper.settle(setting(thing, 3, wait_s=5)))
    (result,) = report.steps[0].results
    assert (result.outcome, result.before, result.wanted) == (Outcome.CHANGED, "0", "3")
    assert thing.written == [3]


def test_what_does_not_take_is_a_failure() -> None:
    report = run(lambda stepper: stepper.settle(setting(Thing(stuck=True), 3, wait_s=2)))
    (result,) = report.steps[0].results
    assert result.outcome is Outcome.FAILED
    assert "0 instead of 3 within 2 s" in (result.reason or "")
    assert report.verdict is Verdict.FAILED


def test_check_writes_nothing_and_says_what_it_cannot_know() -> None:
    thing = Thing()
    report = run(
        lambda stepper: stepper.settle(setting(thing, 3)),
        lambda stepper: stepper.settle(setting(thing, 4, wait_s=9, writable=False)),
        check=True,
    )
    assert [step.results[0].outcome for step in report.steps] == [Outcome.WOULD_CHANGE, Outcome.NOT_TRIED]
    assert thing.written == []
    assert report.verdict is Verdict.WOULD_CHANGE
    assert report.as_dict()["changes"] == 1


@pytest.mark.parametrize("required", [False, True])
def test_a_lack_is_absent_unless_required(required: bool) -> None:
    def lacking() -> int:
        raise UnsupportedError("card", "look", "this board has none")

    report = run(
        lambda stepper: stepper.settle(
            Setting(
                what="thing",
                wanted="1",
                read=lacking,
                matches=lambda found: found == 1,
                write=None,
                required=required,
            )
        )
    )
    assert report.steps[0].results[0].outcome is (Outcome.FAILED if required else Outcome.ABSENT)
    assert "this board has none" in (report.steps[0].results[0].reason or "")


def test_a_refusal_fails_and_the_other_steps_are_tried() -> None:
    def refused(stepper: Stepper) -> None:
        raise RefusedError("card", "set", "no")

    thing = Thing()
    report = run(refused, lambda stepper: stepper.settle(setting(thing, 1)))
    assert report.verdict is Verdict.FAILED
    assert thing.written == [1]


def test_a_lost_card_and_a_stop_end_the_run(tmp_path: Path) -> None:
    def lost(stepper: Stepper) -> None:
        raise DeviceLostError("card", "read", "all ones")

    def stop(stepper: Stepper) -> None:
        raise StopRunError("doctor said so")

    for work in (lost, stop):
        asked: list[Stepper] = []
        journal = FileJournal(tmp_path / work.__name__, "c", "d")
        report = run(work, asked.append, journal=journal)
        assert report.stopped is not None
        assert asked == [], "what comes behind is not tried"
        assert report.verdict is Verdict.FAILED
        assert FileJournal(tmp_path / work.__name__, "c", "d").begin() == "step 0", "it can be continued"


def test_the_journal_tells_where_a_run_was_cut_off_and_what_was_there_before(tmp_path: Path) -> None:
    class CutError(Exception):
        pass

    def cut(stepper: Stepper) -> None:
        stepper.changing("sma1", "in 10MHz")
        raise CutError

    with pytest.raises(CutError):
        run(lambda stepper: None, cut, journal=FileJournal(tmp_path, "c/1", "d"))
    record = json.loads((tmp_path / "bringup-c-1.json").read_text())
    assert (record["step"], record["done"], record["before"]) == ("step 1", ["step 0"], {"sma1": "in 10MHz"})

    def change_again(stepper: Stepper) -> None:
        stepper.changing("sma1", "in PPS1")

    other = run(change_again, journal=FileJournal(tmp_path, "c/1", "another intent"))
    assert other.resumed is None, "a journal belongs to one intent"
    with pytest.raises(CutError):
        run(cut, journal=FileJournal(tmp_path, "c/1", "d"))
    again = run(lambda stepper: None, change_again, journal=FileJournal(tmp_path, "c/1", "d"))
    assert again.resumed == "step 0"
    record = FileJournal(tmp_path, "c/1", "d").read()
    assert record["before"] == {"sma1": "in 10MHz"}, "what was there before the first change stays"
    assert record["finished"]
    assert run(lambda stepper: None, journal=FileJournal(tmp_path, "c/1", "d")).resumed is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 99}', "nonsense", '{"version": 1, "step": 4}'])
def test_a_damaged_journal_counts_as_none(tmp_path: Path, text: str) -> None:
    journal = FileJournal(tmp_path, "c", "d")
    journal.path.write_text(text)
    assert journal.begin() is None


def test_a_journal_that_cannot_be_written_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="--state-dir"):
        FileJournal(tmp_path / "file" / "below", "c", "d").begin()
