"""Routing of the four SMA connectors by vendor-neutral names, on both kinds of hardware.

FB family: two map blocks with a half-word per connector and direction, bit 15 of which enables it. ART: one
word per connector, whose upper half says what it can do. Register semantics: the kernel's ``ptp_ocp`` driver
and the published FPGA projects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from timecard.boards.board import SmaKind
from timecard.boards.registers import ALL_ONES, SMA_ENABLE
from timecard.card_values import SmaConnector
from timecard.errors import RefusedError, UnsupportedError
from timecard.pcie.bus import burst_reader
from timecard.pcie.words import present
from timecard.protocols import RegisterBus

CONNECTORS: Final = (1, 2, 3, 4)
INPUT_10MHZ: Final = 1
"""The only connector whose pin leads to the 10 MHz input."""
_HALF: Final = 0xFFFF
_ART_FUNCTION: Final = 0xFF
_CODECS: Final = (("IRIG", "irig"), ("DCF", "dcf"))
"""Function of a connector to the blocks that serve it: ``irig_in`` and ``irig_out``."""
_WORDS: Final = {
    ("in", False): ("sma_map1", "gpio1"),
    ("in", True): ("sma_map2", "gpio1"),
    ("out", False): ("sma_map2", "gpio2"),
    ("out", True): ("sma_map1", "gpio2"),
}
"""Direction, and whether it is for connectors 3 and 4, to block and register; the odd one: low half."""


def sma_routing(bus: RegisterBus) -> MapRouting | ArtRouting:
    """The board's ``SmaRouting``."""
    return ArtRouting(bus) if bus.board.sma.kind is SmaKind.ART else MapRouting(bus)


class _Routing:
    """What both kinds share."""

    def __init__(self, bus: RegisterBus) -> None:
        self.name = f"{bus.name} SMA"
        self._bus = bus
        self._table = bus.board.sma
        self._read_many = burst_reader(bus)

    def _names(self, direction: str) -> Mapping[str, int]:
        return self._table.inputs if direction == "in" else self._table.outputs

    def _checked(self, number: int, direction: str, functions: Sequence[str]) -> list[str]:
        """The functions by their right spelling; raises ``RefusedError`` for what no board could do."""
        if number not in CONNECTORS:
            raise self._refused(number, "there are connectors 1 to 4")
        if direction not in ("in", "out", "off"):
            raise self._refused(number, f"direction {direction!r} is none of in, out, off")
        if direction == "off":
            if functions:
                raise self._refused(number, f"a connector that is off has no function {' '.join(functions)}")
            return []
        known = {name.lower(): name for name in self._names(direction)}
        unknown = [name for name in functions if name.lower() not in known]
        if unknown:
            raise self._refused(
                number,
                f"{self._bus.board.product} has no {direction}put {unknown[0]!r}; "
                f"there are {', '.join(self._names(direction))}",
            )
        names = list(dict.fromkeys(known[name.lower()] for name in functions))
        if not names:
            raise self._refused(number, f"name a function; there are {', '.join(self._names(direction))}")
        if direction == "out" and len(names) > 1:
            raise self._refused(number, f"an output has one function, not {' and '.join(names)}")
        return names

    def _refused(self, number: int, reason: str) -> RefusedError:
        return RefusedError(self.name, f"route sma{number}", reason)


