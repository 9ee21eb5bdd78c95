"""Management data fields of IEEE 1588-2019, 15.5.3."""

from __future__ import annotations

import struct
from dataclasses import astuple, dataclass
from enum import IntEnum, IntFlag
from typing import ClassVar, Protocol, Self

from appliance.ptp.primitives import PortIdentity, Reason, WireError


class ManagementId(IntEnum):
    """managementId (Table 59); names in ``NP`` are linuxptp's."""

    DEFAULT_DATA_SET = 0x2000
    CURRENT_DATA_SET = 0x2001
    PARENT_DATA_SET = 0x2002
    TIME_PROPERTIES_DATA_SET = 0x2003
    PORT_DATA_SET = 0x2004
    CLOCK_ACCURACY = 0x2010
    TIME_STATUS_NP = 0xC000
    PORT_PROPERTIES_NP = 0xC004
    PORT_STATS_NP = 0xC005
    PORT_SERVICE_STATS_NP = 0xC007
    UNICAST_MASTER_TABLE_NP = 0xC008


class DefaultFlag(IntFlag):
    """Flags of DEFAULT_DATA_SET (15.5.3.3.1)."""

    TWO_STEP = 1
    CLIENT_ONLY = 2


class PortState(IntEnum):
    """portState (Table 20); linuxptp adds GRAND_MASTER."""

    INITIALIZING = 1
    FAULTY = 2
    DISABLED = 3
    LISTENING = 4
    PRE_MASTER = 5
    MASTER = 6
    PASSIVE = 7
    UNCALIBRATED = 8
    SLAVE = 9
    GRAND_MASTER = 10


class DataSet(Protocol):
    """Any data field."""

    @property
    def management_id(self) -> int:
        """managementId."""
        ...

    def encode(self) -> bytes:
        """The data field, even in length."""
        ...


@dataclass(frozen=True, slots=True)
class FixedDataSet:
    """A data field that is one struct; a port identity in front stands as one value of the dataclass."""

    LAYOUT: ClassVar[struct.Struct]
    LEADING_IDENTITY: ClassVar[bool] = False

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """From the data field."""
        if len(data) != cls.LAYOUT.size:
            raise WireError(
                Reason.TLV_SIZE, f"{cls.__name__} of {len(data)} data bytes instead of {cls.LAYOUT.size}"
            )
        values = cls.LAYOUT.unpack(data)
        if cls.LEADING_IDENTITY:
            values = (PortIdentity(values[0], values[1]), *values[2:])
        return cls(*values)

    def encode(self) -> bytes:
        """To the data field."""
        values = astuple(self)
        if self.LEADING_IDENTITY:
            values = (*values[0], *values[1:])
        try:
            return self.LAYOUT.pack(*values)
        except struct.error as exc:
            raise ValueError(f"{type(self).__name__}: a field does not fit its place: {exc}") from exc


@dataclass(frozen=True, slots=True)
class DefaultDataSet(FixedDataSet):
    """DEFAULT_DATA_SET (15.5.3.3.1)."""

    flags: int
    reserved: int
    number_ports: int
    priority1: int
    clock_class: int
    clock_accuracy: int
    variance: int
    priority2: int
    clock_identity: bytes
    domain: int
    reserved2: int = 0

    management_id: ClassVar[int] = ManagementId.DEFAULT_DATA_SET
    LAYOUT: ClassVar[struct.Struct] = struct.Struct(">BBHBBBHB8sBB")


@dataclass(frozen=True, slots=True)
class CurrentDataSet(FixedDataSet):
    """CURRENT_DATA_SET (15.5.3.4.1); both intervals in ns times 65536."""

    steps_removed: int
    offset_from_master_raw: int
    mean_path_delay_raw: int

    management_id: ClassVar[int] = ManagementId.CURRENT_DATA_SET
    LAYOUT: ClassVar[struct.Struct] = struct.Struct(">Hqq")

    @property
    def offset_from_master_ns(self) -> float:
        """offsetFromMaster in nanoseconds."""
        return self.offset_from_master_raw / 65536

    @property
    def mean_path_delay_ns(self) -> float:
        """meanPathDelay in nanoseconds."""
        return self.mean_path_delay_raw / 65536


@dataclass(frozen=True, slots=True)
class ParentDataSet(FixedDataSet):
    """PARENT_DATA_SET (15.5.3.5.1)."""

    parent: PortIdentity
    parent_stats: int
    reserved: int
    observed_variance: int
    observed_phase_change_rate: int
    priority1: int
    clock_class: int
    clock_accuracy: int
    variance: int
    priority2: int
    grandmaster: bytes

    management_id: ClassVar[int] = ManagementId.PARENT_DATA_SET
    LEADING_IDENTITY: ClassVar[bool] = True
    LAYOUT: ClassVar[struct.Struct] = struct.Struct(">8sHBBHIBBBHB8s")


@dataclass(frozen=True, slots=True)
class TimePropertiesDataSet(FixedDataSet):
    """TIME_PROPERTIES_DATA_SET (15.5.3.6.1); flags as the low byte of ``HeaderFlag``."""

    utc_offset_s: int
    flags: int
    time_source: int

    management_id: ClassVar[int] = ManagementId.TIME_PROPERTIES_DATA_SET
    LAYOUT: ClassVar[struct.Struct] = struct.Struct(">hBB")


@dataclass(frozen=True, slots=True)
class PortDataSet(FixedDataSet):
    """PORT_DATA_SET (15.5.3.7.1)."""

    port: PortIdentity
    port_state: int
    log_min_delay_req_interval: int
    peer_mean_path_delay_raw: int
    log_announce_interval: int
    announce_receipt_timeout: int
    log_sync_interval: int
    delay_mechanism: int
    log_min_pdelay_req_interval: int
    version_number: int

    management_id: ClassVar[int] = ManagementId.PORT_DATA_SET
    LEADING_IDENTITY: ClassVar[bool] = True
    LAYOUT: ClassVar[struct.Struct] = struct.Struct(">8sHBbqbBbBbB")


@dataclass(frozen=True, slots=True)
class ClockAccuracyData(FixedDataSet):
    """CLOCK_ACCURACY (15.5.3.3.7)."""

    clock_accuracy: int
    reserved: int = 0

    management_id: ClassVar[int] = ManagementId.CLOCK_ACCURACY
    LAYOUT: ClassVar[struct.Struct] = struct.Struct(">BB")
