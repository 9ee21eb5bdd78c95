"""The oscillator module on a card: by its serial port, by I2C, or by the words of an ART card's mRO-50."""

from __future__ import annotations

from pathlib import Path

from timecard.boards.board import Role
from timecard.card_protocols import Card
from timecard.errors import RefusedError, UnsupportedError
from timecard.kernel.kernel_card import KernelCard
from timecard.mac.detect import ROUNDS, detect, detect_i2c
from timecard.mac.driver import Oscillator
from timecard.mac.mro50_device import DeviceWords
from timecard.mac.oscillators.mro50 import FAMILY as MRO50
from timecard.mac.oscillators.mro50 import Mro50, Mro50Words
from timecard.mac.wear import WearLedger
from timecard.pcie.i2c import I2cMaster
from timecard.pcie.mro50_bridge import has_the_part
from timecard.pcie.register_card import RegisterCard
from timecard.timebase import Timebase
from timecard.values import OscillatorIdentity


def open_oscillator(
    card: Card,
    timebase: Timebase,
    *,
    wanted: str | None = None,
    rounds: int = ROUNDS,
    wear: WearLedger | None = None,
) -> tuple[Oscillator, OscillatorIdentity]:
    """Who answers, and a driver for it. Changes no setting of module or card.

    ``wanted``: the family that must be there; ``wear``: where its non-volatile writes are counted.

    Raises ``DeviceAbsentError`` when nobody answers,
    ``RefusedError`` for another family, ``UnsupportedError`` where there is no way to it.
    """
    oscillator, identity = _found(card, timebase, wanted, rounds, wear)
    if wanted is not None and identity.family != wanted:
        raise RefusedError(card.name, "ask the oscillator", f"{identity.family} answers, not {wanted}")
    return oscillator, identity


def quartz_bus(card: Card) -> I2cMaster | None:
    """The I2C bus of an oscillator's daughter card; None unless the MAC port's pins have been switched to it.

    That is not tried out: what a serial module makes of the noise nobody knows (a CSAC acts on one letter).
    """
    if not isinstance(card, RegisterCard):
        return None
    try:
        return card.oscillator_i2c()
    except UnsupportedError:
        return None


def not_serial(
    card: Card, timebase: Timebase, wear: WearLedger | None = None, wanted: str | None = None
) -> tuple[Oscillator, OscillatorIdentity, str] | None:
    """The oscillator and the way to it, where that is not its serial port; None where it is.

    On I2C the drivers of that bus are asked, ``wanted`` first. An mRO-50 is asked through the FPGA's bridge
    where the registers are ours and it is connected to that, else through ``/dev/mro50.N`` of the vendor's
    driver; the mainline driver has none. Raises ``DeviceAbsentError`` when nobody answers on I2C.
    """
    bus = quartz_bus(card)
    if bus is not None:
        return *detect_i2c(bus, timebase, expected=wanted), "I2C"
    words = _mro50_words(card)
    if words is None:
        return None
    part = Mro50(words[0], timebase, wear=wear, serial=card.id)
    return part, part.identify(), words[1]


def _found(
    card: Card, timebase: Timebase, wanted: str | None, rounds: int, wear: WearLedger | None
) -> tuple[Oscillator, OscillatorIdentity]:
    direct = not_serial(card, timebase, wear, wanted)
    if direct is not None:
        return direct[:2]
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
    return found.oscillator, found.identity


def _mro50_words(card: Card) -> tuple[Mro50Words, str] | None:
    if card.board.oscillator_family != MRO50:
        return None
    if isinstance(card, RegisterCard):
        return (card.oscillator_bridge(), "registers") if has_the_part(card.bus) else None
    node = _mro50_node(card)
    return None if node is None else (DeviceWords(node), str(node))


def _mro50_node(card: Card) -> Path | None:
    if not isinstance(card, KernelCard):
        return None
    names = sorted(each.name for each in (card.pci_device / "misc").glob("mro50.*"))
    return Path("/dev") / names[0] if names else None
