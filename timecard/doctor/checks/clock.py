"""The card's clock: does it run, at the right rate, at the right time, from the right source."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Final

from timecard.boards.registers import CLOCK_SOURCES
from timecard.doctor.facts import ClockFacts, FailureKind
from timecard.doctor.findings import Case, Entry, Group, Seen, Severity
from timecard.timescale import NS_PER_S, S_PER_WEEK, TAI_MINUS_UTC_2017_S

YEAR_2000_TAI_NS: Final = 946_684_832 * NS_PER_S
YEAR_2024_TAI_NS: Final = 1_704_067_237 * NS_PER_S
"""A host that shows less has a wrong clock itself."""
STOPPED_SHARE: Final = 0.001
MAX_RATE_PPM: Final = 100.0
MAX_HALF_WIDTH_NS: Final = 1_000_000.0
OTHER_BASE_NS: Final = 1e9
SLACK_NS: Final = 1_000.0
NEAR_NS: Final = 1_500_000_000
KEPT_NS: Final = NS_PER_S * 6 // 10
"""A host whose clock is kept is off by far less; from a whole second on the card is wrong."""
UNKEPT_NS: Final = 2 * NS_PER_S
"""A clock that was set from the machine's own at its start may be off by a second."""
ROLLOVER_NS: Final = 1024 * S_PER_WEEK * NS_PER_S
EXTERNAL_SOURCES: Final = ("IRIG", "DCF", "PTP", "RTC", "NTP")
_TIME: Final = (
    *("clock-wrong", "clock-not-in-sync", "clock-shows-utc", "clock-in-holdover"),
    "host-clock-off",
)
ENTRIES: Final = MappingProxyType(
    {
        "clock-not-readable": Entry(
            severity=Severity.FAIL,
            title="the card's clock cannot be read",
            cause="{reason}",
            fix="Power cycle the machine; if it stays, the image is damaged: `timecard flash verify`.",
            explains=("probe-failed", *_TIME),
        ),
        "clock-stopped": Entry(
            severity=Severity.FAIL,
            title="the card's clock does not advance",
            cause="The clock core gets no clock or was switched off: no 10 MHz reaches its PLL, or bit 0 of "
            "its control register is 0.",
            fix="Check what feeds the 10 MHz (`timecard info`, SMA1 and the oscillator); load the time with "
            "`timecard phc set host`, which also switches the clock on. Else power cycle.",
            explains=("clock-1970", "clock-rate", "clock-source-none", "pps-lost", "pps-errors", *_TIME),
        ),
        "clock-backwards": Entry(
            severity=Severity.FAIL,
            title="the card's clock went back by {back_ms} ms between two readings",
            cause="Something stepped the clock during the examination, or two programs set it in turn.",
            fix="Find the other program (chrony, phc2sys, ptp4l, a second daemon) and stop it; then look "
            "again.",
            explains=("clock-rate", *_TIME),
        ),
        "clock-1970": Entry(
            severity=Severity.FAIL,
            title="the card's clock shows {date}",
            cause="It runs since power-on, and nobody has given it the time: no time of day from the "
            "receiver, and no program that set it.",
            fix="`timecard phc set host` loads the host's time; the receiver's messages then keep the "
            "seconds.",
            explains=_TIME,
        ),
        "week-rollover": Entry(
            severity=Severity.FAIL,
            title="the card's clock is {weeks} weeks off",
            cause="GPS counts weeks modulo 1024: the receiver, or its firmware, resolves the count to a "
            "wrong epoch and the time of day carries it to the clock.",
            fix="Update the firmware of the receiver (or set its reference date), then load the time again.",
            explains=_TIME,
        ),
        "clock-shows-utc": Entry(
            severity=Severity.FAIL,
            title="the card's clock is {seconds} s behind TAI",
            cause="It was loaded with UTC: the driver loads the system's time as TAI, which is UTC as long "
            "as the kernel's TAI offset is 0.",
            fix="Let a time daemon give the kernel the TAI offset (chrony: `leapsectz right/UTC`), then load "
            "the clock: `timecard phc set host`.",
            explains=("clock-wrong", "clock-not-in-sync", "kernel-tai-offset"),
        ),
        "clock-wrong": Entry(
            severity=Severity.FAIL,
            title="card and host differ by {difference} s",
            cause="The card's clock does not follow a receiver at the moment, and it shows another time than "
            "the host. One of them was set wrong.",
            fix="Find out which is right; `timecard phc set host` loads the host's time into the card.",
            explains=("clock-not-in-sync",),
        ),
        "host-clock-off": Entry(
            severity=Severity.INFO,
            title="the host's clock is {difference} s from the card's",
            cause="The card is in sync with its receiver, so the host's clock is the wrong one.",
            fix="Let chrony or phc2sys take the time from the card.",
        ),
        "clock-rate": Entry(
            severity=Severity.FAIL,
            title="the card's clock runs {ppm} ppm fast (+) or slow (-)",
            cause="The 10 MHz that it counts has another frequency, or its drift register holds an old "
            "correction.",
            fix="Check the 10 MHz (`timecard info`, cable on SMA1, oscillator); a wrong drift correction "
            "goes with `timecard phc steer 0`.",
            explains=("clock-wrong", "clock-not-in-sync"),
        ),
        "clock-source-unknown": Entry(
            severity=Severity.WARN,
            title="the clock follows a source of no known name: {source}",
            cause="The source register holds a value that no driver has a name for, or the card answers "
            "nonsense.",
            fix="Choose a source: `timecard phc source PPS`.",
            explains=("clock-not-in-sync",),
        ),
        "clock-source-none": Entry(
            severity=Severity.WARN,
            title="the clock follows nothing",
            cause="Its source is NONE: it counts the oscillator and nobody corrects it.",
            fix="Choose a source: `timecard phc source PPS`, or REGS when a daemon steers.",
            explains=("clock-not-in-sync", "clock-in-holdover"),
        ),
        "clock-source-unfed": Entry(
            severity=Severity.WARN,
            title="the clock follows {source}, which does not come",
            cause="The chosen source delivers nothing: no connector feeds it, or its signal is missing.",
            fix="Feed it (`timecard sma`), or follow the receiver: `timecard phc source PPS`.",
            explains=("clock-not-in-sync", "clock-in-holdover"),
        ),
        "clock-in-holdover": Entry(
            severity=Severity.WARN,
            title="the clock is in holdover",
            cause="Its source has not corrected it for seconds; it runs on alone.",
            fix="Look for the lost pulse: receiver, antenna, PPS selection.",
            explains=("clock-not-in-sync",),
        ),
        "clock-not-in-sync": Entry(
            severity=Severity.WARN,
            title="the clock is not in sync",
            cause="It follows {source}, but the last corrections were above its limit (500 ns): it was just "
            "started, or its pulse is bad.",
            fix="Wait a minute after a start. If it stays, look at pulse and receiver.",
        ),
        "cross-stamp-wide": Entry(
            severity=Severity.WARN,
            title="reading the clock takes {half_ms} ms",
            cause="Card and host can be compared no better than this: PCIe power saving, a sleepy CPU, or an "
            "emulated machine.",
            fix="`pcie_aspm=off` and shallow idle states (`cpupower idle-set -D 10`) make it shorter.",
        ),
        "cross-stamp-implausible": Entry(
            severity=Severity.WARN,
            title="the cross timestamp ({method}) is {off_ns} ns outside of a plain reading",
            cause="The hardware's comparison of card and host contradicts a bracket that must contain the "
            "truth: wrong PTM delays, or a driver that moves the bracket.",
            fix="Do not use it: read by brackets; look at ts_window_adjust and at the root port's PTM.",
        ),
        "kernel-tai-offset": Entry(
            severity=Severity.INFO,
            title="the kernel's TAI offset is 0",
            cause="No time daemon has told the kernel TAI minus UTC; a driver that loads a clock with the "
            "system's time then loads UTC.",
            fix="chrony: `leapsectz right/UTC`; or ptp4l, or `timecard` itself, which uses its own table.",
        ),
    }
)


