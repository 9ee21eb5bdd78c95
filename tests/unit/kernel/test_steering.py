"""Frequency by one-second adjustments, on a model of the clock core that knows nothing of the code."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timecard.errors import RefusedError
from timecard.kernel.clock import vendor_frequency
from timecard.kernel.steering import RegsSteering
from timecard.values import CrossTimestamp

S = 1_000_000_000
START_TAI_NS = 1_795_315_036 * S


class Host:
    """Virtual time that both the card and the host's monotonic clock follow."""

    def __init__(self, jitter_ns: int = 0, seed: int = 1) -> None:
        self.now_ns = 5 * S
        self.jitter_ns = jitter_ns
        self.random = random.Random(seed)

    def mono_ns(self) -> int:
        return self.now_ns

    def sleep_s(self, seconds: float) -> None:
        late_ns = self.random.randrange(self.jitter_ns) if self.jitter_ns else 0
        self.now_ns += round(seconds * S) + late_ns


class CoreClock:
    """The FPGA's clock under the mainline driver: a new adjustment replaces one that is still at work."""

    name = "card clock"

    def __init__(self, host: Host, oscillator_ppb: float = 0.0) -> None:
        self.host = host
        self.oscillator_ppb = oscillator_ppb
        self.phase_ns = 0.0
        self.seen_ns = host.now_ns
        self.slew_ns_per_s = 0.0
        self.slew_left_ns = 0
        self.source = "PPS"
        self.commands: list[int] = []

    def move(self) -> None:
        elapsed_ns = self.host.now_ns - self.seen_ns
        slewed_ns = min(elapsed_ns, self.slew_left_ns)
        self.phase_ns += self.slew_ns_per_s * slewed_ns / S + self.oscillator_ppb * elapsed_ns / S
        self.slew_left_ns -= slewed_ns
        self.seen_ns = self.host.now_ns

    def now_tai_ns(self) -> int:
        self.move()
        return START_TAI_NS + self.host.now_ns + round(self.phase_ns)

    def cross_timestamp(self) -> CrossTimestamp:
        return CrossTimestamp(
            card_tai_ns=self.now_tai_ns(), mono_raw_ns=self.host.now_ns, half_width_ns=1.0, method="bracket"
        )

    def slew_ns(self, delta_ns: int) -> None:
        assert abs(delta_ns) < 50_000_000
        self.move()
        self.slew_ns_per_s, self.slew_left_ns = float(delta_ns), S
        self.commands.append(delta_ns)

    def step_ns(self, delta_ns: int) -> None:
        self.move()
        self.slew_left_ns = 0
        self.phase_ns += delta_ns
        self.host.now_ns += round(1.01 * S)

    def set_tai_ns(self, tai_ns: int) -> None:
        self.phase_ns += tai_ns - self.now_tai_ns()

    def source_name(self) -> str:
        return self.source

    def select_source(self, name: str) -> None:
        self.source = name


def run(steering: RegsSteering, host: Host, seconds: float) -> None:
    end_ns = host.now_ns + round(seconds * S)
    while host.now_ns < end_ns:
        steering.wait(1.0)
        steering.tick()
        host.now_ns += 1000


@settings(max_examples=40, deadline=None)
@given(
    frequency_ppb=st.floats(-50_000, 50_000) | st.floats(-2, 2),
    jitter_ns=st.sampled_from([0, 100_000, 5_000_000, 200_000_000]),
    seed=st.integers(0, 99),
)
def test_the_mean_is_what_was_asked_for(frequency_ppb: float, jitter_ns: int, seed: int) -> None:
    host = Host(jitter_ns, seed)
    clock = CoreClock(host)
    steering = RegsSteering(clock, host)
    steering.take_control()
    begin_ns = host.now_ns
    assert steering.set_frequency_ppb(frequency_ppb) == frequency_ppb
    run(steering, host, 60.0)
    clock.move()
    wanted_ns = frequency_ppb * (host.now_ns - begin_ns) / S
    # Half a nanosecond of rounding, and what is under way: the prepaid second and the lateness.
    slack_ns = 1.5 + abs(frequency_ppb) * (1.3 + jitter_ns / S)
    assert abs(clock.phase_ns - wanted_ns) <= slack_ns
    early_ns = clock.phase_ns
    passed_ns = host.now_ns
    run(steering, host, 600.0)
    clock.move()
    mean_ppb = (clock.phase_ns - early_ns) / ((host.now_ns - passed_ns) / S)
    assert abs(mean_ppb - frequency_ppb) <= 2 * slack_ns / 600


def test_the_phase_is_a_straight_line_to_half_a_nanosecond() -> None:
    host = Host()
    clock = CoreClock(host)
    steering = RegsSteering(clock, host)
    steering.take_control()
    steering.set_frequency_ppb(0.3)
    run(steering, host, 20.0)
    phases = []
    for _ in range(400):
        run(steering, host, 0.25)
        clock.move()
        phases.append((host.now_ns / S, clock.phase_ns))
    offsets = [phase - 0.3 * t for t, phase in phases]
    assert max(offsets) - min(offsets) <= 1.01
    assert set(clock.commands) <= {-1, 0, 1, 2}


