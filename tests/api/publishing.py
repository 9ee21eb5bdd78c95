"""Core's side of its socket, with a report made anew for each question."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from appliance.core_report import CoreReport
from appliance.events import CommandKind
from timecard.timebase import HostTimebase

FIVE_S = 5_000_000_000


class Publishing:
    """``changes`` are of the snapshot; ``age_ns`` is how old a report is when it is asked for."""

    def __init__(self, report_of: Callable[..., CoreReport]) -> None:
        self._report_of = report_of
        self.changes: dict[str, Any] = {}
        self.age_ns = 0

    def report(self) -> CoreReport | None:
        as_of_ns = HostTimebase().mono_ns() - self.age_ns
        return self._report_of(
            as_of_mono_ns=as_of_ns,
            void_after_mono_ns=as_of_ns + FIVE_S,
            since_mono_ns=as_of_ns,
            **self.changes,
        )

    def command(self, kind: CommandKind) -> str:
        return kind.value

    def rehearse(self, limit_ns: float, duration_s: float) -> str:
        raise AssertionError(f"nobody here asks for {limit_ns} ns and {duration_s} s")
