"""What a fast run found out: true error against bound, states, and the figures of the whole run.

Only a simulation knows the truth. The recorder takes one row a second and sums up; it decides nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from appliance.snapshot import ClockSnapshot, ClockState

SETTLE_S: Final = 3600
"""The comparison with the raw reference starts after the first hour."""
HOLDING: Final = frozenset({ClockState.HOLDOVER, ClockState.HOLDOVER_EXPIRED})
STATE_COLOURS: Final = {
    ClockState.FREE_RUN: "#b0b0b0",
    ClockState.ACQUIRING: "#f0c040",
    ClockState.LOCKED: "#50b060",
    ClockState.HOLDOVER: "#5080d0",
    ClockState.RECOVERING: "#a070d0",
    ClockState.HOLDOVER_EXPIRED: "#d05040",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One second of a run."""

    t_s: float
    state: ClockState
    clock_class: int
    error_ns: float
    """Card clock minus true TAI."""
    bound_ns: float | None
    steering_ppb: float
    gnss_error_ns: float | None
    free_oscillator_ns: float | None
    ready: bool = False
    """Ready for holdover."""


@dataclass
class Recorder:
    """Rows of one run."""

    rows: list[Row] = field(default_factory=list)
    log: list[tuple[float, str]] = field(default_factory=list)
    utc_known_after_s: float | None = None

    def add(self, row: Row, snapshot: ClockSnapshot) -> None:
        """Take one second; a change of state is logged with its reason."""
        if not self.rows or self.rows[-1].state is not row.state:
            self.log.append((row.t_s, f"{row.state.value}: {'; '.join(snapshot.reasons) or '-'}"))
        if self.utc_known_after_s is None and snapshot.tai_minus_utc_s is not None:
            self.utc_known_after_s = row.t_s
        self.rows.append(row)

    def summary(self, real_s: float) -> dict[str, Any]:
        """All figures, JSON-able."""
        rows = self.rows
        if not rows:
            return {"duration_s": 0}
        error = np.array([r.error_ns for r in rows])
        bound = np.array([math.nan if r.bound_ns is None else r.bound_ns for r in rows])
        locked = np.array([r.state is ClockState.LOCKED for r in rows])
        claimed = ~np.isnan(bound)
        first_lock = int(np.argmax(locked)) if locked.any() else None
        return {
            "duration_s": len(rows),
            "speed": len(rows) / real_s if real_s > 0 else None,
            "locked_after_s": None if first_lock is None else rows[first_lock].t_s,
            "utc_known_after_s": self.utc_known_after_s,
            "states": self._intervals(),
            "holdover_ready": self._readiness(),
            "locked": _statistics(error[locked]),
            "bound": {
                "claimed_s": int(claimed.sum()),
                "violations": int((np.abs(error[claimed]) > bound[claimed]).sum()),
                "max_locked_ns": _max(bound[locked & claimed]),
                "max_error_over_bound": _max(np.abs(error[claimed]) / bound[claimed]),
            },
            "holdovers": self._holdovers(),
            "after_first_hour": self._comparison(),
            "log": [{"t_s": t, "event": text} for t, text in self.log],
        }

    def _readiness(self) -> dict[str, float | int | None]:
        """When readiness for holdover came, and what was lost of it since, changes of mind included."""
        ready = [row.ready for row in self.rows]
        if not any(ready):
            return {"after_s": None, "lost_s": 0, "losses": 0}
        since = ready[ready.index(True) :]
        losses = sum(before and not after for before, after in pairwise(since))
        return {
            "after_s": self.rows[ready.index(True)].t_s,
            "lost_s": since.count(False),
            "losses": losses,
        }

    def _intervals(self) -> list[dict[str, Any]]:
        intervals: list[dict[str, Any]] = []
        for row in self.rows:
            if not intervals or intervals[-1]["state"] != row.state.value:
                intervals.append({"state": row.state.value, "class": row.clock_class, "from_s": row.t_s})
            intervals[-1]["to_s"] = row.t_s
        return intervals

    def _holdovers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        previous_holding = False
        for row in self.rows:
            holding = row.state in HOLDING
            if holding and not previous_holding:
                found.append({"from_s": row.t_s, "max_error_ns": 0.0, "final_bound_ns": None})
            if holding:
                found[-1]["to_s"] = row.t_s
                found[-1]["max_error_ns"] = max(found[-1]["max_error_ns"], abs(row.error_ns))
                found[-1]["final_bound_ns"] = row.bound_ns
            previous_holding = holding
        return found

    def _comparison(self) -> dict[str, float | None] | None:
        """Disciplined clock, raw reference and free oscillator over the same span, means removed."""
        rows = [r for r in self.rows if r.t_s >= SETTLE_S and r.gnss_error_ns is not None]
        if len(rows) < SETTLE_S:
            return None
        t_s = np.array([r.t_s for r in rows])
        clock = np.array([r.error_ns for r in rows])
        gnss = np.array([r.gnss_error_ns for r in rows], dtype=float)
        result: dict[str, float | None] = {
            "span_s": float(len(rows)),
            "disciplined_std_ns": float(np.std(clock)),
            "raw_gnss_std_ns": float(np.std(gnss)),
            "ratio": float(np.std(clock) / np.std(gnss)) if np.std(gnss) > 0 else None,
            "free_oscillator_line_fit_std_ns": None,
        }
        free = [r.free_oscillator_ns for r in rows]
        if all(value is not None for value in free):
            phase = np.array(free, dtype=float)
            residual = phase - np.polyval(np.polyfit(t_s - t_s[0], phase, 1), t_s - t_s[0])
            result["free_oscillator_line_fit_std_ns"] = float(np.std(residual))
        return result


