"""A rehearsal of holdover: the reference is cut from the loop but kept as a witness.

For the loop it is a holdover like any other: state, class and bound are those of one, and the clock comes
back by slewing. The witness tells what the forecast of the beginning was worth, and ends the rehearsal when
the clock goes further off than allowed.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace
from statistics import median
from typing import Final

import numpy as np

from appliance.events import Action, RehearseHoldover
from appliance.rehearsal_view import Crossing, RehearsalState, RehearsalView
from appliance.snapshot import ClockState
from appliance.timescale.holdover import k_of
from appliance.timescale.pilot import Pilot
from appliance.timescale.reference import ReferenceHealth
from appliance.timescale.time_deviation import mtie_ns, tdev_ns
from appliance.timescale.tracking import Tracker
from appliance.timescale.transition import Array, PhaseGrowth
from timecard.timescale import NS_PER_S

MAX_S: Final = 86_400.0
SMOOTH_N: Final = 60
"""Pulses that are averaged before they are held against the forecast."""
LIMIT_N: Final = 9
"""Pulses whose median is held against the limit: one odd pulse ends nothing."""
HALF: Final = 0.5
SURE: Final = 0.99
_HORIZONS_S: Final = np.geomspace(1.0, MAX_S, 60)
_LOG_HORIZONS: Final = np.log(_HORIZONS_S)


class Forecast:
    """Sigma of the clock's error against the prediction, as the filter saw it at the beginning."""

    def __init__(self, tracker: Tracker) -> None:
        growth = PhaseGrowth(tracker.oscillator, _HORIZONS_S)
        variance = growth.variance_ns2(tracker.estimator.covariance, tracker.temperature_degc)
        variance = tracker.statistics.scale**2 * variance + tracker.unfelt().growth_ns2(_HORIZONS_S)
        sigma_ns = np.sqrt(np.maximum.accumulate(variance))
        self._log_sigma = np.log(np.maximum(sigma_ns, 1e-9))

    def sigma_ns(self, seconds: float) -> float:
        """After so long."""
        return math.exp(np.interp(math.log(max(1.0, seconds)), _LOG_HORIZONS, self._log_sigma))

    def crossing(self, limit_ns: float) -> Crossing:
        """When the error is to pass a limit."""
        return Crossing(
            limit_ns=limit_ns,
            half_s=self._reaches_s(limit_ns / k_of(HALF)),
            earliest_s=self._reaches_s(limit_ns / k_of((1.0 + SURE) / 2.0)),
            actual_s=None,
        )

    def _reaches_s(self, sigma_ns: float) -> float:
        """When sigma passes this; infinite beyond the longest rehearsal."""
        wanted = math.log(max(sigma_ns, 1e-9))
        if wanted > self._log_sigma[-1]:
            return math.inf
        if wanted <= self._log_sigma[0]:
            return 0.0
        return math.exp(np.interp(wanted, self._log_sigma, _LOG_HORIZONS))


