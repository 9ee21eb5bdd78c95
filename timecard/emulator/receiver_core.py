"""What all emulated receivers have in common: seconds, sky, navigation, pulses, a line with a rate, faults.

What it says about the second just past leaves 30 to 150 ms after the pulse. Whether there is a pulse at all
follows from the configuration. A family says what leaves the line each second, and what it does with bytes
that arrive.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from timecard.emulator.gnss_noise import GnssPulse
from timecard.emulator.receiver_epoch import Epoch, Traits
from timecard.emulator.receiver_front_end import FrontEnd
from timecard.emulator.receiver_leap import LeapSchedule
from timecard.emulator.receiver_navigation import Navigation, Start, TimeMode
from timecard.emulator.receiver_pulse import PulsePhysics, TimePulse
from timecard.emulator.receiver_tod import TodStatus, TodTap
from timecard.emulator.receiver_troubles import Troubles
from timecard.emulator.serial_line import SerialLine
from timecard.timescale import NS_PER_S

_BOOT_NS: Final = NS_PER_S
_FIRST_BYTE_NS: Final = (30_000_000, 150_000_000)
_REPLY_NS: Final = 8_000_000
_KEPT_PULSES: Final = 64


class Settings(Protocol):
    """What is configured now. The names are those of u-blox keys; other families translate."""

    changes: int
    """Counts changes of what is in force."""

    def value(self, name: str) -> int:
        """A setting; 0 for one that this receiver does not have."""
        ...

    def restart(self) -> None:
        """What is not stored is forgotten."""
        ...


class Piece(NamedTuple):
    """One message on its way out."""

    raw: bytes
    key: int = 0
    """UBX class and id, for the FPGA's time-of-day slave; 0 for what it does not understand."""
    payload: bytes = b""


