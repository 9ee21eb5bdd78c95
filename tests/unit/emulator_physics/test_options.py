"""Options of the virtual card: defaults, ranges, and one clear line for everything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from timecard.emulator.options import CardOptions, OptionError, options_from


def test_oscillator_follows_the_mac() -> None:
    assert CardOptions().oscillator_source == "sa53"
    assert CardOptions(mac="sa55").oscillator_source == "sa55"
    assert CardOptions(mac="none").oscillator_source == "ocxo"
    assert CardOptions(mac="sa53", oscillator="tcxo").oscillator_source == "tcxo"


def test_oscillator_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "frequency.txt"
    path.write_text("0\n0\n", encoding="utf-8")
    assert CardOptions(oscillator=str(path)).oscillator_source == path
    with pytest.raises(OptionError, match="neither a model"):
        _ = CardOptions(oscillator="maser").oscillator_source


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"colour": 1}, "colour: no such option"),
        ({"board": "art"}, "board='art': not available yet"),
        ({"mac": "sa99"}, "mac='sa99': must be one of sa53, sa55, none"),
        ({"gnss": "m8t"}, "gnss='m8t': must be one of f9t_dual"),
        ({"start": "warm"}, "start='warm'"),
        ({"seed": -1}, "seed=-1: must be between"),
        ({"seed": 1.5}, "seed=1.5: must be a whole number"),
        ({"seed": True}, "seed=True: must be a whole number"),
        ({"y0": 1e-3}, "y0=0.001: must be between"),
        ({"y0": "fast"}, "y0='fast': must be a number"),
        ({"world_rate_ppb": float("nan")}, "world_rate_ppb=nan: must be a number"),
        ({"start_tai_ns": 0}, "start_tai_ns=0: must be between"),
        ({"faults": 3}, "faults: must be the path"),
    ],
)
def test_bad_options(values: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as error:
        options_from(values)
    assert message in str(error.value)
