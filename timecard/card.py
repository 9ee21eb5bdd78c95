"""Opening a card by the way that is free: kernel driver, VFIO, mapped registers, or a socket."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol

from timecard.boards import BOARDS
from timecard.card_protocols import Card as Card
from timecard.card_values import Access
from timecard.card_values import CardFacts as CardFacts
from timecard.discovery import CardDescriptor, list_cards, vfio_user_card
from timecard.eeprom.identity import EUI48
from timecard.errors import DeviceAbsentError, RefusedError, TimeCardError
from timecard.kernel.kernel_card import KernelCard
from timecard.pcie.bar import BarBus
from timecard.pcie.register_card import RegisterCard
from timecard.pcie.vfio import VfioBus
from timecard.pcie.vfio_user import VfioUserBus
from timecard.protocols import RegisterBus
from timecard.timebase import HostTimebase, Timebase

KERNEL_DRIVER: Final = "ptp_ocp"
VFIO_DRIVER: Final = "vfio-pci"


class CardChoice(Protocol):
    """How a configuration names a card: at most one is set; none means the only card there is."""

    @property
    def id(self) -> str | None:
        """Identity as in ``/dev/timecard/<id>``."""
        ...

    @property
    def vfio_user(self) -> Path | None:
        """Socket of a card."""
        ...

    @property
    def pci(self) -> str | None:
        """PCI address, with or without the domain."""
        ...


def card_on_bus(bus: RegisterBus, timebase: Timebase) -> RegisterCard:
    """A card on a bus that somebody else opened, such as an emulated card in this process."""
    return RegisterCard(bus, timebase)


def open_card(
    choice: CardDescriptor | CardChoice,
    timebase: Timebase,
    *,
    access: Access | None = None,
    sysfs: Path = Path("/sys"),
) -> Card:
    """Open a card that ``list_cards`` found or that a configuration names.

    The way to it follows from who holds it: the kernel driver, ``vfio-pci``, or nobody; ``access`` insists on
    one. Raises ``DeviceAbsentError`` when there is no such card, ``RefusedError`` when another driver holds
    it or when the way that was asked for is not free, with what to do.
    """
    descriptor = choice if isinstance(choice, CardDescriptor) else find_card(choice, sysfs)
    wanted = access or access_for(descriptor)
    if (descriptor.access == "vfio-user") != (wanted is Access.VFIO_USER):
        raise RefusedError(
            f"card {descriptor.id}", "open", f"{descriptor.address} cannot be reached by {wanted.value}"
        )
    if wanted is Access.KERNEL:
        return _open_kernel(descriptor, timebase, sysfs)
    bus, card_id = _open_bus(descriptor, wanted, sysfs)
    try:
        return RegisterCard(bus, timebase, access=wanted, card_id=card_id, access_path=bus.name)
    except TimeCardError:
        bus.close()
        raise


def access_for(descriptor: CardDescriptor) -> Access:
    """The way to a card as things are; raises ``RefusedError`` when an unknown driver holds it."""
    if descriptor.access == "vfio-user":
        return Access.VFIO_USER
    if descriptor.driver is None:
        return Access.RESOURCE0
    known = {KERNEL_DRIVER: Access.KERNEL, VFIO_DRIVER: Access.VFIO}
    if descriptor.driver not in known:
        raise RefusedError(
            f"card {descriptor.id}",
            "open",
            f"the kernel driver {descriptor.driver} holds {descriptor.address}; unbind it first:"
            f" echo {descriptor.address} > /sys/bus/pci/devices/{descriptor.address}/driver/unbind",
        )
    return known[descriptor.driver]


def find_card(choice: CardChoice, sysfs: Path = Path("/sys")) -> CardDescriptor:
    """The one card that ``choice`` names; raises ``DeviceAbsentError`` that lists what is there."""
    if choice.vfio_user is not None:
        return vfio_user_card(os.fspath(choice.vfio_user))
    cards = list_cards(sysfs=sysfs)
    wanted = choice.id or choice.pci
    if choice.id is not None:
        known = [card for card in cards if choice.id in (card.id, *card.other_ids)]
        # However it was found, the card goes by the name it was given.
        found = [replace(card, id=choice.id) for card in known or _by_eeprom(choice.id, cards, sysfs)]
    elif choice.pci is not None:
        address = choice.pci.lower()
        found = [card for card in cards if card.address in (address, f"0000:{address}")]
    else:
        found = cards
    if len(found) == 1:
        return found[0]
    there = ", ".join(f"{card.id} ({card.address})" for card in cards) or "none"
    if wanted:
        raise DeviceAbsentError(f"card {wanted}", "find", f"no such card; there are: {there}")
    if found:
        raise DeviceAbsentError("card", "find", f"there are several; choose one by id or pci: {there}")
    raise DeviceAbsentError(
        "card", "find", "no Time Card on the PCI bus; vfio_user names the socket of an emulated one"
    )


def _by_eeprom(card_id: str, cards: list[CardDescriptor], sysfs: Path) -> list[CardDescriptor]:
    """Cards that the kernel driver does not hold, with the EUI-48 in their EEPROM that it would show."""
    if EUI48.fullmatch(card_id) is None:
        return []
    found = []
    for descriptor in cards:
        if descriptor.driver in (None, VFIO_DRIVER):
            try:
                with open_card(descriptor, HostTimebase(), sysfs=sysfs) as card:
                    serial = card.identity().serial or ""
            except TimeCardError:
                continue  # in use by another program, or not readable: it cannot be opened by that name now
            # The driver shows the first six bytes, of a text too.
            if card_id in (serial, serial.encode()[:6].hex(":")):
                found.append(descriptor)
    return found


def _open_kernel(descriptor: CardDescriptor, timebase: Timebase, sysfs: Path) -> Card:
    if descriptor.driver != KERNEL_DRIVER:
        raise RefusedError(
            f"card {descriptor.id}",
            "open through the kernel driver",
            f"{KERNEL_DRIVER} does not hold it; bind it: modprobe {KERNEL_DRIVER};"
            f" echo {descriptor.address} > /sys/bus/pci/drivers/{KERNEL_DRIVER}/bind",
        )
    board = BOARDS[descriptor.board or "fb"]
    return KernelCard(descriptor.address, board, timebase, card_id=descriptor.id, sysfs=sysfs)


def _open_bus(
    descriptor: CardDescriptor, access: Access, sysfs: Path
) -> tuple[BarBus | VfioBus | VfioUserBus, str | None]:
    """The bus, and the card's id where it is already known."""
    if access is Access.VFIO_USER:
        return VfioUserBus(descriptor.address), None
    kind = VfioBus if access is Access.VFIO else BarBus
    return kind(descriptor.address, BOARDS[descriptor.board or "fb"], sysfs), descriptor.id
