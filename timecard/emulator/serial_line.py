"""The receive side of an emulated UART: bytes become visible as fast as the line rate allows."""

from __future__ import annotations

from collections import deque
from typing import Final

from timecard.timescale import NS_PER_S

_BITS_PER_BYTE: Final = 10


class SerialLine:
    """Bytes put on a line at some time come out one by one, in order (8N1: ten bits each)."""

    def __init__(self, baud: int) -> None:
        self._byte_ns = 0
        self.set_baud(baud)
        self._segments: deque[tuple[int, bytes]] = deque()
        """When the first bit of the first byte is sent, and the bytes."""
        self._free_ns = 0
        self._taken = 0

    def set_baud(self, baud: int) -> None:
        """For bytes that have not been taken yet as well."""
        self._byte_ns = _BITS_PER_BYTE * NS_PER_S // baud

    @property
    def free_ns(self) -> int:
        """When everything put so far will have been sent."""
        return self._free_ns

    def put(self, data: bytes, t_ns: int) -> None:
        """Send ``data`` at ``t_ns``, or after what is being sent then."""
        start_ns = max(t_ns, self._free_ns)
        self._segments.append((start_ns, data))
        self._free_ns = start_ns + len(data) * self._byte_ns

    def take(self, t_ns: int) -> bytes:
        """What has been sent completely by ``t_ns`` and was not taken yet."""
        if not self._segments or t_ns < self._segments[0][0] + self._byte_ns:
            return b""
        out = bytearray()
        while self._segments:
            start_ns, data = self._segments[0]
            sent = (t_ns - start_ns) // self._byte_ns
            if sent < len(data):
                if sent > self._taken:
                    out += data[self._taken : sent]
                    self._taken = sent
                break
            out += data[self._taken :]
            self._taken = 0
            self._segments.popleft()
        return bytes(out)

    def next_ns(self) -> int | None:
        """When the next byte will have been sent; None when nothing waits."""
        if not self._segments:
            return None
        return self._segments[0][0] + (self._taken + 1) * self._byte_ns

    def clear(self) -> None:
        """Forget what was not sent: the sender was switched off."""
        self._segments.clear()
        self._taken = 0
        self._free_ns = 0
