"""An emulated PCT2075: the thermometer on a quartz daughter card.

Source: NXP PCT2075 data sheet (registers, formats, power-on values).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

STEPS_PER_C: Final = 8
TEMPERATURE, CONFIGURATION, HYSTERESIS, OVERHEAT, IDLE = range(5)
_POWER_ON: Final = {CONFIGURATION: b"\0", HYSTERESIS: b"\x4b\0", OVERHEAT: b"\x50\0", IDLE: b"\0"}
"""75 and 80 degC."""
_KEPT: Final = {HYSTERESIS: 0xFF80, OVERHEAT: 0xFF80}
"""Limits have nine bits."""


class Pct2075:
    """``I2cChip``: a pointer, and registers of one byte or two with the high byte first."""

    def __init__(self, temperature_c: Callable[[int], float], address: int = 0x48) -> None:
        """``temperature_c`` of true TAI."""
        self.address = address
        self._temperature_c = temperature_c
        self._written = bytearray()
        self._to_send = b""
        self.power_up()

    def power_up(self) -> None:
        """Limits as from the maker, the pointer at the temperature."""
        self._registers = dict(_POWER_ON)
        self._pointer = TEMPERATURE

    def select(self, address: int, read: bool, t_ns: int) -> bool:
        """Its address; the temperature is taken when a read begins."""
        if address != self.address:
            return False
        self._written.clear()
        self._to_send = self._value(t_ns) if read else b""
        return True

    def receive(self, byte: int, t_ns: int) -> bool:
        """The pointer, then a register's bytes; the temperature cannot be written."""
        self._written.append(byte)
        if len(self._written) == 1:
            self._pointer = byte & 7
            return True
        size = len(self._registers.get(self._pointer, b""))
        if len(self._written) - 1 == size:
            word = int.from_bytes(self._written[1:], "big") & _KEPT.get(self._pointer, 0xFF)
            self._registers[self._pointer] = word.to_bytes(size, "big")
        return len(self._written) - 1 <= size

    def send(self, t_ns: int) -> int:
        """The next byte; what is asked for beyond a register is all ones."""
        byte, self._to_send = self._to_send[:1] or b"\xff", self._to_send[1:]
        return byte[0]

    def stop(self, t_ns: int) -> None:
        """The transfer has ended."""

    def _value(self, t_ns: int) -> bytes:
        if self._pointer == TEMPERATURE:
            steps = round(self._temperature_c(t_ns) * STEPS_PER_C)
            return (max(-1024, min(1023, steps)) << 5 & 0xFFFF).to_bytes(2, "big")
        return self._registers.get(self._pointer, b"")
