"""The delay ledger: every constant delay from the antenna to a PTP port, and the one place that removes it.

A delay is positive when it makes the signal late. An edge that arrives late is stamped late, so the clock
seems ahead: whoever compensates *subtracts* the value from the measured offset, or advances the pulse by it.
Pure: the step ``delays`` of ``timecard.bringup.steps_card`` writes it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, get_args

Segment = Literal["antenna", "antenna-cable", "splitter", "receiver-input", "sma", "pci", "nic"]
Place = Literal["receiver", "timestamper", "pps-slave", "oscillator", "software"]
Plane = Literal["card", "host", "port"]
SEGMENTS: Final[tuple[Segment, ...]] = get_args(Segment)
PLACES: Final[tuple[Place, ...]] = get_args(Place)
PLANES: Final[tuple[Plane, ...]] = get_args(Plane)

UNCALIBRATED_ANTENNA_NS: Final = 50.0
"""What an antenna chain that nobody measured may be wrong by: ten metres of cable, say."""
ANTENNA_CHAIN: Final[tuple[Segment, ...]] = ("antenna", "antenna-cable", "splitter", "receiver-input")
CALIBRATED_NEEDS: Final[tuple[Segment, ...]] = ("antenna", "antenna-cable")
GUESSES: Final = ("guess", "assumed", "estimate")
"""How the origin of a value begins that nobody measured or certified."""

PLANE_SEGMENTS: Final[dict[Plane, tuple[Segment, ...]]] = {
    "card": (*ANTENNA_CHAIN, "sma"),
    "host": (*ANTENNA_CHAIN, "sma", "pci"),
    "port": (*ANTENNA_CHAIN, "sma", "pci", "nic"),
}
"""A plane further out carries the delays of the planes before it."""

PLACES_OF: Final[dict[Segment, tuple[Place, ...]]] = {
    **dict.fromkeys(ANTENNA_CHAIN, PLACES),
    "sma": ("timestamper", "pps-slave", "oscillator", "software"),
    "pci": ("software",),
    "nic": ("software",),
}
"""Only what a signal passes through can take a delay out of it."""

PLACE_RANGE_NS: Final[dict[Place, tuple[int, int]]] = {
    "receiver": (-32_768, 32_767),  # CFG-TP-ANT_CABLEDELAY, I2 (u-blox ZED-F9T interface description)
    "timestamper": (0, 65_535),  # register 0x20 cable_delay, bits 15:0 (time card register map)
    "pps-slave": (0, 65_535),  # the same register of the PPS slave before core 1.6, the narrowest
    "oscillator": (-500_000_000, 500_000_000),  # SA5X CableDelay
}
"""What the compensating register takes, in whole nanoseconds. Software has no such limit."""


class Row(Protocol):
    """One delay segment, as a row of ``[[delays]]`` says it."""

    @property
    def segment(self) -> Segment:
        """Which part of the way."""
        ...

    @property
    def value_ns(self) -> float:
        """Delay in ns; positive makes the signal late."""
        ...

    @property
    def uncertainty_ns(self) -> float:
        """How wrong the value may be, in ns, expanded (k = 2). Counted as a bias."""
        ...

    @property
    def origin(self) -> str:
        """Where the value comes from: ``measured ...``, ``data sheet ...``, ``guessed ...``."""
        ...

    @property
    def compensated_by(self) -> Place:
        """The one place that removes it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DelayRow:
    """One delay segment; the fields as in ``Row``."""

    segment: Segment
    value_ns: float
    uncertainty_ns: float
    origin: str
    compensated_by: Place


