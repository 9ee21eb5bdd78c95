"""A closed loop with other sources of time beside the receiver, all simulated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from appliance.ensemble.values import Reading, Source
from appliance.events import Event, Tick
from appliance.timescale.clock_quality import ACCURACY_NS, clock_quality
from appliance.timescale.discipline import Discipline
from appliance.timescale.discipline_config import DisciplineConfig
from appliance.witnessing import Witnessing
from tests.scenario.discipline_worlds import ACTUATOR_PPB
from tests.unit.timescale.closed_loop import ClosedLoop, Row, World

LIMIT_NS = dict(ACCURACY_NS)


@dataclass
class Peer:
    """A simulated source: white noise, a constant error inside its claimed bias, and a course of errors."""

    name: str = "peer"
    sigma_ns: float = 20.0
    bias_ns: float = 150.0
    constant_ns: float = 60.0
    wander_ns: float = 1.0
    group: str = ""
    error_ns: Callable[[int], float] = lambda second: 0.0
    """What its time is wrong by beyond that (source minus truth), at each second."""
    speaks: Callable[[int], bool] = lambda second: True


class WitnessedLoop(ClosedLoop):
    """Each tick the peers are read, and the witnesses asked, as the engine does it."""

    def __init__(self, world: World, config: DisciplineConfig, peers: list[Peer], **options: Any) -> None:
        loop = Discipline(config, self.mono_ns(0.0), on_accept=lambda: self.witnessing.forgive())
        super().__init__(world, config, discipline=loop, **options)
        sources = [Source(name=p.name, group=p.group or p.name, wander_ns=p.wander_ns) for p in peers]
        self.witnessing = Witnessing(self.discipline, sources, scheme="interval", act=True)
        self._peers = peers
        self._noise = np.random.default_rng(4)

    def move_clock(self, delta_ns: int) -> None:
        super().move_clock(delta_ns)
        self.witnessing.stepped(delta_ns, self.mono_ns(float(self.second)))

    def _take(self, event: Event, t_s: float) -> None:
        super()._take(event, t_s)
        if not isinstance(event, Tick):
            return
        for peer in self._peers:
            noise_ns = peer.sigma_ns * float(self._noise.standard_normal())
            if peer.speaks(self.second):
                source_ns = peer.error_ns(self.second) + peer.constant_ns + noise_ns
                reading = Reading(
                    offset_ns=self.error_ns(t_s) - source_ns, sigma_ns=peer.sigma_ns, bias_ns=peer.bias_ns
                )
                self.witnessing.post(peer.name, event.mono_ns, reading)
        for verdict in self.witnessing.tick(event.mono_ns):
            super()._take(verdict, t_s)


def witnessed(
    topology: str, oscillator: str, made: World, peers: list[Peer], **options: Any
) -> WitnessedLoop:
    """A discipline on that world, with an antenna chain that was calibrated to 5 ns."""
    options = {"calibrated": True, "delay_uncertainty_ns": 5.0} | options
    config = DisciplineConfig(
        topology=topology,  # type: ignore[arg-type]  # a test's parameter
        oscillator_model=oscillator,
        actuator_max_ppb=ACTUATOR_PPB[topology],
        **options,
    )
    return WitnessedLoop(made, config, peers)


def dishonest(rows: list[Row]) -> list[int]:
    """Seconds in which the announced accuracy was better than the truth."""
    found = []
    for row in rows:
        bound_ns = row.snapshot.bound_wide_ns
        quality = clock_quality(
            row.snapshot.state,
            bound_ns,
            card_bound_ns=bound_ns,
            profile="meta",
            budget_ns=1_000.0,
            oscillator="rubidium",
            software_stamps=False,
        )
        limit_ns = LIMIT_NS.get(quality.clock_accuracy)
        if limit_ns is not None and abs(row.tick_error_ns) > limit_ns:
            found.append(row.second)
    return found
