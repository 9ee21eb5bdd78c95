"""The ART card's bridge to its mRO50 oscillator: fine and coarse word through registers, no serial protocol.

Register semantics: the published FPGA sources of the ART card and the vendor's ``ptp_ocp`` driver. Bits that
start a command clear themselves when the exchange with the oscillator is over; the vendor driver takes "seen
as 1" for success, we also wait for the 0, since a command given before would be lost.
"""

from __future__ import annotations

from typing import Final

from timecard.errors import DeviceTimeoutError, ProtocolError, RefusedError, UnsupportedError
from timecard.pcie.words import present
from timecard.protocols import RegisterBus
from timecard.timebase import Timebase

FINE_RANGE: Final = (0, 4800)
COARSE_RANGE: Final = (0, 4_194_303)
POLLS: Final = 100
POLL_S: Final = 0.0005
"""The vendor driver waits 0.1 to 1 ms."""
FINISH_POLLS: Final = 2000
"""The exchange itself: a line of 9600 baud, so some tens of ms."""

_ENABLE, _LOCK, _READ, _READ_COARSE, _READ_DONE, _ADJUST, _ADJUST_COARSE, _SAVE = (1 << n for n in range(8))
_ERRORS: Final = {28: "unknown answer", 29: "answer of a wrong size", 30: "the oscillator does not answer"}
_SERIAL: Final = 1


def has_the_part(bus: RegisterBus) -> bool:
    """Whether the oscillator is connected to the bridge, and not to its serial port."""
    board = bus.board
    return board.has("osc") and not bus.read32(board.at("board_config", "mro50_serial_activate")) & _SERIAL


class Mro50Bridge:
    """``Mro50Words`` by registers. ``ENABLE`` has no effect in the first 31 s after power-on."""

    can_save = True

    def __init__(self, bus: RegisterBus, timebase: Timebase) -> None:
        if not bus.board.has("osc"):
            raise UnsupportedError(bus.name, "open mRO50 bridge", f"{bus.board.product} has no mRO50 bridge")
        self.name = f"{bus.name} mRO50 bridge"
        self._bus = bus
        self._timebase = timebase
        at = bus.board.at
        self._ctrl, self._value, self._adjust, self._temp = (
            at("osc", name) for name in ("ctrl", "value", "adjust", "temp")
        )
        # Its UART must not be connected meanwhile.
        bus.write32(at("board_config", "mro50_serial_activate"), 0)

    def locked(self) -> bool:
        """The oscillator's own lock, as of its last status line (once a second)."""
        return bool(self._state("read lock") & _LOCK)

    def temperature_raw(self) -> int:
        """Temperature as the oscillator's converter gives it; the scale is not published."""
        return self._bus.read32(self._temp) & 0xFFFF

    def fine(self) -> int:
        """The fine word."""
        return self._read(_ENABLE | _READ, FINE_RANGE)

    def coarse(self) -> int:
        """The coarse word."""
        return self._read(_ENABLE | _READ | _READ_COARSE, COARSE_RANGE)

    def set_fine(self, value: int) -> None:
        """Adjust the fine word."""
        self._set(value, _ENABLE | _ADJUST, FINE_RANGE, "fine")

    def set_coarse(self, value: int) -> None:
        """Adjust the coarse word; it is lost with the power unless saved."""
        self._set(value, _ENABLE | _ADJUST | _ADJUST_COARSE, COARSE_RANGE, "coarse")

    def save_coarse(self) -> None:
        """Store the coarse word in the oscillator, which wears its memory."""
        self._ready()
        self._bus.write32(self._ctrl, _ENABLE | _SAVE)
        self._finish("save coarse", _SAVE)

    # --- internals ---

    def _read(self, command: int, limits: tuple[int, int]) -> int:
        self._ready()
        self._bus.write32(self._ctrl, command)
        for _ in range(POLLS):
            if self._state("read") & _READ_DONE:
                value = self._bus.read32(self._value)
                if not limits[0] <= value <= limits[1]:
                    raise ProtocolError(self.name, "read", f"{value} is outside {limits[0]} to {limits[1]}")
                return value
            self._timebase.sleep_s(POLL_S)
        raise DeviceTimeoutError(self.name, "read", f"no answer within {POLLS} polls")

    def _set(self, value: int, command: int, limits: tuple[int, int], word: str) -> None:
        if not limits[0] <= value <= limits[1]:
            raise RefusedError(self.name, f"set {word}", f"{value} is outside {limits[0]} to {limits[1]}")
        self._ready()
        self._bus.write32(self._adjust, value)
        self._bus.write32(self._ctrl, command)
        self._finish(f"set {word}", _ADJUST)

    def _ready(self) -> None:
        """Forget errors that nobody fetched, and wait for an earlier command."""
        self._bus.read32(self._ctrl)
        self._finish("wait for an earlier command", _READ | _ADJUST | _SAVE)

    def _finish(self, operation: str, commands: int) -> None:
        """Wait until no command is under way."""
        for _ in range(FINISH_POLLS):
            if not self._state(operation) & commands:
                return
            self._timebase.sleep_s(POLL_S)
        raise DeviceTimeoutError(self.name, operation, "the bridge does not finish the command")

    def _state(self, operation: str) -> int:
        state = self._bus.read32(self._ctrl)
        present(state, self.name, operation, "ctrl")
        for bit, text in _ERRORS.items():
            if state >> bit & 1:
                kind = DeviceTimeoutError if bit == 30 else ProtocolError
                raise kind(self.name, operation, text)
        return state
