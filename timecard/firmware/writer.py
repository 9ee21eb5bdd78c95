"""Writing a region of the flash so that a power cut at any step leaves a card that starts.

The first sector, which holds what the FPGA looks for, is erased first and programmed last, from its last page
to its first: between the two there is no update image, and the FPGA starts the golden one. Before that last
step everything else has been read back and compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from timecard.card_protocols import FlashDevice
from timecard.errors import ProtocolError

PAGE: Final = 256
ATTEMPTS: Final = 2
Progress = Callable[[str, int, int], None]
"""Stage, done, total."""


class Notes(Protocol):
    """The journal: each note is on disk when the call returns."""

    def __call__(self, row: dict[str, int | bool]) -> None:
        """Append a line."""
        ...


@dataclass(frozen=True, slots=True)
class Region:
    """Content, whole sectors of it, and where it belongs."""

    start: int
    content: bytes

    def sectors(self, erase_size: int) -> Iterable[int]:
        """Offsets of the sectors in the flash."""
        return range(self.start, self.start + len(self.content), erase_size)

    def at(self, offset: int, size: int) -> bytes:
        """What belongs at ``offset`` of the flash."""
        return self.content[offset - self.start : offset - self.start + size]


def read_region(flash: FlashDevice, start: int, size: int, stage: str, progress: Progress) -> bytes:
    """Read ``size`` bytes from ``start``, a sector at a time."""
    out = bytearray()
    for offset in range(start, start + size, flash.erase_size):
        out += flash.read(offset, min(flash.erase_size, start + size - offset))
        progress(stage, len(out), size)
    return bytes(out)


def differing(flash: FlashDevice, region: Region, stage: str, progress: Progress) -> list[int]:
    """Offsets of the sectors whose contents are not what they should be."""
    current = read_region(flash, region.start, len(region.content), stage, progress)
    return _compare(current, region, flash.erase_size)


def write_region(
    flash: FlashDevice,
    region: Region,
    note: Notes,
    progress: Progress,
    *,
    suspicious: frozenset[int] = frozenset(),
    current: bytes | None = None,
) -> int:
    """Make the flash hold ``region``; returns the number of sectors written, 0 if all was there.

    ``suspicious`` sectors are written whatever they read; ``current`` is what the region holds, if that was
    read before. Raises ``ProtocolError`` when what was written reads back otherwise; the card then starts its
    golden image, and the same call may be tried again.
    """
    size = flash.erase_size
    head = region.start
    if current is None:
        current = read_region(flash, region.start, len(region.content), "comparing", progress)
    wanted = {*_compare(current, region, size), *suspicious}
    todo = [offset for offset in region.sectors(size) if offset in wanted]
    if not todo:
        return 0
    total = len({head, *todo})
    note({"erase": head})
    flash.erase(head)
    written = 0
    for offset in todo:
        if offset != head:
            note({"erase": offset})
            _write_sector(flash, offset, region.at(offset, size))
            note({"done": offset})
            written += 1
            progress("writing", written, total)
    _verify_rest(flash, region, progress)
    _program_head(flash, head, region.at(head, size))
    note({"done": head})
    progress("writing", total, total)
    return total


def _compare(current: bytes, region: Region, size: int) -> list[int]:
    found = Region(region.start, current)
    return [offset for offset in region.sectors(size) if found.at(offset, size) != region.at(offset, size)]


def _write_sector(flash: FlashDevice, offset: int, content: bytes) -> None:
    for _ in range(ATTEMPTS):
        flash.erase(offset)
        flash.program(offset, content)
        if flash.read(offset, len(content)) == content:
            return
    raise _wrong(flash, offset)


def _verify_rest(flash: FlashDevice, region: Region, progress: Progress) -> None:
    """Compare all but the first sector, also those that were right before."""
    for offset in differing(flash, region, "verifying", progress):
        if offset != region.start:
            raise _wrong(flash, offset)


def _program_head(flash: FlashDevice, offset: int, content: bytes) -> None:
    for attempt in range(ATTEMPTS):
        if attempt or flash.read(offset, len(content)).strip(b"\xff"):
            flash.erase(offset)
        for at in reversed(range(0, len(content), PAGE)):
            flash.program(offset + at, content[at : at + PAGE])
        if flash.read(offset, len(content)) == content:
            return
    raise _wrong(flash, offset)


def _wrong(flash: FlashDevice, offset: int) -> ProtocolError:
    return ProtocolError(
        flash.name,
        f"verify {offset:#x}",
        f"reads back otherwise than written, {ATTEMPTS} times; until an update succeeds the card starts its "
        "golden image (some kernels' SPI drivers lose bytes: try it without a kernel driver)",
    )
