"""The card layer at work, in one go: `make demo-card`.

One intent file on a Facebook card and an ART card behind sockets, on a Facebook card through the stock kernel
driver, and on the same card through VFIO; and three planted faults, each named by doctor. Kernel driver and
VFIO need a virtual machine (`make vm-test` prepares it) and are left out, by name, where there is none.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
INTENT = ROOT / "examples" / "card.toml"
GUEST_INTENT = "/tmp/card.toml"
BDF = "0000:01:00.0"
KERNEL = "6.12"
BINDING = f"/sys/bus/pci/devices/{BDF}"
FAULTS = (
    ("eeprom-unreadable", "the EEPROM's bus is stuck", "eeprom-unreadable"),
    ("no-10mhz", "the oscillator's 10 MHz is unplugged", "ten-mhz-onboard"),
    ("clock-1970", "the clock has lost its date", "clock-1970"),
)
"""Fault of the emulator, in words, and the finding that has to name it."""
GUEST_LIMIT_S = 400


class DemoError(Exception):
    """Something did not come out as it should."""


def main() -> int:
    """Run it; 0 when everything came out as it should."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--no-vm", action="store_true", help="leave out what needs a virtual machine")
    options = parser.parse_args()
    try:
        with emulated("fb") as socket:
            show("A Facebook card behind a socket, no driver at all")
            bring_up_twice(socket)
            planted_faults(socket)
        with emulated("art") as socket:
            show("An ART card, the same intent: what it lacks is said")
            bring_up_twice(socket)
        if options.no_vm:
            print("\nleft out (--no-vm): the kernel driver, VFIO")
        else:
            in_a_machine()
    except DemoError as error:
        print(f"\ndemo-card: {error}", file=sys.stderr)
        return 1
    print("\ndemo-card: everything came out as it should")
    return 0


def bring_up_twice(socket: Path) -> None:
    """List, look, bring up, and see that a second run has nothing to do."""
    card = ("--vfio-user", str(socket))
    run("info", *card)
    with tempfile.TemporaryDirectory() as state:
        expect(run("bringup", str(INTENT), *card, "--state-dir", state, "--no-doctor"), 0)
    changes = json.loads(
        run("bringup", str(INTENT), *card, "--check", "--no-doctor", "--json", quiet=True).stdout
    )
    if changes["changes"]:
        raise DemoError(f"a second run would change {changes['changes']} settings")
    print("(a second run would change nothing)")


def planted_faults(socket: Path) -> None:
    """Each fault is planted, named by doctor, and taken away."""
    emulator = ("emulate", "--vfio-user", str(socket))
    for name, words, finding in FAULTS:
        show(f"Planted: {words} ({name})")
        expect(run(*emulator, "--inject", name, quiet=True), 0)
        time.sleep(2)
        found = run("doctor", "--vfio-user", str(socket))
        expect(run(*emulator, "--clear", quiet=True), 0)
        if f"({finding})" not in found.stdout:
            raise DemoError(f"doctor did not name {name}")
        time.sleep(2)


def in_a_machine() -> None:
    """Stock kernel driver, then VFIO, in a virtual machine with a stock Debian kernel."""
    sys.path.insert(0, str(ROOT))
    try:
        from tests.vm.card import card_processes
        from tests.vm.fetch import ensure
        from tests.vm.guest import Guest, GuestError
        from tests.vm.qemu import Hardware
        from tests.vm.store import VmUnavailableError
    except ImportError as error:
        print(f"\nleft out (no virtual machine: {error}): the kernel driver, VFIO")
        return
    try:
        root = ensure()
    except VmUnavailableError as error:
        print(f"\nleft out (no virtual machine: {error}): the kernel driver, VFIO")
        return
    try:
        demo_in(root, card_processes, Guest, Hardware)
    except GuestError as error:
        raise DemoError(f"virtual machine: {error}") from error


def demo_in(machine: Any, card_processes: Any, boot: Any, hardware: Any) -> None:
    """Both ways on one card in one machine."""
    with (
        card_processes(("--seed", "4")) as cards,
        boot.boot(
            machine,
            KERNEL,
            # A busy host makes the kernel's own check of its timer fail.
            hardware(cards=tuple(card.path for card in cards), iommu=True, append="no_timer_check"),
        ) as guest,
    ):
        guest.write(GUEST_INTENT, INTENT.read_bytes())
        show(f"A Facebook card with the stock driver of Debian's kernel {KERNEL}")
        in_guest(guest, "list")
        in_guest(guest, "info")
        in_guest(guest, f"bringup {GUEST_INTENT} --no-doctor")
        show("The same card without the driver, through VFIO")
        guest.run(f"echo {BDF} > {BINDING}/driver/unbind")
        guest.load("vfio-pci")
        guest.run(f"echo vfio-pci > {BINDING}/driver_override; echo {BDF} > /sys/bus/pci/drivers_probe")
        in_guest(guest, "info")
        in_guest(guest, f"bringup {GUEST_INTENT} --no-doctor")


def in_guest(guest: Any, command: str) -> None:
    """A command in the machine; it has to succeed."""
    print(f"\nguest$ timecard {command}", flush=True)
    done = guest.run(f"timecard {command}", limit_s=GUEST_LIMIT_S, check=False)
    print(done.stdout, end="")
    if done.status:
        raise DemoError(f"timecard {command} in the machine: {done.stderr.strip() or done.status}")


@contextmanager
def emulated(board: str) -> Iterator[Path]:
    """A virtual card that has found its time."""
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "card.sock"
        command = [
            sys.executable,
            "-m",
            "timecard.cli",
            "emulate",
            "--vfio-user",
            str(socket),
            "--board",
            board,
        ]
        process = subprocess.Popen([*command, "--seed", "4"], stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            if not process.stdout.readline().startswith("ready "):
                raise DemoError(f"the virtual {board} card does not start")
            yield socket
        finally:
            process.terminate()
            process.communicate(timeout=10)


def run(*argv: str, quiet: bool = False) -> subprocess.CompletedProcess[str]:
    """A ``timecard`` command, shown with what it says."""
    if not quiet:
        print(f"\n$ timecard {' '.join(shorter(argv))}", flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "timecard.cli", *argv],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    if not quiet:
        print(done.stdout, end="")
        print(done.stderr, end="", file=sys.stderr)
    return done


def shorter(argv: Sequence[str]) -> list[str]:
    """Paths by their last part: what counts is the command."""
    return [Path(word).name if word.startswith("/") else word for word in argv]


def expect(done: subprocess.CompletedProcess[str], status: int) -> None:
    """The command has to end with ``status``."""
    if done.returncode != status:
        raise DemoError(
            f"{' '.join(shorter(done.args[3:]))} ended with {done.returncode}: {done.stderr.strip()}"
        )


def show(title: str) -> None:
    """A heading."""
    print(f"\n== {title} ==", flush=True)


if __name__ == "__main__":
    sys.exit(main())
