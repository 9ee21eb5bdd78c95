"""How ``timecard gnss`` reaches a receiver: a card's serial port, or a plain tty; its rate is found out."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from timecard.boards.board import Role
from timecard.cli.common import CardOptions
from timecard.errors import DeviceAbsentError, TimeCardError, UnsupportedError
from timecard.gnss.detect import Detected, detect
from timecard.gnss.driver import Capability, ReceiverDriver
from timecard.kernel.serial_port import TtyStream
from timecard.protocols import ByteStream, RateStream
from timecard.timebase import HostTimebase, Timebase
from timecard.values import ReceiverIdentity

USUAL_BAUD: Final = 115_200
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9.-]+")

Port = Annotated[
    Path | None, typer.Option("--port", metavar="TTY", help="A plain serial port instead of a card's.")
]
Baud = Annotated[
    int | None,
    typer.Option("--baud", min=1_200, max=3_000_000, help="Its rate; else the usual ones are tried."),
]
Second = Annotated[bool, typer.Option("--gnss2", help="The card's second receiver.")]
Listen = Annotated[bool, typer.Option("--listen", help="Only listen: send nothing to the receiver.")]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A serial line that leads to a receiver."""

    place: str
    """The card and which of its receivers, or the port."""
    key: str
    """The same as part of a file's name."""
    stream: ByteStream
    timebase: Timebase
    bauds: tuple[int, ...] | None
    """Rates to try; None: the present one and the usual ones."""

    @property
    def baud(self) -> int | None:
        """The rate now."""
        return self.stream.baud if isinstance(self.stream, RateStream) else None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A receiver that was recognised, opened and started as it is configured."""

    line: Line
    driver: ReceiverDriver
    receiver: Any
    """``Receiver``; some have more: ``settings``, ``survey_again``, ``health``."""
    identity: ReceiverIdentity | None

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What it has."""
        found: frozenset[Capability] = self.receiver.capabilities
        return found

    def need(self, operation: str, capability: Capability) -> None:
        """Raises ``UnsupportedError`` when the receiver lacks this."""
        if capability not in self.capabilities:
            model = self.identity.model if self.identity else self.driver.name
            has = ", ".join(sorted(self.capabilities)) or "nothing but what every receiver tells"
            raise UnsupportedError(
                self.line.place, operation, f"a {model} cannot {capability}; it has: {has}"
            )


@contextlib.contextmanager
def opened_line(options: CardOptions, port: Path | None, second: bool, baud: int | None) -> Iterator[Line]:
    """The line of the chosen card, or a plain port; closed afterwards."""
    timebase = HostTimebase()
    bauds = None if baud is None else (baud,)
    if port is None:
        role = Role.GNSS2 if second else Role.GNSS
        with options.opened() as card:
            stream = card.serial(role, baud)
            place = f"{card.name} {role.value}"
            key = _UNSAFE.sub("-", f"{card.id}-{role.value}")
            yield Line(place=place, key=key, stream=stream, timebase=timebase, bauds=bauds)
        return
    if second or options.named or options.access is not None:
        raise typer.BadParameter(
            "--port is a serial port of its own: leave --id, --pci, --vfio-user, --access, --gnss2 out"
        )
    tty = TtyStream(port, baud or USUAL_BAUD, "GNSS receiver")
    try:
        key = _UNSAFE.sub("-", str(port)).strip("-")
        yield Line(place=str(port), key=key, stream=tty, timebase=timebase, bauds=bauds)
    finally:
        tty.close()


@contextlib.contextmanager
def opened_receiver(
    options: CardOptions, port: Path | None, second: bool, baud: int | None
) -> Iterator[Found]:
    """The receiver, asked who it is; nothing is changed in it."""
    with opened_line(options, port, second, baud) as line:
        yield found_on(line)


def found_on(line: Line) -> Found:
    """Ask who is on a line. Raises ``DeviceAbsentError`` and ``UnsupportedError`` that say what was heard."""
    detected = detect(line.stream, line.timebase, line.bauds)
    receiver = detected.driver.open(line.stream, line.timebase, None)
    receiver.start()
    identity = receiver.identity or detected.identity
    return Found(line=line, driver=detected.driver, receiver=receiver, identity=identity)


def heard_on(line: Line) -> Detected | None:
    """Find the rate by listening alone. With a rate given, whatever comes is taken: None if nothing is known.

    Raises ``TimeCardError`` that says what was heard when the rate has to be found and is not.
    """
    try:
        return detect(line.stream, line.timebase, line.bauds, listen_only=True)
    except TimeCardError as error:
        if line.bauds is not None and isinstance(error, DeviceAbsentError | UnsupportedError):
            if isinstance(line.stream, RateStream):  # detection went back to the rate from before
                line.stream.set_baud(line.bauds[0])
            return None
        hint = "; --baud takes the line at a rate as it is"
        raise type(error)(error.device, error.operation, error.reason + hint) from error
