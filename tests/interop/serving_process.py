"""Runs our native server on a clock that is deliberately not the host's. Started inside a namespace.

Argument: JSON with ``world_offset_ns``, ``rate_ppb``, ``announce`` and ``server`` options. Prints one JSON
line when it serves, then its counters for each line it reads, and stops at the end of its input.
"""

from __future__ import annotations

import json
import sys
import time

from appliance.ptp._native import ClockPage, Server

VALID_FOR_NS = 3_600_000_000_000
UTC_OFFSET_NS = 37_000_000_000


def read_clocks() -> tuple[int, int, int]:
    """How close together the readings are, CLOCK_MONOTONIC_RAW, CLOCK_REALTIME; in nanoseconds."""
    before_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
    realtime_ns = time.time_ns()
    after_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
    return after_ns - before_ns, (before_ns + after_ns) // 2, realtime_ns


def main() -> None:
    wanted = json.loads(sys.argv[1])
    identity = bytes.fromhex(wanted["identity"])
    page = ClockPage()
    _, raw_ns, realtime_ns = min(read_clocks() for _ in range(20))
    tai_ns = realtime_ns + UTC_OFFSET_NS + wanted["world_offset_ns"]
    page.publish_map(
        raw_anchor_ns=raw_ns,
        tai_anchor_ns=tai_ns,
        rate_ppb=wanted["rate_ppb"],
        valid_until_raw_ns=raw_ns + VALID_FOR_NS,
        error_ns=100,
    )
    page.publish_announce(**wanted["announce"], grandmaster_identity=identity, epoch=0)
    page.set_serving(True)
    server = Server(page, clock_identity=identity, **wanted["server"])
    server.start()
    print(json.dumps({"raw_ns": raw_ns, "tai_ns": tai_ns, "timestamping": server.timestamping}), flush=True)
    for _ in sys.stdin:
        print(json.dumps(server.stats()), flush=True)
    server.stop()


if __name__ == "__main__":
    main()
