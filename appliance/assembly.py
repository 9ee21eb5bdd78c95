"""From a card and a configuration to an engine with its sources: the same live and in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from appliance.config import Config, ConfigError
from appliance.config_models import Position
from appliance.engine import Engine
from appliance.events import GnssEdge, OwnEdge
from appliance.flight.recorder import FlightRecorder, RecordedDiscipline
from appliance.leap.files import LOOK_EVERY_NS, LeapFiles
from appliance.leap.words import LeapWord
from appliance.learnt_state import LearntState
from appliance.oscillator_search import OscillatorSearch, worth_searching
from appliance.peers import WITNESSES, HostMap, peer_runners
from appliance.servo_watch import ServoWatch
from appliance.sources import OscillatorSource, SourceRunner, card_leap_word, edge_runner, gnss_runner
from appliance.timescale.discipline import Discipline
from appliance.timescale.discipline_config import DisciplineConfig
from appliance.timescale.models import OSCILLATORS as MODELS
from appliance.topology import Control, choose, find_thermometer, steering_runner
from appliance.utc_offset import KnownUtcOffset
from timecard.boards import Role
from timecard.card_protocols import Card
from timecard.gnss.any_receiver import AnyReceiver
from timecard.gnss.geodesy import ecef_m
from timecard.gnss.integrity import IntegrityMonitor, IntegrityOptions
from timecard.gnss.intent import TIME_CARD, FixedPosition, GnssIntent, Survey
from timecard.gnss.tap import Tap, tapped
from timecard.mac.alarms import OscillatorMonitor
from timecard.mac.driver import Oscillator, OscillatorCapability
from timecard.mac.oscillators import OSCILLATORS
from timecard.mac.wear import WearLedger, WearUsage
from timecard.protocols import ByteStream
from timecard.timebase import Timebase
from timecard.timescale import NS_PER_S
from timecard.values import Alarm, OscillatorIdentity

GNSS_MODEL_OF: Final = {"ZED-F9T": "f9t_dual", "RCB-F9T": "f9t_dual"}
OTHER_GNSS_MODEL: Final = "single_legacy"
"""A receiver whose pulse nobody characterised counts as an old single-band one."""
OTHER_OSCILLATOR_MODEL: Final = "unknown"
UNKNOWN_OSCILLATOR: Final = "oscillator-unknown"
MAX_TIME_ACCURACY_NS: Final = 1000.0
"""A receiver that says its time may be off by more is not used, neither by its watch nor by the loop."""
APPLIED_PLACES: Final = ("receiver", "timestamper", "software")


@dataclass
class Assembly:
    """Everything of the appliance but serving."""

    card: Card
    engine: Engine
    receiver: AnyReceiver
    runners: list[SourceRunner]
    oscillator_source: OscillatorSource | None
    oscillator: OscillatorIdentity | None
    topology: str
    oscillator_model: str
    search: OscillatorSearch | None = None
    """For a module that did not answer; run beside the others, where there are threads."""
    flight: FlightRecorder | None = None


def assemble(
    card: Card,
    config: Config,
    timebase: Timebase,
    *,
    resume: dict[str, Any] | None = None,
    on_step: Callable[[], None] = lambda: None,
    tap: Tap | None = None,
    wear: WearLedger | None = None,
    flight: FlightRecorder | None = None,
    learnt: LearntState | None = None,
    epoch: int = 0,
    host_map: HostMap = lambda: None,
) -> Assembly:
    """Ask the card what it can do, choose the topology and build the loop.

    ``tap`` gets what is read from the receiver; ``wear`` counts the oscillator's non-volatile writes;
    ``flight`` records what the loop is given and decides; ``learnt`` is the state file of this card;
    ``epoch`` is for a clock that is not resumed; ``host_map`` gives the newest line from the host's clock to
    the card's, by which peers are compared.

    Raises ``TimeCardError`` when the clock itself cannot be used, and when the configured topology needs what
    the card does not have.
    """
    _refuse_unapplied_delays(config)
    control = choose(card, config.timescale.topology, timebase, wear)
    gnss_pulse, own_pulse = card.timestamper("ts0"), card.timestamper("ts5")
    gnss_pulse.enable(cable_delay_ns=config.ledger.register_ns("timestamper"))
    own_pulse.enable()

    line: ByteStream = card.serial(Role.GNSS)
    line = line if tap is None else tapped(line, tap)
    utc_offset = KnownUtcOffset(config.gnss.tai_minus_utc_s)
    receiver = AnyReceiver(line, timebase, receiver_intent(config), utc_offset=utc_offset.at)
    monitor = IntegrityMonitor(integrity_options(config))
    gnss = gnss_runner(receiver, timebase, monitor, card_leap_word(card))
    early_events = gnss.step()
    module = control.module
    oscillator_source = None
    if module is not None:
        loop = control.module_loop
        on_start = module.begin_software_steering if loop is None else loop.take_over
        oscillator_source = OscillatorSource(
            loop or module,
            timebase,
            on_start=on_start,
            monitor=_oscillator_monitor(control.module_identity),
            usage=_usage(wear, control.module_identity),
        )
    watched = find_thermometer(card, timebase) if module is None else None
    part = control.module_identity or (watched and watched[1])
    discipline_config = _discipline_config(config, control, part, receiver)
    # A receiver that comes later with a delay which this does not cover is not used.
    receiver.delay_limit_ns = discipline_config.delay_uncertainty_ns
    discipline = Discipline if flight is None else partial(RecordedDiscipline, flight)

    def accept() -> None:
        monitor.forgive()
        if engine.witnessing is not None:
            engine.witnessing.forgive()

    engine = Engine(
        discipline(
            discipline_config,
            timebase.mono_ns(),
            resume=resume,
            learnt=learnt.load() if learnt is not None else None,
            epoch=epoch,
            on_accept=accept,
        ),
        control.clock,
        timebase,
        oscillator=oscillator_source,
        sync_pulse=_sync_pulse(module),
        module_loop=control.module_loop,
        on_step=on_step,
    )
    corrupt = learnt.alarm(timebase.mono_ns()) if learnt is not None else None
    if corrupt is not None:
        engine.take(corrupt)
    if config.timescale.oscillator_model == "auto" and discipline_config.model_name == OTHER_OSCILLATOR_MODEL:
        engine.take(_unknown_oscillator(part, timebase.mono_ns()))
    for event in early_events:
        engine.take(event)
    runners = [
        gnss,
        edge_runner("pps", gnss_pulse, GnssEdge, timebase, monitor),
        edge_runner("own-pps", own_pulse, OwnEdge, timebase),
        _leap_runner(config, timebase, utc_offset),
    ]
    if oscillator_source:
        runners.append(oscillator_source.runner)
    if watched is not None:
        thermometer = OscillatorSource(
            watched[0], timebase, on_start=lambda: None, monitor=_oscillator_monitor(part)
        )
        runners.append(thermometer.runner)
    if control.steering is not None:
        runners.append(steering_runner(control.steering, timebase))
    if control.topology == "D":
        runners.append(ServoWatch(card, timebase).runner)
    runners += peer_runners(config, card, engine, timebase, host_map)
    if engine.witnessing is not None and resume is not None:
        engine.witnessing.take_up(resume.get(WITNESSES))
    search = worth_searching(card, control)
    return Assembly(
        card=card,
        engine=engine,
        receiver=receiver,
        runners=runners,
        oscillator_source=oscillator_source,
        oscillator=part,
        topology=control.topology,
        oscillator_model=discipline_config.oscillator_model,
        search=OscillatorSearch(card, timebase, wear) if search else None,
        flight=flight,
    )


def _refuse_unapplied_delays(config: Config) -> None:
    """Each delay is compensated in exactly one place, so a place that nobody writes must not be named."""
    for row in config.delays:
        if row.compensated_by not in APPLIED_PLACES:
            raise ConfigError(
                [
                    f"[[delays]] {row.segment}: compensated_by {row.compensated_by!r} is not applied by this"
                    f" version; use one of {', '.join(APPLIED_PLACES)}"
                ]
            )


def _leap_runner(config: Config, timebase: Timebase, utc_offset: KnownUtcOffset) -> SourceRunner:
    """Tables of leap seconds on this host."""
    leap = config.leap
    files = LeapFiles(leap.files, warn_days=leap.warn_days, required=leap.required)

    def poll() -> list[LeapWord]:
        words = files.poll(timebase.mono_ns())
        utc_offset.note(words)
        return words

    return SourceRunner("leap", poll, timebase, period_s=LOOK_EVERY_NS / NS_PER_S)


def receiver_intent(config: Config) -> GnssIntent:
    """What the configuration asks of the receiver, in words that hold for every maker."""
    gnss, position, ledger = config.gnss, config.gnss.position, config.ledger
    survey = Survey(min_s=gnss.survey_s, sigma_m=gnss.survey_accuracy_m)
    return replace(
        TIME_CARD,
        position=_ecef(position) if position else survey,
        # Where no row is about the antenna chain, what somebody has set in the receiver is left there.
        cable_delay_ns=ledger.register_ns("receiver") if ledger.knows_antenna_chain else None,
        elevation_mask_deg=gnss.elevation_deg,
    )


def integrity_options(config: Config) -> IntegrityOptions:
    """What is normal for the receiver."""
    position = config.gnss.position
    fixed = _ecef(position) if position else None
    return IntegrityOptions(
        min_satellites=config.gnss.min_satellites,
        max_time_accuracy_ns=MAX_TIME_ACCURACY_NS,
        position_m=(fixed.x_m, fixed.y_m, fixed.z_m) if fixed else None,
    )


def _ecef(position: Position) -> FixedPosition:
    x_m, y_m, z_m = ecef_m(position.latitude_deg, position.longitude_deg, position.height_m)
    return FixedPosition(x_m=x_m, y_m=y_m, z_m=z_m, sigma_m=position.accuracy_m)


def _sync_pulse(module: Oscillator | None) -> Callable[[], None] | None:
    """Moves the module's pulse, where it can be moved."""
    if module is None or OscillatorCapability.SYNC_PULSE not in module.capabilities:
        return None
    return module.sync_pulse


