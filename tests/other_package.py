"""A package of somebody else with drivers for us, and programs that run where it is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]


def install(folder: Path, group: str, entries: Mapping[str, str], modules: Mapping[str, str]) -> None:
    """As pip would have done it. ``entries``: entry points of the group; ``modules``: text by name."""
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    info = folder / "bench-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bench\nVersion: 1.0\n")
    lines = [f"[{group}]", *(f"{name} = {target}" for name, target in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


def run_with(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """A Python program that sees the package, this product and its tests."""
    return subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
