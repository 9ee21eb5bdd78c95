"""A server in a thread of its own, on a socket in a temporary folder."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fpga_world import START_NS, EchoDevice, ScriptedPulses, SteadyOscillator
from timecard.emulator.fpga import FpgaCard
from timecard.emulator.vfio_user_device import VfioUserDevice
from timecard.emulator.vfio_user_server import VfioUserServer
from timecard.emulator.world import HostWorldTime


@dataclass
class Served:
    """A running server and what it serves."""

    server: VfioUserServer
    card: FpgaCard
    device: EchoDevice
    path: Path


def make_served(path: Path, *, msix: bool = True) -> Served:
    """A server that does not run yet; its world starts near ``START_NS``."""
    world = HostWorldTime()
    world = HostWorldTime(START_NS - world.true_tai_ns())
    oscillator = SteadyOscillator()
    device = EchoDevice()
    card = FpgaCard(
        oscillator,
        ScriptedPulses(),
        None,
        {"gnss": device},
        world,
        msix=msix,
        start_card_tai_ns=world.true_tai_ns(),
    )
    return Served(VfioUserServer(path, VfioUserDevice(card), world), card, device, path)


def run(served: Served) -> threading.Thread:
    """Serve in a thread; its exceptions are those of the test."""
    thread = threading.Thread(target=served.server.run, daemon=True)
    thread.start()
    return thread


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A card behind a socket."""
    served = make_served(tmp_path / "card.sock")
    thread = run(served)
    try:
        yield served
    finally:
        alive = thread.is_alive()
        served.server.stop()
        thread.join(5)
        served.server.close()
    assert alive, "the server's loop ended by an exception"
