"""What this examination could not see, said once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import MappingProxyType
from typing import Final

from timecard.doctor.facts import CardExamination, FailureKind, HostFacts
from timecard.doctor.findings import Case, Entry, Group, Seen, Severity

_ELSEWHERE: Final = ("open", "clock", "identity", "flash_bytes", "receiver", "oscillator")
"""Probes whose failures other checks explain."""
_QUIET: Final = (FailureKind.LOST, FailureKind.STUCK, FailureKind.UNSUPPORTED, FailureKind.SKIPPED)
ENTRIES: Final = MappingProxyType(
    {
        "probe-failed": Entry(
            severity=Severity.WARN,
            title="could not examine: {probes}",
            cause="The card or the driver answered with an error there.",
            fix="Read the evidence; run the examination again as root.",
        ),
        "serial-unknown": Entry(
            severity=Severity.INFO,
            title="not examined: {probes}",
            cause="{reasons}",
            fix="Nothing to do; stop the other program, or examine as root, to see more.",
        ),
        "access-limits": Entry(
            severity=Severity.INFO,
            title="this way to the card ({access}) does not show: {things}",
            cause="Board and access path do not offer it; the evidence has the reason for each.",
            fix="Nothing to do. Another way to the card (kernel driver, resource0, VFIO) may show more.",
        ),
        "kernel-log-unreadable": Entry(
            severity=Severity.INFO,
            title="the kernel's log cannot be read",
            cause="This user may not read /dev/kmsg, so the driver's own words are missing here.",
            fix="Run as root, or `sysctl kernel.dmesg_restrict=0`.",
        ),
    }
)


def log(host: HostFacts, cards: Iterable[CardExamination]) -> Iterator[Seen]:
    """The kernel's log."""
    driven = any(card.pci is not None for card in cards)
    if host.kernel_log is None and driven:
        yield Seen("kernel-log-unreadable", (f"user {host.user}",))


def unseen(case: Case) -> Iterator[Seen]:
    """Probes without result, and what the access path lacks."""
    card = case.card
    bad = {
        probe: why
        for probe, why in card.failures.items()
        if probe not in _ELSEWHERE and why.kind not in _QUIET
    }
    if bad:
        yield Seen(
            "probe-failed",
            tuple(f"{probe}: {why.text}" for probe, why in bad.items()),
            {"probes": ", ".join(bad)},
        )
    left_out = {
        probe: why
        for probe, why in card.failures.items()
        if probe in ("receiver", "oscillator", "time left")
        and why.kind in (FailureKind.SKIPPED, FailureKind.STUCK, FailureKind.PERMISSION, FailureKind.REFUSED)
    }
    if left_out:
        reasons = "; ".join(dict.fromkeys(why.text for why in left_out.values()))
        evidence = tuple(f"{probe}: {why.text}" for probe, why in left_out.items())
        yield Seen("serial-unknown", evidence, {"probes": ", ".join(left_out), "reasons": reasons})
    if card.missing and card.access is not None:
        words = {"access": card.access.value, "things": ", ".join(card.missing)}
        yield Seen("access-limits", tuple(f"{thing}: {why}" for thing, why in card.missing.items()), words)


GROUP: Final = Group(
    title="Limits of the examination", entries=ENTRIES, card_checks=(unseen,), host_checks=(log,)
)
