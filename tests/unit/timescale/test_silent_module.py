"""An oscillator module that falls silent or starts anew: the bound must not stay what it was."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from appliance.timescale.discipline_config import DisciplineConfig
from appliance.timescale.models import GNSS, OSCILLATORS
from tests.unit.timescale.closed_loop import ClosedLoop, Second, make_world

TROUBLE_S = 1500
JUMP_PPB = 30.0
"""The quartz inside, once nothing holds it."""


def silent(k: int, facts: Second) -> None:
    """Nothing is heard and the pulses are gone too."""
    if k >= TROUBLE_S:
        facts.oscillator_speaks = facts.pulse = False
        facts.extra_ppb = JUMP_PPB


def restarted(k: int, facts: Second) -> None:
    """The lock was lost and found between two reports."""
    if k >= TROUBLE_S:
        facts.oscillator_resets, facts.pulse = 1, False
        facts.extra_ppb = JUMP_PPB


@pytest.mark.parametrize("script", [silent, restarted])
def test_the_bound_holds(script: Callable[[int, Second], None]) -> None:
    world = make_world(OSCILLATORS["sa53"], GNSS["f9t_dual"], TROUBLE_S + 70, 5)
    config = DisciplineConfig(topology="B", oscillator_model="sa53", calibrated=True)
    loop = ClosedLoop(world, config)
    rows = loop.play(TROUBLE_S + 60, script)
    assert rows[TROUBLE_S - 1].snapshot.state.name == "LOCKED"
    wrong = [
        (row.second, row.tick_error_ns, row.snapshot.bound_ns)
        for row in rows[TROUBLE_S + 3 :]
        if row.snapshot.bound_ns is not None and abs(row.tick_error_ns) > row.snapshot.bound_ns
    ]
    assert not wrong, wrong[:5]


def test_silence_is_an_alarm_until_it_speaks_again() -> None:
    world = make_world(OSCILLATORS["sa53"], GNSS["f9t_dual"], 340, 5)
    loop = ClosedLoop(world, DisciplineConfig(topology="B", oscillator_model="sa53"))

    def script(k: int, facts: Second) -> None:
        facts.oscillator_speaks = not 300 <= k < 310

    loop.play(301, script)
    assert loop.discipline.module.locked is True
    loop.play(3, script)
    assert loop.discipline.module.locked is False
    assert any("silent" in text for text in loop.rows[-1].snapshot.alarms)
    loop.play(10, script)
    assert loop.discipline.module.locked is True
    assert not any("silent" in text for text in loop.rows[-1].snapshot.alarms)
