"""How requests reach core: one question at a time, its answer shared by those who waited for it."""

from __future__ import annotations

import threading
from typing import Final, Protocol

from starlette.concurrency import run_in_threadpool

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
        self._held: tuple[int, CoreReport | CoreError] | None = None
        """When core answered, and what: replaced as a whole, so that it may be read without the lock."""

    def mono_ns(self) -> int:
        """Now, on the clock that reports expire by."""
        return self._timebase.mono_ns()

    async def report(self) -> CoreReport:
        """A report that is valid now; raises ``CoreError``. The event loop is not held up by a slow core."""
        asked_ns = self.mono_ns()
        answer = self._shared(asked_ns)
        if answer is None:
            answer = await run_in_threadpool(self._ask, asked_ns)
        return self._checked(answer)

    def _shared(self, asked_ns: int) -> CoreReport | CoreError | None:
        """The held answer, if it is new enough for a question of ``asked_ns``."""
        held = self._held
        return held[1] if held is not None and held[0] >= asked_ns - self._hold_ns else None

    def _ask(self, asked_ns: int) -> CoreReport | CoreError:
        """On a worker thread. The first one asks; those who waited for it share its answer."""
        with self._lock:
            answer = self._shared(asked_ns)
            if answer is None:
                try:
                    answer = self._core.report()
                except CoreError as error:
                    answer = error
                self._held = (self.mono_ns(), answer)
            return answer

    def _checked(self, answer: CoreReport | CoreError) -> CoreReport:
        if isinstance(answer, CoreError):
            # A fresh object: one exception raised for several requests would collect their tracebacks.
            raise type(answer)(str(answer)) from answer
        now_ns = self.mono_ns()
        if answer.expired(now_ns):
            late_s = (now_ns - answer.valid_until_mono_ns) / NS_PER_S
            raise CoreStaleError(f"core's report expired {late_s:.1f} s ago: core has stalled; restart it")
        return answer
