"""Somebody else moves the card's clock by less than a reading of the card and the host's time can show alone.

The clock map sees it. From then on nothing may be claimed, announced or handed to programs that is not true.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.bound.layout import Refusal
from appliance.bound.reader import BoundReader
from appliance.clock_map import ClockMap
from appliance.config import Config
from appliance.daemon import Core
from appliance.events import ClockMoved, ClockStepped
from appliance.flight.replay import replay
from appliance.publisher import Publisher
from appliance.simulate import build
from appliance.snapshot import ClockState
from tests.scenario.discipline_worlds import during, loop, names, untrue, violations, world
from tests.unit.bound.pages import map_at, raw_ns, refusal, report_at
from tests.unit.flight.flights import files, recorded_loop, recorder
from tests.unit.timescale.closed_loop import ClosedLoop, Row
from timecard.values import CrossTimestamp

HALF_WIDTH_NS = 40.0


def play_watched(played: ClosedLoop, seconds: int, *, move_ns: int = 0) -> list[Row]:
    """Play on beside a clock map, as core does; the clock is moved after five of these seconds."""
    clock_map, rows = ClockMap(), []
    for k in range(seconds):
        if k == 5:
            played.move_clock(move_ns)
        t_s, jumps = played.second - 0.4, clock_map.jumps
        seen_ns, mono_ns = played._card_tai_ns(t_s), played.mono_ns(t_s)
        clock_map.add(
            CrossTimestamp(
                card_tai_ns=seen_ns, mono_raw_ns=mono_ns, half_width_ns=HALF_WIDTH_NS, method="ptm"
            )
        )
        if clock_map.jumps != jumps:
            played.discipline.handle(ClockMoved(delta_ns=clock_map.jump_ns, mono_ns=mono_ns))
        rows += played.play(1)
    return rows


@pytest.mark.parametrize(("topology", "oscillator"), [("C", "ocxo"), ("B", "sa53"), ("D", "sa53")])
@pytest.mark.parametrize("move_ns", [1_000_000, -25_000])
def test_a_small_step_by_somebody_else_is_believed(topology: str, oscillator: str, move_ns: int) -> None:
    played = loop(topology, oscillator, world(oscillator, 500))
    played.play(250)
    epoch = played.discipline.epoch
    rows = play_watched(played, 200, move_ns=move_ns)
    assert not violations(rows)
    assert not untrue(rows)
    assert {row.state for row in rows[:5]} == {ClockState.LOCKED}
    assert rows[5].state is ClockState.FREE_RUN
    assert rows[5].snapshot.bound_ns is None
    assert rows[5].snapshot.epoch == epoch + 1
    assert any(f"by {move_ns / 1e6:.3f} ms" in alarm for alarm in rows[5].snapshot.alarms)
    assert played.discipline.counters["clock_set_by_others"] == 1
    assert rows[-1].state is ClockState.LOCKED or topology == "D"


def test_a_smaller_one_is_shown_by_the_modules_own_meter() -> None:
    """15 us are too little for the map, but the module kept to the pulse that the clock has left."""
    played = loop("B", "sa53", world("sa53", 500))
    played.play(250)
    epoch = played.discipline.epoch
    rows = play_watched(played, 200, move_ns=15_000)
    assert violations(rows) == violations(rows[5:9]), "until five pulses have shown it"
    assert names(rows) == ["locked", "free-run", "acquiring", "locked"]
    assert rows[9].snapshot.epoch == epoch + 1
    assert played.discipline.counters["reference_moved"] == 0


def test_a_step_of_the_reference_moves_no_clock() -> None:
    played = loop("B", "sa53", world("sa53", 500))
    rows = played.play(400, during(250, 400, late_ns=15_000.0))
    assert played.discipline.counters["clock_set_by_others"] == 0
    assert rows[-1].state is ClockState.HOLDOVER
    assert not violations(rows)


def test_in_holdover_it_ends_the_holdover() -> None:
    played = loop("C", "ocxo", world("ocxo", 500))
    script = during(250, 500, pulse=False, words=False)
    played.play(320, script)
    assert played.rows[-1].state is ClockState.HOLDOVER
    played.move_clock(1_000_000)
    played.discipline.handle(ClockMoved(delta_ns=1_000_000, mono_ns=played.mono_ns(319.9)))
    rows = played.play(120, script)
    assert not violations(rows)
    assert {row.state for row in rows} == {ClockState.FREE_RUN}


def test_a_step_of_our_own_is_nobody_elses() -> None:
    played = loop("C", "ocxo", world("ocxo", 500))
    played.play(300)
    now_ns = played.mono_ns(299.9)
    played.move_clock(50_000)
    played.discipline.handle(ClockStepped(delta_ns=50_000, mono_ns=now_ns))
    played.discipline.handle(ClockMoved(delta_ns=50_000, mono_ns=now_ns + 500_000_000))
    assert "clock_set_by_others" not in played.play(1)[-1].snapshot.counters
    assert played.discipline.epoch == played.discipline.counters["steps"]


def test_it_is_recorded_and_decided_again_alike(tmp_path: Path) -> None:
    flight = recorder(tmp_path)
    play_watched(recorded_loop(flight, begin={"epoch": 7}), 300, move_ns=30_000)
    flight.close()
    (path,) = files(tmp_path)
    found = replay(path)
    assert found.difference is None
    assert any("epoch 8" in entry.text for entry in found.timeline.entries)


def test_core_tells_the_discipline_and_everybody_else(tmp_path: Path) -> None:
    config = Config.model_validate({"paths": {"runtime": tmp_path, "state": tmp_path}})
    simulation, core = build(config, seed=1), Core(config)
    assembly, timebase = simulation.assembly, simulation.virtual.timebase
    publisher = Publisher(config, assembly, timebase, bytes(8))
    simulation.run_s(300.0)
    for _ in range(5):
        timebase.sleep_s(0.1)
        assert not core._sample_map(assembly, None)
    before = publisher.publish(core._clock_map.state, None)
    assert before.clock.state is ClockState.LOCKED

    core._open_bound()
    assert core._bound is not None
    page = BoundReader(config.paths.bound_page)
    core._bound.note(report_at(raw_ns()))  # of this machine's time, which the page is read by
    core._bound.write(map_at(raw_ns()))
    assert refusal(page) is Refusal.NONE
    assembly.card.clock.step_ns(1_000_000)
    timebase.sleep_s(0.1)
    assert core._sample_map(assembly, None)
    assert refusal(page) is Refusal.DISRUPTED
    timebase.sleep_s(0.1)
    assert not core._sample_map(assembly, None)
    assert refusal(page) is Refusal.DISRUPTED, "the newest report is from before"
    after = publisher.publish(core._clock_map.state, None)
    assert after.clock.state is ClockState.FREE_RUN
    assert after.bounds.card_ns is None
    assert after.clock.epoch == before.clock.epoch + 1
    assert after.announced.clock_class != before.announced.clock_class
