"""Who a card is, from its EEPROM: a board id and an EUI-48, or the manufacturing record of ART cards.

The FB layout has two chips: text in a 24c02, and the EUI-48 in a 24mac402 from word address 0x9A on, where
word 0 is not the serial. Places: the kernel's ``drivers/ptp/ptp_ocp.c`` (``ptp_ocp_eeprom_map``).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Protocol

from timecard.boards.board import Board, EepromField
from timecard.card_values import BoardIdentity
from timecard.eeprom.manufacturing import decode_record, text_of
from timecard.errors import DeviceLostError, TimeCardError

EUI48_SIZE: Final = 6
EUI48: Final = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
"""As the kernel driver and we write it."""


class Readable(Protocol):
    """What of a memory is needed here."""

    def read(self, offset: int, size: int) -> bytes:
        """Read bytes."""
        ...


def decode_identity(board: Board, memory_of: Callable[[int], Readable]) -> BoardIdentity:
    """The identity, read through ``memory_of(i2c_address)``.

    A memory that cannot be read, or holds nonsense, is a problem of the identity. Only ``DeviceLostError`` is
    raised: then there is no card to describe.
    """
    problems: list[str] = []

    def contents(name: str) -> bytes | None:
        field = board.i2c.fields[name]
        try:
            return memory_of(field.chip).read(field.offset, field.size)
        except DeviceLostError:
            raise
        except TimeCardError as error:
            problems.append(f"{name.replace('_', ' ')}: {error}")
            return None

    if "manufacturing" in board.i2c.fields:
        raw = contents("manufacturing")
        if raw is None:
            return BoardIdentity(serial=None, board_id=None, fields={}, problems=tuple(problems))
        fields, found = decode_record(raw)
        return BoardIdentity(
            serial=fields.get("product_serial_number"),
            board_id=fields.get("pcba_part_number"),
            fields=fields,
            problems=(*problems, *found),
        )
    board_id = serial = None
    raw = contents("board_id")
    if raw is not None:
        board_id = text_of(raw) or None
        if board_id is None:
            problems.append(f"board id: blank or not text: {raw.hex()}")
    raw = contents("serial")
    if raw is not None:
        serial = decode_eui48(raw)
        if serial is None:
            problems.append(f"serial: {raw.hex()} is not an EUI-48")
    return BoardIdentity(serial=serial, board_id=board_id, fields={}, problems=tuple(problems))


def decode_eui48(raw: bytes) -> str | None:
    """``xx:xx:xx:xx:xx:xx``; None for a blank page and for a group address, which no station has."""
    if len(raw) != EUI48_SIZE or raw in (bytes(EUI48_SIZE), b"\xff" * EUI48_SIZE) or raw[0] & 1:
        return None
    return raw.hex(":")


def encode_eui48(serial: str) -> bytes:
    """The bytes of ``xx:xx:xx:xx:xx:xx``; raises ``ValueError``."""
    try:
        raw = bytes.fromhex(serial.replace(":", ""))
    except ValueError:
        raw = b""
    if decode_eui48(raw) != serial.lower():
        raise ValueError(f"serial {serial!r} is not an EUI-48 of the form 02:ac:cd:00:00:01")
    return raw


def encode_board_id(board_id: str, field: EepromField) -> bytes:
    """The field padded with NUL; raises ``ValueError``."""
    if not (board_id.isascii() and board_id.isprintable()) or len(board_id) > field.size:
        raise ValueError(f"board id {board_id!r} is not up to {field.size} ASCII characters")
    return board_id.encode("ascii").ljust(field.size, b"\0")
