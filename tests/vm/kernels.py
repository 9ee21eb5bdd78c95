"""A stock Debian kernel as a folder: ``vmlinuz``, ``config``, and of its modules those the tests load.

The modules keep their place below ``modules/<release>/kernel`` and are unpacked, as busybox does not read
``.ko.xz`` and the unpacking would be the guest's work otherwise.
"""

from __future__ import annotations

import json
import lzma
import re
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from tests.vm.modinfo import load_order, modinfo, normal_name
from tests.vm.packages import Apt
from tests.vm.root import command_of
from tests.vm.store import VmUnavailableError

KERNELS: Final = {"6.12": "6.", "7": "7."}
"""The names the tests use, and how the package's version begins."""
KERNEL_RECIPE: Final = 2
"""Counted up when the contents of a kernel's part change by our doing."""
META: Final = "linux-image-amd64"

_CARD: Final = ("ptp_ocp", "mtd", "spi-nor", "at24", "i2c-ocores", "i2c-dev", "spi-bitbang")
_FILES: Final = ("9p", "9pnet_virtio", "overlay")
_USER_SPACE_DRIVER: Final = ("vfio-pci", "vfio_iommu_type1")
_NETWORK: Final = ("igb", "veth")
REQUIRED: Final = (*_CARD, *_FILES, *_USER_SPACE_DRIVER, *_NETWORK)
WHERE_BUILT: Final = [
    "i2c-xiic",
    "spi-xilinx",
    "spi-altera",
    "spi-altera-core",
    "spi-altera-platform",
    "ptp_vmclock",
    "ptp_mock",
    "netdevsim",
]
"""Debian leaves most of these out; which is noted in ``kernel.json``."""
_RELEASE: Final = re.compile(r"linux-image-(\d\S*-amd64)")


@dataclass(frozen=True)
class KernelPackages:
    """One kernel of the suites: its release, as ``uname -r`` says, and version of its packages."""

    release: str
    version: str

    @property
    def archives(self) -> tuple[str, ...]:
        """The packages that hold the files (7.x has split what was one package in 6.12)."""
        if self.version.startswith("6."):
            return (f"linux-image-{self.release}",)
        return tuple(f"linux-{kind}-{self.release}" for kind in ("base", "binary", "modules"))


def find_kernel(apt: Apt, name: str) -> KernelPackages:
    """The kernel that the meta package of the suite depends on; ``name`` is a key of ``KERNELS``."""
    for package in apt.show(META):
        if package.version.startswith(KERNELS[name]) and (found := _RELEASE.search(package.depends)):
            return KernelPackages(found[1], package.version)
    raise VmUnavailableError(f"the mirror has no {META} {KERNELS[name]}x")


def build_kernel(apt: Apt, kernel: KernelPackages, root: Path, scratch: Path, into: Path) -> None:
    """Fill a part's folder: ``boot``, ``modules`` with its indices, ``kernel.json``."""
    modules: dict[str, tuple[str, bytes]] = {}
    for name in kernel.archives:
        archive = apt.download(name, kernel.version, scratch)
        _read_archive(archive, kernel.release, into, modules)
        archive.unlink()
    missing = [name for name in REQUIRED if normal_name(name) not in modules]
    if missing:
        raise VmUnavailableError(f"kernel {kernel.release} has no module {' '.join(missing)}")
    unpacked: dict[str, bytes] = {}

    def depends(name: str) -> list[str]:
        if name not in unpacked:
            path, image = modules[name]
            unpacked[name] = lzma.decompress(image) if path.endswith(".xz") else image
        return [other for other in modinfo(unpacked[name]).get("depends", "").split(",") if other]

    present = [name for name in WHERE_BUILT if normal_name(name) in modules]
    order = load_order([*REQUIRED, *present], depends)
    for name in order:
        path = into / "modules" / kernel.release / modules[name][0].removesuffix(".xz")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(unpacked[name])
    (into / "depmod" / "lib").mkdir(parents=True)
    (into / "depmod" / "lib" / "modules").symlink_to(into / "modules")
    command = command_of(root, "usr/bin/kmod", "-b", into / "depmod", kernel.release, name="depmod")
    subprocess.run(command, check=True)
    shutil.rmtree(into / "depmod")
    facts = {
        "release": kernel.release,
        "version": kernel.version,
        "modules": {name: depends(name) for name in order},
        "not_built": [name for name in WHERE_BUILT if name not in present],
    }
    (into / "kernel.json").write_text(json.dumps(facts, indent=1))


def kernel_facts(kernel: Path) -> dict[str, object]:
    """What ``build_kernel`` noted: release, version, modules with their dependencies, modules not built."""
    facts: dict[str, object] = json.loads((kernel / "kernel.json").read_text())
    return facts


def kernel_image(kernel: Path) -> Path:
    """The file QEMU boots, of a part's folder."""
    return next(path for pattern in ("boot/vmlinuz-*", "modules/*/vmlinuz") for path in kernel.glob(pattern))


def _boot_files(release: str) -> list[str]:
    """Where 6.12 and 7.x keep kernel, configuration and what is built in."""
    names = ("vmlinuz", "config", "modules.builtin", "modules.builtin.modinfo", "modules.order")
    boot = [f"boot/{name}-{release}" for name in names[:2]]
    return boot + [f"usr/lib/modules/{release}/{name}" for name in names]


def _read_archive(archive: Path, release: str, into: Path, modules: dict[str, tuple[str, bytes]]) -> None:
    """Pick files out of a package in one pass; all modules, still packed, go into ``modules``."""
    kept = {PurePosixPath(name) for name in _boot_files(release)}
    with (
        subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE) as source,
        tarfile.open(fileobj=source.stdout, mode="r|") as tar,
    ):
        for member in tar:
            path = PurePosixPath(member.name)
            data = tar.extractfile(member) if member.isfile() else None
            if data is None:
                continue
            inside = str(path).partition(f"lib/modules/{release}/")[2]
            if path in kept:
                target = into / (f"modules/{release}/{inside}" if inside else path)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data.read())
            elif path.name.endswith((".ko", ".ko.xz")):
                name = normal_name(path.name.partition(".ko")[0])
                modules[name] = (inside, data.read())
    if source.returncode:
        raise VmUnavailableError(f"{archive.name} does not unpack")
