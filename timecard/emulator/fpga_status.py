"""The time-of-day slave: what the receiver's messages told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from timecard.boards.registers import TOD_SLAVE, signed_magnitude
from timecard.emulator.fpga_block import RegisterBlock
from timecard.emulator.receiver_tod import TodStatus
from timecard.timescale import NS_PER_S

CORE_2_2: Final = 0x0202_0000
_TOD: Final = {row.name: row.offset for row in TOD_SLAVE}
_RECEIVER_WORDS: Final = (_TOD["gnss_status"], _TOD["num_sat"])


class TodSlave(RegisterBlock):
    """Shows what the receiver's messages told; ``status`` of None means that no message comes."""

    def __init__(
        self, status: Callable[[int], TodStatus | None], *, baud_code: int = 7, receiver_words: bool = True
    ) -> None:
        """``receiver_words``: the image has the two registers about the receiver."""
        super().__init__(
            TOD_SLAVE,
            {"ctrl": 0x1000_0001, "uart_polarity": 1, "version": CORE_2_2, "uart_baud": baud_code},
        )
        self._status = status
        self._receiver_words = receiver_words
        self.deaf: set[str] = set()
        """Faults by which no message arrives."""
        self.errors = 0
        """By a fault: status bits that rise again and again."""
        self.leap_wrong_s = 0
        """By a fault: TAI - UTC is taken for so much more than was heard."""

    def read(self, reg: int, t_ns: int) -> int | None:
        """A register."""
        word = _TOD_WORDS.get(reg)
        if word is None:
            value = self.words.get(reg)
            return value | self.errors if reg == _TOD["status"] and value is not None else value
        if reg in _RECEIVER_WORDS and not self._receiver_words:
            return None
        status = self._heard(t_ns)
        if status is None:
            return 0
        return word(status._replace(utc_offset_s=status.utc_offset_s + self.leap_wrong_s))

    def write(self, reg: int, value: int, t_ns: int) -> bool:
        """A register."""
        absent = reg in _RECEIVER_WORDS and not self._receiver_words
        return not absent and super().write(reg, value, t_ns)

    def second(self, t_ns: int) -> int | None:
        """The TAI second that the slave takes the nearest whole second for; None while it does not know."""
        status = self._heard(t_ns)
        if status is None or status.tai_s is None:
            return None
        correction_s = signed_magnitude(self.words[_TOD["correction"]])
        return (t_ns + NS_PER_S // 2) // NS_PER_S + status.time_error_s + self.leap_wrong_s + correction_s

    def _heard(self, t_ns: int) -> TodStatus | None:
        return self._status(t_ns) if self.words[_TOD["ctrl"]] & 1 and not self.deaf else None


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
