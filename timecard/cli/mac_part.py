"""How ``timecard mac`` reaches an oscillator: a card's serial port or registers, or a plain tty."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from timecard.boards.board import Role
from timecard.bringup.oscillator import not_serial
from timecard.card_protocols import Card
from timecard.cli.common import CardOptions, state_root
from timecard.cli.flash_users import users_of
from timecard.errors import DeviceAbsentError, RefusedError, UnsupportedError
from timecard.kernel.holders import holders
from timecard.kernel.serial_port import TtyStream
from timecard.mac.detect import detect
from timecard.mac.driver import Oscillator, OscillatorCapability
from timecard.mac.log import RecordingStream, recorded
from timecard.mac.wear import WRITES_FILE, WearLedger
from timecard.pcie.register_card import RegisterCard
from timecard.protocols import ByteStream
from timecard.timebase import HostTimebase, Timebase
from timecard.values import OscillatorIdentity

EXIT_REFUSED: Final = 3
NO_FIRMWARE: Final = "[!1]"
"""What an SA5X without firmware answers to everything."""


class Pins(StrEnum):
    """What the pins of the MAC port can be."""

    SERIAL = "serial"
    I2C = "i2c"


Port = Annotated[
    Path | None, typer.Option("--port", metavar="TTY", help="A plain serial port instead of a card's.")
]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """An oscillator that was found."""

    oscillator: Oscillator
    identity: OscillatorIdentity
    place: str
    """The card, or the port."""
    way: str
    """``57600 baud``, ``registers`` or ``/dev/mro50.0``."""


class Line:
    """The serial line to an oscillator; its rate can be changed."""

    def __init__(
        self,
        place: str,
        open_at: Callable[[int], ByteStream],
        expected: str | None,
        users: Callable[[], list[str]],
        port_baud: int | None = None,
    ) -> None:
        self.place = place
        self.expected = expected
        self.port_baud = port_baud
        self.users = users
        """Other programs that would be surprised by what is done to the part."""
        self.recording: RecordingStream | None = None
        """Everything that went over the line, once ``record`` was called."""
        self._open_at = open_at
        self._record = False

    def record(self) -> None:
        """Write down what goes over the line from now on."""
        self._record = True

    def open(self, baud: int) -> ByteStream:
        """The line at a rate."""
        stream = self._open_at(baud)
        if not self._record:
            return stream
        if self.recording is None:
            self.recording = recorded(stream)
        self.recording.mark(f"{baud} baud")
        return self.recording


@contextlib.contextmanager
def opened_line(options: CardOptions, port: Path | None) -> Iterator[Line]:
    """The serial line of the chosen card, or a plain port; closed afterwards."""
    if port is None:
        with options.opened() as card:
            yield _card_line(card)
        return
    _port_alone(options)
    streams: list[TtyStream] = []

    def open_at(baud: int) -> TtyStream:
        if not streams:
            streams.append(TtyStream(port, baud, "oscillator"))
        streams[0].set_baud(baud)
        return streams[0]

    try:
        yield Line(str(port), open_at, None, lambda: [str(each) for each in holders(port)])
    finally:
        for stream in streams:
            stream.close()


@contextlib.contextmanager
def opened_part(
    options: CardOptions,
    port: Path | None,
    state: Path | None,
    pins: Pins | None = None,
    family: str | None = None,
) -> Iterator[Part]:
    """The oscillator, found and opened by whatever way there is to it; ``pins`` are switched before.

    ``family``: the one that must be there.
    """
    timebase = HostTimebase()
    wear = WearLedger(state_root(state) / WRITES_FILE)
    if port is not None:
        with opened_line(options, port) as line:
            yield _of_family(found_on(line, timebase, wear, family), family)
        return
    with options.opened() as card:
        if pins is not None:
            _switch(card, pins)
        direct = not_serial(card, timebase, wear, family)
        if direct is None:
            part = found_on(_card_line(card), timebase, wear, family)
        else:
            oscillator, identity, way = direct
            part = Part(oscillator=oscillator, identity=identity, place=card.name, way=way)
        yield _of_family(part, family)


def found_on(line: Line, timebase: Timebase, wear: WearLedger, family: str | None = None) -> Part:
    """Ask who is on a line; raises ``DeviceAbsentError`` that says what was heard."""
    try:
        expected = family or line.expected
        found = detect(line.open, timebase, expected=expected, port_baud=line.port_baud, wear=wear)
    except DeviceAbsentError as error:
        if NO_FIRMWARE not in error.reason:
            raise
        hint = "this is how an SA5X without firmware answers: `timecard mac upgrade FILE` repairs it"
        raise DeviceAbsentError(error.device, error.operation, f"{error.reason}; {hint}") from error
    return Part(
        oscillator=found.oscillator, identity=found.identity, place=line.place, way=f"{found.baud} baud"
    )


def _of_family(part: Part, family: str | None) -> Part:
    if family is not None and part.identity.family != family:
        raise RefusedError(part.place, "ask the oscillator", f"{part.identity.family} answers, not {family}")
    return part


def check_capability(part: Part, operation: str, capability: OscillatorCapability) -> None:
    """Raises ``RefusedError`` that says what the part can do instead."""
    if capability not in part.oscillator.capabilities:
        has = ", ".join(sorted(part.oscillator.capabilities)) or "nothing"
        raise RefusedError(
            part.oscillator.name, operation, f"a {part.identity.family} cannot {capability}; it can: {has}"
        )


def _switch(card: Card, pins: Pins) -> None:
    """What the pins of the MAC port are; it stays so until the card loses its power."""
    if not isinstance(card, RegisterCard):
        reason = "only through the registers; the vendor's driver has an attribute mac_i2c"
        raise UnsupportedError(card.name, "switch the MAC pins", reason)
    card.gpio().set("mac_i2c", pins is Pins.I2C)


def _card_line(card: Card) -> Line:
    if Role.MAC not in card.board.serial_ports:
        raise UnsupportedError(card.name, "open the oscillator's port", f"{card.board.product} has none")
    return Line(
        card.name,
        lambda baud: card.serial(Role.MAC, baud),
        card.board.oscillator_family,
        lambda: [str(user) for user in users_of(card)],
        card.board.serial_ports[Role.MAC].baud,
    )


def _port_alone(options: CardOptions) -> None:
    if options.named or options.access is not None:
        raise typer.BadParameter("--port is a serial port of its own: leave --id, --pci, --vfio-user out")


@contextlib.contextmanager
def refusals(options: CardOptions) -> Iterator[None]:
    """A refusal is an answer, with an exit status of its own."""
    try:
        yield
    except RefusedError as error:
        if options.as_json:
            typer.echo(json.dumps({"ok": False, "refusals": [str(error)]}))
        typer.echo(f"timecard: {' '.join(str(error).split())}", err=True)
        raise typer.Exit(EXIT_REFUSED) from error
