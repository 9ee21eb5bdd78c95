"""Network limits and the verdict on a clock.

The figures are those of the Recommendations as public implementations have them; ``confirmed`` tells
whether two of those agree. For a formal claim read the Recommendation, with its filters and conditions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

Segment = tuple[float, float, float, float]
"""For tau_lo < tau <= tau_hi (s) the limit is a + b tau (ns)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask:
    """Limits of one Recommendation."""

    name: str
    recommendation: str
    confirmed: bool
    """In two independent public implementations."""
    max_abs_te_ns: float | None
    mtie: tuple[Segment, ...]
    tdev: tuple[Segment, ...]


MASKS: Final[Mapping[str, Mask]] = {
    mask.name: mask
    for mask in (
        Mask(
            name="PRTC-A",
            recommendation="ITU-T G.8272",
            confirmed=True,
            max_abs_te_ns=100,
            mtie=((0.1, 273, 25, 0.275), (273, 1e7, 100, 0)),
            tdev=((0.1, 100, 3, 0), (100, 1000, 0, 0.03), (1000, 1e5, 30, 0)),
        ),
        Mask(
            name="PRTC-B",
            recommendation="ITU-T G.8272",
            confirmed=True,
            max_abs_te_ns=40,
            mtie=((0.1, 54.5, 25, 0.275), (54.5, 1e7, 40, 0)),
            tdev=((0.1, 100, 1, 0), (100, 500, 0, 0.01), (500, 1e5, 5, 0)),
        ),
        Mask(
            name="ePRTC",
            recommendation="ITU-T G.8272.1",
            confirmed=False,
            max_abs_te_ns=30,
            mtie=((0.1, 1, 4, 0), (1, 100, 3.89, 0.11114), (100, 4e5, 15, 3.75e-5), (4e5, 1e8, 30, 0)),
            tdev=((0.1, 3e4, 1, 0), (3e4, 3e5, 0, 3.33333e-5), (3e5, 1e6, 10, 0)),
        ),
        Mask(
            name="PRC",
            recommendation="ITU-T G.811 (frequency only)",
            confirmed=False,
            max_abs_te_ns=None,
            mtie=((0.1, 1000, 25, 0.275), (1000, 1e7, 290, 0.01)),
            tdev=((0.1, 100, 3, 0), (100, 1000, 0, 0.03), (1000, 1e4, 30, 0)),
        ),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One quantity against its limit, at the point that comes closest to it or passes it furthest."""

    quantity: str
    passed: bool | None
    """None when it could not be tested."""
    reason: str | None = None
    tau_s: float | None = None
    value_ns: float | None = None
    limit_ns: float | None = None
    points: int = 0
    tested_from_s: float | None = None
    tested_to_s: float | None = None

    @property
    def margin_ns(self) -> float | None:
        """What is left to the limit; negative when it is passed."""
        return None if self.limit_ns is None or self.value_ns is None else self.limit_ns - self.value_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A clock against one mask."""

    mask: Mask
    parts: tuple[Judged, ...]

    @property
    def passed(self) -> bool | None:
        """No tested part fails; None when nothing could be tested."""
        tested = [part.passed for part in self.parts if part.passed is not None]
        return all(tested) if tested else None


def limit_ns(segments: Sequence[Segment], tau_s: float) -> float | None:
    """The limit at ``tau_s``, or None outside the mask."""
    return next((a + b * tau_s for low, high, a, b in segments if low < tau_s <= high), None)


def judge(
    mask: Mask,
    *,
    max_abs_te_ns: float | None,
    mtie_ns: Mapping[float, float],
    tdev_ns: Mapping[float, float],
) -> Verdict:
    """Judge curves (tau in s to ns); ``max_abs_te_ns`` None for a clock whose time error is not known."""
    parts = []
    if mask.max_abs_te_ns is not None:
        parts.append(_judge_time_error(mask.max_abs_te_ns, max_abs_te_ns))
    parts.append(_judge_curve("MTIE", mask.mtie, mtie_ns))
    parts.append(_judge_curve("TDEV", mask.tdev, tdev_ns))
    return Verdict(mask=mask, parts=tuple(parts))


def _judge_time_error(limit: float, value_ns: float | None) -> Judged:
    if value_ns is None:
        return Judged(quantity="max|TE|", passed=None, reason="frequency tells no time error")
    return Judged(quantity="max|TE|", passed=value_ns <= limit, value_ns=value_ns, limit_ns=limit, points=1)


def _judge_curve(quantity: str, segments: Sequence[Segment], curve: Mapping[float, float]) -> Judged:
    limits = {tau_s: limit_ns(segments, tau_s) for tau_s in sorted(curve)}
    points = {tau_s: limit for tau_s, limit in limits.items() if limit is not None}
    if not points:
        return Judged(quantity=quantity, passed=None, reason="too short a series")
    worst = max(points, key=lambda tau_s: curve[tau_s] / points[tau_s])
    return Judged(
        quantity=quantity,
        passed=curve[worst] <= points[worst],
        tau_s=worst,
        value_ns=curve[worst],
        limit_ns=points[worst],
        points=len(points),
        tested_from_s=min(points),
        tested_to_s=max(points),
    )
