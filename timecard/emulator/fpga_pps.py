"""Pulses inside the FPGA: timestampers, the PPS selector, the PPS slave with its servo, the PPS generator.

Behaviour follows the published cores (``Ips/SignalTimestamper``, ``PpsSourceSelector``, ``PpsSlave``,
``PpsGenerator``), loss of the reference the manual of the closed PPS slave. ``t_ns`` is true TAI.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from timecard.boards.registers import PPS_GENERATOR, PPS_SELECT, PPS_SLAVE, TIMESTAMPER, signed_magnitude
from timecard.emulator.fpga_block import RegisterBlock
from timecard.emulator.fpga_clock import SERVO_SOURCES, ClockCore
from timecard.timescale import NS_PER_S

SHORTEST_NS: Final = 900_000_000
LONGEST_NS: Final = 1_100_000_000
"""Accepted periods: 1 s within 100 ms."""
CORE_1_3: Final = 0x0103_0000
CORE_1_6: Final = 0x0106_0000
OFFSET_INTERVAL_NS: Final = 600_000_000
"""The servo's correction is applied within this part of the second, so that it is over at the next pulse."""
SELECT_FORCED: Final = {row.name: row.offset for row in PPS_SELECT}["gpio2"]
"""Register of the PPS selector that forces a source."""
MAX_DRIFT_NS: Final = NS_PER_S // 20
MAX_INTEGRAL_NS: Final = NS_PER_S

_TS: Final = {row.name: row.offset for row in TIMESTAMPER}
_TS_ENABLE, _TS_INTR, _TS_MASK = _TS["enable"], _TS["intr"], _TS["intr_mask"]
_TS_CLEARED: Final = tuple(_TS[name] for name in ("error", "intr", "event_count", "ts_count"))


class Timestamper(RegisterBlock):
    """Latches one edge; further ones are counted and dropped until it is acknowledged."""

    def __init__(self, interrupt: Callable[[], None]) -> None:
        super().__init__(TIMESTAMPER, {"version": CORE_1_3})
        self._interrupt = interrupt

    @property
    def enabled(self) -> bool:
        """Whether edges are looked at."""
        return bool(self.words[_TS_ENABLE] & 1)

    @property
    def rising(self) -> bool:
        """Which edge counts."""
        return bool(self.words[_TS["polarity"]] & 1)

    def write(self, reg: int, value: int, t_ns: int) -> bool:
        """A register; disabling forgets everything, unmasking a held event raises it."""
        decoded = super().write(reg, value, t_ns)
        if reg == _TS_ENABLE and not value & 1:
            for cleared in _TS_CLEARED:
                self.words[cleared] = 0
        elif reg == _TS_MASK and value & self.words[_TS_INTR] & 1:
            self._interrupt()
        return decoded

    def edge(self, stamp_ns: int, count: int = 1) -> None:
        """The wanted edge, the first of ``count`` in quick succession, came when the clock read this."""
        words = self.words
        if not words[_TS_ENABLE] & 1:
            return
        words[_TS["event_count"]] = words[_TS["event_count"]] + count & 0xFFFF_FFFF
        if words[_TS_INTR] or count > 1:
            words[_TS["error"]] = 1
        if words[_TS_INTR]:
            return
        seconds, ns = divmod(stamp_ns - (words[_TS["cable_delay"]] & 0xFFFF), NS_PER_S)
        words[_TS["time_ns"]], words[_TS["time_sec"]] = ns, seconds & 0xFFFF_FFFF
        words[_TS["ts_count"]] = words[_TS["ts_count"]] + 1 & 0xFFFF_FFFF
        words[_TS_INTR] = 1
        if words[_TS_MASK] & 1:
            self._interrupt()


