"""Which version runs."""

from __future__ import annotations

import importlib.metadata
from functools import cache


@cache
def installed_version() -> str:
    """Version of the installed distribution; ``unreleased`` when run from a checkout."""
    try:
        return importlib.metadata.version("timecard-toolkit")
    except importlib.metadata.PackageNotFoundError:
        return "unreleased"
