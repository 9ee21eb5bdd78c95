"""Which oscillator answers on a port: probes in an order that changes nothing in any part.

At 57600 baud ``{device?}``, then ``6``, then ``^``; at 9600 CR LF and ``FD``. Never an SA5X parameter name:
its capital letters are commands of a CSAC (an ``S`` moves its pulse). Before each probe the line is drained,
since a CSAC answers ``{device?}`` with its help text. Who opens the port sees to it that nobody else reads
from it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from timecard.errors import (
    DeviceAbsentError,
    DeviceTimeoutError,
    ProtocolError,
    RefusedError,
    UnsupportedError,
)
from timecard.mac.driver import I2cPort, Oscillator, OscillatorDriver
from timecard.mac.oscillators import OSCILLATORS
from timecard.mac.wear import WearLedger
from timecard.protocols import ByteStream
from timecard.timebase import Timebase
from timecard.timescale import NS_PER_S
from timecard.values import OscillatorIdentity

OpenLine = Callable[[int], ByteStream]
"""Opens the port, or changes its rate, in baud."""
SETTLE_S: Final = 0.05
QUIET_S: Final = 0.25
DRAIN_S: Final = 1.5
"""A line that never falls silent is probed all the same."""
ROUNDS: Final = 2
NOT_THIS_PART: Final = (
    DeviceAbsentError,
    DeviceTimeoutError,
    ProtocolError,
    RefusedError,
    UnsupportedError,
)
"""What a driver stumbles over when another part answers; a lost line is none of these."""
PAUSE_S: Final = 3.0
"""An SA5X that has just been switched on takes this long to answer."""
_SAMPLE: Final = 96
_MAX_READ: Final = 4096
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Detected:
    """Who answers."""

    driver: OscillatorDriver
    oscillator: Oscillator
    identity: OscillatorIdentity
    baud: int


def detect(
    open_line: OpenLine,
    timebase: Timebase,
    *,
    expected: str | None = None,
    port_baud: int | None = None,
    wear: WearLedger | None = None,
    drivers: Iterable[OscillatorDriver] | None = None,
    rounds: int = ROUNDS,
) -> Detected:
    """The oscillator on a port, opened.

    ``expected``: the family that usually sits there; its rate is tried first. Raises ``DeviceAbsentError``
    that says what was heard at which rate. What ``open_line`` raises goes through: the ``RefusedError``
    that names another program on the port; a further rate that the port cannot make is left out.
    ``port_baud``: the rate that the card's maker has given to its module, where that is not the usual one.
    """
    known = sorted(OSCILLATORS.values() if drivers is None else drivers, key=lambda driver: driver.order)
    plan = _plan(known, expected, port_baud)
    heard: dict[int, str] = {}
    first: _HearingStream | None = None
    for number in range(max(1, rounds)):
        if number:
            timebase.sleep_s(PAUSE_S)
        for baud, candidates in plan.items():
            try:
                stream = _HearingStream(open_line(baud))
            except RefusedError as error:
                if first is None:
                    raise
                heard[baud] = f"not tried: {error.reason}"
                continue
            first = first or stream
            for driver in candidates:
                _drain(stream, timebase)
                identity = _probed(driver, stream, timebase)
                if identity is not None and driver.open is not None:
                    oscillator = driver.open(stream.inner, timebase, wear=wear)
                    return Detected(driver=driver, oscillator=oscillator, identity=identity, baud=baud)
            if stream.count or baud not in heard:
                heard[baud] = stream.summary()
    name = first.name if first is not None else "oscillator port"
    said = "; ".join(f"at {baud} baud {text}" for baud, text in heard.items())
    raise DeviceAbsentError(
        name,
        "identify oscillator",
        f"no oscillator that we know answers ({said}): a quartz card has no serial port, or the MAC "
        "pins are on I2C",
    )


def detect_i2c(
    port: I2cPort,
    timebase: Timebase,
    *,
    expected: str | None = None,
    drivers: Iterable[OscillatorDriver] | None = None,
) -> tuple[Oscillator, OscillatorIdentity]:
    """The oscillator on an I2C bus, opened: the first driver that knows its part, ``expected`` before others.

    Raises ``DeviceAbsentError`` that says what each family missed.
    """
    known = OSCILLATORS.values() if drivers is None else drivers
    missed: list[str] = []
    for driver in sorted(known, key=lambda each: (each.family != expected, each.order)):
        if driver.open_i2c is None or (driver.only_by_name and driver.family != expected):
            continue
        part = driver.open_i2c(port, timebase)
        try:
            return part, part.identify()
        except NOT_THIS_PART as error:
            missed.append(f"{driver.family}: {error.reason}")
    raise DeviceAbsentError(port.name, "identify oscillator", "; ".join(missed) or "no driver for this bus")


def _probed(driver: OscillatorDriver, stream: ByteStream, timebase: Timebase) -> OscillatorIdentity | None:
    """A lost line is an error; whatever else a probe stumbles over is another part's answer."""
    try:
        return driver.probe(stream, timebase) if driver.probe is not None else None
    except NOT_THIS_PART as error:
        _LOG.info("probe for %s: %s", driver.family, error)
        return None


def _plan(
    known: Sequence[OscillatorDriver], expected: str | None, port_baud: int | None
) -> dict[int, list[OscillatorDriver]]:
    """Which probes at which rate, in order: the expected part's rate first."""
    by_baud: dict[int, list[OscillatorDriver]] = {}
    for driver in sorted(known, key=lambda each: each.family != expected):
        if driver.baud is not None:
            by_baud.setdefault(driver.baud, []).append(driver)
    for drivers in by_baud.values():
        drivers.sort(key=lambda each: each.order)
    if port_baud is None or port_baud in by_baud or not by_baud:
        return by_baud
    return {port_baud: next(iter(by_baud.values())), **by_baud}


def _drain(stream: _HearingStream, timebase: Timebase) -> None:
    """Let the part finish what it has to say."""
    timebase.sleep_s(SETTLE_S)
    deadline_ns = timebase.mono_ns() + round(DRAIN_S * NS_PER_S)
    while stream.read(_MAX_READ, QUIET_S) and timebase.mono_ns() < deadline_ns:
        pass


class _HearingStream:
    """A stream that remembers how much came, and the beginning of it."""

    def __init__(self, inner: ByteStream) -> None:
        self.inner = inner
        self.name = inner.name
        self.count = 0
        self._sample = b""

    def read(self, max_bytes: int, timeout_s: float) -> bytes:
        data = self.inner.read(max_bytes, timeout_s)
        self.count += len(data)
        self._sample = (self._sample + data)[:_SAMPLE]
        return data

    def write(self, data: bytes) -> None:
        self.inner.write(data)

    def summary(self) -> str:
        if not self.count:
            return "nothing was heard"
        text = self._sample.decode("ascii", "backslashreplace").strip()
        shown = "".join(c if c.isprintable() else " " for c in text)
        return f"{self.count} bytes were heard: {shown!r}"
