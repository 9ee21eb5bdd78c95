"""The public Python interface of the hardware layer, the same for every board and every way to a card.

``API_VERSION`` counts as semantic versions do: what stands in ``__all__`` keeps its meaning within a major
version; new names and optional arguments raise the minor one. ``docs/python-api.md`` shows it at work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from timecard.boards import BOARDS, Board, Role
from timecard.bringup.bring_up import Ailment
from timecard.bringup.bring_up import bring_up as _bring_up
from timecard.bringup.delays import DelayLedger, DelayRow
from timecard.bringup.intent import CardIntent, Intent
from timecard.bringup.intent_file import intent_from, load_intent, parse_intent
from timecard.bringup.journal import FileJournal, JournalError
from timecard.bringup.report import BringUpReport, Outcome, Result, StepReport, Verdict
from timecard.bringup.toml_reader import IntentError
from timecard.card import find_card
from timecard.card import open_card as _open_card
from timecard.card_protocols import Card
from timecard.card_values import (
    Access,
    BoardIdentity,
    CardFacts,
    ClockStatus,
    CounterReading,
    GeneratorSettings,
    GeneratorState,
    ImageVersion,
    PpsSlaveStatus,
    PpsSource,
    SelectorStatus,
    SmaConnector,
    TodStatus,
)
from timecard.discovery import CardDescriptor, list_cards
from timecard.doctor import Finding, Severity, examine
from timecard.doctor import diagnose as _diagnose
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
from timecard.timebase import HostTimebase, Timebase
from timecard.values import CrossTimestamp, EdgeStamp

API_VERSION: Final = "1.0"

__all__ = [
    "API_VERSION",
    "BOARDS",
    "Access",
    "Board",
    "BoardIdentity",
    "BringUpReport",
    "Card",
    "CardDescriptor",
    "CardFacts",
    "CardIntent",
    "CardPermissionError",
    "ClockStatus",
    "CounterReading",
    "CrossTimestamp",
    "DelayLedger",
    "DelayRow",
    "DeviceAbsentError",
    "DeviceLostError",
    "DeviceTimeoutError",
    "EdgeStamp",
    "Finding",
    "GeneratorSettings",
    "GeneratorState",
    "ImageVersion",
    "Intent",
    "IntentError",
    "JournalError",
    "Outcome",
    "PpsSlaveStatus",
    "PpsSource",
    "ProtocolError",
    "RefusedError",
    "Result",
    "Role",
    "SelectorStatus",
    "Severity",
    "SmaConnector",
    "StepReport",
    "TimeCardError",
    "TodStatus",
    "UnsupportedError",
    "Verdict",
    "bring_up",
    "describe_card",
    "diagnose",
    "intent_from",
    "list_cards",
    "load_intent",
    "open_card",
    "parse_intent",
]


def describe_card(
    *, id: str | None = None, pci: str | None = None, vfio_user: Path | str | None = None
) -> CardDescriptor:
    """The one card that is named, not opened; without a name the only one there is.

    ``id`` as in ``/dev/timecard/<id>``, ``pci`` an address, ``vfio_user`` the socket of an emulated card.
    Raises ``DeviceAbsentError`` that lists what is there.
    """
    socket = None if vfio_user is None else Path(vfio_user)
    return find_card(CardIntent(id=id, pci=pci, vfio_user=socket))


def open_card(
    card: CardDescriptor | None = None,
    *,
    id: str | None = None,
    pci: str | None = None,
    vfio_user: Path | str | None = None,
    access: Access | None = None,
    timebase: Timebase | None = None,
) -> Card:
    """Open a card that ``list_cards`` gave, or that is named as for ``describe_card``.

    The way follows from who holds it (kernel driver, ``vfio-pci``, nobody); ``access`` insists on one. Raises
    ``DeviceAbsentError``, and ``RefusedError`` with what to do when the way is not free.
    """
    found = card or describe_card(id=id, pci=pci, vfio_user=vfio_user)
    return _open_card(found, timebase or HostTimebase(), access=access)


def diagnose(cards: Sequence[CardDescriptor] | None = None) -> tuple[Finding, ...]:
    """What is wrong with the host and with ``cards`` (all of them without), root causes first.

    The cards must not be open. Takes at most half a minute; nothing is changed, and nothing raises.
    """
    return _diagnose(examine(list_cards() if cards is None else cards))


def bring_up(
    card: Card,
    intent: Intent | Mapping[str, Any] | Path,
    *,
    check: bool = False,
    findings: Sequence[Finding] | None = None,
    journal_directory: Path | None = None,
    on_step: Callable[[StepReport], None] = lambda report: None,
    timebase: Timebase | None = None,
) -> BringUpReport:
    """Make a card what an intent says: a file, a dictionary of the same shape, or an ``Intent``.

    ``check`` changes nothing and tells what would be. ``findings`` of ``diagnose`` are told in the report.
    With ``journal_directory`` a run that is cut off is continued by the next. Errors of the hardware are
    results of the report. Raises ``IntentError`` and ``JournalError``.
    """
    wanted = _intent(intent)
    journal = None
    if journal_directory is not None and not check:
        journal = FileJournal(journal_directory, card.id, wanted.digest)
    return _bring_up(
        card,
        wanted,
        timebase or HostTimebase(),
        check=check,
        journal=journal,
        ailments=None if findings is None else [_ailment(finding) for finding in findings],
        on_step=on_step,
    )


def _intent(intent: Intent | Mapping[str, Any] | Path) -> Intent:
    if isinstance(intent, Intent):
        return intent
    return load_intent(intent) if isinstance(intent, Path) else intent_from(dict(intent))


def _ailment(finding: Finding) -> Ailment:
    return Ailment(
        title=finding.title,
        fix=finding.fix,
        is_error=finding.severity is Severity.FAIL and finding.consequence_of is None,
    )
