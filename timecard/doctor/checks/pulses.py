"""The pulse and the 10 MHz that the FPGA's clock gets."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Final

from timecard.card_values import Access, PpsSource
from timecard.doctor.findings import Case, Entry, Group, Seen, Severity

FORCED_SMA: Final = 0x10
FORCED_MAC: Final = 0x20
UNSYNCED: Final = ("clock-not-in-sync", "clock-in-holdover", "clock-wrong", "clock-1970")
ENTRIES: Final = MappingProxyType(
    {
        "pps-forced-absent": Entry(
            severity=Severity.FAIL,
            title="the PPS selector is forced to {forced}, where no pulse comes",
            cause="Somebody chose the input by hand (the vendor driver's holdover attribute, or a register): "
            "the selector does not look for another one.",
            fix="Make the choice automatic again (`timecard registers write pps_select.gpio2 0`; vendor "
            "driver: write 0 to its holdover attribute), or feed {where}.",
            explains=("pps-lost", "pps-errors", "pps-none", *UNSYNCED),
        ),
        "pps-none": Entry(
            severity=Severity.FAIL,
            title="no pulse at any input of the PPS selector",
            cause="Neither receiver nor oscillator nor a connector gives a pulse.",
            fix="A receiver gives a pulse once it has a fix (or always, if configured so): look at the "
            "receiver and its pulse configuration; check that the oscillator module is fitted.",
            explains=("pps-lost", "pps-errors", *UNSYNCED),
        ),
        "pps-slave-off": Entry(
            severity=Severity.FAIL,
            title="the PPS slave is switched off",
            cause="Its enable bit is 0: the clock's servo gets no pulse, whatever the selector chose.",
            fix="Enable it (bit 0 of the control register at {offset}): power cycling restores the image's "
            "default, which is on.",
            explains=("pps-lost", "pps-errors", "clock-not-in-sync", "clock-in-holdover"),
        ),
        "pps-lost": Entry(
            severity=Severity.WARN,
            title="the PPS supervisor reports lost pulses",
            cause="Pulses were missing. The flag stays until it is cleared: with the kernel driver that is "
            "each second, else it may be old.",
            fix="Look at the receiver, its antenna and the PPS selection; then look again.",
        ),
        "pps-errors": Entry(
            severity=Severity.WARN,
            title="the PPS supervisor saw a period that is not 1 s",
            cause="Two pulses came less than 0.9 s or more than 1.1 s apart: a bouncing contact, a second "
            "source, a restart of the receiver. The flag stays until it is cleared and may be old.",
            fix="Check cable and level of the pulse; if it comes from the receiver, its time pulse setting.",
        ),
        "clock-follows-oscillator": Entry(
            severity=Severity.INFO,
            title="the clock follows the oscillator module's pulse",
            cause="The selector prefers the module's pulse to the receiver's. Its phase is right only if the "
            "module is disciplined by the receiver, or a daemon steers the clock by registers.",
            fix="Nothing to do while a daemon disciplines the card. Else let the module follow the "
            "receiver, or choose the receiver's pulse: `timecard registers write pps_select.gpio2 3`.",
        ),
        "ten-mhz-forced-absent": Entry(
            severity=Severity.FAIL,
            title="the 10 MHz is forced to {forced}, and is not there",
            cause="The selector's second word forces an input that carries no 10 MHz.",
            fix="Feed 10 MHz into {where}, or write 0 to the selector's second word.",
            explains=("ten-mhz-onboard", "clock-rate", "clock-not-in-sync"),
        ),
        "ten-mhz-onboard": Entry(
            severity=Severity.WARN,
            title="the clock runs from the small on-board oscillator",
            cause="Neither SMA1 nor the oscillator module delivers 10 MHz: the module is warming up, is not "
            "fitted or its output is off. The on-board part is off by some ppm and has no holdover.",
            fix="Wait for the module's warm-up; check that its 10 MHz reaches the FPGA, or feed 10 MHz into "
            "SMA1.",
            explains=("clock-not-in-sync",),
        ),
    }
)


def selection(case: Case) -> Iterator[Seen]:
    """Is there a pulse, and is the right one chosen."""
    selector = case.card.selector
    if selector is None:
        return
    present = ", ".join(sorted(source.name for source in selector.present)) or "none"
    evidence = (f"pulses at: {present}",)
    if selector.forced is not None and selector.forced not in selector.present:
        words = {"forced": selector.forced.name, "where": _where(case, selector.forced)}
        yield Seen("pps-forced-absent", (*evidence, f"forced: {selector.forced.name}"), words)
    if not selector.present:
        yield Seen("pps-none", evidence)
    status = case.card.clock_status
    follows_pulse = status is not None and status.source == "PPS"
    if follows_pulse and selector.selected is PpsSource.MAC and PpsSource.GNSS in selector.present:
        yield Seen("clock-follows-oscillator", (*evidence, "selected: MAC"))


def supervisor(case: Case) -> Iterator[Seen]:
    """The PPS slave."""
    slave, board = case.card.pps_slave, case.board
    if slave is None or board is None:
        return
    if slave.enabled is False:
        offset = f"{board.at('pps_to_clk', 'ctrl'):#x}" if board.has("pps_to_clk") else "the PPS slave"
        yield Seen("pps-slave-off", ("enable bit 0",), {"offset": offset})
        return
    status = case.card.clock_status
    if case.card.access is not Access.KERNEL and status is not None and status.in_sync:
        return  # nobody clears the flags here: they stay from the start of a clock that follows well
    severity = Severity.WARN if case.card.access is Access.KERNEL else Severity.INFO
    if slave.lost:
        yield Seen("pps-lost", ("supervision error set",), {}, severity)
    if slave.filter_error:
        yield Seen("pps-errors", ("filter error set",), {}, severity)


def ten_megahertz(case: Case) -> Iterator[Seen]:
    """Where the 10 MHz comes from."""
    selector, words, oscillator = case.card.selector, case.card.words, case.card.oscillator
    if selector is None:
        return
    evidence = (f"10 MHz from: {selector.clock_10mhz}",)
    forces = words.selector_forces or 0 if words else 0
    for bit, name, where in (
        (FORCED_SMA, "sma", "sma1"),
        (FORCED_MAC, "mac", "the oscillator module's input"),
    ):
        if forces & bit and selector.clock_10mhz != name:
            yield Seen("ten-mhz-forced-absent", evidence, {"forced": name, "where": where})
    if selector.clock_10mhz == "onboard":
        answers = oscillator is not None and oscillator.family is not None
        severity = Severity.WARN if answers else Severity.INFO
        yield Seen("ten-mhz-onboard", evidence, {}, severity)


def _where(case: Case, source: PpsSource) -> str:
    if source is not PpsSource.SMA:
        return "the receiver's pulse" if source is PpsSource.GNSS else "the oscillator's pulse"
    inputs = [f"sma{c.number}" for c in case.card.sma or () if c.direction == "in" and "PPS1" in c.functions]
    return " or ".join(inputs) + " (function PPS1)" if inputs else "a connector with the function PPS1"


GROUP: Final = Group(
    title="Pulse and 10 MHz", entries=ENTRIES, card_checks=(selection, supervisor, ten_megahertz)
)
