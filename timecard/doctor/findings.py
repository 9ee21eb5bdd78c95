"""Findings: what is wrong, why, what shows it, what to do. And how the checks' table entries become them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from timecard.boards import BOARDS, Board
from timecard.doctor.facts import CardExamination, HostFacts


class Severity(Enum):
    """How bad a finding is; the value orders them."""

    FAIL = 0
    """Something does not work."""
    WARN = 1
    """Something is worse than it could be, or will be."""
    INFO = 2
    """Worth knowing; nothing to repair."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A kind of finding, as the table has it; ``{words}`` are filled in by the check.

    ``explains`` lists ids of findings that follow from this one: on the same card they are consequences.
    """

    severity: Severity
    title: str
    cause: str
    fix: str
    explains: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """A check saw something: which entry applies, what showed it, words for the texts."""

    id: str
    evidence: tuple[str, ...]
    words: Mapping[str, object] = field(default_factory=dict)
    severity: Severity | None = None
    """Instead of the entry's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One finding about the host or a card."""

    id: str
    severity: Severity
    title: str
    cause: str
    evidence: tuple[str, ...]
    fix: str
    card: str | None
    """Id of the card; None for the host."""
    consequence_of: str | None = None
    """Id of the finding that explains this one."""


@dataclass(frozen=True, slots=True)
class Case:
    """What a check looks at: one card and its host."""

    host: HostFacts
    card: CardExamination

    @property
    def board(self) -> Board | None:
        """The card's board, when it is known."""
        return BOARDS.get(self.card.board or "")

    def log(self, *words: str) -> tuple[str, ...]:
        """Lines of the kernel's log that name this card and contain one of ``words``."""
        address = self.card.pci.address if self.card.pci else ""
        lines = self.host.kernel_log or ()
        return tuple(line for line in lines if address in line and any(word in line for word in words))


CardCheck = Callable[[Case], Iterator[Seen]]
HostCheck = Callable[[HostFacts, Iterable[CardExamination]], Iterator[Seen]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Findings of one theme, and the checks that make them."""

    title: str
    entries: Mapping[str, Entry]
    card_checks: tuple[CardCheck, ...] = ()
    host_checks: tuple[HostCheck, ...] = ()
