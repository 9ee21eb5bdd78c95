"""FPGA images for emulated cards, and which of them a card would start.

Images for Xilinx FPGAs have a real bitstream's frame (pad, sync word, packets); their frame data are noise
and their checksum is a CRC-32 in place of Xilinx' own. Those for Intel FPGAs are a stand-in with the same
information: the real format is not published.
"""

from __future__ import annotations

import random
import struct
import zlib
from dataclasses import dataclass
from typing import Final, Protocol

from timecard.boards.board import Board, ImageWord, SpiKind
from timecard.firmware.bitstream import (
    CMD_IPROG,
    HEAD,
    IDCODES,
    REG_AXSS,
    REG_CMD,
    REG_IDCODE,
    REG_WBSTAR,
    SYNC,
    read_bitstream,
)

IMAGE_SIZE: Final = 24 * 1024
"""Real images have megabytes; these are small so that tests are fast."""
UPDATE_START_200T: Final = 0x0080_0000
"""The golden image of a 200T fills more than the 4 MiB of a 100T."""
FACTORY_NUMBER: Final = {"fb": 28, "litepcie": 31, "celestica": 14, "art": 15, "adva": 4, "adva-x1": 4}
"""Number of the update image that a new emulated card runs."""
GOLDEN_NUMBER: Final = 2
PRODUCTION: Final = 1
_PAD: Final = b"\xff" * 32 + bytes.fromhex("000000bb11220044") + b"\xff" * 8
_NOP: Final = 0x2000_0000
_CMD_DESYNC: Final = 0b01101
_FRAME_DATA: Final = 0x3000_4000
_TYPE2: Final = 0x5000_0000
_CRC: Final = 0x3000_0001
_INTEL: Final = struct.Struct(">12sHHI")
_INTEL_MAGIC: Final = b"\xff\xff\xff\xffCARD-RPD"


class Cells(Protocol):
    """Contents of a flash."""

    size: int

    def read(self, offset: int, size: int) -> bytes:
        """Read, wrapping at the end."""
        ...


@dataclass(frozen=True, slots=True)
class BootedImage:
    """The image that the FPGA has started."""

    golden: bool
    tag: int
    number: int
    on_bus: bool
    """The image fits the card; otherwise the card has vanished from the PCI bus (Time-Card thread 68)."""

    def word(self, board: Board) -> int:
        """What the card's image register reads."""
        word = self.number | (self.tag << 15 if board.image_word is ImageWord.BIT15_TAG else 0)
        return word << 16 if self.golden and board.image_word is not ImageWord.CLOCK_VERSION else word


def make_image(
    board: Board,
    tag: int,
    number: int,
    *,
    size: int = IMAGE_SIZE,
    seed: int = 0,
    fpga: str = "xc7a100t",
    golden: bool = False,
) -> bytes:
    """An image of ``size`` bytes (a multiple of 4) that reports ``tag.number``."""
    noise = random.Random(f"{board.name} {tag}.{number} {seed} {golden}")
    if board.flash.kind is not SpiKind.AXI_QUAD_SPI:
        body = _INTEL.pack(_INTEL_MAGIC, tag, number, size) + noise.randbytes(size - _INTEL.size - 4)
        return body + zlib.crc32(body).to_bytes(4, "big")
    words = [_NOP]
    if golden:
        start = update_start(board, fpga)
        # Flashes beyond 16 MiB are read by four address bytes, of which the register holds the upper three.
        address = start >> 8 if board.flash.default_size > 1 << 24 else start
        words += [*_write(REG_WBSTAR, address), *_write(REG_CMD, CMD_IPROG), _NOP]
    words += [*_write(REG_IDCODE, IDCODES[fpga]), *_write(REG_AXSS, tag << 16 | number)]
    tail = [*_write(REG_CMD, _CMD_DESYNC), *[_NOP] * 4]
    frame_words = (size - len(_PAD) - len(SYNC)) // 4 - len(words) - 2 - 2 - len(tail)
    head = struct.pack(f">{len(words)}I", *words)
    body = head + struct.pack(">II", _FRAME_DATA, _TYPE2 | frame_words) + noise.randbytes(4 * frame_words)
    crc = struct.pack(">II", _CRC, zlib.crc32(body))
    return _PAD + SYNC + body + crc + struct.pack(f">{len(tail)}I", *tail)


