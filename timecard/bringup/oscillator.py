"""The oscillator module on a card's serial port."""

from __future__ import annotations

from typing import Final

from timecard.boards.board import Role
from timecard.card_protocols import Card
from timecard.errors import RefusedError, UnsupportedError
from timecard.mac.detect import ROUNDS, detect
from timecard.mac.driver import Oscillator
from timecard.mac.wear import WearLedger
from timecard.pcie.register_card import RegisterCard
from timecard.timebase import Timebase
from timecard.values import OscillatorIdentity

THROUGH_REGISTERS: Final = "that writes registers of its bridge; timecard mac status does it"


def open_oscillator(
    card: Card,
    timebase: Timebase,
    *,
    wanted: str | None = None,
    rounds: int = ROUNDS,
    wear: WearLedger | None = None,
) -> tuple[Oscillator, OscillatorIdentity]:
    """Who answers, and a driver for it. Changes nothing in the module.

    ``wanted``: the family that must be there; ``wear``: where its non-volatile writes are counted.

    Raises ``DeviceAbsentError`` when nobody answers,
    ``RefusedError`` for another family, ``UnsupportedError`` where asking would write the card's registers.
    """
    if isinstance(card, RegisterCard) and card.board.has("osc"):
        raise UnsupportedError(card.name, "ask the oscillator", THROUGH_REGISTERS)
    if Role.MAC not in card.board.serial_ports:
        raise UnsupportedError(card.name, "ask the oscillator", f"{card.board.product} has no port to it")
    found = detect(
        lambda baud: card.serial(Role.MAC, baud),
        timebase,
        expected=wanted or card.board.oscillator_family,
        port_baud=card.board.serial_ports[Role.MAC].baud,
        rounds=rounds,
        wear=wear,
    )
    family = found.identity.family
    if wanted is not None and family != wanted:
        raise RefusedError(card.name, "ask the oscillator", f"{family} answers, not {wanted}")
    return found.oscillator, found.identity
