"""The phase of an emulated 10 MHz oscillator, exact under steering at any nanosecond.

Noise lives on a grid of whole seconds and is linear in between; the grid is made in blocks with numpy, so
that a second of it costs about a microsecond. The model (white FM, a ladder of Gauss-Markov states that is
flat like flicker FM, random walk FM, ageing that wanders) is the usual three-state clock model with exact
discretisation: Zucca and Tavella, IEEE T-UFFC 52 (2005); for the ladder see NIST SP 1065 on flicker noise as
a sum of relaxations.
"""

from __future__ import annotations

import math
import zlib
from collections import deque
from functools import partial
from itertools import accumulate, chain
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from timecard.emulator.models import OscillatorModel
from timecard.emulator.series import Playback
from timecard.emulator.temperature import DAY_S, TemperatureWorld
from timecard.timescale import NS_PER_S

LADDER_TAUS_S: Final = tuple(3.0 * 10.0**decade for decade in range(7))
"""3 s ... 3e6 s, one Gauss-Markov state per decade: flat within about 6 %."""
BLOCK_S: Final = 2048
HISTORY: Final = 512
"""Seconds, and steering changes, that stay known."""
_PPB: Final = 1e9


def stream_for(seed: int, purpose: str) -> np.random.Generator:
    """An independent random stream for each purpose of one seed."""
    return np.random.default_rng([seed, zlib.crc32(purpose.encode())])


class PhaseGrid(Protocol):
    """Phase of an unsteered oscillator at whole seconds."""

    def increment_ns(self, second: int) -> float:
        """How much the phase grows from ``second`` to ``second`` + 1; seconds are asked for in order."""
        ...


class NoiseGrid:
    """Model noise: everything but temperature, warm-up and the initial offset."""

    def __init__(self, model: OscillatorModel, seed: int, start_s: int) -> None:
        self._random = stream_for(seed, "oscillator")
        self._start_s = start_s
        self._increments: list[float] = []
        # ns and ns/s throughout. Over one second a Gauss-Markov frequency of variance s2 and memory tau moves
        # by noise of variance s2(1-phi^2), and the phase it makes has a part correlated with that noise
        # (``gains``) and an independent part, which joins the white FM.
        walk = 3.0 * (model.random_walk_adev_1day * _PPB) ** 2 / DAY_S
        s2 = (model.flicker_fm_floor * _PPB) ** 2 * math.log(10.0) / (2.0 * math.log(2.0))
        self._phis = [math.exp(-1.0 / tau) for tau in LADDER_TAUS_S]
        self._drives = [math.sqrt(s2 * -math.expm1(-2.0 / tau)) for tau in LADDER_TAUS_S]
        self._holds = np.array([tau * -math.expm1(-1.0 / tau) for tau in LADDER_TAUS_S])
        self._gains = np.array([_phase_gain(tau) for tau in LADDER_TAUS_S])
        independent = sum(_independent_phase_variance(s2, tau) for tau in LADDER_TAUS_S)
        self._white = math.sqrt((model.white_fm_adev_1s * _PPB) ** 2 + walk / 12.0 + independent)
        self._walk = math.sqrt(walk)
        self._ageing_walk = model.ageing_wander_30d * _PPB / DAY_S / math.sqrt(30.0 * DAY_S)
        # Most units are better than the typical figure; the sign is the unit's own.
        sign = self._random.choice([-1.0, 1.0])
        self._ageing = float(sign * self._random.uniform(0.4, 0.9) * model.ageing_per_day * _PPB / DAY_S)
        self._frequency = 0.0
        self._ladder = [float(v) for v in math.sqrt(s2) * self._random.standard_normal(len(LADDER_TAUS_S))]

    def increment_ns(self, second: int) -> float:
        """Phase growth over one second."""
        index = second - self._start_s
        while index >= len(self._increments):
            index -= len(self._increments)
            self._start_s += len(self._increments)
            self._increments = self._next_block().tolist()
        if index < 0:
            raise ValueError(f"oscillator: second {second} is past; the grid starts at {self._start_s}")
        return self._increments[index]

    def _next_block(self) -> NDArray[np.float64]:
        noise = self._random.standard_normal((3 + len(LADDER_TAUS_S), BLOCK_S))
        ageing = self._ageing + self._ageing_walk * np.cumsum(noise[1])
        jumps = self._walk * noise[2]
        frequency = self._frequency + np.cumsum(ageing + jumps)
        start = np.concatenate(([self._frequency], frequency[:-1]))
        growth: NDArray[np.float64] = self._white * noise[0] + start + 0.5 * jumps + 0.5 * ageing
        for k, (phi, drive) in enumerate(zip(self._phis, self._drives, strict=True)):
            moves = drive * noise[3 + k]
            states = list(accumulate(moves.tolist(), partial(_relaxed, phi), initial=self._ladder[k]))
            self._ladder[k] = states.pop()
            growth += self._holds[k] * np.array(states) + self._gains[k] * moves
        self._ageing = float(ageing[-1])
        self._frequency = float(frequency[-1])
        return growth


