"""Which cards are there: descriptors from sysfs and from given sockets. Nothing is opened or touched.

A card's id is the EUI-48 of its EEPROM as the kernel driver reports it, else its PCI device serial number,
else its PCI address. Reading the serial number needs the whole configuration space, which sysfs shows to root
only, so that without privileges the address is what is left. A better name coming or going with the driver
does not make the others wrong: a card answers to all of them.
"""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from timecard.boards import Board, board_for
from timecard.eeprom.identity import EUI48
from timecard.pcie.bus import device_serial, serial_text

NO_SERIALS: Final = ("00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff")
"""What the driver shows while it cannot read the EEPROM, and what a blank EEPROM holds."""
_CONFIG_BYTES: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class CardDescriptor:
    """One card, not opened."""

    id: str
    """As in ``/dev/timecard/<id>``."""
    other_ids: tuple[str, ...] = ()
    """Ids that it has with another driver, or for another user, and no other card has."""
    access: str
    """``pci`` or ``vfio-user``."""
    address: str
    """PCI address, or the socket's path."""
    product: str
    board: str | None
    """Name of the board family (``timecard.boards``); None: to be seen when it is opened."""
    driver: str | None = None
    """Kernel driver that holds it."""


def list_cards(
    sockets: Iterable[str | os.PathLike[str]] = (), sysfs: Path = Path("/sys")
) -> list[CardDescriptor]:
    """Cards on the PCI bus, in order of their address, then the given sockets that exist."""
    cards = []
    for device in sorted((sysfs / "bus/pci/devices").glob("*")):
        pci_id = (_hex(device / "vendor"), _hex(device / "device"))
        board = board_for(pci_id, _bar0_size(device))
        if board is not None:
            cards.append(_describe(device, board))
    # Images of one build may carry one serial number: then only the address tells the cards apart.
    counts = Counter(name for card in cards for name in (card.id, *card.other_ids))
    cards = [_named(card, [n for n in (card.id, *card.other_ids) if counts[n] == 1]) for card in cards]
    return cards + [vfio_user_card(path) for path in sockets if Path(path).is_socket()]


def vfio_user_card(path: str | os.PathLike[str]) -> CardDescriptor:
    """The card behind a socket; its own serial number is known only when it is opened."""
    return CardDescriptor(
        id=f"vfio-user-{Path(path).name}",
        access="vfio-user",
        address=os.fspath(path),
        product="card behind a vfio-user socket",
        board=None,
    )


def address_id(address: str) -> str:
    """The id of a card that has no serial number of its own."""
    return f"pci-{address}"


def _named(card: CardDescriptor, names: list[str]) -> CardDescriptor:
    return replace(card, id=names[0], other_ids=tuple(names[1:]))


def _describe(device: Path, board: Board) -> CardDescriptor:
    driver = device / "driver"
    names = [name for name in (_eui48(device), _device_serial(device), address_id(device.name)) if name]
    return CardDescriptor(
        id=names[0],
        other_ids=tuple(names[1:]),
        access="pci",
        address=device.name,
        product=board.product,
        board=board.name,
        driver=driver.resolve().name if driver.exists() else None,
    )


def _bar0_size(device: Path) -> int | None:
    """From the first line of ``resource``: start, end and flags."""
    words = (_text(device / "resource") or "").split()
    try:
        start, end = int(words[0], 16), int(words[1], 16)
    except (IndexError, ValueError):
        return None
    return end - start + 1 if end > start else None


def _eui48(device: Path) -> str | None:
    """What the kernel driver read from the EEPROM; all zero while it cannot."""
    for serialnum in sorted((device / "timecard").glob("ocp*/serialnum")):
        text = _text(serialnum) or ""
        if EUI48.fullmatch(text) and text not in NO_SERIALS:
            return text
    return None


def _device_serial(device: Path) -> str | None:
    try:
        with (device / "config").open("rb") as config:
            space = _ConfigBytes(config.read(_CONFIG_BYTES))
    except OSError:
        return None
    serial = device_serial(space)
    return None if serial is None else serial_text(serial)


class _ConfigBytes:
    """Configuration space as bytes; 64 of them are all that an unprivileged user sees."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read_config32(self, offset: int) -> int:
        """A word; 0, as if nothing were there, beyond what is visible."""
        if offset + 4 > len(self._data):
            return 0
        value: int = struct.unpack_from("<I", self._data, offset)[0]
        return value


def _hex(path: Path) -> int:
    try:
        return int(_text(path) or "0", 16)
    except ValueError:
        return 0


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
