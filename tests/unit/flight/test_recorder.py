"""Recording: nothing is changed by it, nothing fails with it, and files stay within what was allowed."""

from __future__ import annotations

import errno
import stat
import threading
import time
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from appliance.config import Config
from appliance.events import CommandKind, Tick
from appliance.flight.decision import Announcement, End
from appliance.flight.errors import FlightError
from appliance.flight.files import Limits, OpenFile
from appliance.flight.reader import FlightFile
from appliance.flight.recorder import FlightRecorder, RecordedDiscipline
from appliance.flight.replay import replay
from appliance.flight.writer import QUEUE_SIZE, FlightWriter
from appliance.publisher import Publisher
from appliance.simulate import build
from appliance.timescale.card_watch import CardWatch
from appliance.timescale.discipline import Discipline
from tests.scenario.discipline_worlds import during, loop, world
from tests.unit.flight.flights import WIDE, files, fly, recorded_loop, recorder
from tests.unit.timescale.closed_loop import ClosedLoop


def test_a_recorded_discipline_decides_exactly_as_one_that_is_not(tmp_path: Path) -> None:
    script = during(200, 260, fix_ok=False, pulse=False)
    plain = loop("B", "sa53", world("sa53", 400, y0_ppb=1.3))
    flight = recorder(tmp_path)
    recorded = recorded_loop(flight, made=world("sa53", 400, y0_ppb=1.3))
    plain.play(300, script)
    recorded.play(300, script)
    flight.close()
    assert [repr(row) for row in recorded.rows] == [repr(row) for row in plain.rows]
    assert [repr(action) for action in recorded.actions] == [repr(action) for action in plain.actions]


def test_files_follow_one_another_and_each_stands_alone(tmp_path: Path) -> None:
    limits = Limits(file_bytes=1 << 30, file_s=100.0, total_bytes=1 << 40)
    paths = fly(tmp_path, 330, during(150, 230, fix_ok=False, pulse=False), limits=limits)
    found = [replay(path) for path in paths]
    assert [len(f.header["previous"] or "") > 0 for f in found] == [False, True, True, True]
    assert [f.header["begins"] for f in found] == ["start", "continued", "continued", "continued"]
    assert [f.difference for f in found] == [None] * 4
    assert [f.ended for f in found] == [*["continued in the next file"] * 3, "stopped"]
    assert sum(f.decisions for f in found) == 330
    # In the middle of a holdover, from its file alone.
    (lone,) = (path for path, f in zip(paths, found, strict=True) if "holdover" in str(f.timeline.entries[0]))
    for path in paths:
        if path != lone:
            path.unlink()
    assert replay(lone).difference is None


def test_only_owner_and_group_may_read(tmp_path: Path) -> None:
    (path,) = fly(tmp_path / "flight", 3)
    assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0
    assert stat.S_IMODE(path.parent.stat().st_mode) & 0o007 == 0


def test_the_oldest_files_go_and_others_stay(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "000000-notes.flight").write_text("mine as well")
    limits = Limits(file_bytes=60_000, file_s=1e9, total_bytes=160_000)
    paths = fly(tmp_path, 900, limits=limits, topology="D", oscillator="tcxo")
    assert (tmp_path / "notes.txt").exists()
    assert (tmp_path / "000000-notes.flight").exists()
    assert int(paths[0].name[:6]) > 1
    assert sum(path.stat().st_size for path in paths) <= limits.total_bytes
    assert all(replay(path).difference is None for path in paths[-3:])


def test_what_cannot_be_deleted_does_not_end_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "000001-20260101T000000Z.flight").mkdir()
    (tmp_path / "000002-20260101T000000Z.flight").symlink_to(tmp_path / "nowhere")
    stuck = tmp_path / "000003-20260101T000000Z.flight"
    stuck.write_bytes(bytes(50_000))
    unlink = Path.unlink

    def refused(path: Path, missing_ok: bool = False) -> None:
        if path == stuck:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refused)
    limits = Limits(file_bytes=60_000, file_s=60.0, total_bytes=220_000)
    flight = recorder(tmp_path, limits)
    played = recorded_loop(flight, seconds=400, topology="D", oscillator="tcxo")
    played.play(400)
    assert flight.problem is None
    assert flight.lost == 0
    flight.close()
    kept = files(tmp_path)
    assert kept[0] == stuck
    assert int(kept[1].name[:6]) > 4
    assert sum(path.stat().st_size for path in kept) <= limits.total_bytes
    assert f"path={stuck}" in caplog.text


