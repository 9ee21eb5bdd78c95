"""Faults of the card itself: its FPGA, its lines, its memories. A row each: who can have it, and its switch.

A switch is turned on with the fault's arguments, off without; it acts on the FPGA as configured at that time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from timecard.boards.board import ImageWord
from timecard.emulator.faults import Start, Stop
from timecard.emulator.fpga import FpgaCard
from timecard.emulator.fpga_pps import SELECT_FORCED
from timecard.emulator.fpga_profile import golden_image

Arguments = Mapping[str, float]
_TAG: Final = 0x8000


@dataclass(frozen=True, slots=True)
class Switch:
    """A fault; ``needs`` are blocks that a card must have for it."""

    turn: Callable[[FpgaCard, int, Arguments | None], None]
    """Card, true TAI, and the arguments, or None to end it."""
    needs: tuple[str, ...] = ()
    only: Callable[[FpgaCard], bool] = lambda card: True


class _OnBoard:
    """The FPGA's own crystal, from an instant on."""

    def __init__(self, t_ns: int, ppb: float) -> None:
        self._t_ns, self._ppb = t_ns, ppb

    def phase_ns(self, t_ns: int) -> float:
        return (t_ns - self._t_ns) * self._ppb * 1e-9


def _clock_stopped(card: FpgaCard, t_ns: int, on: Arguments | None) -> None:
    if on is None:
        card.fabric.clock.thaw(t_ns)
    else:
        card.fabric.clock.freeze(t_ns)


def _clock_1970(card: FpgaCard, t_ns: int, on: Arguments | None) -> None:
    if on is not None:
        card.fabric.clock.load(t_ns, 0)
    _deafen(card, "clock-1970", on)


def _done_stuck(card: FpgaCard, t_ns: int, on: Arguments | None) -> None:
    card.fabric.clock.stuck_done = None if on is None else bool(on["high"])


def _adjust_ignored(card: FpgaCard, t_ns: int, on: Arguments | None) -> None:
    card.fabric.clock.adjustable = on is None


def _no_10mhz(card: FpgaCard, t_ns: int, on: Arguments | None) -> None:
    selector = card.fabric.selector
    assert selector is not None
    if on is None:
        card.fabric.clock.counter.count_from(t_ns, card.oscillator)
        selector.clock_10mhz = card.clock_10mhz
    else:
        card.fabric.clock.counter.count_from(t_ns, _OnBoard(t_ns, on["offset_ppb"]))
        selector.clock_10mhz = "onboard"
    card.fabric.routing.clock_changed(t_ns, jumped=False)


def _pps_select_wrong(card: FpgaCard, t_ns: int, on: Arguments | None) -> None:
    assert card.fabric.selector is not None
    card.fabric.selector.words[SELECT_FORCED] = 0 if on is None else int(on["source"])


def _tod_errors(card: FpgaCard, t_ns: int, on: Arguments | None) -> None:
    assert card.fabric.tod is not None
    card.fabric.tod.errors = 0 if on is None else int(on["bits"])


def _tod_leap_wrong(card: FpgaCard, t_ns: int, on: Arguments | None) -> None:
    assert card.fabric.tod is not None
    card.fabric.tod.leap_wrong_s = 0 if on is None else int(on["off_s"])


def _loader_image(card: FpgaCard, t_ns: int, on: Arguments | None) -> None:
    _show_image(card, None if on is None else golden_image(card.board).word(card.board))


def _wrong_image(card: FpgaCard, t_ns: int, on: Arguments | None) -> None:
    right = 0 if card.image is None else card.image.word(card.board)
    _show_image(card, None if on is None else right ^ (_TAG << 16 if right > 0xFFFF else _TAG))


def _show_image(card: FpgaCard, word: int | None) -> None:
    assert card.fabric.image_block is not None
    if word is None:
        word = 0 if card.image is None else card.image.word(card.board)
    card.fabric.image_block.words[0] = word


def _gnss_silent(card: FpgaCard, t_ns: int, on: Arguments | None) -> None:
    card.fabric.uarts["port[GNSS]"].muted = on is not None
    _deafen(card, "gnss-silent", on)


def _mac_silent(card: FpgaCard, t_ns: int, on: Arguments | None) -> None:
    card.fabric.uarts["port[MAC]"].muted = on is not None


def _deafen(card: FpgaCard, cause: str, on: Arguments | None) -> None:
    if card.fabric.tod is not None:
        (card.fabric.tod.deaf.discard if on is None else card.fabric.tod.deaf.add)(cause)


def _generator_error(card: FpgaCard, t_ns: int, on: Arguments | None) -> None:
    generators = list(card.fabric.generators.values())
    if on is None:
        for generator in generators:
            generator.repair(t_ns)
    else:
        generators[min(int(on["generator"]), len(generators)) - 1].fail()


def _ptm_wrong(card: FpgaCard, t_ns: int, on: Arguments | None) -> None:
    assert card.fabric.ptm is not None
    card.fabric.ptm.wrong_ns = 0 if on is None else int(on["offset_ns"])


def _eeprom_unreadable(card: FpgaCard, t_ns: int, on: Arguments | None) -> None:
    card.controllers.i2c.unreadable = on is not None


def _flash_dead(card: FpgaCard, t_ns: int, on: Arguments | None) -> None:
    card.controllers.set_flash_dead(on is not None)


SWITCHES: Final[Mapping[str, Switch]] = {
    "clock-stopped": Switch(_clock_stopped),
    "clock-1970": Switch(_clock_1970),
    "done-stuck": Switch(_done_stuck),
    "adjust-ignored": Switch(_adjust_ignored),
    "no-10mhz": Switch(_no_10mhz, ("pps_select",)),
    "pps-select-wrong": Switch(_pps_select_wrong, ("pps_select",)),
    "tod-errors": Switch(_tod_errors, ("tod",)),
    "tod-leap-wrong": Switch(_tod_leap_wrong, ("tod",)),
    "loader-image": Switch(_loader_image, ("image",)),
    "wrong-image": Switch(
        _wrong_image, ("image",), lambda card: card.board.image_word is ImageWord.BIT15_TAG
    ),
    "gnss-silent": Switch(_gnss_silent, ("port[GNSS]",)),
    "mac-silent": Switch(_mac_silent, ("port[MAC]",)),
    "generator-error": Switch(_generator_error, ("signal_out[0]",)),
    "ptm-wrong": Switch(_ptm_wrong, ("ptm",), lambda card: card.fabric.ptm is not None),
    "eeprom-unreadable": Switch(_eeprom_unreadable),
    "flash-dead": Switch(_flash_dead),
}


def card_handlers(card: FpgaCard) -> dict[str, Start]:
    """The faults of this table that a card can have."""
    return {
        name: partial(_begin, card, switch)
        for name, switch in SWITCHES.items()
        if all(card.board.has(block) for block in switch.needs) and switch.only(card)
    }


def _begin(card: FpgaCard, switch: Switch, t_ns: int, arguments: Arguments) -> Stop:
    switch.turn(card, card.settle(), arguments)
    return lambda t_ns: switch.turn(card, card.settle(), None)
