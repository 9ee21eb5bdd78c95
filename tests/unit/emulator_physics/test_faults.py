"""Fault names, arguments, timing and schedules."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from timecard.emulator.faults import (
    FAULTS,
    FaultBoard,
    FaultError,
    PolledAgenda,
    Start,
    Stop,
    check_fault,
    read_schedule,
)
from timecard.emulator.world import VirtualTime

S = 1_000_000_000
START = 1_700_000_000 * S


class Recorder:
    """Handlers that write down what happened and when."""

    def __init__(self, world: VirtualTime) -> None:
        self.world = world
        self.log: list[tuple[str, str, float]] = []
        self.arguments: dict[str, Mapping[str, float]] = {}

    def handler(self, name: str) -> Start:
        def start(t_ns: int, arguments: Mapping[str, float]) -> Stop:
            self.log.append(("start", name, (t_ns - START) / S))
            self.arguments[name] = arguments
            return lambda t: self.log.append(("stop", name, (t - START) / S))

        return start


@pytest.fixture
def world() -> VirtualTime:
    return VirtualTime(START)


@pytest.fixture
def recorder(world: VirtualTime) -> Recorder:
    return Recorder(world)


@pytest.fixture
def board(world: VirtualTime, recorder: Recorder) -> FaultBoard:
    handlers = {name: recorder.handler(name) for name in FAULTS if name != "mac-unlock"}
    return FaultBoard(handlers, world, world.true_tai_ns)


def test_a_fault_ends_after_its_seconds(world: VirtualTime, recorder: Recorder, board: FaultBoard) -> None:
    world.sleep_s(1)
    board.inject("jam", 2.5, drop_db=20)
    assert board.in_force() == {"jam": {"drop_db": 20}}
    world.sleep_s(10)
    assert recorder.log == [("start", "jam", 1.0), ("stop", "jam", 3.5)]
    assert board.in_force() == {}


def test_injecting_again_replaces_and_the_old_end_is_forgotten(
    world: VirtualTime, recorder: Recorder, board: FaultBoard
) -> None:
    board.inject("jam", 5)
    world.sleep_s(1)
    board.inject("jam")
    world.sleep_s(100)
    assert recorder.log == [("start", "jam", 0.0), ("stop", "jam", 1.0), ("start", "jam", 1.0)]
    board.clear()
    assert recorder.log[-1] == ("stop", "jam", 101.0)


def test_defaults_magnitude_and_text_values(recorder: Recorder, board: FaultBoard) -> None:
    board.inject("pps-glitch", magnitude="-250.5")
    assert recorder.arguments["pps-glitch"] == {"late_ns": -250.5, "count": 1}


@pytest.mark.parametrize(
    ("name", "seconds", "arguments", "message"),
    [
        ("jamm", None, {}, "unknown fault 'jamm' \\(there are antenna-cut, jam"),
        ("jam", None, {"power": 1}, "unknown argument 'power' \\(it takes drop_db, seconds\\)"),
        ("pps-stop", None, {"magnitude": 1}, "unknown argument 'magnitude'"),
        ("jam", None, {"drop_db": "loud"}, "drop_db: must be a number"),
        ("jam", None, {"drop_db": True}, "drop_db: must be a number"),
        ("jam", None, {"drop_db": float("nan")}, "drop_db=nan: must be between"),
        ("jam", -1, {}, "seconds=-1: must be between"),
        ("jam", "soon", {}, "seconds: must be a number"),
        ("pps-glitch", None, {"count": 1.5}, "count=1.5: must be a whole number"),
    ],
)
def test_bad_requests(name: str, seconds: object, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(FaultError, match=message):
        check_fault(name, seconds, arguments)


def test_a_card_without_the_part_says_so(board: FaultBoard) -> None:
    with pytest.raises(FaultError, match="no part that could have it"):
        board.inject("mac-unlock")
    assert "mac-unlock" not in board.supported()
    with pytest.raises(FaultError, match="unknown fault"):
        board.clear("nonsense")
    board.clear("jam")


def test_schedule_from_a_file(
    tmp_path: Path, world: VirtualTime, recorder: Recorder, board: FaultBoard
) -> None:
    path = tmp_path / "faults.toml"
    path.write_text(
        '[[fault]]\nat_s = 20\nfault = "antenna-cut"\nseconds = 5\n'
        '[[fault]]\nat_s = 1.5\nfault = "pps-step"\nlate_ns = 40\n'
        '[[fault]]\nat_s = 3\nfault = "clear"\nname = "pps-step"\n',
        encoding="utf-8",
    )
    board.schedule(read_schedule(path), START)
    world.sleep_s(60)
    assert recorder.log == [
        ("start", "pps-step", 1.5),
        ("stop", "pps-step", 3.0),
        ("start", "antenna-cut", 20.0),
        ("stop", "antenna-cut", 25.0),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[fault]]\nat_s = 1\n", "fault 1: needs both at_s and fault"),
        ('[[fault]]\nat_s = -1\nfault = "jam"\n', "fault 1: at_s=-1: must be between"),
        ('[[fault]]\nat_s = 1\nfault = "jam"\nvolume = 3\n', "fault 1: fault jam: unknown argument 'volume'"),
        ("[[fault]]\nat_s = 1\nfault = 3\n", "fault 1: fault: must be the name"),
        ('[[fault]]\nat_s = 1\nfault = "clear"\nname = "x"\n', "takes only a name"),
        ("faults = []\n", "unknown key 'faults'"),
        ("fault = 3\n", "write each fault as a"),
        ("[[fault]\n", "no valid TOML"),
    ],
)
def test_bad_schedules_name_the_file(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "faults.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FaultError, match=message) as error:
        read_schedule(path)
    assert str(error.value).startswith(str(path))


def test_missing_schedule(tmp_path: Path) -> None:
    with pytest.raises(FaultError, match="cannot read: No such file"):
        read_schedule(tmp_path / "absent.toml")


def test_polled_agenda_runs_in_order_of_time() -> None:
    agenda, seen = PolledAgenda(), []
    agenda.call_at(30, lambda: seen.append(30))
    agenda.call_at(10, lambda: seen.append(10))
    agenda.run_due(20)
    assert seen == [10]
    agenda.run_due(30)
    assert seen == [10, 30]
