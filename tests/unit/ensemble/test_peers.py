"""Reading other sources: an SPTP server on loopback, a second pulse, another clock; and their rows."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from appliance.clock_map import MapState
from appliance.config import ConfigError, load_config
from appliance.ensemble.values import Reading
from appliance.peer_config import PeerConfig
from appliance.peers import MAX_HALF_WIDTH_NS, PhcPeer, PulsePeer, SptpPeer
from appliance.ptp._native import ClockPage, Server
from timecard.errors import DeviceAbsentError, DeviceTimeoutError, RefusedError
from timecard.timebase import HostTimebase
from timecard.timescale import NS_PER_S
from timecard.values import CrossTimestamp, EdgeStamp

TAI_NS = 37 * NS_PER_S
IDENTITY = bytes.fromhex("b8cef6fffe0210e4")
ANNOUNCE = {
    "clock_class": 6, "clock_accuracy": 0x21, "offset_scaled_log_variance": 0x4E5D, "current_utc_offset": 37,
    "flags": 0x3C, "time_source": 0x20, "priority1": 128, "priority2": 128, "steps_removed": 0,
}  # fmt: skip
OWN = bytes(8)
LIMIT_NS = 1_000_000.0
"""A busy host's scheduling in software stamps; what is tested is larger."""


def host_line(ahead_ns: int = 0, error_ns: float = 100.0) -> MapState:
    """A card that keeps the host's time as TAI, plus ``ahead_ns``."""
    raw_ns, realtime_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW), time.time_ns()
    return MapState(
        anchor_raw_ns=raw_ns,
        anchor_tai_ns=realtime_ns + TAI_NS + ahead_ns,
        rate_ppb=0.0,
        error_ns=error_ns,
        rate_error_ppb=30.0,
        half_width_ns=error_ns,
        method="test",
        valid_until_raw_ns=raw_ns + 3600 * NS_PER_S,
    )


def free_ports() -> tuple[int, int]:
    with socket.socket(type=socket.SOCK_DGRAM) as one, socket.socket(type=socket.SOCK_DGRAM) as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


@contextmanager
def server(ahead_ns: int = 0, **announce: int) -> Iterator[tuple[int, int]]:
    """Serves the host's time as TAI plus ``ahead_ns``; gives its ports."""
    line, ports, page = host_line(ahead_ns), free_ports(), ClockPage()
    page.publish_map(
        raw_anchor_ns=line.anchor_raw_ns,
        tai_anchor_ns=line.anchor_tai_ns,
        rate_ppb=0.0,
        valid_until_raw_ns=line.valid_until_raw_ns,
        error_ns=100,
    )
    page.publish_announce(**(ANNOUNCE | announce), grandmaster_identity=IDENTITY, epoch=0)
    page.set_serving(True)
    serving = Server(
        page,
        clock_identity=IDENTITY,
        addresses=["127.0.0.1"],
        event_port=ports[0],
        general_port=ports[1],
    )
    serving.start()
    try:
        yield ports
    finally:
        serving.stop()


def peer(ports: tuple[int, int], **more: Any) -> PeerConfig:
    return PeerConfig(name="other", address="127.0.0.1", ports=ports, **more)


def read(source: SptpPeer) -> tuple[int, Reading] | None:
    """A read that a stalled test host is forgiven for losing."""
    for _ in range(20):
        try:
            found = source.read()
        except DeviceTimeoutError:
            continue
        if found is not None:
            return found
    return None


def test_a_peer_over_sptp_is_compared_with_the_card_and_not_with_the_host() -> None:
    with server(ahead_ns=5_000_000) as ports:
        source = SptpPeer(peer(ports), HostTimebase(), lambda: host_line(2_000_000), OWN)
        source.open()
        found = read(source)
        source.close()
    assert found is not None
    mono_ns, reading = found
    assert reading.offset_ns == pytest.approx(2_000_000 - 5_000_000, abs=LIMIT_NS)
    assert reading.bias_ns >= 100.0 + 100.0, "its announced accuracy and our own comparison, at least"
    assert reading.group == f"grandmaster {IDENTITY.hex()}"
    assert 0 <= HostTimebase().mono_ns() - mono_ns < 60 * NS_PER_S


def test_a_given_uncertainty_and_group_replace_what_is_measured() -> None:
    with server() as ports:
        told = peer(ports, uncertainty_ns=250.0, delay_ns=40_000_000.0, group="lan")
        source = SptpPeer(told, HostTimebase(), host_line, OWN)
        source.open()
        found = read(source)
        source.close()
    assert found is not None
    assert 450.0 <= found[1].bias_ns <= 450.0 + MAX_HALF_WIDTH_NS
    assert found[1].offset_ns == pytest.approx(-40e6, abs=LIMIT_NS)
    assert found[1].group is None


@pytest.mark.parametrize(
    ("announce", "own", "words"),
    [
        ({"clock_class": 52}, OWN, "clockClass 52"),
        ({"clock_accuracy": 0xFE}, OWN, "clockAccuracy 0xFE"),
        ({}, IDENTITY, "it follows this appliance"),
        ({"flags": 0x34}, OWN, "PTP timescale"),
    ],
)
def test_a_peer_that_is_no_witness_is_refused_with_the_reason(
    announce: dict[str, int], own: bytes, words: str
) -> None:
    with server(**announce) as ports:
        source = SptpPeer(peer(ports), HostTimebase(), host_line, own)
        source.open()
        with pytest.raises(RefusedError, match=words):
            read(source)
        source.close()