def running(case: Case) -> Iterator[Seen]:
    """Does it advance, at which rate, and can it be read."""
    failed, clock, status = case.card.failures.get("clock"), case.card.clock, case.card.clock_status
    if failed is not None and failed.kind in (FailureKind.TIMEOUT, FailureKind.PROTOCOL, FailureKind.REFUSED):
        yield Seen("clock-not-readable", (failed.text,), {"reason": failed.text})
    if clock is None:
        return
    advanced = clock.last_tai_ns - clock.first_tai_ns
    shown = f"{advanced} ns in {clock.elapsed_ns} ns"
    if advanced < -SLACK_NS - clock.elapsed_half_width_ns:
        yield Seen("clock-backwards", (shown,), {"back_ms": f"{-advanced / 1e6:.3f}"})
    elif advanced < clock.elapsed_ns * STOPPED_SHARE:
        yield Seen("clock-stopped", (f"it advanced {shown}",))
    elif status is None or status.in_sync or status.source not in ("PPS", "TOD"):
        # A servo that is still pulling in moves the clock on purpose.
        error_ppm = (advanced - clock.elapsed_ns) / max(1, clock.elapsed_ns) * 1e6
        unsure_ppm = clock.elapsed_half_width_ns / max(1, clock.elapsed_ns) * 1e6
        if abs(error_ppm) > MAX_RATE_PPM + unsure_ppm:
            yield Seen("clock-rate", (f"it advanced {shown}",), {"ppm": f"{error_ppm:+.0f}"})
    yield from _cross_stamp(clock)


