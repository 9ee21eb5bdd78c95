"""What all tests share."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

SHARED_DEFAULT = Path(__file__).resolve().parents[2] / "shared"
# An example may take as long as a busy machine makes it.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Captures and series of real devices; tests that need them skip by name without the folder."""
    path = Path(os.environ.get("TIMECARD_SHARED", SHARED_DEFAULT))
    if not (path / "data").is_dir():
        pytest.skip(f"shared data not found at {path} (TIMECARD_SHARED names another place)")
    return path


FULL_TIMEOUT_S = 1_800


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is full size takes minutes even on a quiet machine."""
    for item in items:
        if item.get_closest_marker("full") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(FULL_TIMEOUT_S))


_STATE_NUMBERS = itertools.count()


@pytest.fixture(scope="session", autouse=True)
def _states(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """For what runs longer than one test."""
    states = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STATE_DIRECTORY", str(states / "shared"))
        yield states


@pytest.fixture(autouse=True)
def own_state(_states: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the product keeps what a test does not say where to keep: never the system's folder."""
    state = _states / str(next(_STATE_NUMBERS))
    monkeypatch.setenv("STATE_DIRECTORY", str(state))
    return state
