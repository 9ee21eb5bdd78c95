"""A signal generator: pulses at times of the card's clock.

Register semantics and start sequence: the kernel's ``ptp_ocp`` driver and the published core
(``Ips/SignalGenerator``). The start has to lie in the future when the core latches it; the core raises a
sticky error otherwise, and another when the clock jumps while it runs.
"""

from __future__ import annotations

from typing import Final

from timecard.boards.registers import ALL_ONES
from timecard.card_protocols import CardClock
from timecard.card_values import GeneratorSettings, GeneratorState
from timecard.clock_setting import MAX_SECONDS
from timecard.errors import RefusedError, UnsupportedError
from timecard.pcie.bus import burst_reader
from timecard.pcie.words import MAX_CABLE_DELAY_NS, core_version, present
from timecard.protocols import RegisterBus
from timecard.timescale import NS_PER_S

MIN_AHEAD_NS: Final = 1_000_000
"""The registers have to be written before the start; the kernel driver keeps the same distance."""
COMFORT_NS: Final = 20_000_000
"""Distance of a start that we choose: enough for the slowest bus to write the registers."""
LONG_COMFORT_NS: Final = 2 * NS_PER_S
"""The same on a host that was too busy for that."""
MIN_PULSE_NS: Final = 5
"""One tick of the core's fast clock."""
MAX_REPEATS: Final = ALL_ONES
MAP_SINCE: Final = (1, 3)
"""Closed cores have this register map from 1.3 on; the published core (0.x) has had it from the start."""
START_ERROR: Final = "start in the past or impossible"
JUMP_ERROR: Final = "clock jumped"
_ENABLE: Final = 1
_SIGNAL_VALID: Final = 2
_ERRORS: Final = 3


class Generator:
    """Generator ``number`` (1 to 4); ``SignalGenerator``."""

    def __init__(self, bus: RegisterBus, clock: CardClock, number: int) -> None:
        block_name = f"signal_out[{number - 1}]"
        if not bus.board.has(block_name):
            there = f"1 to {bus.board.generators}" if bus.board.generators else "none"
            raise UnsupportedError(
                bus.name, f"open generator {number}", f"{bus.board.product} has {there} in its register map"
            )
        block = bus.board.blocks[block_name]
        self.name = f"{bus.name} generator {number}"
        self._bus = bus
        self._clock = clock
        self._read_many = burst_reader(bus)
        self._at = block.addresses()
        version = bus.read32(self._at["version"])
        present(version, self.name, "open", "version")
        self.version = core_version(version)
        if (1, 0) <= self.version[:2] < MAP_SINCE:
            raise UnsupportedError(
                self.name,
                "open",
                f"its core is {'.'.join(map(str, self.version))}, whose registers are laid out otherwise;"
                " update the FPGA image (1.3 or later is needed)",
            )

    def start(self, settings: GeneratorSettings) -> GeneratorState:
        """Programme and start; one that runs is stopped first, unless the settings are refused."""
        self._check(settings)
        state = self._started(settings, COMFORT_NS)
        if state.error == START_ERROR and settings.start_tai_ns is None:
            state = self._started(settings, LONG_COMFORT_NS)  # this program was held up while it wrote
        if state.error is not None:
            self.stop()
            raise RefusedError(self.name, "start", state.error)
        return state

    def _started(self, settings: GeneratorSettings, comfort_ns: int) -> GeneratorState:
        start_ns = self._start_ns(settings, comfort_ns)
        self.stop()
        write32, at = self._bus.write32, self._at
        write32(at["status"], _ERRORS)
        seconds = {"start": start_ns, "period": settings.period_ns, "pulse": settings.pulse_ns}
        for name, value_ns in seconds.items():
            whole, rest = divmod(value_ns, NS_PER_S)
            write32(at[f"{name}_sec"], whole)
            write32(at[f"{name}_ns"], rest)
        write32(at["polarity"], int(settings.active_high))
        write32(at["cable_delay"], settings.cable_delay_ns)
        write32(at["repeat_count"], settings.repeat_count)
        write32(at["intr"], 1)
        # The vector stays masked: errors are seen by ``state``.
        write32(at["enable"], _ENABLE | _SIGNAL_VALID)
        return self.state()

    def stop(self) -> None:
        """Stop; the core forgets its errors."""
        self._bus.write32(self._at["intr_mask"], 0)
        self._bus.write32(self._at["enable"], 0)

    def state(self) -> GeneratorState:
        """What it does now. A start that is still to come counts as running."""
        names = ("enable", "status", "polarity", "start_sec", "start_ns", "pulse_sec", "pulse_ns")
        enable, status, polarity, start_s, start_ns, pulse_s, pulse_ns, period_s, period_ns = self._read_many(
            [self._at[name] for name in (*names, "period_sec", "period_ns")]
        )
        present(enable, self.name, "read", "enable")
        error = JUMP_ERROR if status & 2 else START_ERROR if status & 1 else None
        return GeneratorState(
            running=bool(enable & _ENABLE) and error is None,
            period_ns=period_s * NS_PER_S + period_ns,
            pulse_ns=pulse_s * NS_PER_S + pulse_ns,
            start_tai_ns=start_s * NS_PER_S + start_ns,
            active_high=bool(polarity & 1),
            error=error,
        )

    def _check(self, settings: GeneratorSettings) -> None:
        period_ns, pulse_ns = settings.period_ns, settings.pulse_ns
        if not 2 * MIN_PULSE_NS <= period_ns < MAX_SECONDS * NS_PER_S:
            raise self._refused(f"a period of {period_ns} ns is outside {2 * MIN_PULSE_NS} ns to 2^32 s")
        if not MIN_PULSE_NS <= pulse_ns <= period_ns - MIN_PULSE_NS:
            raise self._refused(
                f"a pulse of {pulse_ns} ns does not fit a period of {period_ns} ns:"
                f" {MIN_PULSE_NS} to {period_ns - MIN_PULSE_NS} ns would"
            )
        if not 0 <= settings.phase_ns < period_ns:
            raise self._refused(f"a phase of {settings.phase_ns} ns is outside 0 to the period")
        if not 0 <= settings.repeat_count <= MAX_REPEATS:
            raise self._refused(f"a repeat count of {settings.repeat_count} is outside 0 to {MAX_REPEATS}")
        if not 0 <= settings.cable_delay_ns <= MAX_CABLE_DELAY_NS:
            raise self._refused(
                f"a cable delay of {settings.cable_delay_ns} ns is outside 0 to {MAX_CABLE_DELAY_NS} ns"
            )

    def _start_ns(self, settings: GeneratorSettings, comfort_ns: int) -> int:
        now_ns = self._clock.now_tai_ns()
        start_ns = settings.start_tai_ns
        if start_ns is None:
            periods = -(-(now_ns + comfort_ns) // settings.period_ns)
            start_ns = periods * settings.period_ns + settings.phase_ns
        elif start_ns < now_ns + MIN_AHEAD_NS:
            raise self._refused(
                f"the start lies {(start_ns - now_ns) / 1e6:.3f} ms ahead of the card's clock;"
                f" at least {MIN_AHEAD_NS / 1e6:g} ms are needed"
            )
        if start_ns >= MAX_SECONDS * NS_PER_S:
            raise self._refused("the start does not fit the card's 32-bit seconds")
        return start_ns

    def _refused(self, reason: str) -> RefusedError:
        return RefusedError(self.name, "start", reason)
