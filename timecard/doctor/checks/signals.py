"""Connectors, generators, counters, and delays that are taken out more than once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from types import MappingProxyType
from typing import Final

from timecard.doctor.findings import Case, Entry, Group, Seen, Severity

ALIKE_NS: Final = 5.0
ALIKE_SHARE: Final = 0.05
ENTRIES: Final = MappingProxyType(
    {
        "sma-input-twice": Entry(
            severity=Severity.WARN,
            title="{connectors} all feed {function}",
            cause="One function takes one connector: the hardware listens to the lowest number and ignores "
            "the others.",
            fix="Take the function from all but one of {connectors}: `timecard sma set`.",
        ),
        "sma-output-driven": Entry(
            severity=Severity.WARN,
            title="something drives sma{number}, which is an output",
            cause="A cable connects it to another output, of this card or of another device.",
            fix="Take the cable off, or make sma{number} an input: `timecard sma set {number} in ...`.",
        ),
        "generator-error": Entry(
            severity=Severity.WARN,
            title="signal generator {number}: {error}",
            cause="Its start lay in the past, its period or width is impossible, or the clock was stepped "
            "while it ran; it makes no pulses.",
            fix="Start it again: `timecard output start {number} ...`, with a start in the future.",
        ),
        "counter-error": Entry(
            severity=Severity.INFO,
            title="frequency counter {number}: {error}",
            cause="It counts up to 10 MHz; above that there is no result.",
            fix="Feed it with 10 MHz or less, or switch it off.",
        ),
        "delay-doubled": Entry(
            severity=Severity.WARN,
            title="{first} and {second} both compensate {delay_ns} ns",
            cause="The same delay is taken out in two places, so the time is off by it in the other "
            "direction.",
            fix="Compensate each segment in exactly one place: keep one of {first} and {second} and write 0 "
            "to the other (`timecard delay show`).",
        ),
    }
)


def connectors(case: Case) -> Iterator[Seen]:
    """Inputs with the same function; outputs that are driven from outside."""
    sma, words = case.card.sma or (), case.card.words
    users: dict[str, list[str]] = {}
    for each in sma:
        # Without a function bit an input is shown as 10 MHz; only sma1 can be one.
        for function in each.functions if each.direction == "in" else ():
            if function != "10MHz":
                users.setdefault(function, []).append(f"sma{each.number}")
    for function, numbers in users.items():
        if len(numbers) > 1:
            evidence = tuple(str(each) for each in sma if f"sma{each.number}" in numbers)
            yield Seen(
                "sma-input-twice", evidence, {"connectors": " and ".join(numbers), "function": function}
            )
    levels = words.sma_levels or 0 if words else 0
    for each in sma:
        if each.direction == "out" and each.number > 0 and levels >> 4 * (each.number - 1) & 1:
            yield Seen(
                "sma-output-driven", (str(each), f"input status {levels:#06x}"), {"number": each.number}
            )


def generators(case: Case) -> Iterator[Seen]:
    """Generators and counters that report errors."""
    for number, error in (case.card.generators or {}).items():
        yield Seen("generator-error", (f"generator {number}: {error}",), {"number": number, "error": error})
    for number, error in (case.card.counters or {}).items():
        yield Seen("counter-error", (f"counter {number}: {error}",), {"number": number, "error": error})


def delays(case: Case) -> Iterator[Seen]:
    """The same delay in two places."""
    for (first, one_ns), (second, other_ns) in combinations(case.card.delays_ns.items(), 2):
        if abs(one_ns - other_ns) <= max(ALIKE_NS, ALIKE_SHARE * max(abs(one_ns), abs(other_ns))):
            words = {"first": first, "second": second, "delay_ns": f"{one_ns:g}"}
            yield Seen("delay-doubled", (f"{first}: {one_ns:g} ns", f"{second}: {other_ns:g} ns"), words)


GROUP: Final = Group(
    title="Connectors, generators, delays", entries=ENTRIES, card_checks=(connectors, generators, delays)
)
