"""Debian's ``ptp4l`` as a client of our server: contracts, data sets, and the time it measures."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.ptp.primitives import PortIdentity
from tests.interop.linuxptp import Ptp4lClient, ptp4l_client
from tests.interop.serving import IDENTITY, Served, served
from tests.netns import Pair, require

pytestmark = pytest.mark.netns

WORLDS = {"as-the-host": (0, 0.0), "3.7ms-20ppm": (3_700_000, 20_000.0)}
"""A server that ignores its clock page and serves the host's time passes the first and fails the second."""
LIMIT_NS = 20_000
Report = Callable[[str, dict[str, Any]], None]


def errors_ns(client: Ptp4lClient, server: Served, count: int) -> list[float]:
    """``count`` different measurements of the client, each minus the truth at its own instant."""
    found: dict[int, float] = {}
    deadline = time.monotonic() + 3 * count
    while len(found) < count:
        assert time.monotonic() < deadline, f"{len(found)} of {count} measurements:\n{client.log()}"
        status = client.get("TIME_STATUS_NP")
        ingress_ns = int(status["ingress_time"])
        if status["gmPresent"] == "true" and ingress_ns and ingress_ns not in found:
            found[ingress_ns] = int(status["master_offset"]) + server.ahead_ns(ingress_ns)
        time.sleep(0.05)
    return list(found.values())


def dotted_identity(clock: bytes) -> str:
    """As pmc prints it."""
    return str(PortIdentity(clock, 1)).removesuffix("-1")


def assert_data_sets(client: Ptp4lClient) -> None:
    dotted = dotted_identity(IDENTITY)
    parent = client.get("PARENT_DATA_SET")
    assert parent["parentPortIdentity"] == f"{dotted}-1"
    assert parent["grandmasterIdentity"] == dotted
    assert (parent["gm.ClockClass"], parent["gm.ClockAccuracy"]) == ("6", "0x25")
    assert parent["gm.OffsetScaledLogVariance"] == "0x4e5d"
    properties = client.get("TIME_PROPERTIES_DATA_SET")
    assert properties["currentUtcOffset"] == "37"
    for flag in ("currentUtcOffsetValid", "ptpTimescale", "timeTraceable", "frequencyTraceable"):
        assert properties[flag] == "1", flag
    assert properties["timeSource"] == "0x20"
    assert client.get("CURRENT_DATA_SET")["stepsRemoved"] == "1"


def assert_counters(stats: dict[str, int]) -> None:
    """Every contract granted, every stamp found; nothing refused but what precedes the contract."""
    assert stats["signaling.granted"] >= 3
    assert all(stats[f"subscriptions.{kind}"] == 1 for kind in ("announce", "sync", "delay_resp"))
    unwanted = {
        name: value
        for name, value in stats.items()
        if value and (name.startswith(("dropped.", "signaling.denied.", "txts.")) or name == "rxdrops")
    }
    # ptp4l asks for delays from the moment it has chosen a server, and for the contract a little later.
    unwanted.pop("dropped.no_contract", None)
    assert not unwanted


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_ptp4l_gets_its_contracts_and_measures_the_served_time(
    pair: Pair, tmp_path: Path, report: Report, family: str, world: str
) -> None:
    require("ptp4l", "pmc")
    offset_ns, rate_ppb = WORLDS[world]
    with (
        served(pair, family, world_offset_ns=offset_ns, rate_ppb=rate_ppb) as server,
        ptp4l_client(pair.client, server.address, tmp_path, log_announce=-2, log_sync=-3) as client,
    ):
        client.wait_for_offsets(2, timeout_s=20)
        errors = errors_ns(client, server, count=16)
        assert_data_sets(client)
        assert_counters(server.stats())
    report(f"ptp4l-{family}-{world}", figures(errors))
    assert abs(statistics.median(errors)) < LIMIT_NS


@pytest.mark.full
@pytest.mark.timeout(180)
@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_ptp4l_measures_the_served_time_for_a_minute(
    pair: Pair, tmp_path: Path, report: Report, family: str, world: str
) -> None:
    require("ptp4l", "pmc")
    offset_ns, rate_ppb = WORLDS[world]
    with (
        served(pair, family, world_offset_ns=offset_ns, rate_ppb=rate_ppb) as server,
        ptp4l_client(pair.client, server.address, tmp_path) as client,
    ):
        client.wait_for_offsets(2, timeout_s=30)
        errors = errors_ns(client, server, count=60)
        assert_data_sets(client)
        stats = server.stats()
        assert_counters(stats)
        # 60 s contracts are renewed at three quarters, each renewal with three requests.
        assert stats["signaling.granted"] >= 6
    report(f"ptp4l-{family}-{world}-60s", figures(errors))
    assert abs(statistics.median(errors)) < LIMIT_NS


def test_ptp4l_is_told_when_the_server_stops(pair: Pair, tmp_path: Path) -> None:
    require("ptp4l", "pmc")
    with (
        served(pair) as server,
        ptp4l_client(pair.client, server.address, tmp_path, log_announce=-2, log_sync=-3) as client,
    ):
        client.wait_for_offsets(1, timeout_s=20)
        server.stop()
        deadline = time.monotonic() + 5
        for kind in ("ANNOUNCE", "SYNC", "DELAY_RESP"):
            while f"server unilaterally canceled unicast {kind} grant" not in client.log():
                assert time.monotonic() < deadline, f"{kind} not cancelled:\n{client.log()}"
                time.sleep(0.05)


def figures(errors: list[float]) -> dict[str, Any]:
    return {
        "count": len(errors),
        "median_ns": statistics.median(errors),
        "mean_ns": statistics.fmean(errors),
        "std_ns": statistics.stdev(errors),
        "worst_ns": max(map(abs, errors)),
    }
