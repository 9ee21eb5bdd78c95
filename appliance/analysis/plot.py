"""Four panels: time error, frequency stability, TDEV and MTIE with masks. Needs the extra ``plot``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np

from appliance.analysis.analysis import QUOTABLE, Analysis, prepared
from appliance.analysis.deviations import STATISTICS
from appliance.analysis.errors import AnalysisError
from appliance.analysis.masks import Judged, Segment
from appliance.analysis.recording import Array
from appliance.analysis.report import VERDICTS, seconds
from appliance.analysis.series import Series
from appliance.analysis.units import Kind

SUFFIXES: Final = (".png", ".svg", ".pdf")
_COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""Okabe and Ito: told apart with any colour vision; markers and dashes tell the same."""
_MARKERS: Final = "os^Dv*"
_DASHES: Final = ("-", "--", ":", "-.")
_MASK_COLOUR: Final = "#303030"
_STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "lines.linewidth": 1.3,
}
_BINS: Final = 1500
"""Of time; a longer series is drawn as the range of each."""
_TIMES: Final = ((86_400, "days"), (3600, "hours"), (60, "minutes"), (1, "s"))
_PHASES: Final = ((1e9, "s"), (1e6, "ms"), (1e3, "us"), (1.0, "ns"), (1e-3, "ps"))
_FRACTIONS: Final = ((1e-6, "ppm"), (1e-9, "ppb"), (1e-12, "1e-12"), (1e-15, "1e-15"))


@dataclass(frozen=True, slots=True)
class _Point:
    tau_s: float
    value: float
    low: float | None
    high: float | None
    quotable: bool


def require(path: Path) -> None:
    """Raises ``AnalysisError`` when no such picture can be made; call it before the work."""
    if path.suffix.lower() not in SUFFIXES:
        raise AnalysisError(f"{path}: a picture ends in {', '.join(SUFFIXES)}")
    if find_spec("matplotlib") is None:
        raise AnalysisError("a picture needs matplotlib: pip install 'timecard-toolkit[plot]'")


