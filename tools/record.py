"""Keep the summary of a full test run in ``docs/records``: what ran, on which commit and machine."""

from __future__ import annotations

import datetime
import platform
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

RECORDS = Path(__file__).parent.parent / "docs" / "records"


def main(name: str, junit: str) -> int:
    suite = ElementTree.parse(junit).getroot().find("testsuite")  # our own file, written by pytest
    if suite is None:
        print(f"{junit}: no testsuite in it", file=sys.stderr)
        return 1
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    skipped = [case for case in suite.iter("testcase") if case.find("skipped") is not None]
    lines = [
        f"# {name}",
        "",
        f"* commit {commit}, {datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
        f"* {platform.platform()}, Python {platform.python_version()}",
        f"* {suite.get('tests')} tests, {suite.get('failures')} failures, {suite.get('errors')} errors,"
        f" {suite.get('skipped')} skipped, {float(suite.get('time', 0)):.0f} s",
        "",
        *(f"* skipped: {c.get('classname')}.{c.get('name')}" for c in skipped),
    ]
    RECORDS.mkdir(parents=True, exist_ok=True)
    (RECORDS / f"{name}.md").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
