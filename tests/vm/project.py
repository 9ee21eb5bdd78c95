"""The toolkit for the guest: its source tree with byte code, and the packages that it imports.

The host's virtual environment may be of another Python than the guest's. Its pure packages are copied, of the
compiled ones the same version is fetched for the guest's Python.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement

from tests.vm.root import compile_python
from tests.vm.store import VmUnavailableError, locked, part, prune

PROJECT: Final = "timecard-toolkit"
TREE: Final = Path(__file__).resolve().parents[2]
FOLDERS: Final = ("timecard", "appliance", "api", "udev", "examples", "docs/examples")
COPIED: Final = {".py", ".rules", ".toml", ".json", ".typed", ".so"}
PYTHON: Final = "3.13"
PLATFORMS: Final = ("manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux_2_28_x86_64")
KEPT: Final = 4
_SITE_RECIPE: Final = 1
_PIP_LIMIT_S: Final = 600
_WRAPPER: Final = "#!/usr/bin/python3\nimport sys\nfrom {module} import {function}\nsys.exit({function}())\n"


def guest_project(cache: Path, root: Path) -> Path:
    """A copy of the tree as it is now, compiled; the same copy as long as nothing changes."""
    files = sorted(
        path
        for folder in FOLDERS
        for path in (TREE / folder).rglob("*")
        if path.is_file() and path.suffix in COPIED
    )
    contents = {path.relative_to(TREE): path.read_bytes() for path in files}
    described = _described()
    scripts = described["scripts"]
    digest = hashlib.sha256(repr((PYTHON, described)).encode())
    for name, data in contents.items():
        digest.update(f"{name}\0{len(data)}\0".encode() + data)

    def build(into: Path) -> None:
        for name, data in contents.items():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            (into / name).write_bytes(data)
        (into / "bin").mkdir()
        for name, value in scripts.items():
            module, _, function = value.partition(":")
            wrapper = into / "bin" / name
            wrapper.write_text(_WRAPPER.format(module=module, function=function))
            wrapper.chmod(0o755)
        _write_metadata(described, into)
        compile_python(root, into, "/project")

    with locked(cache):
        path = part(cache, f"project-{digest.hexdigest()[:16]}", build)
        prune(cache, "project-", KEPT)
    return path


def guest_site(cache: Path, root: Path) -> Path:
    """The packages that the project depends on, for the guest's Python."""
    wanted = _dependencies(_described()["dependencies"])
    listed = [f"{name}=={found.version}" for name, found in sorted(wanted.items())]
    digest = hashlib.sha256(repr((_SITE_RECIPE, PYTHON, listed)).encode()).hexdigest()[:16]

    def build(into: Path) -> None:
        compiled = []
        for name, found in sorted(wanted.items()):
            if _is_pure(found):
                _copy_distribution(found, into)
            else:
                compiled.append(f"{name}=={found.version}")
        _install(compiled, into)
        compile_python(root, into, "/site")

    with locked(cache):
        path = part(cache, f"site-{digest}", build)
        prune(cache, "site-", KEPT)
    return path


def _described() -> dict[str, Any]:
    """The project, as the tree describes it: what is installed of it may be older."""
    project: dict[str, Any] = tomllib.loads((TREE / "pyproject.toml").read_text())["project"]
    return project


def _dependencies(requirements: list[str]) -> dict[str, Distribution]:
    """All that these need, as installed here."""
    found: dict[str, Distribution] = {}
    asked: set[tuple[str, str]] = set()
    waiting = [(Requirement(text), "") for text in requirements]
    while waiting:
        requirement, extra = waiting.pop()
        marker = requirement.marker
        if marker and not marker.evaluate({"extra": extra, "python_version": PYTHON}):
            continue
        key = re.sub(r"[-_.]+", "-", requirement.name).lower()
        try:
            found[key] = distribution(key)
        except PackageNotFoundError as error:
            raise VmUnavailableError(f"{key} is not installed here; run tools/setup.sh test") from error
        for wanted in {"", *requirement.extras}:
            if (key, wanted) not in asked:
                asked.add((key, wanted))
                waiting += [(Requirement(text), wanted) for text in found[key].requires or []]
    return found


def _is_pure(found: Distribution) -> bool:
    return "Root-Is-Purelib: true" in (found.read_text("WHEEL") or "")


def _copy_distribution(found: Distribution, into: Path) -> None:
    for entry in found.files or []:
        if ".." in entry.parts or "__pycache__" in entry.parts:
            continue
        source, target = Path(str(found.locate_file(entry))), into / Path(*entry.parts)
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


def _write_metadata(described: dict[str, Any], into: Path) -> None:
    """What ``importlib.metadata`` finds of the project: as installed, though nothing was."""
    folder = into / f"{PROJECT.replace('-', '_')}-{described['version']}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {PROJECT}\nVersion: {described['version']}\n"
    )
    groups = {"console_scripts": described["scripts"], **described.get("entry-points", {})}
    lines = []
    for group, names in groups.items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in names.items()), ""]
    (folder / "entry_points.txt").write_text("\n".join(lines))


def _install(requirements: list[str], into: Path) -> None:
    if not requirements:
        return
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", "install"]
    command += ["--no-deps", "--only-binary=:all:", "--python-version", PYTHON, "--implementation", "cp"]
    command += [word for platform in PLATFORMS for word in ("--platform", platform)]
    command += ["--upgrade", "--no-compile", "--target", str(into), *requirements]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_PIP_LIMIT_S,
        check=False,
    )
    if done.returncode:
        raise VmUnavailableError(f"pip install {' '.join(requirements)}: {done.stderr.strip()[-300:]}")
