"""The module as topology A uses it, against the emulated part."""

from __future__ import annotations

import pytest

from appliance.events import OscillatorReport
from appliance.module_loop import ModuleLoop
from appliance.sources import OscillatorSource
from timecard.boards import Role
from timecard.card import card_on_bus
from timecard.emulator.virtual_card import InProcessCard, build_in_process
from timecard.mac.driver import SelfDiscipline
from timecard.mac.oscillators.sa5x import Sa5x


def opened(*, max_jump_ns: float = 5.0) -> tuple[ModuleLoop, Sa5x, InProcessCard]:
    virtual = build_in_process(seed=2, y0=2e-9)
    card = card_on_bus(virtual.bus, virtual.timebase)
    module = Sa5x(card.serial(Role.MAC), virtual.timebase)
    module.identify()
    virtual.timebase.sleep_s(120)  # the receiver finds its fix
    settings = SelfDiscipline(time_constant_s=500, phase_limit_ns=100, max_jump_ns=max_jump_ns)
    loop = ModuleLoop(module, settings)
    loop.take_over()
    virtual.timebase.sleep_s(2)
    return loop, module, virtual


def test_a_pulse_that_would_jump_is_not_followed() -> None:
    loop, _, _ = opened()
    assert abs(loop.status().phase_ns or 0.0) > 1000.0
    loop.follow()
    assert loop.status().disciplining is False
    assert loop.set_frequency_ppb(-1.0) == -1.0, "software still steers"


def test_the_module_follows_and_is_taken_over_with_its_tuning() -> None:
    loop, module, virtual = opened()
    loop.set_frequency_ppb(-2.0)
    module.sync_pulse()
    virtual.timebase.sleep_s(3)
    loop.correct_pulse(0.0)
    loop.follow()
    assert loop.status().disciplining is True
    assert loop.set_frequency_ppb(5.0) == pytest.approx(-2.0, abs=0.5), "a late command changes nothing"
    virtual.timebase.sleep_s(600)
    tuning_ppb = module.status(full=True).frequency_ppb
    loop.take_over()
    status = loop.status()
    assert status.disciplining is False
    assert status.frequency_ppb == pytest.approx(tuning_ppb, abs=1e-6)
    assert loop.set_frequency_ppb(-1.5) == pytest.approx(-1.5, abs=1e-6)


def test_a_correction_moves_what_the_module_sees() -> None:
    loop, module, virtual = opened()
    module.sync_pulse()
    virtual.timebase.sleep_s(3)
    before_ns = loop.status().phase_ns
    loop.correct_pulse(30.0)
    virtual.timebase.sleep_s(1)
    loop.status()
    during_ns = loop.status().phase_ns
    assert before_ns is not None and during_ns is not None
    assert during_ns - before_ns == pytest.approx(30.0, abs=12.0)


def test_a_module_that_starts_anew_is_taken_over_again() -> None:
    loop, module, virtual = opened()
    module.sync_pulse()
    virtual.timebase.sleep_s(3)
    loop.follow()
    source = OscillatorSource(loop, virtual.timebase, on_start=loop.take_over)
    source.runner.step()
    loop.follow()
    virtual.inject("mac-reset")
    seen = []
    for _ in range(12):
        seen += [e.status for e in source.runner.step() if isinstance(e, OscillatorReport)]
        virtual.timebase.sleep_s(1)
    assert any(status.resets == 1 and not status.locked for status in seen), "said before all else"
    assert seen[-1].disciplining is False
    assert seen[-1].phase_ns is not None, "the phase meter is on again"
    assert loop.set_frequency_ppb(0.5) == pytest.approx(0.5, abs=1e-6)
