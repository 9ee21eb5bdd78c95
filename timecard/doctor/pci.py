"""Facts about the PCI function, from sysfs alone: of the card only configuration space is read."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Final

from timecard.digits import whole_number
from timecard.doctor.facts import LinkFacts, PciFacts
from timecard.kernel.driver import granted_vectors
from timecard.kernel.nodes import read_text

COMMAND: Final = 4
_MEMORY: Final = 2
_BUS_MASTER: Final = 4
_BRIDGE_CLASS: Final = "0x0604"
_ERRORS: Final = {
    "correctable": ("aer_dev_correctable", "TOTAL_ERR_COR"),
    "nonfatal": ("aer_dev_nonfatal", "TOTAL_ERR_NONFATAL"),
    "fatal": ("aer_dev_fatal", "TOTAL_ERR_FATAL"),
}
MAX_GROUP: Final = 64
MAX_ADDRESS: Final = (1 << 64) - 1


def pci_facts(root: Path, address: str) -> PciFacts:
    """Look at the function at ``address``."""
    device = root / "sys/bus/pci/devices" / address
    own = device.resolve()
    config = _config(device)
    command = struct.unpack_from("<H", config, COMMAND)[0] if len(config) >= 6 else None
    start, size = _bar0(device)
    group = device / "iommu_group"
    driver = device / "driver"
    name = driver.resolve().name if driver.exists() else None
    return PciFacts(
        address=address,
        vendor=_hex(device / "vendor"),
        device=_hex(device / "device"),
        revision=_hex(device / "revision"),
        config_all_ones=config[:4] == b"\xff\xff\xff\xff" if config else None,
        bar0_start=start,
        bar0_size=size,
        enabled={"0": False, None: None}.get(read_text(device / "enable"), True),
        decoding=None if command is None else bool(command & _MEMORY),
        bus_master=None if command is None else bool(command & _BUS_MASTER),
        power_state=read_text(device / "power_state"),
        link=_link(device),
        port=_link(own.parent),
        errors=_errors(device),
        iommu_group=group.resolve().name if group.exists() else None,
        group_others=_others(group, address),
        vectors=granted_vectors(device) if name else None,
        driver=name,
        driver_version=read_text(root / "sys/module" / name.replace("-", "_") / "version") if name else None,
    )


def _config(device: Path) -> bytes:
    try:
        with (device / "config").open("rb") as file:
            return file.read(64)
    except OSError:
        return b""


def _bar0(device: Path) -> tuple[int | None, int | None]:
    """Start and size of the first window, by the first line of ``resource``: start, end, flags."""
    words = (read_text(device / "resource") or "").split()[:3]
    try:
        start, end = int(words[0], 16), int(words[1], 16)
    except (IndexError, ValueError):
        return None, None
    if not 0 <= start <= MAX_ADDRESS or not 0 <= end <= MAX_ADDRESS:
        return None, None
    return start, end - start + 1 if end > start else 0


def _link(device: Path) -> LinkFacts:
    return LinkFacts(
        speed_gts=_speed(device / "current_link_speed"),
        width=_count(device / "current_link_width"),
        max_speed_gts=_speed(device / "max_link_speed"),
        max_width=_count(device / "max_link_width"),
    )


def _speed(path: Path) -> float | None:
    found = re.match(r"(\d{1,3}(?:\.\d{1,2})?) GT/s", read_text(path) or "")
    return float(found[1]) if found else None


def _count(path: Path) -> int | None:
    """0 and 255 stand for a link that is down."""
    value = whole_number(read_text(path) or "") or 0
    return value if 0 < value < 255 else None


def _errors(device: Path) -> dict[str, int]:
    totals = {}
    for kind, (name, total) in _ERRORS.items():
        found = re.search(rf"{total} (\d{{1,18}})", read_text(device / name) or "")
        if found:
            totals[kind] = int(found[1])
    return totals


def _others(group: Path, address: str) -> dict[str, str]:
    """Endpoints that share the IOMMU group, each with its driver."""
    found: dict[str, str] = {}
    for other in sorted((group / "devices").glob("*"))[:MAX_GROUP]:
        if other.name != address and not (read_text(other / "class") or "").startswith(_BRIDGE_CLASS):
            driver = other / "driver"
            found[other.name] = driver.resolve().name if driver.exists() else ""
    return found


def _hex(path: Path) -> int:
    text = read_text(path) or ""
    return int(text, 16) if re.fullmatch(r"0x[0-9a-fA-F]{1,8}", text) else 0
