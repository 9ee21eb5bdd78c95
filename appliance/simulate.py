"""``time-appliance run --virtual --fast``: the whole stack in virtual time, with a report of what was true.

Emulator, drivers and discipline run in one thread; virtual time moves by one second per cycle and sources are
polled half a second after each pulse. Nothing is served, so there is no clock map and no port bound.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Final, Protocol

from appliance.assembly import Assembly, assemble
from appliance.config import Config
from appliance.engine import Engine
from appliance.flight.recorder import FlightRecorder, open_flight
from appliance.run_options import RunOptions
from appliance.simulation_report import Recorder, Row, plot, write_json, write_series
from appliance.timescale.clock_quality import clock_quality
from appliance.timescale.models import OSCILLATORS
from timecard.card import card_on_bus
from timecard.errors import TimeCardError
from timecard.protocols import RegisterBus
from timecard.timebase import Timebase
from timecard.timescale import NS_PER_S

DEFAULT_DURATION_S: Final = 4 * 3600.0
PROGRESS_S: Final = 3600


class Truth(Protocol):
    """What only the emulator knows."""

    true_tai_ns: int
    card_error_ns: float
    gnss_error_ns: float | None
    free_oscillator_ns: float | None


class VirtualCard(Protocol):
    """The emulator in our process, as its entry point returns it."""

    bus: RegisterBus
    timebase: Timebase

    def truth(self) -> Truth:
        """The truth now."""
        ...

    def inject(self, name: str, **arguments: Any) -> Any:
        """Start a fault now."""
        ...


class SimulationError(Exception):
    """The simulation cannot be run as asked; one line for the user."""


@dataclass
class Simulation:
    """A virtual card and the appliance on it."""

    virtual: VirtualCard
    assembly: Assembly
    config: Config
    recorder: Recorder
    start_mono_ns: int

    @property
    def engine(self) -> Engine:
        """The engine under test."""
        return self.assembly.engine

    @property
    def elapsed_s(self) -> float:
        """Virtual seconds since the start."""
        return (self.virtual.timebase.mono_ns() - self.start_mono_ns) / NS_PER_S

    def run_s(self, seconds: float) -> None:
        """Let virtual time pass."""
        end_s = self.elapsed_s + seconds
        while self.elapsed_s < end_s:
            self.cycle()

    def cycle(self) -> None:
        """One second: wait to the middle of the next one, poll everything, tick, compare with the truth."""
        virtual, engine = self.virtual, self.engine
        since_pulse_ns = virtual.truth().true_tai_ns % NS_PER_S
        wait_ns = (3 * NS_PER_S // 2 - since_pulse_ns) % NS_PER_S or NS_PER_S
        virtual.timebase.sleep_s(wait_ns / NS_PER_S)
        for runner in self.assembly.runners:
            for event in runner.step():
                engine.take(event)
        engine.tick()
        self._record()

    def _record(self) -> None:
        truth = self.virtual.truth()
        now_ns = self.virtual.timebase.mono_ns()
        snapshot = self.engine.discipline.snapshot(now_ns)
        wide_ns = snapshot.bound_wide_at_ns(now_ns)
        quality = clock_quality(
            snapshot.state,
            wide_ns,
            card_bound_ns=wide_ns,
            profile=self.config.ptp.profile,
            budget_ns=self.config.timescale.budget_ns,
            oscillator=OSCILLATORS[self.assembly.oscillator_model].kind,
        )
        self.recorder.add(
            Row(
                t_s=self.elapsed_s,
                state=snapshot.state,
                clock_class=quality.clock_class,
                error_ns=truth.card_error_ns,
                bound_ns=snapshot.bound_at_ns(now_ns),
                steering_ppb=snapshot.frequency_ppb,
                gnss_error_ns=truth.gnss_error_ns,
                free_oscillator_ns=truth.free_oscillator_ns,
                ready=snapshot.holdover_ready,
            ),
            snapshot,
        )


def build(config: Config, *, flight: FlightRecorder | None = None, **card_options: Any) -> Simulation:
    """A simulation on a fresh virtual card; ``card_options`` are the emulator's."""
    found = entry_points(group="timecard.emulators", name="in-process")
    if not found:
        raise SimulationError("no virtual card is installed (entry point group timecard.emulators)")
    virtual: VirtualCard = next(iter(found)).load()(**card_options)
    card = card_on_bus(virtual.bus, virtual.timebase)
    start_ns = virtual.timebase.mono_ns()
    assembly = assemble(card, config, virtual.timebase, flight=flight)
    return Simulation(virtual, assembly, config, Recorder(), start_ns)