def _oscillator_monitor(module: OscillatorIdentity | None) -> OscillatorMonitor | None:
    """What is normal is the family's matter."""
    driver = OSCILLATORS.get(module.family) if module else None
    return OscillatorMonitor(driver.limits) if driver else None


def _usage(wear: WearLedger | None, module: OscillatorIdentity | None) -> Callable[[], WearUsage] | None:
    return partial(wear.usage, module.family, module.serial) if wear and module else None


def _model_of(part: OscillatorIdentity | None) -> str:
    """A part that does not answer, or that nobody characterised, counts as an unknown one: never too good.

    Whoever makes the 10 MHz then may be the small oscillator of the card itself.
    """
    driver = OSCILLATORS.get(part.family) if part else None
    named = driver.timescale_model if driver else None
    return named if named is not None and named in MODELS else OTHER_OSCILLATOR_MODEL


def _unknown_oscillator(part: OscillatorIdentity | None, mono_ns: int) -> Alarm:
    what = f"no model fits a part of family {part.family}" if part else "no part tells what makes the 10 MHz"
    return Alarm(
        name=UNKNOWN_OSCILLATOR,
        active=True,
        unusable=False,
        evidence=f'{what}: a poor crystal unless [timescale] oscillator_model names it ("ocxo", "tcxo")',
        read_mono_ns=mono_ns,
    )


