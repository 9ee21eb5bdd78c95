"""Records what sysfs shows of Time Cards on a stock kernel: ``python -m tests.vm.record_sysfs [NAME ...]``.

The trees in ``tests/data/sysfs`` are what discovery is tested against without a virtual machine. Of each path
the file says what kind of thing it is (``guest_scripts/sysfs_tree.py``).
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.vm.build_modules import built_modules
from tests.vm.card import card_processes
from tests.vm.fetch import Machine, ensure
from tests.vm.guest import Guest
from tests.vm.qemu import Hardware

FOLDER: Final = Path(__file__).resolve().parents[1] / "data" / "sysfs"
SCRIPT: Final = Path(__file__).resolve().parent / "guest_scripts" / "sysfs_tree.py"


@dataclass(frozen=True)
class Recording:
    """A guest to record: its kernel, and of each card the options of ``timecard emulate``."""

    kernel: str
    cards: tuple[tuple[str, ...], ...]
    iommu: bool = False
    built: bool = False
    """With the modules that Debian does not build: EEPROM and flash behind AXI masters appear."""


def _card(board: str, seed: int = 1, *more: str) -> tuple[str, ...]:
    return ("--board", board, "--seed", str(seed), *more)


RECORDINGS: Final = {
    "fb-6.12": Recording("6.12", (_card("fb"),)),
    "fb-7": Recording("7", (_card("fb"),)),
    "fb-built-6.12": Recording("6.12", (_card("fb"),), built=True),
    "fb-one-vector-6.12": Recording("6.12", (_card("fb", 1, "--interrupts", "msi"),)),
    "celestica-6.12": Recording("6.12", (_card("celestica"),)),
    "art-6.12": Recording("6.12", (_card("art"),)),
    "adva-6.12": Recording("6.12", (_card("adva"),)),
    "adva-x1-7": Recording("7", (_card("adva-x1"),)),
    "three-6.12": Recording("6.12", (_card("fb"), _card("art", 2), _card("adva", 3))),
    "three-fb-6.12": Recording("6.12", tuple(_card("fb", seed) for seed in (1, 2, 3))),
}


def record(machine: Machine, recording: Recording) -> dict[str, Any]:
    """Boot, read the tree, power off."""
    with card_processes(*recording.cards) as cards:
        hardware = Hardware(cards=tuple(card.path for card in cards), iommu=recording.iommu)
        built = built_modules(machine) if recording.built else None
        with Guest.boot(machine, recording.kernel, hardware, built=built) as guest:
            found: dict[str, Any] = json.loads(guest.python(SCRIPT.read_text()).output)
            guest.power_off()
    return found


def write(name: str, found: dict[str, Any]) -> Path:
    """One line for each path, so that a difference between two recordings can be read."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.json"
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in sorted(found["tree"].items())]
    head = f'{{"kernel": {json.dumps(found["kernel"])}, "cards": {json.dumps(found["cards"])}, "tree": {{\n'
    path.write_text(head + ",\n".join(lines) + "\n}}\n")
    return path


def main() -> int:
    """Record the named trees, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(RECORDINGS)}")
    names = parser.parse_args().names or list(RECORDINGS)
    unknown = [name for name in names if name not in RECORDINGS]
    if unknown:
        parser.error(f"no recording is called {unknown[0]}; there are {', '.join(RECORDINGS)}")
    machine = ensure()
    for name in names:
        print(write(name, record(machine, RECORDINGS[name])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
