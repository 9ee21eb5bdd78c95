"""Which well-formed messages a receiver wants: every check beyond the shape of the datagram."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from appliance.ptp.messages import Announce, Message, Signaling
from appliance.ptp.primitives import CORRECTION_ONE_NS, WILDCARD, PortIdentity, Reason, WireError
from appliance.ptp.tlv import PathTrace

MAX_CORRECTION_NS: Final = 10_000_000_000
"""No path of transparent clocks holds a packet for ten seconds; also refuses "too big to represent"."""
MAX_STEPS_REMOVED: Final = 255
"""An Announce that has come through this many clocks is going round in circles (9.3.2.5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveRules:
    """What one PTP instance accepts. ``check`` raises ``WireError`` for everything else."""

    domain: int = 0
    major_sdo_id: int = 0
    own: PortIdentity | None = None
    """Own port: refuses messages that came back, and Signaling that is meant for somebody else."""
    max_correction_ns: int = MAX_CORRECTION_NS

    def check(self, message: Message, *, event_port: bool | None = None) -> None:
        """Raise ``WireError`` unless the message is for us; ``event_port`` where it came in, if known."""
        header = message.header
        if event_port is not None and message.TYPE.is_event != event_port:
            port = "event" if event_port else "general"
            raise WireError(Reason.WRONG_PORT, f"{type(message).__name__} on the {port} port")
        if header.major_sdo_id != self.major_sdo_id:
            raise WireError(Reason.SDO_ID, f"majorSdoId {header.major_sdo_id}, ours is {self.major_sdo_id}")
        if header.domain != self.domain:
            raise WireError(Reason.DOMAIN, f"domainNumber {header.domain}, ours is {self.domain}")
        if abs(header.correction_raw) > self.max_correction_ns * CORRECTION_ONE_NS:
            raise WireError(Reason.CORRECTION, f"correctionField of {header.correction_ns:.0f} ns")
        if self.own is not None and header.source.clock == self.own.clock:
            raise WireError(Reason.OWN_IDENTITY, f"{header.source} is our own clock: the message came back")
        if isinstance(message, Announce):
            self._check_announce(message)
        elif isinstance(message, Signaling):
            self._check_target(message.target)

    def _check_announce(self, announce: Announce) -> None:
        if announce.steps_removed >= MAX_STEPS_REMOVED:
            raise WireError(Reason.STEPS_REMOVED, f"stepsRemoved {announce.steps_removed}")
        for tlv in announce.tlvs:
            if isinstance(tlv, PathTrace) and self.own is not None and self.own.clock in tlv.clocks:
                raise WireError(Reason.PATH_LOOP, "our own clock is in PATH_TRACE")

    def _check_target(self, target: PortIdentity) -> None:
        """Wildcards may be mixed with exact parts, as peers send them."""
        if self.own is None:
            return
        if target.clock not in (WILDCARD.clock, self.own.clock) or target.port not in (
            WILDCARD.port,
            self.own.port,
        ):
            raise WireError(Reason.TARGET, f"targetPortIdentity {target} is not ours")


def plain_address(address: str) -> str:
    """An address as it is compared: an IPv4 address mapped into IPv6 becomes IPv4 again; no zone."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)


def check_source(address: str, port: int, own_addresses: Collection[str] = ()) -> None:
    """Raise ``WireError`` for socket sources that no honest peer has: nothing may be sent back there."""
    plain = plain_address(address)
    parsed = ipaddress.ip_address(plain)
    if port == 0:
        raise WireError(Reason.SOURCE_ADDRESS, f"{plain}: source port 0")
    if parsed.is_multicast or parsed.is_unspecified or plain == "255.255.255.255":
        raise WireError(Reason.SOURCE_ADDRESS, f"{plain}: not a host's address")
    if plain in own_addresses:
        raise WireError(Reason.SOURCE_ADDRESS, f"{plain}: our own address")
