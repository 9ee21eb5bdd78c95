"""A card through its kernel driver ``ptp_ocp``: nothing here touches a register.

Opening has no side effect. What the driver does not show raises ``UnsupportedError`` that says why, and
``missing`` gives all of it at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Final

from timecard.boards import Board, Role
from timecard.card_protocols import CardClock, Memory, SmaRouting
from timecard.card_values import (
    Access,
    BoardIdentity,
    CardFacts,
    ClockStatus,
    ImageVersion,
    PpsSlaveStatus,
    PpsSource,
    SelectorStatus,
    TodStatus,
)
from timecard.errors import DeviceAbsentError, UnsupportedError
from timecard.kernel import attributes as a
from timecard.kernel import shown
from timecard.kernel.clock import KernelClock
from timecard.kernel.debugfs import DebugFolder
from timecard.kernel.devlink import DevlinkInfo, FlashProgress, devlink_flash, devlink_info
from timecard.kernel.driver import DRIVER, driver_facts, generators_are_safe
from timecard.kernel.edges import EdgeQueue, KernelTimestamper
from timecard.kernel.generators import KernelCounter, KernelGenerator
from timecard.kernel.missing import NO_FLASH_CHIP, missing_capabilities
from timecard.kernel.modules import KernelModules, flash_modules
from timecard.kernel.mtd import MtdFlash
from timecard.kernel.nodes import find_nodes
from timecard.kernel.phc import Phc
from timecard.kernel.serial_port import TtyStream
from timecard.kernel.sma import KernelSma
from timecard.kernel.sysfs import SysfsDevice
from timecard.timebase import Timebase

UNSAFE: Final = (
    "the card was given too few interrupt messages, and this driver would follow a null pointer: enable "
    "interrupt remapping, or unbind the driver and use the registers"
)


class KernelCard:
    """``Card`` through the driver. Serial lines, flash and memories are opened when asked for."""

    def __init__(
        self,
        address: str,
        board: Board,
        timebase: Timebase,
        *,
        card_id: str | None = None,
        sysfs: Path = Path("/sys"),
        dev: Path = Path("/dev"),
        proc: Path = Path("/proc"),
        modules: Path = Path("/lib/modules"),
        release: str | None = None,
    ) -> None:
        """``address`` as ``0000:01:00.0``.

        The other places are as Linux has them. Raises ``DeviceAbsentError`` that says what is not there.
        """
        self.board = board
        self.access = Access.KERNEL
        self.id = card_id or f"pci-{address}"
        self.name = f"card {self.id}"
        self.address = address
        self.pci_device = sysfs / "bus/pci/devices" / address
        self.nodes = find_nodes(self.pci_device, board, sysfs)
        class_device, phc = self.nodes.class_device, self.nodes.phc
        if class_device is None:
            raise DeviceAbsentError(
                self.name, "open", f"{DRIVER} made no class device of {address} (dmesg | grep {DRIVER})"
            )
        if phc is None:
            raise DeviceAbsentError(
                self.name, "open", f"{class_device.name} has no PTP clock yet; the driver makes it last"
            )
        self.access_path = f"kernel:{class_device.name}"
        self.driver = driver_facts(self.pci_device, class_device, sysfs, release)
        self.device = SysfsDevice(class_device, driver=str(self.driver))
        self.modules = KernelModules(proc, modules, release)
        self.debug = DebugFolder(class_device.name, sysfs)
        self.phc = Phc(dev / phc)
        self.kernel_clock = KernelClock(self.phc, self.device, self.driver, timebase)
        self.clock: CardClock = self.kernel_clock
        self.sma: SmaRouting = KernelSma(self.device, board)
        self._timebase = timebase
        self._dev, self._proc = dev, proc
        self._edges = EdgeQueue(self.phc, timebase)
        self._timestampers: dict[str, KernelTimestamper] = {}
        self._serial: dict[Role, TtyStream] = {}

    # --- parts ---

    def timestamper(self, channel: str) -> KernelTimestamper:
        """``ts0`` ... ``ts5``, the same object each time; not yet enabled."""
        if channel not in self.board.channels:
            raise self._unsupported(
                "open timestamper", f"no channel {channel!r}, only {', '.join(self.board.channels)}"
            )
        if channel not in self._timestampers:
            self._timestampers[channel] = KernelTimestamper(self.phc, self._edges, channel, self._stamps)
        return self._timestampers[channel]

    def generator(self, number: int) -> KernelGenerator:
        """Signal generator 1 ... 4."""
        operation = f"open generator {number}"
        self._must_have(operation, "generator", number, self.board.generators)
        if not self.device.has(a.SIGNAL, number):
            raise self._unsupported(operation, "driver or image are too old for generators")
        return KernelGenerator(self.phc, self.device, number, self.unsafe)

    def counter(self, number: int) -> KernelCounter:
        """Frequency counter 1 ... 4."""
        operation = f"open counter {number}"
        self._must_have(operation, "counter", number, self.board.counters)
        if not self.device.has(a.FREQ_SECONDS, number):
            raise self._unsupported(operation, "driver or image are too old for frequency counters")
        return KernelCounter(self.device, number)

    def serial(self, role: Role, baud: int | None = None) -> TtyStream:
        """The serial port, opened on the first call; a different ``baud`` later changes its rate."""
        stream = self._serial.get(role)
        if stream is None:
            stream = self._serial[role] = self._open_serial(role, baud)
        elif baud is not None and baud != stream.baud:
            stream.set_baud(baud)
        return stream

    # --- memories ---

    def identity(self) -> BoardIdentity:
        """EEPROM contents: the memories where they can be read, else what the driver kept of them."""
        return shown.read_identity(self)

    def memory(self, address: int) -> Memory:
        """The EEPROM chip at an I2C address."""
        return shown.open_memory(self, address, self._dev)

    def flash(self) -> MtdFlash:
        """The flash; close it when done."""
        mtd = self.nodes.mtd
        if mtd is None:
            reason = self.modules.reason(flash_modules(self.board))
            raise self._unsupported("open the flash", reason or NO_FLASH_CHIP)
        return MtdFlash(self._dev / mtd)

    # --- what the card says ---

    def devlink(self) -> DevlinkInfo:
        """What devlink says; raises ``UnsupportedError`` without."""
        return devlink_info(self.address)

    def devlink_flash(
        self, file_name: str, progress: Callable[[FlashProgress], None] = lambda _: None
    ) -> None:
        """Have the driver write a headered file of ``/lib/firmware``.

        Raises ``UnsupportedError`` without an MTD: drivers before 6.12 follow a bad pointer then.
        """
        self.flash().close()
        devlink_flash(self.address, file_name, progress)

    def image(self) -> ImageVersion:
        """Which FPGA image runs; only devlink tells."""
        if self._image is None:
            raise self._unsupported("read image", "the driver told devlink no version of the form tag.number")
        return self._image

    def clock_status(self) -> ClockStatus:
        """What the driver shows of the clock's own account: no core version, no holdover."""
        return shown.read_clock_status(self)

    def selector(self) -> SelectorStatus:
        """PPS and 10 MHz inputs, as far as debugfs lets one conclude."""
        return shown.read_selector(self)

    def pps_slave(self) -> PpsSlaveStatus:
        """The supervisor of the selected pulse: the driver shows whether pulses are missing."""
        return shown.read_pps_slave(self)

    def time_of_day(self) -> TodStatus:
        """What the FPGA parsed from the receiver; only debugfs shows it."""
        if not self.board.has("tod"):
            raise self._unsupported("read time of day", f"{self.board.product} has none")
        return self.debug.time_of_day()

    def facts(self) -> CardFacts:
        """The most important of it, in words; no side effect."""
        return shown.read_facts(self)

    def missing(self) -> Mapping[str, str]:
        """What this board lacks, and what the stock driver does not show on this kernel."""
        return missing_capabilities(self)

    # --- settings that belong to the card as a whole ---

    def force_pps_source(self, source: PpsSource | None) -> None:
        """Give the clock's servo this pulse; mainline cannot. The driver clears the rest of that word."""
        self.device.write(a.HOLDOVER, 0 if source is None else source.value)

    # --- connection ---

    @property
    def unsafe(self) -> str | None:
        """Why generators must not be written nor ``summary`` read; None when they may."""
        return None if generators_are_safe(self.board, self.driver) else UNSAFE

    @property
    def lost(self) -> str | None:
        """Why the card has to be opened again; None while the driver has it."""
        if self.phc.closed:
            return "closed"
        return f"{self.device.name} has gone: card removed, or driver unbound" if self.device.gone else None

    def close(self) -> None:
        """Let go of everything; timestampers that were enabled here are switched off."""
        for stamper in self._timestampers.values():
            stamper.release()
        for stream in self._serial.values():
            stream.close()
        self._serial.clear()
        self.phc.close()

    def __enter__(self) -> KernelCard:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- internals ---

    @cached_property
    def _image(self) -> ImageVersion | None:
        """Asked once: another image comes with a reset, and then this card is lost.

        Whenever devlink asks, ``ptp_ocp`` looks for the EEPROM again and puts a line into the kernel's log
        while it cannot read it (``ptp_ocp_read_eeprom``).
        """
        return self.devlink().image

    def _stamps(self, channel: str) -> bool:
        """Whether the channel is on already, where debugfs tells."""
        summary = shown.summary_or_none(self)
        return summary is not None and channel in summary.timestampers_on

    def _open_serial(self, role: Role, baud: int | None) -> TtyStream:
        operation = f"open {role.name} port"
        port = self.board.serial_ports.get(role)
        if port is None:
            raise self._unsupported(operation, self.board.no_such_port)
        tty = self.nodes.ttys.get(role)
        if tty is None:
            granted, needed = self.driver.vectors, self.board.vectors_needed
            reason = (
                f"the card was given {granted} of {needed} interrupt messages: enable interrupt remapping"
                if granted is not None and granted < needed
                else "too many serial ports for this kernel (8250.nr_uarts), or an error in its log"
            )
            raise self._unsupported(operation, f"the driver made no tty: {reason}")
        return TtyStream(self._dev / tty, baud or port.baud, role.name, self._proc)

    def _must_have(self, operation: str, what: str, number: int, count: int) -> None:
        if not 1 <= number <= count:
            there = f"{what}s 1 to {count}" if count else f"no {what}"
            raise self._unsupported(operation, f"{self.board.product} has {there}")

    def _unsupported(self, operation: str, reason: str) -> UnsupportedError:
        return UnsupportedError(self.name, operation, reason)
