"""Which quantisation error belongs to which edge, and with which sign."""

from __future__ import annotations

import csv
import lzma
import statistics
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from timecard.gnss.sawtooth import PairedEdge, SawtoothPairing
from timecard.timescale import NS_PER_S
from timecard.values import EdgeStamp, PulseLabel

S0 = 1_800_000_000
MONO0 = 5_000 * NS_PER_S
LABEL_AFTER_NS = 200_000_000
READ_AFTER_NS = 50_000_000
FAR_OFF_NS = 86_400 * NS_PER_S + 123_456_789


def label(
    second: int, qerr_ns: float | None, locked: bool = True, late_ns: int = LABEL_AFTER_NS
) -> PulseLabel:
    """Names the pulse of ``second``; comes after the one before."""
    return PulseLabel(
        edge_tai_ns=(S0 + second) * NS_PER_S,
        qerr_ns=qerr_ns,
        pulse_locked=locked,
        read_mono_ns=MONO0 + (second - 1) * NS_PER_S + late_ns,
    )


def edge(second: int, offset_ns: int = 0, late_ns: int = READ_AFTER_NS, dropped: bool = False) -> EdgeStamp:
    """The card's clock is off by ``offset_ns``."""
    return EdgeStamp(
        channel="ts0",
        card_tai_ns=(S0 + second) * NS_PER_S + offset_ns,
        event_count=second,
        dropped=dropped,
        read_mono_ns=MONO0 + second * NS_PER_S + late_ns,
    )