@pytest.mark.parametrize("threaded", [False, True])
def test_every_record_is_in_a_file_or_counted_as_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threaded: bool
) -> None:
    flight = recorder(tmp_path, threaded=threaded)
    noted, failing = [], threading.Event()
    note, write = flight.note, OpenFile.write

    def counted(value: Any) -> None:
        if not isinstance(value, End):
            noted.append(value)
        note(value)

    def failing_write(self: OpenFile, items: bytes) -> None:
        if failing.is_set():
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, items)

    monkeypatch.setattr(flight, "note", counted)
    monkeypatch.setattr(OpenFile, "write", failing_write)
    played = recorded_loop(flight, seconds=300)
    played.play(20)
    while threaded and not _idle(flight):
        time.sleep(0.01)
    failing.set()
    played.play(30)
    failing.clear()
    flight.note(object())  # type: ignore[arg-type]  # what cannot be packed takes its second along
    played.play(70)
    flight.close()
    written = 0
    for path in files(tmp_path):
        with FlightFile(path) as file:
            written += sum(1 for _ in file.values())
    assert flight.lost > 30
    assert written + flight.lost == len(noted)


def _idle(flight: FlightRecorder) -> bool:
    jobs = flight._writer._jobs
    return jobs is None or jobs.empty()


def test_a_folder_that_cannot_be_written_costs_nothing_but_the_record(tmp_path: Path) -> None:
    place = tmp_path / "flight"
    place.write_text("in the way")
    flight = recorder(place)
    played = recorded_loop(flight, seconds=300)
    for _ in range(70):  # one vain attempt included
        played.play(1)
        assert flight.problem is not None
    assert played.rows[-1].state.value == "locked"
    assert flight.alarms[0].startswith("flight recorder: cannot write to")
    assert flight.lost > 200
    place.unlink()
    played.play(80)
    assert flight.problem is None
    assert flight.alarms == ()
    lost = flight.lost
    played.play(20)
    assert flight.lost == lost
    flight.close()
    (path,) = files(place)
    found = replay(path)
    assert (found.header["begins"], found.difference) == ("after a gap", None)
    assert found.decisions > 30


def test_a_disk_that_fills_ends_the_file_and_the_next_one_begins_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flight = recorder(tmp_path)
    played = recorded_loop(flight, seconds=300)
    played.play(20)

    def full(self: OpenFile, items: bytes) -> None:
        self._file.write(b"half a fra")
        self._file.flush()
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(OpenFile, "write", full)
        played.play(30)
        assert flight.problem is not None
        assert "No space left on device" in flight.problem
    played.play(60)
    assert flight.problem is None
    flight.close()
    found = [replay(path) for path in files(tmp_path)]
    assert [f.difference for f in found] == [None, None]
    assert (found[0].decisions, found[0].ended) == (20, None)
    assert found[0].cut is not None
    assert found[1].ended == "stopped"


def test_a_disk_that_stalls_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flight = recorder(tmp_path, threaded=True)
    played = recorded_loop(flight, seconds=QUEUE_SIZE + 200)
    moving = threading.Event()
    write = OpenFile.write

    def stalled(self: OpenFile, items: bytes) -> None:
        assert moving.wait(60.0)
        write(self, items)

    with monkeypatch.context() as patch:
        patch.setattr(OpenFile, "write", stalled)
        rows = played.play(QUEUE_SIZE + 20)
        assert rows[-1].state.value == "locked"
        assert flight.problem == "the disk does not keep up"
        assert flight.lost > 0
        moving.set()
        jobs = flight._writer._jobs
        assert jobs is not None
        while not jobs.empty():
            time.sleep(0.01)
        played.play(70)
        while flight._writer.size is None:  # its thread opens the next file
            time.sleep(0.01)
        played.play(5)
    assert flight.problem is None
    flight.close()
    found = [replay(path) for path in files(tmp_path)]
    assert [f.header["begins"] for f in found] == ["start", "after a gap"]
    assert [f.difference for f in found] == [None, None]


def test_the_thread_writes_what_is_written_without_it(tmp_path: Path) -> None:
    flight = recorder(tmp_path / "beside", threaded=True)
    recorded_loop(flight, seconds=200).play(100)
    flight.close()
    (beside,), (in_place,) = files(tmp_path / "beside"), fly(tmp_path / "place", 100)
    assert replay(beside).decisions == replay(in_place).decisions == 100
    assert replay(beside).difference is None


