"""A card, opened: its clock, timestampers and serial lines behind the protocols of ``timecard.protocols``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol

from timecard.boards import BOARDS
from timecard.discovery import CardDescriptor, list_cards, serial_text, vfio_user_card
from timecard.errors import DeviceAbsentError, TimeCardError
from timecard.pcie.bar import BarBus
from timecard.pcie.bus import device_serial
from timecard.pcie.clock import RegisterClock
from timecard.pcie.status import read_clock_status, read_image_version, read_selector, read_sma
from timecard.pcie.timestamper import Timestamper
from timecard.pcie.uart import UartStream
from timecard.pcie.vfio_user import VfioUserBus
from timecard.protocols import RegisterBus
from timecard.timebase import Timebase

GNSS_BAUD: Final = 115_200
MAC_BAUD: Final = 57_600


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


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFacts:
    """What the card says of itself, in words."""

    image_version: str
    clock_core_version: str
    clock_source: str
    pps_source: str | None
    sma: Mapping[str, str]


class Card:
    """An open card; also a context manager that closes it."""

    def __init__(
        self,
        bus: RegisterBus,
        timebase: Timebase,
        *,
        card_id: str | None = None,
        access_path: str | None = None,
    ) -> None:
        """Start the timestampers and serial lines on ``bus``; the clock's source stays as it is."""
        serial = device_serial(bus)
        self.bus = bus
        self.id = card_id or (serial_text(serial) if serial else bus.name)
        self.name = f"card {self.id}"
        self.access_path = access_path or bus.name
        self.clock = RegisterClock(bus, timebase)
        self.ts0 = Timestamper(bus, timebase, "ts0")
        self.ts5 = Timestamper(bus, timebase, "ts5")
        self.ts0.enable()
        self.ts5.enable()
        self.gnss_stream = UartStream(
            bus, timebase, bus.board.blocks["port[GNSS]"].offset, GNSS_BAUD, "GNSS UART"
        )
        self.mac_stream = UartStream(
            bus, timebase, bus.board.blocks["port[MAC]"].offset, MAC_BAUD, "MAC UART"
        )

    def facts(self) -> CardFacts:
        """Read versions, sources and routing; no side effect."""
        clock = read_clock_status(self.bus)
        selected = read_selector(self.bus).selected
        return CardFacts(
            image_version=str(read_image_version(self.bus)),
            clock_core_version=".".join(map(str, clock.version)),
            clock_source=clock.source,
            pps_source=selected.name if selected else None,
            sma=dict(str(connector).split(" ", 1) for connector in read_sma(self.bus)),
        )

    @property
    def lost(self) -> str | None:
        """Why the card has to be opened again; None while its bus works, whatever the card says."""
        return getattr(self.bus, "lost", None)

    def close(self) -> None:
        """Close the bus. The clock goes on as it is."""
        close = getattr(self.bus, "close", None)
        if close is not None:
            close()

    def __enter__(self) -> Card:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def card_on_bus(bus: RegisterBus, timebase: Timebase) -> Card:
    """A card on a bus that somebody else opened, such as an emulated card in this process."""
    return Card(bus, timebase)


def open_card(choice: CardDescriptor | CardChoice, timebase: Timebase) -> Card:
    """Open a card that ``list_cards`` found or that a configuration names.

    Raises ``DeviceAbsentError`` when there is no such card, ``UnsupportedError`` when its registers are laid
    out in another way, ``RefusedError`` when a kernel driver holds it.
    """
    descriptor = choice if isinstance(choice, CardDescriptor) else find_card(choice)
    bus: VfioUserBus | BarBus
    if descriptor.access == "pci":
        bus, card_id = BarBus(descriptor.address, BOARDS[descriptor.board or "fb"]), descriptor.id
    else:
        bus, card_id = VfioUserBus(descriptor.address), None
    try:
        return Card(bus, timebase, card_id=card_id, access_path=bus.name)
    except TimeCardError:
        bus.close()
        raise


def find_card(choice: CardChoice, sysfs: Path = Path("/sys")) -> CardDescriptor:
    """The one card that ``choice`` names; raises ``DeviceAbsentError`` that lists what is there."""
    if choice.vfio_user is not None:
        return vfio_user_card(os.fspath(choice.vfio_user))
    cards = list_cards(sysfs=sysfs)
    wanted = choice.id or choice.pci
    if choice.id is not None:
        found = [card for card in cards if card.id == choice.id]
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
