"""TAI - UTC for a receiver that tells UTC only (NMEA): without it, its pulses cannot be named."""

from __future__ import annotations

from collections.abc import Iterable

from appliance.leap.words import LeapWord
from timecard.gnss.nmea_sentences import table_offset_s


class KnownUtcOffset:
    """The built-in table; beyond it the host's tables, when they agree; beyond those the operator's word.

    ``note`` may be called from another thread than ``at``.
    """

    def __init__(self, configured_s: int | None) -> None:
        self._configured_s = configured_s
        self._words: dict[str, LeapWord] = {}

    def note(self, words: Iterable[LeapWord]) -> None:
        """What tables say now."""
        self._words = self._words | {word.source: word for word in words}

    def at(self, utc_s: int) -> int | None:
        """TAI - UTC at a second of UTC (unix); None: not known."""
        known_s = table_offset_s(utc_s)
        if known_s is not None:
            return known_s
        told = {_offset_s(word, utc_s) for word in self._words.values()} - {None}
        if len(told) > 1:
            return None
        return told.pop() if told else self._configured_s


def _offset_s(word: LeapWord, utc_s: int) -> int | None:
    """What one table vouches for."""
    if word.tai_minus_utc_s is None or word.until_tai_s is None or word.trouble is not None:
        return None
    after_s = word.tai_minus_utc_s + word.change_s
    changed = word.at_tai_s is not None and utc_s + after_s >= word.at_tai_s
    offset_s = after_s if changed else word.tai_minus_utc_s
    return offset_s if utc_s + offset_s < word.until_tai_s else None
