"""What a Management message asks, and the data field of its TLV by managementId.

``decode_data`` reads a data field that *carries* data (a response, a SET). A GET carries none, or zeros of
the full size; whoever answers accepts both, so nobody should decode them.
"""

from __future__ import annotations

from enum import IntEnum
from types import MappingProxyType
from typing import Final, Protocol

from appliance.ptp.datasets import (
    ClockAccuracyData,
    CurrentDataSet,
    DataSet,
    DefaultDataSet,
    ManagementId,
    ParentDataSet,
    PortDataSet,
    TimePropertiesDataSet,
)
from appliance.ptp.linuxptp import (
    PortProperties,
    PortServiceStats,
    PortStats,
    TimeStatus,
    UnicastMasterTable,
)
from appliance.ptp.tlv import ManagementTlv


class Action(IntEnum):
    """actionField (Table 57)."""

    GET = 0
    SET = 1
    RESPONSE = 2
    COMMAND = 3
    ACKNOWLEDGE = 4


class ManagementError(IntEnum):
    """managementErrorId (Table 109)."""

    RESPONSE_TOO_BIG = 1
    NO_SUCH_ID = 2
    WRONG_LENGTH = 3
    WRONG_VALUE = 4
    NOT_SETABLE = 5
    NOT_SUPPORTED = 6
    UNPOPULATED = 7
    GENERAL_ERROR = 0xFFFE


class _Decodable(Protocol):
    @classmethod
    def decode(cls, data: bytes) -> DataSet: ...


_DECODERS: Final = MappingProxyType[int, type[_Decodable]](
    {
        ManagementId.DEFAULT_DATA_SET: DefaultDataSet,
        ManagementId.CURRENT_DATA_SET: CurrentDataSet,
        ManagementId.PARENT_DATA_SET: ParentDataSet,
        ManagementId.TIME_PROPERTIES_DATA_SET: TimePropertiesDataSet,
        ManagementId.PORT_DATA_SET: PortDataSet,
        ManagementId.CLOCK_ACCURACY: ClockAccuracyData,
        ManagementId.TIME_STATUS_NP: TimeStatus,
        ManagementId.PORT_PROPERTIES_NP: PortProperties,
        ManagementId.PORT_STATS_NP: PortStats,
        ManagementId.PORT_SERVICE_STATS_NP: PortServiceStats,
        ManagementId.UNICAST_MASTER_TABLE_NP: UnicastMasterTable,
    }
)


def decode_data(tlv: ManagementTlv) -> DataSet | None:
    """The data set in a response or SET; None for an id that is not in the table. Raises ``WireError``."""
    decoder = _DECODERS.get(tlv.management_id)
    return None if decoder is None else decoder.decode(tlv.data)


def encode_data(data: DataSet) -> ManagementTlv:
    """The MANAGEMENT TLV that carries ``data``."""
    return ManagementTlv(management_id=data.management_id, data=data.encode())
