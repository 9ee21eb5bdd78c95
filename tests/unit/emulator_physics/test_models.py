"""The product's model tables against the reference table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from timecard.emulator.models import GNSS_RECEIVERS, OSCILLATORS

FIELDS = {
    "wfm_1s": "white_fm_adev_1s",
    "ffm_floor": "flicker_fm_floor",
    "rwfm_1day": "random_walk_adev_1day",
    "aging_per_day": "ageing_per_day",
    "aging_walk_30d": "ageing_wander_30d",
    "tempco_per_degC": "tempco_per_degc",
    "y0": "initial_offset",
}


@pytest.fixture(scope="module")
def reference(shared_dir: Path) -> Any:
    path = shared_dir / "reference/clock-data/params.json"
    return json.loads(path.read_text(encoding="utf-8"))


def test_oscillators_match_the_reference(reference: Any) -> None:
    assert set(reference["oscillators"]) == set(OSCILLATORS)
    for name, values in reference["oscillators"].items():
        assert set(values) == set(FIELDS)
        for theirs, ours in FIELDS.items():
            assert getattr(OSCILLATORS[name], ours) == values[theirs], f"{name}.{ours}"


def test_receivers_match_the_reference(reference: Any) -> None:
    assert set(reference["gnss"]) <= set(GNSS_RECEIVERS)
    for name, values in reference["gnss"].items():
        model = GNSS_RECEIVERS[name]
        assert model.white_ns == values["white_ns"]
        assert [list(term) for term in model.markov_ns_s] == values["gm"]
        assert model.diurnal_amplitude_ns == values["diurnal_amp_ns"]
        assert model.granule_ns == values["saw_pp_ns"]
