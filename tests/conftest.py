"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED_DEFAULT = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Captures and series of real devices; tests that need them skip by name without the folder."""
    path = Path(os.environ.get("TIMECARD_SHARED", SHARED_DEFAULT))
    if not (path / "data").is_dir():
        pytest.skip(f"shared data not found at {path} (TIMECARD_SHARED names another place)")
    return path
