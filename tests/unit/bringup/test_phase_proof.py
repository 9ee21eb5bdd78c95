"""Pairing of pulses in the phase proof."""

from __future__ import annotations

from typing import Final

from timecard.bringup.delays import DelayLedger, DelayRow, Place, Segment
from timecard.bringup.step_proof import PhaseProof, expected_phase_ns
from timecard.values import EdgeStamp

S: Final = 10**9
T: Final = 1_800_000_000 * S


def edge(channel: str, card_tai_ns: int) -> EdgeStamp:
    return EdgeStamp(channel=channel, card_tai_ns=card_tai_ns, event_count=1, dropped=False, read_mono_ns=0)


def feed(proof: PhaseProof, second: int, phase_ns: int) -> None:
    own, gnss = edge("ts5", T + second * S), edge("ts0", T + second * S + phase_ns)
    if phase_ns < 0:
        proof.gnss_edge(gnss)
        proof.own_edge(own)
    else:
        proof.own_edge(own)
        proof.gnss_edge(gnss)


def test_pairs_in_a_row_inside_the_limit_count() -> None:
    proof = PhaseProof(100.0)
    for second, phase_ns in enumerate((5, -5, 99, -99)):
        feed(proof, second, phase_ns)
    assert proof.good_ns == [5, -5, 99, -99]


def test_one_outside_and_a_gap_begin_anew() -> None:
    proof = PhaseProof(100.0)
    for second, phase_ns in enumerate((5, 5, 101, 7)):
        feed(proof, second, phase_ns)
    assert proof.good_ns == [7]
    feed(proof, 9, 8)
    assert proof.good_ns == [8], "seconds were missed"


def test_edges_of_different_seconds_are_no_pair() -> None:
    proof = PhaseProof(1e6)
    proof.own_edge(edge("ts5", T))
    proof.gnss_edge(edge("ts0", T + S))
    assert proof.pairs == 0
    proof.own_edge(edge("ts5", T + S))
    assert (proof.pairs, proof.newest_ns) == (1, 0)


def test_a_phase_of_almost_half_a_second_is_seen() -> None:
    proof = PhaseProof(100.0)
    feed(proof, 0, 499_000_000)
    assert (proof.newest_ns, proof.good_ns) == (499_000_000, [])


def test_what_is_compensated_behind_the_latch_is_expected_in_the_phase() -> None:
    def row(segment: Segment, value_ns: float, place: Place) -> DelayRow:
        return DelayRow(
            segment=segment, value_ns=value_ns, uncertainty_ns=1, origin="measured", compensated_by=place
        )

    ledger = DelayLedger(
        (
            row("antenna-cable", 250, "pps-slave"),
            row("antenna", 20, "receiver"),
            row("splitter", 3, "timestamper"),
            row("receiver-input", 4, "software"),
            row("sma", 9, "software"),
        )
    )
    assert expected_phase_ns(ledger) == 254
    proof = PhaseProof(10.0, 254.0)
    feed(proof, 0, 260)
    assert proof.good_ns == [6.0]
