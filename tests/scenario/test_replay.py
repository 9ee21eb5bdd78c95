"""A flight record is replayed to the last bit: every topology, with faults, steps, holdover and a restart."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api.main import app
from appliance import simulate
from appliance.assembly import assemble
from appliance.config_models import Config, FlightConfig, TimescaleConfig
from appliance.events import Command, CommandKind
from appliance.flight.decision import VOCABULARY, Decision
from appliance.flight.files import OpenFile
from appliance.flight.reader import FlightFile
from appliance.flight.recorder import FlightRecorder, open_flight
from appliance.flight.replay import Replay, replay
from appliance.flight.shapes import Packer
from appliance.publisher import Publisher
from tests.scenario.discipline_worlds import both, during
from tests.unit.flight.flights import files, fly

MANY_FAULTS = both(
    during(700, 1_300, fix_ok=False, pulse=False),
    during(1_500, 1_503, late_ns=500.0),
    during(1_800, 1_805, pulse=False),
    during(2_000, 2_500, late_ns=500.0),
    during(2_600, 2_610, named_error_s=1),
    during(2_700, 2_702, oscillator_resets=1),
    during(2_900, 3_000, satellites=1, temperature_mdegc=41_000),
)


def recorder(directory: Path) -> FlightRecorder:
    flight = open_flight(FlightConfig(), directory, threaded=False, card="emulated")
    assert flight is not None
    return flight


def said(found: Replay) -> str:
    return "\n".join(f"{entry.kind} {entry.text}" for entry in found.timeline.entries)


def command(simulation: simulate.Simulation, kind: CommandKind) -> None:
    simulation.engine.take(Command(kind=kind, mono_ns=simulation.virtual.timebase.mono_ns()))


def eventful(directory: Path, topology: str, *, quiet_s: int = 30) -> list[Replay]:
    """A history on the emulated card with everything in it, and what its replays find."""
    config = Config(timescale=TimescaleConfig(topology=topology))  # type: ignore[arg-type]  # a test's parameter
    flight = recorder(directory)
    mac = {} if topology in "AB" else {"mac": "none"}
    simulation = simulate.build(config, flight=flight, seed=4, **mac)
    virtual = simulation.virtual
    simulation.run_s(60 + quiet_s)
    virtual.inject("antenna-cut", seconds=25.0)
    simulation.run_s(80 + quiet_s)
    command(simulation, CommandKind.ENTER_HOLDOVER)
    simulation.run_s(20)
    command(simulation, CommandKind.LEAVE_HOLDOVER)
    simulation.run_s(50 + quiet_s)
    virtual.inject("pps-step", late_ns=800.0, seconds=40.0)
    simulation.run_s(50)
    discipline, card = simulation.engine.discipline, simulation.assembly.card
    record = json.loads(json.dumps(discipline.runtime_record(virtual.timebase.mono_ns())))
    simulation.assembly = assemble(card, config, virtual.timebase, resume=record, flight=flight)
    simulation.run_s(60 + quiet_s)
    flight.close()
    return [replay(path) for path in files(directory)]


@pytest.mark.parametrize("topology", ["A", "B", "C", "D"])
def test_every_topology_is_replayed_to_the_last_bit(topology: str, tmp_path: Path) -> None:
    before, after = eventful(tmp_path, topology)
    assert before.difference is None
    assert after.difference is None
    assert before.events > 1_000
    assert before.header["config"]["topology"] == topology
    if topology != "D":  # whose clock, with nothing to hold it, is soon too far off to be called locked
        assert "holdover: " in said(before)
        assert "asked for by an operator" in said(before)
        assert "step epoch 1" in said(before)
        assert before.actions > 100
    assert "resumed from the runtime record" in said(after)


def test_an_hour_full_of_faults(tmp_path: Path) -> None:
    (path,) = fly(tmp_path, 3_600, MANY_FAULTS, oscillator="sa53")
    found = replay(path)
    assert (found.decisions, found.difference, found.ended) == (3_600, None, "stopped")
    for text in ("holdover ended after", "reference moved by", "receiver's time is wrong by 1 s"):
        assert text in said(found), said(found)


def test_the_report_tells_of_a_record_that_is_not_written(tmp_path: Path) -> None:
    place = tmp_path / "flight"
    place.write_text("in the way")
    flight = recorder(place)
    simulation = simulate.build(Config(), flight=flight, seed=4)
    simulation.run_s(3)
    publisher = Publisher(Config(), simulation.assembly, simulation.virtual.timebase, bytes(8))
    report = publisher.publish(None, None)
    (alarm,) = (alarm for alarm in report.clock.alarms if alarm.startswith("flight recorder: "))
    assert str(place) in alarm
    assert report.clock.counters["flight_records_lost"] > 10
    place.unlink()
    simulation.run_s(70)
    report = publisher.publish(None, None)
    assert not any("flight recorder" in alarm for alarm in report.clock.alarms)
    flight.close()


@pytest.mark.full
@pytest.mark.parametrize(("topology", "hours"), [("B", 24), ("A", 6), ("C", 6)])
def test_many_hours_on_the_emulated_card(topology: str, hours: int, tmp_path: Path) -> None:
    config = Config(timescale=TimescaleConfig(topology=topology))  # type: ignore[arg-type]  # a test's parameter
    flight = recorder(tmp_path)
    simulation = simulate.build(config, flight=flight, seed=5, **({"mac": "none"} if topology == "C" else {}))
    for name in ("", "antenna-cut", "pps-step", "jam"):
        if name:
            simulation.virtual.inject(name, seconds=600.0)
        simulation.run_s(hours * 900)
    flight.close()
    found = [replay(path) for path in files(tmp_path)]
    assert sum(f.decisions for f in found) == len(simulation.recorder.rows)
    assert [f.difference for f in found] == [None] * len(found)


# ---------------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def flown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    (path,) = fly(tmp_path_factory.mktemp("flown"), 200, during(90, 140, fix_ok=False, pulse=False))
    return path


def told(capsys: pytest.CaptureFixture[str], *argv: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        app(["replay", *map(str, argv)])
    captured = capsys.readouterr()
    code = ended.value.code
    return code if isinstance(code, int) else -1, captured.out, captured.err


def changed(path: Path, to: Path, change: Callable[[Any], Any]) -> Path:
    """The same record with some values changed, as if they had been decided so."""
    with FlightFile(path) as file:
        written = OpenFile(to, file.header, json.dumps(file.start).encode())
        packer = Packer(VOCABULARY)
        for value in file.values():
            written.write(packer.pack(change(value)))
    written.close()
    return written.path


def test_the_command_tells_what_happened(flown: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = told(capsys, flown)
    assert (status, err) == (0, "")
    assert "identical: every state, bound and steering value" in out
    assert " UTC " in out
    for text in ("acquiring", "locked", "holdover: ", "holdover  ended after"):
        assert text in out
    assert "200 decisions" in out


def test_the_command_tells_it_in_json(flown: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = told(capsys, flown, "--json", "--until", "100s")
    document = json.loads(out)
    assert (status, document["identical"], document["ended"]) == (0, True, None)
    assert 100 <= document["decisions"] <= 101
    assert {"state", "alarm"} <= {entry["kind"] for entry in document["timeline"]}


def test_one_bit_of_a_bound_is_a_difference_and_both_values_are_told(
    flown: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = 0

    def spoil(value: Any) -> Any:
        nonlocal seconds
        seconds += isinstance(value, Decision)
        if isinstance(value, Decision) and seconds == 120 and value.bound_ns is not None:
            return dataclasses.replace(value, bound_ns=math.nextafter(value.bound_ns, math.inf))
        return value

    spoilt = changed(flown, tmp_path, spoil)
    status, out, _ = told(capsys, spoilt, "--json")
    document = json.loads(out)
    difference = document["first_difference"]
    assert (status, document["differing"], difference["field"]) == (1, 1, "bound_ns")
    assert float(difference["recorded"]) == math.nextafter(float(difference["recomputed"]), math.inf)
    assert 119 < difference["at_s"] < 121
    status, out, _ = told(capsys, spoilt)
    assert (status, f"recorded {difference['recorded']}, now {difference['recomputed']}" in out) == (1, True)
    status, out, _ = told(capsys, spoilt, "--no-compare")
    assert (status, "identical" in out, "different" in out) == (0, False, False)


def test_what_is_no_record_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.flight").write_text("hello\n")
    for name, text in (("x.flight", "is no flight record"), ("y.flight", "No such file")):
        status, out, err = told(capsys, tmp_path / name)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert text in err


def test_another_process_with_another_order_of_hashes_decides_the_same(flown: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from api.main import main; main()", "replay", str(flown)],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_fast_run_writes_a_record_where_it_is_asked_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "flight"
    with pytest.raises(SystemExit) as ended:
        app(["run", "--virtual", "--fast", "--duration", "20s", "--flight", str(place)])
    assert ended.value.code == 0
    capsys.readouterr()
    (path,) = files(place)
    assert told(capsys, path)[0] == 0
    with pytest.raises(SystemExit) as ended:
        app(["run", "--virtual", "--flight", str(place)])
    assert ended.value.code == 64
    assert "--flight" in capsys.readouterr().err