class ReceiverCore(FrontEnd, ABC):
    """A ``SerialDevice``. All times are true TAI; faults are attributes and take effect from then on."""

    traits = Traits()

    def __init__(
        self,
        gnss: PulsePhysics,
        start_tai_ns: int,
        settings: Settings,
        *,
        seed: int = 0,
        start: Start = Start.HOT,
        leap: LeapSchedule | None = None,
    ) -> None:
        self.time_offset_s = 0
        """Added to every reported time: a wrong second, or 1024 weeks. The pulses stay where they are."""
        self.garbage_bytes = 0
        """So many bytes of each epoch are damaged, and as many added before it."""
        self.silent = False
        """The UART is dead; navigation and pulses go on."""
        self.troubles = Troubles()
        """What it says wrongly."""
        self.leap = leap or LeapSchedule()
        self._gnss = gnss
        self._random = random.Random(seed)
        super().__init__(self._random)
        self._settings = settings
        self._navigation = Navigation(start, self._random.randrange(750))
        self._tod = TodTap()
        self._next_second = start_tai_ns // NS_PER_S + 1
        self._boot_until_ns = start_tai_ns + _BOOT_NS
        self._stopped = False
        self._epoch_count = 0
        self._unlocked_s = 0
        self._last: Epoch | None = None
        self._pulses: dict[int, GnssPulse] = {}
        self._seen_changes = -1
        self._baud_switch: tuple[int, int] | None = None
        self._baud = 0
        self._refresh_config(start_tai_ns)
        self._line = SerialLine(self._baud)

    # --- what a family says ---------------------------------------------------------------------------------

    @abstractmethod
    def _messages(self, epoch: Epoch, count: int) -> Sequence[Piece]:
        """What leaves the line in this second, the ``count``-th since the start."""

    @abstractmethod
    def _hear(self, data: bytes, t_ns: int) -> None:
        """Bytes from the host, while the receiver listens."""

    def _configured(self) -> None:
        """The settings in force are others."""

    # --- the card's side ------------------------------------------------------------------------------------

    @property
    def baud(self) -> int:
        """The rate of UART1 now; a UART at another rate must make noise of what passes, both ways."""
        return self._baud

    def receive(self, data: bytes, t_ns: int) -> None:
        """Bytes from the host, the last of them complete at ``t_ns``."""
        self.advance(t_ns)
        if not self.silent and t_ns >= self._boot_until_ns:
            self._hear(data, t_ns)

    def transmit(self, t_ns: int) -> bytes:
        """Bytes that have come out of the UART since the last call."""
        self.advance(t_ns)
        return self._line.take(t_ns)

    def next_byte_ns(self) -> int:
        """The earliest time at which ``transmit`` can have something new."""
        waiting = self._line.next_ns()
        next_epoch = self._next_second * NS_PER_S
        return next_epoch if waiting is None else min(waiting, next_epoch)

    def edge(self, second_tai_s: int) -> GnssPulse:
        """The pulse of a whole TAI second at the receiver's pin.

        Asked for when that second begins, or up to a minute later.
        """
        self.advance(second_tai_s * NS_PER_S)
        known = self._pulses.get(second_tai_s)
        return self._gnss.edge(second_tai_s)._replace(present=False) if known is None else known

    def tod_status(self, t_ns: int) -> TodStatus:
        """What the FPGA's time-of-day slave has understood by ``t_ns``."""
        self.advance(t_ns)
        return self._tod.status(t_ns)

    def advance(self, t_ns: int) -> None:
        """Let everything happen up to ``t_ns``."""
        if self._baud_switch is not None and t_ns >= self._baud_switch[0]:
            self._baud = self._baud_switch[1]
            self._line.set_baud(self._baud)
            self._baud_switch = None
        while self._next_second * NS_PER_S <= t_ns:
            self._second(self._next_second)
            self._next_second += 1

    def restart(self, t_ns: int, start: Start = Start.HOT) -> None:
        """Power-cycle or hardware reset at ``t_ns``: RAM settings go, about a second of silence."""
        self.advance(t_ns)
        self._settings.restart()
        self._navigation.restart(start)
        self._line.clear()
        self._stopped = False
        self._last = None
        self._boot_until_ns = t_ns + _BOOT_NS
        self._refresh_config(t_ns)

    # --- one second -----------------------------------------------------------------------------------------

    def _second(self, second: int) -> None:
        start_ns = second * NS_PER_S
        if start_ns < self._boot_until_ns:
            self._unlocked_s += 1
            self._remember(second)
            return
        if self._seen_changes != self._settings.changes:
            self._refresh_config(start_ns)
        sky = self.received_sky()
        tracked = 0 if self._stopped else sum(1 for sat in sky if sat.cno_dbhz)
        nav = self._navigation.step(second, tracked, self._mode)
        self._unlocked_s = 0 if nav.pulse_locked else self._unlocked_s + 1
        self._remember(second)
        following = self._gnss.edge(second + 1)
        epoch = Epoch(
            nav=nav,
            tai_s=second + self.time_offset_s,
            leap=self.leap,
            rf=self.rf(self._settings),
            sky=sky,
            grid=self._grid,
            qerr_ps=round(following.qerr_ns * 1e3),
            qerr_valid=following.qerr_valid,
            traits=self.traits,
            past_qerr_ps=round(self._gnss.edge(second).qerr_ns * 1e3),
            sync_age_s=self._unlocked_s,
        )
        self._last = self.troubles.spoil(epoch)
        self._epoch_count += 1
        if not self.silent and not self._stopped and self._epoch_count % self._epoch_period == 0:
            self._send_epoch(self._last, start_ns)

    def _send_epoch(self, epoch: Epoch, start_ns: int) -> None:
        if self._line.free_ns > start_ns + NS_PER_S + self.troubles.late_ns:
            return  # the line cannot carry what is configured: the receiver drops messages
        pieces = self.troubles.passed(self._messages(epoch, self._epoch_count // self._epoch_period))
        first_ns = start_ns + self._random.randint(*_FIRST_BYTE_NS) + self.troubles.late_ns
        sent = [piece.raw for piece in pieces]
        if self.garbage_bytes:
            sent = self._damaged(sent)
            self._line.put(self._random.randbytes(self.garbage_bytes), first_ns)
        if sent:
            self._line.put(b"".join(sent), first_ns)
        for piece, raw in zip(pieces, sent, strict=True):
            if piece.key and raw == piece.raw:
                self._tod.observe(piece.key, piece.payload, self._line.free_ns)

    def _damaged(self, raw: Sequence[bytes]) -> list[bytes]:
        damaged = [bytearray(message) for message in raw]
        for _ in range(self.garbage_bytes if damaged else 0):
            message = self._random.choice(damaged)
            message[self._random.randrange(len(message))] ^= self._random.randrange(1, 256)
        return [bytes(message) for message in damaged]

    def _remember(self, second: int) -> None:
        self._pulses[second] = self._time_pulse.shape(self._gnss.edge(second), self._unlocked_s)
        self._pulses.pop(second - _KEPT_PULSES, None)

    def _refresh_config(self, t_ns: int) -> None:
        value = self._settings.value
        self._seen_changes = self._settings.changes
        self._mode = TimeMode(
            value("CFG_TMODE_MODE"), value("CFG_TMODE_SVIN_MIN_DUR"), value("CFG_TMODE_SVIN_ACC_LIMIT")
        )
        self._grid = value("CFG_TP_TIMEGRID_TP1")
        self._epoch_period = max(1, value("CFG_RATE_MEAS") * value("CFG_RATE_NAV") // 1000)
        self._time_pulse = TimePulse(value)
        self._configured()
        baud = value("CFG_UART1_BAUDRATE")
        if not self._baud:
            self._baud = baud
        elif baud != self._baud:
            # What is being sent, the acknowledgement included, still goes at the old rate.
            self._baud_switch = (max(t_ns, self._line.free_ns), baud)

    def _answer(self, raw: bytes, t_ns: int) -> None:
        """Say something in reply to what was complete at ``t_ns``."""
        self._line.put(raw, t_ns + _REPLY_NS)
