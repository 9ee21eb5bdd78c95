"""What is announced and what a port claims: the snapshot and the clock map, turned into PTP's words."""

from __future__ import annotations

import hashlib
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.clock_map import MapState
from appliance.config import Config
from appliance.ptp.primitives import mac_to_clock_identity
from appliance.snapshot import ClockSnapshot
from appliance.timescale.clock_quality import ClockQuality
from timecard.timescale import NS_PER_S

SOFTWARE_STAMP_NS: Final = 5_000.0
"""How late a kernel software stamp may be against the wire: interrupt and scheduling delay on a server."""
HARDWARE_STAMP_NS: Final = 50.0
LEAP_NOTICE_S: Final = 12 * 3600
"""Leap flags are announced in the twelve hours before the event (IEEE 1588-2019, 9.4)."""
TIME_SOURCE_GNSS: Final = 0x20
TIME_SOURCE_INTERNAL_OSCILLATOR: Final = 0xA0

FLAG_LEAP61: Final = 0x01
FLAG_LEAP59: Final = 0x02
FLAG_UTC_OFFSET_VALID: Final = 0x04
FLAG_PTP_TIMESCALE: Final = 0x08
FLAG_TIME_TRACEABLE: Final = 0x10
FLAG_FREQUENCY_TRACEABLE: Final = 0x20


@dataclass(frozen=True, slots=True, kw_only=True)
class LeapSwitch:
    """From ``tai_ns`` on, Announce messages say this instead; the packet threads switch at that instant."""

    tai_ns: int
    utc_offset_s: int
    flags: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnounceData:
    """What the next Announce says of the clock."""

    quality: ClockQuality
    """Its accuracy is worse than the bound's while an improvement has to prove itself."""
    utc_offset_s: int
    flags: int
    """Low byte of flagField."""
    time_source: int
    leap_switch: LeapSwitch | None
    """At a leap second that is announced now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneBounds:
    """|clock - TAI| at the three planes, in ns; None claims nothing."""

    card_ns: float | None
    host_ns: float | None
    port_ns: float | None


def plane_bounds(
    card_ns: float | None, host: MapState | None, port: MapState | None, *, hardware: bool
) -> PlaneBounds:
    """The card's bound carried to the host's clock and to the PTP event plane.

    ``port`` is the map that translates packet stamps: the host's with software stamps, the NIC clock's with
    hardware stamps. A map's error is a bias: it adds linearly. So does the packet stamp's.
    """
    stamp_ns = HARDWARE_STAMP_NS if hardware else SOFTWARE_STAMP_NS
    return PlaneBounds(
        card_ns=card_ns,
        host_ns=None if card_ns is None or host is None else card_ns + host.error_ns,
        port_ns=None if card_ns is None or port is None else card_ns + port.error_ns + stamp_ns,
    )


def utc_offset(snapshot: ClockSnapshot) -> tuple[int, bool]:
    """currentUtcOffset and whether it is valid: only what the sources of leap seconds agree on is."""
    return snapshot.leap.offset_at(snapshot.leap_tai_s), snapshot.leap.valid


def leap_flags(snapshot: ClockSnapshot) -> int:
    """leap61 or leap59 in the last hours before a leap second."""
    coming, tai_s = snapshot.leap.coming_at(snapshot.leap_tai_s), snapshot.leap_tai_s
    if coming is None or tai_s is None or coming.at_tai_s - tai_s > LEAP_NOTICE_S:
        return 0
    return FLAG_LEAP61 if coming.change_s > 0 else FLAG_LEAP59


def leap_switch(snapshot: ClockSnapshot, flags: int) -> LeapSwitch | None:
    """What the announcement becomes at the leap second that ``flags`` announce."""
    coming = snapshot.leap.coming_at(snapshot.leap_tai_s)
    if coming is None or not flags & (FLAG_LEAP61 | FLAG_LEAP59):
        return None
    return LeapSwitch(
        tai_ns=coming.at_tai_s * NS_PER_S,
        utc_offset_s=utc_offset(snapshot)[0] + coming.change_s,
        flags=flags & ~(FLAG_LEAP61 | FLAG_LEAP59),
    )


def clock_identity(card_id: str) -> bytes:
    """clockIdentity: the card's EUI-48 if it has one, else the host's first network interface, else its name.

    The last one is marked as locally administered (bit 1 of the first octet).
    """
    octets = card_id.split(":")
    if len(octets) == 6 and all(len(o) == 2 for o in octets):
        return mac_to_clock_identity(bytes.fromhex("".join(octets)))
    for interface in sorted(Path("/sys/class/net").glob("*")):
        try:
            mac = bytes.fromhex((interface / "address").read_text(encoding="ascii").strip().replace(":", ""))
        except (OSError, ValueError):
            continue
        if len(mac) == 6 and any(mac):
            return mac_to_clock_identity(mac)
    digest = hashlib.sha256(card_id.encode()).digest()[:8]
    return bytes([digest[0] & 0xFC | 0x02]) + digest[1:]


def port_names(config: Config) -> tuple[str, ...]:
    """Interfaces that the server answers on."""
    return config.ptp.interfaces or tuple(name for _, name in socket.if_nameindex())
