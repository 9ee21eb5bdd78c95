"""Blocks that only show or store: time-of-day slave, connectors, signal generators."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from timecard.boards.fb import BLOCKS, SMA_INPUTS
from timecard.boards.registers import SIGNAL_GENERATOR, SMA_ENABLE, TOD_SLAVE, signed_magnitude
from timecard.emulator.fpga_block import RegisterBlock
from timecard.emulator.fpga_pps import CORE_1_3
from timecard.emulator.receiver_tod import TodStatus
from timecard.timescale import NS_PER_S

CORE_2_2: Final = 0x0202_0000
_TOD: Final = {row.name: row.offset for row in TOD_SLAVE}
_INPUT_BITS: Final = SMA_INPUTS


class TodSlave(RegisterBlock):
    """Shows what the receiver's messages told; ``status`` of None means that no message comes."""

    def __init__(self, status: Callable[[int], TodStatus | None]) -> None:
        super().__init__(TOD_SLAVE, {"ctrl": 0x1000_0001, "uart_polarity": 1, "version": CORE_2_2})
        self._status = status

    def read(self, reg: int, t_ns: int) -> int | None:
        """A register."""
        word = _TOD_WORDS.get(reg)
        if word is None:
            return self.words.get(reg)
        status = self._heard(t_ns)
        return 0 if status is None else word(status)

    def second(self, t_ns: int) -> int | None:
        """The TAI second that the slave takes the nearest whole second for; None while it does not know."""
        status = self._heard(t_ns)
        if status is None or status.tai_s is None:
            return None
        correction_s = signed_magnitude(self.words[_TOD["correction"]])
        return (t_ns + NS_PER_S // 2) // NS_PER_S + status.time_error_s + correction_s

    def _heard(self, t_ns: int) -> TodStatus | None:
        return self._status(t_ns) if self.words[_TOD["ctrl"]] & 1 else None


def _utc_word(status: TodStatus) -> int:
    valid = status.utc_offset_valid << 8 | status.leap_valid << 16
    leap = status.leap_announced << 12 | status.leap_59 << 13 | status.leap_61 << 14
    return status.utc_offset_s & 0xFF | valid | leap | status.leap_announced << 17


def _gnss_word(status: TodStatus) -> int:
    antenna = status.antenna & 7 | (status.jamming & 3) << 3 | (status.jam_indicator & 0xFF) << 5
    fix = status.fix_ok << 16 | (status.fix & 0xFF) << 17 | (status.spoofing & 3) << 25
    return antenna | fix | status.fix_valid << 28 | status.antenna_valid << 29


def _satellite_word(status: TodStatus) -> int:
    return (
        status.satellites_seen & 0xFF | (status.satellites_used & 0xFF) << 8 | status.satellites_valid << 16
    )


_TOD_WORDS: Final[Mapping[int, Callable[[TodStatus], int]]] = {
    _TOD["utc_status"]: _utc_word,
    _TOD["time_to_leap"]: lambda status: status.seconds_to_leap & 0xFFFF_FFFF,
    _TOD["gnss_status"]: _gnss_word,
    _TOD["num_sat"]: _satellite_word,
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
