"""What a virtual card is built from: every option with its range, checked before anything is made."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from timecard.emulator.models import GNSS_RECEIVERS, OSCILLATORS
from timecard.timescale import NS_PER_S

NO_MAC: Final = "none"
MACS: Final = ("sa53", "sa55", NO_MAC)
BOARDS: Final = ("fb",)
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
_WHOLE: Final = ("seed", "world_offset_ns", "start_tai_ns", "clock_start_tai_ns", "clock_core_version")


class OptionError(ValueError):
    """An option of the emulator cannot be used; one line that names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardOptions:
    """Options of a virtual card; the defaults are a warm card with a rubidium oscillator."""

    seed: int = 1
    """The same seed and options give the same card, pulse by pulse."""
    board: str = "fb"
    oscillator: str | Path | None = None
    """What makes the 10 MHz: a model or a recorded frequency series. None: what the MAC is, else ``ocxo``."""
    mac: str = "sa53"
    """The oscillator module that answers on the MAC port."""
    gnss: str = "f9t_dual"
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
        for name, allowed in (("mac", MACS), ("gnss", tuple(GNSS_RECEIVERS)), ("start", STARTS)):
            value = getattr(self, name)
            if value not in allowed:
                raise OptionError(f"{name}={str(value)[:40]!r}: must be one of {', '.join(allowed)}")
        if self.board not in BOARDS:
            there = ", ".join(BOARDS)
            raise OptionError(f"board={str(self.board)[:40]!r}: not available yet (there is {there})")
        for name in ("gnss_phase", "gnss_capture", "faults"):
            if not isinstance(getattr(self, name), Path | str | None):
                raise OptionError(f"{name}: must be the path of a file")

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
    def has_mac(self) -> bool:
        """Whether an oscillator module answers on the MAC port."""
        return self.mac != NO_MAC

    @property
    def oscillator_source(self) -> str | Path:
        """Name of the model, or the recorded series, that makes the 10 MHz."""
        if self.oscillator is None:
            return self.mac if self.has_mac else "ocxo"
        if isinstance(self.oscillator, str) and self.oscillator in OSCILLATORS:
            return self.oscillator
        path = Path(self.oscillator)
        if not path.is_file():
            models = ", ".join(OSCILLATORS)
            raise OptionError(f"oscillator={str(path)[:200]!r}: neither a model ({models}) nor a file")
        return path


def options_from(values: Mapping[str, Any]) -> CardOptions:
    """Options by keyword; raises ``OptionError`` for one that does not exist."""
    known = [field.name for field in dataclasses.fields(CardOptions)]
    for name in values:
        if name not in known:
            raise OptionError(f"{name}: no such option (there are {', '.join(known)})")
    return CardOptions(**values)
