"""Links ``/dev/timecard/<id>/...`` for udev: ``python -m timecard.udev DEVPATH`` prints what a rule imports.

The rules themselves are ``60-timecard.rules`` beside this file; ``timecard install-udev`` puts them in place.
A node's role follows from its card's registers and sysfs, its card from its parents: the order in which cards
are found never matters. A link that was made before the EEPROM could be read is made anew when the memory
appears: the rules ask for that with a ``change`` event.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from timecard.boards import BOARDS
from timecard.discovery import CardDescriptor, list_cards
from timecard.kernel.nodes import find_nodes

GROUP: Final = "timecard"
RULES_NAME: Final = "60-timecard.rules"
RULES_PATH: Final = Path("/etc/udev/rules.d") / RULES_NAME
VFIO: Final = "vfio-pci"
_HELPER: Final = "@HELPER@"


def rules(python: str = sys.executable) -> str:
    """The rules; ``python`` is the command of an interpreter that has this package."""
    template = (Path(__file__).parent / RULES_NAME).read_text(encoding="ascii")
    return template.replace(_HELPER, f"{python} -m timecard.udev")


def properties(devpath: str, sysfs: Path = Path("/sys")) -> Mapping[str, str]:
    """What a rule imports for the node at ``devpath``; empty when it is no card's.

    ``TIMECARD_ID`` and ``TIMECARD_DEVICE`` (the PCI device) of whatever descends from a card, and
    ``TIMECARD_LINK`` of a node that gets a name.
    """
    name = Path(devpath).name
    for card in list_cards(sysfs=sysfs):
        named = next((link for link, node in links(card, sysfs).items() if node == name), None)
        if named is None and card.address not in Path(devpath).parts:
            continue
        device = (sysfs / "bus/pci/devices" / card.address).resolve()
        found = {"TIMECARD_ID": card.id, "TIMECARD_DEVICE": str(device)}
        return found | ({"TIMECARD_LINK": f"timecard/{card.id}/{named}"} if named else {})
    return {}


def links(card: CardDescriptor, sysfs: Path = Path("/sys")) -> dict[str, str]:
    """Name of the link to name of the node: ``{"phc": "ptp0", "gnss": "ttyS1", ...}``."""
    if card.access != "pci" or card.board is None:
        return {}
    device = sysfs / "bus/pci/devices" / card.address
    nodes = find_nodes(device, BOARDS[card.board], sysfs)
    named = {"phc": nodes.phc, "pps": nodes.pps, "i2c": nodes.i2c, "mtd": nodes.mtd}
    named["vfio"] = _vfio_group(device) if card.driver == VFIO else None
    named |= {role.value: tty for role, tty in nodes.ttys.items()}
    return {link: node for link, node in named.items() if node is not None}


def _vfio_group(device: Path) -> str | None:
    """The node of the card's IOMMU group; None where it opens the way to another device, too."""
    group = device / "iommu_group"
    if not group.exists():
        return None
    others = (each for each in (group / "devices").glob("*") if each.name != device.name)
    shared = any((each / "driver").resolve().name == VFIO for each in others)
    return None if shared else group.resolve().name


def main(argv: Sequence[str]) -> int:
    """Print the properties of one node, one ``KEY=VALUE`` a line."""
    if len(argv) != 1:
        sys.stderr.write("usage: python -m timecard.udev DEVPATH\n")
        return 2
    for key, value in properties(argv[0]).items():
        sys.stdout.write(f"{key}={value}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
