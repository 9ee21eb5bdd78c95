"""An emulated u-blox receiver behind a UART: its messages, the configuration interface, and faults.

The label of the *next* pulse (UBX-TIM-TP) comes last, from an M8T first. As on the real part, unlocked pulse
length 0 means no pulse without a lock. Real strings and rules: u-blox F9 and M8 interface descriptions.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from timecard.emulator.receiver_config import TIME_CARD_FLASH, ConfigStore
from timecard.emulator.receiver_core import Piece, ReceiverCore
from timecard.emulator.receiver_epoch import Epoch
from timecard.emulator.receiver_firmware import FIRMWARES
from timecard.emulator.receiver_leap import LeapSchedule
from timecard.emulator.receiver_legacy import LegacyMessages
from timecard.emulator.receiver_messages import MESSAGES
from timecard.emulator.receiver_navigation import Start
from timecard.emulator.receiver_nmea import SENTENCES
from timecard.emulator.receiver_pulse import PulsePhysics
from timecard.gnss.ubx import Framer, UbxFrame, encode

_MON_VER: Final = 0x0A04
_SEC_UNIQID: Final = 0x2703
_ACK: Final = {False: 0x0500, True: 0x0501}


class EmulatedReceiver(ReceiverCore):
    """A u-blox receiver: by its firmware a ZED-F9T, NEO-F10T, NEO-M9N or NEO-M8T."""

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
        self._firmware = FIRMWARES[firmware]
        self.chip_id = random.Random(f"u-blox chip {seed}").randbytes(5)
        self.traits = self._firmware.traits
        lacks = self._firmware.missing_keys
        stored = {name: value for name, value in flash.items() if name not in lacks}
        self._config = ConfigStore({**self._firmware.factory, **stored}, lacks)
        self._framer = Framer()
        order = self._firmware.order
        names = (*order, *(name for name in MESSAGES if name not in order))
        self._names = [name for name in names if f"CFG_MSGOUT_UBX_{name}_UART1" not in lacks]
        self._by_key = {MESSAGES[name].key: name for name in self._names}
        self._handlers: dict[int, Callable[[bytes, int], None]] = {
            0x0604: self._on_reset,
            0x0609: self._on_cfg_cfg,
            _MON_VER: self._on_mon_ver,
            _SEC_UNIQID: self._on_sec_uniqid,
        }
        if self._firmware.takes_keys:
            self._handlers |= {
                0x068A: lambda payload, t_ns: self._acknowledge(
                    0x068A, self._config.set_values(payload), t_ns
                ),
                0x068B: self._on_valget,
                0x068C: lambda payload, t_ns: self._acknowledge(
                    0x068C, self._config.delete_values(payload), t_ns
                ),
            }
        known = {MESSAGES[name].key: name for name in MESSAGES if name not in self._names}
        self._legacy = LegacyMessages(self._config, self._by_key, frozenset(known))
        super().__init__(gnss, start_tai_ns, self._config, seed=seed, start=start, leap=leap)

    # --- one second -----------------------------------------------------------------------------------------

    def _messages(self, epoch: Epoch, count: int) -> Sequence[Piece]:
        pieces = []
        for name, rate in self._outputs:
            if count % rate or (name == "TIM_TP" and not epoch.nav.time_known):
                continue
            key, build = MESSAGES[name]
            payload = build(epoch)
            pieces.append(Piece(encode(key, payload), key, payload))
        pieces += [Piece(SENTENCES[kind](epoch)) for kind, rate in self._sentences if count % rate == 0]
        return pieces

    def _configured(self) -> None:
        value = self._config.value
        ubx, nmea = value("CFG_UART1OUTPROT_UBX"), value("CFG_UART1OUTPROT_NMEA")
        rates = [(name, value(f"CFG_MSGOUT_UBX_{name}_UART1")) for name in self._names]
        self._outputs = [(name, rate) for name, rate in rates if rate and ubx]
        rates = [(kind, value(f"CFG_MSGOUT_NMEA_ID_{kind}_UART1")) for kind in SENTENCES]
        self._sentences = [(kind, rate) for kind, rate in rates if rate and nmea]

    # --- what the host asks ---------------------------------------------------------------------------------

    def _hear(self, data: bytes, t_ns: int) -> None:
        for item in self._framer.feed(data, t_ns):
            if isinstance(item, UbxFrame):
                self._handle(item, t_ns)

    def _handle(self, frame: UbxFrame, t_ns: int) -> None:
        if not self._config.value("CFG_UART1INPROT_UBX"):
            return
        handler = self._handlers.get(frame.key)
        if handler is not None:
            handler(frame.payload, t_ns)
        elif frame.key >> 8 == 0x06:
            self._on_legacy(frame, t_ns)
        elif len(frame.raw) == 8 and frame.key in self._by_key and self._last is not None:
            self._reply(frame.key, MESSAGES[self._by_key[frame.key]].build(self._last), t_ns)

    def _reply(self, key: int, payload: bytes, t_ns: int) -> None:
        self._answer(encode(key, payload), t_ns)

    def _acknowledge(self, key: int, accepted: bool, t_ns: int) -> None:
        self._reply(_ACK[accepted], key.to_bytes(2, "big"), t_ns)
        if self._seen_changes != self._config.changes:
            self._refresh_config(t_ns)

    def _on_legacy(self, frame: UbxFrame, t_ns: int) -> None:
        known = frame.key in self._firmware.takes_messages
        answer = self._legacy.handle(frame.key, frame.payload) if known else None
        if answer:
            self._reply(frame.key, answer, t_ns)
        self._acknowledge(frame.key, answer is not None, t_ns)

    def _on_valget(self, payload: bytes, t_ns: int) -> None:
        answer = self._config.get_values(payload)
        if answer is not None:
            self._reply(0x068B, answer, t_ns)
        self._acknowledge(0x068B, answer is not None, t_ns)

    def _on_mon_ver(self, payload: bytes, t_ns: int) -> None:
        self._reply(_MON_VER, self._firmware.mon_ver(), t_ns)

    def _on_sec_uniqid(self, payload: bytes, t_ns: int) -> None:
        if not payload:
            self._reply(_SEC_UNIQID, b"\1\0\0\0" + self.chip_id, t_ns)

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
        """CFG-CFG: masks what to clear, to save and to load. With keys, saving is done by layers."""
        accepted = len(payload) in (12, 13)
        if accepted:
            clear, save, load = (int.from_bytes(payload[at : at + 4], "little") for at in (0, 4, 8))
            if clear:
                self._config.clear_stored()
            if save and not self._firmware.takes_keys:
                self._config.save()
            if load and not self._firmware.takes_keys:
                self._config.restart()
        self._acknowledge(0x0609, accepted, t_ns)
