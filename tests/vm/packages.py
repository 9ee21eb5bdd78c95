"""Debian packages without installing them: apt with a configuration, lists and state of its own.

Works as any user on any amd64 Debian or Ubuntu that has the Debian archive keyring. The mirror is the host's
own when it names one, so that a site's own mirror is respected.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.vm.store import VmUnavailableError

DEFAULT_MIRROR: Final = "http://deb.debian.org/debian"
KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SOURCES: Final = (Path("/etc/apt/sources.list"), Path("/etc/apt/sources.list.d"))
SUITES: Final = ("trixie", "trixie-backports")
APT_LIMIT_S: Final = 900
_MIRROR: Final = re.compile(
    r"^(?:URIs:|deb(?:\s+\[[^]]*\])?)\s+(https?://\S+/debian)/?(?:\s|$)", re.MULTILINE
)
_URI: Final = re.compile(r"^'[^']+' (?P<file>\S+) \d+", re.MULTILINE)
_INSTALL: Final = ("install", "-t", SUITES[1])
_UNWANTED: Final = tuple(
    f"--exclude=./usr/share/{name}"
    for name in ("doc", "doc-base", "man", "locale", "info", "lintian", "bug", "icons")
)


@dataclass(frozen=True)
class Package:
    """One stanza of the package lists."""

    name: str
    version: str
    depends: str


def host_mirror() -> str:
    """The Debian mirror of the host's own sources, or the general one."""
    files = [SOURCES[0], *sorted(SOURCES[1].glob("*.sources")), *sorted(SOURCES[1].glob("*.list"))]
    for path in files:
        if path.is_file() and (found := _MIRROR.search(path.read_text(errors="replace"))):
            return found[1]
    return DEFAULT_MIRROR


class Apt:
    """apt-get and apt-cache in a folder of their own. Raises ``VmUnavailableError`` with apt's last words."""

    def __init__(self, folder: Path) -> None:
        """``folder`` keeps lists and downloaded archives."""
        for program in ("apt-get", "apt-cache", "dpkg-deb", "tar"):
            if shutil.which(program) is None:
                raise VmUnavailableError(f"no {program} on this machine: the kernels come as Debian packages")
        if not KEYRING.is_file():
            raise VmUnavailableError(f"{KEYRING} is missing: install debian-archive-keyring")
        self._folder = folder
        self._environment = {**os.environ, "APT_CONFIG": str(folder / "apt.conf"), "LC_ALL": "C"}
        self._write_configuration()

    def update(self) -> None:
        """Fetch the package lists of both suites."""
        self._run("apt-get", "-qq", "--error-on=any", "update")

    def show(self, name: str) -> list[Package]:
        """All known versions of a package."""
        stanzas = self._run("apt-cache", "show", name).split("\n\n")
        found = []
        for stanza in stanzas:
            fields = dict(re.findall(r"^([A-Za-z-]+): (.*)$", stanza, re.MULTILINE))
            if "Version" in fields:
                found.append(Package(name, fields["Version"], fields.get("Depends", "")))
        return found

    def closure(self, *names: str) -> list[str]:
        """Archive names of the packages and all that they depend on, the newest of both suites."""
        return _URI.findall(self._run("apt-get", "-qq", "--print-uris", *_INSTALL, *names))

    def download_closure(self, *names: str) -> list[Path]:
        """Fetch what ``closure`` lists."""
        archives = self.closure(*names)
        self._run("apt-get", "-qq", "--yes", "--download-only", *_INSTALL, *names)
        return [self._folder / "cache" / "archives" / name for name in archives]

    def download(self, name: str, version: str, into: Path) -> Path:
        """Fetch one archive of exactly this version, without what it depends on."""
        into.mkdir(parents=True, exist_ok=True)
        before = set(into.glob("*.deb"))
        self._run("apt-get", "-qq", "download", f"{name}={version}", cwd=into)
        (archive,) = set(into.glob("*.deb")) - before
        return archive

    def _run(self, *command: str, cwd: Path | None = None) -> str:
        try:
            done = subprocess.run(
                command,
                env=self._environment,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=APT_LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise VmUnavailableError(f"{' '.join(command)}: no end after {APT_LIMIT_S} s") from error
        if done.returncode:
            words = "; ".join(done.stderr.strip().splitlines()[-3:])
            raise VmUnavailableError(f"{' '.join(command)}: {words}")
        return done.stdout

    def _write_configuration(self) -> None:
        folder = self._folder
        for name in ("lists/partial", "cache/archives/partial", "etc/apt.conf.d", "etc/preferences.d"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()
        mirror = host_mirror()
        (folder / "etc" / "sources.list").write_text(
            "".join(f"deb [signed-by={KEYRING}] {mirror} {suite} main\n" for suite in SUITES)
        )
        settings = {
            "Dir": folder,
            "Dir::State": folder,
            "Dir::State::lists": folder / "lists",
            "Dir::State::status": folder / "status",
            "Dir::Cache": folder / "cache",
            "Dir::Etc": folder / "etc",
            "Dir::Etc::sourceparts": "-",
            "APT::Architecture": "amd64",
            "APT::Architectures": "amd64",
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
        }
        (folder / "apt.conf").write_text("".join(f'{key} "{value}";\n' for key, value in settings.items()))


def unpack(archive: Path, into: Path) -> None:
    """A package's files without manuals and translations; scripts of the package are not run."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE) as source:
        done = subprocess.run(
            ["tar", "-x", "--no-same-owner", "--keep-directory-symlink", "-C", into, *_UNWANTED],
            stdin=source.stdout,
            capture_output=True,
            text=True,
            check=False,
        )
    if source.returncode or done.returncode:
        raise VmUnavailableError(f"{archive.name} does not unpack: {done.stderr.strip()[-300:]}")
