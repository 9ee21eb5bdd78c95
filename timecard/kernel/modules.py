"""Which kernel modules run, are built in, can be loaded, or are missing from this kernel."""

from __future__ import annotations

import os
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import Final

from timecard.boards import Board

MAX_BYTES: Final = 16 << 20


class ModuleState(Enum):
    """What this kernel has of a module."""

    LOADED = "loaded"
    BUILT_IN = "built in"
    AVAILABLE = "not loaded"
    MISSING = "not built for this kernel"

    @property
    def works(self) -> bool:
        """It is in the running kernel."""
        return self in (ModuleState.LOADED, ModuleState.BUILT_IN)


CONFIG_OF: Final = {
    "ptp_ocp": "PTP_1588_CLOCK_OCP",
    "i2c-xiic": "I2C_XILINX",
    "i2c-ocores": "I2C_OCORES",
    "at24": "EEPROM_AT24",
    "spi-xilinx": "SPI_XILINX",
    "spi-altera-platform": "SPI_ALTERA",
    "spi-nor": "MTD_SPI_NOR",
    "mtd": "MTD",
    "8250": "SERIAL_8250",
    "i2c-dev": "I2C_CHARDEV",
}
"""The kernel option that builds a module, for what to ask the distribution for."""


def identity_modules(board: Board) -> tuple[str, ...]:
    """Without these the EEPROM stays unread and ``serialnum`` zero."""
    return (board.i2c.kind.value, "at24")


def flash_modules(board: Board) -> tuple[str, ...]:
    """Without these there is no MTD."""
    return (board.flash.kind.value, "spi-nor")


class KernelModules:
    """The modules of one kernel; a picture of when it was made."""

    def __init__(
        self, proc: Path = Path("/proc"), modules: Path = Path("/lib/modules"), release: str | None = None
    ) -> None:
        self.release = release or os.uname().release
        folder = modules / self.release
        self._loaded = {_plain(line.split(" ", 1)[0]) for line in _lines(proc / "modules")}
        self._built_in = set(_modules(_lines(folder / "modules.builtin")))
        self._there = set(_modules(line.split(":", 1)[0] for line in _lines(folder / "modules.dep")))

    def state(self, module: str) -> ModuleState:
        """``-`` and ``_`` are the same."""
        name = _plain(module)
        if name in self._loaded:
            return ModuleState.LOADED
        if name in self._built_in:
            return ModuleState.BUILT_IN
        return ModuleState.AVAILABLE if name in self._there else ModuleState.MISSING

    def reason(self, wanted: Iterable[str]) -> str | None:
        """Which of ``wanted`` keeps something from working, and what to do; None when all of them run."""
        reasons = []
        for module in wanted:
            state = self.state(module)
            if state is ModuleState.AVAILABLE:
                reasons.append(f"module {module} is not loaded (modprobe {module})")
            elif state is ModuleState.MISSING:
                option = CONFIG_OF.get(module)
                built = f", CONFIG_{option} is off" if option else ""
                reasons.append(f"kernel {self.release} has no module {module}{built}")
        return "; ".join(reasons) or None


def _plain(name: str) -> str:
    return name.strip().replace("-", "_")


def _modules(paths: Iterable[str]) -> Iterable[str]:
    for path in paths:
        name = path.rsplit("/", 1)[-1]
        if ".ko" in name:
            yield _plain(name.split(".ko", 1)[0])


def _lines(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:
        return []
