"""The masks are those of the reference and of allantools, and a verdict names its worst point."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from allantools import mask as theirs
from hypothesis import given
from hypothesis import strategies as st

from appliance.analysis.masks import MASKS, judge, limit_ns

CURVES = {
    ("PRTC-A", "mtie"): theirs.prtcA_mtie, ("PRTC-A", "tdev"): theirs.prtcA_tdev,
    ("PRTC-B", "mtie"): theirs.prtcB_mtie, ("PRTC-B", "tdev"): theirs.prtcB_tdev,
    ("ePRTC", "mtie"): theirs.eprtc_mtie, ("ePRTC", "tdev"): theirs.eprtc_tdev,
    ("PRC", "mtie"): theirs.prc_mtie, ("PRC", "tdev"): theirs.prc_tdev,
}  # fmt: skip
EDGES = {edge for mask in MASKS.values() for part in (mask.mtie, mask.tdev) for edge in (s[0] for s in part)}


def test_the_table_is_that_of_the_reference(shared_dir: Path) -> None:
    path = shared_dir / "reference" / "clock-data" / "standards.json"
    wanted = json.loads(path.read_text(encoding="utf-8"))["masks"]
    assert set(wanted) == set(MASKS)
    for name, mask in MASKS.items():
        figures = wanted[name]
        assert mask.recommendation.split(" (")[0] == figures["recommendation"].split(" (")[0]
        assert mask.confirmed == (figures["status"] == "cross-checked")
        assert mask.max_abs_te_ns == figures.get("max_abs_te_ns")
        assert [list(segment) for segment in mask.mtie] == figures["mtie"]
        assert [list(segment) for segment in mask.tdev] == figures["tdev"]


@given(st.sampled_from(sorted(CURVES)), st.floats(0.11, 1e7))
def test_allantools_has_the_same_curves(which: tuple[str, str], tau_s: float) -> None:
    mask = MASKS[which[0]]
    limit = limit_ns(mask.mtie if which[1] == "mtie" else mask.tdev, tau_s)
    if limit is not None and tau_s not in EDGES:  # at an edge both pieces are within their rounding
        assert limit == pytest.approx(CURVES[which](tau_s) * 1e9, rel=1e-6)


def test_outside_its_range_a_mask_says_nothing() -> None:
    assert limit_ns(MASKS["PRTC-A"].tdev, 0.1) is None
    assert limit_ns(MASKS["PRTC-A"].tdev, 1e5) == 30
    assert limit_ns(MASKS["PRTC-A"].tdev, 1.001e5) is None


def test_the_worst_point_is_named_with_its_margin() -> None:
    verdict = judge(
        MASKS["PRTC-B"], max_abs_te_ns=39.0, mtie_ns={1: 5.0, 10: 27.0, 1e9: 99.0}, tdev_ns={1: 0.4, 200: 2.5}
    )
    error, widest, tdev = verdict.parts
    assert [part.passed for part in verdict.parts] == [True, True, False]
    assert [part.tau_s for part in verdict.parts] == [None, 10, 200]
    assert [part.margin_ns for part in verdict.parts] == pytest.approx([1.0, 0.75, -0.5])
    assert (error.value_ns, error.limit_ns) == (39.0, 40)
    assert (widest.tested_from_s, widest.tested_to_s, widest.points) == (1, 10, 2)
    assert (tdev.value_ns, tdev.limit_ns) == (2.5, 2.0)
    assert verdict.passed is False


def test_what_was_not_tested_is_neither_passed_nor_failed() -> None:
    untested = judge(MASKS["PRTC-A"], max_abs_te_ns=None, mtie_ns={}, tdev_ns={})
    assert untested.passed is None
    assert all(part.passed is None and part.reason for part in untested.parts)
    assert judge(MASKS["PRTC-A"], max_abs_te_ns=None, mtie_ns={1: 3.0}, tdev_ns={}).passed is True
    assert [
        part.quantity for part in judge(MASKS["PRC"], max_abs_te_ns=1.0, mtie_ns={}, tdev_ns={}).parts
    ] == [
        "MTIE",
        "TDEV",
    ]