def test_no_comparison_without_a_line_to_the_card() -> None:
    with server() as ports:
        source = SptpPeer(peer(ports), HostTimebase(), lambda: None, OWN)
        source.open()
        assert read(source) is None
        source.close()


class _Slow(HostTimebase):
    """A host that is called away for 200 us at every reading of its clock, as one under load may be."""

    def mono_ns(self) -> int:
        time.sleep(200e-6)
        return super().mono_ns()


def test_no_comparison_while_the_hosts_clocks_cannot_be_read_together() -> None:
    with server() as ports:
        source = SptpPeer(peer(ports, uncertainty_ns=0.0), _Slow(), host_line, OWN)
        source.open()
        assert read(source) is None
        source.close()


def test_a_peer_that_is_not_there_is_a_device_error_and_not_a_crash(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = SptpPeer(peer(free_ports()), HostTimebase(), host_line, OWN)
    source.open()
    with pytest.raises(DeviceTimeoutError, match=r"127\.0\.0\.1: SPTP: no SPTP measurement of 127"):
        source.read()
    source.close()

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    nowhere = PeerConfig(name="other", address="no-such-host.invalid")
    with pytest.raises(DeviceAbsentError, match=r"no-such-host\.invalid: open"):
        SptpPeer(nowhere, HostTimebase(), host_line, OWN).open()


class _Channel:
    def __init__(self, card_tai_ns: int) -> None:
        self.stamp: EdgeStamp | None = EdgeStamp(
            channel="ts1", card_tai_ns=card_tai_ns, event_count=1, dropped=False, read_mono_ns=77
        )
        self.enabled = False

    def enable(self) -> None:
        self.enabled = True

    def poll(self) -> EdgeStamp | None:
        stamp, self.stamp = self.stamp, None
        return stamp


class _Card:
    def __init__(self, channel: _Channel) -> None:
        self.channel = channel

    def timestamper(self, name: str) -> _Channel:
        assert name == "ts1"
        return self.channel


@pytest.mark.parametrize("phase_ns", [0, 300, -300, 400_000_000, -400_000_000])
def test_a_second_pulse_is_a_phase_to_the_nearest_second(phase_ns: int) -> None:
    channel = _Channel(1_750_000_000 * NS_PER_S + phase_ns)
    row = PeerConfig(name="roof-2", kind="receiver", address="ts1", delay_ns=25.0, uncertainty_ns=7.0)
    source = PulsePeer(row, _Card(channel))  # type: ignore[arg-type]  # as much of a card as is used
    source.open()
    assert channel.enabled
    assert source.read() == (77, Reading(offset_ns=phase_ns - 25.0, sigma_ns=5.0, bias_ns=7.0))
    assert source.read() is None


def test_another_clock_of_this_host_is_compared_by_way_of_the_hosts() -> None:
    row = PeerConfig(name="card-2", kind="phc", address="/dev/ptp7", uncertainty_ns=30.0)
    source = PhcPeer(row, lambda: line)
    line = host_line(1_000)
    source._comparer = _Comparer(line)  # type: ignore[assignment]  # no such device here
    found = source.read()
    assert found is not None
    assert found[1].offset_ns == pytest.approx(1_400.0)
    assert found[1].bias_ns == pytest.approx(30.0 + 100.0 + 12.0)


class _Comparer:
    def __init__(self, line: MapState) -> None:
        self.line = line

    def cross_timestamp(self) -> CrossTimestamp:
        raw_ns = self.line.anchor_raw_ns
        return CrossTimestamp(
            card_tai_ns=self.line.tai_ns(raw_ns) - 1_400, mono_raw_ns=raw_ns, half_width_ns=12.0, method="ptm"
        )


# ---------------------------------------------------------------------- the rows


def load(tmp_path: Path, text: str) -> Any:
    file = tmp_path / "appliance.toml"
    file.write_text(text, encoding="utf-8")
    return load_config(file)


def test_rows_of_the_configuration(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        """
        [ensemble]
        act = false
        [[peers]]
        name = "rack-2"
        address = "2001:db8::7"
        ports = [10319, 10320]
        [[peers]]
        name = "roof-2"
        kind = "receiver"
        address = "ts1"
        group = "gnss"
        """,
    )
    assert (config.ensemble.scheme, config.ensemble.act) == ("interval", False)
    assert [(p.kind, p.wander, p.group) for p in config.peers] == [
        ("sptp", 20.0, None),
        ("receiver", 5.0, "gnss"),
    ]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ('name = "a"\naddress = "no host!"', "a host name or an address"),
        ('name = "a"\nkind = "phc"\naddress = "/dev/ttyS0"', "a clock such as /dev/ptp1"),
        ('name = "a"\nkind = "receiver"\naddress = "10.0.0.1"', "a timestamper such as ts1"),
        ('name = "a"\nkind = "receiver"\naddress = "ts0"', "ts0 and ts5 are in use"),
        ('name = "gnss"\naddress = "10.0.0.1"', "gnss is our own"),
        ('name = "a"\naddress = "x"\n[[peers]]\nname = "a"\naddress = "y"', "a is used twice"),
        ('name = "a"\naddress = "x"\nports = [0, 320]', "ports"),
        ('name = "A b"\naddress = "x"', "name"),
        ('name = "a"\naddress = "x"\nwieght = 2', "wieght"),
    ],
)
def test_a_wrong_row_is_one_clear_error(tmp_path: Path, rows: str, words: str) -> None:
    with pytest.raises(ConfigError) as info:
        load(tmp_path, f"[[peers]]\n{rows}\n")
    assert len(info.value.errors) == 1
    assert words in info.value.errors[0]
    assert "appliance.toml" in info.value.errors[0]
