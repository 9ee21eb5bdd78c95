"""``docs/doctor.md`` lists every finding as the table has it. TIMECARD_WRITE_DOCS=1 writes it anew."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from timecard.doctor.checks import CATALOGUE, GROUPS

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/doctor.md"
BEGIN = "<!-- findings: made from the table of timecard/doctor/checks -->"


def _cell(text: str) -> str:
    """As Markdown: what a check fills in is set in italics, pipes would end the cell."""
    parts = re.split(r"(`[^`]*`)", text.replace("|", "\\|"))
    shown = (part if part.startswith("`") else re.sub(r"\{(\w+)\}", r"*\1*", part) for part in parts)
    return "".join(part.replace("{", "<").replace("}", ">") for part in shown).strip()


def findings_text() -> str:
    """The generated part of the document."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    for group in GROUPS:
        yield f"\n### {group.title}\n"
        yield "| id | severity | what is wrong | cause | fix |"
        yield "| --- | --- | --- | --- | --- |"
        for name, entry in group.entries.items():
            texts = (_cell(text) for text in (entry.title, entry.cause, entry.fix))
            yield f"| `{name}` | {entry.severity.name.lower()} | {' | '.join(texts)} |"


def test_the_document_lists_what_the_table_has() -> None:
    written = DOCUMENT.read_text(encoding="utf-8")
    head, _, tail = written.partition(BEGIN + "\n")
    if os.environ.get("TIMECARD_WRITE_DOCS"):
        DOCUMENT.write_text(head + BEGIN + "\n" + findings_text(), encoding="utf-8")
        return
    assert tail == findings_text(), "run this test with TIMECARD_WRITE_DOCS=1"


def test_the_document_names_nothing_that_is_not_there() -> None:
    head = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)[0]
    named = set(re.findall(r"`([a-z]+(?:-[a-z0-9]+)+)`", head)) - {"vfio-pci"}
    assert named <= set(CATALOGUE), named - set(CATALOGUE)
