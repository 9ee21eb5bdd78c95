"""Taking over from the part's own loop keeps the frequency, whatever becomes of ``DisciplineTuning``."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.unit.mac.part_bench import PartBench
from tests.unit.mac.test_line_client import whole
from timecard.emulator.world import VirtualTime
from timecard.errors import DeviceTimeoutError, RefusedError, UnsupportedError
from timecard.mac.driver import SelfDiscipline
from timecard.mac.oscillators.sa5x import DAMAGED_FIRMWARE, READINGS, Sa5x, probe

LOOP = 3_400_000
OWN = 500_000


class ScriptedSa5x:
    """Its loop's share is part of DigitalTuning, ends with the loop, or stays after it."""

    name = "mac"

    def __init__(self, time: VirtualTime, model: str) -> None:
        self.time = time
        self.model = model
        self.values = {
            "Disciplining": 1, "PhaseMetering": 0, "PpsSource": 0, "DigitalTuning": OWN, "PpsInDetected": 1,
            "Phase": 3, "TauPps0": 50, "PhaseLimit": 1000, "TauPps1": 50,
        }  # fmt: skip
        self.loop = 0 if model in ("folded", "old firmware") else LOOP
        if not self.loop:
            self.values["DigitalTuning"] += LOOP
        self.effective: list[int] = []
        """After each command."""
        self.answer = b""
        self.hears: int | None = None
        """So many commands more."""

    def in_force(self) -> int:
        return self.values["DigitalTuning"] + self.loop

    def read(self, max_bytes: int, timeout_s: float) -> bytes:
        if self.answer and timeout_s > 0:
            self.time.sleep_s(0.005)
            data, self.answer = self.answer, b""
            return data
        self.time.sleep_s(timeout_s)
        return b""

    def write(self, data: bytes) -> None:
        found = re.fullmatch(r"\{(\w+\??)#(..)((?:,[\w-]+)*)\|..\}", data.decode("ascii"))
        assert found, data
        if self.hears is not None:
            self.hears -= 1
            if self.hears < 0:
                return
        arguments = found[3].split(",")[1:]
        self.answer = whole(f"#{found[2]}{self.reply(found[1], arguments)}")
        self.effective.append(self.in_force())

    def reply(self, name: str, arguments: list[str]) -> str:
        if name == "get":
            known: dict[str, int] = {**self.values}
            if self.model != "old firmware":
                known |= {"EffectiveTuning": self.in_force(), "DisciplineTuning": self.loop}
            return f"={known[arguments[0]]}" if arguments[0] in known else "!100"
        assert name == "set"
        self.values[arguments[0]] = int(arguments[1])
        if arguments[0] == "Disciplining" and arguments[1] == "0" and self.model == "ends":
            self.loop = 0
        return f"={arguments[1]}"


MODELS = ["folded", "ends", "stays", "old firmware"]


@pytest.mark.parametrize("model", MODELS)
def test_the_frequency_stays_and_steering_means_what_it_says(model: str) -> None:
    time = VirtualTime(0)
    stream = ScriptedSa5x(time, model)
    part = Sa5x(stream, time)
    before = stream.in_force()
    part.begin_software_steering()
    assert stream.in_force() == before
    assert (stream.values["Disciplining"], stream.values["PhaseMetering"]) == (0, 1)
    assert part.set_frequency_ppb(2.5) == pytest.approx(2.5)
    assert stream.in_force() == 2_500_000
    # Whatever was in force between two commands lasted some milliseconds: 4 ppb of that is no phase.
    assert all(abs(value - before) <= LOOP for value in stream.effective[:-1])


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("commands", range(6))
def test_a_hand_over_that_fails_half_way_is_finished_later(model: str, commands: int) -> None:
    time = VirtualTime(0)
    stream = ScriptedSa5x(time, model)
    part = Sa5x(stream, time)
    before = stream.in_force()
    stream.hears = commands
    with pytest.raises(DeviceTimeoutError):
        part.begin_software_steering()
    stream.hears = None
    part.begin_software_steering()
    assert stream.in_force() == before
    assert stream.values["PhaseMetering"] == 1


def test_beginning_again_changes_nothing() -> None:
    time = VirtualTime(0)
    stream = ScriptedSa5x(time, "ends")
    part = Sa5x(stream, time)
    part.begin_software_steering()
    part.set_frequency_ppb(-1.0)
    part.begin_software_steering()
    assert stream.in_force() == -1_000_000