def test_commands_avoid_the_pulse() -> None:
    host = Host(jitter_ns=3_000_000)
    clock = CoreClock(host)
    steering = RegsSteering(clock, host)
    steering.take_control()
    steering.set_frequency_ppb(1234.5)
    times: list[int] = []
    slew = clock.slew_ns

    def noting(delta_ns: int) -> None:
        times.append(clock.now_tai_ns() % S)
        slew(delta_ns)

    clock.slew_ns = noting  # type: ignore[method-assign]  # to see what is asked of it
    run(steering, host, 30.0)
    assert len(times) >= 29
    assert all(abs(t - S // 2) < 20_000_000 for t in times[1:])


def test_a_late_second_is_made_up_for() -> None:
    host = Host()
    clock = CoreClock(host)
    steering = RegsSteering(clock, host)
    steering.take_control()
    steering.set_frequency_ppb(100.0)
    run(steering, host, 10.0)
    clock.move()
    before_ns, since_ns = clock.phase_ns, host.now_ns
    host.now_ns += 7 * S  # the process did not run
    run(steering, host, 20.0)
    clock.move()
    assert abs((clock.phase_ns - before_ns) - 100.0 * (host.now_ns - since_ns) / S) <= 130.0
    assert max(clock.commands) > 600


def test_a_step_interrupts_without_losing_phase() -> None:
    host = Host()
    clock = CoreClock(host)
    steering = RegsSteering(clock, host)
    steering.take_control()
    begin_ns = host.now_ns
    steering.set_frequency_ppb(1000.0)
    run(steering, host, 10.3)
    steering.step_ns(12_345)
    run(steering, host, 30.0)
    clock.move()
    assert abs(clock.phase_ns - 12_345 - 1000.0 * (host.now_ns - begin_ns) / S) <= 1300.0
    held = [clock.phase_ns - 1000.0 * host.now_ns / S]
    run(steering, host, 1.0)
    clock.move()
    held.append(clock.phase_ns - 1000.0 * host.now_ns / S)
    assert abs(held[0] - held[1]) <= 3.0


def test_somebody_elses_source_is_taken_back_and_the_first_one_restored() -> None:
    host = Host()
    clock = CoreClock(host)
    steering = RegsSteering(clock, host)
    steering.take_control()
    assert clock.source == "REGS"
    run(steering, host, 3.0)
    clock.source = "TOD"
    run(steering, host, 2.0)
    assert (clock.source, steering.reclaimed) == ("REGS", 1)
    steering.close()
    assert clock.source == "PPS"
    commands = len(clock.commands)
    run(steering, host, 3.0)
    assert len(clock.commands) == commands


def test_refusals() -> None:
    host = Host()
    steering = RegsSteering(CoreClock(host), host)
    with pytest.raises(RefusedError, match="take_control"):
        steering.set_frequency_ppb(1.0)
    steering.take_control()
    for frequency_ppb in (1e9, float("nan"), -1e12):
        with pytest.raises(RefusedError, match="beyond"):
            steering.set_frequency_ppb(frequency_ppb)


def test_a_quartz_stays_locked_to_its_pulse() -> None:
    """A plain loop around it, once a second as the daemon's: 700 ppb of a drifting quartz end below 5 ns."""
    host = Host(jitter_ns=1_000_000)
    clock = CoreClock(host, oscillator_ppb=-700.0)
    steering = RegsSteering(clock, host)
    steering.take_control()
    integral_ppb = 0.0
    errors = []
    for second in range(300):
        clock.oscillator_ppb += 0.05
        clock.move()
        error_ns = clock.phase_ns
        integral_ppb -= 0.05 * error_ns
        steering.set_frequency_ppb(integral_ppb - 0.3 * error_ns)
        run(steering, host, 1.0)
        if second > 200:
            errors.append(abs(error_ns))
    assert max(errors) < 5.0


POSSIBLE_PPB = sorted({0.0, *(1000 / (65_536 // part) for part in range(1, 65_537))})
"""What the vendor's integer division can make of a fraction."""


@settings(deadline=None)
@given(st.floats(-1_000_000, 1_000_000))
def test_vendor_steps_are_told_as_the_driver_makes_them(frequency_ppb: float) -> None:
    word, in_force_ppb = vendor_frequency(frequency_ppb)
    ppm, part = divmod(abs(word), 65_536)
    made_ppb = ppm * 1000 + (1000 / (65_536 // part) if part else 0.0)
    assert in_force_ppb == pytest.approx(made_ppb if frequency_ppb >= 0 else -made_ppb)
    rest_ppb = abs(frequency_ppb) % 1000
    best_ppb = min(abs(possible_ppb - rest_ppb) for possible_ppb in POSSIBLE_PPB)
    assert abs(in_force_ppb - frequency_ppb) <= best_ppb + 1e-6


def test_vendor_steps_of_the_data_sheet() -> None:
    # Asked naively, 0.51 ppm acts as 1 ppm; the nearest that can be done is 500 ppb.
    assert vendor_frequency(510.0)[1] == 500.0
    assert vendor_frequency(400.0)[1] in (pytest.approx(500.0), pytest.approx(1000 / 3))
