"""A wire to an emulated u-blox receiver that spoils what passes, and what was configured over it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from tests.unit.emulator_devices.wire import START_NS, SteadyPulses, Wire
from timecard.emulator.receiver import EmulatedReceiver
from timecard.emulator.world import VirtualTime
from timecard.gnss.receiver import UbloxReceiver
from timecard.gnss.ublox_key_codec import key_name, split_pairs
from timecard.gnss.ublox_profile import UbloxOptions
from timecard.gnss.ubx import Framer, UbxFrame

CFG_VALSET = 0x068A
CFG_VALGET = 0x068B
CFG_VALDEL = 0x068C
CFG_RST = 0x0604
ACK_ACK = 0x0501

FrameFilter = Callable[[UbxFrame], bytes | None]
"""Bytes that pass in place of a frame; None: the frame as it is."""


class SpoiltWire(Wire):
    """Each whole frame can be changed or dropped on its way; the line has a rate that must fit."""

    def __init__(self, device: EmulatedReceiver, time: VirtualTime) -> None:
        super().__init__(device, time)
        self.receiver = device
        self.baud = device.baud
        self.refused_baud: int | None = None
        self.deaf_at: set[int] = set()
        """Rates at which this end hears nothing."""
        self.to_device: FrameFilter = lambda frame: None
        self.from_device: FrameFilter = lambda frame: None
        self._down = Framer()

    def set_baud(self, baud: int) -> None:
        self.baud = baud

    def write(self, data: bytes) -> None:
        self.written += data
        if self.cut or self.baud != self.receiver.baud:
            return
        if data[:1] != b"\xb5":
            self.device.receive(data, self.time.true_tai_ns())
            return
        frame = UbxFrame(int.from_bytes(data[2:4], "big"), data)
        instead = self.to_device(frame)
        self.device.receive(data if instead is None else instead, self.time.true_tai_ns())

    def read(self, max_bytes: int, timeout_s: float) -> bytes:
        deaf = self.baud in self.deaf_at
        data = super().read(max_bytes, timeout_s)
        if not data:
            return b""
        if deaf or self.baud != self.receiver.baud:
            return b"\xff" * min(len(data), 16)
        passed = bytearray()
        for item in self._down.feed(data, self.time.mono_ns()):
            raw = getattr(item, "raw", b"")
            instead = self.from_device(item) if isinstance(item, UbxFrame) else None
            passed += raw if instead is None else instead
        return bytes(passed) or b"\xff"

    def frames(self, key: int) -> list[bytes]:
        """Payloads of what was sent under this class and id."""
        items = Framer().feed(bytes(self.written), 0)
        return [item.payload for item in items if isinstance(item, UbxFrame) and item.key == key]

    def keys_written(self) -> list[dict[str, bytes]]:
        """Names and values of each CFG-VALSET that was sent."""
        pairs = [split_pairs(payload[4:]) for payload in self.frames(CFG_VALSET)]
        return [{key_name(key): value for key, value in (found or {}).items()} for found in pairs]


class ConfigBench:
    """A receiver, its driver, and the time that both live in."""

    def __init__(self, options: UbloxOptions | None = None, **receiver: Any) -> None:
        self.time = VirtualTime(START_NS)
        self.device = EmulatedReceiver(SteadyPulses(), START_NS, **receiver)
        self.wire = SpoiltWire(self.device, self.time)
        self.driver = UbloxReceiver(self.wire, self.time, options or UbloxOptions(configure=False))
        self.time.sleep_s(2.3)

    def layers(self) -> dict[str, dict[int, bytes]]:
        """Everything that the receiver holds, in all its memories."""
        return self.device._config.snapshot()

    def value(self, name: str) -> int:
        """A key in force."""
        return self.device._config.value(name)


def ack_of(key: int) -> Callable[[UbxFrame], bool]:
    """Whether a frame acknowledges a message of this class and id."""
    return lambda frame: frame.key >> 8 == 5 and frame.payload == struct.pack(">H", key)
