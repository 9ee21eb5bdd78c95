"""The four connectors: which function drives or hears each, as the routing words say, and what lies on them.

Connectors are numbered from 1; functions have the vendor-neutral names of ``boards.board.SmaTable``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from timecard.boards.board import SmaTable
from timecard.boards.registers import ART_SMA, SMA_ENABLE, SMA_MAP1, SMA_MAP2, SMA_STATUS, Register
from timecard.emulator.fpga_block import RegisterBlock

CONNECTORS: Final = (1, 2, 3, 4)
CARRIER: Final = "10MHz"
_DEFAULT_OUTPUTS: Final = 0x8004_8001
"""What the configuration master of the open image writes: GNSS1 on SMA4, PHC on SMA3."""


@dataclass(frozen=True, slots=True)
class Cable:
    """Joins two connectors; signals take the same time either way."""

    one: int
    other: int
    delay_ns: float = 0.0


_WITHOUT_CARRIER: Final = 0x8001_8004
"""Reset of the first inputs (PPS1 on SMA2, TS1 on SMA1) where the board has no name for a 10 MHz input."""


class Connectors(Protocol):
    """Where signals go; what is asked often is worked out when the words change."""

    inputs: dict[int, tuple[str, ...]]
    """Functions that hear each connector that is an input."""
    outputs: dict[int, str]
    """The function that drives each connector that is an output."""


class _Words(RegisterBlock):
    """Routing words; every write is told."""

    def __init__(
        self, rows: tuple[Register, ...], resets: dict[str, int], changed: Callable[[], None]
    ) -> None:
        super().__init__(rows, resets)
        self._changed = changed

    def write(self, reg: int, value: int, t_ns: int) -> bool:
        """A word."""
        decoded = super().write(reg, value, t_ns)
        self._changed()
        return decoded


class SmaMaps:
    """The two routing blocks of FB and ADVA layouts."""

    def __init__(self, table: SmaTable) -> None:
        self._table = table
        self.inputs: dict[int, tuple[str, ...]] = {}
        self.outputs: dict[int, str] = {}
        resets = {"gpio2": _DEFAULT_OUTPUTS}
        if CARRIER not in table.inputs:
            resets["gpio1"] = _WITHOUT_CARRIER
        self.map1 = _Words(SMA_MAP1, resets, self._route)
        self.map2 = _Words(SMA_MAP2, {}, self._route)
        self._route()

    def _route(self) -> None:
        in12, out34 = self.map1.words[0x00], self.map1.words[0x08]
        in34, out12 = self.map2.words[0x00], self.map2.words[0x08]
        heard: set[str] = set()
        self.inputs, self.outputs = {}, {}
        for number, word in zip(CONNECTORS, (in12, in12 >> 16, in34, in34 >> 16), strict=True):
            if word & SMA_ENABLE:
                # Of two connectors with the same function the lower one is heard.
                functions = [name for name, bit in self._table.inputs.items() if bit & word]
                if not word & 0x7FFF:
                    functions = [CARRIER]
                self.inputs[number] = tuple(name for name in functions if name not in heard)
                heard.update(functions)
        names = {bit: name for name, bit in self._table.outputs.items()}
        for number, word in zip(CONNECTORS, (out12, out12 >> 16, out34, out34 >> 16), strict=True):
            name = names.get(word & 0x7FFF)
            if word & SMA_ENABLE and name is not None:
                self.outputs[number] = name


class ArtSma:
    """The four words of the ART card: capabilities above, one function below."""

    def __init__(self, table: SmaTable) -> None:
        self._table = table
        self.inputs: dict[int, tuple[str, ...]] = {}
        self.outputs: dict[int, str] = {}
        self.words = _Words(ART_SMA, {}, self._route)
        self._route()

    def _route(self) -> None:
        self.inputs, self.outputs = {}, {}
        for number, row in zip(CONNECTORS, ART_SMA, strict=True):
            function = self.words.words[row.offset] & 0xFF
            for name, bit in self._table.inputs.items():
                if function == bit:
                    self.inputs[number] = (name,)
            for name, bit in self._table.outputs.items():
                if function == bit:
                    self.outputs[number] = name


class SmaStatus(RegisterBlock):
    """Live inputs: whether each is one, and its level."""

    def __init__(self, sma: Connectors, level: Callable[[int, int], bool]) -> None:
        """``level``: that of a connector at an instant of true TAI."""
        super().__init__(SMA_STATUS)
        self._sma = sma
        self._level = level

    def read(self, reg: int, t_ns: int) -> int | None:
        """The word."""
        if reg:
            return None
        return sum(
            (1 | self._level(number, t_ns) << 1) << 4 * (number - 1)
            for number in CONNECTORS
            if number in self._sma.inputs
        )
