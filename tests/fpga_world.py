"""An emulated card in virtual time: exact oscillator, scripted pulses, a scripted serial device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from timecard.boards import BOARDS
from timecard.boards.registers import SOURCE_REGS
from timecard.emulator.fpga import FpgaCard
from timecard.emulator.gnss_noise import GnssPulse
from timecard.emulator.receiver_tod import TodStatus
from timecard.emulator.world import VirtualTime
from timecard.timescale import NS_PER_S

START_S = 1_800_000_000
START_NS = START_S * NS_PER_S + NS_PER_S // 4
"""A quarter of a second after a pulse."""


class SteadyOscillator:
    """A constant frequency error, in ppb; a change keeps the phase continuous."""

    def __init__(self, ppb: float = 0.0, phase_ns: float = 0.0) -> None:
        self.ppb = ppb
        self._t_ns = START_NS
        self._phase_ns = phase_ns

    def set_ppb(self, t_ns: int, ppb: float) -> None:
        self._phase_ns, self._t_ns, self.ppb = self.phase_ns(t_ns), t_ns, ppb

    def phase_ns(self, t_ns: int) -> float:
        return self._phase_ns + (t_ns - self._t_ns) * self.ppb * 1e-9


class ScriptedPulses:
    """Pulses that come on time unless told otherwise."""

    def __init__(self, error_ns: Callable[[int], float | None] = lambda second: 0.0) -> None:
        self.error_ns = error_ns

    def edge(self, second_tai_s: int) -> GnssPulse:
        error_ns = self.error_ns(second_tai_s)
        return GnssPulse(error_ns or 0.0, 0.0, error_ns is not None)


@dataclass
class EchoDevice:
    """Remembers what it hears and says what it is told to, all at once."""

    heard: bytearray = field(default_factory=bytearray)
    to_say: list[tuple[int, bytes]] = field(default_factory=list)
    baud: int = 115_200

    def receive(self, data: bytes, t_ns: int) -> None:
        self.heard += data

    def transmit(self, t_ns: int) -> bytes:
        due = [said for at_ns, said in self.to_say if at_ns <= t_ns]
        self.to_say = self.to_say[len(due) :]
        return b"".join(due)


def tod_status(time_error_s: int = 0, **changes: Any) -> TodStatus:
    """A receiver with a fix and leap data."""
    values: dict[str, Any] = {
        "tai_s": START_S,
        "time_error_s": time_error_s,
        "utc_offset_s": 37,
        "utc_offset_valid": True,
        "leap_announced": False,
        "leap_59": False,
        "leap_61": False,
        "leap_valid": True,
        "seconds_to_leap": 0x7FFFFFFF,
        "antenna": 2,
        "jamming": 1,
        "jam_indicator": 7,
        "antenna_valid": True,
        "fix_ok": True,
        "fix": 3,
        "spoofing": 1,
        "fix_valid": True,
        "satellites_seen": 20,
        "satellites_used": 14,
        "satellites_valid": True,
    }
    return TodStatus(**(values | changes))


@dataclass
class World:
    """The card and what moves it."""

    time: VirtualTime
    oscillator: SteadyOscillator
    gnss: ScriptedPulses
    device: EchoDevice
    card: FpgaCard

    @property
    def now_ns(self) -> int:
        """True TAI."""
        return self.time.true_tai_ns()

    def sleep_s(self, seconds: float) -> None:
        """Let time pass, and the card with it: what a test changes next counts from now on."""
        self.time.sleep_s(seconds)
        self.card.advance(self.now_ns)

    def free_run(self) -> None:
        """Let the clock follow the registers instead of the pulses."""
        self.card.write32(self.card.board.at("reg", "select"), SOURCE_REGS)

    def at(self, block: str, register: str) -> int:
        """Offset of a register of this world's board."""
        return self.card.board.at(block, register)

    def read(self, block: str, register: str) -> int:
        """A register by name."""
        return self.card.read32(self.at(block, register))

    def write(self, block: str, register: str, value: int) -> None:
        """A register by name."""
        self.card.write32(self.at(block, register), value)

    def error_ns(self) -> float:
        """The card's clock minus true TAI."""
        return self.card.card_error_ns(self.now_ns)


def make_world(ppb: float = 0.0, phase_ns: float = 0.0, rate_ppb: float = 0.0, **card: Any) -> World:
    """A world whose card shows the right time unless ``start_card_tai_ns`` is given; ``board`` by name."""
    time = VirtualTime(START_NS, rate_ppb=rate_ppb)
    oscillator = SteadyOscillator(ppb, phase_ns)
    gnss = ScriptedPulses()
    device = EchoDevice()
    card.setdefault("start_card_tai_ns", START_NS)
    mac_pulse = card.pop("mac_pulse", None)
    board = BOARDS[card.pop("board", "fb")]
    fpga = FpgaCard(oscillator, gnss, mac_pulse, {"gnss": device}, time, board=board, **card)
    return World(time, oscillator, gnss, device, fpga)


class SlowBus:
    """The card over a bus on which every access takes its time, half of it on the way there."""

    name = "slow"

    def __init__(self, world: World, access_s: float) -> None:
        self.board = world.card.board
        self._card, self._sleep_s, self._way_s = world.card, world.time.sleep_s, access_s / 2

    def read32(self, offset: int) -> int:
        self._sleep_s(self._way_s)
        value = self._card.read32(offset)
        self._sleep_s(self._way_s)
        return value

    def write32(self, offset: int, value: int) -> None:
        self._sleep_s(self._way_s)
        self._card.write32(offset, value)
        self._sleep_s(self._way_s)
