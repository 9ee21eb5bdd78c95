"""Leap seconds over REST and on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from api import views
from api.main import app
from appliance.core_report import CoreReport
from appliance.leap.decision import LeapDesk, LeapJudgement
from appliance.leap.words import LeapWord, built_in_word
from tests.api.publishing import Publishing
from timecard.values import LeapInfo

FIVE_S = 5_000_000_000
AT_S = 1_798_761_638
"""2027-01-01 00:00:00 UTC after an inserted second."""


def judged(tai_s: int, *, contradicted: bool = False) -> LeapJudgement:
    """A receiver announces a leap second; a peer may say another offset."""
    desk = LeapDesk()
    desk.note(built_in_word(warn_days=60, mono_ns=0))
    info = LeapInfo(
        tai_minus_utc_s=37, change_s=1, seconds_to_event=AT_S - tai_s, source="GPS", read_mono_ns=0
    )
    desk.note_receiver(info, tai_s)
    if contradicted:
        desk.note(LeapWord(source="peer b", origin="b", tai_minus_utc_s=36, until_tai_s=AT_S + 9, mono_ns=0))
    return desk.judge(tai_s)


def changes(left_s: int, **how: bool) -> dict[str, Any]:
    leap = judged(AT_S - left_s, **how)
    return {"leap": leap, "leap_tai_s": AT_S - left_s, "tai_minus_utc_s": 37 if leap.valid else None}


def test_the_resource_says_what_utc_calls_the_second(report_of: Callable[..., CoreReport]) -> None:
    view = views.leap(report_of(**changes(1)))
    assert (view.utc, view.tai_minus_utc_s, view.valid) == ("2026-12-31T23:59:60Z", 37, True)
    assert (view.change_s, view.coming, view.seconds_to_event) == (1, "+1 s at the end of 2026-12-31", 1)
    assert view.at_tai_ns == AT_S * 1_000_000_000
    assert {source.source: source.verdict for source in view.sources} == {
        "built-in table": "expired",
        "receiver": "agrees",
    }


def test_what_is_not_known_is_null_with_a_reason(report_of: Callable[..., CoreReport]) -> None:
    conflict = views.leap(report_of(**changes(600, contradicted=True)))
    assert not conflict.valid and conflict.utc is None
    assert "no majority" in conflict.why_null["utc"]
    nothing = views.leap(report_of())
    assert (nothing.valid, nothing.coming, nothing.utc) == (False, None, None)
    assert nothing.why_null["utc"] == "the time is not known yet"


def leap(tmp_path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["leap", "--runtime-dir", str(tmp_path), *arguments])


def test_the_command_shows_every_source_and_its_status_tells(tmp_path: Path, published: Publishing) -> None:
    published.changes = changes(600)
    told = leap(tmp_path)
    assert told.exit_code == 1, "known, and the built-in table has expired"
    for part in ("37 s, known, by receiver", "+1 s at the end of 2026-12-31", "expired on 2026-06-28"):
        assert part in " ".join(told.stdout.split())
    published.changes = changes(600, contradicted=True)
    told = leap(tmp_path)
    assert told.exit_code == 2
    assert "not to be relied on" in told.stdout and "peer b" in told.stdout


def test_json_is_the_resource(tmp_path: Path, published: Publishing) -> None:
    published.changes = changes(600)
    document = json.loads(leap(tmp_path, "--json").stdout)
    assert document["tai_minus_utc_s"] == 37
    assert document["at_tai_ns"] == f"{AT_S}000000000"


def test_nobody_answers(tmp_path: Path) -> None:
    told = leap(tmp_path / "none")
    assert told.exit_code == 3
    assert "nobody listens" in told.stderr


def test_the_rehearsal_has_its_own_command() -> None:
    wrong = CliRunner().invoke(app, ["leap", "rehearse", "--sign", "2"])
    assert wrong.exit_code == 64
    assert "'2' is not one of '+1', '-1'" in wrong.stderr
