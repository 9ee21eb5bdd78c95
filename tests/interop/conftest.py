"""Fixtures of the tests against other people's programs and over real (virtual) wires."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.netns import Pair, veth_pair

REPORTS = Path(__file__).parents[2] / "run" / "interop"


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """Two hosts and a wire; each test starts its own programs on them."""
    with veth_pair() as made:
        yield made


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Callable[[str, dict[str, Any]], None]:
    """Keep measured figures: in ``run/interop/NAME.json``, in the JUnit file, and on standard output."""

    def keep(name: str, figures: dict[str, Any]) -> None:
        text = json.dumps(figures, indent=1)
        REPORTS.mkdir(parents=True, exist_ok=True)
        (REPORTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        record_property(name, json.dumps(figures))
        print(f"{name}: {text}")

    return keep
