"""linuxptp as the peer: ``ptp4l`` as a free-running unicast client, questions to it through ``pmc``."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.netns import Namespace

CLIENT_CONFIG = """\
[global]
time_stamping            software
free_running             1
slaveOnly                1
hybrid_e2e               1
inhibit_multicast_service 1
unicast_req_duration     60
logAnnounceInterval      {log_announce}
logSyncInterval          {log_sync}
logMinDelayReqInterval   {log_sync}
freq_est_interval        0
summary_interval         -4
tx_timestamp_timeout     20
uds_address              {uds}
[unicast_master_table]
table_id                 1
logQueryInterval         0
{transport}                    {server}
[{interface}]
network_transport        {transport}
unicast_master_table     1
"""
SERVER_CONFIG = """\
[global]
time_stamping            software
free_running             1
unicast_listen           1
hybrid_e2e               1
inhibit_multicast_service 1
clockClass               6
announceReceiptTimeout   2
logAnnounceInterval      -2
tx_timestamp_timeout     20
uds_address              {uds}
[{interface}]
network_transport        {transport}
"""
OFFSET_LINE = re.compile(
    r"master offset\s+(?P<offset>-?\d+) s0 freq\s+(?P<freq>[-+]?\d+) path delay\s+(?P<delay>-?\d+)"
)


@dataclass(frozen=True)
class Measured:
    """One line of the client's log, in nanoseconds."""

    offset_ns: int
    path_delay_ns: int


class Ptp4lClient:
    """A running client; its log grows in a file."""

    def __init__(self, space: Namespace, uds: Path, log: Path) -> None:
        self._space = space
        self._uds = uds
        self._log = log

    def log(self) -> str:
        """All lines so far."""
        return self._log.read_text(encoding="utf-8")

    def measured(self) -> list[Measured]:
        """All offsets so far, oldest first."""
        return [Measured(int(m["offset"]), int(m["delay"])) for m in OFFSET_LINE.finditer(self.log())]

    def wait_for_offsets(self, count: int, timeout_s: float) -> list[Measured]:
        """Wait until ``count`` offsets are in the log; fails with the log."""
        deadline = time.monotonic() + timeout_s
        while len(found := self.measured()) < count:
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(found)} of {count} offsets in {timeout_s} s:\n{self.log()}")
            time.sleep(0.1)
        return found

    def get(self, data_set: str) -> dict[str, str]:
        """The fields of a management answer, as ``pmc`` prints them."""
        own = f"{self._uds}.pmc"
        out = self._space.run("pmc", "-u", "-b", "0", "-s", self._uds, "-i", own, f"GET {data_set}")
        return dict(
            parts
            for line in out.splitlines()
            if line.startswith("\t\t") and len(parts := line.split(None, 1)) == 2
        )


@contextmanager
def ptp4l_client(
    space: Namespace, server: str, folder: Path, *, log_announce: int = 0, log_sync: int = 0
) -> Iterator[Ptp4lClient]:
    """Run ``ptp4l`` in ``space`` against ``server``; it measures and steers nothing."""
    uds, log, config = folder / "ptp4l", folder / "ptp4l.log", folder / "ptp4l.cfg"
    transport = "UDPv6" if ":" in server else "UDPv4"
    config.write_text(
        CLIENT_CONFIG.format(
            uds=uds,
            transport=transport,
            server=server,
            interface=space.interface,
            log_announce=log_announce,
            log_sync=log_sync,
        ),
        encoding="utf-8",
    )
    with log.open("w", encoding="utf-8") as stream:
        process = space.start("ptp4l", "-f", config, "-m", "-q", stdout=stream)
        try:
            yield Ptp4lClient(space, uds, log)
        finally:
            space.stop(process)


@contextmanager
def ptp4l_server(space: Namespace, family: str, folder: Path) -> Iterator[None]:
    """Run ``ptp4l`` as a unicast server of the host's clock, until it has become master."""
    uds, log, config = folder / "server", folder / "server.log", folder / "server.cfg"
    transport = "UDPv6" if family == "ipv6" else "UDPv4"
    config.write_text(
        SERVER_CONFIG.format(uds=uds, interface=space.interface, transport=transport), encoding="utf-8"
    )
    with log.open("w", encoding="utf-8") as stream:
        process = space.start("ptp4l", "-f", config, "-m", "-q", stdout=stream)
        try:
            deadline = time.monotonic() + 20
            while "assuming the grand master role" not in (text := log.read_text(encoding="utf-8")):
                assert time.monotonic() < deadline, f"ptp4l did not become master:\n{text}"
                time.sleep(0.1)
            yield
        finally:
            space.stop(process)
