"""Another rate for a receiver's line: the line is asked first, the receiver told after it."""

from __future__ import annotations

from timecard.protocols import RateStream


def try_rate(stream: RateStream, baud: int) -> None:
    """See whether the line can go at ``baud``; it is back at its own rate afterwards, nothing was sent.

    A receiver that was told a rate which the line cannot make could not be told to go back. Raises
    ``RefusedError`` where the line has no such rate.
    """
    present = stream.baud
    try:
        stream.set_baud(baud)
    finally:
        stream.set_baud(present)
