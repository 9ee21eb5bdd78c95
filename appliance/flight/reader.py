"""Reading a flight record: whatever the bytes are, values or a ``FlightError``, within bounds of memory."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

from appliance.flight.decision import VOCABULARY, End
from appliance.flight.errors import FlightError
from appliance.flight.files import FORMAT, FRAME, MAGIC, MAX_FRAME_BYTES
from appliance.flight.shapes import Unpacker
from appliance.printable import shortened, shown
from appliance.timescale.discipline_config import DisciplineConfig

MAX_HEADER_BYTES: Final = 1 << 20
MAX_START_BYTES: Final = 8 << 20
"""Many times what a checkpoint takes; as objects it may be thirty times that."""


class FlightFile:
    """One flight record. ``FlightError`` when it cannot be opened or its beginning is damaged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ended: str | None = None
        """Once all values were read: why the file was closed; None when it was cut."""
        self.cut: str | None = None
        """Once all values were read: what is wrong with the rest; None when nothing is."""
        try:
            self._file: BinaryIO = path.open("rb")
            self._size = path.stat().st_size
        except OSError as error:
            raise FlightError(f"{path}: {error.strerror or error}") from error
        try:
            self._begin()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> FlightFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _begin(self) -> None:
        if self._file.read(len(MAGIC)) != MAGIC:
            raise FlightError(f"{self.path} is no flight record")
        header = self._required()
        if len(header) > MAX_HEADER_BYTES:
            raise FlightError(f"{self.path}: its beginning is too large")
        self.header = self._document(header, "header")
        if self.header.get("format") != FORMAT:
            raise FlightError(
                f"{self.path} has format {shown(self.header.get('format'))}, this version reads {FORMAT}"
            )
        self.start = self._document(_inflate(self._required(), MAX_START_BYTES, self.path), "start")
        start_ns = self.header.get("start_mono_ns")
        if not isinstance(start_ns, int):
            raise FlightError(f"{self.path}: header: start_mono_ns is {shown(start_ns)}, wants an integer")
        self.start_mono_ns = start_ns

    @property
    def config(self) -> DisciplineConfig:
        """What the discipline was told. Raises ``FlightError`` for what this version does not know."""
        try:
            document: Mapping[str, Any] = self.header["config"]
            fields: dict[str, Any] = {
                name: tuple(v) if isinstance(v, list) else v for name, v in document.items()
            }
            return DisciplineConfig(**fields)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise FlightError(
                f"{self.path}: the discipline's settings are not those of this version"
                f" ({shortened(str(error))}); it was written by {shown(self.header.get('product'))}"
            ) from error

    def values(self) -> Iterator[Any]:
        """Events, actions and decisions in order, up to the end or to where the file is cut.

        Raises ``FlightError`` for whole frames that make no sense: no power cut does that.
        """
        inflate, unpacker = zlib.decompressobj(), Unpacker(VOCABULARY)
        while self.ended is None:
            at = self._file.tell()
            try:
                payload = self._frame()
            except (OSError, FlightError) as error:
                self.cut = f"{error} at byte {at} of {self._size}"
                return
            if payload is None:
                self.cut = "not closed: it is still being written, or power was lost"
                return
            try:
                data = inflate.decompress(payload, MAX_FRAME_BYTES)
                if inflate.unconsumed_tail:
                    raise FlightError("a frame is too large")
                for value in unpacker.unpack(data):
                    if isinstance(value, End):
                        self.ended = value.reason
                        return
                    yield value
            except (zlib.error, FlightError) as error:
                raise FlightError(f"{self.path}: frame at byte {at}: {error}") from error

    def _frame(self) -> bytes | None:
        """The next frame; None at the end of the file."""
        head = self._file.read(FRAME.size)
        if not head:
            return None
        if len(head) < FRAME.size:
            raise FlightError("cut")
        length, crc = FRAME.unpack(head)
        if length > min(MAX_FRAME_BYTES, self._size):
            raise FlightError("cut")
        payload = self._file.read(length)
        if len(payload) < length:
            raise FlightError("cut")
        if zlib.crc32(payload) != crc:
            raise FlightError("damaged")
        return payload

    def _required(self) -> bytes:
        try:
            payload = self._frame()
        except (OSError, FlightError) as error:
            raise FlightError(f"{self.path}: its beginning is damaged ({error})") from error
        if payload is None:
            raise FlightError(f"{self.path}: its beginning is cut")
        return payload

    def _document(self, data: bytes, what: str) -> Mapping[str, Any]:
        try:
            document = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise FlightError(f"{self.path}: {what} is no JSON ({error})") from error
        if not isinstance(document, dict):
            raise FlightError(f"{self.path}: {what} is no JSON object")
        return document


def _inflate(data: bytes, limit: int, path: Path) -> bytes:
    inflate = zlib.decompressobj()
    try:
        whole = inflate.decompress(data, limit)
    except zlib.error as error:
        raise FlightError(f"{path}: its beginning is damaged ({error})") from error
    if inflate.unconsumed_tail:
        raise FlightError(f"{path}: its beginning is too large")
    return whole
