"""``time-appliance rehearse holdover`` against a core that answers over its real socket."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from api.main import app
from appliance.config_models import Config
from appliance.core_report import CoreReport
from appliance.daemon import Core
from appliance.events import CommandKind, RehearseHoldover
from appliance.ipc import CommandRefusedError, CoreClient, CoreServer
from appliance.rehearsal_report import rehearsal_obstacles, rehearsal_report
from appliance.rehearsal_view import RehearsalState, RehearsalView
from appliance.snapshot import ClockState
from tests.scenario.discipline_worlds import loop, world
from timecard.timebase import HostTimebase

FIVE_S = 5_000_000_000


def seen() -> list[RehearsalView]:
    """What a real rehearsal shows: just begun, before and after its first minute, and at its end."""
    played = loop("B", "sa53", world("sa53", 900, y0_ppb=1.0))
    played.play(650)
    now_ns = played.mono_ns(649.6)
    played.discipline.handle(RehearseHoldover(limit_ns=100.0, duration_s=100.0, mono_ns=now_ns))
    rows = played.play(110)
    views = [rows[at].snapshot.rehearsal for at in (0, 30, 80, 109)]
    assert all(view is not None for view in views)
    return [view for view in views if view is not None]


VIEWS = seen()


class Rehearsing:
    """Core, whose rehearsal is over after some looks at it."""

    def __init__(self, report_of: Callable[..., CoreReport]) -> None:
        self._report_of = report_of
        self.views: list[RehearsalView] = list(VIEWS)
        self.asked: list[object] = []
        self.silent = 0
        """So many looks at a running rehearsal are not answered."""

    def report(self) -> CoreReport | None:
        if self.asked and self.silent:
            self.silent -= 1
            return None
        now_ns = HostTimebase().mono_ns()
        shown = None if not self.asked else self.views.pop(0) if len(self.views) > 1 else self.views[0]
        report = self._report_of(
            as_of_mono_ns=now_ns, void_after_mono_ns=now_ns + FIVE_S, since_mono_ns=now_ns
        )
        return report.model_copy(update={"rehearsal": rehearsal_report(shown)})

    def command(self, kind: CommandKind) -> str:
        self.asked.append(kind)
        return kind.value

    def rehearse(self, limit_ns: float, duration_s: float) -> str:
        if limit_ns == 13.0:
            raise CommandRefusedError("holdover cannot be rehearsed now: the clock is acquiring")
        self.asked.append((limit_ns, duration_s))
        return "the rehearsal begins within a second"


@pytest.fixture
def core(tmp_path: Path, report_of: Callable[..., CoreReport]) -> Iterator[Rehearsing]:
    handler = Rehearsing(report_of)
    with CoreServer(tmp_path / "core.sock", handler):
        yield handler


def invoke(tmp_path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["rehearse", "holdover", "--runtime-dir", str(tmp_path), *arguments])


def test_it_is_begun_watched_and_summed_up(tmp_path: Path, core: Rehearsing) -> None:
    result = invoke(tmp_path, "--for", "100s", "--limit", "100")
    assert result.exit_code == 0, result.output
    assert core.asked == [(100.0, 100.0)]
    for text in ("ended: the planned time is over", "the forecast was kept", "MTIE", "TDEV", "100 ns"):
        assert text in result.stdout
    assert "offset" in result.stderr


def test_a_core_that_is_silent_for_a_moment_is_asked_again(
    tmp_path: Path, core: Rehearsing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.cli_rehearse.POLL_S", 0.01)
    core.silent = 3
    result = invoke(tmp_path, "--for", "100s")
    assert (result.exit_code, core.silent) == (0, 0), result.output


def test_a_core_that_stays_silent_is_told_of_with_what_to_do(
    tmp_path: Path, core: Rehearsing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.cli_rehearse.PATIENCE_S", 0.0)
    core.silent = 10**6
    result = invoke(tmp_path, "--for", "100s")
    assert result.exit_code == 3
    assert result.stderr.endswith("; the rehearsal goes on; end it with --stop\n")
    assert core.asked == [(100.0, 100.0)]


def test_ctrl_c_before_it_has_begun_ends_it(
    tmp_path: Path, core: Rehearsing, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = CoreClient.report
    pressed: list[bool] = []

    def interrupted(client: CoreClient) -> CoreReport:
        if core.asked and not pressed:
            pressed.append(True)
            raise KeyboardInterrupt
        return report(client)

    monkeypatch.setattr(CoreClient, "report", interrupted)
    invoke(tmp_path, "--for", "100s")
    assert core.asked == [(100.0, 100.0), CommandKind.END_REHEARSAL]


def test_as_json_it_is_the_report(tmp_path: Path, core: Rehearsing) -> None:
    result = invoke(tmp_path, "--for", "100s", "--json")
    document = json.loads(result.stdout)
    assert (document["state"], document["inside"]) == ("ended", True)
    assert document["mtie"][0]["interval_s"] == 1.0
    assert document["crossings"][0]["actual_s"] is None
    assert document["crossings"][0]["why_null"]["actual_s"] == "the limit was not passed"


def test_show_and_stop(tmp_path: Path, core: Rehearsing) -> None:
    nothing = invoke(tmp_path, "--show")
    assert (nothing.exit_code, "no rehearsal has been asked for" in nothing.stdout) == (0, True)
    assert core.asked == []
    assert invoke(tmp_path, "--stop").exit_code == 0
    assert core.asked == [CommandKind.END_REHEARSAL]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"inside": False}, 1),
        ({"elapsed_s": 20.0, "reason": "the clock is 120.0 ns off"}, 1),
        ({"state": RehearsalState.REFUSED, "reason": "the clock is not locked"}, 1),
    ],
)
def test_what_did_not_go_as_forecast_is_a_failure(
    tmp_path: Path, core: Rehearsing, change: dict[str, Any], status: int
) -> None:
    core.views = [dataclasses.replace(VIEWS[-1], **change)]
    result = invoke(tmp_path, "--for", "100s")
    assert result.exit_code == status
    assert change.get("reason", "NOT kept") in result.stdout


def test_a_refusal_is_one_line(tmp_path: Path, core: Rehearsing) -> None:
    result = invoke(tmp_path, "--limit", "13")
    assert result.exit_code == 1
    assert result.stderr == "time-appliance: holdover cannot be rehearsed now: the clock is acquiring\n"


def test_nobody_there_is_one_line(tmp_path: Path) -> None:
    result = invoke(tmp_path)
    assert (result.exit_code, result.stderr.count("\n")) == (3, 1)
    assert "core is not running" in result.stderr


@pytest.mark.parametrize("wrong", [("--for", "2d"), ("--for", "x"), ("--limit", "0"), ("--limit", "nan")])
def test_nonsense_is_refused_before_anybody_is_asked(tmp_path: Path, wrong: tuple[str, str]) -> None:
    assert invoke(tmp_path, *wrong).exit_code == 64


def test_every_message_of_the_socket_is_checked(tmp_path: Path, core: Rehearsing) -> None:
    client = CoreClient(tmp_path / "core.sock")
    assert client.rehearse(50.0, 60.0) == "the rehearsal begins within a second"
    for limit_ns, duration_s in ((0.0, 60.0), (50.0, 1e9), (float("nan"), 60.0), (50.0, -1.0)):
        with pytest.raises(ValueError, match="RehearseRequest"):
            client.rehearse(limit_ns, duration_s)


def test_core_knows_from_its_report_what_speaks_against_it(report_of: Callable[..., CoreReport]) -> None:
    report = report_of()
    assert rehearsal_obstacles(report, 100.0) == []
    assert rehearsal_obstacles(report, 5_000.0) == ["the limit is above the budget of 1000 ns"]
    running = report.model_copy(update={"rehearsal": rehearsal_report(VIEWS[1])})
    assert rehearsal_obstacles(running, 100.0) == ["a rehearsal is running already"]


def test_core_queues_a_rehearsal_or_says_why_not(report_of: Callable[..., CoreReport]) -> None:
    core = Core(Config())
    core._report = report_of(state=ClockState.ACQUIRING)
    with pytest.raises(CommandRefusedError, match="cannot be rehearsed now: the clock is acquiring"):
        core.rehearse(100.0, 60.0)
    assert core._events.empty()
    core._report = report_of()
    core.rehearse(100.0, 60.0)
    queued = core._events.get_nowait()
    assert isinstance(queued, RehearseHoldover)
    assert (queued.limit_ns, queued.duration_s) == (100.0, 60.0)
    while not core._events.crowded:
        core.rehearse(100.0, 60.0)
    with pytest.raises(CommandRefusedError, match="overloaded"):
        core.rehearse(100.0, 60.0)
