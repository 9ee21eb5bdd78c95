"""What every command shares: how a card is chosen and opened, how facts are printed, how errors end."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from enum import Enum, StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from timecard.card import open_card
from timecard.card_protocols import Card
from timecard.card_values import Access
from timecard.errors import DeviceAbsentError, TimeCardError
from timecard.timebase import HostTimebase, Timebase

NO_SOCKET: Final = "no socket there; is `timecard emulate` running?"
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_WOULD_CHANGE: Final = 3

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
CardId = Annotated[str | None, typer.Option("--id", help="Card by its id, as in `timecard list`.")]
Pci = Annotated[str | None, typer.Option("--pci", metavar="ADDRESS", help="Card by PCI address.")]
VfioUser = Annotated[
    Path | None, typer.Option("--vfio-user", metavar="PATH", help="Emulated card by its socket.")
]


class AccessName(StrEnum):
    """Ways to a card on the PCI bus that can be insisted on."""

    KERNEL = "kernel"
    RESOURCE0 = "resource0"
    VFIO = "vfio"


Way = Annotated[
    AccessName | None, typer.Option("--access", help="Insist on one way to the card; else what is free.")
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


def opened(
    command: str,
    card_id: str | None,
    pci: str | None,
    vfio_user: Path | None,
    access: AccessName | None,
    timebase: Timebase | None = None,
) -> Card:
    """The card that the options choose, opened; raises as ``choose`` and ``open_card``."""
    choice = choose(card_id, pci, vfio_user, command)
    if vfio_user is not None and access is not None:
        raise typer.BadParameter("--access is about a card on the PCI bus, --vfio-user names a socket")
    way = None if access is None else Access(access.value)
    return open_card(choice, timebase or HostTimebase(), access=way)


def usage(errors: Iterable[str]) -> typer.Exit:
    """Tell what is wrong with a file, one line each; to be raised."""
    for error in errors:
        typer.echo(f"timecard: {error}", err=True)
    return typer.Exit(EXIT_USAGE)


def asked(ask: Callable[[], Any]) -> tuple[Any, str | None]:
    """An answer ready for JSON, or None and the reason why there is none."""
    try:
        return plain(ask()), None
    except TimeCardError as error:
        return None, str(error)


def plain(value: Any) -> Any:
    """A value of ours as JSON has them: dataclasses as objects, sets sorted, enums by name."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if field.name != "read_mono_ns"
        }
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(map(plain, value))
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value


def emit(facts: Any, lines: Iterable[str], as_json: bool) -> None:
    """Print facts as JSON, or the lines that say the same."""
    if as_json:
        typer.echo(json.dumps(facts))
    else:
        for line in lines:
            typer.echo(line)


def rows(pairs: Iterable[tuple[str, object]]) -> list[str]:
    """Aligned lines of name and text."""
    return [f"{name:12} {shown(text)}" for name, text in pairs]


def shown(value: object) -> str:
    """A value in a line of text."""
    return "unknown" if value is None else str(value)
