"""Findings as text for people and as JSON for programs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, Final

from timecard.doctor.diagnose import exit_status
from timecard.doctor.facts import CardExamination, SystemFacts
from timecard.doctor.findings import Finding, Severity

WIDTH: Final = 100
_MARKS: Final = {Severity.FAIL: "FAIL", Severity.WARN: "WARN", Severity.INFO: "info"}
_EVIDENCE_SHOWN: Final = 6


def report_json(facts: SystemFacts, findings: Sequence[Finding]) -> dict[str, Any]:
    """One object; ``status`` is the exit status."""
    return {
        "status": exit_status(findings),
        "seconds": facts.seconds,
        "kernel": facts.host.kernel,
        "cards": [_card(card) for card in facts.cards],
        "findings": [
            {
                "id": each.id,
                "severity": each.severity.name.lower(),
                "card": each.card,
                "title": each.title,
                "cause": each.cause,
                "evidence": list(each.evidence),
                "fix": each.fix,
                "consequence_of": each.consequence_of,
            }
            for each in findings
        ],
    }


def report_lines(facts: SystemFacts, findings: Sequence[Finding], *, verbose: bool = False) -> Iterable[str]:
    """Text: the cards, then root causes with cause, evidence and fix; consequences as one line each.

    Of findings that only inform there is the title, unless ``verbose``.
    """
    for card in facts.cards:
        yield _card_line(card)
    for each in findings:
        mark = _MARKS[each.severity]
        where = f" [{each.card}]" if each.card and len(facts.cards) > 1 else ""
        if each.consequence_of is not None:
            yield from _wrapped(f"follows from it: {each.title} ({each.id})", "      - ", "        ")
            continue
        yield from _wrapped(f"{mark}  {each.title} ({each.id}){where}", "", "      ")
        if each.severity is Severity.INFO and not verbose:
            continue
        yield from _paragraph("cause", each.cause)
        for evidence in each.evidence if verbose else each.evidence[:_EVIDENCE_SHOWN]:
            yield from _paragraph("seen", evidence)
        yield from _paragraph("fix", each.fix)
    yield _summary(facts, findings)


def _card(card: CardExamination) -> dict[str, Any]:
    return {
        "id": card.id,
        "board": card.board,
        "address": card.pci.address if card.pci else card.access_path,
        "driver": card.pci.driver if card.pci else None,
        "access": card.access.value if card.access else None,
        "image": str(card.image) if card.image else None,
        "missing": dict(card.missing),
    }


def _card_line(card: CardExamination) -> str:
    way = card.access.value if card.access else "not opened"
    driver = f", driver {card.pci.driver}" if card.pci and card.pci.driver else ""
    image = f", {card.image}" if card.image else ""
    return f"card  {card.id} ({card.board or 'unknown board'}, {way}{driver}{image})"


def _summary(facts: SystemFacts, findings: Iterable[Finding]) -> str:
    roots = [each for each in findings if each.consequence_of is None]
    counts = {severity: sum(each.severity is severity for each in roots) for severity in Severity}
    if not counts[Severity.FAIL] and not counts[Severity.WARN]:
        return f"healthy: nothing to repair ({facts.seconds:.1f} s)"
    return f"{counts[Severity.FAIL]} failures, {counts[Severity.WARN]} warnings ({facts.seconds:.1f} s)"


def _paragraph(label: str, text: str) -> list[str]:
    lead = f"      {label + ':':6} "
    return _wrapped(text, lead, " " * len(lead))


def _wrapped(text: str, first: str, rest: str) -> list[str]:
    # What a device, a log or a file said may contain anything: only printable characters reach the terminal.
    clean = "".join(char if char.isprintable() else "?" for char in text)
    return textwrap.wrap(
        clean,
        WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_on_hyphens=False,
        break_long_words=False,
    )
