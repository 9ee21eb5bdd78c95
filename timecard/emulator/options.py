"""What a virtual card is built from: every option with its range, checked before anything is made."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from timecard.boards import BOARDS as KNOWN_BOARDS
from timecard.boards import Board
from timecard.boards.board import ImageWord, Role
from timecard.emulator.fpga_sma import CONNECTORS, Cable
from timecard.emulator.mac_names import MAC_FIRMWARES, MAC_PHYSICS, ON_I2C
from timecard.emulator.models import GNSS_RECEIVERS, OSCILLATORS
from timecard.emulator.receiver_kinds import RECEIVER_KINDS
from timecard.timescale import NS_PER_S

NO_MAC: Final = "none"
FITTED: Final = "fitted"
"""The oscillator module that the board usually comes with."""
MACS: Final = (*MAC_PHYSICS, NO_MAC)
BOARDS: Final = tuple(KNOWN_BOARDS)
INTERRUPTS: Final = ("msix", "msi")
MAX_CABLE_NS: Final = 1e6
MAX_SIGNAL_HZ: Final = 1e8
_USUAL_MAC: Final = {"sa5x": "sa53", "mro50": "mro50"}
_EUI_PREFIX: Final = 0x02ACCD
"""Of the locally administered space."""
_SMA: Final = "|".join(f"sma{number}" for number in CONNECTORS)
RECEIVER_BAUDS: Final = (4_800, 9_600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800, 921_600)
STARTS: Final = ("hot", "cold")
DEFAULT_START_TAI_NS: Final = 1_767_225_637 * NS_PER_S
"""2026-01-01 00:00:00 UTC: where virtual time begins unless told otherwise."""
EARLIEST_TAI_NS: Final = 1_500_000_000 * NS_PER_S
LATEST_TAI_NS: Final = 4_000_000_000 * NS_PER_S

_RANGES: Final[Mapping[str, tuple[float, float]]] = {
    "seed": (0, 2**63),
    "y0": (-1e-5, 1e-5),
    "antenna_delay_ns": (-1e6, 1e6),
    "world_offset_ns": (-1e18, 1e18),
    "world_rate_ppb": (-500_000, 500_000),
    "start_tai_ns": (EARLIEST_TAI_NS, LATEST_TAI_NS),
    "clock_start_tai_ns": (0, LATEST_TAI_NS),
    "clock_core_version": (1, 0xFFFF_FFFE),
    "temperature_c": (-40, 85),
    "daily_temperature_c": (0, 40),
}
_WHOLE: Final = (
    *("seed", "world_offset_ns", "start_tai_ns", "clock_start_tai_ns", "clock_core_version"),
    "image_version",
)


class OptionError(ValueError):
    """An option of the emulator cannot be used; one line that names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardOptions:
    """Options of a virtual card; the defaults are a warm card with a rubidium oscillator."""

    seed: int = 1
    """The same seed and options give the same card, pulse by pulse."""
    board: str = "fb"
    interrupts: str = "msix"
    """What the card offers. The mainline driver works with ``msix`` everywhere; ``msi`` is what real boards
    have, except for LitePCIe images."""
    ptm: bool = True
    """The FPGA has a PTM requester, where the board's layout has a place for it."""
    image_version: int | None = None
    """Number of the running image: half of the image word (bit 15: Production), ART: the clock's version.

    None: what the flash boots."""
    loader: bool = False
    """The golden image runs."""
    cables: tuple[str, ...] = ()
    """Cables between connectors, ``sma4:sma1`` or with a delay in ns ``sma4:sma1:25``."""
    signals: tuple[str, ...] = ()
    """Frequencies from outside at connectors, ``sma1:10000000`` in Hz."""
    strict: bool = False
    """Keep accesses that no driver of this card should make."""
    flash_file: Path | None = None
    """Where the flash's content is kept between runs; None: it begins with a golden and an update image."""
    eeprom_file: Path | None = None
    """Where the EEPROM's content is kept between runs."""
    eeprom_serial: str | None = None
    """EUI-48 of the card; None: one made from the seed."""
    board_id: str | None = None
    """Board id in the EEPROM; None: the board's usual one."""
    oscillator: str | Path | None = None
    """What makes the 10 MHz: a model or a recorded frequency series. None: what the MAC is, else ``ocxo``."""
    mac: str = FITTED
    """The oscillator module that answers on the MAC port; ``fitted``: the board's usual one."""
    mac_firmware: str | None = None
    """Firmware of an SA5X; ``broken``: an upload was cut. None: the usual one."""
    receiver: str = "f9t"
    """What answers on the GNSS port."""
    receiver_baud: int | None = None
    """The rate of its port; None: the one that the board's port is opened with."""
    gnss: str = FITTED
    """The model of its pulse; ``fitted``: the receiver's usual one."""
    gnss_phase: Path | None = None
    """A recorded 1 Hz phase series (s) instead of the model's pulse."""
    gnss_capture: Path | None = None
    """A recorded byte stream on the GNSS port instead of the emulated receiver."""
    repeat_series: bool = True
    """Recorded series begin again at their end; False: they end, and the card says so."""
    start: str = "hot"
    """``hot``: oscillator locked, receiver about to have a fix. ``cold``: everything from power-on."""
    y0: float | None = None
    """Fractional frequency error at the start, instead of the model's."""
    antenna_delay_ns: float = 0.0
    """Delay of antenna and cable that nobody compensates: every pulse is that late."""
    temperature_c: float = 35.0
    daily_temperature_c: float = 0.0
    """Amplitude of a daily wave."""
    clock_start_tai_ns: int | None = None
    """What the card's clock shows at first; None: within the first second of 1970, as after power-on."""
    clock_core_version: int = 0x0102_0000
    """Version word of the clock core; from 2.0 on it has a drift fraction."""
    start_tai_ns: int = DEFAULT_START_TAI_NS
    """True TAI at the start of virtual time; a live card takes the host's."""
    world_offset_ns: int = 0
    """True TAI minus the host's clock."""
    world_rate_ppb: float = 0.0
    """How fast that grows."""
    faults: Path | None = None
    """A schedule of faults (TOML)."""

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            self._check_number(name, low, high)
        choices: tuple[tuple[str, tuple[str, ...]], ...] = (
            ("board", BOARDS),
            ("mac", (*MACS, FITTED)),
            ("interrupts", INTERRUPTS),
            ("receiver", tuple(RECEIVER_KINDS)),
            ("gnss", (*GNSS_RECEIVERS, FITTED)),
            ("start", STARTS),
        )
        for name, allowed in choices:
            value = getattr(self, name)
            if value not in allowed:
                raise OptionError(f"{name}={str(value)[:40]!r}: must be one of {', '.join(allowed)}")
        for name in ("gnss_phase", "gnss_capture", "faults", "flash_file", "eeprom_file"):
            if not isinstance(getattr(self, name), Path | str | None):
                raise OptionError(f"{name}: must be the path of a file")
        if self.gnss == FITTED:
            object.__setattr__(self, "gnss", RECEIVER_KINDS[self.receiver].pulse)
        if self.receiver_baud is not None and self.receiver_baud not in RECEIVER_BAUDS:
            raise OptionError(
                f"receiver_baud={str(self.receiver_baud)[:40]}: must be one of "
                f"{', '.join(map(str, RECEIVER_BAUDS))}"
            )
        if self.mac == FITTED:
            object.__setattr__(self, "mac", _USUAL_MAC.get(self.family.oscillator_family, NO_MAC))
        if self.mac_firmware is not None and (
            self.mac_firmware not in MAC_FIRMWARES or self.mac not in ("sa53", "sa55")
        ):
            raise OptionError(
                f"mac_firmware={str(self.mac_firmware)[:40]!r}: must be one of {', '.join(MAC_FIRMWARES)}, "
                "for mac sa53 or sa55"
            )
        self._check_image()
        if self.interrupts == "msi" and self.family.msix:
            raise OptionError(f"interrupts='msi': board {self.board} has MSI-X only")
        for name in ("cables", "signals"):
            if not isinstance(getattr(self, name), tuple | list):
                raise OptionError(f"{name}: must be a list of texts")
        self.sma_cables()
        self.sma_signals()
        if self.eeprom_serial is not None and not re.fullmatch(
            r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}", str(self.eeprom_serial)
        ):
            raise OptionError(
                f"eeprom_serial={str(self.eeprom_serial)[:40]!r}: must look like 02:ac:cd:00:00:01"
            )
        if self.board_id is not None and not re.fullmatch(r"[ -~]{1,13}", str(self.board_id)):
            raise OptionError(f"board_id={str(self.board_id)[:40]!r}: must be 1 to 13 printable characters")

    def _check_image(self) -> None:
        if self.image_version is None:
            return
        word = self.family.image_word
        most = 0xFFFF_FFFE if word is ImageWord.CLOCK_VERSION else 0xFFFF
        self._check_number("image_version", 1, most)
        if word is ImageWord.BIT15_TAG and not self.image_version & 0x7FFF:
            raise OptionError(f"image_version={self.image_version:#x}: bits 14:0 must not be 0")

    def _check_number(self, name: str, low: float, high: float) -> None:
        value = getattr(self, name)
        if value is None and name in ("y0", "clock_start_tai_ns"):
            return
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not number or (name in _WHOLE and value != int(value)):
            raise OptionError(f"{name}={value!r}: must be a {'whole ' if name in _WHOLE else ''}number")
        if not low <= value <= high:
            raise OptionError(f"{name}={value:g}: must be between {low:g} and {high:g}")

    @property
    def family(self) -> Board:
        """The board's tables."""
        return KNOWN_BOARDS[self.board]

    @property
    def eui48(self) -> bytes:
        """The card's number: in its EEPROM, and in its PCI device serial number."""
        if self.eeprom_serial is not None:
            return bytes.fromhex(self.eeprom_serial.replace(":", ""))
        return (_EUI_PREFIX << 24 | self.seed & 0xFF_FFFF).to_bytes(6, "big")

    @property
    def pci_serial(self) -> int:
        """The PCI device serial number: the EUI-64 of ``eui48``."""
        eui48 = self.eui48
        return int.from_bytes(eui48[:3] + b"\xff\xfe" + eui48[3:], "big")

    def sma_cables(self) -> tuple[Cable, ...]:
        """The cables between connectors; raises ``OptionError``."""
        return tuple(_cable(text) for text in self.cables)

    def sma_signals(self) -> dict[int, float]:
        """Frequencies (Hz) at connectors; raises ``OptionError``."""
        return dict(_signal(text) for text in self.signals)

    @property
    def gnss_baud(self) -> int:
        """The rate of the receiver's port."""
        return self.receiver_baud or self.family.serial_ports[Role.GNSS].baud

    @property
    def has_mac(self) -> bool:
        """Whether an oscillator module answers on the MAC port's serial line."""
        return self.mac != NO_MAC and self.mac not in ON_I2C

    @property
    def oscillator_source(self) -> str | Path:
        """Name of the model, or the recorded series, that makes the 10 MHz."""
        if self.oscillator is None:
            return MAC_PHYSICS.get(self.mac, "ocxo")
        if isinstance(self.oscillator, str) and self.oscillator in OSCILLATORS:
            return self.oscillator
        path = Path(self.oscillator)
        if not path.is_file():
            models = ", ".join(OSCILLATORS)
            raise OptionError(f"oscillator={str(path)[:200]!r}: neither a model ({models}) nor a file")
        return path


