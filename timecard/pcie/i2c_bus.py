"""What the two I2C masters share: their protocol, limits and errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from timecard.errors import DeviceLostError, DeviceTimeoutError, ProtocolError, RefusedError
from timecard.timebase import Timebase
from timecard.timescale import NS_PER_S

MAX_TRANSFER: Final = 255
"""Bytes in one direction: the dynamic mode of AMD/Xilinx's core counts no further."""
STRETCH_LIMIT_S: Final = 0.035
"""How long a part may hold the clock before the bus counts as stuck (SMBus 2.0, 3.1.1: 25 to 35 ms)."""


class I2cMaster(Protocol):
    """Transfers on a bus. One thread at a time."""

    name: str
    timebase: Timebase

    def transfer(self, address: int, write: bytes, read: int) -> bytes:
        """Write bytes to a part, then read ``read`` bytes behind a repeated start; both may be none.

        Raises ``DeviceAbsentError`` when nobody acknowledges the address, ``RefusedError`` when the part does
        not acknowledge a byte, ``DeviceTimeoutError`` when a line is held, ``ProtocolError`` when another
        master wins the bus twice, ``DeviceLostError`` when the card is gone.
        """
        ...


class ArbitrationLostError(Exception):
    """The bus did not follow the master; internal, becomes a ``ProtocolError`` when it happens again."""


def check_request(name: str, address: int, write: bytes, read: int) -> None:
    """Raises ``RefusedError`` for what no bus can do."""
    if not 0x08 <= address <= 0x77:
        raise RefusedError(name, "transfer", f"address {address:#x} is reserved or has more than 7 bits")
    if len(write) > MAX_TRANSFER or not 0 <= read <= MAX_TRANSFER:
        raise RefusedError(
            name, "transfer", f"{len(write)} bytes out and {read} in; {MAX_TRANSFER} each are possible"
        )


def wait_until(
    timebase: Timebase, done: Callable[[], bool], limit_s: float, step_s: float, name: str, what: str
) -> None:
    """Look until ``done``; raises ``DeviceTimeoutError`` after ``limit_s``."""
    deadline_ns = timebase.mono_ns() + round(limit_s * NS_PER_S)
    while True:
        # Before the look: this process may not have been running between the two.
        late = timebase.mono_ns() > deadline_ns
        if done():
            return
        if late:
            raise DeviceTimeoutError(name, "transfer", what)
        timebase.sleep_s(step_s)


def gone(name: str, register: str) -> DeviceLostError:
    """All ones instead of a register that cannot be so."""
    return DeviceLostError(
        name, "transfer", f"{register} reads all ones: the card is gone or has no I2C master"
    )


def lost_twice(name: str, address: int) -> ProtocolError:
    """Arbitration was lost, and again behind an attempt to free the bus."""
    return ProtocolError(
        name,
        "transfer",
        f"lost the bus twice on the way to {address:#04x}: SDA is held low or there is another master; "
        "power-cycle the card if no other program uses the bus",
    )