def date(case: Case) -> Iterator[Seen]:
    """Is the time plausible."""
    clock, host = case.card.clock, case.host
    if clock is None:
        return
    if host.tai_offset_s == 0:
        yield Seen("kernel-tai-offset", ("adjtimex: tai 0",))
    shown = f"card {clock.last_tai_ns} ns, host {clock.host_tai_ns} ns (TAI)"
    if clock.last_tai_ns < YEAR_2000_TAI_NS:
        years = clock.last_tai_ns // (NS_PER_S * 31_556_952)
        yield Seen("clock-1970", (shown,), {"date": f"the year {1970 + years}"})
        return
    if clock.host_tai_ns < YEAR_2024_TAI_NS:
        return
    difference = clock.last_tai_ns - clock.host_tai_ns
    weeks = round(difference / ROLLOVER_NS)
    if abs(difference + TAI_MINUS_UTC_2017_S * NS_PER_S) < NEAR_NS:
        offset = () if host.tai_offset_s is None else (f"the kernel's TAI offset is {host.tai_offset_s}",)
        yield Seen("clock-shows-utc", (shown, *offset), {"seconds": TAI_MINUS_UTC_2017_S})
    elif weeks and abs(difference - weeks * ROLLOVER_NS) < NEAR_NS:
        yield Seen("week-rollover", (shown,), {"weeks": weeks * 1024})
    elif abs(difference) > clock.half_width_ns + (KEPT_NS if host.clock_synchronised else UNKEPT_NS):
        status = case.card.clock_status
        follows = status is not None and status.in_sync and status.source in ("PPS", "TOD")
        words = {"difference": f"{difference / NS_PER_S:.1f}"}
        yield Seen("host-clock-off" if follows else "clock-wrong", (shown,), words)


def source(case: Case) -> Iterator[Seen]:
    """What the clock follows, and whether that works."""
    status, board = case.card.clock_status, case.board
    if status is None or board is None or not board.has("pps_select"):
        return
    words = {"source": status.source}
    in_sync = "unknown" if status.in_sync is None else "yes" if status.in_sync else "no"
    evidence = (f"clock source {status.source}", f"in sync: {in_sync}")
    if status.source == "NONE":
        yield Seen("clock-source-none", evidence)
    elif status.source not in CLOCK_SOURCES.values():
        yield Seen("clock-source-unknown", evidence, words)
    elif status.source in EXTERNAL_SOURCES and (status.in_sync is False or status.in_holdover):
        yield Seen("clock-source-unfed", evidence, words)
    if status.source in ("NONE", "REGS"):
        return  # whoever steers it knows whether it is in sync
    if status.in_holdover:
        yield Seen("clock-in-holdover", evidence)
    if status.in_sync is False:
        yield Seen("clock-not-in-sync", evidence, words)


def _cross_stamp(clock: ClockFacts) -> Iterator[Seen]:
    if clock.half_width_ns > MAX_HALF_WIDTH_NS:
        half_ms = f"{clock.half_width_ns / 1e6:.1f}"
        yield Seen(
            "cross-stamp-wide", (f"best bracket: +-{clock.half_width_ns:.0f} ns",), {"half_ms": half_ms}
        )
    off_ns = clock.cross_minus_bracket_ns
    # PTM may count another time base than the host's raw clock: then it is not used, and nothing is wrong.
    foreign = clock.cross_method == "ptm" and off_ns is not None and abs(off_ns) > OTHER_BASE_NS
    if off_ns is not None and not foreign and abs(off_ns) > clock.half_width_ns + SLACK_NS:
        words = {"off_ns": f"{off_ns:.0f}", "method": clock.cross_method}
        evidence = (f"bracket +-{clock.half_width_ns:.0f} ns, difference {off_ns:.0f} ns",)
        yield Seen("cross-stamp-implausible", evidence, words)


GROUP: Final = Group(title="Clock", entries=ENTRIES, card_checks=(running, date, source))
