"""Naming what is on a line that carries no UBX."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from timecard.gnss.foreign import protocol_name
from timecard.gnss.ubx import without_header


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("trimble-res720.log", "Trimble TSIP"),
        ("sbf/mosaic-x5-sbfdata.log", "Septentrio SBF"),
        ("sbf/pygpsdata_x5_status.log", "Septentrio SBF"),
        ("neo-m8n.log", "NMEA"),
        ("polarx2.log", "NMEA"),
    ],
)
def test_protocols_of_captures_are_named(name: str, expected: str, shared_dir: Path) -> None:
    sample = without_header((shared_dir / "data" / "gnss" / name).read_bytes())[:2048]
    assert protocol_name(sample) == expected


def test_noise_is_not_given_a_name() -> None:
    rng = random.Random(1)
    assert [protocol_name(rng.randbytes(2048)) for _ in range(50)] == [None] * 50
    assert protocol_name(b"") is None
    assert protocol_name(b"$@") is None
