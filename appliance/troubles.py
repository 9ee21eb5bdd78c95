"""What core goes on in spite of: said once in the log, and in the alarms of each report while it lasts."""

from __future__ import annotations

import logging

log = logging.getLogger(__name__)


class Troubles:
    """The troubles there are now, by name. For one thread."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}

    @property
    def alarms(self) -> tuple[str, ...]:
        """For an operator, in the order in which they began."""
        return tuple(f"{name}: {reason}" for name, reason in self._reasons.items())

    def note(self, name: str, reason: str | None) -> None:
        """How ``name`` went this time: None when it went well."""
        before = self._reasons.get(name)
        if reason is None:
            self._reasons.pop(name, None)
        else:
            self._reasons[name] = reason
        if before is None and reason is not None:
            log.error("%s: %s", name, reason)
        elif before is not None and reason is None:
            log.warning("%s: all is well again", name)
