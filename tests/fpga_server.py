"""An emulated card behind a vfio-user socket, served by a thread, in real time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.fpga_world import START_NS, EchoDevice, ScriptedPulses, SteadyOscillator
from timecard.boards import BOARDS
from timecard.emulator.fpga import FpgaCard
from timecard.emulator.vfio_user_device import VfioUserDevice
from timecard.emulator.vfio_user_server import VfioUserServer
from timecard.emulator.world import HostWorldTime


@dataclass
class Served:
    """A server and what it serves."""

    server: VfioUserServer
    card: FpgaCard
    device: EchoDevice
    path: Path


def make_card(
    *, msix: bool = True, ptm: bool = True, board: str = "fb"
) -> tuple[FpgaCard, EchoDevice, HostWorldTime]:
    """A card whose world begins at ``START_NS`` and runs with the host."""
    world = HostWorldTime(START_NS - HostWorldTime().true_tai_ns())
    device = EchoDevice()
    card = FpgaCard(
        SteadyOscillator(),
        ScriptedPulses(),
        None,
        {"gnss": device},
        world,
        board=BOARDS[board],
        msix=msix,
        ptm=ptm,
        start_card_tai_ns=world.true_tai_ns(),
    )
    return card, device, world


@contextmanager
def serving(path: Path, *, msix: bool = True, ptm: bool = True) -> Iterator[Served]:
    """Serve a card until the end of the block; an exception of the server's loop is the test's failure."""
    card, device, world = make_card(msix=msix, ptm=ptm)
    server = VfioUserServer(path, VfioUserDevice(card), world)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield Served(server, card, device, path)
    finally:
        alive = thread.is_alive()
        server.stop()
        thread.join(5)
        ended = not thread.is_alive()
        server.close()
    assert alive, "the server's loop ended by itself"
    assert ended, "the server does not stop"
