"""The discipline's part of the runtime record: written once in a while, taken up after a restart.

Whether boot and card are the same is checked by the one who reads the file; here every field is checked
before it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from appliance.snapshot import ClockState
from appliance.timescale.doubts import Doubts, flag
from appliance.timescale.noise_fit import NoiseFigures
from appliance.timescale.pilot import Pilot
from appliance.timescale.record_fields import integer, number, table, want
from appliance.timescale.servo import SteeringRecord
from appliance.timescale.steersman import Steersman
from appliance.timescale.tracking import Tracker
from timecard.timescale import NS_PER_S

RECORD_VERSION: Final = 2
SPREAD_WINDOW_S: Final = 60.0
_CREDIBLE: Final = 1e12
"""Neither ppb nor ns of a clock that runs are more."""


def make_record(pilot: Pilot, epoch: int, mono_ns: int, *, rehearsing: bool) -> dict[str, Any]:
    """JSON-able; without a tracker before the first lock, since then there is nothing to go on with.

    ``rehearsing``: a holdover was not asked for as such, and a rehearsal ends with the process.
    """
    settled = pilot.machine.state not in (ClockState.FREE_RUN, ClockState.ACQUIRING)
    tracker = pilot.tracker if settled else None
    return {
        "version": RECORD_VERSION,
        "topology": pilot.config.topology,
        "epoch": epoch,
        "delay_ns": pilot.config.delay_ns,
        "mono_ns": mono_ns,
        "position_bias_ns": pilot.judge.position_bias_ns,
        "steering_ppb": pilot.steersman.frequency_ppb,
        "steering_spread_ppb": pilot.steersman.record.spread_ppb(mono_ns, SPREAD_WINDOW_S),
        "untold_ns": pilot.steersman.untold_ns,
        "forced_holdover": pilot.forced_holdover and not rehearsing,
        "holdover_since_mono_ns": pilot.holdover_since_mono_ns,
        "doubts": pilot.judge.doubts.to_record(),
        "noise": None if pilot.habits.figures is None else pilot.habits.figures.to_record(),
        "tracker": None if tracker is None else tracker.to_record(mono_ns),
    }


@dataclass(frozen=True, slots=True)
class Resumed:
    """What a record gives."""

    tracker: Tracker
    steersman: Steersman
    doubts: Doubts
    holdover_since_mono_ns: int
    epoch: int
    down_s: float


def read_record(record: Mapping[str, Any], pilot: Pilot, mono_ns: int) -> Resumed:
    """Rebuild; ``ValueError`` names the field that does not fit.

    A holdover that an operator asked for is kept even if there is nothing else to go on with.
    """
    want(record, "version", RECORD_VERSION)
    want(record, "topology", pilot.config.topology)
    pilot.forced_holdover = flag(record, "forced_holdover")
    inner = record.get("tracker")
    if not isinstance(inner, Mapping):
        raise ValueError("it was written before the first lock")
    noise = record.get("noise")
    if isinstance(noise, Mapping):
        pilot.habits.adopt(NoiseFigures.from_record(noise))
    epoch, written_ns = (integer(record, name) for name in ("epoch", "mono_ns"))
    if written_ns > mono_ns:
        raise ValueError("mono_ns lies ahead of now")
    steering_ppb, spread_ppb = (_number(record, name) for name in ("steering_ppb", "steering_spread_ppb"))
    pilot.judge.position_bias_ns = number(record, "position_bias_ns", at_least=0.0, up_to=_CREDIBLE)
    steersman = Steersman(pilot.config, pilot.oscillator, mono_ns)
    steersman.record = SteeringRecord(min(integer(inner, "anchor_mono_ns"), mono_ns), steering_ppb)
    tracker = Tracker.from_record(
        inner,
        pilot.oscillator,
        pilot.gnss,
        steersman.record,
        swing_degc=pilot.config.temperature_swing_degc,
    )
    down_s = (mono_ns - written_ns) / NS_PER_S
    # The last commands before the end may be missing from the record, and a module that went on alone was not
    # told the way from its pulse to the clock.
    untold_ns = abs(_number({"untold_ns": 0.0} | dict(record), "untold_ns"))
    # Another cable delay since: the clock is where it was, the reference is not.
    tracker.estimator.step(_number(record, "delay_ns") - pilot.config.delay_ns)
    tracker.estimator.open_frequency(0.0, spread_ppb * down_s + untold_ns)
    since_ns = tracker.anchor_mono_ns
    if record.get("holdover_since_mono_ns") is not None:
        since_ns = min(since_ns, integer(record, "holdover_since_mono_ns"))
    doubts = Doubts.from_record(table(record, "doubts"))
    return Resumed(tracker, steersman, doubts, since_ns, epoch, down_s)


def _number(record: Mapping[str, Any], name: str) -> float:
    return number(record, name, at_least=-_CREDIBLE, up_to=_CREDIBLE)
