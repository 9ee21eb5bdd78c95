"""The clock map follows offset and rate, and its error covers what it does not know."""

from __future__ import annotations

import random

from appliance.clock_map import ClockMap
from timecard.values import CrossTimestamp

TAI0 = 1_800_000_000_000_000_000


def truth(raw_ns: int, offset_ns: int = 3_700_000, rate_ppb: float = 20_000.0) -> int:
    return TAI0 + raw_ns + offset_ns + round(raw_ns * rate_ppb * 1e-9)


def sample(raw_ns: int, half_width_ns: float = 20.0, shift_ns: int = 0, **line: float) -> CrossTimestamp:
    return CrossTimestamp(
        card_tai_ns=truth(raw_ns) + shift_ns,
        mono_raw_ns=raw_ns,
        half_width_ns=half_width_ns,
        method="ptm",
    )


def test_a_clean_line_is_followed_to_the_nanosecond() -> None:
    clock_map = ClockMap()
    for k in range(50):
        state = clock_map.add(sample(k * 100_000_000))
    later_ns = 5_200_000_000
    assert abs(state.tai_ns(later_ns) - truth(later_ns)) <= 2
    assert abs(state.rate_ppb - 20_000.0) < 0.1


def test_the_error_covers_bracket_noise() -> None:
    rng = random.Random(5)
    clock_map = ClockMap()
    misses = 0
    for k in range(300):
        half_ns = rng.uniform(2_000, 9_000)
        bias_ns = round(rng.uniform(-half_ns, half_ns))
        state = clock_map.add(sample(k * 100_000_000, half_ns, bias_ns))
        for age_ns in (0, 50_000_000, 100_000_000):
            at_ns = k * 100_000_000 + age_ns
            misses += abs(state.tai_ns(at_ns) - truth(at_ns)) > state.error_ns
    assert misses == 0


def test_one_sample_claims_little() -> None:
    state = ClockMap().add(sample(0))
    assert state.error_ns > 100_000, "no slope is known yet: a crystal may be 100 ppm off"


def test_a_step_of_the_card_restarts_the_line() -> None:
    clock_map = ClockMap()
    for k in range(20):
        clock_map.add(sample(k * 100_000_000))
    for k in range(20, 40):
        state = clock_map.add(sample(k * 100_000_000, shift_ns=50_000_000))
    assert clock_map.jumps == 1
    assert abs(state.tai_ns(4_000_000_000) - truth(4_000_000_000) - 50_000_000) <= 5


def test_a_map_expires() -> None:
    state = ClockMap().add(sample(7_000))
    assert state.valid_until_raw_ns == 7_000 + 3_000_000_000
