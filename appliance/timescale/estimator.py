"""The estimator: a Kalman filter over the clock's phase, its oscillator's habits and the errors of GNSS.

One ``advance`` per second with the phase that steering really added, one ``update`` per pulse. Values in,
values out: no clock, no decisions about trust beyond the gate.

The covariance update is the Joseph form, ``(I-KH) P (I-KH)' + K R K'``, evaluated as rank-one products.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from appliance.printable import shown
from appliance.timescale.models import GnssModel, OscillatorModel
from appliance.timescale.transition import (
    DRIFT,
    FREQUENCY,
    GNSS_FIRST,
    LADDER,
    NS_PER_UNIT_S,
    OSCILLATOR_STATES,
    PHASE,
    TEMPCO,
    WARMUP,
    Array,
    measurement_row,
    prior_covariance,
    state_size,
    transition,
)

GATE_SIGMA: Final = 6.0
CREDIBLE: Final = 1e18
"""Nothing in a state or its covariance comes near this."""
MAX_ADVANCE_S: Final = 30 * 86_400.0
"""A longer gap carries no knowledge worth keeping."""


@dataclass(frozen=True, slots=True)
class Innovation:
    """One comparison of a sample with its prediction."""

    residual_ns: float
    variance_ns2: float
    accepted: bool

    @property
    def normalised_squared(self) -> float:
        """NIS: averages 1 for a filter whose numbers are right."""
        return self.residual_ns * self.residual_ns / self.variance_ns2


@dataclass(frozen=True, slots=True)
class FilterState:
    """A copy of mean and covariance, with the models that they belong to."""

    mean: Array
    covariance: Array
    oscillator: OscillatorModel
    gnss: GnssModel


class Estimator:
    """Phase and frequency of a steered clock from pulses with coloured noise."""

    def __init__(
        self,
        oscillator: OscillatorModel,
        gnss: GnssModel,
        *,
        phase_ns: float,
        phase_sigma_ns: float,
        frequency_ppb: float = 0.0,
        frequency_sigma_ppb: float | None = None,
        cold: bool = False,
        step_s: float = 1.0,
    ) -> None:
        """``step_s``: the interval that samples usually have, for which ``advance`` is cheap."""
        n = state_size(gnss)
        sigma_ppb = oscillator.initial_ppb if frequency_sigma_ppb is None else frequency_sigma_ppb
        self._s = np.zeros(n)
        self._s[PHASE] = phase_ns
        self._s[FREQUENCY] = frequency_ppb / NS_PER_UNIT_S
        self._p = prior_covariance(
            oscillator, gnss, phase_ns=phase_sigma_ns, frequency_ppb=sigma_ppb, cold=cold
        )
        self._step_s = step_s
        self._set_models(oscillator, gnss)

    def _set_models(self, oscillator: OscillatorModel, gnss: GnssModel) -> None:
        self.oscillator, self.gnss = oscillator, gnss
        n = state_size(gnss)
        self._h = measurement_row(gnss)
        self._white_ns2 = gnss.white_ns**2
        self._sawtooth_ns2 = gnss.sawtooth_pp_ns**2 / 12.0
        f, q = transition(oscillator, gnss, self._step_s)
        self._f, self._ft, self._q = f, np.ascontiguousarray(f.T), q
        # Mean frequency over the coming second: the short rungs decay within it.
        self._mean_row = f[PHASE, :OSCILLATOR_STATES] / self._step_s
        self._mean_row[PHASE] = 0.0
        self._a, self._b, self._m = np.empty((n, n)), np.empty((n, n)), np.empty(n)

    # ------------------------------------------------------------------ what is known

    @property
    def phase_ns(self) -> float:
        """Estimated clock minus TAI."""
        return float(self._s[PHASE])

    @property
    def phase_sigma_ns(self) -> float:
        """Its standard deviation."""
        return math.sqrt(max(float(self._p[PHASE, PHASE]), 0.0))

    def oscillator_ppb(self, temperature_degc: float = 0.0) -> float:
        """Expected frequency of the free-running oscillator over the coming second."""
        row = self._mean_row
        row[TEMPCO] = NS_PER_UNIT_S * temperature_degc
        return float(row @ self._s[:OSCILLATOR_STATES])

    @property
    def oscillator_sigma_ppb(self) -> float:
        """Standard deviation of the oscillator's frequency, without white noise of one second."""
        rows = self._p[FREQUENCY:OSCILLATOR_STATES, FREQUENCY:OSCILLATOR_STATES]
        pick = _FREQUENCY_PICK
        return NS_PER_UNIT_S * math.sqrt(max(float(pick @ rows @ pick), 0.0))

    @property
    def covariance(self) -> Array:
        """The covariance itself, for predictions; not to be written to."""
        return self._p

    # ------------------------------------------------------------------ what happens

    def advance(self, seconds: float, steered_ns: float, temperature_degc: float = 0.0) -> None:
        """Let ``seconds`` pass, in which steering added ``steered_ns``.

        One second is the cheap case. ``temperature_degc`` is the mean of the oscillator's temperature above
        the reference over the interval.
        """
        if seconds < 0:
            raise ValueError(f"estimator: cannot go back {-seconds} s")
        if seconds == 0:
            self._s[PHASE] += steered_ns
            return
        if seconds == self._step_s:
            f, ft, q = self._f, self._ft, self._q
        else:
            f, q = transition(self.oscillator, self.gnss, min(seconds, MAX_ADVANCE_S))
            ft = f.T
        f[PHASE, TEMPCO] = ft[TEMPCO, PHASE] = NS_PER_UNIT_S * seconds * temperature_degc
        np.dot(f, self._s, out=self._m)
        self._s, self._m = self._m, self._s
        self._s[PHASE] += steered_ns
        np.dot(f, self._p, out=self._a)
        np.dot(self._a, ft, out=self._p)
        self._p += q

    def sample_variance_ns2(self, *, sawtooth_removed: bool, resolution_ns: float) -> float:
        """R of one sample: receiver's white noise, its sawtooth unless removed, and the stamp's steps."""
        if self.gnss.steps_are_coloured:
            return self._white_ns2
        return self._white_ns2 + self.rounding_ns2(
            sawtooth_removed=sawtooth_removed, resolution_ns=resolution_ns
        )

    def rounding_ns2(self, *, sawtooth_removed: bool, resolution_ns: float) -> float:
        """Variance of rounding in one sample: the receiver's sawtooth unless removed, the stamp's steps."""
        sawtooth = 0.0 if sawtooth_removed else self._sawtooth_ns2
        return sawtooth + resolution_ns * resolution_ns / 12.0

    def update(self, sample_ns: float, variance_ns2: float, gate_sigma: float = GATE_SIGMA) -> Innovation:
        """Take one pulse: clock minus reference, delays and sawtooth removed. Rejected means missing."""
        h, p = self._h, self._p
        ph = p @ h
        s = float(h @ ph) + variance_ns2
        residual = sample_ns - float(h @ self._s)
        if residual * residual > gate_sigma * gate_sigma * s:
            return Innovation(residual, s, False)
        gain = ph / s
        self._s += gain * residual
        a, b = self._a, self._b
        np.multiply.outer(gain, ph, out=a)
        np.subtract(p, a, out=a)  # (I - K H) P
        ah = a @ h
        np.multiply.outer(ah, gain, out=b)
        a -= b  # ... (I - K H)'
        np.multiply.outer(gain, gain * variance_ns2, out=b)
        a += b
        np.add(a, a.T, out=p)
        p *= 0.5
        return Innovation(residual, s, True)

    def step(self, delta_ns: float) -> None:
        """The clock was stepped by a known amount."""
        self._s[PHASE] += delta_ns

    # ------------------------------------------------------------------ surgery, by the one who decides

    def open_frequency(self, sigma_ppb: float, phase_sigma_ns: float = 0.0) -> None:
        """The oscillator may have jumped: forget that much of what was known."""
        self._p[FREQUENCY, FREQUENCY] += (sigma_ppb / NS_PER_UNIT_S) ** 2
        self._p[PHASE, PHASE] += phase_sigma_ns**2

    def known(self, state: int) -> tuple[float, float]:
        """Mean and standard deviation of one state, in its own unit."""
        return float(self._s[state]), math.sqrt(max(float(self._p[state, state]), 0.0))

    def know(self, state: int, mean: float, sigma: float) -> None:
        """One state is known from elsewhere, independently of all others."""
        self._s[state] = mean
        self._p[state, :] = self._p[:, state] = 0.0
        self._p[state, state] = sigma * sigma

    def open_warmup(self) -> None:
        """The part has just reached lock: it is not yet at its final temperature."""
        self._p[WARMUP, WARMUP] += (self.oscillator.warmup_ppb / NS_PER_UNIT_S) ** 2

    def replace_phase(self, phase_ns: float, samples: int) -> None:
        """Put a phase measured over ``samples`` pulses into x only; frequency and drift stay as they are.

        GNSS errors of before say nothing about those of now: they start afresh, and the slow ones are the
        same, with the opposite sign, in the new phase and in the error states.
        """
        s, p, gnss = self._s, self._p, self.gnss
        fresh = prior_covariance(self.oscillator, gnss, phase_ns=0.0, frequency_ppb=0.0, cold=False)
        s[PHASE] = phase_ns
        s[GNSS_FIRST:] = 0.0
        for index in (PHASE, *range(GNSS_FIRST, len(s))):
            p[index, :] = 0.0
            p[:, index] = 0.0
            p[index, index] = fresh[index, index]
        white_ns2 = self.sample_variance_ns2(sawtooth_removed=False, resolution_ns=5.0) / samples
        shared_ns2 = 0.0
        for index in range(GNSS_FIRST, len(s) - 1):
            tau_s = gnss.gauss_markov[index - GNSS_FIRST][1] if index < len(s) - 2 else math.inf
            if tau_s >= samples:
                p[PHASE, index] = p[index, PHASE] = -fresh[index, index]
                shared_ns2 += fresh[index, index]
            else:
                white_ns2 += fresh[index, index] * min(1.0, 2.0 * tau_s / samples)
        p[PHASE, PHASE] = shared_ns2 + white_ns2

    def adopt(self, oscillator: OscillatorModel, gnss: GnssModel) -> None:
        """Other noise figures from now on; the mean stays, and nothing becomes better known by it.

        What a random walk has spread adapts by itself within the loop's time. A stationary state does not:
        its uncertainty grows with its figure, and never shrinks. Coloured errors that are new begin afresh.
        """
        fresh = prior_covariance(oscillator, gnss, phase_ns=0.0, frequency_ppb=0.0, cold=False)
        before = prior_covariance(self.oscillator, self.gnss, phase_ns=0.0, frequency_ppb=0.0, cold=False)
        n, old = len(fresh), len(before)
        # Both vectors end with the daily wave; of the coloured errors the first ones are the same.
        kept = min(n, old) - 2
        source = np.r_[0:kept, old - 2 : old]
        target = np.r_[0:kept, n - 2 : n]
        stationary = np.isin(target, np.r_[LADDER:GNSS_FIRST, GNSS_FIRST:n])
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.sqrt(np.diag(fresh)[target] / np.diag(before)[source])
        grown = np.where(stationary & (ratio > 1.0), ratio, 1.0)
        mean, covariance = np.zeros(n), np.zeros((n, n))
        mean[target] = self._s[source]
        covariance[np.ix_(target, target)] = self._p[np.ix_(source, source)] * np.outer(grown, grown)
        new = np.setdiff1d(np.arange(n), target)
        covariance[new, new] = fresh[new, new]
        self._s, self._p = mean, covariance
        self._set_models(oscillator, gnss)

    # ------------------------------------------------------------------ copies

    def save(self) -> FilterState:
        """A copy to roll back to."""
        return FilterState(self._s.copy(), self._p.copy(), self.oscillator, self.gnss)

    def restore(self, state: FilterState) -> None:
        """Go back to a copy; noise figures that were adopted since stay in force."""
        now = self.oscillator, self.gnss
        self._s, self._p = state.mean.copy(), state.covariance.copy()
        if now != (state.oscillator, state.gnss):
            self._set_models(state.oscillator, state.gnss)
            self.adopt(*now)

    def to_record(self) -> dict[str, Any]:
        """Mean and covariance as plain lists, for the runtime record."""
        return {
            "oscillator": self.oscillator.name,
            "gnss": self.gnss.name,
            "mean": self._s.tolist(),
            "covariance": self._p.tolist(),
        }

    @classmethod
    def from_record(
        cls, record: Mapping[str, Any], oscillator: OscillatorModel, gnss: GnssModel
    ) -> Estimator:
        """Rebuild from ``to_record``; ValueError says which field does not fit."""
        for field, want in (("oscillator", oscillator.name), ("gnss", gnss.name)):
            found = record.get(field)
            if found != want:
                raise ValueError(f"estimator record: {field} is {shown(found)}, now it is {want!r}")
        made = cls(oscillator, gnss, phase_ns=0.0, phase_sigma_ns=0.0)
        for field, target in (("mean", made._s), ("covariance", made._p)):
            try:
                values = np.asarray(record.get(field), dtype=np.float64)
            except (TypeError, ValueError, OverflowError):
                raise ValueError(f"estimator record: {field} is not a list of numbers") from None
            if values.shape != target.shape:
                raise ValueError(f"estimator record: {field} has shape {values.shape}, wants {target.shape}")
            if not (np.abs(values) < CREDIBLE).all():
                raise ValueError(
                    f"estimator record: {field} holds a value that is not finite or far too large"
                )
            target[...] = values
        if not np.allclose(made._p, made._p.T, rtol=1e-6, atol=1e-9) or (np.diag(made._p) < 0.0).any():
            raise ValueError("estimator record: covariance is not symmetric with a non-negative diagonal")
        return made


_FREQUENCY_PICK: Final = np.array([0.0 if i in (DRIFT, TEMPCO) else 1.0 for i in range(1, OSCILLATOR_STATES)])