def seconds(paired: list[PairedEdge]) -> list[tuple[int | None, float | None]]:
    return [(None if p.edge_tai_ns is None else p.edge_tai_ns // NS_PER_S - S0, p.qerr_ns) for p in paired]


@pytest.mark.parametrize(
    ("near", "offset_ns"),
    [
        (True, 0),
        (True, 399_000_000),
        (True, -399_000_000),
        (False, 0),
        (False, FAR_OFF_NS),
        (False, -FAR_OFF_NS),
    ],
)
def test_each_edge_gets_the_error_of_its_own_label(near: bool, offset_ns: int) -> None:
    pairing = SawtoothPairing()
    out = []
    for second in range(1, 6):
        pairing.add_label(label(second, float(second)))
        out.append(pairing.pair(edge(second, offset_ns), near))
    assert seconds(out) == [(second, float(second)) for second in range(1, 6)]
    assert (pairing.doubles, pairing.stale, pairing.unpaired) == (0, 0, 0)


@pytest.mark.parametrize("near", [True, False])
def test_the_label_of_the_next_pulse_may_be_read_before_this_edge_is(near: bool) -> None:
    """A host that looks once a second reads the label of n + 1 first, then the edge of n."""
    pairing = SawtoothPairing()
    pairing.add_label(label(1, 1.0))
    out = []
    for second in range(1, 5):
        pairing.add_label(label(second + 1, second + 1.0, late_ns=290_000_000))
        out.append(pairing.pair(edge(second, late_ns=300_000_000), near))
    assert seconds(out) == [(second, float(second)) for second in range(1, 5)]


@pytest.mark.parametrize("near", [True, False])
def test_a_missing_label_never_lends_its_neighbours_error(near: bool) -> None:
    pairing = SawtoothPairing()
    out = []
    for second in range(1, 5):
        if second != 3:
            pairing.add_label(label(second, float(second)))
        out.append(pairing.pair(edge(second, 0 if near else FAR_OFF_NS), near))
    named_without_label = 3 if near else None
    assert seconds(out) == [(1, 1.0), (2, 2.0), (named_without_label, None), (4, 4.0)]
    assert pairing.unpaired == 1


def test_a_missing_edge_leaves_no_label_behind() -> None:
    pairing = SawtoothPairing()
    out = []
    for second in range(1, 6):
        pairing.add_label(label(second, float(second)))
        if second != 3:
            out.append(pairing.pair(edge(second), True))
    assert seconds(out) == [(1, 1.0), (2, 2.0), (4, 4.0), (5, 5.0)]
    assert pairing.stale == 1


def test_a_label_is_used_once() -> None:
    pairing = SawtoothPairing()
    pairing.add_label(label(1, 1.0))
    first = pairing.pair(edge(1), True)
    second = pairing.pair(edge(1, late_ns=90_000_000), True)
    assert seconds([first, second]) == [(1, 1.0), (1, None)]


def test_a_double_with_another_story_is_believed_in_neither() -> None:
    pairing = SawtoothPairing()
    pairing.add_label(label(1, 1.0))
    pairing.add_label(label(1, 1.0))
    pairing.add_label(label(2, 2.0))
    pairing.add_label(label(2, 2.5))
    assert seconds([pairing.pair(edge(1), True), pairing.pair(edge(2), True)]) == [(1, 1.0), (2, None)]
    assert pairing.doubles == 2


def test_a_label_for_the_past_is_refused() -> None:
    pairing = SawtoothPairing()
    pairing.add_label(label(2, 2.0))
    pairing.pair(edge(2), True)
    pairing.add_label(label(1, 1.0))
    pairing.add_label(label(2, 2.0))
    assert pairing.stale == 2
    assert seconds([pairing.pair(edge(1, late_ns=99_000_000), True)]) == [(1, None)]


def test_an_old_label_is_not_used_even_for_its_own_second() -> None:
    pairing = SawtoothPairing()
    pairing.add_label(label(1, 1.0, late_ns=-4 * NS_PER_S))
    assert seconds([pairing.pair(edge(1), True)]) == [(1, None)]


def test_an_unlocked_pulse_has_no_usable_error() -> None:
    pairing = SawtoothPairing()
    pairing.add_label(label(1, 1.0, locked=False))
    paired = pairing.pair(edge(1), True)
    assert (paired.qerr_ns, paired.label is not None) == (None, True)


def test_a_clock_half_a_second_off_names_nothing() -> None:
    pairing = SawtoothPairing()
    pairing.add_label(label(1, 1.0))
    assert seconds([pairing.pair(edge(1, 450_000_000), True)]) == [(None, None)]


def test_by_arrival_an_edge_read_late_or_after_a_drop_is_not_named() -> None:
    pairing = SawtoothPairing()
    for second in (1, 2, 3):
        pairing.add_label(label(second, float(second)))
    assert seconds([pairing.pair(edge(1, FAR_OFF_NS, dropped=True), False)]) == [(None, None)]
    # Two labels lie in the window after a stall: it could be either.
    pairing.reset()
    pairing.add_label(label(1, 1.0, late_ns=600_000_000))
    pairing.add_label(label(2, 2.0, late_ns=50_000_000))
    assert seconds([pairing.pair(edge(1, FAR_OFF_NS, late_ns=500_000_000), False)]) == [(None, None)]


def test_a_label_without_a_second_is_ignored() -> None:
    pairing = SawtoothPairing()
    pairing.add_label(PulseLabel(edge_tai_ns=None, qerr_ns=1.0, pulse_locked=True, read_mono_ns=MONO0))
    assert seconds([pairing.pair(edge(1), True)]) == [(1, None)]


@pytest.mark.parametrize("near", [True, False])
def test_the_label_of_a_pulse_that_is_past_does_not_name_the_next_edge(near: bool) -> None:
    pairing = SawtoothPairing()
    paired = []
    for second in range(1, 6):
        # Read where the label of a TIM-TP for the next pulse would be.
        pairing.add_label(replace(label(second + 1, 2.0), edge_tai_ns=(S0 + second) * NS_PER_S, emitted=True))
        paired.append(pairing.pair(edge(second + 1), near))
    assert seconds(paired) == [(second if near else None, None) for second in range(2, 7)]
    assert (pairing.stale, pairing.doubles) == (0, 0)


def test_labels_do_not_pile_up() -> None:
    pairing = SawtoothPairing()
    for second in range(1000):
        pairing.add_label(label(second, 0.0))
    assert len(pairing._labels) <= 8


@pytest.mark.parametrize("near", [True, False])
def test_the_sign_removes_the_sawtooth_of_a_real_series(near: bool, shared_dir: Path) -> None:
    """First differences of an SA53 against a dual-band receiver: 2.12 ns raw, 0.45 right, 4.16 wrong."""
    path = shared_dir / "reference" / "clock-data" / "series_sa53.csv.xz"
    with lzma.open(path, "rt", encoding="ascii") as stream:
        rows = [row for row, _ in zip(csv.DictReader(stream), range(4000), strict=False)]
    pairing = SawtoothPairing()
    raw, right, wrong, shifted = [], [], [], []
    for second, row in enumerate(rows):
        z_ns, qerr_ns = int(row["z_raw_10ps"]) / 100, int(row["qerr_10ps"]) / 100
        pairing.add_label(label(second, qerr_ns))
        # The series says GNSS edge minus our edge: our reading of the edge, less the second.
        paired = pairing.pair(edge(second, round(z_ns) + (0 if near else FAR_OFF_NS)), near)
        assert paired.edge_tai_ns == (S0 + second) * NS_PER_S
        assert paired.qerr_ns is not None
        raw.append(z_ns)
        right.append(z_ns + paired.qerr_ns)
        wrong.append(z_ns - paired.qerr_ns)
        shifted.append(z_ns + int(rows[max(0, second - 1)]["qerr_10ps"]) / 100)
    scatter = [
        statistics.pstdev(b - a for a, b in pairwise(series)) for series in (raw, right, wrong, shifted)
    ]
    assert scatter[0] == pytest.approx(2.12, rel=0.15)
    assert scatter[1] == pytest.approx(0.45, rel=0.15)
    assert scatter[2] == pytest.approx(4.16, rel=0.15)
    assert scatter[3] > scatter[1] * 3
