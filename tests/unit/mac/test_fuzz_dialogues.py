"""Whatever a part sends, drivers answer with a value or an error of the device, in bounded time."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timecard.emulator.world import VirtualTime
from timecard.errors import TimeCardError
from timecard.mac.client import checksum
from timecard.mac.detect import detect
from timecard.mac.driver import SelfDiscipline
from timecard.mac.oscillators import OSCILLATORS
from timecard.timescale import NS_PER_S

FAMILIES = ("sa5x", "csac", "sa3xm", "mro50")
TELEMETRY = (
    b"0,0x0000,1209CS00909,0x0004,4381,0.86,1.573,17.62,0.99,28.26,-24,---,-1,---,586969,586757,1.0\r\n"
)
PIECES: tuple[bytes, ...] = (
    b"\r\n",
    b"\n\n",
    b"?",
    b"*",
    b"*5E",
    b"---",
    b"NEEDREFPPS",
    b"Steer = 12\r\n",
    b"0x0010\r\n",
    b"[=sa5x]\r\n",
    b"[>Loading...]\r\n",
    b"[!100]\r\n",
    b"[=",
    b"|",
    b"0,1.22,1311R30127,1,2,3,4,5,6\n",
    TELEMETRY,
    b"FFFFFFFF\n\n",
    b"0960\n\n",
    b"0" * 52 + b"07904000\n\n",
    b"S\r\n",
    b"E\r\n",
    b"nan",
    b"1e999",
    b"-",
    b"9" * 400,
    b"\x00\xff\x1b",
)
CALLS: tuple[Callable[[Any], object], ...] = (
    lambda part: part.identify(),
    lambda part: part.status(),
    lambda part: part.status(full=True),
    lambda part: part.set_frequency_ppb(0.5),
    lambda part: part.begin_software_steering(),
    lambda part: part.begin_self_disciplining(SelfDiscipline(time_constant_s=100, max_jump_ns=10)),
    lambda part: part.sync_pulse(),
    lambda part: part.latch(),
    lambda part: part.store(),
)


class Babble:
    """Answers each request with pieces of answers and noise; sometimes with a right frame around them."""

    name = "mac"

    def __init__(self, time: VirtualTime, rng: random.Random) -> None:
        self.time = time
        self.rng = rng
        self.pending = b""

    def read(self, max_bytes: int, timeout_s: float) -> bytes:
        if not self.pending:
            self.time.sleep_s(timeout_s)
            return b""
        size = self.rng.randint(1, min(max_bytes, len(self.pending)))
        data, self.pending = self.pending[:size], self.pending[size:]
        self.time.sleep_s(min(timeout_s, 0.001))
        return data

    def write(self, data: bytes) -> None:
        rng = self.rng
        said = b"".join(
            rng.choice(PIECES) if rng.random() < 0.8 else rng.randbytes(rng.randint(0, 12))
            for _ in range(rng.randint(0, 4))
        )
        if b"#" in data and rng.random() < 0.6:
            value = rng.choice(["0", "1", "-3", "nan", "x", "", "1e400", "99999999999", "100"])
            body = f"#{data[data.index(b'#') + 1 :][:2].decode('latin-1')}{rng.choice('==!')}{value}"
            said += f"[{body}|{checksum(body):02X}]\r\n".encode("latin-1")
        self.pending = (self.pending + said)[-20_000:]


def babble_at(family: str, seed: int, calls: int) -> None:
    time = VirtualTime(0)
    stream = Babble(time, random.Random(seed))
    driver = OSCILLATORS[family]
    assert driver.open is not None
    part: Any = driver.open(stream, time)
    rng = random.Random(seed + 1)
    for _ in range(calls):
        begun_ns = time.mono_ns()
        with contextlib.suppress(TimeCardError):
            rng.choice(CALLS)(part)
        assert time.mono_ns() - begun_ns < 60 * NS_PER_S


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1 << 32))
@pytest.mark.parametrize("family", FAMILIES)
def test_babble_is_a_value_or_an_error(family: str, seed: int) -> None:
    babble_at(family, seed, 9)


@pytest.mark.full
@pytest.mark.parametrize("family", FAMILIES)
def test_babble_for_long(family: str) -> None:
    for seed in range(20_000):
        babble_at(family, seed, 9)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_detection_in_babble_ends(seed: int) -> None:
    time = VirtualTime(0)
    stream = Babble(time, random.Random(seed))
    with contextlib.suppress(TimeCardError):
        detect(lambda baud: stream, time)
    assert time.mono_ns() < 1_000 * NS_PER_S + 120 * NS_PER_S