def factory_content(
    board: Board, *, fpga: str = "xc7a100t", production: bool | None = None
) -> dict[int, bytes]:
    """What the flash of a new card holds, by offset: golden image, update image, configuration page."""
    tag = image_tag(board, production)
    content = {
        0: make_image(board, tag, GOLDEN_NUMBER, golden=True, fpga=fpga),
        update_start(board, fpga): make_image(board, tag, FACTORY_NUMBER.get(board.name, 1), fpga=fpga),
    }
    if board.flash.config_page is not None:
        content[board.flash.config_page] = b"emulated configuration page\n".ljust(256, b"\x00")
    return content


def image_tag(board: Board, production: bool | None = None) -> int:
    """Tag of the images that fit a card; ``production`` None: only Celestica's are Production cards."""
    if board.image_tag is not None:
        return board.image_tag
    return PRODUCTION if (board.name == "celestica" if production is None else production) else 0


def update_start(board: Board, fpga: str) -> int:
    """Where the update image begins."""
    som = board.name in ("fb", "litepcie")
    return UPDATE_START_200T if som and fpga == "xc7a200t" else board.flash.update_start


def boot_image(
    flash: Cells, board: Board, *, fpga: str = "xc7a100t", production: bool | None = None
) -> BootedImage | None:
    """What the FPGA starts at power-on: the update image if whole, else the golden one, else nothing."""
    xilinx = board.flash.kind is SpiKind.AXI_QUAD_SPI
    found = None
    if xilinx:
        golden = read_bitstream(flash.read(0, HEAD))
        start = update_start(board, fpga)
        if golden is not None and golden.jumps_to(start):
            found = _whole_bitstream(flash, start, fpga)
    else:
        found = _whole_intel(flash, board.flash.update_start)
    is_golden = found is None
    if found is None:
        found = _whole_bitstream(flash, 0, fpga) if xilinx else _whole_intel(flash, 0)
    if found is None:
        return None
    tag, number = found
    return BootedImage(is_golden, tag, number, tag == image_tag(board, production))


def _write(register: int, value: int) -> tuple[int, int]:
    """Packet that writes one word to a configuration register."""
    return 0b001_10 << 27 | register << 13 | 1, value


def _whole_bitstream(flash: Cells, offset: int, fpga: str) -> tuple[int, int] | None:
    """Tag and number of a bitstream that configuration logic accepts: id of the FPGA and checksum right."""
    head = flash.read(offset, HEAD)
    stream = read_bitstream(head)
    if stream is None or stream.idcode != IDCODES[fpga] or stream.user_access is None:
        return None
    start = stream.sync_offset + len(SYNC)
    mark = head.find(_FRAME_DATA.to_bytes(4, "big"), start)
    length = int.from_bytes(head[mark + 4 : mark + 8], "big") - _TYPE2
    if mark < 0 or not 0 <= 4 * length <= flash.size:
        return None
    body = flash.read(offset + start, mark + 8 - start + 4 * length)
    if flash.read(offset + start + len(body), 8) != struct.pack(">II", _CRC, zlib.crc32(body)):
        return None
    return stream.user_access >> 16, stream.user_access & 0xFFFF


def _whole_intel(flash: Cells, offset: int) -> tuple[int, int] | None:
    magic, tag, number, size = _INTEL.unpack(flash.read(offset, _INTEL.size))
    if magic != _INTEL_MAGIC or not _INTEL.size + 4 <= size <= flash.size:
        return None
    image = flash.read(offset, size)
    return (tag, number) if zlib.crc32(image[:-4]) == int.from_bytes(image[-4:], "big") else None
