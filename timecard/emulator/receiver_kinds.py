"""The receivers that can be emulated, by the names of ``timecard emulate --receiver``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from timecard.emulator.receiver import EmulatedReceiver
from timecard.emulator.receiver_config import SURVEYED, TIME_CARD_FLASH
from timecard.emulator.receiver_core import ReceiverCore
from timecard.emulator.receiver_mosaic import TIME_CARD_BOOT, EmulatedMosaic
from timecard.emulator.receiver_navigation import Start
from timecard.emulator.receiver_plain import EmulatedNmea
from timecard.emulator.receiver_pulse import PulsePhysics


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverKind:
    """One of them."""

    says: str
    pulse: str
    """The model of its pulse (``models.GNSS_RECEIVERS``)."""
    firmware: str = ""
    """u-blox: the firmware of ``receiver_firmware``."""


RECEIVER_KINDS: Final[Mapping[str, ReceiverKind]] = MappingProxyType({
    "f9t": ReceiverKind(says="ZED-F9T-10B, L1 and L5", pulse="f9t_dual", firmware="TIM 2.20"),
    "f9t-00b": ReceiverKind(says="ZED-F9T-00B, L1 and L2", pulse="f9t_dual", firmware="TIM 2.01"),
    "f10t": ReceiverKind(says="NEO-F10T, L1 and L5", pulse="f9t_dual", firmware="TIM 3.01"),
    "m9n": ReceiverKind(says="NEO-M9N, L1, no time mode", pulse="m9n", firmware="SPG 4.04"),
    "m8t": ReceiverKind(says="NEO-M8T, L1, legacy messages", pulse="m8t", firmware="TIM 1.10"),
    "mosaic": ReceiverKind(says="Septentrio mosaic-T, SBF", pulse="mosaic"),
    "nmea": ReceiverKind(says="any receiver with NMEA only", pulse="m9n"),
})  # fmt: skip

FACTORY_CABLE_NS: Final = 50


def make_receiver(
    name: str,
    pulses: PulsePhysics,
    start_tai_ns: int,
    *,
    seed: int,
    start: Start,
    baud: int,
    cable_delay_ns: int = FACTORY_CABLE_NS,
) -> ReceiverCore:
    """A receiver as it is found on a card: the Time Card's settings stored, a warm one with its position.

    ``cable_delay_ns``: what a u-blox receiver takes out of its pulse.
    """
    kind = RECEIVER_KINDS[name]
    if name == "mosaic":
        boot = (f"COMSettings, COM1, baud{baud}", *TIME_CARD_BOOT)
        return EmulatedMosaic(pulses, start_tai_ns, seed=seed, start=start, boot=boot)
    if name == "nmea":
        return EmulatedNmea(pulses, start_tai_ns, seed=seed, start=start, baud=baud)
    flash = {**TIME_CARD_FLASH, "CFG_UART1_BAUDRATE": baud, "CFG_TP_ANT_CABLEDELAY": cable_delay_ns}
    if start is Start.HOT:
        flash |= SURVEYED
    return EmulatedReceiver(pulses, start_tai_ns, seed=seed, start=start, firmware=kind.firmware, flash=flash)
