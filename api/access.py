"""How requests reach core: one question at a time, its answer shared by those who waited for it."""

from __future__ import annotations

import threading
from typing import Final, Protocol

from appliance.core_report import CoreReport
from appliance.ipc import CoreError, CoreStaleError
from timecard.timebase import Timebase
from timecard.timescale import NS_PER_S

HOLD_NS: Final = 50_000_000
"""An answer is shared for this long: a crowd of clients costs core twenty questions a second."""


class CoreLike(Protocol):
    """Core as the API needs it: ``appliance.ipc.CoreClient``, or a stand-in in a test."""

    def report(self) -> CoreReport:
        """The newest report; raises ``CoreError``."""
        ...


class CoreAccess:
    """Valid reports only. A failure is shared like an answer: waiting for a dead core is done once."""

    def __init__(self, core: CoreLike, timebase: Timebase, *, hold_ns: int = HOLD_NS) -> None:
        self._core = core
        self._timebase = timebase
        self._hold_ns = hold_ns
        self._lock = threading.Lock()
        self._answer: CoreReport | CoreError | None = None
        self._answered_ns = 0

    def mono_ns(self) -> int:
        """Now, on the clock that reports expire by."""
        return self._timebase.mono_ns()

    def report(self) -> CoreReport:
        """A report that is valid now. Raises ``CoreError``."""
        asked_ns = self.mono_ns()
        with self._lock:
            if self._answer is None or self._answered_ns < asked_ns - self._hold_ns:
                self._answer = self._ask()
                self._answered_ns = self.mono_ns()
            answer = self._answer
        if isinstance(answer, CoreError):
            # A fresh object: raising one exception in several threads would tangle their tracebacks.
            raise type(answer)(str(answer)) from answer
        now_ns = self.mono_ns()
        if answer.expired(now_ns):
            late_s = (now_ns - answer.valid_until_mono_ns) / NS_PER_S
            raise CoreStaleError(f"core's report expired {late_s:.1f} s ago: core has stalled; restart it")
        return answer

    def _ask(self) -> CoreReport | CoreError:
        try:
            return self._core.report()
        except CoreError as error:
            return error
