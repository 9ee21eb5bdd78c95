"""From facts to findings: every check is run, root causes explain their consequences. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from timecard.doctor.checks import CATALOGUE, GROUPS, RANKS
from timecard.doctor.facts import SystemFacts
from timecard.doctor.findings import Case, Finding, Seen, Severity

EXIT_HEALTHY: Final = 0
EXIT_WARNINGS: Final = 3
EXIT_FAILED: Final = 4


def diagnose(facts: SystemFacts) -> tuple[Finding, ...]:
    """All findings, root causes first, each followed by its consequences.

    Within the root causes: failures, then warnings, then information; within one severity in the order of the
    table. A finding of the host may explain findings of any card, one of a card only its own.
    """
    host_wide = [
        _finding(seen, None)
        for group in GROUPS
        for check in group.host_checks
        for seen in check(facts.host, facts.cards)
    ]
    found = list(_distinct(host_wide))
    for card in facts.cards:
        case = Case(facts.host, card)
        own = [
            _finding(seen, card.id) for group in GROUPS for check in group.card_checks for seen in check(case)
        ]
        found += _distinct(own)
    return tuple(_ordered([_explained(each, found) for each in found]))


def exit_status(findings: Iterable[Finding]) -> int:
    """0 healthy, 3 warnings only, 4 something does not work."""
    worst = min((each.severity.value for each in findings), default=Severity.INFO.value)
    return {Severity.FAIL.value: EXIT_FAILED, Severity.WARN.value: EXIT_WARNINGS}.get(worst, EXIT_HEALTHY)


def _finding(seen: Seen, card: str | None) -> Finding:
    entry = CATALOGUE[seen.id]
    return Finding(
        id=seen.id,
        severity=seen.severity or entry.severity,
        title=_filled(entry.title, seen.words),
        cause=_filled(entry.cause, seen.words).strip(),
        evidence=seen.evidence,
        fix=_filled(entry.fix, seen.words),
        card=card,
    )


def _filled(text: str, words: Mapping[str, object]) -> str:
    # Plain replacement: what a card or a log says must not be read as a format.
    for name, value in words.items():
        text = text.replace("{" + name + "}", str(value))
    return text


def _distinct(findings: Iterable[Finding]) -> Iterable[Finding]:
    """Each kind once per card, unless its title tells different things."""
    known: dict[tuple[str, str], Finding] = {}
    for each in findings:
        known.setdefault((each.id, each.title), each)
    return known.values()


def _explained(finding: Finding, found: Iterable[Finding]) -> Finding:
    """With the deepest finding that explains it."""
    cause: str | None = None
    seen = {finding.id}
    current = finding.id
    while True:
        causes = [
            other.id
            for other in found
            if other.id not in seen
            and current in CATALOGUE[other.id].explains
            and other.card in (None, finding.card)
            and other.severity is not Severity.INFO
        ]
        if not causes:
            return replace(finding, consequence_of=cause) if cause else finding
        current = cause = min(causes, key=RANKS.__getitem__)
        seen.add(current)


def _ordered(findings: list[Finding]) -> Iterable[Finding]:
    def key(each: Finding) -> tuple[int, int]:
        return each.severity.value, RANKS[each.id]

    roots = sorted((each for each in findings if each.consequence_of is None), key=key)
    listed: set[tuple[str | None, str]] = set()
    for root in roots:
        yield root
        if (root.card, root.id) in listed:
            continue
        listed.add((root.card, root.id))
        follow = [
            each for each in findings if each.consequence_of == root.id and root.card in (None, each.card)
        ]
        yield from sorted(follow, key=key)
