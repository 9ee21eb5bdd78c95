"""A generic netlink socket: requests, their answers, and messages to a group.

The messages are pyroute2's; the socket is a plain one, as pyroute2's own keeps an event loop for each
thread and leaves it behind when the family is not there. Sources: ``include/uapi/linux/netlink.h``,
``genetlink.h``.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final

from pyroute2.netlink import CTRL_CMD_GETFAMILY, GENL_ID_CTRL, NLM_F_ACK, NLM_F_REQUEST, ctrlmsg

NETLINK_GENERIC: Final = 16
SOL_NETLINK: Final = 270
ADD_MEMBERSHIP: Final = 1
EXT_ACK: Final = 11
MAX_BYTES: Final = 1 << 17
_HEADER: Final = struct.Struct("=IHHII")
_ATTRIBUTE: Final = struct.Struct("=HH")
_ERROR: Final = 2
_CAPPED: Final = 0x100
_TLVS: Final = 0x200
_MESSAGE_TLV: Final = 1


class NetlinkRefusal(Exception):  # noqa: N818 - an answer, made a TimeCardError by who asked
    """The kernel's refusal: a positive error number, and its words if it had any."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code
        self.words = words


class GenericNetlink:
    """One family. Raises ``OSError`` for the socket's errors and ``NetlinkRefusal`` for the kernel's."""

    def __init__(self, family: str, message: type[Any]) -> None:
        """``message`` is pyroute2's class for the family."""
        self._message = message
        self._sequence = 0
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC)
        try:
            self._socket.bind((0, 0))
            self._socket.setsockopt(SOL_NETLINK, EXT_ACK, 1)
            self._find(family)
        except BaseException:
            self._socket.close()
            raise

    def join(self, group: str) -> None:
        """Hear what is sent to a group; ``KeyError`` when the family has none of that name."""
        self._socket.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, self._groups[group])

    def ask(self, message: Any, timeout_s: float) -> list[Any]:
        """Send a request and return its answers. The kernel may do the work before ``send`` returns."""
        return self._exchange(message, self._id, timeout_s, self._message)

    def heard(self, timeout_s: float) -> Iterator[Any]:
        """Messages that have arrived; the first is waited for."""
        while select.select([self._socket], [], [], timeout_s)[0]:
            for kind, _, body in _split(self._socket.recv(MAX_BYTES)):
                if kind == self._id:
                    yield _decoded(self._message, body)
            timeout_s = 0.0

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def __enter__(self) -> GenericNetlink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- internals ---

    def _find(self, family: str) -> None:
        request = ctrlmsg()
        request["cmd"] = CTRL_CMD_GETFAMILY
        request["version"] = 1
        request["attrs"] = [("CTRL_ATTR_FAMILY_NAME", family)]
        answers = self._exchange(request, GENL_ID_CTRL, 5.0, ctrlmsg)
        if not answers:
            raise NetlinkRefusal(2, "no answer about the family")
        self._id = int(answers[0].get_attr("CTRL_ATTR_FAMILY_ID"))
        self._groups = {
            group.get_attr("CTRL_ATTR_MCAST_GRP_NAME"): int(group.get_attr("CTRL_ATTR_MCAST_GRP_ID"))
            for group in answers[0].get_attr("CTRL_ATTR_MCAST_GROUPS") or []
        }

    def _exchange(self, message: Any, kind: int, timeout_s: float, answer: type[Any]) -> list[Any]:
        self._sequence += 1
        message["header"]["type"] = kind
        message["header"]["flags"] = NLM_F_REQUEST | NLM_F_ACK
        message["header"]["sequence_number"] = self._sequence
        message["header"]["pid"] = 0
        message.encode()
        self._socket.sendto(bytes(message.data), (0, 0))
        answers: list[Any] = []
        deadline = time.monotonic() + timeout_s
        while select.select([self._socket], [], [], max(0.0, deadline - time.monotonic()))[0]:
            for got, sequence, body in _split(self._socket.recv(MAX_BYTES)):
                if sequence != self._sequence:
                    continue
                if got == kind:
                    answers.append(_decoded(answer, body))
                elif got == _ERROR:
                    _acknowledge(body)
                    return answers
        raise TimeoutError(f"no answer within {timeout_s:g} s")


def _split(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Type, sequence number and whole message."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, _, sequence, _ = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size or offset + length > len(data):
            return
        yield kind, sequence, data[offset : offset + length]
        offset += length + 3 & ~3


def _decoded(kind: type[Any], body: bytes) -> Any:
    message = kind(body)
    message.decode()
    return message


def _acknowledge(body: bytes) -> None:
    """Returns for success; the kernel's text follows the request, or what is left of it."""
    _, _, flags, _, _ = _HEADER.unpack_from(body)
    (code,) = struct.unpack_from("=i", body, _HEADER.size)
    if code == 0:
        return
    offset = _HEADER.size + 4
    (length,) = struct.unpack_from("=I", body, offset)
    offset += _HEADER.size if flags & _CAPPED else length + 3 & ~3
    words = ""
    while flags & _TLVS and offset + _ATTRIBUTE.size <= len(body):
        size, kind = _ATTRIBUTE.unpack_from(body, offset)
        if size < _ATTRIBUTE.size:
            break
        if kind == _MESSAGE_TLV:
            words = body[offset + _ATTRIBUTE.size : offset + size].rstrip(b"\0").decode("utf-8", "replace")
        offset += size + 3 & ~3
    raise NetlinkRefusal(-code, words)