@dataclass(frozen=True, slots=True)
class DelayLedger:
    """All rows; at most one per segment. Raises ``ValueError`` that lists doubles and impossible places."""

    rows: Sequence[Row]

    def __post_init__(self) -> None:
        problems = [problem for _, problem in ledger_problems(self.rows)]
        if problems:
            raise ValueError("; ".join(problems))

    @property
    def knows_antenna_chain(self) -> bool:
        """It says something of the delays that a receiver may take out."""
        return any(row.segment in ANTENNA_CHAIN for row in self.rows)

    @property
    def calibrated(self) -> bool:
        """The antenna chain has been measured: antenna and cable both stand in the ledger, none guessed."""
        return self.not_calibrated_reason is None

    @property
    def not_calibrated_reason(self) -> str | None:
        """What is missing for ``calibrated``, or None."""
        known = {row.segment for row in self.rows if not is_guess(row)}
        missing = [segment for segment in CALIBRATED_NEEDS if segment not in known]
        if not missing:
            return None
        guessed = "" if {row.segment for row in self.rows}.isdisjoint(missing) else " that is not guessed"
        return (
            f"antenna chain uncalibrated (no [[delays]] row for {' and '.join(missing)}{guessed}): "
            f"{UNCALIBRATED_ANTENNA_NS:g} ns of bias are counted"
        )

    def delay_ns(self, plane: Plane) -> float:
        """Sum of all delays up to ``plane``, whoever compensates them."""
        return math.fsum(row.value_ns for row in self._rows_of(plane))

    def uncertainty_ns(self, plane: Plane) -> float:
        """Root-sum-square of the uncertainties up to ``plane``; adds linearly to the random part of a bound.

        An uncalibrated antenna chain counts at least ``UNCALIBRATED_ANTENNA_NS``.
        """
        chain = [row.uncertainty_ns for row in self.rows if row.segment in ANTENNA_CHAIN]
        rest = [row.uncertainty_ns for row in self._rows_of(plane) if row.segment not in ANTENNA_CHAIN]
        chain_ns = math.hypot(*chain)
        if not self.calibrated:
            chain_ns = max(chain_ns, UNCALIBRATED_ANTENNA_NS)
        return math.hypot(chain_ns, *rest)

    def register_ns(self, place: Place) -> int:
        """What to write into the compensating register of ``place``: whole ns, 0 for nothing."""
        return round(self._sum_ns(place))

    def software_ns(self, plane: Plane) -> float:
        """What to subtract in software from an offset measured at ``plane``.

        The software rows, and what the registers' whole nanoseconds leave over.
        """
        own_ns = math.fsum(row.value_ns for row in self._rows_of(plane) if row.compensated_by == "software")
        left_ns = math.fsum(self._sum_ns(place) - self.register_ns(place) for place in PLACE_RANGE_NS)
        return own_ns + left_ns

    def _sum_ns(self, place: Place) -> float:
        return math.fsum(row.value_ns for row in self.rows if row.compensated_by == place)

    def _rows_of(self, plane: Plane) -> list[Row]:
        return [row for row in self.rows if row.segment in PLANE_SEGMENTS[plane]]


def is_guess(row: Row) -> bool:
    """The row's origin says that nobody measured or certified the value."""
    return row.origin.strip().lower().startswith(GUESSES)


def ledger_problems(rows: Sequence[Row]) -> list[tuple[int, str]]:
    """What is wrong with rows that are fine one by one: index of the row and one line about it."""
    problems: list[tuple[int, str]] = []
    first: dict[Segment, int] = {}
    sums_ns: dict[Place, list[tuple[int, float]]] = defaultdict(list)
    for index, row in enumerate(rows):
        allowed = PLACES_OF[row.segment]
        if row.compensated_by not in allowed:
            problems.append(
                (
                    index,
                    f'segment "{row.segment}" cannot be compensated by "{row.compensated_by}"; '
                    f"possible: {', '.join(allowed)}",
                )
            )
        if row.segment in first:
            earlier = rows[first[row.segment]]
            problems.append(
                (
                    index,
                    f'segment "{row.segment}" is already compensated by "{earlier.compensated_by}" in '
                    f"delays[{first[row.segment]}]; each delay is removed in exactly one place: keep one row",
                )
            )
            continue
        first[row.segment] = index
        sums_ns[row.compensated_by].append((index, row.value_ns))
    for place, (low_ns, high_ns) in PLACE_RANGE_NS.items():
        total_ns = round(math.fsum(value_ns for _, value_ns in sums_ns[place]))
        if not low_ns <= total_ns <= high_ns:
            problems.append(
                (
                    sums_ns[place][-1][0],
                    f'"{place}" would have to compensate {total_ns} ns; it takes {low_ns} to {high_ns} ns: '
                    'compensate a row elsewhere, for example by "software"',
                )
            )
    return problems
