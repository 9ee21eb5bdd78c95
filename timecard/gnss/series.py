"""Seconds of a receiver: what it said of each pulse, before and after it, in one row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from timecard.timescale import NS_PER_S
from timecard.values import GnssEvent, GnssFix, PulseLabel

_OPEN_S: Final = 3
"""The label of a pulse comes up to one second before it, its epoch up to one after."""
_MAX_OPEN: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class GnssSecond:
    """One pulse; what was not said of it is None."""

    tai_ns: int | None
    """The second that it marks; None where the receiver does not know."""
    qerr_ns: float | None = None
    """Add to (edge minus second) to remove the sawtooth."""
    pulse_locked: bool | None = None
    fix_ok: bool | None = None
    time_valid: bool | None = None
    utc_resolved: bool | None = None
    time_accuracy_ns: float | None = None


def per_second(events: Iterable[GnssEvent]) -> Iterator[GnssSecond]:
    """Rows in order of their seconds; an epoch without a time is a row of its own at once."""
    rows: dict[int, GnssSecond] = {}
    for event in events:
        if isinstance(event, PulseLabel):
            second_ns = event.edge_tai_ns
        elif isinstance(event, GnssFix):
            second_ns = event.epoch_tai_ns
        else:
            continue
        row = rows.get(second_ns) if second_ns is not None else None
        row = _with(row or GnssSecond(tai_ns=second_ns), event)
        if second_ns is None:
            yield row
            continue
        rows[second_ns] = row
        done_ns = second_ns - _OPEN_S * NS_PER_S
        for ready_ns in sorted(rows):
            if ready_ns < done_ns or len(rows) > _MAX_OPEN:
                yield rows.pop(ready_ns)
    yield from (rows[second_ns] for second_ns in sorted(rows))


def _with(row: GnssSecond, event: PulseLabel | GnssFix) -> GnssSecond:
    if isinstance(event, PulseLabel):
        return replace(row, qerr_ns=event.qerr_ns, pulse_locked=event.pulse_locked)
    return replace(
        row,
        fix_ok=event.fix_ok,
        time_valid=event.time_valid,
        utc_resolved=event.utc_resolved,
        time_accuracy_ns=event.time_accuracy_ns,
    )
