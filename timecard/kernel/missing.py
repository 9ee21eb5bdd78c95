"""What a board lacks, and what the driver on this kernel does not show: capability to reason.

Hardware is not touched: sysfs is asked which files are there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from timecard.boards import Role
from timecard.kernel import attributes as a
from timecard.kernel.clock import STEERING_HINT
from timecard.kernel.modules import flash_modules
from timecard.kernel.shown import no_eeprom_reason

if TYPE_CHECKING:
    from timecard.kernel.kernel_card import KernelCard

_BLOCKS: Final = {
    "selector": "pps_select",
    "pps_slave": "pps_to_clk",
    "pps_output": "pps_to_ext",
    "time_of_day": "tod",
    "gpio": "gpio_ext",
    "oscillator_bridge": "osc",
}
NO_FLASH_CHIP: Final = "the SPI controller's driver found no flash (see the kernel's log)"
_NOT_SHOWN: Final = {
    "clock core version": "the driver writes it to the kernel's log only",
    "clock holdover": "the driver does not show this bit of the clock's status",
    "10 MHz selection": "the driver does not show which 10 MHz the FPGA takes",
    "pps input settings": "the driver shows neither polarity, width nor delay of the pulse input",
    "receiver in time of day": "the driver does not show fix, antenna and satellites that the core decoded",
    "timestamper delay": "the driver leaves the delay register of the timestampers alone",
    "dropped edges": "the driver does not tell edges that found the latch occupied",
    "sma off": "the driver shows an output that is off as 10 MHz",
    "gpio": "the driver does not touch the board's GPIO",
}


def missing_capabilities(card: KernelCard) -> dict[str, str]:
    """All of it."""
    board, device = card.board, card.device
    lacks = f"{board.product} has none"
    found = dict(_NOT_SHOWN)
    if card.driver.is_vendor:
        found.pop("pps input settings")
    found |= _debugfs(card)
    found |= {name: lacks for name, block in _BLOCKS.items() if not board.has(block)}
    found.setdefault("pps_output", "the driver never configures the clock's own pulse")
    if board.has("osc") and not (device.path / "mro50").exists():
        found["oscillator_bridge"] = "mainline has no device for the mRO50: use its serial port"
    for role in Role:
        if role not in board.serial_ports:
            found[f"serial {role.value}"] = lacks
        elif role not in card.nodes.ttys:
            found[f"serial {role.value}"] = f"the driver made no tty ({_vectors(card)})"
    found |= _counted(card, "generator", board.generators, a.SIGNAL)
    found |= _counted(card, "counter", board.counters, a.FREQ_SECONDS)
    if card.unsafe is not None:
        found["generator"] = card.unsafe
    if card.kernel_clock.max_frequency_ppb == 0.0:
        found["steering"] = STEERING_HINT
    if not device.has(a.HOLDOVER):
        found["pps source override"] = "the driver has no attribute for it (vendor drivers: holdover)"
    if len(card.nodes.eeproms) < len(board.i2c.chips):
        found["eeprom"] = no_eeprom_reason(card)
    if card.nodes.mtd is None:
        reason = card.modules.reason(flash_modules(board))
        found["flash"] = reason or NO_FLASH_CHIP
    if card.nodes.pps is None:
        found["pps"] = "the kernel was built without PPS support"
    return found


def _debugfs(card: KernelCard) -> dict[str, str]:
    """What only ``summary`` and ``tod_status`` show."""
    if card.unsafe is not None:
        return {"selector": card.unsafe, "clock in sync": card.unsafe}
    try:
        readable = (card.debug.path / "summary").exists()
    except OSError:
        readable = False
    if readable:
        return {}
    reason = "only debugfs shows it: be root, and mount -t debugfs none /sys/kernel/debug"
    return dict.fromkeys(("selector", "clock in sync", "time_of_day"), reason)


def _counted(card: KernelCard, what: str, count: int, attribute: a.Attribute[Any]) -> dict[str, str]:
    if not count:
        return {what: f"{card.board.product} has none"}
    if not card.device.has(attribute, 1):
        return {what: "driver or image are too old for it"}
    return {}


def _vectors(card: KernelCard) -> str:
    granted, needed = card.driver.vectors, card.board.vectors_needed
    if granted is not None and granted < needed:
        return f"{granted} of {needed} interrupt messages were granted: enable interrupt remapping"
    return "too many serial ports for this kernel, or an error in its log"
