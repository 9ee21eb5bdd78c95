"""Facts about what the kernel made of a card: class device, ttys, device nodes, and who has them open."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from timecard.boards import Board
from timecard.doctor.facts import DriverFacts, NodeFacts
from timecard.doctor.host import User, group_name, user_name
from timecard.kernel.holders import Holder, find_holders
from timecard.kernel.nodes import CardNodes, find_nodes, read_text

ATTRIBUTES: Final = (
    *("serialnum", "gnss_sync", "clock_source", "sma1", "sma2", "sma3", "sma4", "ts_window_adjust"),
    *("utc_tai_offset", "tod_correction", "irig_b_mode", "clock_status_drift", "clock_status_offset"),
    *("external_pps_cable_delay", "internal_pps_cable_delay", "holdover", "mac_i2c", "tod_protocol"),
    *("tod_baud_rate", "optional_image_contract"),
)
MAX_VALUE: Final = 200


def driver_facts(root: Path, address: str, card_id: str, board: Board) -> DriverFacts:
    """What ``ptp_ocp`` shows for the card at ``address``."""
    device = root / "sys/bus/pci/devices" / address
    nodes = find_nodes(device, board, root / "sys")
    return DriverFacts(
        class_device=nodes.class_device.name if nodes.class_device else None,
        attributes=_attributes(nodes.class_device),
        phc=nodes.phc,
        pps=nodes.pps,
        i2c=nodes.i2c,
        mtd=nodes.mtd,
        eeproms=tuple(sorted(nodes.eeproms)),
        ttys={role.value: name for role, name in nodes.ttys.items()},
        tty_form=_tty_form(nodes, board),
        by_id=(root / "dev/timecard" / card_id).is_dir(),
    )


def node_facts(
    root: Path, address: str, group: str | None, driver: str | None, facts: DriverFacts | None, user: User
) -> tuple[NodeFacts, ...]:
    """Every node through which the card can be used as things are, with its holders."""
    paths: dict[str, str] = {}
    if facts is not None:
        names = {"phc": facts.phc, "pps": facts.pps, **facts.ttys}
        paths = {role: f"/dev/{name}" for role, name in names.items() if name}
    if driver == "vfio-pci" and group is not None:
        paths["vfio"] = f"/dev/vfio/{group}"
    if driver is None:
        paths["resource0"] = f"/sys/bus/pci/devices/{address}/resource0"
    mapped = f"/{address}/resource0" if driver is None else None
    holders = find_holders(root / "proc", set(paths.values()), mapped)
    found = (
        _node(root, role, path, user, holders.get(mapped if role == "resource0" and mapped else path, ()))
        for role, path in paths.items()
    )
    return tuple(node for node in found if node is not None)


def _node(root: Path, role: str, path: str, user: User, holders: Iterable[Holder]) -> NodeFacts | None:
    try:
        state = (root / path.lstrip("/")).stat()
    except OSError:
        return None
    return NodeFacts(
        role=role,
        path=path,
        mode=stat.S_IMODE(state.st_mode),
        owner=user_name(state.st_uid),
        group=group_name(state.st_gid),
        readable=_allowed(state, user, 4),
        writable=_allowed(state, user, 2),
        holders=tuple(holders),
    )


def _allowed(state: os.stat_result, user: User, bit: int) -> bool:
    """The classic permission bits; root may everything."""
    if user.uid == 0:
        return True
    shift = 6 if state.st_uid == user.uid else 3 if state.st_gid in user.gids else 0
    return bool(state.st_mode >> shift & bit)


def _attributes(class_device: Path | None) -> dict[str, str]:
    if class_device is None:
        return {}
    texts = {name: read_text(class_device / name) for name in ATTRIBUTES}
    found = {name: text[:MAX_VALUE] for name, text in texts.items() if text is not None}
    if (class_device / "mro50").exists():
        found["mro50"] = ""
    return found


def _tty_form(nodes: CardNodes, board: Board) -> str | None:
    if nodes.class_device is None or not nodes.ttys:
        return None
    folder = nodes.class_device
    shown = [board.serial_ports[role].kernel_name for role in nodes.ttys]
    if any((folder / "tty" / name).exists() for name in shown):
        return "directory"
    return "links" if any((folder / name).is_symlink() for name in shown) else "address"
