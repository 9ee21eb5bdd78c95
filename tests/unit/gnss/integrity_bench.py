"""An emulated receiver on a line, its bytes through the real decoders into the monitor, in virtual time."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.unit.emulator_devices.wire import START_NS, SteadyPulses
from timecard.emulator.faults import Start as Inject
from timecard.emulator.faults import check_fault
from timecard.emulator.receiver import EmulatedReceiver
from timecard.emulator.receiver_config import SURVEYED, TIME_CARD_FLASH
from timecard.emulator.receiver_core import ReceiverCore
from timecard.emulator.receiver_faults import receiver_handlers
from timecard.emulator.receiver_kinds import RECEIVER_KINDS
from timecard.emulator.receiver_mosaic import TIME_CARD_BOOT, EmulatedMosaic
from timecard.emulator.receiver_navigation import Start
from timecard.emulator.receiver_plain import EmulatedNmea
from timecard.gnss.integrity import IntegrityMonitor, IntegrityOptions
from timecard.gnss.stream_decoder import StreamDecoder
from timecard.gnss.ubx import Framer, UbxFrame, encode
from timecard.timescale import NS_PER_S, S_PER_WEEK
from timecard.values import Alarm, AntennaStatus

FAULT_LIST = Path(__file__).parents[2] / "data" / "gnss-faults.toml"
POLL_NS = 50_000_000
MESSAGES = ("NAV_PVT", "NAV_STATUS", "NAV_TIMEUTC", "NAV_TIMELS", "NAV_SAT", "TIM_TP", "TIM_SVIN", "MON_HW")
PRODUCT = {
    **TIME_CARD_FLASH,
    **{f"CFG_MSGOUT_UBX_{name}_UART1": 1 for name in (*MESSAGES, "MON_RF", "SEC_SIG")},
    "CFG_ITFM_ENABLE": 1, "CFG_HW_ANT_CFG_VOLTCTRL": 1, "CFG_HW_ANT_CFG_SHORTDET": 1,
    "CFG_HW_ANT_CFG_OPENDET": 1, "CFG_HW_ANT_CFG_PWRDOWN": 1,
}  # fmt: skip
M8T_MESSAGES = ("NAV_POSLLH", "NAV_STATUS", "NAV_TIMEGPS", "NAV_TIMEUTC", "NAV_TIMELS", "NAV_SAT", "TIM_TP")
M8T = {
    **{name: value for name, value in PRODUCT.items() if "MSGOUT_UBX" not in name},
    **{f"CFG_MSGOUT_UBX_{name}_UART1": 1 for name in (*M8T_MESSAGES, "TIM_SVIN", "MON_HW")},
}

SURVEY = {"CFG_TMODE_MODE": 1, "CFG_TMODE_SVIN_MIN_DUR": 300, "CFG_TMODE_SVIN_ACC_LIMIT": 90_000}
MOSAIC_PLACE = (
    "StaticPosGeodetic, Geodetic1, 47.3769, 8.5417, 470.0",
    "PVTMode, Static, StandAlone, Geodetic1",
)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One entry of the list."""

    name: str
    what: str
    on: Sequence[str] = ("f9t",)
    inject: Mapping[str, Any] | None = None
    edit: Sequence[Mapping[str, Any]] = ()
    before: Mapping[str, int] = field(default_factory=dict)
    seconds: int
    alarm: str | Sequence[str]
    must: Sequence[str] = ()
    also: Sequence[str] = ()
    unusable: bool
    clear_s: int
    within_s: float = 1.0
    repeats: bool = False


def fault_list() -> list[Fault]:
    return [Fault(**entry) for entry in tomllib.loads(FAULT_LIST.read_text("utf-8"))["fault"]]


