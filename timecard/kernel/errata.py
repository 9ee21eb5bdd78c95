"""Known errata of boards, images and drivers.

Which of them a kernel-driven card has, and what is done about it.

Detectors look at sysfs and at versions only; they touch no hardware that opening the card does not touch.
What shows elsewhere (registers, receiver, flash) has no detector here and is handled where it shows.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from timecard.boards import Role
from timecard.errors import TimeCardError
from timecard.kernel import attributes as a
from timecard.kernel.modules import flash_modules, identity_modules

if TYPE_CHECKING:
    from timecard.kernel.kernel_card import KernelCard

PLAUSIBLE_ADJUST_NS: Final = 2_000
"""3/32 of a register read: real hosts read in 1 to 3 us, and 20 us would be a very slow one."""
SPI_VECTORS: Final = 10
FLASH_200T: Final = 32 << 20
GENERATOR_FIX: Final = (6, 15)
GENERATOR_FIX_612: Final = 25
Detector = Callable[["KernelCard"], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Erratum:
    """One row of the table."""

    id: str
    title: str
    action: str
    handled: bool
    """The toolkit works around it by itself; else somebody has to do something, or to know."""
    detect: Detector | None = None
    """Evidence, or None where the card does not have it; no detector: it does not show in the kernel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErratumFinding:
    """An erratum that the card has."""

    id: str
    title: str
    evidence: str
    action: str
    handled: bool


def find_errata(card: KernelCard) -> list[ErratumFinding]:
    """The errata of a card, in the table's order. An attribute that cannot be read proves nothing."""
    found = []
    for row in ERRATA:
        try:
            evidence = row.detect(card) if row.detect else None
        except TimeCardError:
            continue
        if evidence is not None:
            found.append(
                ErratumFinding(
                    id=row.id, title=row.title, evidence=evidence, action=row.action, handled=row.handled
                )
            )
    return found


def kernel_version(release: str) -> tuple[int, int, int]:
    """``6.12.107+deb13-amd64`` as numbers; zeros where there are none."""
    match = re.match(r"([0-9]{1,4})\.([0-9]{1,4})(?:\.([0-9]{1,6}))?", release)
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else (0, 0, 0)


# --- detectors ---


def _negative_adjust(card: KernelCard) -> str | None:
    value = card.device.read(a.TS_WINDOW_ADJUST)
    return f"ts_window_adjust is {value}" if value < 0 else None


def _large_adjust(card: KernelCard) -> str | None:
    value = card.device.read(a.TS_WINDOW_ADJUST)
    return f"ts_window_adjust is {value} ns" if value > PLAUSIBLE_ADJUST_NS else None


def _few_vectors(card: KernelCard) -> str | None:
    granted, needed = card.driver.vectors, card.board.vectors_needed
    if granted is None or granted >= needed:
        return None
    return f"{granted} of {needed} interrupt messages were granted"


def _unsafe_generators(card: KernelCard) -> str | None:
    if card.unsafe is None or not card.device.has(a.SIGNAL, 1):
        return None
    return f"gen1 exists, and only {card.driver.vectors} interrupt messages were granted"


def _no_spi_vector(card: KernelCard) -> str | None:
    granted = card.driver.vectors
    if granted is None or granted >= SPI_VECTORS or card.nodes.mtd is not None:
        return None
    return f"{granted} interrupt messages and no mtd: devlink flash would follow a bad pointer"


def _lost_tty_links(card: KernelCard) -> str | None:
    port = card.board.serial_ports[Role.GNSS].kernel_name
    path = card.device.path
    if Role.GNSS not in card.nodes.ttys or (path / "tty" / port).exists() or (path / port).is_symlink():
        return None
    return f"no {port} on kernel {card.driver.kernel}; the port was found by its address"


def _fixed(text: str, condition: Detector | Callable[[KernelCard], bool]) -> Detector:
    """A detector from a yes or no."""
    return lambda card: text if condition(card) else None


def _vendor(card: KernelCard) -> str | None:
    return str(card.driver) if card.driver.is_vendor else None


def _tai_seconds(card: KernelCard) -> str | None:
    if not card.board.has("nmea_out") or card.device.read(a.UTC_TAI_OFFSET):
        return None
    return "utc_tai_offset is 0, so the NMEA output tells TAI"


