"""The step that lets the FPGA's time-of-day slave hear the receiver: rate and protocol of the line."""

from __future__ import annotations

from typing import Final, Protocol

from timecard.boards.board import Role
from timecard.bringup.bench import Bench
from timecard.bringup.card_settings import OnRegisters
from timecard.bringup.engine import Setting, Stepper
from timecard.bringup.report import Outcome
from timecard.card_protocols import Card
from timecard.errors import DeviceLostError, TimeCardError, UnsupportedError
from timecard.gnss.receiver import UbloxReceiver
from timecard.kernel import attributes
from timecard.kernel.kernel_card import KernelCard
from timecard.kernel.sysfs import SysfsDevice
from timecard.pcie.tod_slave import TodLine, TodSlave
from timecard.protocols import RateStream

WHAT: Final = "time-of-day slave"


class _Slave(Protocol):
    def line(self) -> TodLine: ...

    def listen(self, baud: int) -> None: ...


class VendorSlave:
    """The same through the vendor drivers' attributes; mainline has none."""

    def __init__(self, device: SysfsDevice) -> None:
        self._device = device

    def line(self) -> TodLine:
        """What it listens for now."""
        protocol = self._device.read(attributes.TOD_PROTOCOL)
        return TodLine(ubx=protocol == "UBX", baud=self._device.read(attributes.TOD_BAUD_RATE))

    def listen(self, baud: int) -> None:
        """Listen for UBX at ``baud``."""
        if self._device.read(attributes.TOD_PROTOCOL) != "UBX":
            self._device.write(attributes.TOD_PROTOCOL, "UBX")
        self._device.write(attributes.TOD_BAUD_RATE, baud)


def time_of_day(bench: Bench, stepper: Stepper) -> None:
    """UBX at the rate of the line, after the receiver's own settings; other receivers it does not understand.

    Nothing is done where the receiver was not found, which its own step has told.
    """
    wanted, card = bench.intent.receiver, bench.card
    if wanted is None or not card.board.has("tod"):
        return
    try:
        receiver = bench.receiver()
    except DeviceLostError:
        raise
    except TimeCardError:
        return
    stream = card.serial(Role.GNSS)
    if not isinstance(receiver, UbloxReceiver) or not isinstance(stream, RateStream):
        return
    line = TodLine(ubx=True, baud=stream.baud)
    slave = _slave(card)
    if slave is None:
        _as_it_is(card, stepper, line)
        return
    stepper.settle(
        Setting(
            what=WHAT,
            wanted=str(line),
            read=slave.line,
            matches=lambda found: found == line,
            write=lambda: slave.listen(stream.baud),
            required=wanted.required,
        )
    )


def _as_it_is(card: Card, stepper: Stepper, line: TodLine) -> None:
    """It cannot be set: it may hear the receiver all the same."""
    try:
        hears = card.time_of_day().tai_minus_utc_s is not None
    except UnsupportedError:
        hears = False
    if hears:
        stepper.add(WHAT, Outcome.AS_INTENDED, before="hears the receiver", wanted=str(line))
        return
    reason = "this kernel driver sets UBX and no rate; without it (--access resource0, vfio) both can be set"
    lack = UnsupportedError(card.name, "set up the time-of-day slave", reason)
    stepper.lack(WHAT, lack, required=False, wanted=str(line))


def _slave(card: Card) -> _Slave | None:
    if isinstance(card, OnRegisters):
        return TodSlave(card.bus)
    if not isinstance(card, KernelCard):
        return None
    device = card.device
    settable = device.has(attributes.TOD_PROTOCOL) and device.has(attributes.TOD_BAUD_RATE)
    return VendorSlave(device) if settable else None
