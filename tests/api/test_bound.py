"""TAI as an interval over REST and on the command line: the page's numbers, or why there are none."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from typer.testing import CliRunner, Result

from api.app import create_app
from api.bound_view import interval_view
from api.cli_bound import instant
from api.main import app as program
from appliance.bound.layout import PAGE_NAME
from appliance.bound.reader import BoundReader
from appliance.bound.writer import BoundPublisher
from appliance.leap.decision import LeapJudgement
from tests.api.conftest import FakeCore
from tests.unit.bound.pages import map_at, raw_ns, report_at, written
from timecard.leap_list import ComingLeap


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[BoundPublisher]:
    made = written(tmp_path / PAGE_NAME)
    yield made
    made.close()


@pytest.fixture
def application(tmp_path: Path, core: FakeCore) -> FastAPI:
    return create_app(core, bound_page=tmp_path / PAGE_NAME)


def get(application: FastAPI, path: str = "/api/v1/bound") -> dict[str, Any]:
    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
            return await client.get(path)

    response = asyncio.run(request())
    assert response.status_code == 200
    body: dict[str, Any] = response.json()
    return body


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(program, ["bound", *map(str, arguments)])


def test_rest_says_what_the_page_says(
    tmp_path: Path, publisher: BoundPublisher, application: FastAPI
) -> None:
    reader = BoundReader(tmp_path / PAGE_NAME)
    before, planes, after = reader.now(), get(application)["planes"], reader.now()
    assert set(planes) == {"card", "host"}
    for plane in planes.values():
        earliest_ns, latest_ns = int(plane["earliest_tai_ns"]), int(plane["latest_tai_ns"])
        # Both ends move with the time between two reads; the growth may outrun it by less than a microsecond.
        assert before.earliest_tai_ns - 1000 <= earliest_ns <= after.earliest_tai_ns + 1000
        assert before.latest_tai_ns - 1000 <= latest_ns <= after.latest_tai_ns + 1000
        assert (plane["refusal"], plane["state"], plane["epoch"], plane["p"]) == ("none", "locked", 1, 0.999)
        assert plane["leap_at_tai_ns"] is None and "leap" in plane["why_null"]["leap_at_tai_ns"]
        assert int(plane["valid_until_tai_ns"]) > latest_ns
    assert planes["host"]["plane_error_ns"] > planes["card"]["plane_error_ns"]
    wide = get(application, "/api/v1/bound?wide=true")["planes"]["host"]
    assert wide["p"] > 0.999999


def test_a_page_is_valid_no_longer_than_it_says(tmp_path: Path, publisher: BoundPublisher) -> None:
    found = BoundReader(tmp_path / PAGE_NAME).now()
    view = interval_view(found)
    assert view.valid_until_tai_ns is not None
    # Whatever TAI is in the interval, so much time is left.
    assert view.valid_until_tai_ns - found.earliest_tai_ns == found.valid_until_raw_ns - found.raw_ns


def test_rest_says_null_with_a_reason(tmp_path: Path, application: FastAPI) -> None:
    def host() -> dict[str, Any]:
        found: dict[str, Any] = get(application)["planes"]["host"]
        return found

    assert host()["refusal"] == "no-page"
    publisher = written(tmp_path / PAGE_NAME)
    assert host()["refusal"] == "none"
    publisher.disrupt()
    found = host()
    assert found["refusal"] == "disrupted"
    nulls = {name for name, value in found.items() if value is None}
    assert nulls == set(found["why_null"]) and "earliest_tai_ns" in nulls
    assert "stepped" in found["why_null"]["earliest_tai_ns"]


def test_the_command_shows_the_interval(tmp_path: Path, publisher: BoundPublisher) -> None:
    result = invoke("--runtime-dir", tmp_path)
    assert result.exit_code == 0, result.output
    for words in ("earliest", "TAI", "p = 0.999", "host, its clock within", "locked, class 6, epoch 1"):
        assert words in result.stdout
    document = json.loads(invoke("--runtime-dir", tmp_path, "--json", "--plane", "card", "--wide").stdout)
    assert document["plane"] == "card" and document["refusal"] == "none"
    assert int(document["earliest_tai_ns"]) < int(document["latest_tai_ns"])


def test_a_leap_second_is_shown(tmp_path: Path) -> None:
    publisher, now_ns = BoundPublisher(tmp_path / PAGE_NAME), raw_ns()
    midnight_tai_s = 1_798_761_600 + 38
    leap = LeapJudgement(tai_minus_utc_s=37, valid=True, coming=ComingLeap(1, midnight_tai_s), why="test")
    publisher.note(report_at(now_ns, leap=leap, leap_tai_s=midnight_tai_s - 5))
    publisher.write(map_at(now_ns, anchor_tai_ns=(midnight_tai_s - 1) * 10**9))
    text = invoke("--runtime-dir", tmp_path).stdout
    assert "TAI - UTC = 37 s, +1 s at 2027-01-01 00:00:38.000000000 TAI" in text


def test_the_exit_status_says_why_there_is_none(tmp_path: Path, publisher: BoundPublisher) -> None:
    publisher.close()
    for folder, status, words in (
        (tmp_path, 2, "was stopped"),
        (tmp_path / "none", 3, "start the time appliance"),
    ):
        result = invoke("--runtime-dir", folder)
        assert result.exit_code == status
        (line,) = result.stderr.splitlines()
        assert line.startswith("time-appliance: no bound: ") and words in line
        document = json.loads(invoke("--runtime-dir", folder, "--json").stdout)
        assert document["refusal"] in ("ended", "no-page") and document["earliest_tai_ns"] is None
    assert "longer than 255" in invoke("--runtime-dir", tmp_path / ("x" * 300)).stderr


def test_instants_keep_their_nanoseconds() -> None:
    assert instant(1_798_761_599_000_000_001) == "2026-12-31 23:59:59.000000001"
