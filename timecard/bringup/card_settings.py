"""Settings of a card that only some boards and some ways to them have: asked for, never assumed.

Each function raises ``UnsupportedError`` that says why there is nothing and what would do instead.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from timecard.boards.board import Board
from timecard.bringup.delays import Place
from timecard.card_protocols import Card
from timecard.card_values import Access, PpsSource
from timecard.errors import UnsupportedError
from timecard.kernel import attributes
from timecard.kernel.kernel_card import KernelCard
from timecard.kernel.sysfs import SysfsDevice
from timecard.pcie.timestamper_state import TimestamperState
from timecard.protocols import RegisterBus

GNSS_CHANNEL = "ts0"
"""Latches the receiver's pulse on every board."""
OWN_CHANNEL = "ts5"
"""Latches the pulse of the card's own clock."""


@runtime_checkable
class OnRegisters(Protocol):
    """A card whose registers we reach ourselves."""

    bus: RegisterBus


@runtime_checkable
class PpsForcing(Protocol):
    """A card on which the pulse of the servo can be chosen."""

    def force_pps_source(self, source: PpsSource | None) -> None:
        """Give the servo this pulse; None: the best that is present."""
        ...


class DelayRegister(Protocol):
    """A register that takes a constant delay out of a signal."""

    def cable_delay_ns(self) -> int:
        """Delay in force, in ns."""
        ...

    def set_cable_delay_ns(self, delay_ns: int) -> None:
        """Another delay from now on."""
        ...


@runtime_checkable
class PulseDelay(Protocol):
    """A card whose PPS slave has a delay that can be set."""

    def pps_input(self) -> DelayRegister:
        """Settings of the pulse that the servo follows."""
        ...


class KernelPulseDelay:
    """The PPS slave's delay through the vendor drivers' attribute."""

    def __init__(self, device: SysfsDevice) -> None:
        self._device = device

    def cable_delay_ns(self) -> int:
        """Delay in force, in ns."""
        return self._device.read(attributes.INTERNAL_PPS_CABLE_DELAY)

    def set_cable_delay_ns(self, delay_ns: int) -> None:
        """Another delay from now on."""
        self._device.write(attributes.INTERNAL_PPS_CABLE_DELAY, delay_ns)


def registers_of(card: Card, operation: str) -> RegisterBus:
    """The card's registers."""
    if isinstance(card, OnRegisters):
        return card.bus
    raise UnsupportedError(
        card.name,
        operation,
        "the kernel driver holds the card and offers no registers; unbind ptp_ocp, or use --access resource0 "
        "or vfio on a card that is not bound",
    )


def delay_register(card: Card, place: Place) -> DelayRegister:
    """Where ``timestamper`` (the GNSS pulse's) or ``pps-slave`` of this card keep their delay."""
    if place == "pps-slave":
        if isinstance(card, PulseDelay):
            return card.pps_input()
        if isinstance(card, KernelCard) and card.device.has(attributes.INTERNAL_PPS_CABLE_DELAY):
            return KernelPulseDelay(card.device)
        raise UnsupportedError(
            card.name, "reach the PPS slave's delay", "this driver has no attribute for it: use the receiver"
        )
    if place != "timestamper":
        raise UnsupportedError(card.name, f"set the delay of {place}", "no register of the card does that")
    if not isinstance(card, OnRegisters):
        raise UnsupportedError(
            card.name,
            "reach the timestamper's delay",
            "the kernel driver has no attribute for it: let the receiver or software compensate",
        )
    register = TimestamperState(card.bus, GNSS_CHANNEL)
    register.cable_delay_ns()  # raises where the board has no such register
    return register


def force_pps(card: Card, source: PpsSource | None) -> None:
    """Give the servo this pulse."""
    can_force_pps(card).force_pps_source(source)


def can_force_pps(card: Card) -> PpsForcing:
    """The card, if its pulse can be chosen; raises ``UnsupportedError`` else."""
    if not card.board.has("pps_select"):
        raise UnsupportedError(card.name, "choose the PPS", f"{card.board.product} has no PPS selector")
    without_attribute = isinstance(card, KernelCard) and not card.device.has(attributes.HOLDOVER)
    if without_attribute or not isinstance(card, PpsForcing):
        raise UnsupportedError(
            card.name,
            "choose the PPS",
            "this kernel driver cannot: the best pulse that is present counts (SMA, then MAC, then GNSS)",
        )
    return card


def has_clock_sources(board: Board) -> bool:
    """Whether the clock of this board can follow one source or another (ART's only counts)."""
    return any(row.name == "select" and row.access == "RW" for row in board.blocks["reg"].registers)


def stamps_now(card: Card, channel: str) -> bool | None:
    """Whether a timestamper is on already; None where that cannot be seen (through the kernel driver)."""
    return TimestamperState(card.bus, channel).enabled() if isinstance(card, OnRegisters) else None


def pulse_tolerance_ns(card: Card, period_ns: int) -> int:
    """How far a generator's pulse may be from what was asked: the kernel driver keeps whole percents."""
    return period_ns // 100 if card.access is Access.KERNEL else 0
