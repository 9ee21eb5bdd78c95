"""Print the results of all benchmarks as one table; exit status 1 when a limit is not met."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

OUT = Path(__file__).parent.parent / "bench" / "out"


def main() -> int:
    table = Table(title="benchmarks")
    for column in ("benchmark", "metric", "value", "limit", "met"):
        table.add_column(column, justify="right" if column == "value" else "left")
    failed = 0
    for path in sorted(OUT.glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        if "metrics" not in result:
            continue
        for metric, value in result["metrics"].items():
            limit = result["limits"].get(metric)
            failed += bool(limit and not limit["met"])
            table.add_row(
                result["name"],
                metric,
                f"{value:.6g}",
                f"{limit['operator']} {limit['number']:g}" if limit else "",
                {True: "yes", False: "NO"}[limit["met"]] if limit else "",
            )
    Console(width=120).print(table)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
