"""SPTP exchanges per second of the native server over loopback, server and load generator on one machine.

``python -m bench.ptp [--seconds N]`` writes ``bench/out/ptp.json``. The load is open-loop: what is not
answered is lost, as it would be for a client.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from appliance.ptp._native import ClockPage, Server
from bench import result
from timecard.timescale import NS_PER_S, TAI_MINUS_UTC_2017_S

IDENTITY = bytes.fromhex("020000fffe000001")
RATES_PER_S = (1_000, 20_000, 40_000, 80_000, 120_000)
IDENTITIES = 1000
SOURCE = Path(__file__).with_name("ptp_load.c")


def free_ports() -> tuple[int, int]:
    """Two UDP ports that are free on loopback."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as first,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as second,
    ):
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return int(first.getsockname()[1]), int(second.getsockname()[1])


def make_page() -> ClockPage:
    """A page that serves the host's own time for ten minutes."""
    page = ClockPage()
    raw_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
    page.publish_map(
        raw_anchor_ns=raw_ns,
        tai_anchor_ns=time.time_ns() + TAI_MINUS_UTC_2017_S * NS_PER_S,
        rate_ppb=0.0,
        valid_until_raw_ns=raw_ns + 600 * NS_PER_S,
        error_ns=0,
    )
    page.publish_announce(
        clock_class=6,
        clock_accuracy=0x25,
        offset_scaled_log_variance=0x59E0,
        current_utc_offset=TAI_MINUS_UTC_2017_S,
        flags=0x08,
        time_source=0x20,
        priority1=128,
        priority2=128,
        grandmaster_identity=IDENTITY,
        steps_removed=0,
        epoch=0,
    )
    page.set_serving(True)
    return page


def run(seconds: float) -> dict[str, float]:
    """Offer each rate for ``seconds``; returns the metrics."""
    metrics: dict[str, float] = {}
    event_port, general_port = free_ports()
    page = make_page()
    with tempfile.TemporaryDirectory() as folder:
        load = Path(folder) / "ptp_load"
        subprocess.run(["gcc", "-std=c11", "-O2", str(SOURCE), "-o", str(load)], check=True)
        for rate in RATES_PER_S:
            server = Server(
                page,
                addresses=["127.0.0.1"],
                event_port=event_port,
                general_port=general_port,
                clock_identity=IDENTITY,
                requests_per_s_prefix=0,
                requests_per_s_total=0,
            )
            server.start()
            cpu_before_s = time.process_time()
            command = [str(load), "127.0.0.1", str(event_port), str(rate), str(seconds), str(IDENTITIES)]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            cpu_s = time.process_time() - cpu_before_s
            answer = json.loads(output)
            stats = server.stats()
            server.stop()
            metrics[f"complete_per_s_at_{rate}"] = answer["complete_per_s"]
            metrics[f"answered_percent_at_{rate}"] = answer["answered_percent"]
            metrics[f"median_us_at_{rate}"] = answer["median_us"]
            metrics[f"p99_us_at_{rate}"] = answer["p99_us"]
            metrics[f"server_cpu_us_per_exchange_at_{rate}"] = round(
                1e6 * cpu_s / max(1, answer["complete"]), 2
            )
            metrics[f"txts_missing_at_{rate}"] = stats["txts.missing"]
            metrics[f"rxdrops_at_{rate}"] = stats["rxdrops"]
    metrics["server_rss_mib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    return metrics


def main() -> int:
    """Run, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="per offered rate")
    options = parser.parse_args()
    if shutil.which("gcc") is None:
        sys.stderr.write("bench.ptp: gcc is needed to build the load generator\n")
        return 2
    metrics = run(options.seconds)
    # Meta's server on the same kind of machine answers 20 000 exchanges/s in full.
    path = result.write("ptp", metrics, {"answered_percent_at_20000": (">=", 99.9)})
    sys.stdout.write(path.read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
