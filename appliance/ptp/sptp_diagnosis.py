"""Why an SPTP measurement does not work, in one line: what was tried, what came back, the probable cause."""

from __future__ import annotations

import errno
import socket
from collections import Counter
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from appliance.ptp.exchange import Outcome
from appliance.ptp.timestamping import StampedSocket


class SptpError(Exception):
    """The measurement is not possible; one line says what was tried and the probable cause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """Exchanges that all failed."""

    server: str
    address: str
    ports: tuple[int, int]
    standard_mode: bool
    outcomes: Counter[Outcome]
    refused: Counter[str]
    foreign: Counter[str]
    icmp_errors: dict[str, int]


def explain(attempt: Attempt) -> str:
    """One line for the operator."""
    sent = attempt.outcomes.total()
    plural = "" if sent == 1 else "s"
    return (
        f"no SPTP measurement of {attempt.server}: {sent} Delay_Req{plural} sent to {attempt.address} port "
        f"{attempt.ports[0]}, {_probable_cause(attempt)}"
    )


_REFUSALS: Final = MappingProxyType(
    {
        "classic-reply": "answered with Delay_Resp: this server speaks PTP but not SPTP",
        "domain": "answered in another domain: set the server's domainNumber",
        "sdo-id": "answered with another majorSdoId: a server of another PTP profile",
        "own-identity": "our own messages come back: the address is this host's, or the network loops",
        "stale-sequence": "answers came too late: the server or the path is slower than the timeout",
        "identity-changed": "answered under changing identities: several servers share the address",
        "no-time": "answered without a time: the server has none to give",
        "correction": "answered with an impossible correctionField: a faulty transparent clock on the path",
    }
)


def _probable_cause(attempt: Attempt) -> str:
    event, general = attempt.ports
    outcomes, refused = attempt.outcomes, attempt.refused
    if attempt.icmp_errors:
        name = next(iter(attempt.icmp_errors))
        if name == "ECONNREFUSED":
            return f"the host answered 'port unreachable': no PTP server listens on UDP {event} there"
        return f"the network reported {name}: check the route to {attempt.address}"
    if outcomes[Outcome.NOT_SENT]:
        name = next((key for key in refused if key.startswith("send-")), "send-error").removeprefix("send-")
        return f"but the system refused to send ({name}): check the route to {attempt.address}"
    if outcomes[Outcome.NO_ANNOUNCE]:
        if attempt.standard_mode:
            return f"Sync came but no Announce: a firewall blocks UDP {general}, or the server lacks stamps"
        return "Sync came but no Announce: this server sends it to port 320 only (use mode 'standard')"
    if outcomes[Outcome.NO_SYNC]:
        return f"Announce came but no Sync: a firewall blocks UDP from the server to port {event}"
    if outcomes[Outcome.NO_TRANSMIT_STAMP] or outcomes[Outcome.NO_RECEIVE_STAMP]:
        kind = "transmit" if outcomes[Outcome.NO_TRANSMIT_STAMP] else "receive"
        return f"answered, but the kernel gives no {kind} timestamps on this interface (see 'ethtool -T')"
    if attempt.foreign:
        address = next(iter(attempt.foreign))
        return f"but answers come from {address}: the server has several addresses, name that one"
    if refused:
        reason, number = refused.most_common(1)[0]
        return _REFUSALS.get(reason, f"{number} answers refused ({reason}): not a sound PTP server")
    return f"nothing came back: no SPTP server is running there, or a firewall blocks UDP {event}"


def resolve(server: str, port: int) -> tuple[socket.AddressFamily, str]:
    """Family and numeric address of ``server``; ``SptpError`` when it has none."""
    try:
        found = socket.getaddrinfo(server, port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else exc
        raise SptpError(f"cannot resolve the server name {server!r}: {reason}") from exc
    family, _, _, _, address = found[0]
    if family not in (socket.AF_INET, socket.AF_INET6):
        raise SptpError(f"{server!r} has no IPv4 or IPv6 address")
    host = str(address[0])
    if len(address) == 4 and address[3] and "%" not in host:
        host = f"{host}%{address[3]}"
    return family, host


_NEEDS_RIGHT: Final = "needs root or CAP_NET_BIND_SERVICE; mode 'unprivileged' works without"
_BIND_HINTS: Final = MappingProxyType(
    {
        errno.EACCES: _NEEDS_RIGHT,
        errno.EPERM: _NEEDS_RIGHT,
        errno.EADDRINUSE: "another PTP program uses it; stop that, or use mode 'unprivileged'",
        errno.EADDRNOTAVAIL: "this host does not have that address",
        errno.ENOPROTOOPT: "the kernel lacks 64-bit packet timestamps (Linux 5.1 or newer is needed)",
    }
)


def bind(family: socket.AddressFamily, address: str, port: int) -> StampedSocket:
    """A stamped socket; ``SptpError`` says what to do when there is none."""
    try:
        return StampedSocket(family, address, port)
    except OSError as exc:
        hint = _BIND_HINTS.get(exc.errno or 0, exc.strerror or str(exc))
        raise SptpError(f"cannot open UDP port {port or '(any)'} on {address}: {hint}") from exc
