"""A guest that runs commands: boot it, ask it, unplug cards, power it off.

    with Guest.boot(machine, "6.12", Hardware(cards=(socket,))) as guest:
        print(guest.run("cat /sys/class/timecard/ocp0/clock_source").stdout)

Everything has a time limit, and only processes started here are ended. What QEMU and the guest's kernel
said is part of every ``GuestError``.
"""

from __future__ import annotations

import contextlib
import ctypes
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.vm.fetch import Machine
from tests.vm.initramfs import write_initramfs
from tests.vm.project import guest_project, guest_site
from tests.vm.qemu import Hardware, Qmp, card_device, command_line, environment

CARD_MODULES: Final = ("at24", "i2c-ocores", "i2c-dev", "spi-nor", "ptp_ocp")
"""Loaded at boot unless told otherwise; the driver last, so that all is in place when it probes."""
BUILT: Final = "/mnt"
"""Where modules from outside Debian appear."""
BOOT_LIMIT_S: Final = 120.0
RUN_LIMIT_S: Final = 60.0
GUEST_LIMIT_S: Final = 900.0
_GRACE_S: Final = 20.0
_TAIL: Final = 4000
_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


class GuestError(Exception):
    """The guest did not do what was asked; the text ends with the words of QEMU and of the kernel."""


@dataclass(frozen=True)
class Result:
    """What a command in the guest came to."""

    command: str
    status: int
    output: bytes
    errors: bytes

    @property
    def stdout(self) -> str:
        return self.output.decode(errors="replace")

    @property
    def stderr(self) -> str:
        return self.errors.decode(errors="replace")


