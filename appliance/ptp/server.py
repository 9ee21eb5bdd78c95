"""The PTP and SPTP server as the daemon sees it: built from the configuration, fed through its clock page.

All packets are answered by the native threads of ``appliance.ptp._native``; nothing here is on their way.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Final, Self

from appliance.config import PtpConfig
from appliance.ptp._native import ClockPage, Server
from appliance.ptp.primitives import MessageType, PortIdentity

SLOWEST_LOG_INTERVAL: Final = 4
"""One message per 16 s: the slow end of Sync and Delay_Resp in telecom profiles (ITU-T G.8265.1)."""
STALLED_AFTER_NS: Final = 1_000_000_000
"""The native threads give a sign of life every 20 ms."""

_CURES: Final = MappingProxyType(
    {
        errno.EACCES: "give the process CAP_NET_BIND_SERVICE (the systemd unit does), or choose ports above"
        " 1023 with --ports 10319,10320",
        errno.EPERM: "give the process CAP_NET_ADMIN, or use software time stamps",
        errno.EADDRINUSE: "another program serves PTP there; 'ss -ulpn' shows which",
        errno.EADDRNOTAVAIL: "this host does not have the address; correct ptp.addresses",
        errno.ENODEV: "correct ptp.interfaces",
        errno.EAFNOSUPPORT: "this host has IPv6 switched off; leave IPv6 addresses out of ptp.addresses",
    }
)


class PtpServerError(Exception):
    """The server cannot start; the text says where, why and what to do. ``errno`` is the system's number."""

    def __init__(self, error: OSError) -> None:
        cure = _CURES.get(error.errno or 0)
        super().__init__(f"PTP: {error.strerror or error}" + (f"; {cure}" if cure else ""))
        self.errno = error.errno


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """One unicast contract: who is sent which message how often, and until when."""

    address: str
    general_port: int
    port_identity: PortIdentity
    message_type: MessageType
    log_period: int
    duration_s: int
    expires_raw_ns: int
    """CLOCK_MONOTONIC_RAW."""
    sent: int


class PtpServer:
    """Owns a clock page and the native server that answers from it."""

    def __init__(self, config: PtpConfig, clock_identity: bytes) -> None:
        """``ValueError`` for what the configuration's own checks cannot see.

        Hardware stamps need one named interface that has them; its owner must then publish a PHC map, without
        which nothing is answered.
        """
        stamp_interface = config.interfaces[0] if len(config.interfaces) == 1 else ""
        timestamping = config.timestamping if stamp_interface else "software"
        limits = config.limits
        self.page = ClockPage()
        self._server = Server(
            self.page,
            addresses=[str(address) for address in config.addresses],
            interfaces=list(config.interfaces),
            clock_identity=clock_identity,
            event_port=config.ports[0],
            general_port=config.ports[1],
            domain=config.domain,
            dscp=config.dscp,
            minor_version=config.minor_version,
            timestamping=timestamping,
            stamp_interface=stamp_interface,
            contracts_max=limits.max_contracts,
            contracts_per_address=limits.max_contracts_per_address,
            duration_max_s=limits.max_duration_s,
            log_period_min=limits.fastest_log_interval,
            log_period_max=max(SLOWEST_LOG_INTERVAL, limits.fastest_log_interval),
            requests_per_s_prefix=limits.requests_per_s_per_prefix,
            requests_burst_prefix=max(1, limits.requests_per_s_per_prefix),
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Open the ports and answer from now on; ``PtpServerError`` when that is not possible."""
        try:
            self._server.start()
        except OSError as error:
            raise PtpServerError(error) from error

    def stop(self) -> None:
        """Cancel the contracts and close the ports; takes less than a second."""
        self._server.stop()

    @property
    def timestamping(self) -> str:
        """``software`` or ``hardware``; known after ``start``."""
        return self._server.timestamping

    @property
    def hardware_stamps(self) -> bool:
        """Whether packets are stamped by the NIC."""
        return self._server.timestamping == "hardware"

    @property
    def phc_index(self) -> int | None:
        """The PHC whose map must be published; None with software stamps."""
        return self._server.phc_index

    def alive(self, now_raw_ns: int) -> bool:
        """Whether both native threads gave a sign of life within the last second."""
        return self._server.running and now_raw_ns - self._server.heartbeat_raw_ns < STALLED_AFTER_NS

    def stats(self) -> dict[str, int]:
        """Counters since the server was made, by name."""
        return self._server.stats()

    def contract_count(self) -> int:
        """How many unicast contracts are in force."""
        stats = self._server.stats()
        return sum(count for name, count in stats.items() if name.startswith("subscriptions."))

    def contracts(self) -> tuple[Contract, ...]:
        """The unicast contracts in force."""
        return tuple(
            Contract(
                address=address,
                general_port=general_port,
                port_identity=PortIdentity(clock_identity, port_number),
                message_type=MessageType(message_type),
                log_period=log_period,
                duration_s=duration_s,
                expires_raw_ns=expires_raw_ns,
                sent=sent,
            )
            for (
                address,
                general_port,
                clock_identity,
                port_number,
                message_type,
                log_period,
                duration_s,
                expires_raw_ns,
                sent,
            ) in self._server.contracts()
        )
