"""MTIE and TDEV as an established program computes them."""

from __future__ import annotations

import allantools
import numpy as np
import pytest

from appliance.timescale.time_deviation import mtie_ns, tdev_ns

SERIES = {
    "white": np.random.default_rng(1).standard_normal(1_000),
    "walk": np.cumsum(np.random.default_rng(2).standard_normal(777)),
    "ramp": np.arange(130.0) * 0.25,
}


@pytest.mark.parametrize("name", SERIES)
def test_both_agree_with_allantools(name: str) -> None:
    phase_ns = SERIES[name]
    for ours, theirs in ((mtie_ns(phase_ns), allantools.mtie), (tdev_ns(phase_ns), allantools.tdev)):
        intervals, values, _, _ = theirs(phase_ns, rate=1.0, data_type="phase", taus=[t for t, _ in ours])
        known = dict(zip(intervals, values, strict=True))
        assert len(known) >= len(ours) - 1  # allantools leaves out an interval with a single window
        assert [v for t, v in ours if t in known] == pytest.approx(list(known.values()), rel=1e-9, abs=1e-9)


def test_a_series_that_is_too_short_has_no_curve() -> None:
    for length in (0, 1):
        assert mtie_ns(np.zeros(length)) == ()
        assert tdev_ns(np.zeros(length)) == ()
    assert mtie_ns(np.array([1.0, 4.0])) == ((1.0, 3.0),)
