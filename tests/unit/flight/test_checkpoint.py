"""A discipline taken up from its captured state goes on exactly as the one that was captured."""

from __future__ import annotations

import contextlib
import json
from collections import deque
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.flight.checkpoint import capture, restore
from appliance.flight.errors import FlightError
from appliance.flight.recorder import NOT_STATE
from appliance.timescale.discipline import Discipline
from appliance.timescale.learning import NoiseLearner
from appliance.timescale.models import GNSS, OSCILLATORS
from appliance.timescale.spectrum import WINDOW_S
from tests.scenario.discipline_worlds import during, loop, world


class Twin(Discipline):
    """A discipline with another one beside it, which is told the same."""

    other: Discipline
    differences = 0

    def handle(self, event: Any) -> list[Any]:
        answer = super().handle(event)
        self.differences += repr(answer) != repr(self.other.handle(event))
        return answer

    def snapshot(self, mono_ns: int) -> Any:
        snapshot = super().snapshot(mono_ns)
        self.differences += repr(snapshot) != repr(self.other.snapshot(mono_ns))
        return snapshot


@pytest.mark.parametrize(
    ("topology", "oscillator", "captured_s"),
    [("B", "sa53", 2), ("B", "sa53", 40), ("B", "sa53", 700), ("C", "ocxo", 460), ("D", "tcxo", 300)],
)
def test_a_restored_discipline_decides_the_same(topology: str, oscillator: str, captured_s: int) -> None:
    """Captured at the start, while acquiring, locked, in holdover and in recovery."""
    played = loop(topology, oscillator, world(oscillator, 1_300, y0_ppb=0.7))
    script = during(400, 640, fix_ok=False, pulse=False)
    original = played.discipline = Twin(played.config, played.mono_ns(0.0))
    original.other = Discipline(played.config, played.mono_ns(0.0))
    played.play(captured_s, script)
    wiring = (*NOT_STATE, "other", "differences")
    text = json.dumps(capture(original, wiring))
    original.other = Discipline(played.config, 0)
    restore(original.other, json.loads(text))
    assert json.dumps(capture(original.other, wiring)) == text
    played.play(250, script)
    assert original.differences == 0


class Holder:
    """Something to hang a value on."""

    def __init__(self, value: object = None) -> None:
        self.value = value


def test_what_is_shared_stays_shared_and_layouts_stay() -> None:
    shared: list[Any] = [1.5, float("inf"), -0.0]
    wide = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    before = Holder({"a": shared, "b": shared, "d": deque([1, 2], 5), "t": (None, True), "w": wide})
    after = Holder()
    restore(after, json.loads(json.dumps(capture(before))))
    value: Any = after.value
    assert value["a"] is value["b"]
    assert repr(value["a"]) == repr(shared)
    assert value["d"].maxlen == 5
    assert value["t"] == (None, True)
    assert value["w"].flags.f_contiguous
    assert (value["w"] == wide).all()


def test_what_is_no_part_of_a_discipline_has_no_place() -> None:
    matrix = np.zeros((4, 4))
    for value, said in (
        (lambda: None, "function"),
        ({1, 2}, "set"),
        (Holder(), "Holder"),
        ([matrix, matrix[1:]], "shares its memory"),
        (matrix[:, 1:3], "ndarray"),
    ):
        with pytest.raises(TypeError, match=said):
            capture(Holder(value))


@pytest.mark.parametrize(
    "nodes",
    [
        None,
        [],
        [{"value": [7]}],
        [{"value": [0, 0]}],
        [{"value": {}}],
        [{"__class__": 1}],
        [{"value": [1]}, ["object", "os:system", {}]],
        [{"value": [1]}, ["object", "subprocess:Popen", {"args": "x"}]],
        [{"value": [1]}, ["object", "appliance.timescale.pilot:Pilot.begin", {}]],
        [{"value": [1]}, ["object", "appliance.timescale.pilot:np", {}]],
        [{"value": [1]}, ["enum", "appliance.snapshot:ClockState", "ASLEEP"]],
        [{"value": [1]}, ["enum", "appliance.timescale.pilot:Pilot", "x"]],
        [{"value": [1]}, ["tuple", [[1]]]],
        [{"value": [1]}, ["deque", [], -1]],
        [{"value": [1]}, ["dict", [[[2], 1]]], ["list", []]],
        [{"value": [1]}, ["array", "<f8", [9, 9], "C", "AAAA"]],
        [{"value": [1]}, ["array", "O", [1], "C", "AAAA"]],
        [{"value": [1]}, ["array", "<f8", [1], "C", "%"]],
        [{"value": [1]}, ["scalar", "<i8", "x"]],
        [{"value": [1]}, ["scalar", "<i8", 10**30]],
        [{"value": [1]}, ["deque", [], 10**30]],
        [{"value": [1]}, ["array", "<f8", [10**30], "C", "AAAA"]],
        [{"value": [1]}, "list"],
        [{"value": [1]}, ["list", [[1]]]],
        [{"value": [1]}, ["dict", [["a", [1]]]]],
        [{"value": [1]}, ["list", [[2]]], ["tuple", [[1]]]],
    ],
)
def test_a_state_that_makes_no_sense_is_refused(nodes: object) -> None:
    with pytest.raises(FlightError, match="does not fit"):
        restore(Holder(), nodes)


