"""Who closes the loop: the best topology of a card, as it follows from capabilities that are asked for.

B steers the oscillator module that makes the card's 10 MHz, C the card's clock, by its drift register or,
through the mainline kernel driver, by a time adjustment each second. D observes a card whose own servo
follows GNSS (``servo_watch`` asks); with ``auto`` it is what is left, and an alarm tells when the servo
follows something else.
A is B with the module's own loop at work while all is well; it is taken only where it is configured.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Final

from appliance.events import Event
from appliance.module_loop import ModuleLoop
from appliance.servo_watch import astray
from appliance.sources import SourceRunner
from appliance.timescale.discipline_config import Topology
from timecard.bringup.oscillator import open_oscillator, quartz_bus
from timecard.card_protocols import Card, CardClock
from timecard.card_values import Access
from timecard.errors import ProtocolError, TimeCardError, UnsupportedError
from timecard.kernel.clock import KernelClock
from timecard.kernel.steering import RegsSteering
from timecard.mac.detect import detect_i2c
from timecard.mac.driver import Oscillator, OscillatorCapability, SelfDiscipline
from timecard.mac.oscillators.sa5x import Sa5x
from timecard.mac.wear import WearLedger
from timecard.timebase import Timebase
from timecard.values import OscillatorIdentity

log = logging.getLogger(__name__)

STEERING_PERIOD_S: Final = 0.2
LOOP_TIME_S: Final = 500
"""Of the module's own loop: much longer, and a rubidium wanders; much shorter, and GNSS shows."""
PHASE_LIMIT_NS: Final = 100
"""One wild pulse costs the module's loop nothing then: its pulse may jump, which moves no served time, but
its frequency is not touched before we take over."""
MAX_JUMP_NS: Final = 5.0
"""Half a step of the grid that the module's pulse lies on: nearer than this there is nothing to jump to."""


@dataclass(frozen=True, kw_only=True)
class Control:
    """What the engine steers and steps."""

    topology: Topology
    clock: CardClock
    module: Oscillator | None = None
    """Topologies A and B: the module that is steered."""
    module_loop: ModuleLoop | None = None
    """Topology A: the same module, which may follow its pulse by itself."""
    module_identity: OscillatorIdentity | None = None
    module_missed: bool = False
    """A module would have been steered, and none answered."""
    steering: RegsSteering | None = None
    """Topology C through the mainline driver: somebody has to run it (``steering_runner``)."""

    @property
    def frequency_resolution_ppb(self) -> float:
        """Step of the module's steering; of a clock it is not told and counts as fine."""
        return self.module.frequency_resolution_ppb if self.module else 0.0

    @property
    def max_frequency_ppb(self) -> float:
        """Largest magnitude of a steering; what cannot be steered counts as the smallest actuator."""
        actuator = self.module or self.clock
        return actuator.max_frequency_ppb or 1.0


Found = tuple[Oscillator, OscillatorIdentity]


def ask_oscillator(card: Card, timebase: Timebase, wear: WearLedger | None = None) -> Found | None:
    """One round of questions for the oscillator module; None when nobody answers."""
    try:
        return open_oscillator(card, timebase, rounds=1, wear=wear)
    except TimeCardError as error:
        log.info("no oscillator module reason=%s", error)
        return None


def steered_module(card: Card, found: Found, *, insist: bool = False) -> Control | None:
    """Topology B with a module that can be steered *and* whose 10 MHz drives the clock, else None.

    A stock kernel driver does not show which 10 MHz is taken: only with ``insist`` that counts as the
    module's.
    """
    module, identity = found
    if OscillatorCapability.STEER not in module.capabilities:
        log.info("%s: the oscillator (%s) cannot be steered", card.name, identity.family)
        return None
    driver = _clock_10mhz(card)
    if driver != "mac" and not (insist and driver == "unknown"):
        log.warning("%s: the module's 10 MHz is not seen to be selected (%s): not steered", card.name, driver)
        return None
    return Control(topology="B", clock=card.clock, module=module, module_identity=identity)