class _Presence:
    """Available after three good periods, gone after as many misses."""

    NEEDED = 3

    def __init__(self) -> None:
        self._good = 0
        self._available = False
        self._last_ns: int | None = None

    def edge(self, t_ns: int) -> None:
        self._count_misses(t_ns)
        if self._last_ns is not None:
            good = SHORTEST_NS <= t_ns - self._last_ns < LONGEST_NS
            self._good = min(self.NEEDED, self._good + 1) if good else max(0, self._good - 1)
        self._last_ns = t_ns
        self._settle()

    def available(self, t_ns: int) -> bool:
        self._count_misses(t_ns)
        return self._available

    def _count_misses(self, t_ns: int) -> None:
        if self._last_ns is not None and t_ns - self._last_ns >= LONGEST_NS:
            misses, rest_ns = divmod(t_ns - self._last_ns, LONGEST_NS)
            self._good = max(0, self._good - misses)
            self._last_ns = t_ns - rest_ns
            self._settle()

    def _settle(self) -> None:
        if self._good in (0, self.NEEDED):
            self._available = self._good > 0


class PpsSelector(RegisterBlock):
    """Detects the three pulses and picks SMA, else MAC, else GNSS, unless forced."""

    SOURCES = ("sma", "mac", "gnss")

    def __init__(self, clock_10mhz: str) -> None:
        """``clock_10mhz``: ``sma``, ``mac`` or ``onboard``."""
        super().__init__(PPS_SELECT)
        self._presence = {source: _Presence() for source in self.SOURCES}
        self.clock_10mhz = clock_10mhz

    def read(self, reg: int, t_ns: int) -> int | None:
        """A register; ``gpio1`` shows what is there now."""
        if reg != 0:
            return self.words.get(reg)
        present = [presence.available(t_ns) << bit for bit, presence in enumerate(self._presence.values())]
        return sum(present) | {"sma": 0x10, "mac": 0x20}.get(self.clock_10mhz, 0)

    def edge(self, source: str, t_ns: int) -> bool:
        """Note a pulse; True when it goes on to the PPS slave."""
        self._presence[source].edge(t_ns)
        return self.selected(t_ns) == source

    def selected(self, t_ns: int) -> str:
        """Where the PPS slave's pulse comes from."""
        forced = self.words[0x08] & 3
        if forced:
            return self.SOURCES[forced - 1]
        return next((s for s in ("sma", "mac") if self._presence[s].available(t_ns)), "gnss")


