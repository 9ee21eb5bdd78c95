"""Keep results of benchmarks in ``docs/records``: every figure, its limit, on which commit and machine."""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def main(record: str, *names: str) -> int:
    """``bench_record.py RECORD NAME...`` writes ``docs/records/RECORD.md``."""
    lines = [f"# {record}"]
    for name in names:
        result = json.loads((ROOT / "bench" / "out" / f"{name}.json").read_text(encoding="utf-8"))
        lines += ["", f"## {name}", "", f"Commit {result['commit']}, {result['machine']}.", ""]
        lines += ["| figure | value | limit | met |", "| --- | ---: | --- | --- |"]
        for metric, value in result["metrics"].items():
            limit = result["limits"].get(metric)
            wants = f"{limit['operator']} {limit['number']:g}" if limit else ""
            met = "" if limit is None else "yes" if limit["met"] else "**no**"
            lines.append(f"| {metric} | {value:.6g} | {wants} | {met} |")
    (ROOT / "docs" / "records" / f"{record}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
