"""The modules that Debian does not build, out of Debian's source: AXI I2C and SPI, and Altera's SPI.

With them a card has its EEPROM and its flash, as on kernels of other distributions. The compiler is the one
that the kernel was built with, from the same suite and run by its own loader: nothing of the host is used but
a shell. Only the modules (a few kB) are kept; the sources (150 MB) are fetched once for each kernel.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path, PurePosixPath
from typing import Final

from tests.vm.fetch import Machine, ensure
from tests.vm.kernels import kernel_facts
from tests.vm.packages import Apt, unpack
from tests.vm.root import LIBRARIES, prepare_root
from tests.vm.store import VmUnavailableError, locked, part

KERNEL: Final = "6.12"
SOURCES: Final = (
    "drivers/i2c/busses/i2c-xiic.c",
    "drivers/spi/spi-xilinx.c",
    "drivers/spi/spi-altera-core.c",
    "drivers/spi/spi-altera-platform.c",
)
RECIPE: Final = 1
_TOOL_FOLDERS: Final = ("usr/bin", "usr/lib/gcc", "usr/libexec/gcc", "usr/lib/linux-kbuild-*")
_BUILD_LIMIT_S: Final = 600
_WRAPPER: Final = '#!/bin/sh\nexec "{loader}" --library-path "{libraries}" --argv0 "$0" "{program}" "$@"\n'


def built_modules(machine: Machine) -> Path:
    """The folder with the modules; built when it is not there yet. Raises ``VmUnavailableError``."""
    facts = kernel_facts(machine.kernels[KERNEL])
    release, version = str(facts["release"]), str(facts["version"])
    with locked(machine.cache):
        return part(
            machine.cache,
            f"modules-{release}-r{RECIPE}",
            lambda into: _build(machine, release, version, into),
        )


def _build(machine: Machine, release: str, version: str, into: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="building-modules-", dir=machine.cache) as scratch:
        folder = Path(scratch)
        apt = Apt(folder / "apt")
        apt.update()
        root, source = folder / "root", folder / "source"
        prepare_root(root)
        for archive in apt.download_closure(f"linux-headers-{release}", "gcc-14", "make"):
            unpack(archive, root)
        source.mkdir()
        _extract_sources(apt.download(f"linux-source-{KERNEL}", version, folder), source)
        names = [PurePosixPath(path).stem for path in SOURCES]
        (source / "Makefile").write_text("".join(f"obj-m += {name}.o\n" for name in names))
        for path in _programs(root):
            _wrap(root, path)
        headers = _relocated_headers(root, release)
        _make(headers, source, root)
        for name in names:
            shutil.copy(source / f"{name}.ko", into / f"{name}.ko")


def _extract_sources(archive: Path, into: Path) -> None:
    """Our files out of the compressed tree within the package."""
    with (
        subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE) as package,
        tarfile.open(fileobj=package.stdout, mode="r|") as outer,
    ):
        for member in outer:
            tree = outer.extractfile(member) if member.name.endswith(".tar.xz") else None
            if tree is None:
                continue
            with tarfile.open(fileobj=tree, mode="r|xz") as inner:
                wanted = set(SOURCES)
                for file in inner:
                    path = file.name.partition("/")[2]
                    data = inner.extractfile(file) if path in wanted else None
                    if data is not None:
                        (into / PurePosixPath(path).name).write_bytes(data.read())
                        wanted.discard(path)
                    if not wanted:
                        break
        # What is left of the package is not read.
        package.kill()
    missing = [path for path in SOURCES if not (into / PurePosixPath(path).name).is_file()]
    if missing:
        raise VmUnavailableError(f"{archive.name} has no {missing[0]}")


def _programs(root: Path) -> list[Path]:
    """Dynamically linked programs that the build runs."""
    found = []
    for pattern in _TOOL_FOLDERS:
        for folder in root.glob(pattern):
            for path in folder.rglob("*"):
                if path.is_symlink() or not path.is_file() or not path.stat().st_mode & stat.S_IXUSR:
                    continue
                with path.open("rb") as file:
                    head = file.read(4096)
                if head.startswith(b"\x7fELF") and b"/lib64/ld-linux-x86-64.so.2\0" in head:
                    found.append(path)
    return found


def _wrap(root: Path, path: Path) -> None:
    """Replace a program by a script that starts it with the loader and the libraries of its own suite."""
    program = path.with_name(f".{path.name}.wrapped")
    path.rename(program)
    libraries = root / LIBRARIES
    path.write_text(
        _WRAPPER.format(loader=libraries / "ld-linux-x86-64.so.2", libraries=libraries, program=program)
    )
    path.chmod(0o755)


def _relocated_headers(root: Path, release: str) -> Path:
    """The headers' folder, with its absolute paths turned to where it lies."""
    headers = root / "usr/src" / f"linux-headers-{release}"
    makefile = headers / "Makefile"
    makefile.write_text(makefile.read_text().replace("/usr/src/", f"{root}/usr/src/"))
    variables = headers / ".kernelvariables"
    tools = root / "usr/bin"
    prefix = re.compile(r"^(override CROSS_COMPILE = )", re.MULTILINE)
    variables.write_text(prefix.sub(rf"\g<1>{tools}/", variables.read_text()))
    return headers


def _make(headers: Path, source: Path, root: Path) -> None:
    path = f"{root}/usr/bin:{os.environ.get('PATH', '/usr/bin:/bin')}"
    environment = {**os.environ, "PATH": path, "LC_ALL": "C"}
    done = subprocess.run(
        # Type information would need another program and is not read by anyone here.
        ["make", "-C", headers, f"M={source}", "CONFIG_DEBUG_INFO_BTF_MODULES=", "modules"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_BUILD_LIMIT_S,
        check=False,
    )
    if done.returncode:
        raise VmUnavailableError(f"the modules do not build: {(done.stderr or done.stdout).strip()[-2000:]}")


def main() -> int:
    """Build; one line on what there is."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    try:
        folder = built_modules(ensure())
    except (VmUnavailableError, subprocess.SubprocessError) as error:
        print(f"no modules: {error}", file=sys.stderr)
        return 1
    print(" ".join(sorted(str(path) for path in folder.glob("*.ko"))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
