"""The guest's first file system: busybox, the modules that mount the shared folders, two scripts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from tests.vm.cpio import Entry, write_cpio
from tests.vm.modinfo import load_order

FIRST_MODULES: Final = ("9p", "9pnet_virtio")
_HERE: Final = Path(__file__).resolve().parent


def write_initramfs(root: Path, kernel: Path, target: Path) -> None:
    """Write the archive for one kernel."""
    depends = json.loads((kernel / "kernel.json").read_text())["modules"]
    order = load_order(FIRST_MODULES, depends.__getitem__)
    files = {path.stem.replace("-", "_"): path for path in kernel.rglob("*.ko")}
    entries = {name: Entry.folder() for name in ("bin", "proc", "sys", "dev", "root", "modules")}
    entries["bin/busybox"] = Entry.file((root / "usr/bin/busybox").read_bytes(), executable=True)
    entries["init"] = Entry.file((_HERE / "guest_init.sh").read_bytes(), executable=True)
    entries["agent"] = Entry.file((_HERE / "guest_agent.sh").read_bytes(), executable=True)
    for name in order:
        entries[f"modules/{name}.ko"] = Entry.file(files[name].read_bytes())
    entries["modules/order"] = Entry.file("".join(f"{name}.ko\n" for name in order).encode())
    target.write_bytes(write_cpio(entries))
