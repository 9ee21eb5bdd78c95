"""What goes wrong with a flight record."""

from __future__ import annotations


class FlightError(Exception):
    """A flight record cannot be read or replayed; the text names the file and what is wrong."""
