"""The phase proof: the receiver's pulse against the clock's own, latched by the same clock.

TS0 latches the GNSS pulse, TS5 the pulse that the clock makes at its own seconds; their difference is clock
minus reference (positive: the clock is ahead), apart from delays that nobody took out on the way to TS0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from timecard.bringup.bench import Bench
from timecard.bringup.card_settings import GNSS_CHANNEL, OWN_CHANNEL
from timecard.bringup.delays import ANTENNA_CHAIN, DelayLedger
from timecard.bringup.engine import Stepper
from timecard.bringup.intent import ProofIntent
from timecard.bringup.report import Outcome
from timecard.card_protocols import EdgeChannel
from timecard.card_values import PpsSource
from timecard.errors import DeviceLostError, TimeCardError, UnsupportedError
from timecard.timescale import NS_PER_S
from timecard.values import EdgeStamp

POLL_S: Final = 0.02
HALF_S: Final = NS_PER_S // 2
SERVO_SOURCES: Final = frozenset({"TOD", "IRIG", "PPS", "PTP", "RTC", "DCF"})
"""Sources whose servo pulls the phase in by itself; any other leaves the clock where it is."""
_IN_A_ROW_NS: Final = NS_PER_S // 10
_AT_THE_LATCH: Final = frozenset({"receiver", "timestamper"})
"""Whoever compensates before the stamp is taken."""


@dataclass(slots=True)
class PhaseProof:
    """Pairs the edges of the two channels and keeps those in a row that are inside the limit. Pure."""

    limit_ns: float
    expected_ns: float = 0.0
    """What the difference is for a clock that is right: delays that nobody took out before the latch."""
    good_ns: list[float] = field(default_factory=list)
    newest_ns: float | None = None
    pairs: int = 0
    _gnss: EdgeStamp | None = None
    _own: EdgeStamp | None = None
    _last_tai_ns: int | None = None

    def gnss_edge(self, stamp: EdgeStamp) -> None:
        """The receiver's pulse was latched."""
        self._gnss = stamp
        self._pair()

    def own_edge(self, stamp: EdgeStamp) -> None:
        """The clock's own pulse was latched."""
        self._own = stamp
        self._pair()

    def _pair(self) -> None:
        if self._gnss is None or self._own is None:
            return
        difference_ns = self._gnss.card_tai_ns - self._own.card_tai_ns
        if abs(difference_ns) >= HALF_S:
            return  # of different seconds: the other one is still to come
        own_tai_ns = self._own.card_tai_ns
        self._gnss = self._own = None
        self.pairs += 1
        phase_ns = difference_ns - self.expected_ns
        in_a_row = (
            self._last_tai_ns is not None and abs(own_tai_ns - self._last_tai_ns - NS_PER_S) < _IN_A_ROW_NS
        )
        self._last_tai_ns, self.newest_ns = own_tai_ns, phase_ns
        if not in_a_row or abs(phase_ns) > self.limit_ns:
            self.good_ns.clear()
        if abs(phase_ns) <= self.limit_ns:
            self.good_ns.append(phase_ns)


def expected_phase_ns(ledger: DelayLedger) -> float:
    """Delay of the GNSS pulse that is still in its stamp, because someone behind the latch compensates it."""
    return math.fsum(
        row.value_ns
        for row in ledger.rows
        if row.segment in ANTENNA_CHAIN and row.compensated_by not in _AT_THE_LATCH
    )


def proof(bench: Bench, stepper: Stepper) -> None:
    """So many pulses in a row inside the limit."""
    wanted = bench.intent.proof
    if wanted is None:
        return
    try:
        _proof(bench, stepper, wanted)
    except DeviceLostError:
        raise
    except TimeCardError as error:
        stepper.lack("phase proof", error, required=wanted.required)


