"""Whose a device node is, by the addresses that the kernel tells: nothing here is the toolkit's.

Imported by scripts in the guest, and by the host's tests, which show that it sees two links swapped.
"""

from __future__ import annotations

from pathlib import Path

SERIAL = {0x161000: "gnss", 0x171000: "gnss2", 0x181000: "mac", 0x191000: "nmea"}
"""Where the serial ports of an FB card begin in its BAR, as the resource table of ``ptp_ocp`` has them."""


def whose(node: str, addresses: list[str], sysfs: Path = Path("/sys")) -> tuple[str, str]:
    """PCI address of the card, of those given, and the name that its link ought to have.

    Raises ``LookupError`` for what belongs to none of them, or is of a kind that is not known here.
    """
    for address in addresses:
        device = sysfs / "bus/pci/devices" / address
        if (device / "ptp" / node).exists():
            return address, "phc"
        name = sysfs / "class/pps" / node / "name"
        if name.exists() and (device / "ptp" / name.read_text().strip()).exists():
            return address, "pps"
        base = sysfs / "class/tty" / node / "iomem_base"
        if base.exists():
            start = int((device / "resource").read_text().split()[0], 16)
            role = SERIAL.get(int(base.read_text(), 16) - start)
            if role is not None:
                return address, role
    raise LookupError(f"{node}: no card's")


def wrong_links(named: dict[str, dict[str, str]], sysfs: Path = Path("/sys")) -> tuple[list[str], int]:
    """What is wrong with links (address, then link, then node), and how many were compared."""
    wrong, compared = [], 0
    for address, links in named.items():
        for link, node in links.items():
            found = whose(node, sorted(named), sysfs)
            compared += 1
            if found != (address, link):
                wrong.append(f"{link} of {address} is {node}, which is {found[1]} of {found[0]}")
    return wrong, compared
