"""Reports and maps for pages that are true now."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from appliance.bound.layout import Plane, Refusal
from appliance.bound.reader import BoundReader, BoundRefusedError
from appliance.bound.writer import BoundPublisher
from appliance.clock_map import MapState
from appliance.core_report import CoreReport
from tests.api.conftest import SNAPSHOT, build_report

S = 1_000_000_000
TAI0 = 1_795_310_242 * S
MAP_ERROR_NS = 60.0
VALID_NS = 10 * S
"""The most that a page may say, so that a busy machine is in time to read it."""


def raw_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)


def report_at(mono_ns: int, **snapshot: Any) -> CoreReport:
    """A locked clock: 58 ns with 99.9 %, 61 ns with k = 5, growing by 0.4 ns/s."""
    times = {"void_after_mono_ns": mono_ns + VALID_NS, "as_of_tai_ns": TAI0 + mono_ns, **snapshot}
    return build_report(replace(SNAPSHOT, as_of_mono_ns=mono_ns, **times))


def map_at(anchor_ns: int, **changes: Any) -> MapState:
    values: dict[str, Any] = {
        "anchor_raw_ns": anchor_ns,
        "anchor_tai_ns": TAI0 + anchor_ns,
        "rate_ppb": 0.0,
        "error_ns": MAP_ERROR_NS,
        "rate_error_ppb": 40.0,
        "half_width_ns": 40.0,
        "method": "ptm",
        "valid_until_raw_ns": anchor_ns + VALID_NS,
    }
    return MapState(**{**values, **changes})


def refusal(reader: BoundReader, plane: Plane = Plane.HOST) -> Refusal:
    """Why there is no interval now; ``NONE`` when there is one."""
    try:
        reader.now(plane)
    except BoundRefusedError as error:
        return error.refusal
    return Refusal.NONE


def written(path: Path) -> BoundPublisher:
    """A publisher whose page is true now."""
    publisher, now_ns = BoundPublisher(path), raw_ns()
    publisher.note(report_at(now_ns))
    publisher.write(map_at(now_ns))
    return publisher
