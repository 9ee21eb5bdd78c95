"""A recorded GPS pulse, a recorded OCXO and a recorded receiver drive the whole stack.

Both series were taken against a hydrogen maser, so the true error of the disciplined clock is known: it is
its difference from the maser.
"""

from __future__ import annotations

from pathlib import Path

from appliance.config import load_config
from appliance.simulate import Simulation, build
from appliance.snapshot import ClockState

CONFIG = Path(__file__).parents[2] / "docs" / "examples" / "recorded.toml"
SERIES_S = 19_900


def recorded(shared_dir: Path) -> Simulation:
    data = shared_dir / "data"
    return build(
        load_config(CONFIG),
        gnss_phase=data / "clocks" / "gps_1pps_vs_hmaser_phase_s.txt.gz",
        oscillator=data / "clocks" / "ocxo_vs_hmaser_frequency_hz.txt.gz",
        gnss_capture=data / "gnss" / "u-blox-m8t-time.log",
        mac="none",
    )


def test_the_disciplined_ocxo_is_quieter_than_the_pulse_and_than_itself(shared_dir: Path) -> None:
    simulation = recorded(shared_dir)
    assert simulation.assembly.topology == "C"
    simulation.run_s(SERIES_S)
    summary = simulation.recorder.summary(0)
    after = summary["after_first_hour"]
    assert after["ratio"] <= 0.80, "the best PI loop in hindsight reaches 0.73"
    assert after["disciplined_std_ns"] < after["free_oscillator_line_fit_std_ns"]
    assert summary["bound"]["violations"] == 0
    assert summary["locked_after_s"] <= 120
    board = simulation.engine.board
    assert board.receiver is not None and "M8T" in board.receiver.model
    assert board.pulse is not None and board.pulse.qerr_ns is None, (
        "the capture's sawtooth is of other pulses"
    )


def test_an_hour_without_the_antenna_on_the_recorded_ocxo(shared_dir: Path) -> None:
    simulation = recorded(shared_dir)
    simulation.run_s(7200)
    simulation.virtual.inject("pps-stop", seconds=3600)
    simulation.run_s(3600)
    held = simulation.recorder.rows[-3500:]
    assert {row.state for row in held} <= {ClockState.HOLDOVER, ClockState.HOLDOVER_EXPIRED}
    simulation.run_s(1800)
    assert simulation.recorder.rows[-1].state is ClockState.LOCKED
    assert simulation.recorder.summary(0)["bound"]["violations"] == 0