class Rehearsal:
    """The newest rehearsal; told of every second."""

    def __init__(self, pilot: Pilot, health: ReferenceHealth) -> None:
        self._pilot, self._health = pilot, health
        self._view: RehearsalView | None = None
        self._forecast: Forecast | None = None
        """None: no rehearsal is running."""
        self._asked = RehearseHoldover(limit_ns=0.0, duration_s=0.0, mono_ns=0)
        self._heard_ns = 0
        self._seconds: list[float] = []
        self._offsets_ns: list[float] = []
        self._errors_ns: deque[float] = deque(maxlen=SMOOTH_N)
        self._series_ns: Array | None = None
        self._ended: RehearsalView | None = None
        """What is shown once the curves are drawn, a slice at each tick: the loop is not to be held up."""
        self._worst_ns = self._largest_share = 0.0
        self._crossings: dict[float, Crossing] = {}

    @property
    def active(self) -> bool:
        """One is running."""
        return self._forecast is not None or self._ended is not None

    # ------------------------------------------------------------------ begin, every second, end

    def begin(self, asked: RehearseHoldover, not_ready: tuple[str, ...]) -> list[Action]:
        """Cut the reference, unless something speaks against it."""
        pilot, config, tracker = self._pilot, self._pilot.config, self._pilot.tracker
        table = (
            (self.active, "a rehearsal is running already"),
            (config.topology == "D", "in topology D nothing but the reference steers the clock"),
            (pilot.machine.state is not ClockState.LOCKED, "the clock is not locked"),
            (bool(not_ready), f"not ready for holdover: {'; '.join(not_ready)}"),
            (not self._health.usable(asked.mono_ns), "something speaks against the reference"),
            (
                not 0.0 < asked.limit_ns <= config.budget_ns,
                f"the limit must be above 0 and at most the budget of {config.budget_ns:g} ns",
            ),
            (not 1.0 <= asked.duration_s <= MAX_S, f"it may last 1 s to {MAX_S:g} s"),
        )
        problem = next((text for holds, text in table if holds), None)
        if problem is not None or tracker is None:
            if not self.active:  # the view of a running one stays
                self._view = self._refused(asked, problem or "the clock is not locked")
            return []
        pilot.forced_holdover = True
        pilot.lose("holdover is being rehearsed", asked.mono_ns, asked.mono_ns)
        self._asked, self._heard_ns = asked, asked.mono_ns
        self._forecast = Forecast(tracker)
        self._seconds.clear()
        self._offsets_ns.clear()
        self._errors_ns.clear()
        self._crossings = {limit_ns: self._forecast.crossing(limit_ns) for limit_ns in config.limits_ns}
        self._worst_ns = self._largest_share = 0.0
        return pilot.steer(asked.mono_ns)

    def tick(self, mono_ns: int) -> None:
        """Once a second: listen to the witness, and see whether to go on."""
        forecast, tracker = self._forecast, self._pilot.tracker
        if forecast is None:
            self._draw()
            return
        if tracker is not None:
            self._listen(forecast, tracker)
        reason = self._end_reason(mono_ns)
        if reason is not None:
            self.end(reason, mono_ns)

    def end(self, reason: str, mono_ns: int) -> None:
        """Let the loop follow the reference again; the clock comes back as after any holdover."""
        if self._forecast is None:
            return
        self._pilot.forced_holdover = False
        self._view, self._forecast = self._shown(self._forecast, mono_ns), None
        self._ended = replace(self._view, state=RehearsalState.ENDED, reason=reason, until_mono_ns=mono_ns)

    def view(self, mono_ns: int) -> RehearsalView | None:
        """What to show; None before the first one."""
        return self._view if self._forecast is None else self._shown(self._forecast, mono_ns)

    # ------------------------------------------------------------------ inside

    def _elapsed_s(self, mono_ns: int) -> float:
        return (mono_ns - self._asked.mono_ns) / NS_PER_S

    def _draw(self) -> None:
        """One slice of a few milliseconds: the series, MTIE, then TDEV."""
        ended, series_ns = self._ended, self._series_ns
        if ended is None:
            return
        if series_ns is None:
            self._series_ns = self._series()
            self._seconds.clear()
            self._offsets_ns.clear()
        elif len(series_ns) > 1 and not ended.mtie_ns:
            self._ended = replace(ended, mtie_ns=mtie_ns(series_ns))
        else:
            self._view = replace(ended, tdev_ns=tdev_ns(series_ns))
            self._ended = self._series_ns = None

    def _series(self) -> Array:
        """Offset at every second; one that was not heard lies between its neighbours."""
        if not self._seconds:
            return np.empty(0)
        whole = np.arange(round(self._seconds[0]), round(self._seconds[-1]) + 1, dtype=np.float64)
        return np.asarray(np.interp(whole, self._seconds, self._offsets_ns), dtype=np.float64)

    def _listen(self, forecast: Forecast, tracker: Tracker) -> None:
        heard = self._pilot.heard
        if heard is None or heard.mono_ns <= self._heard_ns:
            return
        self._heard_ns = heard.mono_ns
        at_s = self._elapsed_s(heard.mono_ns)
        self._seconds.append(at_s)
        self._offsets_ns.append(heard.sample_ns)
        # Against the prediction, which the loop steers to zero but for the actuator's steps.
        self._errors_ns.append(heard.sample_ns - tracker.phase_ns(heard.mono_ns))
        if len(self._errors_ns) < SMOOTH_N:
            return
        error_ns = abs(sum(self._errors_ns) / SMOOTH_N)
        self._largest_share = max(self._largest_share, error_ns / self._allowed_ns(forecast, at_s))
        offset_ns = abs(sum(self._offsets_ns[-SMOOTH_N:]) / SMOOTH_N)
        self._worst_ns = max(self._worst_ns, offset_ns)
        for limit_ns, crossing in self._crossings.items():
            if offset_ns > limit_ns and crossing.actual_s is None:
                self._crossings[limit_ns] = replace(crossing, actual_s=at_s)

    def _allowed_ns(self, forecast: Forecast, seconds: float) -> float:
        """Up to this the mean of a minute may go: the clock's error and that of the witness.

        Constant delays are the same before and after, so the larger part of the bias does not count here.
        """
        gnss = self._pilot.gnss
        sigma_ns = math.hypot(forecast.sigma_ns(seconds), gnss.sigma_ns)
        return gnss.slow_bias_ns + k_of((1.0 + self._pilot.config.p) / 2.0) * sigma_ns

    def _end_reason(self, mono_ns: int) -> str | None:
        pilot, state = self._pilot, self._pilot.machine.state
        lost, silent_s = self._health.loss(mono_ns), (mono_ns - self._heard_ns) / NS_PER_S
        off_ns = abs(median(self._offsets_ns[-LIMIT_N:])) if len(self._offsets_ns) >= LIMIT_N else 0.0
        table = (
            (state is ClockState.HOLDOVER_EXPIRED, "the budget is spent"),
            (state is not ClockState.HOLDOVER, f"the clock is {state.value}"),
            (lost is not None, f"the reference itself is lost: {lost}"),
            (silent_s >= pilot.config.coast_s, f"the reference was not heard for {int(silent_s)} s"),
            (off_ns > self._asked.limit_ns, f"the clock is {off_ns:.1f} ns off"),
            (self._elapsed_s(mono_ns) >= self._asked.duration_s, "the planned time is over"),
        )
        return next((reason for holds, reason in table if holds), None)

    def _refused(self, asked: RehearseHoldover, reason: str) -> RehearsalView:
        return RehearsalView(
            state=RehearsalState.REFUSED,
            reason=reason,
            since_mono_ns=asked.mono_ns,
            until_mono_ns=asked.mono_ns,
            limit_ns=asked.limit_ns,
            planned_s=asked.duration_s,
        )

    def _shown(self, forecast: Forecast, mono_ns: int) -> RehearsalView:
        config, elapsed_s = self._pilot.config, self._elapsed_s(mono_ns)
        smooth = len(self._errors_ns) == SMOOTH_N
        return RehearsalView(
            state=RehearsalState.ACTIVE,
            reason="",
            since_mono_ns=self._asked.mono_ns,
            until_mono_ns=None,
            limit_ns=self._asked.limit_ns,
            planned_s=self._asked.duration_s,
            elapsed_s=elapsed_s,
            p=config.p,
            samples=len(self._offsets_ns),
            offset_ns=sum(self._offsets_ns[-SMOOTH_N:]) / SMOOTH_N if smooth else None,
            forecast_ns=self._allowed_ns(forecast, elapsed_s),
            worst_ns=self._worst_ns if smooth else None,
            inside=self._largest_share <= 1.0 if smooth else None,
            largest_share=self._largest_share if smooth else None,
            crossings=tuple(self._crossings.values()),
        )
