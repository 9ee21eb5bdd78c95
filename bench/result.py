"""The form every benchmark reports in."""

from __future__ import annotations

import json
import operator
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "bench" / "out"
SHARED = Path(os.environ.get("TIMECARD_SHARED", ROOT.parent / "shared"))
"""Recorded series and clock data with known truth."""
OPERATORS = {"<=": operator.le, ">=": operator.ge}


def write(name: str, metrics: Mapping[str, float], limits: Mapping[str, tuple[str, float]]) -> Path:
    """Write ``bench/out/NAME.json``: limits map a metric to an operator and a number."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude=*"], capture_output=True, text=True, check=False
    ).stdout.strip()
    result = {
        "name": name,
        "commit": commit or "unknown",
        "machine": f"{platform.platform()} Python {platform.python_version()}",
        "metrics": dict(metrics),
        "limits": {
            metric: {"operator": op, "number": number, "met": bool(OPERATORS[op](metrics[metric], number))}
            for metric, (op, number) in limits.items()
        },
    }
    OUT.mkdir(exist_ok=True)
    path = OUT / f"{name}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return path
