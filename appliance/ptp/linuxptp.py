"""Management data fields that linuxptp adds and answers on its socket (``NP``: not portable).

Some counters are little-endian in the middle of a big-endian message; that is how the peer sends them.
"""

from __future__ import annotations

import struct
from dataclasses import astuple, dataclass
from typing import ClassVar, Self

from appliance.ptp.datasets import FixedDataSet, ManagementId
from appliance.ptp.primitives import PortIdentity, Reason, WireError


@dataclass(frozen=True, slots=True)
class TimeStatus(FixedDataSet):
    """TIME_STATUS_NP of linuxptp."""

    master_offset_ns: int
    ingress_time_ns: int
    cumulative_scaled_rate_offset: int
    scaled_last_gm_phase_change: int
    gm_time_base_indicator: int
    last_gm_phase_change_high: int
    last_gm_phase_change_low: int
    last_gm_phase_change_fraction: int
    gm_present: int
    grandmaster: bytes

    management_id: ClassVar[int] = ManagementId.TIME_STATUS_NP
    LAYOUT: ClassVar[struct.Struct] = struct.Struct(">qqiiHHQHi8s")


@dataclass(frozen=True, slots=True)
class PortStats:
    """PORT_STATS_NP of linuxptp: messages by messageType. The counters are little-endian."""

    port: PortIdentity
    received: tuple[int, ...]
    sent: tuple[int, ...]

    management_id: ClassVar[int] = ManagementId.PORT_STATS_NP
    _IDENTITY: ClassVar[struct.Struct] = struct.Struct(">8sH")
    _COUNTERS: ClassVar[struct.Struct] = struct.Struct("<32Q")

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """From the data field."""
        head = cls._IDENTITY.size
        if len(data) != head + cls._COUNTERS.size:
            raise WireError(Reason.TLV_SIZE, f"PORT_STATS_NP of {len(data)} data bytes")
        counters = cls._COUNTERS.unpack_from(data, head)
        return cls(PortIdentity(*cls._IDENTITY.unpack_from(data)), counters[:16], counters[16:])

    def encode(self) -> bytes:
        """To the data field."""
        return self._IDENTITY.pack(*astuple(self.port)) + self._COUNTERS.pack(*self.received, *self.sent)


@dataclass(frozen=True, slots=True)
class PortServiceStats:
    """PORT_SERVICE_STATS_NP of linuxptp (4.0 and later): events of a port. The counters are little-endian."""

    port: PortIdentity
    announce_timeout: int
    sync_timeout: int
    delay_timeout: int
    unicast_service_timeout: int
    unicast_request_timeout: int
    master_announce_timeout: int
    master_sync_timeout: int
    qualification_timeout: int
    sync_mismatch: int
    followup_mismatch: int

    management_id: ClassVar[int] = ManagementId.PORT_SERVICE_STATS_NP
    _IDENTITY: ClassVar[struct.Struct] = struct.Struct(">8sH")
    _COUNTERS: ClassVar[struct.Struct] = struct.Struct("<10Q")

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """From the data field."""
        head = cls._IDENTITY.size
        if len(data) != head + cls._COUNTERS.size:
            raise WireError(Reason.TLV_SIZE, f"PORT_SERVICE_STATS_NP of {len(data)} data bytes")
        return cls(PortIdentity(*cls._IDENTITY.unpack_from(data)), *cls._COUNTERS.unpack_from(data, head))

    def encode(self) -> bytes:
        """To the data field."""
        identity, *counters = astuple(self)
        return self._IDENTITY.pack(*identity) + self._COUNTERS.pack(*counters)


@dataclass(frozen=True, slots=True)
class PortProperties:
    """PORT_PROPERTIES_NP of linuxptp."""

    port: PortIdentity
    port_state: int
    timestamping: int
    """0 software, 1 hardware, 2 legacy, 3 one-step, 4 one-step peer to peer."""
    interface: bytes
    padding: bytes = b""

    management_id: ClassVar[int] = ManagementId.PORT_PROPERTIES_NP
    _HEAD: ClassVar[struct.Struct] = struct.Struct(">8sHBBB")

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """From the data field."""
        head = cls._HEAD.size
        if len(data) < head or len(data) - head - data[head - 1] not in (0, 1):
            raise WireError(Reason.TLV_SIZE, f"PORT_PROPERTIES_NP of {len(data)} bytes does not fit its name")
        clock, port, state, timestamping, length = cls._HEAD.unpack_from(data)
        name, padding = data[head : head + length], data[head + length :]
        return cls(PortIdentity(clock, port), state, timestamping, name, padding)

    def encode(self) -> bytes:
        """To the data field, padded to an even length."""
        port = self.port
        head = self._HEAD.pack(port.clock, port.port, self.port_state, self.timestamping, len(self.interface))
        raw = head + self.interface + self.padding
        return raw + b"\0" * (len(raw) % 2)


@dataclass(frozen=True, slots=True)
class UnicastServer:
    """One row of ``UnicastMasterTable``."""

    port: PortIdentity
    clock_class: int
    clock_accuracy: int
    variance: int
    selected: int
    state: int
    """0 WAIT, 1 HAVE_ANN, 2 NEED_SYDY, 3 HAVE_SYDY."""
    priority1: int
    priority2: int
    protocol: int
    """networkProtocol: 1 UDP/IPv4, 2 UDP/IPv6, 3 IEEE 802.3."""
    address: bytes


@dataclass(frozen=True, slots=True)
class UnicastMasterTable:
    """UNICAST_MASTER_TABLE_NP of linuxptp (4.0 and later)."""

    servers: tuple[UnicastServer, ...]
    padding: bytes = b""

    management_id: ClassVar[int] = ManagementId.UNICAST_MASTER_TABLE_NP
    _ROW: ClassVar[struct.Struct] = struct.Struct(">8sHBBHBBBBHH")

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """From the data field."""
        if len(data) < 2:
            raise WireError(Reason.TLV_SIZE, "UNICAST_MASTER_TABLE_NP without its count")
        count, at = int.from_bytes(data[:2], "big"), 2
        servers = []
        for index in range(count):
            if len(data) - at < cls._ROW.size:
                raise WireError(
                    Reason.TLV_SIZE, f"UNICAST_MASTER_TABLE_NP ends before row {index} of {count}"
                )
            clock, port, *values, length = cls._ROW.unpack_from(data, at)
            at += cls._ROW.size
            if length > len(data) - at:
                raise WireError(
                    Reason.TLV_SIZE, f"UNICAST_MASTER_TABLE_NP row {index}: address of {length} bytes"
                )
            fields = (PortIdentity(clock, port), *values, data[at : at + length])
            servers.append(UnicastServer(*fields))
            at += length
        if len(data) - at > 1:
            raise WireError(
                Reason.TLV_SIZE, f"UNICAST_MASTER_TABLE_NP: {len(data) - at} bytes after its rows"
            )
        return cls(tuple(servers), data[at:])

    def encode(self) -> bytes:
        """To the data field, padded to an even length."""
        parts = [struct.pack(">H", len(self.servers))]
        for row in self.servers:
            identity, *rest, address = astuple(row)
            parts += [self._ROW.pack(*identity, *rest, len(address)), address]
        raw = b"".join(parts) + self.padding
        return raw + b"\0" * (len(raw) % 2)