def _discipline_config(
    config: Config,
    control: Control,
    part: OscillatorIdentity | None,
    receiver: AnyReceiver,
) -> DisciplineConfig:
    module = control.module_identity
    driver = OSCILLATORS.get(module.family) if module else None
    timescale, ledger = config.timescale, config.ledger
    oscillator_model = timescale.oscillator_model
    if oscillator_model == "auto":
        oscillator_model = _model_of(part)
    gnss_model = timescale.gnss_model
    if gnss_model == "auto":
        identity = receiver.identity
        gnss_model = GNSS_MODEL_OF.get(identity.model, OTHER_GNSS_MODEL) if identity else OTHER_GNSS_MODEL
    return DisciplineConfig(
        topology=control.topology,
        oscillator_model=oscillator_model,
        gnss_model=gnss_model,
        delay_ns=ledger.software_ns("card"),
        delay_uncertainty_ns=max(ledger.uncertainty_ns("card"), abs(receiver.left_delay_ns or 0.0)),
        calibrated=ledger.calibrated,
        lock_limit_ns=timescale.lock_limit_ns,
        budget_ns=timescale.budget_ns,
        p=timescale.p,
        slew_ns_per_s=timescale.recovery_slew_ns_per_s,
        max_slew_ns_per_s=timescale.max_slew_ns_per_s,
        step_limit_ns=timescale.step_limit_ns,
        coast_s=timescale.coast_s,
        release_s=timescale.release_s,
        limits_ns=timescale.forecast_limits_ns,
        actuator_max_ppb=control.max_frequency_ppb,
        actuator_resolution_ppb=control.frequency_resolution_ppb,
        phase_resolution_ns=driver.limits.phase_resolution_ns if driver else 0.0,
        position_sigma_m=config.gnss.position.accuracy_m if config.gnss.position else None,
        temperature_swing_degc=timescale.temperature_swing_degc,
        min_satellites=config.gnss.min_satellites,
        max_time_accuracy_ns=MAX_TIME_ACCURACY_NS,
    )
