"""What the driver shows of a card, put into the values that every access path returns.

Sysfs first; debugfs, which is for root, where sysfs has nothing. A field that nobody shows is None.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from timecard.card_protocols import Memory
from timecard.card_values import (
    BoardIdentity,
    CardFacts,
    ClockStatus,
    PpsSlaveStatus,
    PpsSource,
    SelectorStatus,
)
from timecard.eeprom import decode_identity
from timecard.errors import TimeCardError, UnsupportedError
from timecard.kernel import attributes as a
from timecard.kernel.debugfs import Summary, selector_of
from timecard.kernel.memories import EepromFile, I2cMemory
from timecard.kernel.modules import identity_modules
from timecard.kernel.sysfs import SysfsDevice

if TYPE_CHECKING:
    from timecard.kernel.kernel_card import KernelCard

BLANK_SERIALS = ("00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff")
"""What the driver shows while it cannot read the EEPROM, and what a blank one holds."""


def read_summary(card: KernelCard) -> Summary:
    """debugfs ``summary``; refused where reading it would crash the kernel."""
    if card.unsafe is not None:
        raise UnsupportedError(card.name, "read debugfs summary", card.unsafe)
    return card.debug.summary()


def summary_or_none(card: KernelCard) -> Summary | None:
    """The same, for what is only nice to have."""
    try:
        return read_summary(card)
    except TimeCardError:
        return None


def optional(device: SysfsDevice, attribute: a.Attribute[int]) -> int | None:
    """A number where the driver has it."""
    return device.read(attribute) if device.has(attribute) else None


def read_clock_status(card: KernelCard) -> ClockStatus:
    """Source, corrections and, from debugfs, whether the clock is in sync."""
    summary = summary_or_none(card)
    return ClockStatus(
        version=None,
        source=card.clock.source_name(),
        in_sync=summary.in_sync if summary else None,
        in_holdover=None,
        offset_ns=optional(card.device, a.CLOCK_STATUS_OFFSET),
        drift_ppb=optional(card.device, a.CLOCK_STATUS_DRIFT),
    )


def read_selector(card: KernelCard) -> SelectorStatus:
    """PPS and 10 MHz inputs."""
    operation = "read selector"
    if not card.board.has("pps_select"):
        raise UnsupportedError(card.name, operation, f"{card.board.product} has none")
    found = selector_of(read_summary(card))
    if found is None:
        raise UnsupportedError(
            card.name,
            operation,
            "the driver names the pulse's source only while the clock follows PPS; it shows neither which "
            "inputs are there nor which 10 MHz is taken (the registers do, with the driver unbound)",
        )
    forced = optional(card.device, a.HOLDOVER)
    if not forced:
        return found
    return SelectorStatus(found.present, PpsSource(forced), PpsSource(forced), found.clock_10mhz)


def read_pps_slave(card: KernelCard) -> PpsSlaveStatus:
    """Whether pulses are missing, as the driver's watchdog saw it within the last second."""
    if not card.board.has("pps_to_clk"):
        raise UnsupportedError(card.name, "read PPS slave", f"{card.board.product} has none")
    return PpsSlaveStatus(
        enabled=None,
        filter_error=None,
        lost=not card.device.read(a.GNSS_SYNC).synced,
        pulse_width_ms=optional(card.device, a.EXTERNAL_PPS_PULSE_WIDTH),
        cable_delay_ns=optional(card.device, a.EXTERNAL_PPS_CABLE_DELAY),
    )


def read_facts(card: KernelCard) -> CardFacts:
    """In words; whatever cannot be read is None."""
    summary = summary_or_none(card)
    selected = None
    if card.board.has("pps_select") and summary is not None:
        selector = selector_of(summary)
        selected = selector.selected if selector else None
    try:
        image = str(card.image())
    except TimeCardError:
        image = None
    return CardFacts(
        image_version=image,
        clock_core_version=None,
        clock_source=card.clock.source_name(),
        pps_source=selected.name if selected else None,
        in_sync=summary.in_sync if summary else None,
        sma=dict(str(connector).split(" ", 1) for connector in card.sma.read()),
    )


def open_memory(card: KernelCard, address: int, dev: Path) -> Memory:
    """The chip by the kernel's EEPROM driver, else over the bus's own device node."""
    operation = f"open memory {address:#x}"
    chip = next((c for c in card.board.i2c.chips if c.address == address), None)
    if chip is None:
        known = ", ".join(f"{c.address:#04x}" for c in card.board.i2c.chips)
        raise UnsupportedError(
            card.name, operation, f"{card.board.product} has no EEPROM at {address:#x}, only at {known}"
        )
    path = card.nodes.eeproms.get(address)
    if path is not None and path.exists():
        return EepromFile(path, chip)
    if card.nodes.i2c is not None and (dev / card.nodes.i2c).exists():
        return I2cMemory(dev / card.nodes.i2c, chip)
    raise UnsupportedError(card.name, operation, no_eeprom_reason(card))


def no_eeprom_reason(card: KernelCard) -> str:
    """Why the kernel cannot read the EEPROM."""
    reason = card.modules.reason(identity_modules(card.board))
    if reason:
        return reason
    granted, needed = card.driver.vectors, card.board.vectors_needed
    if granted is not None and granted < needed:
        return f"the card was given {granted} of {needed} interrupt messages: its I2C master is not driven"
    return "the chip does not answer on the card's I2C bus (see the kernel's log)"


def read_identity(card: KernelCard) -> BoardIdentity:
    """From the memories as root.

    Else the serial that the driver kept, and the board id that devlink tells.
    """
    if len(card.nodes.eeproms) == len(card.board.i2c.chips):
        found = decode_identity(card.board, card.memory)
        if found.serial or found.board_id:
            return found
    else:
        found = BoardIdentity(serial=None, board_id=None, fields={}, problems=(no_eeprom_reason(card),))
    serial = card.device.read(a.SERIALNUM)
    if serial in BLANK_SERIALS:
        return found
    try:
        board_id = card.devlink().board_id
    except TimeCardError:
        board_id = None
    return BoardIdentity(serial=serial, board_id=board_id, fields={}, problems=found.problems)
