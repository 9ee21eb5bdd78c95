"""From a card and a configuration to an engine with its sources: the same live and in virtual time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from appliance.config import Config
from appliance.discipline import Discipline, DisciplineConfig
from appliance.engine import Engine
from appliance.events import GnssEdge, OwnEdge
from appliance.sources import OscillatorSource, SourceRunner, edge_runner, gnss_runner
from timecard.card import Card
from timecard.errors import TimeCardError
from timecard.gnss.receiver import FixedPosition, ReceiverIntent, UbloxReceiver
from timecard.mac.oscillators.sa5x import Sa5x
from timecard.timebase import Timebase
from timecard.values import OscillatorIdentity

log = logging.getLogger(__name__)

MODEL_OF_MODULE: Final = {"sa53": "sa53", "sa55": "sa55"}
GNSS_MODEL_OF: Final = {"ZED-F9T": "f9t_dual", "RCB-F9T": "f9t_dual"}
OTHER_GNSS_MODEL: Final = "single_band_raw"
"""A receiver whose pulse nobody characterised counts as an old single-band one."""
DEFAULT_QUARTZ: Final = "ocxo"


@dataclass
class Assembly:
    """Everything of the appliance but serving."""

    card: Card
    engine: Engine
    runners: list[SourceRunner]
    oscillator_source: OscillatorSource | None
    oscillator: OscillatorIdentity | None
    topology: str


def find_oscillator(card: Card, timebase: Timebase) -> tuple[Sa5x, OscillatorIdentity] | None:
    """The module that answers on the MAC port and whose 10 MHz drives the clock; None without one."""
    module = Sa5x(card.mac_stream, timebase)
    try:
        return module, module.identify()
    except TimeCardError as error:
        log.info("no steerable oscillator module reason=%s", error)
        return None


def assemble(
    card: Card,
    config: Config,
    timebase: Timebase,
    *,
    resume: dict[str, Any] | None = None,
    on_step: Callable[[], None] = lambda: None,
) -> Assembly:
    """Ask the card what it can do, choose the topology and build the loop.

    Raises ``TimeCardError`` when the clock itself cannot be used, and when the configured topology needs what
    the card does not have.
    """
    wanted = config.timescale.topology
    found = find_oscillator(card, timebase) if wanted in ("auto", "B") else None
    if wanted == "B" and found is None:
        raise TimeCardError(
            card.name, "set up topology B", "no SA5X answers on the MAC port; use topology auto or C"
        )
    topology = wanted if wanted != "auto" else ("B" if found else "C")
    if topology != "D":
        card.clock.take_control()

    receiver = UbloxReceiver(card.gnss_stream, timebase, intent=receiver_intent(config))
    gnss = gnss_runner(receiver, timebase)
    early_events = gnss.step()

    oscillator_source: OscillatorSource | None = None
    if found:
        module, _identity = found
        oscillator_source = OscillatorSource(module, timebase, on_start=module.take_control)
    discipline = Discipline(
        _discipline_config(config, topology, found[1] if found else None, receiver),
        timebase.mono_ns(),
        resume,
    )
    engine = Engine(
        discipline,
        card.clock,
        timebase,
        oscillator=oscillator_source,
        sync_pulse=found[0].sync if found else None,
        on_step=on_step,
    )
    for event in early_events:
        engine.take(event)
    runners = [
        gnss,
        edge_runner("pps", card.ts0, GnssEdge, timebase),
        edge_runner("own-pps", card.ts5, OwnEdge, timebase),
    ]
    if oscillator_source is not None:
        runners.append(oscillator_source.runner)
    return Assembly(
        card=card,
        engine=engine,
        runners=runners,
        oscillator_source=oscillator_source,
        oscillator=found[1] if found else None,
        topology=topology,
    )


def receiver_intent(config: Config) -> ReceiverIntent:
    """What the configuration asks of the receiver."""
    gnss = config.gnss
    position = gnss.position
    return ReceiverIntent(
        fixed_position=position
        and FixedPosition(
            latitude_deg=position.latitude_deg,
            longitude_deg=position.longitude_deg,
            height_m=position.height_m,
            accuracy_m=position.accuracy_m,
        ),
        survey_s=gnss.survey_s,
        survey_accuracy_m=gnss.survey_accuracy_m,
        elevation_deg=gnss.elevation_deg,
    )


def _discipline_config(
    config: Config, topology: str, module: OscillatorIdentity | None, receiver: UbloxReceiver
) -> DisciplineConfig:
    timescale, ledger = config.timescale, config.ledger
    oscillator_model = timescale.oscillator_model
    if oscillator_model == "auto":
        oscillator_model = MODEL_OF_MODULE.get(module.model.lower(), "sa53") if module else DEFAULT_QUARTZ
    gnss_model = timescale.gnss_model
    if gnss_model == "auto":
        identity = receiver.identity
        gnss_model = GNSS_MODEL_OF.get(identity.model, OTHER_GNSS_MODEL) if identity else OTHER_GNSS_MODEL
    raise NotImplementedError(oscillator_model, gnss_model, topology, timescale, ledger)
