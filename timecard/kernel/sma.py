"""SMA connectors through ``sma1`` ... ``sma4``, under vendor-neutral names.

What the driver refuses it refuses with one number for many reasons, so that everything which the board's
table knows is checked before, and what is left is explained from the present state.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Final

from timecard.boards import Board
from timecard.boards.board import SmaKind
from timecard.card_values import SmaConnector
from timecard.errors import ProtocolError, RefusedError, TimeCardError, UnsupportedError
from timecard.kernel import attributes as a
from timecard.kernel.attribute_text import NULL, SmaText
from timecard.kernel.sysfs import SysfsDevice

CONNECTORS: Final = 4
INPUT_10MHZ: Final = 1
"""The only connector whose pin leads to the 10 MHz input."""
_NONE: Final = "None"
_VENDOR_PHC: Final = "MAC"
"""Vendor drivers call ART's output of the clock so."""


class KernelSma:
    """``SmaRouting`` through the driver."""

    def __init__(self, device: SysfsDevice, board: Board) -> None:
        self._device = device
        self._board = board
        self._table = board.sma
        self._neutral = {self._kernel_name(n): n for n in (*self._table.inputs, *self._table.outputs)}

    def read(self) -> tuple[SmaConnector, ...]:
        """What each connector does.

        The driver does not tell an output that is off from one of 10 MHz, both being 0 in its word.
        """
        return tuple(self._connector(n, self._text(n)) for n in range(1, CONNECTORS + 1))

    def set(self, number: int, direction: str, functions: Sequence[str]) -> None:
        """Route a connector; see ``SmaRouting.set``."""
        operation = f"set sma{number}"
        wanted = self._command(operation, number, direction, functions)
        if not self._device.has(a.SMA[number - 1]) and self._device.has(a.SMA_OLD[number - 1]):
            raise UnsupportedError(
                self._device.name, operation, "this kernel is older than 5.18: directions are fixed"
            )
        before = self._text(number)
        try:
            self._device.write(a.SMA[number - 1], wanted)
        except RefusedError as error:
            self._put_back(number, before)
            raise RefusedError(self._device.name, operation, self._why(number, wanted)) from error
        seen = self._connector(number, self._text(number))
        asked = self._connector(number, wanted)
        if (seen.direction, set(seen.functions)) != (asked.direction, set(asked.functions)):
            raise ProtocolError(self._device.name, operation, f"{asked} was written, the driver shows {seen}")

    # --- internals ---

    def _text(self, number: int) -> SmaText:
        row = a.SMA[number - 1]
        if not self._device.has(row) and self._device.has(a.SMA_OLD[number - 1]):
            return self._device.read(a.SMA_OLD[number - 1])
        return self._device.read(row)

    def _connector(self, number: int, text: SmaText) -> SmaConnector:
        if text.names == (_NONE,):
            return SmaConnector(number, "off", ())
        names = tuple(self._neutral_name(name, text.direction) for name in text.names if name != NULL)
        return SmaConnector(number, text.direction, names)

    def _neutral_name(self, name: str, direction: str) -> str:
        if direction == "out" and name == _VENDOR_PHC and "MAC" not in self._table.outputs:
            return "PHC"
        return self._neutral.get(name, name)

    def _kernel_name(self, name: str) -> str:
        return self._table.kernel_names.get(name, name)

    def _command(self, operation: str, number: int, direction: str, functions: Sequence[str]) -> SmaText:
        """What to write; raises ``RefusedError`` for what cannot be."""
        table, product = self._table, self._board.product

        def refuse(reason: str) -> RefusedError:
            return RefusedError(self._device.name, operation, reason)

        if not 1 <= number <= CONNECTORS:
            raise refuse(f"there are connectors 1 to {CONNECTORS}")
        if direction == "off":
            if functions:
                raise refuse("a connector that is off has no function")
            if not table.can_switch_off:
                raise refuse(f"{product} cannot switch a connector off; choose an input nobody uses")
            return SmaText("in", (_NONE,))
        if direction not in ("in", "out"):
            raise refuse(f"direction {direction!r} is none of in, out, off")
        known = table.inputs if direction == "in" else table.outputs
        spelling = {name.lower(): name for name in known}
        unknown = [name for name in functions if name.lower() not in spelling]
        if unknown:
            raise refuse(f"{product} has no {direction}put {unknown[0]!r}; there are {', '.join(known)}")
        functions = list(dict.fromkeys(spelling[name.lower()] for name in functions))
        if not functions:
            raise refuse(f"name a function; there are {', '.join(known)}")
        if len(functions) > 1 and direction == "out":
            raise refuse(f"an output has one function, not {' and '.join(functions)}")
        if len(functions) > 1 and table.kind is SmaKind.ART:
            raise refuse(f"{product} takes one function per connector")
        if direction == "in":
            self._refuse_input(operation, number, functions)
        names = [self._kernel_name(name) for name in functions]
        if direction == "out" and "PHC" in functions and "MAC" not in table.outputs:
            names = [self._art_clock_output()]
        return SmaText(direction, tuple(names))

    def _refuse_input(self, operation: str, number: int, functions: Sequence[str]) -> None:
        """What the driver would take, and the hardware not do."""
        if self._table.kind is SmaKind.ART:
            return
        if "10MHz" in functions:
            if number != INPUT_10MHZ:
                raise RefusedError(
                    self._device.name, operation, f"only sma{INPUT_10MHZ} leads to the 10 MHz input"
                )
            if len(functions) > 1:
                raise RefusedError(
                    self._device.name, operation, "10MHz cannot be combined with another function"
                )
        for other in self.read():
            taken = [name for name in functions if name in other.functions and name != "10MHz"]
            if other.number != number and other.direction == "in" and taken:
                raise RefusedError(
                    self._device.name,
                    operation,
                    f"{taken[0]} already comes from sma{other.number}, and of two connectors with the same "
                    f"input only the lower one counts; set sma{other.number} to something else first",
                )

    def _art_clock_output(self) -> str:
        """Mainline says PHC, vendor drivers MAC, for the same output."""
        try:
            listed = self._device.read(a.AVAILABLE_SMA_OUTPUTS)
        except TimeCardError:
            return "PHC"
        return "PHC" if "PHC" in listed or _VENDOR_PHC not in listed else _VENDOR_PHC

    def _put_back(self, number: int, before: SmaText) -> None:
        """The driver turns the direction before it finds that it cannot do the function."""
        with contextlib.suppress(TimeCardError):
            if self._text(number) != before and before.names:
                self._device.write(a.SMA[number - 1], before)

    def _why(self, number: int, wanted: SmaText) -> str:
        """The driver said no to something that the board's table has."""
        lists = {"in": a.AVAILABLE_SMA_INPUTS, "out": a.AVAILABLE_SMA_OUTPUTS}
        try:
            listed = self._device.read(lists[wanted.direction])
            present = self._connector(number, self._text(number))
        except TimeCardError as error:
            return f"the driver refused it, and its state cannot be read: {error}"
        unknown = [name for name in wanted.names if name not in listed]
        if unknown:
            return f"this driver does not know {', '.join(unknown)}; it has {', '.join(listed)}"
        if self._table.kind is SmaKind.ART:
            return f"this connector of {self._board.product} cannot do it ({present} now); use another"
        if wanted.names == (_NONE,) or present.direction != wanted.direction:
            return (
                f"this image has fixed the direction of the connector ({present}): sma1 and sma2 are inputs, "
                "sma3 and sma4 outputs; use one of the other pair, or a newer image"
            )
        return f"this image has fixed the function of the connector ({present})"
