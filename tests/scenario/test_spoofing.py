"""A reference that is led away, through the whole discipline: found before it has done harm, and told apart
from an oscillator that moves by itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from appliance.events import Command, CommandKind
from appliance.snapshot import ClockState
from appliance.timescale.models import GNSS, OSCILLATORS, GnssModel, OscillatorModel
from tests.scenario.discipline_worlds import (
    Script,
    during,
    errors,
    first,
    loop,
    names,
    untrue,
    violations,
    world,
)
from tests.unit.timescale.closed_loop import ClosedLoop, Row, Second, World
from tests.unit.timescale.fast_world import fast_world
from tests.unit.timescale.watched_filter import WatchedFilter

T = 1_200
"""When the ramp begins."""
CALIBRATED = {"calibrated": True, "delay_uncertainty_ns": 2.0}
"""The announced accuracy is then the best that can be announced."""


def ramp(ppb: float, begin: int = T, end: int = 1_000_000) -> Script:
    """The pulse goes away at this rate."""

    def script(second: int, now: Second) -> None:
        now.late_ns = ppb * max(0, min(second, end) - begin)

    return script


def _worst_ns(rows: list[Row]) -> float:
    return float(np.abs(errors(rows)).max())


@pytest.mark.parametrize(
    ("topology", "ppb", "seed"),
    [
        ("B", 0.1, 1), ("B", 0.3, 2), ("B", 1.0, 3), ("B", 3.0, 4), ("B", 10.0, 5), ("B", 30.0, 6),
        ("B", 100.0, 7), ("C", -0.1, 8), ("C", 1.0, 9), ("C", -100.0, 10),
    ],
)  # fmt: skip
def test_a_spoofed_reference_is_left_before_it_has_done_harm(topology: str, ppb: float, seed: int) -> None:
    length = 600 if abs(ppb) < 0.2 else 150
    played = loop(topology, "sa53", world("sa53", T + length, seed=seed), **CALIBRATED)
    rows = played.play(T + length - 5, ramp(ppb))
    assert names(rows[:T]) == ["free-run", "acquiring", "locked"]
    assert set(names(rows[T:])) <= {"locked", "recovering", "holdover"}
    assert rows[-1].state is ClockState.HOLDOVER
    assert first(rows, "holdover") - T <= (400 if abs(ppb) < 0.2 else 80)
    assert _worst_ns(rows[T:]) < 25.0, "what was learnt from the ramp has been given up"
    assert untrue(rows) == []
    assert violations(rows[first(rows, "holdover") :]) == []


def test_a_ramp_is_not_believed_again_while_it_lasts_but_a_reference_that_came_back_is() -> None:
    def script(second: int, now: Second) -> None:
        now.late_ns = 0.1 * (second - T) if T <= second < T + 1_500 else 0.0

    played = loop("B", "sa53", world("sa53", T + 2_300, seed=3))
    rows = played.play(T + 2_290, script)
    assert names(rows[T:]) == ["locked", "holdover", "recovering", "locked"]
    assert first(rows[T:], "recovering") >= T + 1_500
    assert any("not believed" in alarm for alarm in rows[T + 1_400].snapshot.alarms)
    assert "more than a change of the oscillator explains" in rows[T + 1_000].snapshot.reasons[0]
    assert _worst_ns(rows[T:]) < 25.0
    assert untrue(rows) == []


def test_an_operator_may_accept_a_reference_that_moved() -> None:
    def script(second: int, now: Second) -> None:
        ramp(1.0, end=T + 300)(second, now)
        if second == T + 400:
            now.extra_events = [
                Command(kind=CommandKind.LEAVE_HOLDOVER, mono_ns=ClosedLoop.mono_ns(second + 0.4))
            ]

    played = loop("B", "sa53", world("sa53", T + 1_300, seed=4))
    rows = played.play(T + 1_290, script)
    assert rows[T + 399].state is ClockState.HOLDOVER
    assert rows[-1].state is ClockState.LOCKED
    assert rows[-1].error_ns == pytest.approx(-300.0, abs=10.0)


@pytest.mark.parametrize(("oscillator", "jump_ppb"), [("sa53", 0.01), ("sa53", -0.03), ("mro50", 0.05)])
def test_a_jump_of_the_oscillator_itself_is_no_spoofing(oscillator: str, jump_ppb: float) -> None:
    script = during(T, 100_000, extra_ppb=jump_ppb)
    played = loop("B", oscillator, world(oscillator, T + 1_500, seed=5), **CALIBRATED)
    rows = played.play(T + 1_490, script)
    assert names(rows[T:]) == ["locked"]
    assert _worst_ns(rows[T:]) < 10.0
    assert untrue(rows) == []


# ---------------------------------------------------------------------- other figures than those assumed


def _other_figures(seed: int) -> tuple[OscillatorModel, GnssModel]:
    """An mRO-50 and a receiver with every figure off by a factor of up to two."""
    rng = np.random.default_rng([seed, 11])

    def off(value: float) -> float:
        return value * float(2.0 ** rng.uniform(-1.0, 1.0))

    sheet, gnss = OSCILLATORS["mro50"], GNSS["f9t_dual"]
    oscillator = dataclasses.replace(
        sheet,
        white_fm_1s=off(sheet.white_fm_1s),
        flicker_floor=off(sheet.flicker_floor),
        random_walk_1day=off(sheet.random_walk_1day),
        aging_per_day=off(sheet.aging_per_day),
    )
    return oscillator, dataclasses.replace(
        gnss,
        white_ns=off(gnss.white_ns),
        gauss_markov=tuple((off(sigma), off(tau)) for sigma, tau in gnss.gauss_markov),
        daily_amplitude_ns=off(gnss.daily_amplitude_ns),
    )


def _fresh(seed: int, seconds: int) -> World:
    rng = np.random.default_rng([seed, 12])
    phase, pulse = fast_world(*_other_figures(seed), seconds, rng)
    ticks = np.cumsum(0.37 + 0.45 * np.sin(2 * np.pi * np.arange(seconds) / 5_400 + rng.uniform(0, 6)))
    return World(phase, pulse, (ticks + rng.uniform(0, 8)) % 8.0 - 4.0)


def _glitches(second: int, now: Second) -> None:
    now.late_ns = 500.0 if second in (E, E + 900, E + 901, E + 902) else 0.0


def _warmer(second: int, now: Second) -> None:
    warmer_degc = 10.0 * -np.expm1(-max(0, second - E) / 900.0)
    now.extra_ppb = 5e-3 * warmer_degc
    now.temperature_mdegc = round(1_000 * (25.0 + warmer_degc))


E = 3_600
"""When it happens."""
FAULTS: dict[str, tuple[Script, float, str]] = {
    "outage": (during(E, E + 3_600, pulse=False, fix_ok=False, satellites=0), 100.0, "locked"),
    "glitch": (_glitches, 6.0, "locked"),
    "pps_step": (during(E, 100_000, late_ns=500.0), 50.0, "holdover"),
    "spoof_ramp": (ramp(1.0, E, E + 600), 50.0, "holdover"),
    "temp_step": (_warmer, 10.0, "locked"),
    "freq_jump": (during(E, 100_000, extra_ppb=0.01), 10.0, "locked"),
}
"""What happens, the worst error that it may bring (steps and ramps: five sigma of an hour's holdover), and
how it ends."""


@pytest.mark.full
@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_in_a_world_with_other_figures(name: str, seed: int) -> None:
    _play_fresh(name, seed, E + 3_600)


@pytest.mark.parametrize(("name", "seed"), [("glitch", 6), ("temp_step", 7), ("spoof_ramp", 8)])
def test_some_faults_in_a_world_with_other_figures(name: str, seed: int) -> None:
    _play_fresh(name, seed, E + 1_200)


def _play_fresh(name: str, seed: int, seconds: int) -> None:
    script, limit_ns, end = FAULTS[name]
    if name == "outage":
        seconds += 1_200
    made = _fresh(seed, seconds + 5)
    rows = loop("C", "mro50", made, timestamper_resolution_ns=1.0, **CALIBRATED).play(seconds, script)
    assert names(rows[:E]) == ["free-run", "acquiring", "locked"]
    assert rows[-1].state.value == end
    assert _worst_ns(rows[E:]) < limit_ns
    assert untrue(rows) == []


# ---------------------------------------------------------------------- clean days


def _accused(oscillator: str, seconds: int, seed: int) -> Callable[[], list[int]]:
    truth, pulse = fast_world(
        OSCILLATORS[oscillator], GNSS["f9t_dual"], seconds, np.random.default_rng([seed, 13])
    )
    samples = truth + pulse
    watched = WatchedFilter(OSCILLATORS[oscillator], GNSS["f9t_dual"], float(samples[0]))
    return lambda: [k for k in range(1, seconds) if watched.sample(k, float(samples[k])) is not None]


@pytest.mark.parametrize(
    ("oscillator", "days", "seed"),
    [
        ("sa53", 0.15, 1),
        *(pytest.param("sa53", 10.0, seed, marks=pytest.mark.full) for seed in (2, 3, 4)),
    ],
)
def test_a_clean_reference_is_never_accused(oscillator: str, days: float, seed: int) -> None:
    assert _accused(oscillator, round(days * 86_400), seed)() == []
