"""Whole numbers in text from outside.

``str.isdigit`` also takes superscripts, and ``int`` fails on thousands of digits.
"""

from __future__ import annotations

from typing import Final

MOST_DIGITS: Final = 9


def whole_number(text: str) -> int | None:
    """A number of at most nine ASCII digits; None for anything else."""
    return int(text) if len(text) <= MOST_DIGITS and text.isascii() and text.isdigit() else None