def draw(path: Path, series: Series, analysis: Analysis, title: str) -> None:
    """Draw the analysis of ``series`` into ``path``. Raises ``OSError`` when it cannot be written."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(13, 9), layout="constrained")
        figure.suptitle(title, fontsize=13, parse_math=False)
        panels = figure.subplots(2, 2)
        _draw_series(panels[0, 0], prepared(series, analysis.settings), analysis)
        names = [name for name in analysis.settings.statistics if not STATISTICS[name].unit]
        for number, name in enumerate(names):
            _draw_points(panels[0, 1], _deviations(analysis, name), STATISTICS[name].label, number)
        bars = f"bars: confidence of {analysis.settings.confidence:.1%}"
        _finish(panels[0, 1], analysis, "deviation (fraction)", f"frequency stability ({bars})")
        _draw_limited(panels[1, 0], analysis, "TDEV", _deviations(analysis, "tdev"))
        widest = [
            _Point(row.tau_s, row.mtie_ns, None, None, row.quotable) for row in analysis.rows if row.mtie_ns
        ]
        _draw_limited(panels[1, 1], analysis, "MTIE", widest)
        figure.savefig(path, dpi=120)


def _deviations(analysis: Analysis, name: str) -> list[_Point]:
    """What can be drawn on a logarithmic axis."""
    found = ((row, row.deviations.get(name)) for row in analysis.rows)
    return [
        _Point(row.tau_s, value.value, value.low, value.high, row.quotable)
        for row, value in found
        if value is not None and value.value > 0
    ]


def _draw_series(axis: Any, series: Series, analysis: Analysis) -> None:
    span_s = max(analysis.span_s, series.interval_s)
    unit_s, unit_name = next((entry for entry in _TIMES if span_s >= 2 * entry[0]), _TIMES[-1])
    phase = series.kind is Kind.PHASE
    scales = _PHASES if phase else _FRACTIONS
    largest = max(float(np.abs(piece.values).max()) for piece in series.pieces)
    scale, scale_name = next((entry for entry in scales if largest >= entry[0]), scales[-1])
    for piece in series.pieces:
        bins = max(1, round(_BINS * len(piece.values) / series.samples))
        times, values = series.times_s(piece) / unit_s, piece.values / scale
        if len(values) <= 2 * bins:
            axis.plot(times, values, color=_COLOURS[0], linewidth=0.9)
        else:
            _draw_ranges(axis, times, values, bins)
    for verdict, dashes in zip(analysis.verdicts if phase else (), _DASHES, strict=False):
        limit_ns = verdict.mask.max_abs_te_ns
        if limit_ns is not None and limit_ns < 3 * largest:  # a limit far off would flatten the clock
            label = f"{verdict.mask.name} max|TE|"
            for limit in (limit_ns / scale, -limit_ns / scale):
                axis.axhline(limit, color=_MASK_COLOUR, linestyle=dashes, linewidth=1, label=label)
                label = ""
            axis.legend(loc="upper right")
    axis.set(
        xlabel=unit_name,
        ylabel=f"{'time' if phase else 'frequency'} error ({scale_name})",
        title=f"clock minus reference, {seconds(span_s)}",
    )
    axis.set_axisbelow(True)
    axis.grid(visible=True, color="#e0e0e0")


def _draw_ranges(axis: Any, times: Array, values: Array, bins: int) -> None:
    edges = np.linspace(0, len(values), bins + 1).astype(int)[:-1]
    low, high = np.minimum.reduceat(values, edges), np.maximum.reduceat(values, edges)
    axis.fill_between(times[edges], low, high, color=_COLOURS[0], linewidth=0.6, step="mid")


def _draw_points(axis: Any, points: list[_Point], label: str, number: int) -> None:
    """A curve with its confidence; points beyond a fifth of the data are open."""
    colour = _COLOURS[number % len(_COLOURS)]
    dashes = _DASHES[number % len(_DASHES)]
    marker = _MARKERS[number % len(_MARKERS)]
    for quotable in (True, False):
        some = [point for point in points if point.quotable is quotable]
        below = [point.value - point.low if point.low is not None else 0.0 for point in some]
        above = [point.high - point.value if point.high is not None else 0.0 for point in some]
        axis.errorbar(
            [point.tau_s for point in some],
            [point.value for point in some],
            yerr=[below, above],
            fmt=marker,
            color=colour,
            markerfacecolor=colour if quotable else "white",
            markersize=4.5,
            capsize=2,
        )
    taus, values = [point.tau_s for point in points], [point.value for point in points]
    axis.plot(taus, values, color=colour, linestyle=dashes, label=label)


def _draw_limited(axis: Any, analysis: Analysis, name: str, points: list[_Point]) -> None:
    """A curve in ns and the masks; a cross marks the worst point beyond one."""
    _draw_points(axis, points, name, 0)
    for verdict, dashes in zip(analysis.verdicts, _DASHES, strict=False):
        judged: Judged = next(part for part in verdict.parts if part.quantity == name)
        segments = verdict.mask.mtie if name == "MTIE" else verdict.mask.tdev
        taus, limits = _outline(
            segments, analysis.rows[0].tau_s, judged.tested_to_s or analysis.rows[-1].tau_s
        )
        label = f"{verdict.mask.name}: {VERDICTS[judged.passed]}"
        axis.plot(taus, limits, color=_MASK_COLOUR, linestyle=dashes, label=label)
        if judged.passed is False:
            axis.plot(judged.tau_s, judged.value_ns, "x", color=_COLOURS[1], markersize=10, markeredgewidth=2)
    _finish(axis, analysis, f"{name} (ns)", name)
    axis.yaxis.set_major_formatter("{x:g}")
    low, high = axis.get_ylim()
    if high < 20 * low:
        axis.yaxis.set_minor_formatter("{x:g}")


def _outline(segments: Iterable[Segment], first: float, last: float) -> tuple[Array, Array]:
    """A mask from the first to the last tau of the figure."""
    taus, limits = [np.empty(0)], [np.empty(0)]
    for low, high, a, b in segments:
        if max(low, first) <= min(high, last):
            taus.append(np.geomspace(max(low, first), min(high, last), 50))
            limits.append(a + b * taus[-1])
    return np.concatenate(taus), np.concatenate(limits)


def _finish(axis: Any, analysis: Analysis, label: str, title: str) -> None:
    axis.set(xlabel="tau (s)", ylabel=label, title=title)
    if any(np.size(line.get_ydata()) for line in axis.lines):  # a clock that never moves has nothing to show
        axis.set(xscale="log", yscale="log")
    axis.grid(visible=True, which="major", color="#d0d0d0")
    axis.grid(visible=True, which="minor", color="#eeeeee", linewidth=0.5)
    if not all(row.quotable for row in analysis.rows):
        beyond = f"beyond 1/{QUOTABLE} of the data"
        axis.plot([], [], "o", color="#606060", markerfacecolor="white", markersize=4.5, label=beyond)
    axis.legend()
