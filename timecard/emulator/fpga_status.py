"""Blocks that only show or store: time-of-day slave, connectors, signal generators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from timecard.emulator.fpga_block import RegisterBlock
from timecard.emulator.fpga_pps import CORE_1_3
from timecard.pcie.registers import (
    BLOCKS,
    SIGNAL_GENERATOR,
    SMA_ENABLE,
    SMA_INPUTS,
    TOD_SLAVE,
    signed_magnitude,
)
from timecard.timescale import NS_PER_S

CORE_2_2: Final = 0x0202_0000
_TOD: Final = {row.name: row.offset for row in TOD_SLAVE}
_TOD_LIVE: Final = frozenset(_TOD[name] for name in ("utc_status", "time_to_leap", "gnss_status", "num_sat"))
_INPUT_BITS: Final = {name: bit for bit, name in SMA_INPUTS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class TodState:
    """What the receiver's messages told the time-of-day slave within the last three seconds."""

    time_valid: bool = True
    time_error_s: int = 0
    """How wrong the receiver's time is."""
    tai_minus_utc_s: int | None = 37
    leap_59: bool = False
    leap_61: bool = False
    seconds_to_leap: int | None = None
    antenna: int = 2
    """UBX-MON-HW aStatus."""
    jamming: int = 1
    jamming_indicator: int = 0
    fix_ok: bool = True
    fix: int = 3
    """UBX-NAV-STATUS gpsFix."""
    spoofing: int = 1
    satellites_seen: int = 16
    satellites_used: int = 10


class TodSlave(RegisterBlock):
    """Shows a ``TodState``; None means that no message comes."""

    def __init__(self, state: Callable[[], TodState | None]) -> None:
        super().__init__(TOD_SLAVE, {"ctrl": 0x1000_0001, "uart_polarity": 1, "version": CORE_2_2})
        self._state = state

    def read(self, reg: int, t_ns: int) -> int | None:
        """A register."""
        if reg not in _TOD_LIVE:
            return self.words.get(reg)
        state = self._heard()
        return 0 if state is None else _TOD_WORDS[reg](state)

    def second(self, t_ns: int) -> int | None:
        """The TAI second that the slave takes the nearest whole second for; None while it does not know."""
        state = self._heard()
        if state is None or not state.time_valid or state.tai_minus_utc_s is None:
            return None
        correction_s = signed_magnitude(self.words[_TOD["correction"]])
        return (t_ns + NS_PER_S // 2) // NS_PER_S + state.time_error_s + correction_s

    def _heard(self) -> TodState | None:
        return self._state() if self.words[_TOD["ctrl"]] & 1 else None


def _utc_word(state: TodState) -> int:
    leap = state.leap_59 or state.leap_61
    word = leap << 12 | state.leap_59 << 13 | state.leap_61 << 14
    if state.tai_minus_utc_s is not None:
        word |= state.tai_minus_utc_s & 0xFF | 0x1_0100
    return word | (state.seconds_to_leap is not None) << 17


def _gnss_word(state: TodState) -> int:
    antenna = state.antenna & 7 | (state.jamming & 3) << 3 | (state.jamming_indicator & 0xFF) << 5
    fix = state.fix_ok << 16 | (state.fix & 0xFF) << 17 | (state.spoofing & 3) << 25
    return antenna | fix | 0x3000_0000


_TOD_WORDS: Final[dict[int, Callable[[TodState], int]]] = {
    _TOD["utc_status"]: _utc_word,
    _TOD["time_to_leap"]: lambda state: (state.seconds_to_leap or 0) & 0xFFFF_FFFF,
    _TOD["gnss_status"]: _gnss_word,
    _TOD["num_sat"]: lambda state: (
        state.satellites_seen & 0xFF | (state.satellites_used & 0xFF) << 8 | 0x1_0000
    ),
}


class SmaMaps:
    """The two routing blocks, with what the default configuration writes to the outputs."""

    def __init__(self) -> None:
        self.map1 = RegisterBlock(BLOCKS["sma_map1"].registers, {"gpio2": 0x8004_8001})
        self.map2 = RegisterBlock(BLOCKS["sma_map2"].registers)

    def connector_for(self, function: str) -> int | None:
        """The lowest connector (1 to 4) that is an input with this function."""
        wanted = _INPUT_BITS[function] | SMA_ENABLE
        low, high = self.map1.words[0], self.map2.words[0]
        for number, word in enumerate((low, low >> 16, high, high >> 16), 1):
            if word & wanted == wanted:
                return number
        return None


class SignalGenerator(RegisterBlock):
    """Registers of a generator: keeps what is written, refuses a start in the past, makes no pulse."""

    def __init__(self, card_ns: Callable[[int], int]) -> None:
        super().__init__(SIGNAL_GENERATOR, {"version": CORE_1_3})
        self._card_ns = card_ns

    def write(self, reg: int, value: int, t_ns: int) -> bool:
        """A register."""
        if reg != 0:
            return super().write(reg, value, t_ns)
        words = self.words
        words[0] = value & 1
        if not value & 1:
            words[self.offset_of["status"]] = 0
        elif value & 2:
            start_ns = words[self.offset_of["start_sec"]] * NS_PER_S + words[self.offset_of["start_ns"]]
            if start_ns <= self._card_ns(t_ns):
                words[self.offset_of["status"]] |= 1
        return True