class PpsServo:
    """Proportional-integral correction of offset and drift, in the core's integer arithmetic.

    It works, and integrates, only while the clock follows it.
    """

    def __init__(self, clock: ClockCore) -> None:
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Forget everything, as disabling the block does."""
        self._offset_sum_ns = self._drift_sum_ns = 0
        self.restart()

    def restart(self) -> None:
        """The next pulse has no predecessor to be compared with."""
        self._last_stamp_ns: int | None = None
        self._last_offset_ns = 0

    def pulse(self, t_ns: int, stamp_ns: int) -> None:
        """A valid pulse; the clock read ``stamp_ns``."""
        clock = self._clock
        if clock.source not in SERVO_SOURCES:
            self.restart()
            return
        last_ns, self._last_stamp_ns = self._last_stamp_ns, stamp_ns
        if last_ns is None:
            clock.adjust_offset(t_ns, 0, OFFSET_INTERVAL_NS)
            return
        offset_p, offset_i, drift_p, drift_i = clock.servo_factors
        # Both are what has to be added: the clock's error with the sign turned.
        offset_ns = -_from_second(stamp_ns)
        drift_ns = -_from_second(stamp_ns - last_ns - self._last_offset_ns)
        self._drift_sum_ns = _limited(self._drift_sum_ns + drift_ns, MAX_INTEGRAL_NS)
        drift_out_ns = _scaled(drift_ns, drift_p) + _scaled(self._drift_sum_ns, drift_i)
        if abs(drift_out_ns) > MAX_DRIFT_NS:
            drift_out_ns = _limited(drift_out_ns, MAX_DRIFT_NS)
            self._drift_sum_ns = 0
        # What the new drift will do until the next pulse is no offset any more.
        offset_ns -= drift_out_ns
        self._offset_sum_ns = _limited(self._offset_sum_ns + offset_ns, MAX_INTEGRAL_NS)
        offset_out_ns = _scaled(offset_ns, offset_p) + _scaled(self._offset_sum_ns, offset_i)
        self._last_offset_ns = offset_out_ns
        clock.add_drift(t_ns, drift_out_ns)
        clock.adjust_offset(t_ns, offset_out_ns, OFFSET_INTERVAL_NS)


_SLAVE: Final = {row.name: row.offset for row in PPS_SLAVE}
_FILTER_ERROR: Final = 1
_LOST: Final = 2


class PpsSlave(RegisterBlock):
    """Supervises the selected pulse and hands good ones to the servo."""

    def __init__(self, clock: ClockCore, t_ns: int) -> None:
        super().__init__(PPS_SLAVE, {"ctrl": 1, "polarity": 1, "version": CORE_1_6})
        self._servo = PpsServo(clock)
        self._last_ns = self._checked_ns = t_ns
        self._pulses = 0

    def read(self, reg: int, t_ns: int) -> int | None:
        """A register."""
        if reg == _SLAVE["status"]:
            self._supervise(t_ns)
        return self.words.get(reg)

    def write(self, reg: int, value: int, t_ns: int) -> bool:
        """A register."""
        self._supervise(t_ns)
        decoded = super().write(reg, value, t_ns)
        if reg == _SLAVE["ctrl"] and not value & 1:
            self._servo.reset()
            self._pulses = 0
            self.words[_SLAVE["pulse_width"]] = 0x3FF
        elif reg == _SLAVE["ctrl"] and not self._pulses:
            self._last_ns = t_ns
        return decoded

    def edge(self, t_ns: int, stamp_ns: int, width_ns: int) -> None:
        """A pulse from the selected source."""
        self._supervise(t_ns)
        period_ns, self._last_ns = t_ns - self._last_ns, t_ns
        if not self.words[_SLAVE["ctrl"]] & 1:
            return
        self._pulses += 1
        self.words[_SLAVE["pulse_width"]] = min(width_ns // 1_000_000, 0x3FF)
        if self._pulses < 2:
            return
        if not SHORTEST_NS <= period_ns < LONGEST_NS:
            self.words[_SLAVE["status"]] |= _FILTER_ERROR
            self._servo.restart()
            return
        self._servo.pulse(t_ns, stamp_ns - signed_magnitude(self.words[_SLAVE["cable_delay"]], 30))

    def _supervise(self, t_ns: int) -> None:
        """Raise LOST 1.1 s after the last pulse and every second from then on, however often cleared."""
        enabled = self.words[_SLAVE["ctrl"]] & 1
        overdue_ns = self._last_ns + LONGEST_NS
        raised_before = (self._checked_ns - overdue_ns) // NS_PER_S
        if enabled and t_ns >= overdue_ns and (t_ns - overdue_ns) // NS_PER_S > max(-1, raised_before):
            self.words[_SLAVE["status"]] |= _LOST
            self._servo.restart()
        self._checked_ns = t_ns


class PpsGenerator(RegisterBlock):
    """Makes the clock's own pulse, which TS5 latches."""

    def __init__(self) -> None:
        super().__init__(PPS_GENERATOR, {"ctrl": 1, "polarity": 1, "version": CORE_1_6})

    @property
    def enabled(self) -> bool:
        """Whether pulses leave."""
        return bool(self.words[0x00] & 1)

    @property
    def width_ns(self) -> int:
        """Width of the pulse."""
        return (self.words[0x10] & 0x3FF) * 1_000_000

    @property
    def early_ns(self) -> int:
        """How long before the second the pulse leaves for the connectors."""
        return signed_magnitude(self.words[0x20], 30)

    def jumped(self) -> None:
        """The clock jumped: the pulses were not in order."""
        if self.enabled:
            self.words[0x04] |= 1


def _from_second(ns: int) -> int:
    """Distance from the nearest whole second."""
    return (ns + NS_PER_S // 2) % NS_PER_S - NS_PER_S // 2


def _scaled(value: int, factor: int) -> int:
    """Times factor/65536; the core cuts the magnitude."""
    product = abs(value) * factor >> 16
    return -product if value < 0 else product


def _limited(value: int, limit: int) -> int:
    return max(-limit, min(limit, value))
