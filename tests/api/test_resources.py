"""The REST resources: their schema, their verdicts, and that an old value never leaves."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel, ValidationError

from api.app import create_app
from api.schemas import (
    CardView,
    ClockView,
    EnsembleView,
    GnssView,
    Health,
    HoldoverView,
    LeapView,
    OscillatorView,
    Problem,
    PtpView,
    StatusView,
)
from api.schemas import RehearsalView as RehearsalResource
from appliance.board import StatusBoard
from appliance.core_report import Bounds, CoreReport, GrowthReport
from appliance.ipc import (
    CoreDeniedError,
    CoreError,
    CoreNotReadyError,
    CoreProtocolError,
    CoreStaleError,
    CoreUnreachableError,
)
from appliance.learnt_report import Figure, LearntReport
from appliance.rehearsal_report import rehearsal_report
from appliance.rehearsal_view import RehearsalState, RehearsalView
from appliance.reporting import gnss_report, oscillator_report
from appliance.snapshot import ClockState

RESOURCES: dict[str, type[BaseModel]] = {
    "health": Health,
    "status": StatusView,
    "holdover": HoldoverView,
    "holdover/rehearsal": RehearsalResource,
    "clock": ClockView,
    "gnss": GnssView,
    "oscillator": OscillatorView,
    "ensemble": EnsembleView,
    "leap": LeapView,
    "ptp": PtpView,
    "card": CardView,
}
TAI = 1_795_310_242_000_000_123


class Core(Protocol):
    answer: CoreReport | CoreError
    timebase: Any
    asked: int

    def report(self) -> CoreReport: ...

    def show(self, **changes: Any) -> None: ...


def fetch(
    app: FastAPI, path: str, method: str = "GET", *, raise_bugs: bool = True, **headers: str
) -> httpx.Response:
    """One request, without a network."""

    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=raise_bugs)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(request())


def get(core: Core, resource: str) -> httpx.Response:
    return fetch(create_app(core, timebase=core.timebase, hold_ns=0), f"/api/v1/{resource}")


def violations(value: Any, schema: dict[str, Any], root: dict[str, Any], at: str = "$") -> list[str]:
    """What of ``value`` contradicts the part of JSON Schema that our OpenAPI document uses."""
    if "$ref" in schema:
        target: Any = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        return violations(value, target, root, at)
    if "anyOf" in schema:
        found = [violations(value, option, root, at) for option in schema["anyOf"]]
        return [] if any(not problems for problems in found) else min(found, key=len)
    kinds: dict[str, type | tuple[type, ...]] = {
        "object": dict,
        "array": list,
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
        "null": type(None),
    }
    kind = schema.get("type")
    is_bool = isinstance(value, bool)
    if kind and (not isinstance(value, kinds[kind]) or (is_bool and kind in ("integer", "number"))):
        return [f"{at}: {value!r} is no {kind}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{at}: {value!r} is none of {schema['enum']}"]
    if "pattern" in schema and not re.search(schema["pattern"], value):
        return [f"{at}: {value!r} does not match {schema['pattern']}"]
    problems: list[str] = []
    if isinstance(value, list):
        for index, item in enumerate(value):
            problems += violations(item, schema.get("items", {}), root, f"{at}[{index}]")
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        problems += [f"{at}.{name}: absent" for name in schema.get("required", ()) if name not in value]
        for name, item in value.items():
            inner = properties.get(name, schema.get("additionalProperties", {}))
            if inner is False:
                problems.append(f"{at}.{name}: not in the schema")
            elif isinstance(inner, dict):
                problems += violations(item, inner, root, f"{at}.{name}")
    return problems


def schema_of(response: httpx.Response, openapi: dict[str, Any], resource: str) -> dict[str, Any]:
    operation = openapi["paths"][f"/api/v1/{resource}"]["get"]
    content = operation["responses"][str(response.status_code)]["content"]
    schema: dict[str, Any] = content[response.headers["content-type"]]["schema"]
    return schema


SITUATIONS: dict[str, dict[str, Any]] = {
    "locked": {},
    "free-run": {
        "state": ClockState.FREE_RUN,
        "offset_ns": None,
        "offset_sigma_ns": None,
        "last_sample_ns": None,
        "oscillator_ppb": None,
        "oscillator_sigma_ppb": None,
        "bound_ns": None,
        "bound_wide_ns": None,
        "tai_minus_utc_s": None,
        "limits": (),
    },
    "holdover": {"state": ClockState.HOLDOVER, "holdover_since_mono_ns": 7_100_000_000_000},
    "card lost": {"as_of_tai_ns": None, "alarms": ("card: lost",)},
}


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("resource", RESOURCES)
def test_every_answer_keeps_to_its_schema(core: Core, resource: str, situation: str) -> None:
    core.show(**SITUATIONS[situation])
    app = create_app(core, timebase=core.timebase)
    openapi = fetch(app, "/api/openapi.json").json()
    response = fetch(app, f"/api/v1/{resource}")
    assert violations(response.json(), schema_of(response, openapi, resource), openapi) == []
    RESOURCES[resource].model_validate_json(response.content)


def test_the_schema_check_of_these_tests_finds_violations(core: Core) -> None:
    openapi = fetch(create_app(core), "/api/openapi.json").json()
    document = get(core, "health").json()
    schema = {"$ref": "#/components/schemas/Health"}
    assert violations(document, schema, openapi) == []
    for change in ({"verdict": "perhaps"}, {"since": 12}, {"since": "12s"}, {"p": "high"}, {"more": 1}):
        assert violations({**document, **change}, schema, openapi), change
    del document["epoch"]
    assert violations(document, schema, openapi) == ["$.epoch: absent"]


def test_health_has_the_fields_of_the_contract(core: Core) -> None:
    response = get(core, "health")
    assert response.status_code == 200
    assert response.json() == {
        "verdict": "serve",
        "reasons": ["innovations are consistent with the model"],
        "state": "locked",
        "since": str(TAI - 3_600_000_000_000),
        "clock_class": 6,
        "clock_accuracy": 0x25,
        "bound": {"card_ns": 58.0, "host_ns": 158.0, "port": {"eth0": 1058.0}, "why_null": {}},
        "p": 0.999,
        "as_of_tai_ns": str(TAI),
        "valid_until_tai_ns": str(TAI + 5_000_000_000),
        "epoch": 1,
        "why_null": {},
    }


def test_holdover_has_the_fields_of_the_contract(core: Core) -> None:
    core.show(holdover_since_mono_ns=7_100_000_000_000, state=ClockState.HOLDOVER)
    document = get(core, "holdover").json()
    assert document["entered_tai_ns"] == str(TAI - 100_000_000_000)
    assert (document["ready"], document["budget_ns"]) == (True, 1000.0)
    assert document["limits"][0] == {
        "limit_ns": 250.0,
        "p": 0.999,
        "kind": "at",
        "seconds": 40_000.0,
        "crosses_at_tai_ns": str(TAI + 40_000_000_000_000),
        "why_null": {},
    }
    never = document["limits"][1]
    assert never["seconds"] is None and never["crosses_at_tai_ns"] is None
    assert set(never["why_null"]) == {"seconds", "crosses_at_tai_ns"}


def test_the_growth_of_the_bound_is_for_every_other_limit(core: Core) -> None:
    growth = get(core, "holdover").json()["growth"]
    assert (growth["base_ns"], growth["now_ns"]) == (50.0, 0.005)
    assert (growth["seconds"], growth["sigma_ns"]) == ([1, 1e3, 1e6], [0.01, 10, 1e4])
    core.show(bound_ns=None, bound_wide_ns=None, limits=())
    document = get(core, "holdover").json()
    assert (document["growth"], document["why_null"]["growth"]) == (None, "no forecast has been made yet")


@pytest.mark.parametrize(
    "wrong", [{"seconds": [1.0]}, {"seconds": [0.0, 1.0, 2.0]}, {"sigma_ns": [-1.0] * 3}, {"seconds": []}]
)
def test_a_growth_that_is_no_curve_is_refused(core: Core, wrong: dict[str, Any]) -> None:
    growth = get(core, "holdover").json()["growth"]
    GrowthReport.model_validate(growth)
    with pytest.raises(ValidationError):
        GrowthReport.model_validate({**growth, **wrong})


def test_the_newest_rehearsal_has_a_resource(core: Core, report_of: Callable[..., CoreReport]) -> None:
    nothing = get(core, "holdover/rehearsal")
    document = nothing.json()
    assert (nothing.status_code, document["state"]) == (200, None)
    assert set(document["why_null"].values()) == {"no rehearsal has been asked for since core started"}
    hour_ns = 3_600_000_000_000
    running = RehearsalView(
        state=RehearsalState.ACTIVE,
        reason="",
        since_mono_ns=7_200_000_000_000 - hour_ns,
        until_mono_ns=None,
        limit_ns=100.0,
        planned_s=7_200.0,
        elapsed_s=3_600.0,
    )
    ended = replace(
        running,
        state=RehearsalState.ENDED,
        reason="the planned time is over",
        until_mono_ns=running.since_mono_ns + hour_ns // 2,
        mtie_ns=((1.0, 2.5),),
    )
    core.answer = report_of({"rehearsal": rehearsal_report(running)})
    document = get(core, "holdover/rehearsal").json()
    assert (document["state"], document["since_tai_ns"]) == ("active", str(TAI - hour_ns))
    assert document["why_null"]["until_tai_ns"] == "the rehearsal is running"
    core.answer = report_of({"rehearsal": rehearsal_report(ended)}, as_of_tai_ns=None)
    document = get(core, "holdover/rehearsal").json()
    assert (document["state"], document["mtie"][0]["value_ns"]) == ("ended", 2.5)
    assert document["until_mono_ns"] == str(ended.until_mono_ns)
    assert document["why_null"]["until_tai_ns"] == "the card's clock could not be read: card lost"
    core.answer = report_of({"rehearsal": rehearsal_report(ended)})
    assert get(core, "holdover/rehearsal").json()["until_tai_ns"] == str(TAI - hour_ns // 2)
    assert get(core, "status").json()["rehearsal"]["state"] == "ended"


def test_the_oscillator_has_what_was_learnt_of_it(core: Core, report_of: Callable[..., CoreReport]) -> None:
    learnt = get(core, "oscillator").json()["learnt"]
    assert learnt["drift_ppb_per_day"] is None and "watched" in learnt["why_null"]["drift_ppb_per_day"]
    known = LearntReport.partial("not yet", drift_ppb_per_day=Figure(value=-0.012, sigma=0.003))
    core.answer = report_of({"learnt": known})
    figure = get(core, "oscillator").json()["learnt"]["drift_ppb_per_day"]
    assert (figure["value"], figure["sigma"]) == (-0.012, 0.003)


LOCKED, HOLDOVER, RECOVERING = ClockState.LOCKED, ClockState.HOLDOVER, ClockState.RECOVERING


@pytest.mark.parametrize(
    ("changes", "verdict", "status"),
    [
        ({"state": LOCKED}, "serve", 200),
        ({"state": HOLDOVER, "bound_ns": 999.0}, "degraded", 200),
        ({"state": RECOVERING, "bound_ns": 999.0}, "degraded", 200),
        ({"state": HOLDOVER, "bound_ns": 1001.0}, "do_not_serve", 503),
        ({"state": RECOVERING, "bound_ns": 1001.0}, "do_not_serve", 503),
        ({"state": LOCKED, "bound_ns": None}, "do_not_serve", 503),
        ({"state": ClockState.FREE_RUN}, "do_not_serve", 503),
        ({"state": ClockState.ACQUIRING}, "do_not_serve", 503),
        ({"state": ClockState.HOLDOVER_EXPIRED}, "do_not_serve", 503),
        ({"state": ClockState.FREE_RUN, "reasons": ()}, "do_not_serve", 503),
    ],
)
def test_the_verdict_follows_state_and_budget(
    core: Core, changes: dict[str, Any], verdict: str, status: int
) -> None:
    core.show(**changes)
    response = get(core, "health")
    document = response.json()
    assert (document["verdict"], response.status_code) == (verdict, status)
    assert document["reasons"], "a verdict has a reason"


def test_the_bound_grows_between_two_reports(core: Core) -> None:
    core.show(state=HOLDOVER, bound_ns=999.0, drift_ppb=1.0)
    assert get(core, "health").json()["verdict"] == "degraded"
    core.timebase.sleep_s(2.0)
    assert get(core, "health").json()["verdict"] == "do_not_serve"


def test_a_locked_clock_without_a_port_bound_is_degraded(
    core: Core, report_of: Callable[..., CoreReport]
) -> None:
    bounds = Bounds.partial("the clock map has expired", card_ns=58.0, host_ns=None, port={"eth0": None})
    core.answer = report_of({"bounds": bounds})
    document = get(core, "health").json()
    assert document["verdict"] == "degraded"
    assert document["reasons"][0] == "no bound at port eth0: the clock map has expired"
    assert document["bound"]["why_null"]["port.eth0"] == "the clock map has expired"


FAILURES: dict[type[CoreError], str] = {
    CoreUnreachableError: "core-unreachable",
    CoreDeniedError: "core-denied",
    CoreNotReadyError: "core-not-ready",
    CoreStaleError: "core-stale",
    CoreProtocolError: "core-protocol",
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("resource", RESOURCES)
def test_without_core_every_resource_says_do_not_serve(
    core: Core, resource: str, failure: type[CoreError]
) -> None:
    core.answer = failure("core is not running: start it")
    app = create_app(core, timebase=core.timebase)
    openapi = fetch(app, "/api/openapi.json").json()
    response = fetch(app, f"/api/v1/{resource}")
    document = response.json()
    assert response.status_code == 503
    assert document["verdict"] == "do_not_serve"
    assert document["reasons"] == ["core is not running: start it"]
    assert violations(document, schema_of(response, openapi, resource), openapi) == []
    if resource == "health":
        assert document["state"] is None
        assert document["why_null"]["clock_class"] == "core is not running: start it"
    else:
        assert response.headers["content-type"] == "application/problem+json"
        assert document["type"] == f"urn:time-appliance:problem:{FAILURES[failure]}"
        assert document["status"] == 503


@pytest.mark.parametrize("resource", RESOURCES)
def test_an_expired_report_is_never_shown(core: Core, resource: str) -> None:
    app = create_app(core, timebase=core.timebase, hold_ns=60_000_000_000)
    assert fetch(app, f"/api/v1/{resource}").status_code == 200
    core.timebase.sleep_s(5.001)
    response = fetch(app, f"/api/v1/{resource}")
    assert response.status_code == 503
    assert "expired" in response.json()["reasons"][0]
    assert "4242" not in response.text and "58.0" not in response.text


def test_instants_are_strings_and_everything_else_is_a_number(core: Core) -> None:
    def walk(value: Any, name: str = "") -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                if key != "why_null":
                    walk(item, key)
        elif isinstance(value, list):
            for item in value:
                walk(item, name)
        elif isinstance(value, int) and not isinstance(value, bool):
            assert abs(value) < 2**53, name
        elif name.endswith(("_tai_ns", "_mono_ns")) or name == "since":
            assert value is None or re.fullmatch(r"\d+", value), name

    walk(get(core, "status").json())
    assert get(core, "clock").json()["as_of_tai_ns"] == str(TAI)


def test_nothing_null_lacks_a_reason_anywhere(core: Core) -> None:
    core.show(**SITUATIONS["free-run"], as_of_tai_ns=None)
    assert not isinstance(core.answer, CoreError)
    empty = StatusBoard(faults={"gnss": "no reply to UBX-MON-VER"})
    now_ns = core.answer.as_of_mono_ns
    core.answer = core.answer.model_copy(
        update={"gnss": gnss_report(empty, now_ns), "oscillator": oscillator_report(empty, None, now_ns)}
    )

    def walk(value: Any) -> int:
        if isinstance(value, list):
            return sum(walk(item) for item in value)
        if not isinstance(value, dict):
            return 0
        reasons = value.get("why_null")
        nulls = [key for key, item in value.items() if item is None]
        if reasons is not None:
            assert all(reasons[key] for key in nulls)
        return len(nulls) + sum(walk(item) for item in value.values())

    document = get(core, "status").json()
    assert walk(document) > 40
    assert document["gnss"]["faults"] == ["gnss: no reply to UBX-MON-VER"]
    assert "no oscillator module" in document["oscillator"]["why_null"]["model"]


def test_a_crowd_of_clients_asks_core_once(core: Core) -> None:
    app = create_app(core, timebase=core.timebase)

    async def crowd() -> list[int]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            responses = await asyncio.gather(*(client.get("/api/v1/health") for _ in range(50)))
        return [response.status_code for response in responses]

    assert asyncio.run(crowd()) == [200] * 50
    assert core.asked == 1
    core.timebase.sleep_s(0.06)
    fetch(app, "/api/v1/health")
    assert core.asked == 2


def test_a_core_that_does_not_answer_is_waited_for_once_and_not_by_each_client() -> None:
    class Slow:
        asked = 0

        def report(self) -> CoreReport:
            self.asked += 1
            time.sleep(0.2)
            raise CoreUnreachableError("core does not answer within 0.2 s")

    slow = Slow()
    app = create_app(slow)

    async def crowd() -> list[int]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            responses = await asyncio.gather(*(client.get("/api/v1/clock") for _ in range(100)))
        return [response.status_code for response in responses]

    assert asyncio.run(crowd()) == [503] * 100
    assert slow.asked <= 3


def test_the_answer_may_not_be_cached(core: Core) -> None:
    assert get(core, "health").headers["cache-control"] == "no-store"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8080", "localhost:8080", "[::1]:8080", "127.3.2.1"])
def test_local_names_are_served(core: Core, host: str) -> None:
    assert fetch(create_app(core, timebase=core.timebase), "/api/v1/health", Host=host).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "10.0.0.1", "localhost.evil.example", "", "["]
)
def test_a_foreign_name_is_refused(core: Core, host: str) -> None:
    """A page of another site that resolves its own name to 127.0.0.1 reads nothing."""
    response = fetch(create_app(core, timebase=core.timebase), "/api/v1/health", Host=host)
    assert response.status_code == 421
    assert response.headers["content-type"] == "application/problem+json"
    assert core.asked == 0


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/api/v1/nothing", 404), ("POST", "/api/v1/health", 405), ("DELETE", "/", 405)],
)
def test_other_errors_are_problems_too(core: Core, method: str, path: str, status: int) -> None:
    response = fetch(create_app(core), path, method)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem = Problem.model_validate_json(response.content)
    assert problem.status == status and path in problem.detail


def test_a_bug_shows_no_traceback() -> None:
    class Broken:
        def report(self) -> CoreReport:
            raise ZeroDivisionError("secret detail")

    response = fetch(create_app(Broken()), "/api/v1/health", raise_bugs=False)
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert "secret" not in response.text


def test_the_root_points_to_the_documentation(core: Core) -> None:
    app = create_app(core)
    pointers = fetch(app, "/").json()
    assert pointers["openapi"] == "/api/openapi.json"
    assert fetch(app, "/docs").status_code == 404, "its page would load programs from elsewhere"
    for path in pointers.values():
        assert fetch(app, path).status_code in (200, 503), path


def test_the_document_describes_every_resource_and_both_outcomes(core: Core) -> None:
    openapi = fetch(create_app(core), "/api/openapi.json").json()
    del openapi["paths"]["/api/v1/bound"]  # answers without core: tests/api/test_bound.py
    assert set(openapi["paths"]) == {f"/api/v1/{resource}" for resource in RESOURCES}
    for path, operations in openapi["paths"].items():
        assert set(operations) == {"get"}, path
        responses = operations["get"]["responses"]
        assert "application/json" in responses["200"]["content"]
        media = "application/json" if path.endswith("health") else "application/problem+json"
        assert media in responses["503"]["content"]
    text = json.dumps(openapi)
    assert "a JSON number would lose digits" in text
