"""What the maker of a card stored in its EEPROM chips, for each board."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from timecard.boards.board import Board
from timecard.eeprom.disciplining import EMPTY_TABLE, FACTORY_CONFIG, encode_config, encode_table
from timecard.eeprom.identity import encode_board_id, encode_eui48
from timecard.eeprom.manufacturing import encode_record

DEFAULT_EUI48: Final = "02:ac:cd:00:00:01"
DEFAULT_PRODUCT_SERIAL: Final = "F00000001"
BOARD_IDS: Final = MappingProxyType(
    {
        "fb": "FBTC-V9-00001",
        "litepcie": "FBTC-V9-00001",
        # The maker's part number begins so.
        "celestica": "R4006-G000101",
        "art": "1203-0100-001",
        "adva": "OSA-TC-000001",
        "adva-x1": "OSA-TCX1-0001",
    }
)
_ERASED: Final = 0xFF
_NUMBER_AT: Final = 0x80
"""Of the maker's 128-bit number in a 24MAC402."""
_ART_RECORD: Final = MappingProxyType(
    {
        "product_name": "ART CARD",
        "product_part_number": "12030100",
        "system_assembly_part_number": "1203-0200",
        "pcba_part_number_customer": "1203-0300",
        "pcb_part_number_customer": "1203-0400",
        "pcba_serial_number": "PCBA000000001",
        "production_state": "4",
        "product_version": "5",
        "product_sub_version": "0",
        "asset_tag": "000001",
        "manufacturer": "OROLIA",
        "year": "2022",
        "month": "3",
        "day": "15",
        "pcb_manufacturer": "PCBHOUSE",
        "assembled_at": "LESULIS",
        "local_mac": "02ACCD000001",
        "extended_mac_base": "02ACCD000001",
        "extended_mac_count": "1",
        "location": "LAB",
    }
)


def factory_contents(
    board: Board, eui48: str | None = None, board_id: str | None = None, product_serial: str | None = None
) -> dict[int, bytes]:
    """Contents of each chip by its first address; raises ``ValueError`` that names the wrong value."""
    images = {chip.address: bytearray([_ERASED]) * chip.size for chip in board.i2c.chips}
    fields = board.i2c.fields

    def put(name: str, raw: bytes) -> None:
        field = fields[name]
        images[field.chip][field.offset : field.offset + len(raw)] = raw

    name = BOARD_IDS.get(board.name, board.name.upper()) if board_id is None else board_id
    if "manufacturing" in fields:
        serial = product_serial or DEFAULT_PRODUCT_SERIAL
        if product_serial is None and eui48 is not None:
            # Cards that differ shall differ here, too: the kernel driver reads its serial from these digits.
            serial = f"F{int.from_bytes(encode_eui48(eui48)) % 100_000_000:08d}"
        record = {**_ART_RECORD, "pcba_part_number": name, "product_serial_number": serial}
        if eui48 is not None:
            record["local_mac"] = encode_eui48(eui48).hex().upper()
        put("manufacturing", encode_record(record))
        put("disciplining_config", encode_config(FACTORY_CONFIG))
        put("temperature_table", encode_table(EMPTY_TABLE))
    else:
        raw = encode_eui48(DEFAULT_EUI48 if eui48 is None else eui48)
        put("board_id", encode_board_id(name, fields["board_id"]))
        number = fields["serial"]
        images[number.chip][_NUMBER_AT : _NUMBER_AT + 16] = b"\x0a" + bytes(9) + raw
        put("serial", raw)
    return {address: bytes(image) for address, image in images.items()}