def test_the_event_that_ends_the_process_is_in_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flight = recorder(tmp_path)
    played = recorded_loop(flight, seconds=50)
    played.play(10)

    def broken(*_: object, stepping: bool) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(CardWatch, "tick", broken)
    event = Tick(mono_ns=played.mono_ns(10.0), card_tai_ns=None)
    with pytest.raises(ZeroDivisionError):
        played.discipline.handle(event)
    with FlightFile(files(tmp_path)[0]) as file:
        *_, last = file.values()
        assert last == event
        assert file.ended == "an event could not be handled"
    with pytest.raises(FlightError, match=r"fails at .*ZeroDivisionError"):
        replay(files(tmp_path)[0])


def test_another_discipline_begins_another_file(tmp_path: Path) -> None:
    flight = recorder(tmp_path)
    first = recorded_loop(flight, seconds=100)
    first.play(60)
    record = first.discipline.runtime_record(first.mono_ns(60.0))
    second = recorded_loop(flight, made=first.world, begin={"resume": record}, start_s=60)
    second.play(20)
    flight.close()
    found = [replay(path) for path in files(tmp_path)]
    assert [f.ended for f in found] == ["another discipline begins", "stopped"]
    assert [f.difference for f in found] == [None, None]
    assert "resumed from the runtime record" in found[1].timeline.entries[0].text


def test_what_cannot_be_recorded_stops_the_record_and_not_the_clock(tmp_path: Path) -> None:
    flight = FlightRecorder(FlightWriter(tmp_path, WIDE, threaded=False), {})
    config = loop("C", "ocxo", world("ocxo", 10)).config
    discipline = RecordedDiscipline(flight, config, 0)
    flight.note(object())  # type: ignore[arg-type]  # cannot be packed
    assert flight.problem is not None
    assert isinstance(discipline.snapshot(ClosedLoop.mono_ns(1.0)).counters, dict)
    flight.close()


def test_commands_are_recorded_too(tmp_path: Path) -> None:
    from appliance.events import Command

    flight = recorder(tmp_path)
    played = recorded_loop(flight, seconds=400)
    played.play(100)
    played.discipline.handle(Command(kind=CommandKind.ENTER_HOLDOVER, mono_ns=played.mono_ns(100.0)))
    played.play(60)
    played.discipline.handle(Command(kind=CommandKind.LEAVE_HOLDOVER, mono_ns=played.mono_ns(160.0)))
    played.play(100)
    flight.close()
    found = replay(files(tmp_path)[0])
    assert found.difference is None
    assert [entry.kind for entry in found.timeline.entries if "operator" in entry.text] == ["state"]


def test_a_discipline_is_what_is_recorded() -> None:
    assert issubclass(RecordedDiscipline, Discipline)


def test_what_is_announced_is_recorded_when_it_changes_and_in_every_file(tmp_path: Path) -> None:
    flight = recorder(tmp_path, Limits(file_bytes=1 << 30, file_s=25.0, total_bytes=1 << 40))
    simulation = build(Config(), flight=flight, seed=3)
    publisher = Publisher(Config(), simulation.assembly, simulation.virtual.timebase, bytes(8))
    told = []
    for _ in range(60):
        simulation.run_s(1)
        told.append(publisher.publish(None, None).announced)
    flight.close()
    seen: list[Announcement] = []
    for path in files(tmp_path):
        with FlightFile(path) as file:
            found = [value for value in file.values() if isinstance(value, Announcement)]
        assert found, "each file stands alone"
        assert len(found) < 10, "only what is news is written"
        seen += found
        replayed = replay(path)
        assert replayed.difference is None
        texts = [entry.text for entry in replayed.timeline.entries if entry.kind == "announce"]
        assert len(texts) == len(found)
        assert texts[0].startswith(f"class {found[0].clock_class}, accuracy {found[0].clock_accuracy:#x}, ")
    news = [key for key, _ in groupby((a.clock_class, a.clock_accuracy, a.time_source) for a in told)]
    assert [key for key, _ in groupby((a.clock_class, a.clock_accuracy, a.time_source) for a in seen)] == news
    assert len(news) > 1, "it locks, and says so"