def write_json(path: Path, summary: dict[str, Any]) -> None:
    """Write the figures."""
    path.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")


def write_series(path: Path, rows: Iterable[Row]) -> None:
    """Write every second as a table; what is not known is empty."""
    with path.open("w", encoding="utf-8") as stream:
        stream.write("t_s,error_ns,bound_ns,gnss_error_ns,free_oscillator_ns,state\n")
        for row in rows:
            figures = (row.error_ns, row.bound_ns, row.gnss_error_ns, row.free_oscillator_ns)
            cells = ("" if figure is None else f"{figure:.4f}" for figure in figures)
            stream.write(f"{row.t_s:.3f},{','.join(cells)},{row.state.value}\n")


def plot(path: Path, recorder: Recorder, title: str) -> None:
    """Draw true error and bound over time, states as colours, and the raw reference behind.

    Raises ``ImportError`` without matplotlib, which only this picture needs.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = recorder.rows
    hours = np.array([r.t_s for r in rows]) / 3600
    error = np.array([r.error_ns for r in rows])
    bound = np.array([math.nan if r.bound_ns is None else r.bound_ns for r in rows])
    settled = [r for r in rows if r.state not in (ClockState.FREE_RUN, ClockState.ACQUIRING)]
    figure, axis = pyplot.subplots(figsize=(12, 6), layout="constrained")
    if rows[0].gnss_error_ns is not None:
        gnss = np.array([math.nan if r.gnss_error_ns is None else r.gnss_error_ns for r in rows])
        axis.plot(
            hours,
            np.nanmean(gnss) - gnss,
            color="#c8c8c8",
            linewidth=0.5,
            label="a clock that followed every raw pulse, mean removed",
        )
    axis.plot(hours, bound, color="#303030", linewidth=1, label="bound (99.9 %)")
    axis.plot(hours, -bound, color="#303030", linewidth=1)
    axis.plot(hours, error, color="#d03030", linewidth=0.8, label="card clock minus true time")
    if settled:
        reach = max(max(abs(r.error_ns) for r in settled), max(r.bound_ns or 0.0 for r in settled))
        axis.set_ylim(-1.15 * reach - 1, 1.15 * reach + 1)
    for interval in recorder.summary(0)["states"]:
        axis.axvspan(
            interval["from_s"] / 3600,
            interval["to_s"] / 3600,
            color=STATE_COLOURS[ClockState(interval["state"])],
            alpha=0.15,
            linewidth=0,
        )
    for state in dict.fromkeys(r.state for r in rows):
        axis.plot([], [], color=STATE_COLOURS[state], alpha=0.4, linewidth=8, label=state.value)
    axis.set(xlabel="hours", ylabel="ns", title=title)
    axis.legend(loc="upper right", fontsize=8)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _statistics(values: NDArray[np.float64]) -> dict[str, float | None]:
    if values.size == 0:
        return {"seconds": 0.0, "mean_ns": None, "std_ns": None, "max_abs_ns": None}
    return {
        "seconds": float(values.size),
        "mean_ns": float(np.mean(values)),
        "std_ns": float(np.std(values)),
        "max_abs_ns": float(np.max(np.abs(values))),
    }


def _max(values: NDArray[np.float64]) -> float | None:
    return float(np.max(values)) if values.size else None
