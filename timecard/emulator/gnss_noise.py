"""When the pulse of a GNSS receiver really comes: its time solution's error, and the tick it is tied to.

A receiver steers nothing: it knows the second to a fraction of a ns and sends the pulse with the nearest tick
of its own free-running clock. The remainder is the sawtooth, which beats slowly whenever that clock drifts
past a multiple of one tick per second ("hanging bridge"); the receiver reports it as quantisation error
(u-blox F9 interface description, UBX-TIM-TP qErr, in ps).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from timecard.emulator.models import GnssModel
from timecard.emulator.oscillator import stream_for
from timecard.emulator.series import Playback
from timecard.emulator.temperature import DAY_S

BLOCK_S: Final = 1024
_EARLY_S: Final = 4
"""Seconds before the start that may still be asked for."""
_DIURNAL_MEMORY_S: Final = 5 * DAY_S
_CRYSTAL_MEAN_PPB: Final = 0.4
"""The receiver's crystal modulo one tick per second: what is left after aliasing."""
_CRYSTAL_WAVE_PPB: Final = 0.6
_CRYSTAL_WAVE_S: Final = 5_400.0
_CRYSTAL_WALK_PPB: Final = 7e-4
_MAX_DISTURBANCES: Final = 1_000


class GnssPulse(NamedTuple):
    """One pulse."""

    error_ns: float
    """How late it comes, everything included."""
    qerr_ns: float
    """Add to ``error_ns`` to remove the sawtooth."""
    present: bool
    qerr_valid: bool = True
    """False when the source has no quantisation error to report (a recorded series)."""


class PulseSource(Protocol):
    """Pulses without disturbances."""

    def pulse(self, second_tai_s: int) -> GnssPulse:
        """The pulse of a whole TAI second; at most two blocks back."""
        ...


class ModelPulses:
    """A model receiver: white + Gauss-Markov + daily wave, quantised to ticks of its clock."""

    def __init__(self, model: GnssModel, seed: int, start_s: int) -> None:
        self._model = model
        self._random = stream_for(seed, "gnss")
        self._start_s = start_s - _EARLY_S
        self._states = [sigma * float(self._random.standard_normal()) for sigma, _ in model.markov_ns_s]
        wave = model.diurnal_amplitude_ns / math.sqrt(2.0)
        self._diurnal = complex(*(wave * self._random.standard_normal(2)))
        self._crystal_ppb = _CRYSTAL_MEAN_PPB
        self._tick_ns = float(self._random.uniform(0.0, model.granule_ns))
        self._wave_angle = float(self._random.uniform(0.0, 2.0 * math.pi))
        self._before: list[GnssPulse] = []
        self._block: list[GnssPulse] = []

    def pulse(self, second_tai_s: int) -> GnssPulse:
        """The pulse of a whole TAI second."""
        index = second_tai_s - self._start_s
        while index >= len(self._block):
            index -= len(self._block)
            self._start_s += len(self._block)
            self._before, self._block = self._block, self._next_block()
        if index >= 0:
            return self._block[index]
        if -index <= len(self._before):
            return self._before[index]
        raise ValueError(
            f"GNSS pulse: second {second_tai_s} is too far back; the block starts at {self._start_s}"
        )

    def _next_block(self) -> list[GnssPulse]:
        model, random = self._model, self._random
        solution = model.white_ns * random.standard_normal(BLOCK_S)
        for k, (sigma, tau) in enumerate(model.markov_ns_s):
            phi = math.exp(-1.0 / tau)
            drive = sigma * math.sqrt(-math.expm1(-2.0 / tau))
            states = _relaxing(phi, self._states[k], drive * random.standard_normal(BLOCK_S))
            self._states[k] = float(states[-1])
            solution += states
        solution += self._next_diurnal()
        # Where the ticks lie against true seconds: late by ``ticks`` modulo the granule.
        walk = self._crystal_ppb + np.cumsum(_CRYSTAL_WALK_PPB * random.standard_normal(BLOCK_S))
        angles = self._wave_angle + 2.0 * math.pi / _CRYSTAL_WAVE_S * np.arange(1, BLOCK_S + 1)
        ticks = self._tick_ns + np.cumsum(walk + _CRYSTAL_WAVE_PPB * np.sin(angles))
        self._crystal_ppb = float(walk[-1])
        self._wave_angle = float(angles[-1]) % (2.0 * math.pi)
        self._tick_ns = float(ticks[-1]) % model.granule_ns
        granule = model.granule_ns
        # To the ps, as the receiver reports it.
        late = np.rint(1e3 * ((ticks - solution + granule / 2.0) % granule - granule / 2.0)) * 1e-3
        errors, qerrs = (solution + late).tolist(), (-late).tolist()
        return [GnssPulse(error, qerr, True) for error, qerr in zip(errors, qerrs, strict=True)]

    def _next_diurnal(self) -> NDArray[np.float64]:
        turn = np.exp(complex(-1.0 / _DIURNAL_MEMORY_S, 2.0 * math.pi / DAY_S))
        sigma = (
            self._model.diurnal_amplitude_ns
            / math.sqrt(2.0)
            * math.sqrt(-math.expm1(-2.0 / _DIURNAL_MEMORY_S))
        )
        pushes = sigma * (self._random.standard_normal(BLOCK_S) + 1j * self._random.standard_normal(BLOCK_S))
        powers = turn ** np.arange(1, BLOCK_S + 1)
        values = powers * (self._diurnal + np.cumsum(pushes / powers))
        self._diurnal = complex(values[-1])
        return np.real(values)


