"""Recorded facts: what was written is read back, and what somebody else wrote cannot do harm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.doctor.host_tree import HostOptions, build_host
from tests.doctor.seeding import examine_host, seeded_card
from timecard.doctor import FactsError, SystemFacts, diagnose, read_facts, write_facts
from timecard.doctor.facts_json import from_json, to_json


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> SystemFacts:
    return examine_host(build_host(tmp_path_factory.mktemp("host"), HostOptions()), seeded_card("fb", {}))


def test_written_and_read_back(facts: SystemFacts, tmp_path: Path) -> None:
    file = tmp_path / "facts.json"
    write_facts(file, facts)
    assert read_facts(file) == facts
    assert diagnose(read_facts(file)) == diagnose(facts)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "format: is not 'timecard-doctor-facts'"),
        ({"version": 2}, "version: is 2"),
        ({"facts": None}, "facts: must be an object"),
        ({"facts": {"host": {"kernel": 7, "user": "x", "root": True}}}, "facts.host.kernel: must be text"),
        ({"facts": {"host": {"user": "x", "root": True}}}, "facts.host.kernel: is missing"),
        ({"facts": {"hosts": {}}}, "facts.hosts: no such field"),
        ({"facts": {"host": {"kernel": "7", "user": "x", "root": 1}}}, "facts.host.root: must be a bool"),
    ],
)
def test_a_wrong_file_is_refused_by_the_name_of_the_field(
    facts: SystemFacts, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(FactsError, match=message):
        from_json(to_json(facts) | change)


@pytest.mark.parametrize("number", [0, -1, -100, 1 << 69])
def test_a_connector_that_no_card_has_is_no_crash(facts: SystemFacts, number: int) -> None:
    document = json.loads(json.dumps(to_json(facts)))
    connectors = document["facts"]["cards"][0]["sma"]
    connectors[1] |= {"number": number, "direction": "out"}
    document["facts"]["cards"][0]["words"] = {"sma_levels": 0xFFFF}
    diagnose(from_json(document))


@pytest.mark.parametrize("number", ["1" + "0" * 400, "-1" + "0" * 400, "1e999", "NaN", "1" * 5_000])
def test_a_number_that_is_none_is_refused(facts: SystemFacts, number: str, tmp_path: Path) -> None:
    file = tmp_path / "facts.json"
    document = to_json(facts)
    document["facts"]["seconds"] = "HERE"
    file.write_text(json.dumps(document).replace('"HERE"', number))
    with pytest.raises(FactsError, match=r"facts\.seconds: must be a finite number|no valid JSON"):
        read_facts(file)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '{"format": 1e999}', "\xff"])
def test_what_is_no_record_is_one_error(text: str, tmp_path: Path) -> None:
    file = tmp_path / "facts.json"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(FactsError, match=r"facts\.json: "):
        read_facts(file)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "facts.json"
    file.write_bytes(b" " * 4_000_001)
    with pytest.raises(FactsError, match="larger than"):
        read_facts(file)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def _paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner: Any = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    return [at] + [path for key, each in inner for path in _paths(each, (*at, key))]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_change_gives_facts_that_can_be_diagnosed_or_one_error(facts: SystemFacts, data: Any) -> None:
    document = json.loads(json.dumps(to_json(facts)))
    path = data.draw(st.sampled_from([each for each in _paths(document["facts"]) if each]))
    place = document["facts"]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = data.draw(JUNK)
    try:
        changed = from_json(document)
    except FactsError as error:
        assert str(error).startswith("facts")
        return
    for finding in diagnose(changed):
        assert finding.title