def find_thermometer(card: Card, timebase: Timebase) -> Found | None:
    """A quartz card that cannot be steered and tells its temperature; None where there is none."""
    bus = quartz_bus(card)
    if bus is None:
        return None
    try:
        return detect_i2c(bus, timebase)
    except TimeCardError as error:
        log.info("no thermometer on the oscillator's I2C bus reason=%s", error)
        return None


def with_own_loop(control: Control) -> Control:
    """Topology A with the module of topology B."""
    module = control.module
    if module is None:
        raise ValueError("topology A needs an oscillator module")
    if not isinstance(module, Sa5x):
        reason = "only an SA5X can be told the error of its pulse; use topology B"
        raise UnsupportedError(module.name, "set up topology A", reason)
    settings = SelfDiscipline(
        time_constant_s=LOOP_TIME_S, phase_limit_ns=PHASE_LIMIT_NS, max_jump_ns=MAX_JUMP_NS
    )
    return replace(control, topology="A", module_loop=ModuleLoop(module, settings))


def choose(card: Card, wanted: str, timebase: Timebase, wear: WearLedger | None = None) -> Control:
    """Carry out the configured topology, or with ``auto`` find the best.

    The clock is made to follow the registers, except in D. Raises ``UnsupportedError`` when the card cannot
    do what was configured.
    """
    found: Found | None = None
    if wanted in ("auto", "A", "B"):
        found = ask_oscillator(card, timebase, wear)
        steered = None if found is None else steered_module(card, found, insist=wanted != "auto")
        if steered is not None and (_only_counts(card) or _follow_registers(card)):
            return with_own_loop(steered) if wanted == "A" else steered
        if wanted != "auto":
            raise UnsupportedError(
                card.name,
                f"set up topology {wanted}",
                "no oscillator that can be steered drives this card's 10 MHz; use topology auto or C",
            )
    missed = wanted == "auto" and found is None
    if wanted in ("auto", "C"):
        control = _steered_clock(card, timebase)
        if control is not None:
            return replace(control, module_missed=missed)
        if wanted == "C":
            raise UnsupportedError(
                card.name,
                "set up topology C",
                f"the clock of {card.board.product} cannot be steered this way; use topology auto or D",
            )
        log.warning("%s: nothing here can be steered: its clock is observed only", card.name)
    if wanted == "D" and (why := astray(card)) and not why.may_pass:
        raise UnsupportedError(
            card.name,
            "set up topology D",
            f"its servo does not follow GNSS: {why.reason}; or use topology auto",
        )
    return Control(topology="D", clock=card.clock, module_missed=missed)


def steering_runner(steering: RegsSteering, timebase: Timebase) -> SourceRunner:
    """Keeps the adjustments coming that make up a frequency; fails and recovers as the actuator."""

    def tick() -> tuple[Event, ...]:
        steering.tick()
        return ()

    return SourceRunner("actuator", tick, timebase, period_s=STEERING_PERIOD_S, wait=steering.wait)


def _steered_clock(card: Card, timebase: Timebase) -> Control | None:
    clock = card.clock
    if card.access is Access.KERNEL and isinstance(clock, KernelClock) and clock.max_frequency_ppb <= 0:
        # It remembers the source that the clock has now, and gives it back at the end.
        steering = RegsSteering(clock, timebase)
        try:
            steering.take_control()
        except (UnsupportedError, ProtocolError) as error:
            log.info("the clock cannot be steered reason=%s", error)
            return None
        return Control(topology="C", clock=steering, steering=steering)
    if not _follow_registers(card) or clock.max_frequency_ppb <= 0:
        return None
    return Control(topology="C", clock=clock)


def _only_counts(card: Card) -> bool:
    """An ART card's clock: it counts the module's 10 MHz, follows nothing and has no source to select."""
    return card.board.has("osc")


def _follow_registers(card: Card) -> bool:
    """False where the clock has no source to select, as on ART cards (whose driver takes any and none)."""
    try:
        card.clock.select_source("REGS")
    except (UnsupportedError, ProtocolError) as error:
        log.info("the clock cannot be steered reason=%s", error)
        return False
    return True


def _clock_10mhz(card: Card) -> str:
    if _only_counts(card):
        return "mac"
    try:
        return card.selector().clock_10mhz
    except UnsupportedError:
        return "unknown"
