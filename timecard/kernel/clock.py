"""The card's clock through the kernel: the PHC, and ``clock_source`` in sysfs.

What mainline's ``ptp_ocp`` does with a request (``drivers/ptp/ptp_ocp.c``): frequency is refused; an
adjustment below 50 ms is slewed evenly over the next second, from 50 ms on it is a step; beyond a second
the driver reads, adds and loads, about a microsecond late.
"""

from __future__ import annotations

from typing import Final

from timecard.clock_setting import TICK_NS, refuse_what_does_not_fit, step_by_loading
from timecard.errors import (
    DeviceLostError,
    ProtocolError,
    RefusedError,
    TimeCardError,
    UnsupportedError,
)
from timecard.kernel import attributes as a
from timecard.kernel.cross_timestamp import CrossComparer
from timecard.kernel.driver import DriverFacts
from timecard.kernel.phc import SCALED_PPM, Phc
from timecard.kernel.sysfs import SysfsDevice
from timecard.timebase import Timebase
from timecard.timescale import NS_PER_S
from timecard.values import CrossTimestamp

SLEW_LIMIT_NS: Final = 50_000_000
"""From here on an adjustment is a step."""
SETTLE_S: Final = 1.01
ALL_ONES_NS: Final = 0xFFFF_FFFF * NS_PER_S + 0xFFFF_FFFF
"""What the driver makes of a card that answers all ones."""
VENDOR_MAX_PPB: Final = 100_000_000.0
STEERING_HINT: Final = (
    "the mainline driver has no frequency control; steer by one-second time adjustments "
    "(timecard.kernel.steering.RegsSteering), or through the registers with the driver unbound"
)


