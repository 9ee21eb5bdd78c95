"""Which programs use a card, so that none is surprised by an update: found in ``/proc``, named.

A program uses a card that has its PTP clock open, or its registers mapped. Behind VFIO and behind a socket
there is only one user at a time, which is then this program.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from timecard.card_protocols import Card
from timecard.kernel.holders import Holder, find_holders, holders

_ADDRESS: Final = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_CLASS_DEVICE: Final = re.compile(r"\bocp[0-9]{1,4}\b")


def users_of(card: Card, sysfs: Path = Path("/sys"), proc: Path = Path("/proc")) -> tuple[Holder, ...]:
    """Processes other than this one that use the card; those of other users only root can see."""
    device = _pci_device(card, sysfs)
    if device is None:
        return ()
    found: dict[int, Holder] = {}
    for clock in sorted(device.glob("ptp/ptp*")):
        found |= {holder.pid: holder for holder in holders(Path("/dev") / clock.name, proc)}
    mapped = f"/{device.name}/resource0"
    found |= {holder.pid: holder for holder in find_holders(proc, (), mapped).get(mapped, ())}
    return tuple(found[pid] for pid in sorted(found))


def _pci_device(card: Card, sysfs: Path) -> Path | None:
    address = _ADDRESS.search(card.access_path)
    if address is not None:
        return sysfs / "bus/pci/devices" / address[0]
    name = _CLASS_DEVICE.search(card.access_path)
    if name is None:
        return None
    device = (sysfs / "class/timecard" / name[0] / "device").resolve()
    return device if device.is_dir() else None
