"""What a unit keeps of itself over restarts: noise, frequency, drift and slope against temperature.

The content of the card's state file. It is read as something that anybody may have written; what it says is
used as a prior that has aged since: the drift goes on and wanders, and a part that may have been without
power, or be another one of its kind, comes back on a frequency and a drift of its own (retrace).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from appliance.printable import shown
from appliance.timescale.estimator import Estimator
from appliance.timescale.learning import NoiseLearner
from appliance.timescale.models import OscillatorModel, oscillator_model
from appliance.timescale.record_fields import number, optional_number, table, want
from appliance.timescale.transition import DAY_S, DRIFT, FREQUENCY, LADDER_S, NS_PER_UNIT_S, TEMPCO, noise_of

LEARNT_VERSION: Final = 1
CREDIBLE_SHEETS: Final = 100.0
"""No unit is further from its data sheet than so many times the figure there: beyond, the file is wrong."""
BEST_SHEETS: Final = 0.01
"""Drift and slope wander by far more in the time that it takes to learn them, and frequency flickers."""
TEMPCO_WALK_PER_DAY: Final = 0.2
RETRACED_DRIFT: Final = {"rubidium": 0.5, "ocxo": 1.0, "crystal": 1.0}
"""Share of the data sheet's ageing that the drift is uncertain by after a time without power: quartz settles
anew, a rubidium keeps to more of what it did."""
_CREDIBLE_TAI_S: Final = (0.0, 1e11)


@dataclass(frozen=True, slots=True)
class Known:
    """A figure with one sigma."""

    value: float
    sigma: float

    def to_record(self) -> dict[str, float]:
        """JSON-able."""
        return {"value": self.value, "sigma": self.sigma}


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """What was known at a time."""

    oscillator: str
    gnss: str
    tai_s: int
    reference_degc: float | None
    """Temperature that the frequency belongs to."""
    frequency_ppb: Known
    """Of the oscillator without steering."""
    drift_ppb_per_day: Known
    tempco_ppb_per_degc: Known
    noise: Mapping[str, Any] | None
    """``NoiseLearner.to_record``; None before the first window, and where it does not fit."""
    noise_problem: str | None = None
    """Why the noise of a record was dropped."""

    def to_record(self) -> dict[str, Any]:
        """The content of a state file, JSON-able."""
        return {
            "version": LEARNT_VERSION,
            "oscillator": self.oscillator,
            "gnss": self.gnss,
            "tai_s": self.tai_s,
            "reference_degc": self.reference_degc,
            "frequency_ppb": self.frequency_ppb.to_record(),
            "drift_ppb_per_day": self.drift_ppb_per_day.to_record(),
            "tempco_ppb_per_degc": self.tempco_ppb_per_degc.to_record(),
            "noise": self.noise,
        }

    def inform(self, estimator: Estimator, oscillator: OscillatorModel, now_tai_s: int | None) -> None:
        """Use it as the prior of a filter that begins now; without a date a month counts as gone by."""
        days = 30.0 if now_tai_s is None else max(0.0, (now_tai_s - self.tai_s) / DAY_S)
        noise, drift, slope = noise_of(oscillator), self.drift_ppb_per_day, self.tempco_ppb_per_degc
        drift_sigma_ppb = math.hypot(drift.sigma, oscillator.aging_walk_30d * 1e9 * math.sqrt(days / 30.0))
        sheet_drift_ppb = oscillator.aging_per_day * 1e9
        drift_sigma_ppb = max(drift_sigma_ppb, RETRACED_DRIFT[oscillator.kind] * sheet_drift_ppb)
        drift_sigma_ppb = min(drift_sigma_ppb, sheet_drift_ppb)
        frequency_sigma_ppb = math.hypot(
            self.frequency_ppb.sigma,
            NS_PER_UNIT_S * math.sqrt(noise.q2 * days * DAY_S + len(LADDER_S) * noise.ladder),
            drift_sigma_ppb * days,
            oscillator.retrace_ppb,
        )
        sheet_ppb = oscillator.tempco_per_degc * 1e9
        slope_sigma_ppb = math.hypot(slope.sigma, TEMPCO_WALK_PER_DAY * sheet_ppb * math.sqrt(days))
        for state, mean, sigma in (
            (FREQUENCY, self.frequency_ppb.value + drift.value * days, frequency_sigma_ppb),
            (DRIFT, drift.value, drift_sigma_ppb),
            (TEMPCO, slope.value, min(slope_sigma_ppb, max(slope.sigma, sheet_ppb))),
        ):
            estimator.know(state, mean / NS_PER_UNIT_S, sigma / NS_PER_UNIT_S)


def make_learnt(
    estimator: Estimator,
    learner: NoiseLearner,
    *,
    tai_s: int,
    reference_degc: float | None,
) -> Learnt:
    """What is known now."""
    drift, slope = ((NS_PER_UNIT_S * v for v in estimator.known(state)) for state in (DRIFT, TEMPCO))
    return Learnt(
        oscillator=estimator.oscillator.name,
        gnss=estimator.gnss.name,
        tai_s=tai_s,
        reference_degc=reference_degc,
        frequency_ppb=Known(estimator.oscillator_ppb(), estimator.oscillator_sigma_ppb),
        drift_ppb_per_day=Known(*drift),
        tempco_ppb_per_degc=Known(*slope),
        noise=learner.to_record(),
    )


def read_learnt(record: Mapping[str, Any]) -> Learnt:
    """Check and take apart; ``ValueError`` names the field that does not fit. Bad noise alone is dropped."""
    want(record, "version", LEARNT_VERSION)
    oscillator, gnss = (_name(record, field) for field in ("oscillator", "gnss"))
    sheet = oscillator_model(oscillator)
    noise, noise_problem = None, None
    if record.get("noise") is not None:
        try:
            noise = table(record, "noise")
            NoiseLearner.check(noise)
        except ValueError as error:
            noise, noise_problem = None, str(error)
    return Learnt(
        oscillator=oscillator,
        gnss=gnss,
        tai_s=int(number(record, "tai_s", at_least=_CREDIBLE_TAI_S[0], up_to=_CREDIBLE_TAI_S[1])),
        reference_degc=optional_number(record, "reference_degc", at_least=-60.0, up_to=150.0),
        frequency_ppb=_known(record, "frequency_ppb", sheet.initial_ppb, sheet.flicker_floor * 1e9),
        drift_ppb_per_day=_known(record, "drift_ppb_per_day", sheet.aging_per_day * 1e9),
        tempco_ppb_per_degc=_known(record, "tempco_ppb_per_degc", sheet.tempco_per_degc * 1e9),
        noise=noise,
        noise_problem=noise_problem,
    )


def _name(record: Mapping[str, Any], field: str) -> str:
    name = record.get(field)
    if not isinstance(name, str) or len(name) > 64:
        raise ValueError(f"{field} is {shown(name)}, wants a name")
    return name


def _known(record: Mapping[str, Any], name: str, sheet: float, floor: float | None = None) -> Known:
    """``sheet``: one sigma by the data sheet; ``floor``: no sigma is smaller, by default a share of that."""
    limit = CREDIBLE_SHEETS * sheet
    try:
        inner = table(record, name)
        value = number(inner, "value", at_least=-limit, up_to=limit)
        sigma = number(inner, "sigma", at_least=0.0, up_to=limit)
        return Known(value, max(sigma, BEST_SHEETS * sheet if floor is None else floor))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
