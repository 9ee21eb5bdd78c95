"""Pairs each GNSS edge with the label, and so the quantisation error, of exactly that pulse.

UBX-TIM-TP speaks of the *next* pulse and names it by week and time of week (u-blox F9 interface
description). A correction applied to a neighbouring pulse is worse than none, so a label is used only for
the second that it names, once, and never when there is doubt.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from timecard.timescale import NS_PER_S, nearest_second_ns
from timecard.values import EdgeStamp, PulseLabel

NEAR_TAI_NS: Final = 400_000_000
"""A clock this close to TAI tells by itself which second an edge belongs to."""
MIN_LEAD_NS: Final = 400_000_000
MAX_LEAD_NS: Final = 1_400_000_000
"""By order of arrival: a label comes 0.03 to 0.6 s after the previous pulse, an edge is read within 0.4 s.
The window is exactly one second wide, so that at most one label of a healthy receiver lies in it."""
STALE_NS: Final = 3 * NS_PER_S
_KEPT: Final = 8


PAST_LEAD_NS: Final = 380_000_000
"""A label of the pulse just past is read 0 to 0.98 s after it, so 0.02 to 1.02 s before the next one."""


def label_of_next(label: PulseLabel) -> PulseLabel:
    """What a label says of the next pulse: one of the pulse just past names it, and not its error."""
    if not label.emitted:
        return label
    next_ns = None if label.edge_tai_ns is None else label.edge_tai_ns + NS_PER_S
    read_ns = label.read_mono_ns - PAST_LEAD_NS
    return replace(label, edge_tai_ns=next_ns, qerr_ns=None, emitted=False, read_mono_ns=read_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedEdge:
    """An edge and what is known of it."""

    edge_tai_ns: int | None
    """The whole TAI second that it marks; None when that cannot be told."""
    qerr_ns: float | None
    """Add to (edge minus second) to remove the sawtooth; None when this pulse has no usable one."""
    label: PulseLabel | None
    """The label that names this pulse."""


class SawtoothPairing:
    """Labels and edges in, in the order in which they were read; pairs out."""

    def __init__(self) -> None:
        self._labels: dict[int, PulseLabel] = {}
        self._last_edge_tai_ns: int | None = None
        self.doubles = 0
        """Labels that named a second for the second time."""
        self.stale = 0
        """Labels refused because their pulse was past, or too old when an edge came."""
        self.unpaired = 0
        """Edges without a label."""

    def reset(self) -> None:
        """Forget everything: after a step of the card's clock or a restart of the receiver."""
        self._labels.clear()
        self._last_edge_tai_ns = None

    def add_label(self, label: PulseLabel) -> None:
        """Take a label; one without a second cannot be used.

        Nor can that of a pulse that is past: its edge has been given out, and by its arrival it would name
        the next one.
        """
        second_ns = label.edge_tai_ns
        if second_ns is None or label.emitted:
            return
        last_ns = self._last_edge_tai_ns
        if last_ns is not None and second_ns <= last_ns and last_ns - second_ns < 60 * NS_PER_S:
            self.stale += 1
            return
        known = self._labels.get(second_ns)
        if known is not None:
            self.doubles += 1
            if known.qerr_ns != label.qerr_ns:
                # Two stories about one pulse: believe neither.
                self._labels[second_ns] = PulseLabel(
                    edge_tai_ns=second_ns,
                    qerr_ns=None,
                    pulse_locked=known.pulse_locked and label.pulse_locked,
                    read_mono_ns=known.read_mono_ns,
                )
            return
        self._labels[second_ns] = label
        while len(self._labels) > _KEPT:
            del self._labels[next(iter(self._labels))]

    def pair(self, stamp: EdgeStamp, card_near_tai: bool) -> PairedEdge:
        """Name an edge.

        ``card_near_tai``: the card's clock is known to be within 0.4 s of TAI, so its own reading names the
        second. Otherwise the label that was read 0.4 to 1.4 s before the edge does, if there is exactly one.
        """
        second_ns = self._by_clock(stamp) if card_near_tai else self._by_arrival(stamp)
        label = None if second_ns is None else self._take(second_ns, stamp.read_mono_ns)
        if label is None:
            self.unpaired += 1
        if second_ns is not None:
            self._last_edge_tai_ns = second_ns
        qerr_ns = label.qerr_ns if label is not None and label.pulse_locked else None
        return PairedEdge(edge_tai_ns=second_ns, qerr_ns=qerr_ns, label=label)

    @staticmethod
    def _by_clock(stamp: EdgeStamp) -> int | None:
        second_ns = nearest_second_ns(stamp.card_tai_ns)
        return second_ns if abs(stamp.card_tai_ns - second_ns) <= NEAR_TAI_NS else None

    def _by_arrival(self, stamp: EdgeStamp) -> int | None:
        if stamp.dropped:
            return None  # which of several edges was read is unknown
        fitting = [
            second_ns
            for second_ns, label in self._labels.items()
            if MIN_LEAD_NS < stamp.read_mono_ns - label.read_mono_ns <= MAX_LEAD_NS
        ]
        return fitting[0] if len(fitting) == 1 else None

    def _take(self, second_ns: int, read_mono_ns: int) -> PulseLabel | None:
        """The label of this second, which cannot be used again; older ones go with it."""
        label = self._labels.pop(second_ns, None)
        for older_ns in [known for known in self._labels if known < second_ns]:
            del self._labels[older_ns]
            self.stale += 1
        if label is not None and read_mono_ns - label.read_mono_ns > STALE_NS:
            self.stale += 1
            return None
        return label
