"""Good firmware files, cards to put them into, and a flash whose power goes away at a chosen step."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.spi_world import SpiBus
from timecard.boards import BOARDS
from timecard.card_values import ImageVersion
from timecard.emulator.spi_blocks import FlashOptions
from timecard.emulator.spi_flash_images import image_tag, make_image
from timecard.errors import DeviceLostError
from timecard.firmware.header import with_header
from timecard.firmware.pins import Pin, make_pin
from timecard.firmware.update import FirmwareUpdate

NEW_NUMBER = 33
CARD_ID = "02:ac:cd:00:00:01"


def firmware(
    board: str = "fb", size: int = 20_000, number: int = NEW_NUMBER, fpga: str = "xc7a100t"
) -> bytes:
    """A good firmware file for a board."""
    vendor, device = BOARDS[board].pci_ids[0]
    tag = image_tag(BOARDS[board])
    return with_header(
        make_image(BOARDS[board], tag, number, size=size, fpga=fpga), vendor, device, revision=2
    )


def pin_for(
    data: bytes, board: str = "fb", version: str | None = None, boards: tuple[str, ...] | None = None
) -> Pin:
    """What an administrator who approves the file writes down."""
    version = version or f"{image_tag(BOARDS[board])}.{NEW_NUMBER}"
    digest = hashlib.sha256(data).hexdigest()
    return make_pin(digest, version, name="new", boards=(board,) if boards is None else boards)


def world(board: str = "fb", **options: object) -> SpiBus:
    """A card fresh from the factory, with a fast flash."""
    return SpiBus(board, FlashOptions(**{"speed": 1000.0, **options}))  # type: ignore[arg-type]  # tests' parameters


def updater(bus: SpiBus, state: Path, *, board_id: str | None = None, running: bool = True) -> FirmwareUpdate:
    """The updater, with what the card says of itself."""
    booted = bus.booted()
    version = None
    if running and booted is not None:
        version = ImageVersion(loader=booted.golden, tag=booted.tag, number=booted.number)
    return FirmwareUpdate(bus.open(), bus.board, CARD_ID, state, board_id=board_id, running=version)


class Crash(BaseException):
    """The host's power goes away: nothing of the program runs any more."""


class CellFlash:
    """``FlashDevice`` straight on the emulated chip's cells, quick enough for thousands of cuts."""

    erase_size = 4096

    def __init__(self, bus: SpiBus) -> None:
        self.name = "cells"
        self._bus = bus
        self.chip = bus.chip
        self.size = self.chip.part.size
        self.erased: list[int] = []

    def read(self, offset: int, size: int) -> bytes:
        self._alive()
        return self.chip.memory.read(offset, size)

    def erase(self, offset: int) -> None:
        self.erased.append(offset)
        self._do(bytes((0x21 if self.size > 1 << 24 else 0x20,)), offset, b"")

    def program(self, offset: int, data: bytes) -> None:
        done = 0
        while done < len(data):
            at = offset + done
            page = data[done : done + 256 - at % 256]
            if page.strip(b"\xff"):
                self._do(bytes((0x12 if self.size > 1 << 24 else 0x02,)), at, page)
            done += len(page)

    def _do(self, opcode: bytes, offset: int, data: bytes) -> None:
        self._alive()
        chip, now_ns = self.chip, self._bus.now_ns()
        for out in (b"\x06", opcode + offset.to_bytes(4 if self.size > 1 << 24 else 3, "big") + data):
            chip.select(now_ns)
            chip.exchange(out, now_ns)
            chip.deselect(now_ns)
        self._alive()
        self._bus.time.sleep_s(0.2)

    def _alive(self) -> None:
        if not self.chip.powered:
            raise DeviceLostError("cells", "access", "no power")
