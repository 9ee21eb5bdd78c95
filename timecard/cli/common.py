"""What every command shares: how a card is chosen and opened, how facts are printed, how errors end."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Final

import typer

from timecard.errors import DeviceAbsentError

NO_SOCKET: Final = "no socket there; is `timecard emulate` running?"
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
CardId = Annotated[str | None, typer.Option("--id", help="Card by its id, as in `timecard list`.")]
Pci = Annotated[str | None, typer.Option("--pci", metavar="ADDRESS", help="Card by PCI address.")]
VfioUser = Annotated[
    Path | None, typer.Option("--vfio-user", metavar="PATH", help="Emulated card by its socket.")
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choice:
    """Which card a command is about."""

    id: str | None
    vfio_user: Path | None
    pci: str | None


def choose(card_id: str | None, pci: str | None, vfio_user: Path | None, command: str) -> Choice:
    """One choice out of three options; raises a usage error for two, ``DeviceAbsentError`` without socket."""
    if sum(choice is not None for choice in (card_id, pci, vfio_user)) > 1:
        raise typer.BadParameter("choose the card by one of --id, --pci and --vfio-user")
    if vfio_user is not None and not vfio_user.is_socket():
        raise DeviceAbsentError(str(vfio_user), command, NO_SOCKET)
    return Choice(id=card_id, vfio_user=vfio_user, pci=pci)