def _tod_baud(card: KernelCard) -> str | None:
    if not card.device.has(a.TOD_BAUD_RATE):
        return None
    baud, wanted = card.device.read(a.TOD_BAUD_RATE), card.board.serial_ports[Role.GNSS].baud
    return f"tod_baud_rate is {baud}, the receiver's is usually {wanted}" if baud != wanted else None


def _large_flash(card: KernelCard) -> str | None:
    """200T images begin at 8 MiB, where the driver writes at 4 MiB."""
    if card.board.name != "fb" or card.nodes.mtd is None:
        return None
    size = _mtd_size(card)
    return f"the flash has {size >> 20} MiB: this may be a 200T card" if size >= FLASH_200T else None


def _mtd_size(card: KernelCard) -> int:
    for path in card.pci_device.glob(f"*/spi_master/spi*/spi*/mtd/{card.nodes.mtd}/size"):
        try:
            return int(path.read_text("ascii")[:20])
        except (OSError, ValueError):
            return 0
    return 0


def _text_serial(card: KernelCard) -> str | None:
    """The six bytes are digits of the product's serial number, unless something else was written there."""
    if card.board.name != "art":
        return None
    raw = bytes.fromhex(card.device.read(a.SERIALNUM).replace(":", ""))
    if not _printable(raw) or raw.isdigit():
        return None
    return f"serialnum holds the text {raw.decode('ascii')!r}"


def _printable(raw: bytes) -> bool:
    return all(0x20 <= byte < 0x7F for byte in raw)


def _generator_start(card: KernelCard) -> str | None:
    if not card.board.generators:
        return None
    version = kernel_version(card.driver.kernel)
    fixed = version[:2] >= GENERATOR_FIX or (version[:2] == (6, 12) and version[2] >= GENERATOR_FIX_612)
    return None if fixed and not card.driver.is_vendor else str(card.driver)


def _phase_crash(card: KernelCard) -> str | None:
    return _vendor(card) if kernel_version(card.driver.kernel) >= (6, 5, 0) else None


def _missing_modules(card: KernelCard) -> str | None:
    wanted = (*identity_modules(card.board), *flash_modules(card.board))
    missing = [m for m in dict.fromkeys(wanted) if not card.modules.state(m).works]
    if not missing or (len(card.nodes.eeproms) == len(card.board.i2c.chips) and card.nodes.mtd):
        return None
    return card.modules.reason(missing)


def _row(id: str, title: str, action: str, *, handled: bool, detect: Detector | None = None) -> Erratum:
    return Erratum(id=id, title=title, action=action, handled=handled, detect=detect)


