"""What stands in the EEPROM of a card: bytes to frozen values and back. No access to hardware here."""

from timecard.eeprom.disciplining import (
    ContentsError,
    DiscipliningConfig,
    TemperatureTable,
    decode_config,
    decode_old_layout,
    decode_table,
    encode_config,
    encode_table,
)
from timecard.eeprom.identity import decode_eui48, decode_identity, encode_board_id, encode_eui48
from timecard.eeprom.manufacturing import crc8, decode_record, encode_record

__all__ = [
    "ContentsError",
    "DiscipliningConfig",
    "TemperatureTable",
    "crc8",
    "decode_config",
    "decode_eui48",
    "decode_identity",
    "decode_old_layout",
    "decode_record",
    "decode_table",
    "encode_board_id",
    "encode_config",
    "encode_eui48",
    "encode_record",
    "encode_table",
]
