"""What every emulated oscillator module has at its serial port: a line, latency, and the faults of both.

A part adds what it does with bytes and with time. All times are true TAI.
"""

from __future__ import annotations

import random
import re
from abc import ABC, abstractmethod
from typing import Final

from timecard.emulator.serial_line import SerialLine
from timecard.timescale import NS_PER_S

_LAST_DIGIT: Final = re.compile(rb"[0-9](?=[^0-9]*$)")


class SerialPart(ABC):
    """A ``SerialDevice`` that answers requests; the attributes without underscore are switched by tests."""

    def __init__(self, baud: int, rng: random.Random, latency_ns: tuple[int, int]) -> None:
        """``latency_ns``: shortest and longest time from a request to the first bit of its answer."""
        self.baud = baud
        self.silent = False
        """The UART is dead; the oscillator goes on."""
        self.garbage_bytes = 0
        """So many random bytes come before each answer, and one byte of it may be damaged."""
        self.truncated = False
        """Answers end half way."""
        self.late_ns = 0
        """Answers come so much later."""
        self.wrong_echo = False
        """The last digit of each answer is another one."""
        self.wrong_speed = False
        """The part talks at another rate than its host: both see noise."""
        self.reset_in_command = False
        """The next command is answered half, and then the part restarts: once."""
        self._random = rng
        self._line = SerialLine(baud)
        self._latency_ns = latency_ns
        self._last_words = b""
        self._down_until_ns: int | None = None
        """Starting up, or without power, until then."""

    # --- what a part adds -----------------------------------------------------------------------------------

    @abstractmethod
    def _hear(self, data: bytes, t_ns: int) -> None:
        """Bytes from the host, while the part is up."""

    @abstractmethod
    def _pass_time(self, t_ns: int) -> None:
        """Let everything but start-up happen up to ``t_ns``."""

    @abstractmethod
    def _booted(self, at_ns: int) -> None:
        """Start-up is over."""

    @abstractmethod
    def restart(self, t_ns: int) -> None:
        """What the part's own reset does: it keeps its power and its heat."""

    @abstractmethod
    def power_cycle(self, t_ns: int, off_s: float = 1.0) -> None:
        """The supply fails, and comes back after ``off_s``: what is not stored is lost."""

    @abstractmethod
    def unlock(self, t_ns: int) -> None:
        """The lock is lost and does not come back before ``relock``."""

    @abstractmethod
    def relock(self, t_ns: int) -> None:
        """Let acquisition begin again."""

    # --- the card's side ------------------------------------------------------------------------------------

    def receive(self, data: bytes, t_ns: int) -> None:
        """Bytes from the host; while the part starts up they are lost."""
        self.advance(t_ns)
        if self.silent or not self._listens():
            return
        self._hear(self._random.randbytes(len(data)) if self.wrong_speed else data, t_ns)

    def transmit(self, t_ns: int) -> bytes:
        """Bytes that have come out of the UART since the last call."""
        self.advance(t_ns)
        return self._line.take(t_ns)

    def next_byte_ns(self) -> int | None:
        """When ``transmit`` will have something new; None until something is asked."""
        waiting = self._line.next_ns()
        return self._down_until_ns if waiting is None else waiting

    def advance(self, t_ns: int) -> None:
        """Let everything happen up to ``t_ns``."""
        self._pass_time(t_ns)
        if self._down_until_ns is not None and t_ns >= self._down_until_ns:
            at_ns, self._down_until_ns = self._down_until_ns, None
            self._booted(at_ns)

    # --- for parts ------------------------------------------------------------------------------------------

    def _listens(self) -> bool:
        return self._down_until_ns is None

    def _answer(self, answer: bytes, t_ns: int) -> None:
        """Send the answer to a command, with latency and whatever is wrong with the line or the part."""
        at_ns = max(t_ns, self._line.free_ns) + self._random.randint(*self._latency_ns) + self.late_ns
        if self.reset_in_command:
            self.reset_in_command = False
            self._last_words = answer[: len(answer) // 2]
            self.restart(t_ns)
        elif answer:
            self._line.put(self._damaged(answer), at_ns)

    def _notice(self, text: bytes, t_ns: int) -> None:
        """Send something unasked."""
        if not self.silent:
            self._line.put(self._garbled(text), t_ns)

    def _go_down(self, at_ns: int, until_ns: int) -> None:
        """Start-up, or no power, from ``at_ns`` until then; what was being sent is lost."""
        self._line.clear()
        if self._last_words:
            self._line.put(self._last_words, at_ns)
            self._last_words = b""
        self._down_until_ns = until_ns

    def _damaged(self, answer: bytes) -> bytes:
        if self.wrong_echo:
            answer = _LAST_DIGIT.sub(lambda digit: b"%d" % ((int(digit[0]) + 1) % 10), answer)
        if self.truncated:
            answer = answer[: len(answer) // 2]
        if self.garbage_bytes:
            noise = self._random.randbytes(self.garbage_bytes)
            if answer and self._random.random() < 0.3:
                at = self._random.randrange(len(answer))
                answer = answer[:at] + bytes((self._random.randrange(256),)) + answer[at + 1 :]
            answer = noise + answer
        return self._garbled(answer)

    def _garbled(self, data: bytes) -> bytes:
        return self._random.randbytes(len(data)) if self.wrong_speed else data


def seconds_ns(seconds: float) -> int:
    """Seconds as whole ns."""
    return round(seconds * NS_PER_S)
