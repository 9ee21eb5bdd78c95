"""MTIE by doubling is the MTIE of the definition, and that of allantools."""

from __future__ import annotations

import allantools
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from appliance.analysis.mtie import mtie
from appliance.analysis.recording import Array

VALUES = st.floats(-1e6, 1e6, allow_nan=False)
SERIES = st.integers(2, 70).flatmap(lambda n: arrays(np.float64, n, elements=VALUES))


def by_definition(phase: Array, factor: int) -> float:
    windows = np.lib.stride_tricks.sliding_window_view(phase, factor + 1)
    return float((windows.max(axis=1) - windows.min(axis=1)).max())


@given(SERIES, st.sets(st.integers(1, 80), min_size=1))
def test_every_window_of_every_length(phase: Array, factors: set[int]) -> None:
    found = mtie([phase], sorted(factors))
    fitting = {factor for factor in factors if factor < len(phase)}
    assert found == {factor: by_definition(phase, factor) for factor in fitting}


@given(SERIES, SERIES)
def test_no_window_crosses_a_gap(first: Array, second: Array) -> None:
    factors = range(1, 80)
    apart = [mtie([piece], factors) for piece in (first, second)]
    for factor, value in mtie([first, second], factors).items():
        assert value == max(found[factor] for found in apart if factor in found)


def test_allantools_finds_the_same() -> None:
    phase = np.cumsum(np.random.default_rng(3).normal(size=3000))
    taus, wanted, _, _ = allantools.mtie(phase, rate=1.0, data_type="phase", taus=np.arange(1.0, 1500.0, 7.0))
    found = mtie([phase], [int(tau) for tau in taus])
    assert list(found.values()) == pytest.approx(list(wanted), rel=1e-12)
