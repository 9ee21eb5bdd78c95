"""Our SPTP client against our SPTP server over a virtual wire, judged by what the server really serves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from appliance.ptp.exchange import Lost, Outcome, Sample
from appliance.ptp.sptp import Mode, measure
from appliance.ptp.sptp_diagnosis import SptpError
from appliance.ptp.sptp_report import SptpReport, Statistics
from tests.interop.linuxptp import ptp4l_server
from tests.interop.serving import IDENTITY, Served, served
from tests.netns import Pair, require

pytestmark = pytest.mark.netns

WORLD_OFFSET_NS = 3_700_000
RATE_PPB = 20_000.0
LIMIT_NS = 20_000
PATHS = tuple(range(16))
Report = Callable[[str, dict[str, Any]], None]


def measure_against_truth(pair: Pair, server: Served, **options: Any) -> tuple[SptpReport, Statistics]:
    """Measure, and judge each sample by the truth at its own instant."""
    errors_ns: list[float] = []

    def judge(result: Sample | Lost) -> None:
        if isinstance(result, Sample):
            errors_ns.append(result.offset_ns + server.ahead_ns(result.t2_host_ns))

    with pair.client.entered():
        found = measure(
            server.address, interval_s=0, timeout_s=0.5, paths=PATHS, on_exchange=judge, **options
        )
    return found, Statistics.of(errors_ns)


def figures(found: SptpReport, errors: Statistics) -> dict[str, Any]:
    return {"error_ns": asdict(errors), "loss": found.lost / found.sent, "report": found.summary()}


def check(found: SptpReport, errors: Statistics, server: Served, count: int) -> None:
    assert (found.sent, found.lost) == (count, 0)
    assert found.refused == {}
    assert abs(errors.median) < LIMIT_NS
    quality = found.quality
    assert quality.grandmaster_identity == IDENTITY.hex()
    assert (quality.clock_class, quality.clock_accuracy, quality.steps_removed) == (6, 0x25, 0)
    assert (found.utc_offset_s, found.utc_offset_source) == (37, "announced")
    assert {sample.path for sample in found.samples} == set(PATHS)
    stats = server.stats()
    assert stats["rx.sptp"] == stats["tx.sync"] == stats["tx.announce"] == count
    assert not any(value for key, value in stats.items() if key.startswith(("dropped.", "txts.")))


@pytest.mark.parametrize("mode", ["standard", "unprivileged"])
@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_no_exchange_is_lost_and_the_offset_is_the_truth(
    pair: Pair, report: Report, family: str, mode: Mode
) -> None:
    with served(pair, family, world_offset_ns=WORLD_OFFSET_NS, rate_ppb=RATE_PPB) as server:
        found, errors = measure_against_truth(pair, server, count=1000, mode=mode)
        report(f"sptp-{family}-{mode}-1000", figures(found, errors))
        check(found, errors, server, 1000)


@pytest.mark.full
@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_no_exchange_of_ten_thousand_is_lost(pair: Pair, report: Report, family: str) -> None:
    with served(pair, family, world_offset_ns=WORLD_OFFSET_NS, rate_ppb=RATE_PPB) as server:
        found, errors = measure_against_truth(pair, server, count=10_000, mode="standard")
        report(f"sptp-{family}-standard-10000", figures(found, errors))
        check(found, errors, server, 10_000)


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_other_ports_work_for_hosts_that_may_not_bind_the_usual_ones(pair: Pair, family: str) -> None:
    ports = (10319, 10320)
    with served(pair, family, event_port=ports[0], general_port=ports[1]) as server, pair.client.entered():
        for mode in ("standard", "unprivileged"):
            found = measure(server.address, count=20, interval_s=0, timeout_s=0.5, ports=ports, mode=mode)
            assert found.lost == 0
            assert abs(found.offset.median) < 1_000_000


def test_each_path_is_answered_from_its_own_source_port(pair: Pair) -> None:
    """The server offers at least 16 source ports, chosen by TLV 0x2007; a path keeps its port."""
    with served(pair) as server, pair.client.entered():
        found = measure(server.address, count=3 * len(PATHS), interval_s=0, timeout_s=0.5, paths=PATHS)
    paths = found.summary()["paths"]
    ports = [port for path in paths.values() for port in path["server_ports"]]
    assert len(ports) == len(set(ports)) == len(PATHS)
    assert not set(ports) & {319, 320}


def test_a_server_that_has_gone_is_named_with_the_probable_cause(pair: Pair) -> None:
    with pair.client.entered(), pytest.raises(SptpError) as info:
        measure(pair.server.ipv6, count=3, interval_s=0)
    assert str(info.value).startswith(f"no SPTP measurement of {pair.server.ipv6}: 3 Delay_Reqs sent to ")
    assert "no PTP server listens on UDP 319" in str(info.value)


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_a_server_of_ordinary_ptp_is_told_from_an_sptp_server(
    pair: Pair, tmp_path: Path, family: str
) -> None:
    require("ptp4l")
    with (
        ptp4l_server(pair.server, family, tmp_path),
        pair.client.entered(),
        pytest.raises(SptpError) as info,
    ):
        measure(getattr(pair.server, family), count=3, interval_s=0, mode="standard")
    assert str(info.value).endswith("this server speaks PTP but not SPTP")


def test_a_client_that_asks_too_fast_loses_exchanges_and_the_others_are_right(pair: Pair) -> None:
    with (
        served(
            pair, world_offset_ns=WORLD_OFFSET_NS, requests_per_s_prefix=20, requests_burst_prefix=50
        ) as server,
        pair.client.entered(),
    ):
        found = measure(server.address, count=80, interval_s=0, timeout_s=0.02)
        truth_ns = server.ahead_ns(found.samples[-1].t2_host_ns)
        assert server.stats()["dropped.rate"] == found.lost > 0
    assert found.outcomes[Outcome.COMPLETE] >= 50
    assert abs(found.offset.median + truth_ns) < LIMIT_NS
