"""Sending a file by XMODEM-1K with CRC: what the boot loader of an SA5X takes new firmware by.

A block is STX, its number modulo 256, the complement of that, 1024 bytes and a CRC-16 (polynomial 0x1021,
initial value 0, high byte first). The receiver asks by ``C``, acknowledges by ACK and asks again by NAK; EOT
ends the file, CAN twice ends everything. Source: Chuck Forsberg, "XMODEM/YMODEM Protocol Reference".

``Sender`` is the protocol as a state machine without time or line, ``send_file`` lets it talk on a stream.
"""

from __future__ import annotations

import re
from binascii import crc_hqx
from collections.abc import Callable
from enum import Enum
from typing import Final

from timecard.errors import DeviceTimeoutError, RefusedError, TimeCardError
from timecard.mac.client import ERRORS
from timecard.protocols import ByteStream
from timecard.timebase import Timebase
from timecard.timescale import NS_PER_S

STX, EOT, ACK, NAK, CAN, PAD = 0x02, 0x04, 0x06, 0x15, 0x18, 0x1A
READY: Final = 0x43
"""``C``: the receiver waits for the first block, and wants CRCs."""
BLOCK: Final = 1024
MAX_TRIES: Final = 10
MAX_SILENCES: Final = 3
"""After so many timeouts without a single byte, nobody is there any more."""
MAX_TEXT: Final = 256
READY_S: Final = 60.0
ANSWER_S: Final = 10.0
"""A receiver may erase its flash after the first block."""
_ERROR: Final = re.compile(rb"\[!(\d{1,4})\]")
TAKEN: Final = b"[=1]"
"""The boot loader has checked the file and takes it."""
REASON_S: Final = 0.1
CANCEL: Final = bytes((CAN, CAN, CAN))

Progress = Callable[[int, int], None]
"""Called with the blocks acknowledged, and their number."""


class State(Enum):
    """Where a transfer is."""

    WAITING = "waiting for the receiver"
    SENDING = "sending blocks"
    ENDING = "waiting for the end to be acknowledged"
    DONE = "done"
    FAILED = "failed"


