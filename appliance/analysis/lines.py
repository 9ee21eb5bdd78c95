"""Numbered lines of a text file, plain or compressed; everything that comes from it is bounded.

A line, the number of lines and a whole document have limits, so that neither a wrong file nor a compressed
bomb takes the memory of the machine.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from appliance.analysis.errors import InputError

STANDARD_INPUT: Final = "-"
MAX_LINE_BYTES: Final = 65_536
MAX_LINES: Final = 50_000_000
MAX_DOCUMENT_BYTES: Final = 16 << 20
"""Its objects take thirty times as much."""
HEAD_BYTES: Final = 65_536
_BLOCK_BYTES: Final = 1 << 20
_DAMAGED: Final = (EOFError, zlib.error, lzma.LZMAError)
_OPENERS: Final[dict[bytes, Any]] = {b"\x1f\x8b": gzip.open, b"\xfd7zXZ\x00": lzma.open, b"BZh": bz2.open}


class Lines:
    """An open file; ``-`` is standard input. Use as a context manager, iterate once."""

    def __init__(self, path: Path) -> None:
        self.source = "standard input" if str(path) == STANDARD_INPUT else str(path)
        self.path = path
        self._stack = ExitStack()
        self._stream: Any = None
        self.head = b""
        """The first bytes, as text; enough to tell what kind of file it is."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            try:
                self._stream = self._opened(stack)
            except OSError as error:
                raise InputError(self.source, error.strerror or str(error)) from error
            self.head = self._read(HEAD_BYTES)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def __iter__(self) -> Iterator[tuple[int, str]]:
        """Line numbers from 1, and lines without their end."""
        number, rest, block = 0, b"", self.head.removeprefix(b"\xef\xbb\xbf")
        while block:
            *whole, rest = (rest + block).split(b"\n")
            for line in whole:
                number += 1
                yield number, self._text(line, number)
            if len(rest) > MAX_LINE_BYTES or number > MAX_LINES:
                break
            block = self._read(_BLOCK_BYTES)
        if number > MAX_LINES:
            raise InputError(self.source, f"more than {MAX_LINES:,} lines; cut the file")
        if rest:
            yield number + 1, self._text(rest, number + 1)

    def document(self) -> bytes:
        """All of it at once."""
        rest = self._read(MAX_DOCUMENT_BYTES)
        if len(rest) >= MAX_DOCUMENT_BYTES:
            raise InputError(self.source, f"larger than {MAX_DOCUMENT_BYTES >> 20} MiB; use one value a line")
        return self.head + rest

    def _opened(self, stack: ExitStack) -> Any:
        if str(self.path) == STANDARD_INPUT:
            # Compressed standard input would need a seek; a shell decompresses it as easily.
            return sys.stdin.buffer
        plain = stack.enter_context(self.path.open("rb"))
        magic = plain.read(max(map(len, _OPENERS)))
        plain.seek(0)
        opener = next((opener for start, opener in _OPENERS.items() if magic.startswith(start)), None)
        return stack.enter_context(opener(plain)) if opener else plain

    def _text(self, line: bytes, number: int) -> str:
        if len(line) > MAX_LINE_BYTES:
            raise InputError(self.source, f"longer than {MAX_LINE_BYTES} bytes; this is no series", number)
        if b"\0" in line:
            raise InputError(self.source, "holds binary data; this is no text", number)
        return line.decode("utf-8", "backslashreplace").strip()

    def _read(self, size: int) -> bytes:
        try:
            data: bytes = self._stream.read(size)
        except (OSError, *_DAMAGED) as error:
            raise InputError(self.source, f"cannot be read: {error}") from error
        return data
