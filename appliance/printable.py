"""Text of a file on a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """``text`` as one line that does nothing to a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
