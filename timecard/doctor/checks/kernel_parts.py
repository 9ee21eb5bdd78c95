"""What the kernel gave the driver: interrupt vectors, and the modules of the controllers on the card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from timecard.boards import Board
from timecard.doctor.checks.driver import DRIVER
from timecard.doctor.facts import ModuleState
from timecard.doctor.findings import Case, Entry, Group, Seen, Severity

NO_EEPROM: Final = ("eeprom-unreadable", "eeprom-module-missing", "eeprom-module-not-loaded", "probe-failed")
NO_FLASH: Final = ("flash-module-missing", "flash-module-not-loaded", "flash-missing")
_SKIPPED: Final = (
    "tty-missing",
    "tty-links-missing",
    "irq-skipped",
    "uart-ports-used-up",
    *NO_EEPROM,
    *NO_FLASH,
)
_MISSING_FIX: Final = (
    "Boot a kernel that has it, or build {module} from the kernel's source against the installed "
    "headers{also}. Without the driver bound the toolkit needs no such module: `timecard {command}` then "
    "works through the registers."
)
_LOAD_FIX: Final = (
    "`modprobe {module}`, and for every start a line `{module}` in /etc/modules-load.d/timecard.conf; then "
    "bind the driver anew if {what} stays away."
)


def _pair(part: str, title: str, effect: str, explains: tuple[str, ...]) -> dict[str, Entry]:
    return {
        f"{part}-module-missing": Entry(
            severity=Severity.WARN,
            title=title + ": the kernel has no {module}",
            cause="The kernel {kernel} was built without {module}; " + effect,
            fix=_MISSING_FIX,
            explains=explains,
        ),
        f"{part}-module-not-loaded": Entry(
            severity=Severity.WARN,
            title=title + ": {module} is not loaded",
            cause="The module is installed but was not loaded; " + effect,
            fix=_LOAD_FIX,
            explains=explains,
        ),
    }


ENTRIES: Final = MappingProxyType(
    {
        "single-msi": Entry(
            severity=Severity.FAIL,
            title="the card got one interrupt vector instead of {needed}",
            cause="More than one plain MSI message needs interrupt remapping, and this host offers none: the "
            "driver skipped every block with an interrupt. Left are the clock and its own PPS; no tty, no "
            "EEPROM, no flash, no timestampers, no generators.",
            fix="Enable interrupt remapping: VT-d or AMD-Vi in the firmware setup and `intel_iommu=on` on "
            "the kernel's command line. Where the host cannot (Compute Module 4), unbind the driver: the "
            "toolkit polls the registers and needs no interrupt. Do not write to genN meanwhile: this "
            "driver then follows a null pointer.",
            explains=_SKIPPED,
        ),
        "few-vectors": Entry(
            severity=Severity.WARN,
            title="the card got {granted} interrupt vectors, its blocks need {needed}",
            cause="The driver skipped {skipped}. Writing to the files of a skipped generator, or flashing "
            "without the flash device, makes it follow a bad pointer.",
            fix="Enable interrupt remapping (VT-d, AMD-Vi; `intel_iommu=on`); leave the named parts alone "
            "until then.",
            explains=_SKIPPED,
        ),
        "irq-skipped": Entry(
            severity=Severity.INFO,
            title="the driver skipped {skipped}",
            cause="An older FPGA image has fewer interrupts than the driver's table.",
            fix="Harmless; a newer image has them all.",
        ),
        **_pair("i2c", "no EEPROM", "the EEPROM with the card's identity stays unseen.", NO_EEPROM),
        **_pair("eeprom", "no EEPROM", "the bus is there, the memory on it is not.", ("eeprom-unreadable",)),
        **_pair("spi", "no flash", "there is no mtd device, so nothing can be flashed.", NO_FLASH),
        **_pair("flash", "no flash", "the SPI bus is there, the flash on it is not.", ("flash-missing",)),
        "flash-missing": Entry(
            severity=Severity.WARN,
            title="the driver shows no flash device",
            cause="The modules are there, but no mtd device hangs below the card: the flash did not answer "
            "when the driver looked for it.",
            fix="Read `dmesg` for spi-nor; bind the driver anew. Do not call `devlink dev flash` meanwhile.",
        ),
    }
)


def vectors(case: Case) -> Iterator[Seen]:
    """Interrupt vectors against what the board's blocks need."""
    pci, board = case.card.pci, case.board
    if pci is None or board is None or pci.driver != DRIVER or not board.kernel_binds:
        return
    lines = case.log("out of range, skipping")
    skipped = ", ".join(dict.fromkeys(line.rsplit("skipping ", 1)[-1] for line in lines)) or _blocks(
        board, pci.vectors
    )
    words = {"granted": pci.vectors, "needed": board.vectors_needed, "skipped": skipped}
    if pci.vectors is None or pci.vectors >= board.vectors_needed:
        if lines:
            yield Seen("irq-skipped", lines[:4], words)
        return
    evidence = (f"{pci.vectors} of {board.vectors_needed} vectors in msi_irqs", *lines[:4])
    if pci.vectors <= 1:
        yield Seen("single-msi", evidence, words)
    elif [block for block in board.blocks.values() if (block.vector or 0) >= pci.vectors]:
        yield Seen("few-vectors", evidence, words)


def modules(case: Case) -> Iterator[Seen]:
    """Modules of the I2C and SPI controllers and of what hangs on them."""
    card, board = case.card, case.board
    kernel = card.kernel
    if board is None or kernel is None or kernel.class_device is None:
        return
    states = case.host.modules
    if not kernel.i2c:
        yield from _module(case, "i2c", board.i2c.kind.value, states, "eeprom")
    elif len(kernel.eeproms) < len(board.i2c.chips):
        yield from _module(case, "eeprom", "at24", states, "eeprom")
    if kernel.mtd is None:
        found = False
        for part, module in (("spi", board.flash.kind.value), ("flash", "spi-nor")):
            for seen in _module(case, part, module, states, "flash"):
                found = True
                yield seen
        states_known = states.get(board.flash.kind.value, ModuleState.UNKNOWN) is not ModuleState.UNKNOWN
        if not found and states_known:
            yield Seen("flash-missing", ("no mtd below the card's SPI device",))


def _module(
    case: Case, part: str, module: str, states: Mapping[str, ModuleState], command: str
) -> Iterator[Seen]:
    words = {
        "module": module,
        "kernel": case.host.kernel,
        "command": command,
        "what": "the EEPROM" if command == "eeprom" else "the flash",
        "also": "" if command == "eeprom" else " (until then `devlink dev flash` answers ENODEV)",
    }
    state = states.get(module, ModuleState.UNKNOWN)
    if state is ModuleState.ABSENT:
        yield Seen(
            f"{part}-module-missing", (f"{module} is not among the modules of {case.host.kernel}",), words
        )
    elif state is ModuleState.AVAILABLE:
        yield Seen(f"{part}-module-not-loaded", (f"{module} is installed, not in /sys/module",), words)


def _blocks(board: Board, granted: int | None) -> str:
    left_out = [block.name for block in board.blocks.values() if (block.vector or 0) >= (granted or 0)]
    return ", ".join(left_out)


GROUP: Final = Group(title="Interrupts and modules", entries=ENTRIES, card_checks=(vectors, modules))