class MapRouting(_Routing):
    """``SmaRouting`` of the FB family."""

    _fixed = False
    """The image has no second map: directions cannot be changed."""

    def read(self) -> tuple[SmaConnector, ...]:
        """What each connector does now."""
        words = self._read()
        return tuple(self._connector(number, words) for number in CONNECTORS)

    def set(self, number: int, direction: str, functions: Sequence[str]) -> None:
        """Route a connector; the IRIG and DCF cores that nothing uses any more are switched off.

        Raises ``RefusedError`` with the reason: a fixed direction, several functions of an output, an input
        function that another connector has already, 10 MHz into another connector than 1.
        """
        names = self._checked(number, direction, functions)
        words = self._read()
        self._refuse_fixed(number, direction)
        if direction == "in":
            self._refuse_input(number, names, words)
        bits = sum(self._names(direction)[name] for name in names)
        for side in ("in", "out"):
            if side != direction:  # never two directions at once
                self._write_half(number, side, 0, words)
        if direction != "off":
            self._write_half(number, direction, SMA_ENABLE | bits, words)
        self._switch_codecs(words)

    # --- internals ---

    def _read(self) -> dict[tuple[str, int], int]:
        """Half-words by direction and connector."""
        at = self._bus.board.at
        in12, out34, in34, out12 = self._read_many(
            [at(block, register) for block in ("sma_map1", "sma_map2") for register in ("gpio1", "gpio2")]
        )
        present(in12, self.name, "read", "gpio1")
        self._fixed = out12 == ALL_ONES
        if self._fixed:
            in34 = out12 = 0
        by_side = {"in": (in12, in34), "out": (out12, out34)}
        return {
            (side, number): pair[number > 2] >> (0 if number & 1 else 16) & _HALF
            for side, pair in by_side.items()
            for number in CONNECTORS
        }

    def _connector(self, number: int, words: Mapping[tuple[str, int], int]) -> SmaConnector:
        for direction in ("in", "out"):
            word = words[direction, number]
            if not word & SMA_ENABLE:
                continue
            names = {value: name for name, value in self._names(direction).items()}
            functions = tuple(names.get(1 << bit, f"bit {bit}") for bit in range(15) if word >> bit & 1)
            if not functions and 0 in names and (direction == "out" or number == INPUT_10MHZ):
                functions = (names[0],)
            return SmaConnector(number, direction, functions)
        return SmaConnector(number, "off", ())

    def _refuse_fixed(self, number: int, direction: str) -> None:
        if not self._fixed:
            return
        fixed = "in" if number <= 2 else "out"
        if direction != fixed:
            raise self._refused(
                number, f"this FPGA image has fixed directions: sma{number} is always {fixed}put"
            )

    def _refuse_input(self, number: int, names: Sequence[str], words: Mapping[tuple[str, int], int]) -> None:
        table = self._table.inputs
        if any(table[name] == 0 for name in names):
            if number != INPUT_10MHZ:
                raise self._refused(number, f"only sma{INPUT_10MHZ} leads to the 10 MHz input")
            if len(names) > 1:
                raise self._refused(number, "10MHz cannot be combined with another function")
        for other in CONNECTORS:
            word = words["in", other]
            if other == number or not word & SMA_ENABLE:
                continue
            taken = [name for name in names if word & table[name]]
            if taken:
                raise self._refused(
                    number,
                    f"{taken[0]} already comes from sma{other}, and of two connectors with the same input"
                    f" only the lower one counts; set sma{other} to something else first",
                )

    def _write_half(self, number: int, side: str, value: int, words: dict[tuple[str, int], int]) -> None:
        if words[side, number] == value:
            return
        words[side, number] = value
        block, register = _WORDS[side, number > 2]
        low, high = (words[side, n] for n in ((3, 4) if number > 2 else (1, 2)))
        self._bus.write32(self._bus.board.at(block, register), high << 16 | low)

    def _switch_codecs(self, words: Mapping[tuple[str, int], int]) -> None:
        """Enable exactly the IRIG and DCF cores that some connector is routed to."""
        board = self._bus.board
        for function, core in _CODECS:
            for side in ("in", "out"):
                block, bit = f"{core}_{side}", self._names(side).get(function)
                if bit is None or not board.has(block):
                    continue
                wanted = any(
                    words[side, number] & SMA_ENABLE and words[side, number] & bit for number in CONNECTORS
                )
                ctrl = board.at(block, "ctrl")
                present = self._bus.read32(ctrl)
                if bool(present & 1) != wanted:
                    self._bus.write32(ctrl, present & ~1 | int(wanted))


class ArtRouting(_Routing):
    """``SmaRouting`` of ART cards."""

    def read(self) -> tuple[SmaConnector, ...]:
        """What each connector does now."""
        return tuple(
            self._connector(number, word) for number, word in zip(CONNECTORS, self._read(), strict=True)
        )

    def set(self, number: int, direction: str, functions: Sequence[str]) -> None:
        """Route a connector to one of the functions that its capabilities allow."""
        names = self._checked(number, direction, functions)
        if direction == "off":
            raise UnsupportedError(
                self.name, f"route sma{number}", "a connector of this board always has a function"
            )
        if len(names) > 1:
            raise self._refused(
                number, f"a connector of this board has one function, not {' and '.join(names)}"
            )
        word = self._read()[number - 1]
        if word & _HALF == 0:
            raise self._refused(number, "its function is fixed on this board revision")
        bit = self._names(direction)[names[0]]
        capabilities = word >> 16
        if not bit & capabilities:
            able = [f"{name} {side}" for side in ("in", "out") for name, value in self._names(side).items()
                    if value & capabilities]  # fmt: skip
            raise self._refused(
                number,
                f"this connector cannot do {names[0]} {direction}; it can do {', '.join(able) or 'nothing'}",
            )
        self._bus.write32(self._at(number), word & ~_ART_FUNCTION & ALL_ONES | bit)

    def _read(self) -> list[int]:
        words = self._read_many([self._at(number) for number in CONNECTORS])
        present(words[0], self.name, "read", "io0")
        return words

    def _at(self, number: int) -> int:
        return self._bus.board.at("art_sma", f"io{number - 1}")

    def _connector(self, number: int, word: int) -> SmaConnector:
        function = word & _ART_FUNCTION
        for direction in ("in", "out"):
            for name, value in self._names(direction).items():
                if value == function:
                    return SmaConnector(number, direction, (name,))
        return SmaConnector(number, "off", () if function == 0 else (f"code {function:#x}",))