ERRATA: Final = (
    _row("E1", "The kernel moves the end of every cross timestamp 4.29 s into the past",
         "our brackets are repaired; for phc2sys and chrony: timecard attributes set ts_window_adjust 0",
         handled=True, detect=_negative_adjust),
    _row("E1-large", "The kernel's correction of cross timestamps was measured while the host was busy",
         "taken back where it cannot be right; other programs: timecard attributes set ts_window_adjust 0",
         handled=True, detect=_large_adjust),
    _row("E2", "Too few interrupt messages: serial ports, timestamps, I2C and flash are missing",
         "enable interrupt remapping (intel_iommu=on, BIOS: VT-d or AMD-Vi), or use another slot or host",
         handled=False, detect=_few_vectors),
    _row("E3", "Writing a generator or reading debugfs summary would crash the kernel",
         "refused here; do not do it by hand either; enable interrupt remapping", handled=True,
         detect=_unsafe_generators),
    _row("E4", "devlink flash would follow a bad pointer",
         "refused without an mtd; enable interrupt remapping", handled=True, detect=_no_spi_vector),
    _row("E5", "The driver's links to the serial ports are missing",
         "ports are matched by their physical address", handled=True, detect=_lost_tty_links),
    _row("E6", "Periodic outputs without a duty cycle are refused", "a duty cycle is always given",
         handled=True, detect=_fixed("PEROUT 1 to 4 are generators", lambda c: c.board.generators > 0)),
    _row("E7", "A generator's interrupt is acknowledged wrongly", "one message per event; harmless",
         handled=True),
    _row("E8", "Setting a frequency through dpll hands over an index", "connectors are routed by smaN only",
         handled=True, detect=_fixed("this kernel has a dpll device",
                                     lambda c: kernel_version(c.driver.kernel) >= (6, 7, 0))),
    _row("E9", "dpll tells wrong frequencies of some connectors", "cosmetic; ignored", handled=True),
    _row("E10", "Writing holdover clears the forced 10 MHz in the same word",
         "force the 10 MHz again through the registers if it was forced", handled=False,
         detect=_fixed("the driver has holdover", lambda c: c.device.has(a.HOLDOVER))),
    _row("E11", "Writing irig_b_mode clears the IRIG mode field", "set the mode again", handled=False),
    _row("E12", "NEO-M9N tells a wrong UTC offset for minutes", "leap data must be valid before it is used",
         handled=True),
    _row("E13", "The time-of-day slave listens at another rate than the receiver talks",
         "timecard attributes set tod_baud_rate to the receiver's", handled=False, detect=_tod_baud),
    _row("E14", "The NMEA output carries TAI",
         "timecard attributes set utc_tai_offset to TAI minus UTC", handled=False, detect=_tai_seconds),
    _row("E15", "10 MHz is off by up to 5 ppm until the oscillator is selected",
         "the discipline waits for it", handled=True),
    _row("E16", "Access to an unmapped register can stop the host", "only the board's registers are used",
         handled=True),
    _row("E17", "A Production image does not run on a SOM card", "board and header are checked first",
         handled=True),
    _row("E18", "The driver writes 200T images at the wrong place", "flash through the mtd at 8 MiB",
         handled=False, detect=_large_flash),
    _row("E19", "Older images have 16 messages: ts4 is skipped", "timestamper 4 is missing", handled=False,
         detect=_fixed("16 interrupt messages were granted",
                       lambda c: c.driver.vectors == 16 and c.board.vectors_needed == 17)),
    _row("E20", "Edge times may overflow on 32-bit kernels", "use a 64-bit kernel", handled=False,
         detect=_fixed("a 32-bit interpreter", lambda _: struct.calcsize("P") < 8)),
    _row("E21", "A counter without result reads as an empty file", "taken as no result", handled=True,
         detect=_fixed("frequency counters exist", lambda c: c.device.has(a.FREQ_FREQUENCY, 1))),
    _row("E22", "Driver and user space would overwrite one another in the clock's control word",
         "registers are refused while the driver is bound", handled=True),
    _row("E23", "Configuration text where an ART card's serial should be",
         "the manufacturing record is used, else the PCI address", handled=True, detect=_text_serial),
    _row("E24", "Vendor drivers: writing the flash can fail", "everything written is verified", handled=True,
         detect=lambda c: _vendor(c) if c.nodes.mtd else None),
    _row("E25", "Labels of the connectors differ between documents", "connectors are called by number",
         handled=True),
    _row("E26", "The driver fills one servo gain from another", "no effect while both are 0", handled=True),
    _row("E27", "Word 0 of the EUI-48 chip is not the serial", "it is read at 0x9A", handled=True),
    _row("E28", "Vendor drivers: a step below -1 s hangs the machine", "larger steps are loaded, not added",
         handled=True, detect=_vendor),
    _row("E29", "The driver computes a generator's start in the past",
         "generators are started at an absolute time, with a duty cycle", handled=True,
         detect=_generator_start),
    _row("E30", "Vendor drivers: timestamps may be of falling edges",
         "compare with a pulse of known width; write polarity 1 with the driver unbound", handled=False,
         detect=_vendor),
    _row("E31", "Vendor drivers: frequency has coarse steps", "rounded to what the driver can do, and told",
         handled=True, detect=_vendor),
    _row("E32", "Vendor drivers: phase control crashes the kernel", "never used; do not use it either",
         handled=True, detect=_phase_crash),
    _row("E33", "This kernel lacks drivers for the card's I2C or SPI master: no EEPROM or no flash",
         "build the modules from the distribution's source, or unbind ptp_ocp and use the registers",
         handled=False, detect=_missing_modules),
)  # fmt: skip
"""By number. The numbers are those of the project's engineering data sheet of the card."""
