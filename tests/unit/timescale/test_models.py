"""The product's model tables against the shared reference figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from appliance.timescale.models import GNSS, OSCILLATORS, gnss_model, oscillator_model
from tests.unit.timescale.clock_data import folder

OSCILLATOR_FIELDS = {
    "wfm_1s": "white_fm_1s",
    "ffm_floor": "flicker_floor",
    "rwfm_1day": "random_walk_1day",
    "aging_per_day": "aging_per_day",
    "aging_walk_30d": "aging_walk_30d",
    "tempco_per_degC": "tempco_per_degc",
}


def test_tables_agree_with_the_reference(shared_dir: Path) -> None:
    reference = json.loads((folder(shared_dir) / "params.json").read_text(encoding="utf-8"))
    for name, row in reference["oscillators"].items():
        model = OSCILLATORS[name]
        assert {ours: getattr(model, ours) for ours in OSCILLATOR_FIELDS.values()} == {
            ours: row[theirs] for theirs, ours in OSCILLATOR_FIELDS.items()
        }
    for name, row in reference["gnss"].items():
        gnss = GNSS[name]
        assert [list(term) for term in gnss.gauss_markov] == row["gm"]
        assert gnss.white_ns == row["white_ns"]
        assert gnss.daily_amplitude_ns == row["diurnal_amp_ns"]
        assert gnss.sawtooth_pp_ns == row["saw_pp_ns"]


def test_settled_frequency_is_that_of_the_steady_filter(shared_dir: Path) -> None:
    # "frequency sigma ... steady" of the optimal learning times, in 1e-12.
    steady = {"sa53": 2.0, "sa55": 1.25, "mro50": 4.9, "csac": 12.6, "ocxo": 6.9, "tcxo": 43.0}
    for name, value in steady.items():
        assert OSCILLATORS[name].settled_ppb == pytest.approx(value * 1e-3)


def test_the_unknown_part_is_worse_than_every_known_one() -> None:
    unknown = OSCILLATORS["unknown"]
    for model in OSCILLATORS.values():
        if model.name in ("unknown", "fpga_servo"):
            continue
        for field in ("white_fm_1s", "flicker_floor", "random_walk_1day", "aging_per_day", "initial_ppb"):
            assert getattr(unknown, field) >= getattr(model, field), (model.name, field)


@pytest.mark.parametrize(("lookup", "name"), [(oscillator_model, "sa53"), (gnss_model, "f9t_dual")])
def test_lookup_names_what_is_known(lookup: object, name: str) -> None:
    assert callable(lookup)
    assert lookup(name).name == name
    with pytest.raises(ValueError, match=name):
        lookup("quartz-watch")
