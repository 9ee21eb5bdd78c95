"""What an open card says, asked with a time limit each. Nothing is set, cleared or switched."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from timecard.boards.board import ImageWord
from timecard.boards.registers import ALL_ONES
from timecard.card_protocols import Card
from timecard.card_values import Access, ImageVersion
from timecard.doctor.checks.board_data import COUNTERS_SINCE, GENERATORS_SINCE
from timecard.doctor.facts import ClockFacts, ErratumFacts, RegisterWords
from timecard.doctor.probe import Prober
from timecard.errors import TimeCardError
from timecard.kernel.errata import find_errata
from timecard.kernel.kernel_card import KernelCard
from timecard.pcie.bus import has_ptm
from timecard.pcie.ptm import PtmRequester
from timecard.protocols import RegisterBus
from timecard.timebase import Timebase
from timecard.timescale import NS_PER_S, TAI_MINUS_UTC_2017_S
from timecard.values import CrossTimestamp

LIMIT_S: Final = 4.0
BETWEEN_S: Final = 0.5
BRACKETS: Final = 5
OPEN_IMAGES: Final = 10
"""Up to this number an image may be one of the published ones, which have the level of the SMA inputs. An
address without a block ends in a bus error, so it is not read from others."""


@dataclass(frozen=True, slots=True)
class Bracket:
    """One reading of the clock between two readings of the host's."""

    card_tai_ns: int
    middle_ns: int
    half_width_ns: float


def examine_clock(card: Card, timebase: Timebase, realtime_ns: Callable[[], int]) -> ClockFacts:
    """Two readings, half a second apart."""
    first = _narrowest(card, timebase)
    timebase.sleep_s(BETWEEN_S)
    last = _narrowest(card, timebase)
    host_tai_ns = realtime_ns() + TAI_MINUS_UTC_2017_S * NS_PER_S - (timebase.mono_ns() - last.middle_ns)
    try:
        cross = _cross_timestamp(card)
    except TimeCardError:
        cross = None  # the plain reading works, and is what counts here
    difference_ns = None
    if cross is not None:
        difference_ns = float(cross.card_tai_ns - last.card_tai_ns - (cross.mono_raw_ns - last.middle_ns))
    return ClockFacts(
        first_tai_ns=first.card_tai_ns,
        last_tai_ns=last.card_tai_ns,
        elapsed_ns=last.middle_ns - first.middle_ns,
        host_tai_ns=host_tai_ns,
        elapsed_half_width_ns=first.half_width_ns + last.half_width_ns,
        half_width_ns=last.half_width_ns,
        cross_minus_bracket_ns=difference_ns,
        cross_method=cross.method if cross is not None else None,
    )


def examine_parts(card: Card, prober: Prober) -> dict[str, Any]:
    """Everything but clock and serial ports, by the name of the field of ``CardExamination``."""
    found: dict[str, Any] = {"image": prober.ask("image", card.image, LIMIT_S)}
    ways: dict[str, Callable[[], object]] = {
        "clock_status": card.clock_status,
        "selector": card.selector,
        "pps_slave": card.pps_slave,
        "time_of_day": card.time_of_day,
        "sma": card.sma.read,
        "words": lambda: register_words(card, found["image"]),
        "identity": card.identity,
        "flash_bytes": lambda: None if card.access is Access.KERNEL else card.flash().size,
        "generators": lambda: _generators(card, found["image"]),
        "counters": lambda: _counters(card, found["image"]),
        "delays_ns": lambda: _delays(card),
    }
    for name, ask in ways.items():
        found[name] = prober.ask(name, ask, LIMIT_S)
    found["delays_ns"] = found["delays_ns"] or {}
    if isinstance(card, KernelCard):
        found["errata"] = prober.ask("errata", lambda: _errata(card), LIMIT_S) or ()
    return found


def _errata(card: KernelCard) -> tuple[ErratumFacts, ...]:
    return tuple(ErratumFacts(**dataclasses.asdict(each)) for each in find_errata(card))


def register_words(card: Card, image: ImageVersion | None) -> RegisterWords | None:
    """Words that the ``Card`` protocol has no place for; None where the registers are not ours to read."""
    bus = _bus(card)
    if bus is None:
        return None
    board = bus.board
    tod_baud = bus.read32(board.at("tod", "uart_baud")) if board.has("tod") else ALL_ONES
    forces = bus.read32(board.at("pps_select", "gpio2")) if board.has("pps_select") else ALL_ONES
    alarm = bus.read32(board.at("gpio_gnss_mac", "gpio1")) if board.has("gpio_gnss_mac") else ALL_ONES
    published = image is not None and not image.loader and image.number <= OPEN_IMAGES
    levels = ALL_ONES
    if published and board.has("sma_status"):
        levels = bus.read32(board.at("sma_status", "input_status"))
    return RegisterWords(
        tod_baud=None if tod_baud == ALL_ONES else tod_baud & 0xF,
        selector_forces=None if forces == ALL_ONES else forces & 0xF0,
        mac_alarm=None if alarm == ALL_ONES else bool(alarm & 1),
        sma_levels=None if levels == ALL_ONES else levels,
    )


def _cross_timestamp(card: Card) -> CrossTimestamp:
    """By PTM if the card has it, though the clock itself may have dropped it as implausible."""
    bus = _bus(card)
    if bus is not None and has_ptm(bus):
        return PtmRequester(bus, card.name).cross_timestamp()
    return card.clock.cross_timestamp()


def _narrowest(card: Card, timebase: Timebase) -> Bracket:
    return min((_bracket(card, timebase) for _ in range(BRACKETS)), key=lambda each: each.half_width_ns)


def _bracket(card: Card, timebase: Timebase) -> Bracket:
    before_ns = timebase.mono_ns()
    tai_ns = card.clock.now_tai_ns()
    after_ns = timebase.mono_ns()
    return Bracket(tai_ns, (before_ns + after_ns) // 2, (after_ns - before_ns) / 2)


def _generators(card: Card, image: ImageVersion | None) -> dict[str, str]:
    if not _has_since(card, image, GENERATORS_SINCE):
        return {}
    numbers = range(1, card.board.generators + 1)
    states = {number: card.generator(number).state() for number in numbers}
    return {str(number): state.error for number, state in states.items() if state.error}


def _counters(card: Card, image: ImageVersion | None) -> dict[str, str]:
    if not _has_since(card, image, COUNTERS_SINCE):
        return {}
    numbers = range(1, card.board.counters + 1)
    readings = {number: card.counter(number).read() for number in numbers}
    return {str(number): reading.error for number, reading in readings.items() if reading.error}


def _has_since(card: Card, image: ImageVersion | None, number: int) -> bool:
    """Whether the image has blocks that came with ``number``; Production images always had them."""
    if image is None or image.loader:
        return False
    return card.board.image_word is not ImageWord.BIT15_TAG or image.tag == 1 or image.number >= number


def _delays(card: Card) -> dict[str, float]:
    """Where a delay of the GNSS pulse is compensated on the card right now."""
    bus = _bus(card)
    if bus is None:
        return {}
    found = {}
    stamper = bus.board.blocks[bus.board.channels["ts0"]]
    if "cable_delay" in {row.name for row in stamper.registers}:
        found["timestamper"] = float(bus.read32(stamper.at("cable_delay")) & 0xFFFF)
    if bus.board.has("pps_to_clk"):
        found["pps-slave"] = float(card.pps_slave().cable_delay_ns or 0)
    return {place: value_ns for place, value_ns in found.items() if value_ns}


def _bus(card: Card) -> RegisterBus | None:
    bus: RegisterBus | None = getattr(card, "bus", None)
    return bus
