"""What counts as a whole number in text from outside."""

from __future__ import annotations

import pytest

from timecard.digits import whole_number


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("115200", 115_200), ("000000007", 7)])
def test_a_number(text: str, number: int) -> None:
    assert whole_number(text) == number


@pytest.mark.parametrize("text", ["", "-1", " 1", "1.0", "\u00b2", "\u0664", "1" * 10, "9" * 5000])
def test_anything_else_is_none(text: str) -> None:
    assert whole_number(text) is None
