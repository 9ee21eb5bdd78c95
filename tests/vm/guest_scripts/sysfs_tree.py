"""Runs in the guest: what sysfs shows of the Time Cards, as JSON on its standard output.

Of each path one of {"link": target}, {"dir": true}, {"file": text}, {"hex": bytes}, {"size": bytes} (a BAR
or a flash, not kept) or {"error": name of the errno}, when it cannot be read, as on this kernel nobody could.
"""

import errno
import json
import os
import sys
from pathlib import Path

MAX_BYTES = 16384
CLASSES = ("timecard", "ptp", "pps", "tty", "i2c-adapter", "i2c-dev", "mtd", "spi_master", "net", "devlink")
BUSES = ("pci", "i2c", "spi", "nvmem", "platform")
NOISE = {"power", "trace", "statistics", "queues", "firmware_node", "wakeup"}
OF_OTHERS = ("vendor", "device", "class", "uevent", "current_link_speed", "current_link_width")
CARD_VENDORS = {"0x1d9b", "0x18d4", "0x1ad7", "0xad5a", "0x10ee"}

tree: dict[str, dict[str, object]] = {}


def add_file(path: Path) -> None:
    """A regular file, with what can be read of it."""
    if path.name.startswith("resource") and path.name != "resource":
        tree[str(path)] = {"size": path.stat().st_size}
        return
    if not path.stat().st_mode & 0o444:
        tree[str(path)] = {"error": "EACCES"}
        return
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        tree[str(path)] = {"error": errno.errorcode.get(error.errno or 0, str(error.errno))}
        return
    if len(data) > MAX_BYTES:
        tree[str(path)] = {"size": path.stat().st_size}
        return
    readable = data.isascii() and all(byte > 8 for byte in data)
    tree[str(path)] = {"file": data.decode("ascii")} if readable else {"hex": data.hex()}


def add(path: Path) -> None:
    """Whatever is there, not what is below it."""
    if path.is_symlink():
        tree[str(path)] = {"link": str(path.readlink())}
    elif path.is_dir():
        tree[str(path)] = {"dir": True}
    elif path.is_file():
        add_file(path)


def walk(top: Path) -> None:
    """A folder with all that is below it."""
    add(top)
    for folder, folders, files in os.walk(top):
        folders[:] = sorted(set(folders) - NOISE)
        for name in folders + sorted(files):
            add(Path(folder) / name)


def identify(path: Path) -> None:
    """Of a device that is no card: what a search reads."""
    for name in OF_OTHERS:
        if (path / name).is_file():
            add_file(path / name)


def entries(folder: Path) -> list[Path]:
    """What is in a folder, if it is there."""
    return sorted(folder.iterdir()) if folder.is_dir() else []


def main() -> None:
    """Walk the cards, then what leads to them."""
    sysfs = Path("/sys")
    cards = []
    for link in entries(sysfs / "bus/pci/devices"):
        add(link)
        device = link.resolve()
        if (device / "vendor").read_text().strip() not in CARD_VENDORS:
            identify(device)
            continue
        cards.append(link.name)
        walk(device)
        for parent in list(device.parents)[: -len(sysfs.parts)]:
            add(parent)
            identify(parent)
    for name in CLASSES:
        for link in entries(sysfs / "class" / name):
            ours = str(link.resolve()) in tree
            # Of the terminals that are not ours, those that might be taken for ours.
            if ours or name != "tty" or link.name.startswith("ttyS"):
                add(link)
                if not ours:
                    walk(link.resolve())
    for name in BUSES:
        for link in entries(sysfs / "bus" / name / "devices"):
            if str(link.resolve()) in tree:
                add(link)
    for name in ("ptp_ocp", "vfio-pci"):
        if (sysfs / "bus/pci/drivers" / name).is_dir():
            walk(sysfs / "bus/pci/drivers" / name)
    json.dump({"kernel": os.uname().release, "cards": cards, "tree": tree}, sys.stdout)


main()
