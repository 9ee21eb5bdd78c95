"""Which device nodes belong to which card. Follows parents in sysfs, never names or numbers: those change.

Every node of a card descends from its PCI device, or is linked from its class device, or (a PPS source) says
which clock it belongs to. The serial ports have had three forms: a file ``tty/ttyGNSS`` with the name, a link
``ttyGNSS`` at the top, and on kernels in between nothing at all, where the port is recognised by its physical
address. Sources: the kernel's ``drivers/ptp/ptp_ocp.c``, ``Documentation/ABI/testing/sysfs-timecard``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from timecard.boards import Board, Role

MAX_TEXT: Final = 4096
_TTY_NAME: Final = re.compile(r"tty[A-Za-z]{0,8}[0-9]{1,4}")
_NODE_NAME: Final = re.compile(r"[a-z][a-z0-9]{0,15}-?[0-9]{1,6}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CardNodes:
    """What the kernel made of a card; names without ``/dev/``, None for what there is not."""

    class_device: Path | None = None
    """``.../timecard/ocpN``."""
    phc: str | None = None
    """``ptp0``."""
    pps: str | None = None
    """``pps0``."""
    ttys: Mapping[Role, str] = field(default_factory=dict)
    i2c: str | None = None
    """``i2c-3``."""
    mtd: str | None = None
    """``mtd0``."""
    eeproms: Mapping[int, Path] = field(default_factory=dict)
    """The ``eeprom`` file of each memory, by its I2C address."""


def find_nodes(device: Path, board: Board, sysfs: Path = Path("/sys")) -> CardNodes:
    """The nodes of the card whose PCI device is ``device`` (a folder of sysfs). Opens nothing."""
    own = device.resolve()
    class_device = _first(own, "timecard/ocp[0-9]*")
    phc = _linked(class_device, "ptp") or _name(_first(own, "ptp/ptp[0-9]*"))
    adapter = _adapter(own, class_device)
    return CardNodes(
        class_device=class_device,
        phc=phc,
        pps=_linked(class_device, "pps") or _pps_of(phc, sysfs),
        ttys=_ttys(own, class_device, board, sysfs),
        i2c=_name(adapter),
        mtd=_name(_first(own, "*/spi_master/spi*/spi*/mtd/mtd*[0-9]")),
        eeproms=_eeproms(adapter, board),
    )


def read_text(path: Path) -> str | None:
    """A small file of sysfs without its line end; None when it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_TEXT).decode("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None


def _ttys(own: Path, class_device: Path | None, board: Board, sysfs: Path) -> dict[Role, str]:
    found: dict[Role, str] = {}
    by_address: dict[int, str] | None = None
    for role, port in board.serial_ports.items():
        name = None
        if class_device is not None:
            name = read_text(class_device / "tty" / port.kernel_name) or _linked(
                class_device, port.kernel_name
            )
        if name is None or not _TTY_NAME.fullmatch(name):
            if by_address is None:
                by_address = _ttys_by_address(own, sysfs)
            name = by_address.get(board.blocks[port.block].offset)
        if name is not None:
            found[role] = name
    return found


def _ttys_by_address(own: Path, sysfs: Path) -> dict[int, str]:
    """Serial ports by their offset in the card's BAR0."""
    start = bar0_start(own)
    if start is None:
        return {}
    found = {}
    for tty in sorted((sysfs / "class/tty").glob("ttyS*")):
        base = _number(read_text(tty / "iomem_base"), 16)
        if base and base >= start and _TTY_NAME.fullmatch(tty.name) and _descends(tty, own):
            found[base - start] = tty.name
    return found


def bar0_start(device: Path) -> int | None:
    """Physical address of BAR0."""
    words = (read_text(device / "resource") or "").split()
    return (_number(words[0], 16) or None) if words else None


def _adapter(own: Path, class_device: Path | None) -> Path | None:
    if class_device is not None and (class_device / "i2c").exists():
        return (class_device / "i2c").resolve()
    return _first(own, "*/i2c-[0-9]*")


def _eeproms(adapter: Path | None, board: Board) -> dict[int, Path]:
    if adapter is None:
        return {}
    bus = adapter.name.removeprefix("i2c-")
    paths = {chip.address: adapter / f"{bus}-{chip.address:04x}" / "eeprom" for chip in board.i2c.chips}
    return {address: path for address, path in paths.items() if path.exists()}


def _pps_of(phc: str | None, sysfs: Path) -> str | None:
    """The PPS source that carries the clock's name: it has no parent of its own."""
    if phc is None:
        return None
    sources = sorted((sysfs / "class/pps").glob("pps[0-9]*"))
    return next((source.name for source in sources if read_text(source / "name") == phc), None)


def _descends(node: Path, own: Path) -> bool:
    return own in (node / "device").resolve().parents or own == (node / "device").resolve()


def _linked(class_device: Path | None, name: str) -> str | None:
    if class_device is None:
        return None
    try:
        target = os.path.basename(os.readlink(class_device / name))  # noqa: PTH119, PTH115 - may dangle
    except OSError:
        return None
    return target if _NODE_NAME.fullmatch(target) or _TTY_NAME.fullmatch(target) else None


def _first(folder: Path, pattern: str) -> Path | None:
    return next(iter(sorted(folder.glob(pattern))), None)


def _name(path: Path | None) -> str | None:
    return path.name if path is not None and _NODE_NAME.fullmatch(path.name) else None


def _number(text: str | None, base: int) -> int | None:
    try:
        return int(text or "", base)
    except ValueError:
        return None
