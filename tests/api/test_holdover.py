"""``time-appliance holdover``: by hand, and until any limit; against cores that answer over their sockets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from api.main import app
from appliance.core_report import CoreReport
from appliance.events import Command, CommandKind
from appliance.ipc import CommandRefusedError, CoreClient, CoreServer, CoreUnreachableError
from appliance.snapshot import ClockState
from tests.api.publishing import Publishing
from tests.scenario.discipline_worlds import loop, world
from tests.unit.timescale.closed_loop import ClosedLoop

ENTER, LEAVE = CommandKind.ENTER_HOLDOVER, CommandKind.LEAVE_HOLDOVER
LOCKED, HOLDOVER = ClockState.LOCKED, ClockState.HOLDOVER


class Commanded(Publishing):
    """Core that shows what it was told to do some looks later."""

    def __init__(self, report_of: Callable[..., CoreReport]) -> None:
        super().__init__(report_of)
        self.asked: list[CommandKind] = []
        self.refusal: str | None = None
        self.late = 2
        self.deaf = False

    def report(self) -> CoreReport | None:
        if self.asked and self.late:
            self.late -= 1
        elif self.asked and not self.deaf:
            forced = self.asked[-1] is ENTER
            lost = forced and self.changes.get("state", LOCKED) is LOCKED
            self.changes |= {"holdover_forced": forced} | ({"state": HOLDOVER} if lost else {})
        return super().report()

    def command(self, kind: CommandKind) -> str:
        if self.refusal is not None:
            raise CommandRefusedError(self.refusal)
        self.asked.append(kind)
        return kind.value


@pytest.fixture
def core(tmp_path: Path, report_of: Callable[..., CoreReport]) -> Iterator[Commanded]:
    handler = Commanded(report_of)
    with CoreServer(tmp_path / "core.sock", handler):
        yield handler


def invoke(tmp_path: Path, word: str = "", *arguments: str) -> Result:
    words = ["holdover", *([word] if word else []), "--runtime-dir", str(tmp_path), *arguments]
    return CliRunner().invoke(app, words)


def test_enter_says_what_the_clock_does_now_and_until_when(tmp_path: Path, core: Commanded) -> None:
    result = invoke(tmp_path, "enter")
    assert (result.exit_code, core.asked, core.late) == (0, [ENTER], 0), result.output
    assert result.stdout == (
        "the clock is in holdover, clockClass 6 is announced, bound 58 ns, the budget of 1000 ns is spent in"
        " 8 h 1 min;"
        " until `time-appliance holdover leave`\n"
    )
    shown = invoke(tmp_path)
    assert "asked for by an operator; `time-appliance holdover leave` ends it" in shown.stdout


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (HOLDOVER, "the clock was in holdover already, and does not take a reference back"),
        (ClockState.FREE_RUN, "the clock is free-run, and is not set"),
    ],
)
def test_enter_where_there_is_nothing_to_lose(
    tmp_path: Path, core: Commanded, state: ClockState, said: str
) -> None:
    core.changes = {"state": state}
    result = invoke(tmp_path, "enter")
    assert (result.exit_code, result.stdout.startswith(said)) == (0, True), result.output


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (HOLDOVER, "a healthy reference is followed once half a minute of it has been seen"),
        (LOCKED, "the clock is locked; doubts about the receiver and peers are forgotten"),
    ],
)
def test_leave(tmp_path: Path, core: Commanded, state: ClockState, said: str) -> None:
    core.changes = {"state": state}
    result = invoke(tmp_path, "leave")
    assert (result.exit_code, core.asked, result.stdout.startswith(said)) == (0, [LEAVE], True), result.output


def test_as_json(tmp_path: Path, core: Commanded) -> None:
    document = json.loads(invoke(tmp_path, "enter", "--json").stdout)
    assert (document["state"], document["forced"], document["clock_class"]) == ("holdover", True, 6)


def test_a_refusal_is_one_line_and_1(tmp_path: Path, core: Commanded) -> None:
    core.refusal = "the card is lost (gone): try again when it is back"
    result = invoke(tmp_path, "enter")
    assert (result.exit_code, result.stderr) == (1, f"time-appliance: {core.refusal}\n")


def test_what_is_not_seen_to_be_done_is_a_failure(
    tmp_path: Path, core: Commanded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.cli_holdover.DONE_WITHIN_S", 0.5)
    core.deaf = True
    result = invoke(tmp_path, "enter")
    assert result.exit_code == 1
    assert "core took the command, but its report does not show it" in result.stderr


def test_a_core_that_is_late_for_once_is_asked_again(
    tmp_path: Path, core: Commanded, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, failures = CoreClient.report, [True]

    def late(client: CoreClient) -> CoreReport:
        if core.asked and failures:
            failures.pop()
            raise CoreUnreachableError("core does not answer")
        return report(client)

    monkeypatch.setattr(CoreClient, "report", late)
    assert (invoke(tmp_path, "leave").exit_code, failures) == (0, [])


@pytest.mark.parametrize("word", ["enter", "leave"])
def test_nobody_there_is_one_line_and_3(tmp_path: Path, word: str) -> None:
    result = invoke(tmp_path, word)
    assert (result.exit_code, result.stderr.count("\n")) == (3, 1)
    assert "core is not running" in result.stderr


@pytest.mark.parametrize("word", ["enter", "leave"])
def test_who_may_not_ask_is_told_so(
    tmp_path: Path, core: Commanded, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    monkeypatch.setattr("appliance.ipc_server.peer_is_permitted", lambda *_: False)
    result = invoke(tmp_path, word)
    assert (result.exit_code, result.stderr.count("\n"), core.asked) == (3, 1, [])
    assert "only core's own user, root" in result.stderr


def test_options_in_front_of_the_word_are_not_lost_silently(tmp_path: Path, core: Commanded) -> None:
    result = CliRunner().invoke(app, ["holdover", "--runtime-dir", str(tmp_path), "enter"])
    assert (result.exit_code, core.asked) == (64, [])
    assert "write options behind `enter`" in result.stderr


# ---------------------------------------------------------------------- until any limit


@pytest.mark.parametrize(
    ("arguments", "p", "k_at", "k_up_to"),
    [((), 0.999, 3.2905, 3.4808), (("--p", "0.9"), 0.9, 1.6449, 1.9600)],
)
def test_how_long_until_a_limit(
    tmp_path: Path, published: Publishing, arguments: tuple[str, ...], p: float, k_at: float, k_up_to: float
) -> None:
    """50 ns of biases, then 0.01 ns of sigma a second."""
    result = invoke(tmp_path, "", "--limit", "300", *arguments, "--json")
    assert result.exit_code == 0, result.output
    limits = json.loads(result.stdout)["limits"]
    assert [(row["limit_ns"], row["p"], row["kind"]) for row in limits] == [(300, p, "at"), (300, p, "up_to")]
    seconds = [row["seconds"] for row in limits]
    assert seconds == pytest.approx([250.0 / 0.01 / k_at, 250.0 / 0.01 / k_up_to], rel=1e-4)
    assert int(limits[0]["crosses_at_tai_ns"]) - 1_795_310_242_000_000_123 == round(seconds[0] * 1e9)
    shown = invoke(tmp_path, "", "--limit", "300", *arguments).stdout
    assert "300 ns" in shown and "250 ns" not in shown and f"{p * 100:g} %" in shown


def test_a_limit_that_is_passed_or_never_reached(tmp_path: Path, published: Publishing) -> None:
    passed = json.loads(invoke(tmp_path, "", "--limit", "49", "--json").stdout)["limits"]
    assert [row["seconds"] for row in passed] == [0.0, 0.0]
    never = json.loads(invoke(tmp_path, "", "--limit", "1e6", "--json").stdout)["limits"][0]
    assert (never["seconds"], never["why_null"]["seconds"]) == (None, "not within the forecast's horizon")


def test_without_a_forecast_there_is_no_answer(tmp_path: Path, published: Publishing) -> None:
    published.changes = {"state": ClockState.FREE_RUN, "bound_ns": None, "bound_wide_ns": None, "limits": ()}
    result = invoke(tmp_path, "", "--limit", "300")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "there is no forecast: no forecast has been made yet" in result.stderr


@pytest.mark.parametrize(
    "wrong",
    [("--p", "0.9"), ("--limit", "0"), ("--limit", "nan"), ("--limit", "9", "--p", "1"), ("--limit", "x")],
)
def test_nonsense_is_refused(tmp_path: Path, published: Publishing, wrong: tuple[str, ...]) -> None:
    assert invoke(tmp_path, "", *wrong).exit_code == 64


# ---------------------------------------------------------------------- what the clock says of it


def test_the_clock_says_that_it_was_asked() -> None:
    played = loop("B", "sa53", world("sa53", 300))
    played.play(5)

    def told(kind: CommandKind) -> bool:
        played.discipline.handle(Command(kind=kind, mono_ns=ClosedLoop.mono_ns(played.second - 0.4)))
        (row,) = played.play(1)
        return row.snapshot.holdover_forced

    assert [told(ENTER), told(ENTER), told(LEAVE)] == [True, True, False]
