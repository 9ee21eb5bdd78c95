"""QEMU's command line for a guest with Time Cards, and its control socket (QMP)."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.vm.kernels import kernel_image
from tests.vm.root import LIBRARIES, command_of
from tests.vm.store import VmUnavailableError

PROGRAM: Final = "usr/bin/qemu-system-x86_64"
CARD_DRIVER: Final = "vfio-user-pci"
SPARE_SLOTS: Final = 2
_REPLY_LIMIT_S: Final = 30.0


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """What the guest is made of."""

    cards: tuple[Path, ...] = ()
    """Sockets of card processes, which listen already; each sits behind a root port of its own."""
    iommu: bool = False
    """Interrupt and DMA remapping: needed for several MSI vectors, and for vfio-pci in the guest."""
    nics: int = 0
    """igb NICs, which have a PHC; all on one hub."""
    memory_mib: int = 768
    append: str = ""
    """More words for the kernel."""


def environment(root: Path) -> dict[str, str]:
    """QEMU's own modules come from the same folder as its libraries."""
    return {**os.environ, "QEMU_MODULE_DIR": str(root / LIBRARIES / "qemu")}


def check_qemu(root: Path) -> None:
    """Raises ``VmUnavailableError`` unless QEMU runs here and can attach a card."""
    done = subprocess.run(
        command_of(root, PROGRAM, "-device", "help"),
        env=environment(root),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if f'"{CARD_DRIVER}"' not in done.stdout:
        why = done.stderr.strip()[-200:] or "10.1 or later is needed"
        raise VmUnavailableError(f"QEMU has no {CARD_DRIVER}: {why}")


def card_device(number: int, path: Path) -> dict[str, Any]:
    """One card in the root port of the same number."""
    return {
        "driver": CARD_DRIVER,
        "id": f"card{number}",
        "bus": f"rp{number}",
        "rombar": 0,
        "socket": {"type": "unix", "path": str(path)},
    }


def command_line(
    root: Path, kernel: Path, initramfs: Path, shares: dict[str, Path], folder: Path, hardware: Hardware
) -> list[str]:
    """``shares``: the guest's path, and the folder that appears there; ``folder``: for sockets and logs."""
    data = root / "usr/share"
    words: list[str | Path] = ["-L", data / "qemu", "-L", data / "seabios"]
    words += ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
    # The oldest processor with what compiled wheels take for granted (x86-64-v2).
    words += ["-machine", "q35", "-cpu", "Nehalem", "-accel", "tcg", "-smp", "1"]
    words += ["-m", str(hardware.memory_mib)]
    if hardware.iommu:
        words += ["-device", "intel-iommu,intremap=on,caching-mode=on"]
    append = ["console=ttyS0", "quiet", "loglevel=5", "panic=-1", "net.ifnames=0"]
    # The kernel's test of its timer fails on a busy host, and with an IOMMU that is a panic.
    append += ["intel_iommu=on", "no_timer_check"] if hardware.iommu else []
    append += [f"vm.share=share{i}:{path}" for i, path in enumerate(shares)]
    words += ["-kernel", kernel_image(kernel), "-initrd", initramfs]
    words += ["-append", " ".join([*append, hardware.append]).strip()]
    words += ["-chardev", f"file,id=console,path={folder / 'console.log'}", "-serial", "chardev:console"]
    words += ["-chardev", f"socket,id=qmp,path={folder / 'qmp'}", "-mon", "chardev=qmp,mode=control"]
    words += ["-chardev", f"socket,id=agent,path={folder / 'agent'}", "-device", "virtio-serial-pci"]
    words += ["-device", "virtserialport,chardev=agent,name=agent", "-device", "virtio-rng-pci"]
    for i, path in enumerate(shares.values()):
        words += ["-fsdev", f"local,id=share{i},path={path},security_model=none,readonly=on"]
        words += ["-device", f"virtio-9p-pci,fsdev=share{i},mount_tag=share{i}"]
    for i in range(len(hardware.cards) + SPARE_SLOTS):
        words += ["-device", f"pcie-root-port,id=rp{i},slot={i + 1},chassis={i + 1},mem-reserve=64M"]
    for i, path in enumerate(hardware.cards):
        words += ["-device", json.dumps(card_device(i, path))]
    for i in range(hardware.nics):
        # Each behind a port of its own: the virtual functions of two on one bus would collide.
        words += ["-device", f"pcie-root-port,id=rn{i},slot={64 + i},chassis={64 + i}"]
        words += ["-netdev", f"hubport,id=net{i},hubid=0", "-device", f"igb,netdev=net{i},bus=rn{i}"]
    return command_of(root, PROGRAM, *words)


class Qmp:
    """The monitor. Raises ``OSError`` when QEMU is gone, ``RuntimeError`` for what it refuses."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(_REPLY_LIMIT_S)
        self._socket = sock
        self._file = sock.makefile("rb")
        self._events: list[dict[str, Any]] = []
        self._next()
        self.ask("qmp_capabilities")

    def ask(self, command: str, **arguments: Any) -> Any:
        """Carry out a command; its return value."""
        message = {"execute": command, "arguments": arguments}
        self._socket.sendall(json.dumps(message).encode() + b"\n")
        while True:
            reply = self._next()
            if "return" in reply:
                return reply["return"]
            if "error" in reply:
                raise RuntimeError(f"{command}: {reply['error'].get('desc')}")

    def wait_event(self, name: str, limit_s: float, **data: Any) -> None:
        """Wait for an event whose data agrees; events before this call count, each once."""
        deadline = time.monotonic() + limit_s
        while True:
            for event in self._events:
                if event["event"] == name and data.items() <= event.get("data", {}).items():
                    self._events.remove(event)
                    return
            if time.monotonic() > deadline:
                raise TimeoutError(f"QEMU did not report {name} within {limit_s} s")
            self._socket.settimeout(max(0.1, deadline - time.monotonic()))
            try:
                self._next()
            except TimeoutError as error:
                raise TimeoutError(f"QEMU did not report {name} within {limit_s} s") from error
            finally:
                self._socket.settimeout(_REPLY_LIMIT_S)

    def close(self) -> None:
        """Close the connection."""
        self._file.close()
        self._socket.close()

    def _next(self) -> dict[str, Any]:
        line = self._file.readline()
        if not line:
            raise ConnectionResetError("QEMU has closed its monitor")
        message: dict[str, Any] = json.loads(line)
        if "event" in message:
            self._events.append(message)
        return message
