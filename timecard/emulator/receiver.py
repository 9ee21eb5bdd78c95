"""An emulated u-blox ZED-F9T behind a UART: one epoch per second, the configuration interface, and faults.

What it says about the second just past leaves 30 to 150 ms after the pulse; the label of the *next* pulse
(UBX-TIM-TP) comes last. Whether there is a pulse at all follows from the configuration, as on the real
part: unlocked pulse length 0 means no pulse without a lock. Real strings and rules: u-blox F9 interface
description.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from timecard.emulator.gnss_noise import GnssPulse
from timecard.emulator.receiver_config import TIME_CARD_FLASH, ConfigStore
from timecard.emulator.receiver_firmware import FIRMWARES
from timecard.emulator.receiver_front_end import FrontEnd
from timecard.emulator.receiver_leap import LeapSchedule
from timecard.emulator.receiver_messages import MESSAGES, Epoch
from timecard.emulator.receiver_navigation import Navigation, Start, TimeMode
from timecard.emulator.receiver_nmea import SENTENCES
from timecard.emulator.receiver_pulse import PulsePhysics, TimePulse
from timecard.emulator.receiver_tod import TodStatus, TodTap
from timecard.emulator.serial_line import SerialLine
from timecard.gnss.ubx import Framer, UbxFrame, encode
from timecard.timescale import NS_PER_S

_MON_VER: Final = 0x0A04
_ACK: Final = {False: 0x0500, True: 0x0501}
_BOOT_NS: Final = NS_PER_S
_FIRST_BYTE_NS: Final = (30_000_000, 150_000_000)
_REPLY_NS: Final = 8_000_000
_KEPT_PULSES: Final = 64


class EmulatedReceiver(FrontEnd):
    """A ``SerialDevice``. All times are true TAI; faults are attributes and take effect from then on."""

    def __init__(
        self,
        gnss: PulsePhysics,
        start_tai_ns: int,
        *,
        seed: int = 0,
        start: Start = Start.HOT,
        firmware: str = "TIM 2.20",
        flash: Mapping[str, int] = TIME_CARD_FLASH,
        leap: LeapSchedule | None = None,
    ) -> None:
        if firmware not in FIRMWARES:
            raise ValueError(f"receiver firmware {firmware!r}: must be one of {', '.join(FIRMWARES)}")
        self.time_offset_s = 0
        """Added to every reported time: a wrong second, or 1024 weeks. The pulses stay where they are."""
        self.garbage_bytes = 0
        """So many bytes of each epoch are damaged, and as many added before it."""
        self.silent = False
        """The UART is dead; navigation and pulses go on."""
        self.leap = leap or LeapSchedule()
        self._gnss = gnss
        self._random = random.Random(seed)
        super().__init__(self._random)
        self._firmware = FIRMWARES[firmware]
        self._config = ConfigStore(flash, self._firmware.missing_keys)
        self._navigation = Navigation(start, self._random.randrange(750))
        self._tod = TodTap()
        self._framer = Framer()
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
        self._handlers: dict[int, Callable[[bytes, int], None]] = {
            0x068A: lambda payload, t_ns: self._acknowledge(0x068A, self._config.set_values(payload), t_ns),
            0x068B: self._on_valget,
            0x068C: lambda payload, t_ns: self._acknowledge(
                0x068C, self._config.delete_values(payload), t_ns
            ),
            0x0604: self._on_reset,
            0x0609: self._on_cfg_cfg,
            _MON_VER: self._on_mon_ver,
        }
        self._by_key = {message.key: name for name, message in MESSAGES.items()}

    # --- the card's side ------------------------------------------------------------------------------------

    @property
    def baud(self) -> int:
        """The rate of UART1 now; a UART at another rate must make noise of what passes, both ways."""
        return self._baud

    def receive(self, data: bytes, t_ns: int) -> None:
        """Bytes from the host, the last of them complete at ``t_ns``."""
        self.advance(t_ns)
        if self.silent or t_ns < self._boot_until_ns:
            return
        for item in self._framer.feed(data, t_ns):
            if isinstance(item, UbxFrame):
                self._handle(item, t_ns)

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
        self._config.restart()
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
        if self._seen_changes != self._config.changes:
            self._refresh_config(start_ns)
        sky = self.received_sky()
        tracked = 0 if self._stopped else sum(1 for sat in sky if sat.cno_dbhz)
        nav = self._navigation.step(second, tracked, self._mode)
        self._unlocked_s = 0 if nav.pulse_locked else self._unlocked_s + 1
        self._remember(second)
        following = self._gnss.edge(second + 1)
        self._last = Epoch(
            nav=nav,
            tai_s=second + self.time_offset_s,
            leap=self.leap,
            rf=self.rf(self._config),
            sky=sky,
            grid=self._grid,
            qerr_ps=round(following.qerr_ns * 1e3),
            qerr_valid=following.qerr_valid,
        )
        self._epoch_count += 1
        if not self.silent and not self._stopped and self._epoch_count % self._epoch_period == 0:
            self._send_epoch(self._last, start_ns)

    def _send_epoch(self, epoch: Epoch, start_ns: int) -> None:
        if self._line.free_ns > start_ns + NS_PER_S:
            return  # the line cannot carry what is configured: the receiver drops messages
        count = self._epoch_count // self._epoch_period
        frames = []
        for name, rate in self._outputs:
            if count % rate or (name == "TIM_TP" and not epoch.nav.time_known):
                continue
            key, build = MESSAGES[name]
            frames.append((key, build(epoch)))
        raw = [encode(key, payload) for key, payload in frames]
        first_ns = start_ns + self._random.randint(*_FIRST_BYTE_NS)
        if self.garbage_bytes:
            self._put_damaged(raw, frames, first_ns)
        else:
            self._line.put(b"".join(raw), first_ns)
            for key, payload in frames:
                self._tod.observe(key, payload, self._line.free_ns)
        nmea = b"".join(SENTENCES[kind](epoch) for kind, rate in self._sentences if count % rate == 0)
        if nmea:
            self._line.put(nmea, first_ns)

    def _put_damaged(self, raw: Sequence[bytes], frames: Sequence[tuple[int, bytes]], first_ns: int) -> None:
        damaged = [bytearray(frame) for frame in raw]
        for _ in range(self.garbage_bytes if damaged else 0):
            frame = self._random.choice(damaged)
            frame[self._random.randrange(len(frame))] ^= self._random.randrange(1, 256)
        self._line.put(self._random.randbytes(self.garbage_bytes) + b"".join(damaged), first_ns)
        for (key, payload), frame, good in zip(frames, damaged, raw, strict=True):
            if frame == good:
                self._tod.observe(key, payload, self._line.free_ns)

    def _remember(self, second: int) -> None:
        self._pulses[second] = self._time_pulse.shape(self._gnss.edge(second), self._unlocked_s)
        self._pulses.pop(second - _KEPT_PULSES, None)

    def _refresh_config(self, t_ns: int) -> None:
        value = self._config.value
        self._seen_changes = self._config.changes
        self._mode = TimeMode(
            value("CFG_TMODE_MODE"), value("CFG_TMODE_SVIN_MIN_DUR"), value("CFG_TMODE_SVIN_ACC_LIMIT")
        )
        self._grid = value("CFG_TP_TIMEGRID_TP1")
        self._epoch_period = max(1, value("CFG_RATE_MEAS") * value("CFG_RATE_NAV") // 1000)
        self._time_pulse = TimePulse(value)
        ubx, nmea = value("CFG_UART1OUTPROT_UBX"), value("CFG_UART1OUTPROT_NMEA")
        rates = [(name, value(f"CFG_MSGOUT_UBX_{name}_UART1")) for name in MESSAGES]
        self._outputs = [(name, rate) for name, rate in rates if rate and ubx]
        rates = [(kind, value(f"CFG_MSGOUT_NMEA_ID_{kind}_UART1")) for kind in SENTENCES]
        self._sentences = [(kind, rate) for kind, rate in rates if rate and nmea]
        baud = value("CFG_UART1_BAUDRATE")
        if not self._baud:
            self._baud = baud
        elif baud != self._baud:
            # What is being sent, the acknowledgement included, still goes at the old rate.
            self._baud_switch = (max(t_ns, self._line.free_ns), baud)

    # --- what the host asks ---------------------------------------------------------------------------------

    def _handle(self, frame: UbxFrame, t_ns: int) -> None:
        if not self._config.value("CFG_UART1INPROT_UBX"):
            return
        handler = self._handlers.get(frame.key)
        if handler is not None:
            handler(frame.payload, t_ns)
        elif frame.key >> 8 == 0x06:
            self._acknowledge(frame.key, False, t_ns)
        elif len(frame.raw) == 8 and frame.key in self._by_key and self._last is not None:
            self._reply(frame.key, MESSAGES[self._by_key[frame.key]].build(self._last), t_ns)

    def _reply(self, key: int, payload: bytes, t_ns: int) -> None:
        self._line.put(encode(key, payload), t_ns + _REPLY_NS)

    def _acknowledge(self, key: int, accepted: bool, t_ns: int) -> None:
        self._reply(_ACK[accepted], key.to_bytes(2, "big"), t_ns)
        if self._seen_changes != self._config.changes:
            self._refresh_config(t_ns)

    def _on_valget(self, payload: bytes, t_ns: int) -> None:
        answer = self._config.get_values(payload)
        if answer is not None:
            self._reply(0x068B, answer, t_ns)
        self._acknowledge(0x068B, answer is not None, t_ns)

    def _on_mon_ver(self, payload: bytes, t_ns: int) -> None:
        self._reply(_MON_VER, self._firmware.mon_ver(), t_ns)

    def _on_reset(self, payload: bytes, t_ns: int) -> None:
        """CFG-RST is never acknowledged."""
        if len(payload) != 4:
            return
        mask, mode = int.from_bytes(payload[:2], "little"), payload[2]
        start = Start.COLD if mask == 0xFFFF else Start.WARM if mask & 1 else Start.HOT
        if mode in (0, 1, 4):
            self.restart(t_ns, start)
        elif mode == 2:
            self._navigation.restart(start, keep_uptime=True)
        elif mode in (8, 9):
            self._stopped = mode == 8

    def _on_cfg_cfg(self, payload: bytes, t_ns: int) -> None:
        """CFG-CFG: only the clear mask does something; saving and loading are done by layers."""
        accepted = len(payload) in (12, 13)
        if accepted and int.from_bytes(payload[:4], "little"):
            self._config.clear_stored()
        self._acknowledge(0x0609, accepted, t_ns)
