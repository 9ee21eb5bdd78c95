"""A leap second of either sign on every output, in virtual time, also with trouble in the middle of it."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import pytest

from api import views
from appliance.config import Config
from appliance.config_models import LeapConfig
from appliance.leap.rehearsal import Rehearsal, next_leap_tai_s, rehearse
from appliance.leap.rehearsal_verdict import verdict
from appliance.simulate import Simulation, build
from appliance.snapshot import ClockSnapshot, ClockState
from timecard.leap_list import BUILT_IN, LeapChange, write_leap_list
from timecard.timescale import NS_PER_S

DAY = 86_400


def wrong(played: Rehearsal) -> list[str]:
    return [f"{row.output}: {row.did}" for row in verdict(played) if not row.ok]


@pytest.mark.parametrize("sign", [1, -1])
def test_every_output_does_a_leap_second_right_and_nothing_steps(sign: int) -> None:
    played = rehearse(sign, labels={"GET /api/v1/leap": lambda report: views.leap(report).utc})
    assert not wrong(played)
    rows = {row.output: row.did for row in verdict(played)}
    assert {"served TAI", "Announce", "SPTP reply", "FPGA time of day"} < set(rows)
    assert {f"UTC, {name}" for name in ("report", "bound page", "receiver", "GET /api/v1/leap")} < set(rows)
    flag = "leap61" if sign > 0 else "leap59"
    assert rows["Announce"] == f"{flag} from -12 h to -1 s, offset 37 -> {37 + sign} at +0 s"
    labels = "23:59:59 23:59:60 00:00:00" if sign > 0 else "23:59:57 23:59:58 00:00:00"
    assert rows["UTC, bound page"] == labels


def test_the_rehearsal_notices_what_is_wrong() -> None:
    played = rehearse(1, faults=[(-12, "leap-hidden", {})])
    outputs = [text.split(":")[0] for text in wrong(played)]
    assert {"Announce", "SPTP reply", "receiver, countdown", "FPGA time of day"} <= set(outputs)
    jumped = tuple(
        dataclasses.replace(item, error_ns=item.error_ns + 1e9 * (item.rel_s >= 0))
        for item in played.observations
    )
    assert any("served TAI" in text for text in wrong(dataclasses.replace(played, observations=jumped)))


@pytest.mark.parametrize("sign", [1, pytest.param(-1, marks=pytest.mark.full)])
def test_core_restarts_in_the_very_second(sign: int) -> None:
    """The runtime record carries offset and announcement across; the clock resumes in holdover."""
    played = rehearse(sign, restart_before_s=1)
    assert not wrong(played)
    states = {item.rel_s: item.state for item in played.observations if abs(item.rel_s) < 5}
    assert states[-1] is ClockState.LOCKED and states[0] is ClockState.HOLDOVER


def test_another_receiver_and_a_quartz_do_it_too() -> None:
    """Without UBX messages there is nothing for the FPGA's slave, and no NAV-TIMEUTC."""
    played = rehearse(-1, receiver="mosaic", mac="none")
    assert {text.split(":")[0] for text in wrong(played)} <= {"UTC, receiver", "FPGA time of day"}
    words = {item.rel_s: item.receiver for item in played.observations}
    assert words[-1] == (37, -1, 1) and words[1] == (36, 0, None)


# ---------------------------------------------------------------------- what may go wrong around it


