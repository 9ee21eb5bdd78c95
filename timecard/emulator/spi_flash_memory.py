"""The cells of a flash: erased ones are not stored, changed sectors go to a file at once if there is one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

SECTOR: Final = 4096
_BLANK: Final = b"\xff" * SECTOR


class FlashMemory:
    """``size`` bytes of cells, erased (0xFF) at first or as the file says.

    The file is a plain dump of the whole chip, as flash programmers read and write it.
    """

    def __init__(self, size: int, file: Path | None = None) -> None:
        """Raises ``ValueError`` for a file of another size, ``OSError`` for one that cannot be used."""
        self.size = size
        self.loaded = False
        """The file existed: the contents are those of an earlier run."""
        self._sectors: dict[int, bytearray] = {}
        self._file = file
        if file is None:
            return
        if file.exists():
            self._load(file)
            return
        with file.open("wb") as new:
            for _ in range(size // SECTOR):
                new.write(_BLANK)

    def read(self, offset: int, size: int) -> bytes:
        """Read, wrapping at the end of the chip."""
        out = bytearray()
        while len(out) < size:
            at = (offset + len(out)) % self.size
            into = at % SECTOR
            take = min(size - len(out), SECTOR - into)
            out += self._sectors.get(at - into, _BLANK)[into : into + take]
        return bytes(out)

    def store(self, offset: int, data: bytes) -> None:
        """Put bytes into the cells, whatever they held before."""
        done = 0
        while done < len(data):
            at = (offset + done) % self.size
            into = at % SECTOR
            take = min(len(data) - done, SECTOR - into)
            sector = self._sectors.setdefault(at - into, bytearray(_BLANK))
            sector[into : into + take] = data[done : done + take]
            self._save(at, bytes(sector[into : into + take]))
            if sector == _BLANK:
                del self._sectors[at - into]
            done += take

    def dump(self) -> dict[int, bytes]:
        """Every sector that is not blank, by offset."""
        return {at: bytes(self._sectors[at]) for at in sorted(self._sectors)}

    def _load(self, file: Path) -> None:
        if file.stat().st_size != self.size:
            raise ValueError(f"{file}: has {file.stat().st_size} bytes, the flash has {self.size}")
        with file.open("rb") as old:
            for at in range(0, self.size, SECTOR):
                sector = old.read(SECTOR)
                if sector != _BLANK:
                    self._sectors[at] = bytearray(sector)
        self.loaded = True

    def _save(self, offset: int, data: bytes) -> None:
        if self._file is None:
            return
        fd = os.open(self._file, os.O_WRONLY)
        try:
            os.pwrite(fd, data, offset)
        finally:
            os.close(fd)
