"""The running appliance, seen from another host: what it serves is the card's time and not the host's."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from appliance.ptp.exchange import Lost, Sample
from appliance.ptp.sptp import measure
from appliance.ptp.sptp_report import Statistics
from tests.interop.daemon import Daemon, daemon
from tests.interop.linuxptp import Ptp4lClient, ptp4l_client
from tests.netns import Pair, require
from tests.tshark import capture, dissect

pytestmark = [pytest.mark.netns, pytest.mark.timeout(400)]

WORLDS = {"as-the-host": (0, 0.0), "3.7ms-20ppm": (3_700_000, 20_000.0)}
LIMIT_NS = 20_000
Report = Callable[[str, dict[str, Any]], None]


def ptp4l_errors_ns(client: Ptp4lClient, server: Daemon, count: int) -> list[float]:
    found: dict[int, float] = {}
    deadline = time.monotonic() + 3 * count + 20
    while len(found) < count:
        assert time.monotonic() < deadline, client.log()
        status = client.get("TIME_STATUS_NP")
        ingress_ns = int(status["ingress_time"])
        if status["gmPresent"] == "true" and ingress_ns and ingress_ns not in found:
            found[ingress_ns] = int(status["master_offset"]) + server.ahead_ns(ingress_ns)
        time.sleep(0.05)
    return list(found.values())


def sptp_errors(pair: Pair, server: Daemon, count: int) -> Statistics:
    errors_ns: list[float] = []

    def judge(result: Sample | Lost) -> None:
        if isinstance(result, Sample):
            errors_ns.append(result.offset_ns + server.ahead_ns(result.t2_host_ns))

    with pair.client.entered():
        found = measure(server.address, count=count, interval_s=0, timeout_s=0.5, on_exchange=judge)
    assert (found.sent, found.lost) == (count, 0)
    assert found.quality.grandmaster_identity == server.report().ptp.grandmaster_identity
    return Statistics.of(errors_ns)


def serves_the_card(
    pair: Pair, folder: Path, report: Report, world: str, *, seconds: int, exchanges: int, **rates: int
) -> None:
    require("ptp4l", "pmc", "tshark")
    offset_ns, rate_ppb = WORLDS[world]
    with daemon(pair, folder, world_offset_ns=offset_ns, rate_ppb=rate_ppb) as server:
        told = server.report()
        assert told.clock_maps["host"].error_ns is not None
        assert told.clock_maps["host"].error_ns <= 500
        packets = folder / "exchange.pcap"
        with (
            capture(pair.client, packets),
            ptp4l_client(pair.client, server.address, folder, **rates) as client,
        ):
            client.wait_for_offsets(2, timeout_s=30)
            errors = ptp4l_errors_ns(client, server, seconds)
            parent = client.get("PARENT_DATA_SET")
            properties = client.get("TIME_PROPERTIES_DATA_SET")
        sptp = sptp_errors(pair, server, exchanges)
        after = server.report()
    report(
        f"daemon-{world}-{seconds}s",
        {
            "ptp4l_median_ns": statistics.median(errors),
            "ptp4l_worst_ns": max(map(abs, errors)),
            "sptp_error_ns": asdict(sptp),
            "map_error_ns": told.clock_maps["host"].error_ns,
        },
    )
    assert parent["gm.ClockClass"] == "6"
    assert int(parent["gm.ClockAccuracy"], 16) >= 0x25, "software stamps never promise more than 10 us"
    assert properties["currentUtcOffset"] == "37"
    assert properties["currentUtcOffsetValid"] == "1"
    assert abs(statistics.median(errors)) < LIMIT_NS
    assert abs(sptp.median) < LIMIT_NS
    assert after.ptp.counters["txts.missing"] == 0
    assert not dissect(packets, ["frame.number"], "_ws.malformed || _ws.expert.severity >= 8388608")
    seen = {int(row["ptp.v2.messagetype"], 16) for row in dissect(packets, ["ptp.v2.messagetype"], "ptp")}
    assert {0x0, 0x1, 0x8, 0x9, 0xB, 0xC} <= seen


@pytest.mark.parametrize("world", ["3.7ms-20ppm"])
def test_clients_measure_the_cards_time(pair: Pair, tmp_path: Path, report: Report, world: str) -> None:
    serves_the_card(pair, tmp_path, report, world, seconds=12, exchanges=1000, log_announce=-2, log_sync=-3)


@pytest.mark.full
@pytest.mark.parametrize("world", WORLDS)
def test_clients_measure_the_cards_time_for_a_minute(
    pair: Pair, tmp_path: Path, report: Report, world: str
) -> None:
    serves_the_card(pair, tmp_path, report, world, seconds=60, exchanges=10_000)
