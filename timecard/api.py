"""The public Python interface of the hardware layer, the same for every board and every way to a card.

``API_VERSION`` counts as semantic versions do: what stands in ``__all__`` keeps its meaning within a major
version; new names and optional arguments raise the minor one. ``docs/python-api.md`` shows it at work.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from timecard.board_data.backup import Backup as EepromBackup
from timecard.board_data.backup import save_backup, take_backup
from timecard.boards import BOARDS, Board, Role
from timecard.bringup.bench import RECEIVER_S
from timecard.bringup.bring_up import Ailment
from timecard.bringup.bring_up import bring_up as _bring_up
from timecard.bringup.delays import DelayLedger, DelayRow
from timecard.bringup.intent import CardIntent, Intent
from timecard.bringup.intent_file import intent_from, load_intent, parse_intent
from timecard.bringup.journal import FileJournal, JournalError
from timecard.bringup.oscillator import open_oscillator as _open_oscillator
from timecard.bringup.report import BringUpReport, Outcome, Result, StepReport, Verdict
from timecard.card import find_card
from timecard.card import open_card as _open_card
from timecard.card_protocols import Card, Memory
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
from timecard.firmware.image import Image as FirmwareImage
from timecard.firmware.image import check_file as check_image
from timecard.firmware.pins import Pin as FirmwarePin
from timecard.firmware.pins import find_pin, read_pins
from timecard.firmware.update import FirmwareUpdate
from timecard.gnss.detect import detect
from timecard.gnss.driver import Receiver
from timecard.gnss.intent import GnssIntent
from timecard.hotplug import CardChange, CardEvent, CardWatcher
from timecard.kernel.devlink import FlashProgress
from timecard.kernel.kernel_card import KernelCard
from timecard.mac.driver import Oscillator, OscillatorCapability
from timecard.mac.wear import WRITES_FILE, WearLedger
from timecard.state_folder import state_directory
from timecard.timebase import HostTimebase, Timebase
from timecard.toml_reader import IntentError
from timecard.values import CrossTimestamp, EdgeStamp, GnssFix, LeapInfo, PulseLabel

API_VERSION: Final = "1.1"

__all__ = [
    "API_VERSION",
    "BOARDS",
    "Access",
    "Board",
    "BoardIdentity",
    "BringUpReport",
    "Card",
    "CardChange",
    "CardDescriptor",
    "CardEvent",
    "CardFacts",
    "CardIntent",
    "CardPermissionError",
    "CardWatcher",
    "ClockStatus",
    "CounterReading",
    "CrossTimestamp",
    "DelayLedger",
    "DelayRow",
    "DeviceAbsentError",
    "DeviceLostError",
    "DeviceTimeoutError",
    "EdgeStamp",
    "EepromBackup",
    "Finding",
    "FirmwareImage",
    "FirmwarePin",
    "FirmwareUpdate",
    "FlashProgress",
    "GeneratorSettings",
    "GeneratorState",
    "GnssFix",
    "GnssIntent",
    "ImageVersion",
    "Intent",
    "IntentError",
    "JournalError",
    "LeapInfo",
    "Memory",
    "Oscillator",
    "OscillatorCapability",
    "Outcome",
    "PpsSlaveStatus",
    "PpsSource",
    "ProtocolError",
    "PulseLabel",
    "Receiver",
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
    "check_image",
    "describe_card",
    "devlink_flash",
    "diagnose",
    "find_pin",
    "intent_from",
    "list_cards",
    "load_intent",
    "open_card",
    "open_oscillator",
    "open_receiver",
    "parse_intent",
    "read_pins",
    "save_backup",
    "take_backup",
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


def open_receiver(card: Card, role: Role = Role.GNSS, *, timebase: Timebase | None = None) -> Receiver:
    """The GNSS receiver of an open card, found at whatever rate it talks, and identified.

    Used as it is configured: ``plan`` and ``apply`` change that, ``poll`` gives what it says. Raises
    ``DeviceAbsentError`` and ``UnsupportedError`` that say what was heard.
    """
    stream, clock = card.serial(role), timebase or HostTimebase()
    receiver = detect(stream, clock, limit_s=RECEIVER_S).driver.open(stream, clock, None)
    receiver.start()
    return receiver


def open_oscillator(
    card: Card, *, family: str | None = None, state: Path | None = None, timebase: Timebase | None = None
) -> Oscillator:
    """The oscillator of an open card, whatever leads to it. ``family``: the one that must be there.

    Writes to its non-volatile memory are counted in the folder ``state``, the product's own without. Raises
    ``DeviceAbsentError`` when nobody answers, ``RefusedError`` for another family, ``UnsupportedError`` where
    there is no way to it.
    """
    folder = state_directory(os.environ, os.geteuid()) if state is None else state
    wear = WearLedger(folder / WRITES_FILE)
    return _open_oscillator(card, timebase or HostTimebase(), wanted=family, wear=wear)[0]


def devlink_flash(
    card: Card, file_name: str, progress: Callable[[FlashProgress], None] = lambda report: None
) -> None:
    """Have the kernel driver write a file of ``/lib/firmware``; returns when it is done.

    Nothing but the header is checked, and no copy is kept: ``FirmwareUpdate`` does both. Raises
    ``UnsupportedError`` for a card without driver or MTD, ``RefusedError`` with the driver's last words.
    """
    if not isinstance(card, KernelCard):
        raise UnsupportedError(card.name, "devlink flash", "the kernel driver does not hold this card")
    card.devlink_flash(file_name, progress)


def diagnose(cards: Sequence[CardDescriptor] | None = None) -> tuple[Finding, ...]:
    """What is wrong with the host and with ``cards`` (all of them without), root causes first.

    The cards must not be open. Takes at most half a minute and changes no setting; opening a card by its
    registers starts a clock that stands still, and resets the I2C and SPI cores. What fails on a card or on
    the host is a finding: only a fault of this package itself raises.
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
