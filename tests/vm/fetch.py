"""Brings in what the virtual machine consists of: ``python -m tests.vm.fetch``.

Packages of Debian's trixie and trixie-backports: QEMU with its libraries, a small guest root, two kernels.
What is complete in the cache is used without asking the mirror; ``--refresh`` asks it for newer versions.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from tests.vm.kernels import KERNEL_RECIPE, KERNELS, build_kernel, find_kernel
from tests.vm.packages import Apt, unpack
from tests.vm.root import finish_root, prepare_root
from tests.vm.store import VmUnavailableError, cache_dir, locked, part, prune

ROOT_PACKAGES: Final = [
    "qemu-system-x86",
    "seabios",
    "busybox-static",
    "dash",
    "coreutils",
    "util-linux",
    "python3",
    "libstdc++6",
    "linuxptp",
    "chrony",
    "ethtool",
    "pciutils",
    "i2c-tools",
    "pps-tools",
    "kmod",
    "udev",
    "iproute2",
]
RECIPE: Final = 4
"""Counted up when the contents of the root change by our doing."""


@dataclass(frozen=True)
class Machine:
    """Where everything is."""

    cache: Path
    root: Path
    """Files of the guest; QEMU runs out of the same folder."""
    kernels: dict[str, Path]
    """By the names of ``KERNELS``."""


def ensure(*, refresh: bool = False) -> Machine:
    """The complete cache. Raises ``VmUnavailableError``, when it cannot be completed."""
    cache = cache_dir()
    with locked(cache):
        known = None if refresh else _known(cache)
        if known is None:
            started = time.monotonic()
            _fetch(cache)
            known = _known(cache)
            print(f"virtual machine fetched in {time.monotonic() - started:.0f} s", file=sys.stderr)
    if known is None:
        raise VmUnavailableError(f"{cache}: incomplete; remove it and try again")
    return known


def _known(cache: Path) -> Machine | None:
    """What the manifest names, if all of it is there."""
    try:
        manifest = json.loads((cache / "manifest.json").read_text())
        machine = Machine(
            cache, cache / manifest["root"], {name: cache / manifest["kernels"][name] for name in KERNELS}
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    complete = all(path.is_dir() for path in (machine.root, *machine.kernels.values()))
    return machine if complete and manifest.get("recipe") == RECIPE else None


def _fetch(cache: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="building-apt-", dir=cache) as scratch:
        folder = Path(scratch)
        apt = Apt(folder)
        apt.update()
        wanted = apt.closure(*ROOT_PACKAGES)
        digest = hashlib.sha256("\n".join([str(RECIPE), *sorted(wanted)]).encode()).hexdigest()[:16]

        def root(into: Path) -> None:
            prepare_root(into)
            for archive in apt.download_closure(*ROOT_PACKAGES):
                unpack(archive, into)
            finish_root(into)

        root_part = part(cache, f"root-{digest}", root)
        kernels = {}
        for name in KERNELS:
            kernel = find_kernel(apt, name)
            build = partial(build_kernel, apt, kernel, root_part, folder / "kernels")
            kernels[name] = part(cache, f"kernel-{kernel.release}-r{KERNEL_RECIPE}", build).name
        manifest = {"recipe": RECIPE, "root": root_part.name, "kernels": kernels}
        fresh = cache / "manifest.new"
        fresh.write_text(json.dumps(manifest, indent=1) + "\n")
        fresh.rename(cache / "manifest.json")
    for kind, keep in (("root-", 1), ("kernel-", len(KERNELS))):
        prune(cache, kind, keep)


def main() -> int:
    """Fetch; one line on what there is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--refresh", action="store_true", help="ask the mirror for newer versions")
    try:
        machine = ensure(refresh=parser.parse_args().refresh)
    except (VmUnavailableError, subprocess.SubprocessError) as error:
        print(f"no virtual machine: {error}", file=sys.stderr)
        return 1
    kernels = ", ".join(path.name for path in machine.kernels.values())
    print(f"virtual machine ready in {machine.cache}: {kernels}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
