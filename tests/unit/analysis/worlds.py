"""Series with known content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from appliance.analysis.reading import read_recording
from appliance.analysis.recording import Array, ReadOptions
from appliance.analysis.series import Piece, Series, to_series
from appliance.analysis.units import Kind


def phase(*pieces: Array, gap: int = 10, interval_s: float = 1.0) -> Series:
    """Pieces of phase in ns with ``gap`` samples missing between them."""
    found, first = [], 0
    for values in pieces:
        found.append(Piece(first, np.asarray(values, dtype=np.float64)))
        first += len(values) + gap
    return Series(
        name="made", kind=Kind.PHASE, unit="ns", interval_s=interval_s, pieces=tuple(found), notes=()
    )


def noise(samples: int, seed: int = 1, sigma: float = 1.0) -> Array:
    """White noise."""
    return np.random.default_rng(seed).normal(0.0, sigma, samples)


def read(path: Path, **options: Any) -> Series:
    """A file as the command reads it."""
    asked = ReadOptions(**options)
    return to_series(read_recording(path, asked), asked)


def written(folder: Path, text: str | bytes, name: str = "clock.txt") -> Path:
    """A file with this content."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path
