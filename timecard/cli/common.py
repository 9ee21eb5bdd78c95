"""What every command shares: how a card is chosen and opened, how facts are printed, how errors end."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import json
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from enum import Enum, StrEnum
from pathlib import Path
from typing import Annotated, Any, Concatenate, Final

import typer

from timecard.card import open_card
from timecard.card_protocols import Card
from timecard.card_values import Access
from timecard.errors import DeviceAbsentError, TimeCardError
from timecard.state_folder import state_directory
from timecard.timebase import HostTimebase

Facts = dict[str, Any]
Answer = tuple[Facts, Iterable[str]]
"""Facts, ready for JSON, and the lines that say the same."""
NO_SOCKET: Final = "no socket there; is `timecard emulate` running?"
MIN_NAME_WIDTH: Final = 12
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class CardOptions:
    """What a command line says of the card and of the output. The fields are the options, in their order."""

    command: str
    card_id: CardId = None
    pci: Pci = None
    vfio_user: VfioUser = None
    access: Way = None
    as_json: AsJson = False

    @property
    def named(self) -> int:
        """How many options name a card; without one, it is the only card there is."""
        return sum(choice is not None for choice in (self.card_id, self.pci, self.vfio_user))

    @property
    def way(self) -> Access | None:
        """The way that is insisted on."""
        return None if self.access is None else Access(self.access.value)

    def choice(self) -> Choice:
        """Raises a usage error for two choices, ``DeviceAbsentError`` without socket."""
        if self.named > 1:
            raise typer.BadParameter("choose the card by one of --id, --pci and --vfio-user")
        if self.vfio_user is not None and not self.vfio_user.is_socket():
            raise DeviceAbsentError(str(self.vfio_user), self.command, NO_SOCKET)
        return Choice(id=self.card_id, vfio_user=self.vfio_user, pci=self.pci)

    def opened(self) -> Card:
        """The chosen card, opened; raises as ``choice`` and ``open_card``."""
        choice = self.choice()
        if self.vfio_user is not None and self.access is not None:
            raise typer.BadParameter("--access is about a card on the PCI bus, --vfio-user names a socket")
        return open_card(choice, HostTimebase(), access=self.way)

    def emit(self, facts: Any, lines: Iterable[str]) -> None:
        """Print facts as JSON, or the lines that say the same."""
        emit(facts, lines, self.as_json)


def card_options(
    command: str, *, way: bool = True
) -> Callable[[Callable[Concatenate[CardOptions, ...], None]], Callable[..., None]]:
    """Give a command the options of ``CardOptions``, which it gets as its first argument.

    They follow the command's own parameters in ``--help``; parameters behind a ``*`` stand between them and
    ``--json``. Without ``way`` there is no ``--access``.
    """
    shared = dict(inspect.signature(CardOptions, eval_str=True).parameters)
    del shared["command"]
    if not way:
        del shared["access"]

    def decorate(function: Callable[Concatenate[CardOptions, ...], None]) -> Callable[..., None]:
        @functools.wraps(function)
        def run(**given: Any) -> None:
            options = CardOptions(command=command, **{name: given.pop(name) for name in shared})
            function(options, **given)

        *card, as_json = shared.values()
        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        behind = [each for each in own if each.kind is each.KEYWORD_ONLY]
        before = [each for each in own if each not in behind]
        ordered = [each.replace(kind=each.KEYWORD_ONLY) for each in (*before, *card, *behind, as_json)]
        vars(run)["__signature__"] = inspect.Signature(ordered)  # which typer makes the options of
        return run

    return decorate


def on_card(command: str) -> Callable[[Callable[Concatenate[Card, ...], Answer]], Callable[..., None]]:
    """Make a command of a function that is given the opened card and answers with facts, and lines to print.

    What has to be looked at before a card is opened needs ``card_options``.
    """

    def decorate(ask: Callable[Concatenate[Card, ...], Answer]) -> Callable[..., None]:
        @functools.wraps(ask)
        def run(options: CardOptions, /, **given: Any) -> None:
            with options.opened() as card:
                facts, lines = ask(card, **given)
            options.emit(facts, lines)

        return card_options(command)(run)

    return decorate


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
    """A value of ours as JSON has them: dataclasses as objects, sets sorted, enums by name, dates as text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if field.name != "read_mono_ns"
        }
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, datetime):
        return value.isoformat()
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
    told = list(pairs)
    width = max([MIN_NAME_WIDTH, *(len(name) for name, _ in told)])
    return [f"{name:{width}} {shown(text)}" for name, text in told]


def shown(value: object) -> str:
    """A value in a line of text."""
    return "unknown" if value is None else str(value)


def state_root(state: Path | None = None) -> Path:
    """Where state is kept: as told, else where the product keeps it for this user."""
    return state_directory(os.environ, os.geteuid()) if state is None else state


@contextlib.contextmanager
def until_told() -> Iterator[None]:
    """Ends quietly by Ctrl-C, and by SIGTERM as a service is ended."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            yield
    finally:
        signal.signal(signal.SIGTERM, before)