def make(kind: str, seed: int = 1, start: Start = Start.HOT) -> ReceiverCore:
    pulses = SteadyPulses()
    if kind == "mosaic":
        boot = (*MOSAIC_PLACE, *TIME_CARD_BOOT) if start is Start.HOT else TIME_CARD_BOOT
        return EmulatedMosaic(pulses, START_NS, seed=seed, start=start, boot=boot)
    if kind == "nmea":
        return EmulatedNmea(pulses, START_NS, seed=seed, start=start, baud=38_400)
    flash = {**(M8T if kind == "m8t" else PRODUCT), **(SURVEYED if start is Start.HOT else SURVEY)}
    firmware = RECEIVER_KINDS[kind].firmware
    return EmulatedReceiver(pulses, START_NS, seed=seed, start=start, firmware=firmware, flash=flash)


class Bench:
    """One receiver. ``t_ns`` is true TAI, which the host does not know; it reads the line every 50 ms."""

    def __init__(
        self, kind: str, options: IntegrityOptions | None = None, *, seed: int = 1, start: Start = Start.HOT
    ) -> None:
        self.receiver = make(kind, seed, start)
        self.poll_ns = POLL_NS
        self.decoder = StreamDecoder()
        self.monitor = IntegrityMonitor(options)
        self.t_ns = START_NS
        self.edits: Sequence[Mapping[str, Any]] = ()
        self.alarms: list[Alarm] = []
        self.sent: list[bytes] = []
        self.keeps = True
        self.distrusted = 0
        self._editor = Framer()

    @property
    def mono_ns(self) -> int:
        return self.t_ns - START_NS + 77 * NS_PER_S

    def run_s(self, seconds: float) -> None:
        for _ in range(round(seconds * NS_PER_S / self.poll_ns)):
            self.t_ns += self.poll_ns
            data = self._edited(self.receiver.transmit(self.t_ns))
            if self.keeps:
                self.sent.append(data)
            now_ns = self.mono_ns
            for event in self.decoder.feed(data, now_ns) if data else ():
                self.alarms += self.monitor.feed(event, now_ns)
            restarts = self.decoder.ublox.restarts + self.decoder.septentrio.restarts
            self.alarms += self.monitor.note_restarts(restarts, now_ns)
            self.alarms += self.monitor.look(now_ns)
            self.distrusted += not self.monitor.usable

    def begin(self, fault: Fault) -> Any:
        """Start a fault; what ends it."""
        self.edits = fault.edit
        if fault.inject is None:
            return lambda t_ns: None
        given = dict(fault.inject)
        name = given.pop("fault")
        arguments, _ = check_fault(name, None, given)
        return self._handlers()[name](self.t_ns, arguments)

    def _handlers(self) -> dict[str, Inject]:
        receiver = self.receiver

        def attribute(name: str, value: Any, rest: Any) -> Any:
            receiver.advance(self.t_ns)
            setattr(receiver, name, value)

            def end(t_ns: int) -> None:
                receiver.advance(t_ns)
                setattr(receiver, name, rest)

            return end

        return {
            **receiver_handlers(receiver),
            "antenna-cut": lambda t_ns, given: attribute("antenna", AntennaStatus.OPEN, AntennaStatus.OK),
            "jam": lambda t_ns, given: attribute("jam_db", given["drop_db"], 0.0),
            "wrong-time": lambda t_ns, given: attribute(
                "time_offset_s", int(given["weeks"]) * S_PER_WEEK or int(given["off_s"]), 0
            ),
            "serial-garbage": lambda t_ns, given: attribute("garbage_bytes", int(given["bytes"]), 0),
        }

    def _edited(self, data: bytes) -> bytes:
        if not self.edits:
            return data
        out = b""
        for item in self._editor.feed(data, 0):
            raw = getattr(item, "raw", b"")
            for edit in self.edits:
                if isinstance(item, UbxFrame) and item.key == edit["message"]:
                    payload, new = bytearray(item.payload), bytes.fromhex(edit["bytes"])
                    payload[edit["at"] : edit["at"] + len(new)] = new
                    raw = encode(item.key, bytes(payload))
            out += raw
        return out
