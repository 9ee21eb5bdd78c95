"""The examination: host first, then each card, in at most half a minute whatever hangs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from timecard.boards import BOARDS
from timecard.boards.board import Role
from timecard.card import open_card
from timecard.card_protocols import Card
from timecard.discovery import CardDescriptor
from timecard.doctor.card_probe import examine_clock, examine_parts
from timecard.doctor.facts import (
    CardExamination,
    DriverFacts,
    FailureKind,
    HostFacts,
    NodeFacts,
    PciFacts,
    SystemFacts,
)
from timecard.doctor.host import User, current_user, host_facts
from timecard.doctor.nodes import driver_facts, node_facts
from timecard.doctor.pci import pci_facts
from timecard.doctor.probe import Prober, StuckError, run_limited
from timecard.doctor.serial_probe import examine_oscillator, examine_receiver
from timecard.errors import TimeCardError
from timecard.timebase import HostTimebase, Timebase

T = TypeVar("T")

BUDGET_S: Final = 26.0
"""For everything; a scan takes less than 30 s with what comes before and after."""
HOST_LIMIT_S: Final = 8.0
SYSFS_LIMIT_S: Final = 8.0
"""Milliseconds on a host; a busy emulated one takes seconds."""
OPEN_LIMIT_S: Final = 5.0
CLOCK_LIMIT_S: Final = 6.0
RECEIVER_LIMIT_S: Final = 11.0
OSCILLATOR_LIMIT_S: Final = 7.0


class Opener(Protocol):
    """Opens a card; raises ``TimeCardError``."""

    def __call__(self, choice: CardDescriptor, timebase: Timebase) -> Card:
        """The open card."""
        ...


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """Where the examination looks; tests put other trees, clocks and cards here."""

    root: Path = Path("/")
    user: User = field(default_factory=current_user)
    timebase: Timebase = field(default_factory=HostTimebase)
    realtime_ns: Callable[[], int] = time.time_ns
    opener: Opener = open_card
    budget_s: float = BUDGET_S


def examine(cards: Sequence[CardDescriptor], around: Surroundings | None = None) -> SystemFacts:
    """Examine the host and ``cards``. What fails there is a fact; only a fault of this program raises."""
    around = around or Surroundings()
    start_s = time.monotonic()
    try:
        host = run_limited(lambda: host_facts(around.root, around.user), HOST_LIMIT_S)
    except StuckError:
        host = HostFacts(kernel="unknown", user=around.user.name, root=around.user.uid == 0)
    budget_s = around.budget_s - (time.monotonic() - start_s)

    def one(card: CardDescriptor) -> CardExamination:
        return examine_card(card, around, budget_s)

    if len(cards) > 1:
        with ThreadPoolExecutor(len(cards)) as pool:
            examined = tuple(pool.map(one, cards))
    else:
        examined = tuple(map(one, cards))
    return SystemFacts(host=host, cards=examined, seconds=round(time.monotonic() - start_s, 3))


def examine_card(card: CardDescriptor, around: Surroundings, budget_s: float) -> CardExamination:
    """Everything about one card."""
    prober = Prober(budget_s)
    pci, kernel, nodes = _system(card, around, prober)
    found = CardExamination(id=card.id, board=card.board, pci=pci, kernel=kernel, nodes=nodes)
    opened = _open(card, around, prober, pci, nodes)
    if opened is None:
        return replace(found, failures=prober.failures)
    try:
        return replace(found, **_inside(opened, around, prober, nodes), failures=prober.failures)
    finally:
        _close(opened)


def _system(
    card: CardDescriptor, around: Surroundings, prober: Prober
) -> tuple[PciFacts | None, DriverFacts | None, tuple[NodeFacts, ...]]:
    """What sysfs and /proc tell. Each part has its own limit: a file that hangs must not hide the others."""
    if card.access != "pci":
        return None, None, ()
    root, address = around.root, card.address
    pci = _apart(prober, "pci", lambda: pci_facts(root, address))
    board = BOARDS.get(card.board or "")
    kernel = None
    if pci is not None and pci.driver == "ptp_ocp" and board is not None:
        kernel = _apart(prober, "class device", lambda: driver_facts(root, address, card.id, board))
    if pci is None:
        return None, None, ()
    nodes = _apart(
        prober, "nodes", lambda: node_facts(root, address, pci.iommu_group, pci.driver, kernel, around.user)
    )
    return pci, kernel, nodes or ()


def _open(
    card: CardDescriptor,
    around: Surroundings,
    prober: Prober,
    pci: PciFacts | None,
    nodes: Sequence[NodeFacts],
) -> Card | None:
    if pci is not None and pci.config_all_ones:
        prober.fail("open", FailureKind.LOST, "configuration space reads all ones")
        return None
    users = [holder for node in nodes if node.role in ("vfio", "resource0") for holder in node.holders]
    if users:
        # Its reads and ours of one bus or FIFO would get in each other's way.
        who = ", ".join(f"{holder.program} (pid {holder.pid})" for holder in users)
        prober.fail("open", FailureKind.REFUSED, f"{who} uses the card's registers")
        return None
    return prober.ask("open", lambda: around.opener(card, around.timebase), OPEN_LIMIT_S)


def _inside(card: Card, around: Surroundings, prober: Prober, nodes: Sequence[NodeFacts]) -> dict[str, Any]:
    timebase = around.timebase
    parts = examine_parts(card, prober)
    parts["clock"] = prober.ask(
        "clock", lambda: examine_clock(card, timebase, around.realtime_ns), CLOCK_LIMIT_S
    )
    parts |= {
        "board": card.board.name,
        "access": card.access,
        "access_path": card.access_path,
        "missing": prober.ask("missing", lambda: dict(card.missing()), SYSFS_LIMIT_S) or {},
    }
    for role, name, ask, limit_s in (
        (Role.GNSS, "receiver", lambda: examine_receiver(card, timebase), RECEIVER_LIMIT_S),
        (Role.MAC, "oscillator", lambda: examine_oscillator(card, card.board, timebase), OSCILLATOR_LIMIT_S),
    ):
        reason = _not_ours(role, nodes)
        if role not in card.board.serial_ports:
            continue
        if reason is not None:
            prober.fail(name, FailureKind.SKIPPED, reason)
        else:
            parts[name] = prober.ask(name, ask, limit_s)
    return parts


def _not_ours(role: Role, nodes: Sequence[NodeFacts]) -> str | None:
    """Why a serial port must not be opened; None when it may be."""
    for node in nodes:
        if node.role == role.value:
            if node.holders:
                who = ", ".join(f"{holder.program} (pid {holder.pid})" for holder in node.holders)
                return f"{who} has {node.path} open"
            if not (node.readable and node.writable):
                return f"this user may not open {node.path}"
    return None


def _apart(prober: Prober, name: str, function: Callable[[], T]) -> T | None:
    try:
        return run_limited(function, min(SYSFS_LIMIT_S, prober.left_s))
    except StuckError as error:
        prober.fail(name, FailureKind.TIMEOUT, str(error))
        return None


def _close(card: Card) -> None:
    try:
        run_limited(card.close, SYSFS_LIMIT_S)
    except (StuckError, TimeCardError):
        return  # it hung or was lost before: the facts say so already
