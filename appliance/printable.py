"""Text of others, for a terminal, a log line or a report."""

from __future__ import annotations

from typing import Final

MAX_TEXT: Final = 500
"""Characters of a reason or an alarm, wherever it may come from."""
_MAX_SHOWN: Final = 80


def printable(text: str) -> str:
    """``text`` as one line that does nothing to a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def shortened(text: str, limit: int = MAX_TEXT) -> str:
    """``text`` in at most ``limit`` characters; dots say that there was more."""
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def shown(value: object) -> str:
    """A value that somebody else wrote, as Python writes it, short enough for an error message."""
    return shortened(repr(value), _MAX_SHOWN)
