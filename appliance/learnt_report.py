"""What core publishes of what it has learnt about its oscillator and the receiver's pulse."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from appliance.reported import Reported
from appliance.timescale.spectrum import WINDOW_S

if TYPE_CHECKING:
    from appliance.timescale.discipline import Discipline
    from appliance.timescale.learnt import Known

NO_TIME: Final = "the time is not known yet"
NOTHING_YET: Final = "the oscillator has not been watched for long enough yet"
NO_WINDOW: Final = "six hours of locked samples have not been gathered yet: the tables of its kind are used"
CARD_FOLLOWS: Final = "in topology D the card's own servo follows the pulse: nothing is learnt"
NO_TEMPERATURE: Final = "no temperature is reported"
EARLIER: Final = "the noise figures are of an earlier lock"
FINE: Final = "rounding is fine, and counted as white noise"


class Figure(Reported):
    """A figure with one sigma, in the same unit."""

    value: float
    sigma: float


class Amplitude(Reported):
    """A figure of noise: within one sigma between ``value / factor`` and ``value * factor``."""

    value: float
    factor: float


class LearntReport(Reported):
    """What the unit is like, as its samples say, here and in earlier runs."""

    watched_s: float | None
    """How long the oscillator has been watched by the present filter."""
    drift_ppb_per_day: Figure | None
    """Ageing of the oscillator's frequency."""
    tempco_ppb_per_degc: Figure | None
    """Slope of the oscillator's frequency against the reported temperature."""
    noise_from_s: float | None
    """Locked samples behind the noise figures, in seconds; what is older than some days fades."""
    white_fm_1s: Amplitude | None
    """White frequency noise of the oscillator: Allan deviation at 1 s."""
    flicker_floor: Amplitude | None
    """Flicker frequency noise of the oscillator: Allan deviation at its floor."""
    random_walk_1day: Amplitude | None
    """Random walk of the oscillator's frequency: Allan deviation at one day."""
    pulse_white_ns: Amplitude | None
    """Of the receiver's pulse, from second to second."""
    pulse_coloured_ns: Amplitude | None
    """Of the receiver's pulse, with a memory."""
    pulse_coloured_tau_s: Amplitude | None
    """That memory."""
    pulse_steps_ns: Amplitude | None
    """Standard deviation of coarse rounding, of stamps or of the pulse."""
    pulse_steps_tau_s: Amplitude | None
    """How long a rounding error stays."""


NOISE: Final = {
    "white_fm_1s": "white_fm_1s",
    "random_walk_1day": "random_walk_1day",
    "flicker_floor": "flicker_floor",
    "white_ns": "pulse_white_ns",
    "coloured_ns": "pulse_coloured_ns",
    "coloured_tau_s": "pulse_coloured_tau_s",
    "steps_ns": "pulse_steps_ns",
    "steps_tau_s": "pulse_steps_tau_s",
}
"""Names in ``NoiseFigures``, in its order, and ours."""

NOTHING_LEARNT: Final = LearntReport.partial(NOTHING_YET)


def learnt_report(discipline: Discipline, mono_ns: int) -> LearntReport:
    """What is known at ``mono_ns``."""
    pilot = discipline.pilot
    if discipline.config.topology == "D":
        return LearntReport.partial(CARD_FOLLOWS)
    why: dict[str, str] = {}
    if pilot.tracker is None:
        why["watched_s"] = NO_TIME
    learnt, figures = pilot.learnt(mono_ns, discipline.tai_s(mono_ns)), pilot.habits.figures
    evidence = None if learnt is None else learnt.noise
    noise: dict[str, Amplitude] = {}
    if figures is None:
        why |= dict.fromkeys(("noise_from_s", *NOISE.values()), NO_WINDOW)
    else:
        fitted = zip(NOISE.items(), figures.ln_sigma, strict=True)
        noise = {
            ours: Amplitude(value=getattr(figures, name), factor=math.exp(ln_sigma))
            for (name, ours), ln_sigma in fitted
            if figures.steps_ns > 0.0 or not name.startswith("steps")
        }
        why |= {name: FINE for name in NOISE.values() if name not in noise}
        if evidence is None:
            why["noise_from_s"] = EARLIER
    no_slope = learnt is not None and learnt.reference_degc is None
    if no_slope:
        why["tempco_ppb_per_degc"] = NO_TEMPERATURE
    return LearntReport.partial(
        NOTHING_YET,
        watched_s=None if pilot.tracker is None else pilot.tracker.age_s(mono_ns),
        drift_ppb_per_day=None if learnt is None else _figure(learnt.drift_ppb_per_day),
        tempco_ppb_per_degc=None if learnt is None or no_slope else _figure(learnt.tempco_ppb_per_degc),
        noise_from_s=None if evidence is None else WINDOW_S * evidence["windows"],
        **noise,
        why_null=why,
    )


def _figure(known: Known) -> Figure:
    return Figure(value=known.value, sigma=known.sigma)