class Guest:
    """A running virtual machine; made by ``boot``."""

    def __init__(
        self, process: subprocess.Popen[bytes], folder: Path, agent: socket.socket, qmp: Qmp, limit_s: float
    ) -> None:
        self._process = process
        self._folder = folder
        self._agent = agent
        self._stream = agent.makefile("rb")
        self.qmp = qmp
        self.release = ""
        """As ``uname -r`` says."""
        self._number = 0
        self._over = threading.Timer(limit_s, process.kill)
        self._over.daemon = True
        self._over.start()

    @classmethod
    @contextlib.contextmanager
    def boot(
        cls,
        machine: Machine,
        kernel: str,
        hardware: Hardware = Hardware(),  # noqa: B008 - frozen
        *,
        modules: Iterable[str] = CARD_MODULES,
        built: Path | None = None,
        limit_s: float = GUEST_LIMIT_S,
    ) -> Iterator[Guest]:
        """A guest that is up, with ``modules`` loaded; ended on leaving. ``kernel``: a key of ``KERNELS``.

        ``built``: modules that Debian does not build (``build_modules``), all loaded before the others.
        """
        folder = Path(tempfile.mkdtemp(prefix="timecard-vm-"))
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            guest = cls._start(machine, kernel, hardware, folder, limit_s, built)
            stack.callback(guest._end)
            guest._expect_ready()
            if built is not None:
                guest.load("spi-bitbang")
                # In the order of their names, which is that of what they need.
                guest.run(f"for m in {BUILT}/*.ko; do insmod $m || exit 1; done")
            guest.load(*modules)
            yield guest

    @classmethod
    def _start(
        cls,
        machine: Machine,
        kernel: str,
        hardware: Hardware,
        folder: Path,
        limit_s: float,
        built: Path | None,
    ) -> Guest:
        part = machine.kernels[kernel]
        shares = {
            "/": machine.root,
            "/boot": part / "boot",
            "/lib/modules": part / "modules",
            "/site": guest_site(machine.cache, machine.root),
            "/project": guest_project(machine.cache, machine.root),
        }
        if built is not None:
            shares[BUILT] = built
        shares = {path: share for path, share in shares.items() if share.is_dir()}
        initramfs = folder / "initramfs"
        write_initramfs(machine.root, part, initramfs)
        command = command_line(machine.root, part, initramfs, shares, folder, hardware)
        with contextlib.ExitStack() as stack:
            listeners = {}
            for name in ("qmp", "agent"):
                listeners[name] = stack.enter_context(socket.socket(socket.AF_UNIX))
                listeners[name].bind(str(folder / name))
                listeners[name].listen(1)
            with (folder / "qemu.log").open("wb") as log:
                process = subprocess.Popen(
                    command,
                    env=environment(machine.root),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    preexec_fn=_die_with_parent,
                )
            try:
                qmp = Qmp(_accept(listeners["qmp"], process, folder))
                agent = _accept(listeners["agent"], process, folder)
            except BaseException:
                process.kill()
                process.wait()
                raise
        return cls(process, folder, agent, qmp, limit_s)

    # --- commands ---

    def run(
        self, command: str, *, limit_s: float = RUN_LIMIT_S, data: bytes = b"", check: bool = True
    ) -> Result:
        """Run a shell command in the guest; with ``check`` a status other than 0 is a ``GuestError``.

        After ``limit_s`` it is killed (status 137). ``data`` is its standard input.
        """
        self._number += 1
        text = command.encode()
        header = f"RUN {self._number} {max(1, round(limit_s))} {len(text)} {len(data)}\n"
        try:
            self._agent.settimeout(limit_s + _GRACE_S)
            self._agent.sendall(header.encode() + text + data)
            words = self._stream.readline().split()
            if len(words) != 5 or words[:2] != [b"DONE", b"%d" % self._number]:
                raise GuestError(self._story(f"no answer to {command!r} but {words!r}"))
            status, out, err = (int(word) for word in words[2:])
            result = Result(command, status, self._exactly(out), self._exactly(err))
        except OSError as error:
            raise GuestError(self._story(f"no answer to {command!r}: {error}")) from error
        if check and result.status:
            raise GuestError(
                self._story(f"{command!r} ended with {result.status}: {result.stdout}{result.stderr}")
            )
        return result

    def spawn(self, command: str, log: str = "/dev/null") -> int:
        """Start a command in the background, its output into ``log``; returns its process id in the guest."""
        return int(
            self.run(f"setsid /bin/sh -c {shlex.quote(command)} >{log} 2>&1 </dev/null & echo $!").stdout
        )

    def python(self, script: str, *, limit_s: float = RUN_LIMIT_S, check: bool = True) -> Result:
        """Run a Python script in the guest; the project is importable."""
        return self.run("python3 -", limit_s=limit_s, data=script.encode(), check=check)

    def read(self, path: str) -> bytes:
        """A file of the guest."""
        return self.run(f"cat {shlex.quote(path)}").output

    def write(self, path: str, data: bytes) -> None:
        """Write a file of the guest; ``/etc``, ``/var``, ``/run``, ``/tmp`` and ``/root`` are writable."""
        self.run(f"cat >{shlex.quote(path)}", data=data)

    def load(self, *modules: str) -> None:
        """Load kernel modules and what they need."""
        if modules:
            self.run("for m in " + " ".join(modules) + "; do modprobe $m || exit 1; done")

    def kernel_log(self) -> str:
        """All that the guest's kernel said."""
        return self.run("dmesg").stdout

    # --- hardware ---

    def unplug(self, number: int, *, limit_s: float = 30.0) -> None:
        """Take the card out of slot ``number``, as QEMU does it: the guest is asked and lets go.

        Only for cards with MSI: QEMU 11.1 aborts when one with MSI-X leaves.
        """
        self.qmp.ask("device_del", id=f"card{number}")
        self.qmp.wait_event("DEVICE_DELETED", limit_s, device=f"card{number}")

    def plug(self, number: int, path: Path) -> None:
        """Put the card behind the socket into the free slot ``number``."""
        self.qmp.ask("device_add", **card_device(number, path))

    def power_off(self, limit_s: float = 30.0) -> None:
        """End the guest in an orderly way, drivers' shutdown handlers included."""
        self.spawn("sleep 0.1; poweroff -f")
        try:
            self._process.wait(limit_s)
        except subprocess.TimeoutExpired as error:
            raise GuestError(self._story(f"no power-off within {limit_s} s")) from error

    @property
    def alive(self) -> bool:
        """Whether QEMU runs."""
        return self._process.poll() is None

    # --- internals ---

    def _expect_ready(self) -> None:
        self._agent.settimeout(BOOT_LIMIT_S)
        started = time.monotonic()
        try:
            words = self._stream.readline().split()
        except OSError as error:
            raise GuestError(self._story(f"not up after {time.monotonic() - started:.0f} s")) from error
        if len(words) != 2 or words[0] != b"READY":
            raise GuestError(self._story(f"not up, but {words!r}"))
        self.release = words[1].decode()

    def _exactly(self, count: int) -> bytes:
        data = self._stream.read(count)
        if len(data) != count:
            raise ConnectionResetError("the guest has gone")
        return data

    def _story(self, what: str) -> str:
        parts = [what]
        for name in ("qemu.log", "console.log"):
            with contextlib.suppress(OSError):
                text = (self._folder / name).read_bytes()[-_TAIL:].decode(errors="replace").strip()
                parts.append(f"--- {name} ---\n{text}")
        return "\n".join(parts)

    def _end(self) -> None:
        self._over.cancel()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._stream.close()
        self._agent.close()
        self.qmp.close()


def _accept(listener: socket.socket, process: subprocess.Popen[bytes], folder: Path) -> socket.socket:
    """QEMU's connection; it makes them all before the guest runs."""
    listener.settimeout(0.2)
    deadline = time.monotonic() + BOOT_LIMIT_S
    while time.monotonic() < deadline:
        try:
            return listener.accept()[0]
        except TimeoutError:
            if process.poll() is not None:
                break
    words = (folder / "qemu.log").read_text(errors="replace").strip()[-_TAIL:]
    raise GuestError(f"QEMU did not start (status {process.poll()}): {words}")


def _die_with_parent() -> None:
    """QEMU ends when the tests are killed and cannot end it any more."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
