"""Questions with a time limit: an examination never hangs on a card, a sysfs file or a tty that does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Final, TypeVar

from timecard.doctor.facts import Failure, FailureKind
from timecard.errors import (
    CardPermissionError,
    DeviceAbsentError,
    DeviceLostError,
    DeviceTimeoutError,
    ProtocolError,
    RefusedError,
    TimeCardError,
    UnsupportedError,
)

T = TypeVar("T")

_KINDS: Final[dict[type[TimeCardError], FailureKind]] = {
    DeviceAbsentError: FailureKind.ABSENT,
    DeviceLostError: FailureKind.LOST,
    DeviceTimeoutError: FailureKind.TIMEOUT,
    ProtocolError: FailureKind.PROTOCOL,
    RefusedError: FailureKind.REFUSED,
    UnsupportedError: FailureKind.UNSUPPORTED,
    CardPermissionError: FailureKind.PERMISSION,
}


class StuckError(Exception):
    """A call did not return within its time. Its thread is left alone; the object it uses must be, too."""


def run_limited(function: Callable[[], T], limit_s: float) -> T:
    """The result of ``function``, called in a thread of its own; raises what it raises, or ``StuckError``."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            result = function()
        except BaseException as error:  # noqa: BLE001 - it is raised in the caller's thread
            future.set_exception(error)
        else:
            future.set_result(result)

    # A daemon thread: one that hangs in the kernel must not keep the program from ending.
    threading.Thread(target=run, name="doctor-probe", daemon=True).start()
    try:
        return future.result(limit_s)
    except FutureTimeoutError:
        if future.done():
            raise  # the call's own
        raise StuckError(f"no answer within {limit_s:.1f} s") from None


class Prober:
    """Asks one card: results, failures, and no more questions once it hung or the time is over."""

    def __init__(self, budget_s: float) -> None:
        self.failures: dict[str, Failure] = {}
        self._deadline_s = time.monotonic() + budget_s
        self._stuck = False

    @property
    def left_s(self) -> float:
        """Time left for all further questions."""
        return max(0.0, self._deadline_s - time.monotonic())

    def ask(self, name: str, function: Callable[[], T], limit_s: float) -> T | None:
        """The answer, or None; why there is none is then in ``failures``."""
        if self._stuck:
            return None
        limit_s = min(limit_s, self.left_s)
        if limit_s <= 0:
            self.fail("time left", FailureKind.SKIPPED, "the time for the examination was over")
            return None
        try:
            return run_limited(function, limit_s)
        except StuckError as error:
            self._stuck = True
            self.fail(name, FailureKind.STUCK, str(error))
        except TimeCardError as error:
            self.fail(name, _KINDS.get(type(error), FailureKind.LOST), str(error))
        return None

    def fail(self, name: str, kind: FailureKind, text: str) -> None:
        """Note a failure; the first of a name counts."""
        self.failures.setdefault(name, Failure(kind, text))
