"""A firmware file, and every reason why it must not go into a given card."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from timecard.boards.board import Board
from timecard.card_values import ImageVersion
from timecard.errors import RefusedError, from_oserror
from timecard.firmware.bitstream import HEAD, LARGEST, SYNC, Bitstream, read_bitstream
from timecard.firmware.header import SIZE, Header, crc16, read_header
from timecard.firmware.layout import Layout, is_xilinx
from timecard.firmware.pins import Pin

MAX_FILE: Final = 64 << 20
SMALLEST: Final = 4096
"""No FPGA image is smaller."""
SIZE_MARGIN: Final = 0x1_0000
"""What a tool may add around a bitstream."""
PRODUCTION_BOARD_ID: Final = "R4006"
PRODUCTION: Final = 1
SOM: Final = 0
_FOREIGN: Final = (
    (b"\x00\x09\x0f\xf0", "a .bit file: take the .bin of the same build, and `timecard flash pack` it"),
    (b":", "an Intel hex file (.mcs): take the .bin, and `timecard flash pack` it"),
    (b"\x1f\x8b", "compressed (gzip): unpack it first"),
    (b"PK\x03\x04", "a ZIP archive: unpack it first"),
    (b"\xfd7zXZ", "compressed (xz): unpack it first"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A file whose header, size and checksum are right."""

    name: str
    header: Header
    payload: bytes
    sha256: str
    """Of the whole file."""
    payload_sha256: str
    bitstream: Bitstream | None

    @property
    def digests(self) -> tuple[str, str]:
        """What a pin may name."""
        return self.sha256, self.payload_sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class CardSide:
    """What is known of the card that is to take the image."""

    board: Board
    layout: Layout
    board_id: str | None
    """From the EEPROM; None when it cannot be read."""
    running: ImageVersion | None


def read_file(file: Path) -> bytes:
    """The bytes of a regular file of bearable size. Raises ``TimeCardError``."""
    try:
        with file.open("rb") as source:
            if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
                raise RefusedError(str(file), "read image", "not a regular file")
            data = source.read(MAX_FILE + 1)
    except OSError as error:
        raise from_oserror(str(file), "read image", error) from error
    if len(data) > MAX_FILE:
        raise RefusedError(str(file), "read image", f"longer than {MAX_FILE >> 20} MiB: no FPGA image")
    return data


def check_file(name: str, data: bytes) -> Image:
    """Header, size and checksum; raises ``RefusedError`` with the first thing that is wrong."""

    def refuse(reason: str) -> RefusedError:
        return RefusedError(name, "check image", reason)

    header = read_header(data)
    if header is None:
        raise refuse(_what_it_is(data))
    payload = data[SIZE:]
    if len(payload) < header.size:
        raise refuse(f"truncated: the header says {header.size} bytes, {len(payload)} follow it")
    if len(payload) > header.size:
        raise refuse(f"too long: the header says {header.size} bytes, {len(payload)} follow it")
    if len(payload) < SMALLEST:
        raise refuse(f"{len(payload)} bytes are no FPGA image")
    crc = crc16(payload)
    if crc != header.crc:
        raise refuse(f"damaged: the header says CRC {header.crc:#06x}, the payload has {crc:#06x}")
    return Image(
        name=name,
        header=header,
        payload=payload,
        sha256=hashlib.sha256(data).hexdigest(),
        payload_sha256=hashlib.sha256(payload).hexdigest(),
        bitstream=read_bitstream(payload[: HEAD + len(SYNC)]),
    )


def refusals(image: Image, pin: Pin | None, card: CardSide) -> list[str]:
    """Every reason not to write this image into this card; empty: it may be written."""
    return [*_identity(image, card), *_pinned(image, pin, card), *_content(image, card)]


def _identity(image: Image, card: CardSide) -> Iterator[str]:
    found = (image.header.vendor, image.header.device)
    if found not in card.board.pci_ids:
        wanted = ", ".join(f"{vendor:04x}:{device:04x}" for vendor, device in card.board.pci_ids)
        yield f"it is for PCI id {found[0]:04x}:{found[1]:04x}, the card ({card.board.product}) has {wanted}"