def _proof(bench: Bench, stepper: Stepper, wanted: ProofIntent) -> None:
    if stepper.check and not all(bench.stamping(channel) for channel in (GNSS_CHANNEL, OWN_CHANNEL)):
        stepper.add(
            "phase proof",
            Outcome.NOT_TRIED,
            reason="the timestampers would have to be switched on, which --check does not do",
        )
        return
    channels = bench.timestamper(GNSS_CHANNEL), bench.timestamper(OWN_CHANNEL)
    limit = f"{wanted.seconds} pulses within {wanted.limit_ns:g} ns"
    found = measure(bench, channels, wanted)
    if len(found.good_ns) < wanted.seconds and _step_helps(bench, found):
        before = f"{found.newest_ns:.0f} ns"
        if stepper.check:
            stepper.add("phase", Outcome.WOULD_CHANGE, before=before, wanted="0 ns")
            return
        stepper.changing("phase", before)
        bench.card.clock.step_ns(-round(found.newest_ns or 0.0))
        stepper.add("phase", Outcome.CHANGED, before=before, wanted="0 ns")
        found = measure(bench, channels, wanted)
    if len(found.good_ns) >= wanted.seconds:
        stepper.add("phase proof", Outcome.AS_INTENDED, before=_summary(found.good_ns), wanted=limit)
        return
    stepper.add("phase proof", Outcome.FAILED, wanted=limit, reason=_why_not(bench, found, wanted))


def measure(bench: Bench, channels: tuple[EdgeChannel, EdgeChannel], wanted: ProofIntent) -> PhaseProof:
    """Watch both pulses until there are enough good ones, the time is up, or nobody pulls the phase in."""
    gnss, own = channels
    found = PhaseProof(wanted.limit_ns, expected_phase_ns(bench.intent.ledger))
    deadline_ns = bench.timebase.mono_ns() + round(max(wanted.wait_s, wanted.seconds + 2) * NS_PER_S)
    while len(found.good_ns) < wanted.seconds and bench.timebase.mono_ns() < deadline_ns:
        stamp = gnss.poll()
        if stamp is not None:
            found.gnss_edge(stamp)
        stamp = own.poll()
        if stamp is not None:
            found.own_edge(stamp)
        if found.pairs >= 3 and not found.good_ns and _step_helps(bench, found):
            break
        bench.timebase.sleep_s(POLL_S)
    return found


def _step_helps(bench: Bench, found: PhaseProof) -> bool:
    """The phase is known, beyond the limit, and no servo will remove it."""
    if found.newest_ns is None or abs(found.newest_ns) <= found.limit_ns:
        return False
    return bench.card.clock.source_name() not in SERVO_SOURCES


def _summary(good_ns: list[float]) -> str:
    mean_ns = math.fsum(good_ns) / len(good_ns)
    worst_ns = max(abs(phase_ns) for phase_ns in good_ns)
    return f"{len(good_ns)} pulses in a row, at most {worst_ns:.0f} ns, mean {mean_ns:+.1f} ns"


def _why_not(bench: Bench, found: PhaseProof, wanted: ProofIntent) -> str:
    if found.pairs == 0:
        return (
            f"no pair of pulses within {wanted.wait_s:g} s: the receiver makes no pulse (no lock?) or the "
            "clock has none of its own"
        )
    return (
        f"{len(found.good_ns)} of {wanted.seconds} pulses in a row within {wanted.limit_ns:g} ns, the newest "
        f"{found.newest_ns:+.0f} ns: {_advice(bench)}"
    )


def _advice(bench: Bench) -> str:
    if bench.card.clock.source_name() not in SERVO_SOURCES:
        return "nobody steers this clock and its oscillator runs away: let the appliance steer it first"
    try:
        selected = bench.card.selector().selected
    except UnsupportedError:
        return "see which pulse its servo follows, and raise wait_s"
    if selected is not None and selected is not PpsSource.GNSS:
        return (
            f'its servo follows the pulse of {selected.name.lower()}: [selection] pps = "gnss" where the '
            'card can choose, else clock_source = "REGS"'
        )
    return "its servo needs longer: raise wait_s"
