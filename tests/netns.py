"""Two network namespaces joined by a veth pair, for tests that need real ports, hosts and packet stamps.

Everything made here is removed here, processes included. Without root, ``ip`` or the right to make namespaces
a test skips and says so; where ``CI`` is ``true`` a missing peer is a failure: nothing may go untested there.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NoReturn

import pytest

CLONE_NEWNET = 0x40000000
STOP_TIMEOUT_S = 5.0
_libc = ctypes.CDLL(None, use_errno=True)
_serial = itertools.count()


def missing(what: str) -> NoReturn:
    """Skip, or fail where nothing may be skipped."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"required for this test: {what}")
    pytest.skip(what)


def require(*programs: str) -> None:
    """Skip unless namespaces can be made and all programs are installed."""
    if os.geteuid() != 0:
        missing("network namespaces need root")
    for program in ("ip", *programs):
        if shutil.which(program) is None:
            missing(f"program {program} is not installed")


@dataclass
class Namespace:
    """One end of the pair."""

    name: str
    interface: str
    ipv4: str
    ipv6: str
    _processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def command(self, arguments: Sequence[str | Path]) -> list[str]:
        """The command line that runs ``arguments`` in here."""
        return ["ip", "netns", "exec", self.name, *map(str, arguments)]

    def run(self, *arguments: str | Path, timeout_s: float = 30.0) -> str:
        """Run to the end; returns standard output, raises with both outputs when it fails."""
        done = subprocess.run(
            self.command(arguments), capture_output=True, text=True, timeout=timeout_s, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, arguments))}: {done.stdout}{done.stderr}")
        return done.stdout

    def start(
        self, *arguments: str | Path, stdout: int | IO[str] = subprocess.DEVNULL, stdin: int | None = None
    ) -> subprocess.Popen[str]:
        """Start a process that ends with the namespace at the latest."""
        process = subprocess.Popen(
            self.command(arguments), stdout=stdout, stderr=subprocess.STDOUT, stdin=stdin, text=True
        )
        self._processes.append(process)
        return process

    def stop(self, process: subprocess.Popen[str]) -> None:
        """End a process started here."""
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()

    def close(self) -> None:
        """End what still runs and remove the namespace."""
        for process in self._processes:
            self.stop(process)
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True, check=False)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Sockets that this thread makes inside the block live in this namespace, also afterwards."""
        with Path("/proc/thread-self/ns/net").open("rb") as home:
            _set_namespace(Path("/run/netns") / self.name)
            try:
                yield
            finally:
                if _libc.setns(home.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "cannot return to the own network namespace")


def _set_namespace(path: Path) -> None:
    with path.open("rb") as target:
        if _libc.setns(target.fileno(), CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"setns {path}: {os.strerror(number)}")


@dataclass(frozen=True)
class Pair:
    """A server's and a client's host."""

    server: Namespace
    client: Namespace

    def addresses(self, family: str) -> tuple[str, str]:
        """Server's and client's address of ``ipv4`` or ``ipv6``."""
        return getattr(self.server, family), getattr(self.client, family)


@contextlib.contextmanager
def veth_pair() -> Iterator[Pair]:
    """Make both namespaces; IPv6 addresses are usable at once (no duplicate address detection)."""
    require()
    base = f"tc{os.getpid()}-{next(_serial)}"
    server = Namespace(f"{base}s", "veth-s", "192.0.2.1", "2001:db8::1")
    client = Namespace(f"{base}c", "veth-c", "192.0.2.2", "2001:db8::2")
    with contextlib.ExitStack() as cleanup:
        for space in (server, client):
            made = subprocess.run(
                ["ip", "netns", "add", space.name], capture_output=True, text=True, check=False
            )
            if made.returncode != 0:
                missing(f"cannot make a network namespace: {made.stderr.strip()}")
            cleanup.callback(space.close)
            # The kernel takes the larger of "all" and the interface's own value.
            for scope in ("all", "default"):
                space.run("sh", "-c", f"echo 0 > /proc/sys/net/ipv6/conf/{scope}/accept_dad")
        server.run("ip", "link", "add", "veth-s", "type", "veth", "peer", "veth-c", "netns", client.name)
        for space in (server, client):
            space.run("ip", "addr", "add", f"{space.ipv4}/24", "dev", space.interface)
            space.run("ip", "addr", "add", f"{space.ipv6}/64", "dev", space.interface, "nodad")
            for interface in ("lo", space.interface):
                space.run("ip", "link", "set", interface, "up")
        yield Pair(server, client)