def _relaxed(phi: float, state: float, move: float) -> float:
    return phi * state + move


class RecordedGrid:
    """A recorded 1 s frequency series in ppb, repeated or ended; after its end the last value goes on."""

    def __init__(self, playback: Playback) -> None:
        self._playback = playback
        self._last_ppb = 0.0

    @property
    def end_s(self) -> int | None:
        """First second after the series; None when it repeats."""
        return self._playback.end_s

    def increment_ns(self, second: int) -> float:
        """Phase growth over one second: 1 ppb is 1 ns/s."""
        value = self._playback.at(second)
        if value is not None:
            self._last_ppb = value
        return self._last_ppb


class OscillatorPhysics:
    """10 MHz with noise, temperature, warm-up and steering.

    All calls take true TAI in ns. The parts of a card look at it each at their own pace, so phases of the
    recent past (``HISTORY`` seconds, and as many steering changes) can still be asked for.
    """

    def __init__(
        self,
        grid: PhaseGrid,
        start_tai_ns: int,
        *,
        offset_ppb: float = 0.0,
        temperature: TemperatureWorld | None = None,
        tempco_ppb_per_c: float = 0.0,
        thermal_lag_s: float = 600.0,
        warmup_ppb: float = 0.0,
        warmup_tau_s: float = 1.0,
    ) -> None:
        """``grid`` must begin at the whole second of ``start_tai_ns``, where the phase is 0."""
        self._grid = grid
        self._offset_ppb = offset_ppb
        self.temperature = temperature or TemperatureWorld()
        self._tempco = tempco_ppb_per_c
        self._lag_s = thermal_lag_s
        self._warmup_ppb = warmup_ppb
        self._warmup_tau_s = warmup_tau_s
        self._start_s = start_tai_ns // NS_PER_S
        self._second = self._start_s
        self._grid_ns = 0.0
        self._heat_cs = 0.0
        self._steering_ppb = 0.0
        self._disturbance_ppb = 0.0
        self._disturbances: dict[str, float] = {}
        self._steered_ns = 0.0
        self._commanded_ns = 0.0
        """The part of it that was steering, and no disturbance."""
        self._steered_at_ns = start_tai_ns
        self._slope_per_ns = 0.0
        self._seconds: deque[tuple[int, float, float]] = deque(maxlen=HISTORY)
        self._pieces: deque[tuple[int, float, float]] = deque([(self._start_s * NS_PER_S, 0.0, 0.0)], HISTORY)
        self._begin_second()
        # The world may start inside a second: the phase starts from 0 there.
        self._grid_ns -= self._slope_per_ns * (start_tai_ns - self._second * NS_PER_S)

    def phase_ns(self, t_ns: int) -> float:
        """Phase error since the start, ns: positive when the oscillator has been fast."""
        into = t_ns - self._second * NS_PER_S
        since = t_ns - self._steered_at_ns
        if into < 0 or since < 0:
            return self._past_phase_ns(t_ns)
        if into >= NS_PER_S:
            into = self._enter_second(t_ns)
        steered = self._steered_ns + (self._steering_ppb + self._disturbance_ppb) * 1e-9 * since
        return self._grid_ns + self._slope_per_ns * into + steered

    def free_phase_ns(self, t_ns: int) -> float:
        """What ``phase_ns`` would be now if nobody had ever steered; not for the past."""
        phase_ns = self.phase_ns(t_ns)
        return phase_ns - self._commanded_ns - self._steering_ppb * 1e-9 * (t_ns - self._steered_at_ns)

    def set_steering_ppb(self, t_ns: int, ppb: float) -> None:
        """Steer from ``t_ns`` (but not before the previous change) on; the phase stays continuous."""
        self._settle(t_ns)
        self._steering_ppb = ppb

    def set_disturbance_ppb(self, t_ns: int, ppb: float, cause: str = "atomic lock") -> None:
        """Set the frequency error that a cause adds from ``t_ns`` on; those of several causes add up."""
        self._settle(t_ns)
        self._disturbances[cause] = ppb
        self._disturbance_ppb = sum(self._disturbances.values())

    @property
    def steering_ppb(self) -> float:
        """The steering in force."""
        return self._steering_ppb

    def temperature_c(self, t_ns: int) -> float:
        """Temperature of the oscillator itself, which lags behind the air."""
        return self.temperature.lagged_c(t_ns * 1e-9 - self._start_s, self._lag_s)

    def step_temperature(self, t_ns: int, delta_c: float) -> None:
        """Change the air's temperature from the next whole second on (the phase grid is one of seconds)."""
        self.temperature.add_step(float(-(-t_ns // NS_PER_S) - self._start_s), delta_c)

    def series_end_tai_ns(self) -> int | None:
        """When a recorded series ends; None when it repeats or there is none."""
        end_s = self._grid.end_s if isinstance(self._grid, RecordedGrid) else None
        return None if end_s is None else end_s * NS_PER_S

    def _settle(self, t_ns: int) -> None:
        t_ns = max(t_ns, self._steered_at_ns)
        rate = self._steering_ppb + self._disturbance_ppb
        self._pieces.append((self._steered_at_ns, self._steered_ns, rate * 1e-9))
        since = t_ns - self._steered_at_ns
        self._steered_ns += rate * 1e-9 * since
        self._commanded_ns += self._steering_ppb * 1e-9 * since
        self._steered_at_ns = t_ns

    def _enter_second(self, t_ns: int) -> int:
        second, into = divmod(t_ns, NS_PER_S)
        while self._second < second:
            self._seconds.append((self._second * NS_PER_S, self._grid_ns, self._slope_per_ns))
            self._grid_ns += self._slope_per_ns * NS_PER_S
            self._second += 1
            self._begin_second()
        return into

    def _past_phase_ns(self, t_ns: int) -> float:
        self._enter_second(t_ns)
        now = (self._second * NS_PER_S, self._grid_ns, self._slope_per_ns)
        rate_now = (self._steering_ppb + self._disturbance_ppb) * 1e-9
        steering = (self._steered_at_ns, self._steered_ns, rate_now)
        phase_ns = 0.0
        for latest, earlier in ((now, self._seconds), (steering, self._pieces)):
            piece = next((p for p in chain((latest,), reversed(earlier)) if p[0] <= t_ns), None)
            if piece is None:
                raise ValueError(f"oscillator: {t_ns} ns is before the start or too long ago (see HISTORY)")
            since_ns, value_ns, rate = piece
            phase_ns += value_ns + rate * (t_ns - since_ns)
        return phase_ns

    def _begin_second(self) -> None:
        since_s = float(self._second - self._start_s)
        growth = self._grid.increment_ns(self._second) + self._offset_ppb
        if self._tempco:
            # Steps take effect at whole seconds still to come, so what was integrated up to here stands.
            heat_cs = self.temperature.lagged_integral_cs(since_s + 1.0, self._lag_s)
            growth += self._tempco * (heat_cs - self._heat_cs)
            self._heat_cs = heat_cs
        if self._warmup_ppb:
            decay = math.exp(-since_s / self._warmup_tau_s) * -math.expm1(-1.0 / self._warmup_tau_s)
            growth += self._warmup_ppb * self._warmup_tau_s * decay
        self._slope_per_ns = growth / NS_PER_S


def model_oscillator(
    model: OscillatorModel,
    seed: int,
    start_tai_ns: int,
    *,
    temperature: TemperatureWorld | None = None,
    offset_ppb: float | None = None,
    cold: bool = False,
) -> OscillatorPhysics:
    """An oscillator of a model; ``offset_ppb`` overrides its initial error, ``cold`` adds the warm-up."""
    return OscillatorPhysics(
        NoiseGrid(model, seed, start_tai_ns // NS_PER_S),
        start_tai_ns,
        offset_ppb=model.initial_offset * _PPB if offset_ppb is None else offset_ppb,
        temperature=temperature,
        tempco_ppb_per_c=model.tempco_per_degc * _PPB,
        thermal_lag_s=model.thermal_lag_s,
        warmup_ppb=model.warmup_offset * _PPB if cold else 0.0,
        warmup_tau_s=model.warmup_tau_s,
    )


def _phase_gain(tau_s: float) -> float:
    """Phase made in one second per unit of the frequency noise of that second: cov(x, m) / var(m)."""
    return tau_s * math.expm1(-1.0 / tau_s) ** 2 / -math.expm1(-2.0 / tau_s)


def _independent_phase_variance(s2: float, tau_s: float) -> float:
    """var(x) - cov(x, m)^2 / var(m) over one second, ns^2."""
    a = 1.0 / tau_s
    if a < 1e-2:
        total = 2.0 / 3.0 * a**3 - 0.5 * a**4  # the closed form below loses all its digits here
    else:
        total = 2.0 * a - 3.0 + 4.0 * math.exp(-a) - math.exp(-2.0 * a)
    correlated = math.expm1(-a) ** 4 / -math.expm1(-2.0 * a)
    return s2 * tau_s**2 * max(0.0, total - correlated)
