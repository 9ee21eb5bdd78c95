"""Signal generators and frequency counters through the driver.

A generator is started by PEROUT with a duty cycle and an absolute start: the one form that every kernel
computes right (without duty it is refused; before April 2025 a start left to the driver lies in the past).
Its polarity can only be given through ``genN/signal``.
"""

from __future__ import annotations

from typing import Final

from timecard.card_values import CounterReading, GeneratorSettings, GeneratorState
from timecard.errors import RefusedError, UnsupportedError
from timecard.kernel import attributes as a
from timecard.kernel.attribute_text import SignalText
from timecard.kernel.phc import Phc
from timecard.kernel.sysfs import SysfsDevice
from timecard.timescale import NS_PER_S

LEAD_NS: Final = 20_000_000
"""Between asking and the first edge; the driver insists on 1 ms when it gets to it."""
MIN_DUTY_PERCENT: Final = 1
MAX_DUTY_PERCENT: Final = 99
MAX_PERIOD_NS: Final = 0xFFFF_FFFF * NS_PER_S


class KernelGenerator:
    """``SignalGenerator`` through the driver."""

    def __init__(self, phc: Phc, device: SysfsDevice, number: int, unsafe: str | None) -> None:
        """``unsafe``: why nothing may be written to it; the driver would follow a null pointer."""
        self.number = number
        self.name = f"{device.name} gen{number}"
        self._phc = phc
        self._device = device
        self._unsafe = unsafe
        self._started: GeneratorSettings | None = None

    def start(self, settings: GeneratorSettings) -> GeneratorState:
        """Programme and start."""
        self._check(settings)
        self._set_extras(settings)
        self._set_polarity(settings.active_high)
        self._phc.start_perout(
            self.number, settings.period_ns, start_ns=self._start_ns(settings), on_ns=settings.pulse_ns
        )
        self._started = settings
        return self.state()

    def stop(self) -> None:
        """Stop; the settings stay."""
        self._must_be_safe("stop")
        self._started = None
        self._phc.stop_perout(self.number)

    def state(self) -> GeneratorState:
        """What the driver says; the pulse to a percent of the period unless it was started here."""
        read, number = self._device.read, self.number
        running = bool(read(a.GEN_RUNNING, number))
        period_ns = read(a.GEN_PERIOD, number)
        pulse_ns = period_ns * read(a.GEN_DUTY, number) // 100
        mine = self._started
        if mine is not None and mine.period_ns == period_ns:
            pulse_ns = mine.pulse_ns
        stopped = mine is not None and not running
        return GeneratorState(
            running=running,
            period_ns=period_ns,
            pulse_ns=pulse_ns,
            start_tai_ns=read(a.GEN_START, number),
            active_high=bool(read(a.GEN_POLARITY, number)),
            error="start in the past or impossible, or clock jumped" if stopped else None,
        )

    # --- internals ---

    def _check(self, settings: GeneratorSettings) -> None:
        self._must_be_safe("start")
        period_ns, pulse_ns = settings.period_ns, settings.pulse_ns
        if not 1 <= period_ns <= MAX_PERIOD_NS:
            raise self._refused(f"a period of {period_ns} ns is outside 1 ns to 2^32 s")
        if not 1 <= pulse_ns < period_ns:
            raise self._refused(f"a pulse of {pulse_ns} ns is outside 1 ns to the period of {period_ns} ns")
        if not MIN_DUTY_PERCENT <= pulse_ns * 100 // period_ns <= MAX_DUTY_PERCENT:
            raise self._refused(
                f"the driver takes pulses of 1 to 99 % of the period only: {-(-period_ns // 100)} ns or more "
                f"for {period_ns} ns (with the driver unbound the registers take any)"
            )
        if not 0 <= settings.phase_ns < period_ns:
            raise self._refused(f"a phase of {settings.phase_ns} ns is outside the period of {period_ns} ns")

    def _set_extras(self, settings: GeneratorSettings) -> None:
        for row, value in (
            (a.GEN_REPEAT_COUNT, settings.repeat_count),
            (a.GEN_CABLE_DELAY, settings.cable_delay_ns),
        ):
            if self._device.has(row, self.number):
                self._device.write(row, value, self.number)
            elif value:
                raise UnsupportedError(
                    self.name, "start", f"this driver has no {row.name} (vendor drivers of late have)"
                )

    def _set_polarity(self, active_high: bool) -> None:
        if bool(self._device.read(a.GEN_POLARITY, self.number)) == active_high:
            return
        # Any valid signal carries the polarity; it is replaced before its first edge, some seconds on.
        plain = SignalText(10 * NS_PER_S, 50, 9 * NS_PER_S, active_high)
        try:
            self._device.write(a.SIGNAL, plain, self.number)
        except RefusedError:
            # Older drivers take the phase for the start.
            late_ns = self._phc.now_ns() + 10 * NS_PER_S
            self._device.write(a.SIGNAL, SignalText(plain.period_ns, 50, late_ns, active_high), self.number)
        self._phc.stop_perout(self.number)

    def _start_ns(self, settings: GeneratorSettings) -> int:
        earliest_ns = self._phc.now_ns() + LEAD_NS
        if settings.start_tai_ns is not None:
            if settings.start_tai_ns < earliest_ns:
                raise self._refused(
                    f"the start must be at least {LEAD_NS // 1_000_000} ms ahead of the card's clock"
                )
            return settings.start_tai_ns
        periods = -(-(earliest_ns - settings.phase_ns) // settings.period_ns)
        return periods * settings.period_ns + settings.phase_ns

    def _must_be_safe(self, operation: str) -> None:
        if self._unsafe is not None:
            raise UnsupportedError(self.name, operation, self._unsafe)

    def _refused(self, reason: str) -> RefusedError:
        return RefusedError(self.name, "start", reason)


class KernelCounter:
    """``FrequencyCounter`` through the driver."""

    def __init__(self, device: SysfsDevice, number: int) -> None:
        self.number = number
        self.name = f"{device.name} freq{number}"
        self._device = device

    def start(self, gate_s: int) -> None:
        """Measure over and over."""
        if not 1 <= gate_s <= 255:
            raise RefusedError(self.name, "start", f"a gate of {gate_s} s is outside 1 to 255 s")
        self._device.write(a.FREQ_SECONDS, gate_s, self.number)

    def stop(self) -> None:
        """Switch off."""
        self._device.write(a.FREQ_SECONDS, 0, self.number)

    def read(self) -> CounterReading:
        """The newest result; the driver's empty answer is none yet."""
        gate_s = self._device.read(a.FREQ_SECONDS, self.number)
        result = self._device.read(a.FREQ_FREQUENCY, self.number)
        return CounterReading(gate_s=gate_s, frequency_hz=result.hz if gate_s else None, error=result.error)
