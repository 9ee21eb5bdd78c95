"""The boot loader of an emulated SA5X: it takes new firmware by XMODEM-1K, and may lose its supply meanwhile.

Commands and error codes: Microchip "MAC SA5X User's Guide", DS50002938, and Meta's ``sa53`` upgrade tool;
block format: Chuck Forsberg's "XMODEM/YMODEM Protocol Reference". What the loader answers to other commands,
how long it waits for a sender and how it checks a file are not published; here a file made by ``build_image``
carries its length and a CRC, and every file must end in a footer for this part. All times are true TAI.
"""

from __future__ import annotations

import re
import zlib
from binascii import crc_hqx
from collections.abc import Callable
from typing import Final

from timecard.timescale import NS_PER_S

SOH, STX, EOT, ACK, NAK, CAN, PAD = 0x01, 0x02, 0x04, 0x06, 0x15, 0x18, 0x1A
READY: Final = b"C"
CORRUPT, BAD_SUM, WRONG_TARGET, INCOMPLETE = 301, 302, 303, 304
TOO_MANY_TRIES, TRANSFER_FAILED, ERASE_FAILED, WRITE_FAILED = 310, 311, 320, 321
MAX_TRIES: Final = 10
READY_EVERY_NS: Final = NS_PER_S
READY_TIMES: Final = 60
BYTE_GAP_NS: Final = NS_PER_S
"""A block that pauses longer is over."""
BLOCK_WAIT_NS: Final = 10 * NS_PER_S
WRITE_NS: Final = 15_000_000
"""To write a block to flash, before it is acknowledged."""
MAX_IMAGE: Final = 4 << 20
MAGIC: Final = b"SA5XEMU1"
_FOOTER: Final = re.compile(rb"\?v=(V\d+\.\d+\.\d+)\.([0-9A-F]{8}),([ -~]{1,300}?)target=([a-z0-9]+)\.")
_SIZES: Final = {SOH: 128, STX: 1024}


def build_image(version: str, size: int = 20_000, platform: str = "sa5x", target: str = "cpu") -> bytes:
    """An image that the emulated part takes: ``version`` as ``V1.6.5.669A7202``; content made from it."""
    footer = f"?v={version},f=sa5x_{version}.cfw,t={platform},app=clock,platform={platform},target={target}."
    room = size - len(MAGIC) - 8 - len(footer)
    if room < 0:
        raise ValueError(f"image of {size} bytes: too small")
    content = b""
    while len(content) < room:
        content += zlib.crc32(f"{version}{len(content)}".encode()).to_bytes(4, "little")
    body = content[:room] + footer.encode("ascii")
    return MAGIC + size.to_bytes(4, "big") + zlib.crc32(body).to_bytes(4, "big") + body


class FirmwareFlash:
    """Where the part's firmware is."""

    def __init__(self, version: str) -> None:
        """``version`` is that of the whole image it holds, as ``{swrev?}`` gives it."""
        self.version: str | None = version
        """None: what is there does not run."""
        self.fault = 0
        """320 or 321: erasing or writing fails."""

    def check(self, data: bytes) -> int:
        """0 when a file may run here, else the error code."""
        content = data.rstrip(bytes((PAD,)))
        footers = list(_FOOTER.finditer(content, max(0, len(content) - 65_536)))
        if content.startswith(MAGIC):
            size = int.from_bytes(content[8:12], "big")
            if size > len(data):
                return INCOMPLETE
            if zlib.crc32(data[16:size]) != int.from_bytes(content[12:16], "big"):
                return BAD_SUM
        if not footers:
            return CORRUPT
        fields = footers[-1][3]
        right = b"t=sa5x," in fields and b"platform=sa5x," in fields and footers[-1][4] == b"cpu"
        return 0 if right else WRONG_TARGET

    def commit(self, data: bytes) -> int:
        """Let a received file become the firmware; returns the error code that forbids it, or 0."""
        error = self.check(data)
        if not error:
            found = list(_FOOTER.finditer(data))[-1]
            self.version = f"{found[1].decode()}.0.{found[2].decode()}"
        return error


