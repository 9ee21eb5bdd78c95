"""Cards that come and go while we run, as events.

The kernel's own announcements (netlink, no udev daemon needed) only wake the watcher; what changed is
always found by listing the cards anew, so that a lost or doubled announcement does no harm. Where there are
none the list is compared every ``RESCAN_S``.
"""

from __future__ import annotations

import logging
import select
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Final

import pyudev

from timecard.discovery import CardDescriptor, list_cards
from timecard.udev import links

log = logging.getLogger(__name__)

RESCAN_S: Final = 5.0
SETTLE_S: Final = 0.2
"""Announcements of one card come in a burst; the list is made when they pause."""
MAX_BURST_S: Final = 2.0
SUBSYSTEMS: Final = ("pci", "timecard", "ptp", "pps", "tty", "i2c", "nvmem", "mtd")


class CardChange(Enum):
    """What happened to a card."""

    ARRIVED = "arrived"
    REMOVED = "removed"
    CHANGED = "changed"
    """Another driver, other nodes or another id: its EEPROM has become readable, for instance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardEvent:
    """One card came, went or changed."""

    change: CardChange
    card: CardDescriptor
    """As it is now; as it was last, when it is gone."""
    nodes: tuple[tuple[str, str], ...] = ()
    """Link and node, sorted: ``("phc", "ptp0")``."""
    before: CardDescriptor | None = None


@dataclass(frozen=True, slots=True)
class _Seen:
    card: CardDescriptor
    nodes: tuple[tuple[str, str], ...]


class CardWatcher:
    """Tells what changed since the last call. One thread at a time; also a context manager."""

    def __init__(self, sysfs: Path = Path("/sys"), *, use_netlink: bool = True) -> None:
        """Remember the cards that are there. ``listening`` tells whether the kernel's announcements come.

        They do not where there is no libudev; then cards are looked for every ``RESCAN_S``.
        """
        self._sysfs = sysfs
        self._monitor: pyudev.Monitor | None = None
        if use_netlink:
            self._monitor = _listen()
        self.listening = self._monitor is not None
        self._seen = self._scan()

    @property
    def cards(self) -> list[CardDescriptor]:
        """The cards of the last look, in order of their address."""
        return [seen.card for seen in self._seen.values()]

    def wait(self, timeout_s: float) -> list[CardEvent]:
        """Events, as soon as there are some; an empty list after ``timeout_s``."""
        deadline = time.monotonic() + timeout_s
        while True:
            left_s = deadline - time.monotonic()
            self._announced(max(0.0, min(RESCAN_S, left_s)))
            events = self.look()
            if events or left_s <= 0:
                return events

    def look(self) -> list[CardEvent]:
        """Compare with the last look, now."""
        old, self._seen = self._seen, self._scan()
        return list(_differences(old, self._seen))

    def close(self) -> None:
        """Stop listening."""
        self._monitor = None

    def __enter__(self) -> CardWatcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _scan(self) -> dict[str, _Seen]:
        cards = list_cards(sysfs=self._sysfs)
        return {c.address: _Seen(c, tuple(sorted(links(c, self._sysfs).items()))) for c in cards}

    def _announced(self, timeout_s: float) -> None:
        """Return when a burst of announcements is over, or after the timeout."""
        if self._monitor is None:
            time.sleep(timeout_s)
            return
        if not select.select([self._monitor.fileno()], [], [], timeout_s)[0]:
            return
        end = time.monotonic() + MAX_BURST_S
        while time.monotonic() < end and self._monitor.poll(timeout=SETTLE_S) is not None:
            pass


def _listen() -> pyudev.Monitor | None:
    try:
        monitor = pyudev.Monitor.from_netlink(pyudev.Context(), source="kernel")
        for subsystem in SUBSYSTEMS:
            monitor.filter_by(subsystem)
        monitor.start()
    except (OSError, ImportError) as error:
        log.info("cards are looked for every %g s, not announced reason=%s", RESCAN_S, error)
        return None
    return monitor


def _differences(old: dict[str, _Seen], new: dict[str, _Seen]) -> Iterator[CardEvent]:
    for address in sorted(old.keys() | new.keys()):
        was, now = old.get(address), new.get(address)
        if now is None:
            assert was is not None
            yield CardEvent(change=CardChange.REMOVED, card=was.card, nodes=was.nodes)
        elif was is None:
            yield CardEvent(change=CardChange.ARRIVED, card=now.card, nodes=now.nodes)
        elif was != now:
            yield CardEvent(change=CardChange.CHANGED, card=now.card, nodes=now.nodes, before=was.card)


def describe(event: CardEvent) -> str:
    """One line: ``card 02:00:00:00:00:02 (0000:02:00.0) changed, was pci-0000:02:00.0``."""
    before = event.before
    was = f", was {before.id}" if before is not None and before.id != event.card.id else ""
    return f"card {event.card.id} ({event.card.address}) {event.change.value}{was}"