class KernelClock:
    """``CardClock`` through the driver."""

    def __init__(
        self, phc: Phc, device: SysfsDevice, facts: DriverFacts, timebase: Timebase, name: str = "card clock"
    ) -> None:
        self.name = name
        self.phc = phc
        self._device = device
        self._facts = facts
        self._timebase = timebase
        self.comparer = CrossComparer(phc, window_adjust=self.window_adjust_ns, tick_ns=TICK_NS)

    @property
    def max_frequency_ppb(self) -> float:
        """0 with the mainline driver, which refuses every frequency."""
        return VENDOR_MAX_PPB if self._facts.is_vendor else 0.0

    # --- reading ---

    def now_tai_ns(self) -> int:
        """Read the clock; raises ``DeviceLostError`` for the time of a card that has gone."""
        now_ns = self.phc.now_ns()
        self._plausible("read", now_ns)
        return now_ns

    def cross_timestamp(self) -> CrossTimestamp:
        """Compare with CLOCK_MONOTONIC_RAW; brackets that the driver broke are repaired."""
        stamp = self.comparer.cross_timestamp()
        self._plausible("cross timestamp", stamp.card_tai_ns + TICK_NS // 2)
        return stamp

    def window_adjust_ns(self) -> int | None:
        """The driver's ``ts_window_adjust``; negative means broken, None that it cannot be read."""
        try:
            return self._device.read(a.TS_WINDOW_ADJUST)
        except TimeCardError:
            return None

    # --- setting ---

    def set_tai_ns(self, tai_ns: int) -> None:
        """Load a time; it is late by the bus's latency, about a microsecond."""
        refuse_what_does_not_fit(self.name, tai_ns)
        self.phc.set_ns(tai_ns)

    def step_ns(self, delta_ns: int) -> None:
        """Add ``delta_ns``; returns when all of it is in.

        Below 50 ms the driver has the core slew it, which takes a second. Beyond a second the time is
        loaded (large negative adjustments hang vendor drivers), and what the latency left of it is measured
        and added.
        """
        if delta_ns == 0:
            return
        if abs(delta_ns) < NS_PER_S:
            self._adjust(delta_ns)
            return
        residual_ns = step_by_loading(self, delta_ns)
        if abs(residual_ns) > TICK_NS:
            self._adjust(residual_ns)

    def _adjust(self, delta_ns: int) -> None:
        self.phc.adjust_ns(delta_ns)
        if abs(delta_ns) < SLEW_LIMIT_NS:
            self._timebase.sleep_s(SETTLE_S)

    def slew_ns(self, delta_ns: int) -> None:
        """Have less than 50 ms added evenly over the next second.

        Returns at once. Replaces a running slew.
        """
        if abs(delta_ns) >= SLEW_LIMIT_NS:
            raise RefusedError(self.name, "slew", f"{delta_ns} ns would be a step")
        self.phc.adjust_ns(delta_ns)

    def set_frequency_ppb(self, frequency_ppb: float) -> float:
        """Steer, where the driver can: vendor drivers do, mainline raises ``UnsupportedError``.

        Returns what is really in force: vendor drivers take whole ppm and, of the rest, only 1000/n ppb.
        """
        if not abs(frequency_ppb) <= VENDOR_MAX_PPB:
            raise RefusedError(self.name, "steer", f"{frequency_ppb} ppb is beyond {VENDOR_MAX_PPB:.0f} ppb")
        word, in_force_ppb = vendor_frequency(frequency_ppb)
        try:
            self.phc.set_frequency_ppb(word * 1000 / SCALED_PPM)
        except UnsupportedError as error:
            raise UnsupportedError(self.name, "steer", STEERING_HINT) from error
        return in_force_ppb

    # --- source ---

    def source_name(self) -> str:
        """What the clock follows."""
        name = self._device.read(a.CLOCK_SOURCE)
        if name is None:
            self._plausible("read clock_source", self.phc.now_ns())
            raise ProtocolError(self.name, "read clock_source", "the clock follows a source without a name")
        return name

    def select_source(self, name: str) -> None:
        """Follow another source; the driver would take ``PPSx`` for PPS, so the name is checked here."""
        available: tuple[str, ...] = ()
        if self._device.has(a.AVAILABLE_CLOCK_SOURCES):
            available = self._device.read(a.AVAILABLE_CLOCK_SOURCES)
        if available and name not in available:
            raise RefusedError(
                self.name, "select source", f"no source {name!r}, there are {', '.join(available)}"
            )
        self._device.write(a.CLOCK_SOURCE, name)
        seen = self.source_name()
        if seen != name:
            raise ProtocolError(self.name, "select source", f"{name} was written, the clock follows {seen}")

    def _plausible(self, operation: str, now_ns: int) -> None:
        if now_ns == ALL_ONES_NS:
            raise DeviceLostError(self.name, operation, "the card answers all ones: it has gone")


def vendor_frequency(frequency_ppb: float) -> tuple[int, float]:
    """The nearest frequency that vendor drivers can do: the kernel's word for it (1/65536 ppm), and ppb.

    They make ``ppm * 1000 + 1000 / floor(65536 / f)`` ppb of a word with ``ppm`` whole and ``f`` of 65536
    parts.
    """
    sign = -1 if frequency_ppb < 0 else 1
    ppm, rest_ppb = divmod(abs(frequency_ppb), 1000.0)
    exact = rest_ppb * SCALED_PPM / 1000
    near = max(1.0, min(float(SCALED_PPM), 1000 / rest_ppb if rest_ppb else SCALED_PPM))
    parts = {round(exact) + step for step in (-1, 0, 1)}
    # The largest part that is divided down to n; not every n has one.
    parts |= {SCALED_PPM // max(1, round(near) + step) for step in (-1, 0, 1)}
    choices = [(0, 0.0), (SCALED_PPM, 1000.0)]
    choices += [(part, 1000 / (SCALED_PPM // part)) for part in parts if 0 < part < SCALED_PPM]
    part, part_ppb = min(choices, key=lambda choice: abs(choice[1] - rest_ppb))
    return sign * (int(ppm) * SCALED_PPM + part), sign * (ppm * 1000 + part_ppb)