def _pairs(kind: str, leaf: Any, times: int) -> list[Any]:
    """Each node holds the next one twice: some bytes that stand for 2 ** times times what is in the last."""
    nodes: list[Any] = []
    for number in range(2, 2 + times):
        items = [["a", [number]], ["b", [number]]] if kind == "dict" else [[number], [number]]
        nodes.append([kind, items, *([None] if kind == "deque" else [])])
    return [{"value": [1]}, *nodes, leaf]


@pytest.mark.parametrize("kind", ["tuple", "list", "dict", "deque"])
@pytest.mark.parametrize("times", [24, 50])
def test_a_small_state_that_stands_for_a_large_one_is_refused(kind: str, times: int) -> None:
    with pytest.raises(FlightError, match=r"too large|too deeply"):
        restore(Holder(), _pairs(kind, ["tuple", []], times))


@pytest.mark.parametrize(
    "nodes",
    [
        [{"value": [1]}, ["list", [[2]] * 1_000], ["tuple", ["x" * 1_000]]],
        [{"value": [1]}, ["list", [[2]] * 300], ["array", "<f8", [1_000], "C", "A" * 10_664 + "AAA="]],
        [{"value": [1]}, ["dict", [[[2], 1]]], ["tuple", [1] * 200]],
        [{"value": [1]}, *[["list", [[number]]] for number in range(2, 200)], ["list", []]],
    ],
    ids=["strings", "arrays", "key", "depth"],
)
def test_what_is_shared_counts_as_often_as_it_is_there(nodes: list[Any]) -> None:
    with pytest.raises(FlightError, match=r"too large|too deeply"):
        restore(Holder(), nodes)


def _document() -> Any:
    played = loop("C", "ocxo", world("ocxo", 80))
    played.play(60)
    return capture(played.discipline, NOT_STATE)


DOCUMENT = _document()


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_spoilt_state_causes_nothing_but_our_error(data: st.DataObject) -> None:
    spoilt = list(DOCUMENT)
    at = data.draw(st.integers(0, len(spoilt) - 1))
    nonsense = st.recursive(
        st.none() | st.integers(-3, 10**6) | st.text(max_size=8) | st.floats(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=8,
    )
    node = spoilt[at]
    if isinstance(node, list) and data.draw(st.booleans()):
        node = list(node)
        node[data.draw(st.integers(0, len(node) - 1))] = data.draw(nonsense)
        spoilt[at] = node
    else:
        spoilt[at] = data.draw(nonsense)
    fresh = Discipline(replace(loop("C", "ocxo", world("ocxo", 10)).config), 0)
    with contextlib.suppress(FlightError):
        restore(fresh, spoilt)


def test_learning_is_taken_up_in_the_middle_of_its_work() -> None:
    """A window of six hours is worked through in slices: each may be the one before a new file begins."""

    def learner() -> NoiseLearner:
        return NoiseLearner(OSCILLATORS["sa53"].aging_per_day, GNSS["f9t_dual"])

    made, original = world("sa53", WINDOW_S), learner()
    for k in range(WINDOW_S):
        original.note(1, float(made.phase_ns[k] + made.pulse_ns[k]), 0.02)
    figures = None
    while figures is None:
        twin = learner()
        restore(twin, json.loads(json.dumps(capture(original))))
        figures = original.step()
        assert repr(twin.step()) == repr(figures)
        assert json.dumps(capture(twin)) == json.dumps(capture(original))