class World:
    """An appliance near the leap second, with or without a table."""

    def __init__(self, tmp_path: Path, sign: int, start_s: int, *, table: bool = False) -> None:
        self.at_s = next_leap_tai_s(sign)
        self.sign = sign
        files: tuple[Path, ...] = ()
        if table:
            files = (tmp_path / "leap-seconds.list",)
            midnight_s = self.at_s - 37 - sign
            told = dataclasses.replace(
                BUILT_IN,
                changes=(*BUILT_IN.changes, LeapChange(midnight_s, 37 + sign)),
                expires_utc_s=midnight_s + 180 * DAY,
            )
            files[0].write_text(write_leap_list(told))
        config = Config(leap=LeapConfig(files=files))
        self.simulation: Simulation = build(config, start_tai_ns=(self.at_s + start_s) * NS_PER_S)

    @property
    def rel_s(self) -> int:
        return self.simulation.virtual.truth().true_tai_ns // NS_PER_S - self.at_s

    def announce(self) -> None:
        self.inject("leap-announced", change=self.sign, in_s=-self.rel_s - (self.sign > 0))

    def inject(self, name: str, **arguments: float) -> None:
        self.simulation.virtual.inject(name, **arguments)

    def until(self, rel_s: int) -> ClockSnapshot:
        while self.rel_s < rel_s:
            self.simulation.cycle()
        return self.simulation.engine.discipline.snapshot(self.simulation.virtual.timebase.mono_ns())


def named(snapshot: ClockSnapshot, *parts: str) -> bool:
    return any(all(part in alarm for part in parts) for alarm in snapshot.alarms)


def test_a_receiver_that_is_cut_off_across_the_leap_second_is_believed_when_it_is_back(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, 1, -90)
    world.announce()
    assert world.until(-30).state is ClockState.LOCKED
    world.inject("receiver-silent", seconds=60)
    during = world.until(20)
    assert during.state is ClockState.HOLDOVER
    assert (during.tai_minus_utc_s, during.leap_change_s) == (38, 0)
    after = world.until(90)
    assert after.state in (ClockState.LOCKED, ClockState.RECOVERING)
    assert after.tai_minus_utc_s == 38 and not named(after, "receiver")


def test_an_announcement_withdrawn_at_the_last_minute_is_not_made(tmp_path: Path) -> None:
    world = World(tmp_path, 1, -90)
    world.announce()
    assert world.until(-40).leap_change_s == 1
    world.inject("leap-hidden")
    hidden = world.until(-30)
    assert (hidden.leap_change_s, hidden.tai_minus_utc_s) == (0, 37)
    assert named(hidden, "+1 s at the end of 2026-12-31 is not announced any more")
    assert hidden.state is ClockState.LOCKED


def test_a_wrong_receiver_is_named_and_the_table_followed(tmp_path: Path) -> None:
    world = World(tmp_path, 1, -90, table=True)
    world.announce()
    assert world.until(-40).leap_change_s == 1
    world.inject("leap-wrong", off_s=1)
    odd = world.until(-20)
    assert (odd.tai_minus_utc_s, odd.leap_change_s) == (37, 1), "the table and what was known before"
    assert named(odd, "leap second: receiver says 38 s, but by its word before it is 37 s")
    assert world.until(5).tai_minus_utc_s == 38


@pytest.mark.parametrize("weeks", [-1024, 1024])
def test_a_week_rollover_shortly_before_does_not_move_the_leap_second(tmp_path: Path, weeks: int) -> None:
    world = World(tmp_path, -1, -90)
    world.announce()
    assert world.until(-30).state is ClockState.LOCKED
    world.inject("wrong-time", off_s=0, weeks=weeks)
    rolled = world.until(-10)
    assert rolled.state is ClockState.HOLDOVER
    assert (rolled.tai_minus_utc_s, rolled.leap_change_s) == (37, -1)
    assert world.until(0).tai_minus_utc_s == 36
    assert rolled.epoch == world.until(10).epoch


def test_the_clock_counts_on_evenly_while_the_offset_changes(tmp_path: Path) -> None:
    world = World(tmp_path, 1, -60)
    world.announce()
    world.until(-5)
    shown = []
    while world.rel_s < 5:
        world.simulation.cycle()
        now_ns = world.simulation.virtual.timebase.mono_ns()
        snapshot = world.simulation.engine.discipline.snapshot(now_ns)
        assert snapshot.as_of_tai_ns is not None
        shown.append((snapshot.as_of_tai_ns, now_ns))
    for (before_tai, before), (after_tai, after) in itertools.pairwise(shown):
        assert abs((after_tai - before_tai) - (after - before)) < 1_000
