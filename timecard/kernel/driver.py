"""Which ``ptp_ocp`` is bound to a card. A hint for reasons and workarounds; what works is asked for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from timecard.boards import Board
from timecard.kernel.nodes import read_text

DRIVER: Final = "ptp_ocp"
MAX_VECTORS: Final = 4096
VENDOR_MARKS: Final = ("holdover", "mac_i2c", "tod_protocol", "tod_baud_rate", "mro50")
"""Attributes that mainline has never had."""


class Variant(Enum):
    """Driver text, by what it shows."""

    MAINLINE = "mainline"
    VENDOR = "vendor"
    VENDOR_LATER = "vendor (later text)"


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverFacts:
    """The bound driver."""

    variant: Variant
    kernel: str
    """As ``uname -r``."""
    version: str | None
    """Of the module, where it states one (mainline does not)."""
    vectors: int | None
    """Interrupt messages that were granted; None where sysfs does not tell."""

    @property
    def is_vendor(self) -> bool:
        """Not the kernel's own text."""
        return self.variant is not Variant.MAINLINE

    def __str__(self) -> str:
        return f"{self.variant.value} driver on kernel {self.kernel}"


def driver_facts(
    device: Path, class_device: Path | None, sysfs: Path = Path("/sys"), release: str | None = None
) -> DriverFacts:
    """Look at ``device`` (PCI device in sysfs) and its class device. Opens nothing but small files."""
    return DriverFacts(
        variant=_variant(class_device, sysfs),
        kernel=release or os.uname().release,
        version=read_text(sysfs / "module" / DRIVER / "version"),
        vectors=granted_vectors(device),
    )


def granted_vectors(device: Path) -> int | None:
    """How many interrupt messages the card was given; None where sysfs does not tell."""
    try:
        entries = sum(
            1 for _, _ in zip(device.joinpath("msi_irqs").iterdir(), range(MAX_VECTORS), strict=False)
        )
    except OSError:
        return None
    return entries or None


def generators_are_safe(board: Board, facts: DriverFacts) -> bool:
    """Whether writing a generator or reading debugfs ``summary`` cannot follow a null pointer in the driver.

    With too few vectors the driver skips the generators' blocks but keeps their attributes (mainline 6.12,
    from its text). Unknown counts as safe: without ``msi_irqs`` no message was granted to be too few.
    """
    needed = [b.vector for name, b in board.blocks.items() if name.startswith("signal_out") and b.vector]
    return not needed or facts.vectors is None or facts.vectors > max(needed)


def _variant(class_device: Path | None, sysfs: Path) -> Variant:
    if class_device is not None:
        if (class_device / "optional_image_contract").exists():
            return Variant.VENDOR_LATER
        if any((class_device / name).exists() for name in VENDOR_MARKS):
            return Variant.VENDOR
    # A module that was not built with its kernel carries the mark O.
    if "O" in (read_text(sysfs / "module" / DRIVER / "taint") or ""):
        return Variant.VENDOR
    return Variant.MAINLINE
