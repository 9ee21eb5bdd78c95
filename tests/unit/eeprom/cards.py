"""As much of a ``Card`` as board data needs, on the emulated chips of a board."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from tests.unit.i2c.world import I2cWorld
from timecard.boards import Board
from timecard.card_protocols import Card, Memory
from timecard.card_values import BoardIdentity
from timecard.eeprom import decode_identity
from timecard.emulator.eeprom_chips import Eeprom
from timecard.emulator.i2c_blocks import EepromOptions
from timecard.errors import DeviceTimeoutError
from timecard.pcie.memory import chip_at, memory_on


class ChipMemory:
    """``Memory`` that speaks to a chip model without a bus between them: pages and power cuts, no time."""

    def __init__(self, chip: Eeprom, page: int) -> None:
        self.name = "chip"
        self.size = len(chip.memory)
        self._chip = chip
        self._page = page
        self._t_ns = 0

    def read(self, offset: int, size: int) -> bytes:
        if self._chip.dark:
            raise DeviceTimeoutError(self.name, "read", "no power")
        return bytes(self._chip.memory[offset : offset + size])

    def write(self, offset: int, data: bytes) -> None:
        for at in range(offset, offset + len(data)):
            if at == offset or not at % self._page:
                self._stop()
                if not self._chip.select(self._chip.first_address + at // 256, False, self._t_ns):
                    raise DeviceTimeoutError(self.name, "write", "no power")
                self._chip.receive(at % 256, self._t_ns)
            self._chip.receive(data[at - offset], self._t_ns)
        self._stop()
        if self._chip.dark:
            raise DeviceTimeoutError(self.name, "write", "no power")

    def _stop(self) -> None:
        self._chip.stop(self._t_ns)
        self._t_ns += 10_000_000


class FakeCard:
    """Memories and identity."""

    def __init__(self, board: Board, options: EepromOptions | None = None, *, bus: bool = False) -> None:
        self.world = I2cWorld(board, options)
        self.board = board
        self.id = "test-card"
        self.name = "card test-card"
        self.protected = False
        i2c = self.world.open()
        self._memories: dict[int, Memory] = {}
        for address, chip in self.world.chips.items():
            pages = {"24c02": 8}
            described = chip_at(board, address, "test")
            through_bus = memory_on(i2c, described)
            self._memories[address] = through_bus if bus else ChipMemory(chip, pages.get(described.part, 16))

    def memory(self, address: int) -> Memory:
        return self._memories[address]

    def identity(self) -> BoardIdentity:
        return decode_identity(self.board, self.memory)

    def missing(self) -> Mapping[str, str]:
        return {}

    def gpio(self) -> FakeCard:
        return self

    def get(self, line: str) -> bool:
        assert line == "eeprom_wp"
        return self.protected


def as_card(card: FakeCard) -> Card:
    return cast(Card, card)