class RecordedPulses:
    """A recorded 1 Hz phase series in ns: how late each pulse came. It has no quantisation error."""

    def __init__(self, playback: Playback) -> None:
        self._playback = playback

    @property
    def end_s(self) -> int | None:
        """First second after the series; None when it repeats."""
        return self._playback.end_s

    def pulse(self, second_tai_s: int) -> GnssPulse:
        """The pulse of a whole TAI second; absent outside a series that does not repeat."""
        value = self._playback.at(second_tai_s)
        return GnssPulse(value or 0.0, 0.0, value is not None, qerr_valid=False)


@dataclass(slots=True)
class Disturbance:
    """An error added to the pulses of ``first_s`` <= second < ``end_s``."""

    first_s: int
    end_s: int | None
    late_ns: Callable[[int], float] | None
    """Extra delay of a second; None: no pulse at all."""

    def covers(self, second: int) -> bool:
        """Whether it concerns this second."""
        return second >= self.first_s and (self.end_s is None or second < self.end_s)


class GnssPhysics:
    """The receiver's pulses with antenna delay and scripted disturbances."""

    def __init__(self, source: PulseSource, antenna_delay_ns: float = 0.0) -> None:
        self._source = source
        self._antenna_delay_ns = antenna_delay_ns
        self._disturbances: list[Disturbance] = []
        self._newest: tuple[int, float] | None = None

    @property
    def newest_error_ns(self) -> float | None:
        """Error of the latest second asked for; None before the first."""
        return None if self._newest is None else self._newest[1]

    def edge(self, second_tai_s: int) -> GnssPulse:
        """The pulse for a whole TAI second; the previous 1000 s may be asked for again."""
        pulse = self._disturbed(second_tai_s)
        if self._newest is None or second_tai_s > self._newest[0]:
            self._newest = (second_tai_s, pulse.error_ns)
        return pulse

    def _disturbed(self, second_tai_s: int) -> GnssPulse:
        pulse = self._source.pulse(second_tai_s)
        if not self._disturbances and not self._antenna_delay_ns:
            return pulse
        late, present = self._antenna_delay_ns, pulse.present
        for disturbance in self._disturbances:
            if disturbance.covers(second_tai_s):
                if disturbance.late_ns is None:
                    present = False
                else:
                    late += disturbance.late_ns(second_tai_s)
        return pulse._replace(error_ns=pulse.error_ns + late, present=present)

    def step(self, first_s: int, late_ns: float) -> Disturbance:
        """From ``first_s`` on pulses come ``late_ns`` later."""
        return self._add(Disturbance(first_s, None, lambda second: late_ns))

    def glitch(self, first_s: int, late_ns: float, count: int = 1) -> Disturbance:
        """``count`` pulses come ``late_ns`` later."""
        return self._add(Disturbance(first_s, first_s + count, lambda second: late_ns))

    def ramp(self, first_s: int, ns_per_s: float) -> Disturbance:
        """Pulses run away from ``first_s`` on; where they got to stays when the ramp is stopped by a step."""
        return self._add(Disturbance(first_s, None, lambda second: ns_per_s * (second - first_s)))

    def stop(self, first_s: int) -> Disturbance:
        """No pulses from ``first_s`` on."""
        return self._add(Disturbance(first_s, None, None))

    def end(self, disturbance: Disturbance, end_s: int) -> None:
        """From ``end_s`` on a disturbance has no effect."""
        if disturbance.end_s is None or end_s < disturbance.end_s:
            disturbance.end_s = end_s
        self._disturbances = [d for d in self._disturbances if d.end_s is None or d.end_s > end_s - BLOCK_S]

    def series_end_s(self) -> int | None:
        """First TAI second after a recorded series; None when it repeats or there is none."""
        return self._source.end_s if isinstance(self._source, RecordedPulses) else None

    def _add(self, disturbance: Disturbance) -> Disturbance:
        if len(self._disturbances) >= _MAX_DISTURBANCES:
            raise ValueError(f"GNSS pulse: already {_MAX_DISTURBANCES} disturbances")
        self._disturbances.append(disturbance)
        return disturbance


def model_gnss(model: GnssModel, seed: int, start_tai_s: int, antenna_delay_ns: float = 0.0) -> GnssPhysics:
    """Make the pulses of a model receiver."""
    return GnssPhysics(ModelPulses(model, seed, start_tai_s), antenna_delay_ns)


def _relaxing(phi: float, start: float, moves: NDArray[np.float64]) -> NDArray[np.float64]:
    """m' = phi m + w over a block, without the start itself."""
    return np.array(list(accumulate(moves.tolist(), lambda m, w: phi * m + w, initial=start))[1:])