def _cable(text: str) -> Cable:
    match = re.fullmatch(rf"({_SMA}):({_SMA})(?::(\d{{1,7}}(?:\.\d{{1,6}})?))?", str(text))
    if match is None or match.group(1) == match.group(2):
        raise OptionError(f"cable {str(text)[:40]!r}: must look like sma4:sma1 or sma4:sma1:25 (ns)")
    delay_ns = float(match.group(3) or 0.0)
    if delay_ns > MAX_CABLE_NS:
        raise OptionError(f"cable {text!r}: a delay is at most {MAX_CABLE_NS:g} ns")
    return Cable(int(match.group(1)[3:]), int(match.group(2)[3:]), delay_ns)


def _signal(text: str) -> tuple[int, float]:
    match = re.fullmatch(rf"({_SMA}):(\d{{1,9}}(?:\.\d{{1,6}})?)", str(text))
    if match is None or not 0 < float(match.group(2)) <= MAX_SIGNAL_HZ:
        raise OptionError(
            f"signal {str(text)[:40]!r}: must look like sma1:10000000 (Hz, up to {MAX_SIGNAL_HZ:g})"
        )
    return int(match.group(1)[3:]), float(match.group(2))


def options_from(values: Mapping[str, Any]) -> CardOptions:
    """Options by keyword; raises ``OptionError`` for one that does not exist."""
    known = [field.name for field in dataclasses.fields(CardOptions)]
    for name in values:
        if name not in known:
            raise OptionError(f"{name}: no such option (there are {', '.join(known)})")
    return CardOptions(**values)
