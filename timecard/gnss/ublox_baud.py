"""Another rate for the line to a u-blox receiver, and back when it is not heard there.

The line is tried first: a receiver at a rate that the line cannot make is lost. The acknowledgement of a new
rate may come at the old one or at the new one, so nothing is concluded from it: MON-VER is asked at the new
rate. Nothing is stored until the receiver was heard there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from timecard.errors import DeviceTimeoutError, RefusedError
from timecard.gnss.line_rate import try_rate
from timecard.gnss.ublox_line import Answer, UbloxLine
from timecard.protocols import RateStream

SET_S: Final = 0.5
"""How long to wait for an acknowledgement that may not be heard."""
_TRIES: Final = 3
_IDENTIFY_S: Final = 1.5


def switch_baud(
    line: UbloxLine, new: int, old: int, *, tell: Callable[[int], Answer], keep: Callable[[], bool]
) -> str | None:
    """Change the rate; None, or why it stayed as it was.

    ``tell`` writes a rate without storing it, at the line's present one; ``keep`` stores the new one and says
    whether it reads back. Raises ``DeviceTimeoutError`` when the receiver is then heard at neither rate. The
    FPGA's time-of-day slave is not told: it goes on listening at the old rate until its own is changed.
    """
    if not isinstance(line.stream, RateStream):
        return "baud: the rate of this line cannot be changed from here"
    line_baud = line.stream.baud
    try:
        try_rate(line.stream, new)
    except RefusedError as error:
        return f"baud: {error.reason}"
    if tell(new) is Answer.REFUSED:
        return f"baud = {new} was refused"
    problem = f"baud: the receiver was not heard at {new}"
    try:
        if line.answers_at(new, _TRIES, _IDENTIFY_S):
            if keep():
                return None
            problem = f"baud = {new} is not what was read back"
    except DeviceTimeoutError as error:
        problem = f"baud: heard at {new}, then no more: {error.reason}"
    # It may hear at the new rate without being heard, so it is told there first.
    tell(old)
    if not line.answers_at(line_baud, _TRIES, _IDENTIFY_S):
        raise DeviceTimeoutError(
            line.name, "change baud rate", f"the receiver answers neither at {new} nor at {line_baud} baud"
        )
    return f"{problem}; back at {line_baud} baud"
