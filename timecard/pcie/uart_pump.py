"""A thread that empties a UART's FIFO into a buffer: 16 bytes at 115200 baud overflow after 1.4 ms."""

from __future__ import annotations

import threading
import time
from typing import Final

from timecard.errors import TimeCardError
from timecard.pcie.uart import UartStream

BUFFER: Final = 65_536
LOOK: Final = 4096
WAIT_S: Final = 0.1
RETRY_S: Final = 0.5


class PumpedUart:
    """``ByteStream`` in real time; a failing UART's error is raised by ``read`` until it works again."""

    def __init__(self, stream: UartStream) -> None:
        """Takes the stream over and starts the thread, which ``close`` ends."""
        self.name = stream.name
        self.dropped = 0
        """Bytes that nobody fetched in time."""
        self._stream = stream
        self._look = threading.Lock()
        self._news = threading.Condition()
        self._buffer = bytearray()
        self._failure: TimeCardError | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._pump, name=f"uart-{stream.name}", daemon=True)
        self._thread.start()

    @property
    def baud(self) -> int:
        """Rate of the line."""
        return self._stream.baud

    @property
    def errors(self) -> dict[str, int]:
        """Line errors seen so far, by kind."""
        return self._stream.errors

    def read(self, max_bytes: int, timeout_s: float) -> bytes:
        """At least one byte, or nothing within ``timeout_s``; 0 only looks."""
        deadline_s = time.monotonic() + timeout_s
        with self._news:
            while not self._buffer and self._failure is None:
                left_s = deadline_s - time.monotonic()
                if left_s <= 0 or not self._news.wait(left_s):
                    break
            if not self._buffer and self._failure is not None:
                failure, self._failure = self._failure, None
                raise failure
            data = bytes(self._buffer[:max_bytes])
            del self._buffer[:max_bytes]
            return data

    def write(self, data: bytes) -> None:
        """Send all of ``data``; returns when its last bytes are in the FIFO."""
        self._stream.write(data)

    def set_baud(self, baud: int) -> None:
        """Change the rate; what was not fetched yet is lost."""
        with self._look, self._news:
            self._stream.set_baud(baud)
            self._buffer.clear()

    def close(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._thread.join(WAIT_S * 10)

    def _pump(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._look:
                    data = self._stream.read(LOOK, 0)
                if not data:
                    self._stream.wait(WAIT_S)
                    continue
            except TimeCardError as error:
                self._tell(b"", error)
                self._stopping.wait(RETRY_S)
            else:
                self._tell(data, None)

    def _tell(self, data: bytes, failure: TimeCardError | None) -> None:
        with self._news:
            self._buffer += data
            self._failure = failure
            excess = len(self._buffer) - BUFFER
            if excess > 0:
                self.dropped += excess
                del self._buffer[:excess]
            self._news.notify_all()