def run(options: RunOptions, config: Config) -> int:
    """The command: simulate, report, draw; the exit status."""
    flight = None
    if options.flight is not None:
        asked = config.flight.model_copy(update={"enable": True})
        flight = open_flight(asked, options.flight, threaded=False, card="virtual")
    try:
        simulation = build(config, flight=flight, **card_options(options))
        real_s = _run_with_progress(simulation, options)
    except (SimulationError, TimeCardError, ValueError, OSError) as error:
        sys.stderr.write(f"time-appliance: {error}\n")
        return 1
    finally:
        if flight is not None:
            flight.close()
    if flight is not None and flight.problem is not None:
        sys.stderr.write(f"time-appliance: {flight.alarms[0]}\n")
        return 1
    summary = simulation.recorder.summary(real_s)
    summary["topology"] = simulation.assembly.topology
    summary["seed"] = options.seed
    if options.report:
        write_json(options.report, summary)
    if options.series:
        write_series(options.series, simulation.recorder.rows)
    if options.plot:
        title = f"{summary['duration_s'] / 3600:.1f} h, topology {summary['topology']}, seed {options.seed}"
        try:
            plot(options.plot, simulation.recorder, title)
        except ImportError:
            sys.stderr.write("time-appliance: --plot needs matplotlib: pip install matplotlib\n")
            return 1
    sys.stdout.write(json.dumps(summary, indent=1) + "\n" if options.json else _text(summary))
    return 0


def card_options(options: RunOptions) -> dict[str, Any]:
    """The emulator's options that ``run`` passes on."""
    chosen: dict[str, Any] = {"seed": options.seed, "start": "cold" if options.overrides.cold else "hot"}
    if options.oscillator:
        chosen |= {"oscillator": options.oscillator, "mac": "none"}
    if options.gnss_phase:
        chosen["gnss_phase"] = options.gnss_phase
    if options.gnss_capture:
        chosen["gnss_capture"] = options.gnss_capture
    if options.faults:
        chosen["faults"] = options.faults
    return chosen


def _run_with_progress(simulation: Simulation, options: RunOptions) -> float:
    duration_s = options.duration_s or DEFAULT_DURATION_S
    started_s = time.monotonic()
    while simulation.elapsed_s < duration_s:
        simulation.run_s(min(PROGRESS_S, duration_s - simulation.elapsed_s))
        if sys.stderr.isatty():
            speed = simulation.elapsed_s / (time.monotonic() - started_s)
            sys.stderr.write(f"\r{simulation.elapsed_s / 3600:.1f} h simulated, {speed:.0f} x real time")
    if sys.stderr.isatty():
        sys.stderr.write("\n")
    return time.monotonic() - started_s


def _text(summary: dict[str, Any]) -> str:
    lines = [
        f"simulated {summary['duration_s']} s at {summary['speed']:.0f} x real time, topology"
        f" {summary['topology']}"
    ]
    if summary["utc_known_after_s"] is not None:
        lines.append(f"leap seconds known after {summary['utc_known_after_s']:.1f} s")
    lines += [f"{entry['t_s']:>9.1f} s  {entry['event']}" for entry in summary["log"]]
    locked, bound = summary["locked"], summary["bound"]
    if locked["seconds"]:
        lines.append(
            f"locked {locked['seconds']:.0f} s: error mean {locked['mean_ns']:.2f} ns, std"
            f" {locked['std_ns']:.2f} ns, max {locked['max_abs_ns']:.2f} ns; bound at most"
            f" {bound['max_locked_ns']:.1f} ns"
        )
    lines.append(f"bound claimed {bound['claimed_s']} s, violated {bound['violations']} s")
    ready = summary["holdover_ready"]
    if ready["after_s"] is not None:
        lines.append(
            f"ready for holdover after {ready['after_s']:.0f} s, lost {ready['losses']} times for"
            f" {ready['lost_s']} s"
        )
    lines += [
        f"holdover from {h['from_s']:.0f} s to {h['to_s']:.0f} s: error at most {h['max_error_ns']:.1f} ns,"
        f" bound at the end {h['final_bound_ns'] or float('nan'):.1f} ns"
        for h in summary["holdovers"]
    ]
    after = summary["after_first_hour"]
    if after and after["ratio"] is not None:
        lines.append(
            f"after the first hour: disciplined std {after['disciplined_std_ns']:.2f} ns, raw GNSS"
            f" {after['raw_gnss_std_ns']:.2f} ns, ratio {after['ratio']:.3f}"
        )
    return "\n".join(lines) + "\n"
