"""Bound pages (``appliance/bound/native``): types of what Python sees of them."""

from os import PathLike
from typing import Final, TypeAlias, final

UtcFields: TypeAlias = tuple[int, int, int, int, int]
# earliest_ns, latest_ns, earliest_in_leap, latest_in_leap, utc_offset_s
BoundFields: TypeAlias = tuple[
    int, int, int, int, float, float, int, int, int, int, int, int, UtcFields | None
]
# those of appliance.bound.reader.Bound, in its order

DATA_SIZE: Final[int]
"""Bytes of the data that a page holds."""
PAGE_SIZE: Final[int]
"""Bytes of the file."""

@final
class Page:
    """The writing end of a bound page."""

    def __new__(cls, file: int, pid: int, start_ticks: int) -> Page:
        """Map an empty file of ``PAGE_SIZE`` and make it a page that claims nothing. Raises ``OSError``."""

    def write(self, data: bytes, /) -> bool:
        """Publish ``DATA_SIZE`` bytes; the host's clocks are filled in here.

        True when the host slept since the last write: then every plane refuses until the next one.
        """

    def end(self) -> None:
        """The daemon stops: readers refuse at once."""

@final
class FbclockPage:
    """The writing end of a page in a layout of fbclock."""

    def __new__(cls, file: int, version: int) -> FbclockPage:
        """Map an empty file of 48 bytes (version 1) or 128 (2). Raises ``OSError``."""

    def write(self, data: bytes, /) -> None:
        """Publish 48 bytes, or the 64 of the first section of version 2."""

@final
class Reader:
    """The reading end of a bound page."""

    def __new__(cls, path: str | PathLike[str]) -> Reader:
        """Read the page at ``path``, now or when there is one. ``ValueError`` when the path is too long."""

    def now(self, plane: int, wide: bool, /) -> BoundFields | int:
        """The fields of a bound, or the number of a refusal."""

    def writer(self) -> tuple[int, int] | None:
        """Process and start time of the page's writer; None without a page."""

def evaluate(data: bytes, raw_ns: int, plane: int, wide: bool, /) -> BoundFields | int:
    """What such data say at ``raw_ns``, as ``Reader.now``; sleep of the host is not looked at."""

def reason(refusal: int, /) -> str:
    """A refusal in words."""