def _pinned(image: Image, pin: Pin | None, card: CardSide) -> Iterator[str]:
    if pin is None or pin.sha256 not in image.digests:
        yield (
            f"it is not pinned: no approved image has SHA-256 {image.sha256} (file) or "
            f"{image.payload_sha256} (payload); compare with what the maker publishes, then name it by "
            "--sha256 or in the pins file"
        )
        return
    if pin.boards and card.board.name not in pin.boards:
        yield f"it is pinned for {', '.join(pin.boards)}, the card is {card.board.name}"
    tags, evidence = _fitting_tags(card)
    if pin.tag not in tags:
        wanted = " or ".join(f"{tag}.x" for tag in tags) or "none until that is known"
        yield f"it is version {pin.version}; {evidence}: only {wanted} fits (with another the card vanishes)"


def _content(image: Image, card: CardSide) -> Iterator[str]:
    room = card.layout.end - card.layout.update_start
    if len(card.layout.padded(image.payload)) > room:
        yield f"it has {len(image.payload)} bytes, the flash has {room} behind {card.layout.update_start:#x}"
    stream = image.bitstream
    if not is_xilinx(card.board):
        if stream is not None:
            yield f"it is a Xilinx bitstream, the FPGA of {card.board.product} is Intel's"
        if not image.payload.strip(b"\xff") or not image.payload.strip(b"\x00"):
            yield "it is blank"
        return
    if stream is None:
        yield f"it is no Xilinx bitstream: no sync word in its first {HEAD} bytes"
        return
    if stream.fpga is None:
        told = (
            "does not say which" if stream.idcode is None else f"is for {stream.idcode:#010x}, which none has"
        )
        yield f"a Time Card's FPGA is {' or '.join(LARGEST)}; this bitstream {told}"
        return
    if stream.fpga != card.layout.fpga:
        yield f"it is for {stream.fpga}; the golden image says that the card's FPGA is {card.layout.fpga}"
    if stream.warm_boot is not None:
        yield "it is a golden image (it starts another one) and would never run in the update image's place"
    if len(image.payload) > LARGEST[stream.fpga] + SIZE_MARGIN:
        most = LARGEST[stream.fpga]
        yield f"it has {len(image.payload)} bytes, a bitstream for {stream.fpga} at most {most}"


def _fitting_tags(card: CardSide) -> tuple[tuple[int, ...], str]:
    """Firmware tags that run on the card, and how that is known.

    A Production card may carry the generic PCI id; its board id is what tells it from a SOM card. Without
    one, the running image does: one of the wrong kind would not run.
    """
    board = card.board
    if board.image_tag is not None:
        return (board.image_tag,), f"the card is {board.product}"
    if board.name == "celestica":
        return (PRODUCTION,), "Celestica's cards are Production cards"
    if card.board_id is not None:
        if card.board_id.startswith(PRODUCTION_BOARD_ID):
            return (PRODUCTION,), f"its board id {card.board_id!r} is that of a Production card"
        if card.running is None or card.running.tag == SOM:
            return (SOM,), f"its board id {card.board_id!r} is that of a SOM card"
        return (card.running.tag,), f"its board id {card.board_id!r} is new, and it runs {card.running}"
    if card.running is not None:
        return (card.running.tag,), f"its board id cannot be read, and it runs {card.running}"
    return (), "neither its board id nor its running image can be read"


def _what_it_is(data: bytes) -> str:
    for start, what in _FOREIGN:
        if data.startswith(start):
            return f"no OCPC header; {what}"
    if not data:
        return "the file is empty"
    if SYNC in data[: HEAD + len(SYNC)]:
        return "no OCPC header: a raw bitstream; put one in front by `timecard flash pack`"
    return "no OCPC header: not a firmware file, or a raw image that `timecard flash pack` has to wrap"