class XmodemReceiver:
    """The receiving end, as the part has it. ``say`` sends bytes, ``end`` is called with the final code."""

    def __init__(
        self,
        flash: FirmwareFlash,
        t_ns: int,
        say: Callable[[bytes, int], None],
        end: Callable[[int, int], None],
    ) -> None:
        self.blocks = 0
        """Received and written."""
        self.tries = 0
        """How often the present block was refused."""
        self.refuse_next = 0
        """So many blocks are refused although they are right: a bad line."""
        self._flash = flash
        self._say = say
        self._end = end
        self._data = bytearray()
        self._packet = bytearray()
        self._cancels = 0
        self._readies = 0
        self._due_ns = t_ns

    def feed(self, data: bytes, t_ns: int) -> None:
        """Bytes from the sender."""
        for byte in data:
            if not self._packet:
                self._begin(byte, t_ns)
            else:
                self._packet.append(byte)
                self._due_ns = t_ns + BYTE_GAP_NS
                if len(self._packet) == _SIZES[self._packet[0]] + 5:
                    packet = bytes(self._packet)
                    self._packet.clear()
                    self._block(packet, t_ns)

    def advance(self, t_ns: int) -> None:
        """Ask for the file, or refuse a block that stopped half way."""
        while t_ns >= self._due_ns:
            at_ns = self._due_ns
            if self._packet:
                self._packet.clear()
                self._refuse(at_ns)
            elif self.blocks or self.tries:
                self._refuse(at_ns)
            elif self._readies >= READY_TIMES:
                self._due_ns = 1 << 63
                self._end(TRANSFER_FAILED, at_ns)
            else:
                self._readies += 1
                self._say(READY, at_ns)
                self._due_ns = at_ns + READY_EVERY_NS

    def next_ns(self) -> int:
        """When ``advance`` has something to do."""
        return self._due_ns

    # --- internals ------------------------------------------------------------------------------------------

    def _begin(self, byte: int, t_ns: int) -> None:
        self._cancels = self._cancels + 1 if byte == CAN else 0
        if byte in _SIZES:
            self._packet.append(byte)
            self._due_ns = t_ns + BYTE_GAP_NS
        elif byte == EOT and self.blocks:
            self._say(bytes((ACK,)), t_ns)
            self._finish(self._flash.commit(bytes(self._data)), t_ns)
        elif self._cancels >= 2:
            self._finish(TRANSFER_FAILED, t_ns)

    def _block(self, packet: bytes, t_ns: int) -> None:
        number, inverse, content = packet[1], packet[2], packet[3:-2]
        right = number ^ inverse == 0xFF and crc_hqx(content, 0) == int.from_bytes(packet[-2:], "big")
        if not right or self.refuse_next:
            self.refuse_next = max(0, self.refuse_next - 1)
            self._refuse(t_ns)
            return
        self._due_ns = t_ns + BLOCK_WAIT_NS
        if self.blocks and number == self.blocks & 0xFF:
            self._say(bytes((ACK,)), t_ns)  # its acknowledgement was lost
        elif number != self.blocks + 1 & 0xFF or len(self._data) > MAX_IMAGE:
            self._say(bytes((CAN, CAN)), t_ns)
            self._finish(TRANSFER_FAILED, t_ns)
        elif self._flash.fault:
            self._say(bytes((CAN, CAN)), t_ns)
            self._finish(self._flash.fault, t_ns)
        else:
            self._flash.version = None  # the first block erases what was there
            self._data += content
            self.blocks += 1
            self.tries = 0
            self._say(bytes((ACK,)), t_ns + WRITE_NS)

    def _refuse(self, t_ns: int) -> None:
        self.tries += 1
        if self.tries >= MAX_TRIES:
            self._finish(TOO_MANY_TRIES, t_ns)
            return
        self._due_ns = t_ns + BLOCK_WAIT_NS
        self._say(bytes((NAK,)), t_ns)

    def _finish(self, code: int, t_ns: int) -> None:
        self._due_ns = 1 << 63
        self._end(code, t_ns)