def test_the_parts_loop_begins_only_near_its_pulse() -> None:
    time = VirtualTime(0)
    stream = ScriptedSa5x(time, "ends")
    part = Sa5x(stream, time)
    part.begin_software_steering()
    stream.values["Phase"] = 12
    with pytest.raises(RefusedError, match=r"jump by 12\.0 ns, at most 5 ns"):
        part.begin_self_disciplining(SelfDiscipline(time_constant_s=500, max_jump_ns=5))
    stream.values["PpsInDetected"] = 0
    with pytest.raises(RefusedError, match="no input pulse"):
        part.begin_self_disciplining(SelfDiscipline(time_constant_s=500, max_jump_ns=5))
    assert stream.values["Disciplining"] == 0
    stream.values |= {"Phase": -3, "PpsInDetected": 1, "PpsSource": 1}
    part.begin_self_disciplining(SelfDiscipline(time_constant_s=500, max_jump_ns=5))
    assert stream.values["Disciplining"] == 1
    assert (stream.values["TauPps1"], stream.values["TauPps0"]) == (500, 50)
    with pytest.raises(RefusedError, match="begin_software_steering"):
        part.set_frequency_ppb(1.0)


def test_on_the_emulated_part_no_step_of_frequency_or_phase() -> None:
    bench = PartBench("sa5x", offset_ppb=1.0)
    bench.part.begin_self_disciplining(SelfDiscipline(time_constant_s=50, phase_limit_ns=1000))
    bench.run(600)
    before = bench.part.status(full=True)
    assert before.disciplining is None or before.disciplining
    bench.part.begin_software_steering()
    bench.run(20)
    after = bench.part.status(full=True)
    assert abs(after.phase_ns - before.phase_ns) < 15
    assert after.frequency_ppb == pytest.approx(before.frequency_ppb, abs=0.1)
    bench.part.begin_self_disciplining(SelfDiscipline(time_constant_s=500, max_jump_ns=25))
    bench.run(20)
    again = bench.part.status(full=True)
    assert abs(again.phase_ns - after.phase_ns) < 40
    assert again.frequency_ppb == pytest.approx(after.frequency_ppb, abs=0.2)


# --- settings, wear, and what else an SA5X has ---


def test_store_and_latch_are_counted_and_limited() -> None:
    bench = PartBench("sa5x")
    bench.part.set_frequency_ppb(0.25)
    bench.part.store()
    bench.part.latch()
    assert bench.part.status(full=True).frequency_ppb == 0.0
    assert bench.steering_ppb == pytest.approx(0.25)
    assert bench.wear.usage("sa5x", "1209CS00909").life == 2
    with pytest.raises(RefusedError, match="writes today, at most 24 a day"):
        for _ in range(30):
            bench.part.store()
    bench.part.begin_self_disciplining(SelfDiscipline(time_constant_s=50))
    with pytest.raises(RefusedError):
        bench.part.latch()


def test_all_readings_have_units() -> None:
    bench = PartBench("sa5x", firmware="V1.6.5.0.669A7202")
    readings = {reading.name: reading for reading in bench.part.readings()}
    assert set(readings) == set(READINGS)
    assert (readings["PowerSupply"].unit, readings["TauPps0"].unit) == ("mV", "s")
    old = PartBench("sa5x", firmware="V1.0.4.0.5ADA4E31")
    names = {reading.name for reading in old.part.readings()}
    assert "OvenCurrent" not in names
    assert "EffectiveTuning" not in names
    assert old.part.status(full=True).locked
    old.part.begin_software_steering()
    assert old.part.set_frequency_ppb(1.5) == pytest.approx(1.5)


def test_a_damaged_firmware_image_is_said() -> None:
    class Damaged(ScriptedSa5x):
        def write(self, data: bytes) -> None:
            if data == b"{device?}":
                self.answer = b"[=sa5x]\r\n"
                return
            super().write(data)

        def reply(self, name: str, arguments: list[str]) -> str:
            return "!1" if name == "swrev?" else "=X1"

    time = VirtualTime(0)
    found = probe(Damaged(time, "folded"), time)
    assert found is not None
    assert found.firmware == DAMAGED_FIRMWARE


def test_qerr_goes_out() -> None:
    bench = PartBench("sa5x")
    bench.part.set_pulse_qerr_ns(-1.234)
    assert b",PpsQErr,-1234|" in bytes(bench.wire.written)


def test_a_reset_is_counted_once() -> None:
    bench: Any = PartBench("sa5x")
    bench.part.status()
    for number in (1, 2):
        bench.device.restart(bench.time.true_tai_ns())
        for _ in range(10):
            bench.run(2)
            try:
                status = bench.part.status()
            except (DeviceTimeoutError, UnsupportedError):
                continue
        assert status.resets == number
        bench.run(20)
