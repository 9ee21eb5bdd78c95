"""An analysis for people and for programs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from appliance.analysis.analysis import QUOTABLE, Analysis, Gaps, Row
from appliance.analysis.deviations import STATISTICS, Deviation
from appliance.analysis.masks import Judged, Verdict
from appliance.analysis.series import Detrend

SHOWN_GAPS: Final = 5
VERDICTS: Final = {True: "pass", False: "FAIL", None: "not tested"}
_UNITS_OF_TIME: Final = ((86_400, "d"), (3600, "h"), (60, "min"))


def text(analysis: Analysis) -> str:
    """The whole report."""
    lines = [*_head(analysis), *_trend(analysis), *_time_error(analysis), "", *_table(analysis)]
    if analysis.verdicts:
        lines += ["", *_verdicts(analysis)]
    lines += [f"note: {note}" for note in analysis.notes]
    return "\n".join(lines) + "\n"


def document(analysis: Analysis) -> dict[str, Any]:
    """The same as JSON-able values; null where there is no figure, never absent."""
    settings = analysis.settings
    return {
        "name": analysis.name,
        "kind": analysis.kind.value,
        "unit": analysis.unit,
        "interval_s": analysis.interval_s,
        "samples": analysis.samples,
        "span_s": analysis.span_s,
        "gaps": [{"after_s": gap.after_s, "missing": gap.missing} for gap in analysis.gaps],
        "gap_policy": settings.gaps.value,
        "longest_piece_samples": analysis.longest_piece,
        "used_samples": analysis.used_samples,
        "outliers": analysis.outliers,
        "outliers_removed": settings.remove_outliers,
        "detrend": settings.detrend.value,
        "confidence": settings.confidence,
        "trend": {
            "mean_phase_ns": analysis.trend.phase_ns,
            "frequency": analysis.trend.frequency,
            "drift_per_day": analysis.trend.drift_per_day,
        },
        "time_error": _time_error_document(analysis),
        "stability": [_row_document(row) for row in analysis.rows],
        "masks": [_verdict_document(verdict) for verdict in analysis.verdicts],
        "passed": analysis.passed,
        "notes": list(analysis.notes),
    }


def seconds(value: float) -> str:
    """``6.7 h``, ``1.5 d``, ``12 s``."""
    for size, name in _UNITS_OF_TIME:
        if value >= 2 * size:
            return f"{value / size:.1f} {name}"
    return f"{value:.6g} s"


def nanoseconds(value: float) -> str:
    """``1.23 ns``, ``4.56 us``: three digits and a unit that suits them."""
    for size, name in ((1e9, "s"), (1e6, "ms"), (1e3, "us"), (1.0, "ns")):
        if abs(value) >= size:
            return f"{value / size:.4g} {name}"
    return f"{value:.3g} ns"


def _head(analysis: Analysis) -> Iterator[str]:
    missing = sum(gap.missing for gap in analysis.gaps)
    yield f"{analysis.name}"
    yield (
        f"  {analysis.kind.value}, {analysis.samples:,} samples at {1 / analysis.interval_s:.6g} Hz over"
        f" {seconds(analysis.span_s)}; unit {analysis.unit}"
    )
    if analysis.gaps:
        first = ", ".join(f"{gap.missing} after {seconds(gap.after_s)}" for gap in analysis.gaps[:SHOWN_GAPS])
        more = f", and {len(analysis.gaps) - SHOWN_GAPS} more" if len(analysis.gaps) > SHOWN_GAPS else ""
        yield f"  missing: {missing:,} samples, gaps: {len(analysis.gaps)} ({first}{more})"
        which = "all pieces pooled" if analysis.settings.gaps is Gaps.POOL else "the longest piece alone"
        yield (
            f"  figures of stability are from {which}: {analysis.used_samples:,} samples,"
            f" {analysis.longest_piece:,} in the longest piece; nothing crosses a gap"
        )
    else:
        yield "  no gaps"
    kept = "removed" if analysis.settings.remove_outliers else "kept; --remove-outliers takes them out"
    yield f"  outliers: {analysis.outliers}{f' ({kept})' if analysis.outliers else ''}"


def _trend(analysis: Analysis) -> Iterator[str]:
    trend = analysis.trend
    phase = "" if trend.phase_ns is None else f"mean {trend.phase_ns:+.3f} ns, "
    drift = "" if trend.drift_per_day is None else f", drift {trend.drift_per_day:+.3e} a day"
    yield f"  {phase}frequency offset {trend.frequency:+.3e}{drift}"
    if analysis.settings.detrend is not Detrend.NONE:
        yield f"  removed before all that follows: {analysis.settings.detrend.value} (--detrend)"


def _time_error(analysis: Analysis) -> Iterator[str]:
    error = analysis.time_error
    if error is None:
        yield "  no time error: frequency data do not tell the time"
        return
    yield (
        f"  max|TE| {nanoseconds(error.max_abs_ns)} after {seconds(error.max_abs_at_s)}; from"
        f" {error.minimum_ns:+.3f} to {error.maximum_ns:+.3f} ns, std {error.std_ns:.3f},"
        f" rms {error.rms_ns:.3f}"
    )
    if error.constant_min_ns is not None and error.constant_max_ns is not None:
        yield f"  cTE over 1000 s from {error.constant_min_ns:+.3f} to {error.constant_max_ns:+.3f} ns"
    if error.dynamic_low_peak_to_peak_ns is not None:
        yield (
            f"  dTE below 0.1 Hz {error.dynamic_low_peak_to_peak_ns:.3f} ns peak to peak (std"
            f" {error.dynamic_low_std_ns:.3f}), above {error.dynamic_high_peak_to_peak_ns:.3f} ns"
        )
    yield from (f"  {reason}" for reason in error.reasons)


def _table(analysis: Analysis) -> Iterator[str]:
    names = analysis.settings.statistics
    rows = [["tau s", *(_title(name) for name in names), "MTIE ns", "noise"]]
    rows += [
        [
            f"{row.tau_s:.10g}{'' if row.quotable else ' *'}",
            *(_value(row.deviations[name], STATISTICS[name].unit) for name in names),
            "-" if row.mtie_ns is None else f"{row.mtie_ns:.4f}",
            "-" if row.noise is None else row.noise.name,
        ]
        for row in analysis.rows
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    yield f"percentages: confidence interval of {analysis.settings.confidence:.1%}"
    if not all(row.quotable for row in analysis.rows):
        yield f"*: beyond 1/{QUOTABLE} of the longest piece, an indication and no result"


def _title(name: str) -> str:
    statistic = STATISTICS[name]
    return f"{statistic.label} {statistic.unit}".strip()


def _value(value: Deviation | None, unit: str) -> str:
    if value is None:
        return "-"
    shown = f"{value.value:#.5g}" if unit else f"{value.value:.4e}"
    if value.low is None or value.high is None or not value.value:
        return shown
    return f"{shown} {value.low / value.value - 1:+.1%} {value.high / value.value - 1:+.1%}"


def _verdicts(analysis: Analysis) -> Iterator[str]:
    for verdict in analysis.verdicts:
        mask = verdict.mask
        source = "" if mask.confirmed else "; figures of one public source"
        whole = all(part.passed is not None for part in verdict.parts)
        far = ", as far as tested" if verdict.passed and not whole else ""
        yield f"{mask.name} ({mask.recommendation}{source}): {VERDICTS[verdict.passed]}{far}"
        yield from (f"  {_judged(part)}" for part in verdict.parts)
    if analysis.settings.detrend is Detrend.NONE and not analysis.settings.remove_outliers:
        yield "samples as recorded, without a measurement filter; the Recommendation tells the formal test"
    else:
        yield "judged after what was removed above: this is not the test of the Recommendation"


def _judged(part: Judged) -> str:
    if part.value_ns is None or part.limit_ns is None:
        return f"{part.quantity}: not tested: {part.reason}"
    where = (
        "" if part.tau_s is None else f", {'closest' if part.passed else 'worst'} at tau = {part.tau_s:g} s"
    )
    tested = (
        ""
        if part.tested_to_s is None
        else f"; tested at {part.points} points, tau = {part.tested_from_s:g} to {part.tested_to_s:g} s"
    )
    return (
        f"{part.quantity}: {VERDICTS[part.passed]}{where}: {part.value_ns:.3f} of"
        f" {part.limit_ns:.3f} ns, margin {part.margin_ns:+.3f} ns{tested}"
    )


def _time_error_document(analysis: Analysis) -> dict[str, Any] | None:
    error = analysis.time_error
    if error is None:
        return None
    return {name: getattr(error, name) for name in type(error).__dataclass_fields__}


def _row_document(row: Row) -> dict[str, Any]:
    noise = row.noise
    return {
        "tau_s": row.tau_s,
        "quotable": row.quotable,
        "noise": None
        if noise is None
        else {
            "name": noise.name,
            "alpha": noise.alpha,
            "exponent": noise.exponent,
            "origin": noise.origin.value,
        },
        **{
            f"{name}_ns" if STATISTICS[name].unit else name: _deviation_document(value)
            for name, value in row.deviations.items()
        },
        "mtie_ns": row.mtie_ns,
    }


def _deviation_document(value: Deviation | None) -> Mapping[str, Any] | None:
    if value is None:
        return None
    return {
        "value": value.value,
        "low": _finite(value.low),
        "high": _finite(value.high),
        "terms": value.terms,
        "degrees_of_freedom": value.degrees_of_freedom,
    }


def _verdict_document(verdict: Verdict) -> dict[str, Any]:
    return {
        "mask": verdict.mask.name,
        "recommendation": verdict.mask.recommendation,
        "confirmed_figures": verdict.mask.confirmed,
        "passed": verdict.passed,
        "parts": [
            {name: getattr(part, name) for name in type(part).__dataclass_fields__}
            | {"margin_ns": part.margin_ns}
            for part in verdict.parts
        ],
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