class Sender:
    """``feed`` and ``timed_out`` return the bytes that are to be sent now."""

    def __init__(self, data: bytes) -> None:
        """``data``: the whole file; the last block is padded."""
        if not data:
            raise ValueError("xmodem: the file is empty")
        self.state = State.WAITING
        self.failure = ""
        """Why the transfer failed."""
        self.code: int | None = None
        """The receiver's error code, if it told one."""
        self.silent = False
        """It failed because nobody answers."""
        self.acknowledged = 0
        self.repeats = 0
        """Blocks that had to be sent again, in all."""
        self.after = b""
        """What the receiver said behind its last acknowledgement."""
        self._data = data
        self._tries = 0
        self._silences = 0
        self._cancels = 0
        self._text = bytearray()

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return -(-len(self._data) // BLOCK)

    @property
    def over(self) -> bool:
        """Nothing more happens."""
        return self.state in (State.DONE, State.FAILED)

    def feed(self, data: bytes) -> bytes:
        """Bytes from the receiver.

        What follows an answer that makes us send is dropped: it cannot be about what was not sent yet.
        """
        self._silences = 0
        for at, byte in enumerate(data):
            if self.over:
                break
            if self._is_text(byte):
                continue
            self._cancels = self._cancels + 1 if byte == CAN else 0
            if self._cancels >= 2:
                self._fail("the receiver cancelled")
            elif byte == READY and self.state is State.WAITING:
                self.state = State.SENDING
                return self._packet()
            elif byte == ACK and self.state is State.SENDING:
                self._tries = 0
                self.acknowledged += 1
                if self.acknowledged < self.blocks:
                    return self._packet()
                self.state = State.ENDING
                return bytes((EOT,))
            elif byte == ACK and self.state is State.ENDING:
                self.state = State.DONE
                self.after = data[at + 1 :]
            elif byte == NAK and self.state in (State.SENDING, State.ENDING):
                return self._again("refused")
        return b""

    def timed_out(self) -> bytes:
        """Nothing that counts came in time."""
        self._silences += 1
        self._text.clear()
        if self.state is State.WAITING:
            self.silent = True
            self._fail("the receiver did not ask for the file")
            return b""
        if self._silences >= MAX_SILENCES:
            self.silent = True
            self._fail(f"silence at block {self.acknowledged + 1} of {self.blocks}")
            return b""
        return self._again("not answered")

    # --- internals ------------------------------------------------------------------------------------------

    def _again(self, why: str) -> bytes:
        self._tries += 1
        if self._tries >= MAX_TRIES:
            what = (
                "the end" if self.state is State.ENDING else f"block {self.acknowledged + 1} of {self.blocks}"
            )
            self._fail(f"{what} was {why} {MAX_TRIES} times")
            return b""
        if self.state is State.ENDING:
            return bytes((EOT,))
        self.repeats += 1
        return self._packet()

    def _packet(self) -> bytes:
        content = self._data[self.acknowledged * BLOCK : (self.acknowledged + 1) * BLOCK].ljust(
            BLOCK, b"\x1a"
        )
        number = self.acknowledged + 1 & 0xFF
        return bytes((STX, number, 0xFF - number)) + content + crc_hqx(content, 0).to_bytes(2, "big")

    def _is_text(self, byte: int) -> bool:
        """Collect a line of the boot loader's own, such as ``[!320]``: it ends the transfer."""
        text = self._text
        if len(text) == 1 and byte not in b"!=>":
            text.clear()  # the bracket was noise
        if not text and byte != 0x5B:
            return False
        if not 0x20 <= byte < 0x7F or len(text) >= MAX_TEXT:
            text.clear()
            return False
        text.append(byte)
        error = _ERROR.fullmatch(text)
        if error is not None:
            self.code = int(error[1])
            self._fail(meaning(self.code))
        elif text.startswith(b"[>"):
            self._fail("the part restarted")
        elif text == TAKEN and self.state is State.ENDING:
            self.state, self.after = State.DONE, TAKEN  # the acknowledgement before it was lost
        elif byte == 0x5D:
            text.clear()
        return True

    def _fail(self, reason: str) -> None:
        self.state, self.failure = State.FAILED, reason


def send_file(stream: ByteStream, timebase: Timebase, data: bytes, progress: Progress | None = None) -> bytes:
    """Send a file; returns what the receiver said behind its last acknowledgement, which may be nothing yet.

    Raises ``DeviceTimeoutError`` when the receiver falls silent, ``RefusedError`` when it does not take the
    file, and what the stream raises. The receiver is then told that the transfer is over.
    """
    sender = Sender(data)
    waits_s = READY_S
    deadline_ns = timebase.mono_ns() + round(waits_s * NS_PER_S)
    while not sender.over:
        left_s = (deadline_ns - timebase.mono_ns()) / NS_PER_S
        heard = stream.read(4096, left_s) if left_s > 0 else b""
        if heard:
            reply = sender.feed(heard)
        elif left_s <= 0:
            reply = sender.timed_out()
        else:
            continue
        if reply:
            stream.write(reply)
            deadline_ns = timebase.mono_ns() + round(ANSWER_S * NS_PER_S)
            if progress is not None:
                progress(sender.acknowledged, sender.blocks)
    if sender.state is State.FAILED:
        raise _failed(stream, timebase, sender)
    return sender.after


def _failed(stream: ByteStream, timebase: Timebase, sender: Sender) -> TimeCardError:
    if sender.silent:
        return DeviceTimeoutError(stream.name, "send the file", sender.failure)
    reason = sender.failure
    if sender.code is None:
        stream.write(CANCEL)
        timebase.sleep_s(REASON_S)
        found = _ERROR.search(stream.read(4096, 0.0))  # a receiver that cancels may say why
        reason += f", {meaning(int(found[1]))}" if found else ""
    return RefusedError(stream.name, "send the file", reason)


def meaning(code: int) -> str:
    """An error code of the part in words."""
    return f"error {code}: {ERRORS.get(code, 'not documented')}"
