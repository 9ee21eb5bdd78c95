"""The analysis as a pure function: a series and what is asked of it in, a frozen value out.

It reads no file, has no state and keeps nothing, so that a child process can do it for whoever must not wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from appliance.analysis import deviations
from appliance.analysis.cleaning import Trend, detrended, outliers, trend
from appliance.analysis.deviations import STATISTICS, Deviation, averaging_factors, deviation
from appliance.analysis.errors import AnalysisError
from appliance.analysis.masks import Mask, Verdict, judge
from appliance.analysis.mtie import mtie
from appliance.analysis.noise import Noise, identify
from appliance.analysis.recording import Array
from appliance.analysis.series import MIN_SAMPLES, Detrend, Series, without
from appliance.analysis.time_error import TimeError, time_error
from appliance.analysis.units import Kind

QUOTABLE: Final = 5
"""Nothing is quoted for averaging times beyond a fifth of the data without a mark."""
MAX_POINTS: Final = 2000
"""Averaging times of one analysis."""
ONE_SIGMA: Final = 0.683


class Gaps(StrEnum):
    """What is done with several pieces."""

    POOL = "pool"
    LONGEST = "longest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is asked."""

    taus: str | tuple[float, ...] = "octave"
    """octave, decade, many, or times in s."""
    statistics: tuple[str, ...] = deviations.DEFAULT
    gaps: Gaps = Gaps.POOL
    detrend: Detrend = Detrend.NONE
    remove_outliers: bool = False
    confidence: float = ONE_SIGMA
    masks: tuple[Mask, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """All of one averaging time."""

    tau_s: float
    quotable: bool
    """At most a fifth of the longest piece."""
    noise: Noise | None
    deviations: Mapping[str, Deviation | None]
    mtie_ns: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Missing samples."""

    after_s: float
    """Seconds from the first sample to the last one before the gap."""
    missing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """All figures of one clock. Phase and TDEV, MTIE and TE in ns, other deviations as fractions."""

    name: str
    kind: Kind
    unit: str
    interval_s: float
    samples: int
    span_s: float
    longest_piece: int
    used_samples: int
    """Of those, what the statistics are from."""
    gaps: tuple[Gap, ...]
    outliers: int
    settings: Settings
    trend: Trend
    """Before anything was removed."""
    time_error: TimeError | None
    """None for frequency data."""
    rows: tuple[Row, ...]
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def passed(self) -> bool | None:
        """All masks; None when none was asked, or one could not be tested at all."""
        results = [verdict.passed for verdict in self.verdicts]
        if False in results:
            return False
        return True if results and None not in results else None


def analyse(series: Series, settings: Settings) -> Analysis:
    """Compute everything. Raises ``AnalysisError`` for what cannot be done with this series."""
    clean = prepared(series, settings)
    phases = clean.phase_ns()
    longest = max(phases, key=len)
    used = phases if settings.gaps is Gaps.POOL else (longest,)
    try:
        factors = averaging_factors(settings.taus, len(longest), series.interval_s)
    except ValueError as problem:
        raise AnalysisError(f"{series.name}: {problem}") from problem
    if not factors or len(factors) > MAX_POINTS:
        raise AnalysisError(
            f"{series.name}: {len(factors)} averaging times fit into {len(longest)} samples without a gap;"
            f" 1 to {MAX_POINTS} are possible"
        )
    error = time_error(clean) if series.kind is Kind.PHASE else None
    return Analysis(
        name=series.name,
        kind=series.kind,
        unit=series.unit,
        interval_s=series.interval_s,
        samples=series.samples,
        span_s=(series.grid - (series.kind is Kind.PHASE)) * series.interval_s,
        longest_piece=max(len(piece.values) for piece in clean.pieces),
        used_samples=sum(map(len, used)) - (series.kind is Kind.FREQUENCY) * len(used),
        gaps=_gaps(clean),
        outliers=sum(int(mark.sum()) for mark in outliers(series)),
        settings=settings,
        trend=trend(cleaned(series) if settings.remove_outliers else series),
        time_error=error,
        rows=_rows(used, longest, factors, series.interval_s, settings),
        verdicts=_verdicts(used, longest, factors, series.interval_s, settings, error),
        notes=series.notes,
    )


def cleaned(series: Series) -> Series:
    """Without its outliers. Raises ``AnalysisError`` when too little is left."""
    left = without(series, outliers(series))
    if left.samples < MIN_SAMPLES:
        raise AnalysisError(f"{series.name}: nearly all of {series.samples} samples are outliers")
    return left


def prepared(series: Series, settings: Settings) -> Series:
    """What the figures of ``analyse`` are of: without outliers and trend, if so asked."""
    return detrended(cleaned(series) if settings.remove_outliers else series, settings.detrend)


def _gaps(series: Series) -> tuple[Gap, ...]:
    ends = [piece.first + len(piece.values) for piece in series.pieces]
    origin = series.pieces[0].first
    return tuple(
        Gap(after_s=(end - 1 - origin) * series.interval_s, missing=piece.first - end)
        for end, piece in zip(ends[:-1], series.pieces[1:], strict=True)
    )


def _rows(
    used: tuple[Array, ...], longest: Array, factors: tuple[int, ...], interval_s: float, settings: Settings
) -> tuple[Row, ...]:
    noises = identify(longest, factors)
    widest = mtie(used, factors)
    return tuple(
        Row(
            tau_s=factor * interval_s,
            quotable=_quotable(factor, longest),
            noise=noises[factor],
            deviations={
                name: deviation(
                    STATISTICS[name], used, factor, interval_s, noises[factor], settings.confidence
                )
                for name in settings.statistics
            },
            mtie_ns=widest.get(factor),
        )
        for factor in factors
    )


def _verdicts(
    used: tuple[Array, ...],
    longest: Array,
    factors: tuple[int, ...],
    interval_s: float,
    settings: Settings,
    error: TimeError | None,
) -> tuple[Verdict, ...]:
    """Judged at more points than are shown: a limit may be passed between two octaves."""
    if not settings.masks:
        return ()
    judged = sorted({*factors, *averaging_factors("many", len(longest), interval_s)})
    # TDEV of few terms is chance; a time interval that was seen is a fact at any tau.
    tdev = {
        value.tau_s: value.value
        for factor in judged
        if _quotable(factor, longest)
        and (value := deviation(STATISTICS["tdev"], used, factor, interval_s)) is not None
    }
    widest = {factor * interval_s: value for factor, value in mtie(used, judged).items()}
    return tuple(
        judge(mask, max_abs_te_ns=None if error is None else error.max_abs_ns, mtie_ns=widest, tdev_ns=tdev)
        for mask in settings.masks
    )


def _quotable(factor: int, longest: Array) -> bool:
    return factor * QUOTABLE <= len(longest)
