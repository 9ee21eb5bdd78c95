"""A sysfs as the kernel makes it for Time Cards, with whatever numbers the nodes happened to get.

The shape is that of a 6.12 kernel with ``ptp_ocp`` bound, as recorded trees show it.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from timecard.boards import FB, Board, Role

RESOURCE = "0x{start:016x} 0x{end:016x} 0x0000000000040200"


@dataclass(frozen=True, kw_only=True)
class FakeCard:
    """One card and the numbers of its nodes."""

    address: str
    board: Board = FB
    ocp: int = 0
    ptp: int = 0
    pps: int = 0
    first_tty: int = 1
    i2c: int | None = None
    mtd: int | None = None
    eui48: str = "00:00:00:00:00:00"
    tty_form: str = "file"
    """``file`` (tty/ttyGNSS), ``link`` (older) or ``none`` (address only)."""
    bar0: int = 0xF800_0000
    driver: str | None = "ptp_ocp"
    shuffle: tuple[int, ...] = field(default=(0, 1, 2, 3))
    """Order in which the serial ports got their numbers."""


def add_card(sysfs: Path, card: FakeCard) -> Path:
    """Make the card's nodes; returns its PCI device."""
    own = sysfs / "devices/pci0000:00" / card.address
    own.mkdir(parents=True)
    _link(sysfs / "bus/pci/devices" / card.address, own)
    vendor, device = card.board.pci_ids[0]
    _text(own / "vendor", f"0x{vendor:04x}")
    _text(own / "device", f"0x{device:04x}")
    end = card.bar0 + card.board.bar0_size - 1
    _text(own / "resource", RESOURCE.format(start=card.bar0, end=end))
    if card.driver is not None:
        folder = sysfs / "bus/pci/drivers" / card.driver
        folder.mkdir(parents=True, exist_ok=True)
        _link(own / "driver", folder)
    if card.driver != "ptp_ocp":
        return own
    ocp = own / f"timecard/ocp{card.ocp}"
    ptp = own / f"ptp/ptp{card.ptp}"
    ptp.mkdir(parents=True)
    _text(ptp / "clock_name", "ptp_ocp")
    _text(ocp / "serialnum", card.eui48)
    _link(ocp / "ptp", ptp)
    _link(sysfs / f"class/ptp/ptp{card.ptp}", ptp)
    pps = sysfs / f"devices/virtual/pps/pps{card.pps}"
    _text(pps / "name", f"ptp{card.ptp}")
    _link(sysfs / f"class/pps/pps{card.pps}", pps)
    _link(ocp / "pps", pps)
    for (_role, port), place in zip(card.board.serial_ports.items(), card.shuffle, strict=False):
        name = f"ttyS{card.first_tty + place}"
        tty = own / f"{card.address}:0/{card.address}:0.{place}/tty/{name}"
        tty.mkdir(parents=True)
        _link(tty / "device", tty.parent.parent)
        _text(tty / "iomem_base", f"0x{card.bar0 + card.board.blocks[port.block].offset:X}")
        _link(sysfs / "class/tty" / name, tty)
        if card.tty_form == "file":
            _text(ocp / "tty" / port.kernel_name, name, end="")
        elif card.tty_form == "link":
            _link(ocp / port.kernel_name, tty)
    if card.i2c is not None:
        adapter = own / f"{card.board.i2c.kind.value}.256/i2c-{card.i2c}"
        for chip in card.board.i2c.chips:
            client = adapter / f"{card.i2c}-{chip.address:04x}"
            client.mkdir(parents=True)
            (client / "eeprom").write_bytes(b"\xff" * chip.size)
        _link(ocp / "i2c", adapter)
    if card.mtd is not None:
        (own / f"xilinx_spi.512/spi_master/spi0/spi0.0/mtd/mtd{card.mtd}").mkdir(parents=True)
        (own / f"xilinx_spi.512/spi_master/spi0/spi0.0/mtd/mtd{card.mtd}ro").mkdir(parents=True)
    return own


def remove_card(sysfs: Path, card: FakeCard) -> None:
    """The card is pulled out."""
    (sysfs / "bus/pci/devices" / card.address).unlink()
    shutil.rmtree(sysfs / "devices/pci0000:00" / card.address)
    shutil.rmtree(sysfs / f"devices/virtual/pps/pps{card.pps}", ignore_errors=True)
    for folder in ("class/ptp", "class/tty", "class/pps"):
        for link in (sysfs / folder).glob("*"):
            if not link.exists():
                link.unlink()


def expected_links(card: FakeCard) -> dict[str, str]:
    """What belongs to the card."""
    links = {"phc": f"ptp{card.ptp}", "pps": f"pps{card.pps}"}
    for role, place in zip(card.board.serial_ports, card.shuffle, strict=False):
        links[Role(role).value] = f"ttyS{card.first_tty + place}"
    if card.i2c is not None:
        links["i2c"] = f"i2c-{card.i2c}"
    if card.mtd is not None:
        links["mtd"] = f"mtd{card.mtd}"
    return links


def _link(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def _text(path: Path, text: str, end: str = "\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + end, encoding="ascii")
