"""Which topology a card gets, and what is refused: emulated boards, a stand-in for the kernel driver."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from appliance.config import Config
from appliance.simulate import build
from appliance.topology import (
    Control,
    ask_oscillator,
    choose,
    steered_module,
    steering_runner,
    with_own_loop,
)
from timecard.boards import ART, FB
from timecard.card import card_on_bus
from timecard.card_protocols import Card
from timecard.card_values import Access, PpsSource
from timecard.emulator.virtual_card import build_in_process
from timecard.errors import DeviceAbsentError, DeviceLostError, ProtocolError, UnsupportedError
from timecard.kernel.clock import KernelClock
from timecard.kernel.steering import RegsSteering
from timecard.pcie.register_card import RegisterCard
from timecard.timebase import Timebase

S = 1_000_000_000


def opened(**options: Any) -> tuple[RegisterCard, Timebase]:
    virtual = build_in_process(**options)
    return card_on_bus(virtual.bus, virtual.timebase), virtual.timebase


@pytest.mark.parametrize(
    ("options", "topology"),
    [
        ({}, "B"),
        ({"board": "litepcie"}, "B"),
        ({"board": "adva"}, "B"),
        ({"board": "adva-x1"}, "B"),
        ({"mac": "none"}, "C"),
        ({"board": "adva", "mac": "none"}, "C"),
        ({"board": "art"}, "B"),
        ({"board": "art", "mac": "none"}, "D"),
    ],
)
def test_the_best_topology_of_a_card(options: dict[str, Any], topology: str) -> None:
    card, timebase = opened(**options)
    control = choose(card, "auto", timebase)
    assert control.topology == topology
    assert (control.module is not None) == (topology == "B")
    assert control.steering is None
    assert control.max_frequency_ppb > 0
    if options.get("board") != "art":
        assert card.clock.source_name() == "REGS"


def test_observing_leaves_the_clock_alone() -> None:
    card, timebase = opened(mac="none")
    assert choose(card, "D", timebase).topology == "D"
    assert card.clock.source_name() == "PPS"


def test_a_servo_that_follows_another_pulse_is_not_observed_as_if_it_were_gnss() -> None:
    card, timebase = opened()
    timebase.sleep_s(10)
    with pytest.raises(UnsupportedError, match=r"topology D: .*the selector shows MAC, not GNSS"):
        choose(card, "D", timebase)
    card.force_pps_source(PpsSource.GNSS)
    assert choose(card, "D", timebase).topology == "D"
    card.clock.select_source("REGS")
    with pytest.raises(UnsupportedError, match=r"topology D: .*the clock follows REGS"):
        choose(card, "D", timebase)


def test_a_pulse_that_is_still_missing_does_not_speak_against_observing() -> None:
    card, timebase = opened(mac="none", start="cold")
    assert card.selector().selected is None
    assert choose(card, "D", timebase).topology == "D"


def test_the_modules_own_loop_is_taken_only_when_asked_for() -> None:
    card, timebase = opened()
    assert choose(card, "auto", timebase).module_loop is None
    control = choose(card, "A", timebase)
    assert control.topology == "A"
    assert control.module is not None and control.module_loop is not None
    assert card.clock.source_name() == "REGS", "the clock counts, whatever the module's pulse does"
    with pytest.raises(ValueError, match="needs an oscillator module"):
        with_own_loop(Control(topology="D", clock=card.clock))


@pytest.mark.parametrize(
    ("options", "wanted"),
    [({"mac": "none"}, "A"), ({"mac": "none"}, "B"), ({"board": "art"}, "A"), ({"board": "art"}, "C")],
)
def test_what_a_card_cannot_is_refused(options: dict[str, Any], wanted: str) -> None:
    card, timebase = opened(**options)
    with pytest.raises(UnsupportedError, match=f"set up topology {wanted}"):
        choose(card, wanted, timebase)


def test_a_module_that_does_not_make_the_10_mhz_is_not_steered() -> None:
    card, timebase = opened()
    unused = SimpleNamespace(
        serial=card.serial,
        clock=card.clock,
        name="card",
        board=card.board,
        selector=lambda: SimpleNamespace(clock_10mhz="onboard"),
    )
    found = ask_oscillator(cast(Card, unused), timebase)
    assert found is not None
    assert steered_module(cast(Card, unused), found) is None
    assert steered_module(cast(Card, unused), found, insist=True) is None


class DriverClock(KernelClock):
    """The mainline driver's clock as far as it is asked here."""

    def __init__(self, *, deaf: bool = False) -> None:
        self.name, self.followed, self._deaf = "clock", "PPS", deaf
        self.slews: list[int] = []
        self.fails = False

    @property
    def max_frequency_ppb(self) -> float:
        return 0.0

    def source_name(self) -> str:
        return self.followed

    def select_source(self, name: str) -> None:
        if self._deaf:
            raise ProtocolError(self.name, "select source", f"{name} was written, the clock follows NONE")
        self.followed = name

    def now_tai_ns(self) -> int:
        if self.fails:
            raise DeviceLostError(self.name, "read", "gone")
        return 7 * S

    def slew_ns(self, delta_ns: int) -> None:
        self.slews.append(delta_ns)


def driver_card(clock: DriverClock) -> Card:
    def no_port(role: object, baud: int | None = None) -> object:
        raise DeviceAbsentError("card", "open MAC port", "no tty")

    board = ART if clock.source_name() == "NONE" else FB
    card = SimpleNamespace(access=Access.KERNEL, clock=clock, name="card", board=board, serial=no_port)
    return cast(Card, card)


def test_the_mainline_driver_is_steered_by_adjustments() -> None:
    clock, timebase = DriverClock(), build_in_process().timebase
    control = choose(driver_card(clock), "auto", timebase)
    assert (control.topology, clock.followed) == ("C", "REGS")
    assert isinstance(control.steering, RegsSteering)
    assert control.clock is control.steering
    control.clock.set_frequency_ppb(1_000.0)
    runner = steering_runner(control.steering, timebase)
    for _ in range(40):
        runner.step()
        assert runner.wait is not None
        runner.wait(runner.period_s)
    assert clock.slews and max(clock.slews) > 500
    clock.fails = True
    timebase.sleep_s(2)
    (fault,) = runner.step()
    assert getattr(fault, "source", None) == "actuator"


def test_a_driver_whose_card_has_no_sources_is_observed() -> None:
    timebase = build_in_process().timebase
    assert choose(driver_card(DriverClock(deaf=True)), "auto", timebase).topology == "D"


@pytest.mark.parametrize("board", ["fb", "litepcie", "adva", "adva-x1"])
def test_every_board_with_a_servo_locks(board: str) -> None:
    simulation = build(Config(), seed=2, board=board, y0=1e-9)
    simulation.run_s(120)
    snapshot = simulation.engine.discipline.snapshot(simulation.virtual.timebase.mono_ns())
    assert snapshot.state.value == "locked"
    assert abs(simulation.virtual.truth().card_error_ns) < 50


def test_an_art_card_without_its_oscillator_is_observed_and_claims_nothing_it_does_not_know() -> None:
    simulation = build(Config(), seed=2, board="art", mac="none")
    simulation.run_s(120)
    now_ns = simulation.virtual.timebase.mono_ns()
    snapshot = simulation.engine.discipline.snapshot(now_ns)
    assert simulation.assembly.topology == "D"
    assert snapshot.bound_at_ns(now_ns) is None, "its clock is in 1970, and nobody sets it"
