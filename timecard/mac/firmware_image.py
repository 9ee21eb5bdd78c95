"""Firmware files of the SA5X: what is in the footer, and whether a file is for this part.

A file ends in a line of text such as ``?v=V1.1.30.635AC64C,f=sa5x_V1.1.30.635AC64C.cfw,t=sa5x,app=clock,``
``platform=sa5x,target=cpu.`` (as Meta's ``sa53`` upgrade tool reads it); padding may follow.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from timecard.errors import RefusedError, from_oserror

MIN_BYTES: Final = 1024
MAX_BYTES: Final = 4 << 20
SEARCHED_BYTES: Final = 65_536
"""The footer is looked for in so much of the file's end."""
FAMILY: Final = "sa5x"
_WANTED: Final[Mapping[str, str]] = {"t": FAMILY, "platform": FAMILY, "target": "cpu"}
_FOOTER: Final = re.compile(rb"\?(v=[ -~]{1,400}?,target=[A-Za-z0-9]{1,20})\.")
_VERSION: Final = re.compile(r"V(\d{1,5})\.(\d{1,5})\.(\d{1,5})(?:\.\d{1,5})?(?:\.([0-9A-Fa-f]{8}))?(?:,.*)?")
CHECK: Final = "check the firmware file"


class Version(NamedTuple):
    """Of the firmware that runs on the part's processor."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


NO_VERSION: Final = Version(0, 0, 0)
"""Of an image that does not run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirmwareImage:
    """A file that is for this part."""

    name: str
    data: bytes
    version: Version
    label: str
    """Version as the file writes it."""
    sha256: str


def version_of(text: str) -> Version | None:
    """The version in a ``{swrev?}`` answer or a footer; None when there is none."""
    found = _VERSION.fullmatch(text)
    return None if found is None else Version(*(int(found[n]) for n in (1, 2, 3)))


def read_image(path: Path) -> FirmwareImage:
    """Read and check a file. Raises ``RefusedError`` for a file of something else, naming what is wrong."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise from_oserror(str(path), "read", error) from error
    return parse_image(data, str(path))


def parse_image(data: bytes, name: str) -> FirmwareImage:
    """Check the content of a file; raises ``RefusedError``."""
    if not MIN_BYTES <= len(data) <= MAX_BYTES:
        raise RefusedError(name, CHECK, f"{len(data)} bytes: firmware has {MIN_BYTES} to {MAX_BYTES}")
    footers = _FOOTER.findall(data, max(0, len(data) - SEARCHED_BYTES))
    if not footers:
        raise RefusedError(name, CHECK, "no footer ?v=...,target=... at its end: no firmware, or cut")
    pairs = (pair.partition("=") for pair in footers[-1].decode("ascii").split(","))
    fields = {key: value for key, _, value in pairs}
    for key, wanted in _WANTED.items():
        found = fields.get(key)
        if found != wanted:
            raise RefusedError(name, CHECK, f"footer says {key}={found}, and this part needs {key}={wanted}")
    version = version_of(fields["v"])
    if version is None:
        raise RefusedError(name, CHECK, f"footer says v={fields['v'][:40]}, which is no version")
    return FirmwareImage(
        name=name,
        data=data,
        version=version,
        label=fields["v"],
        sha256=hashlib.sha256(data).hexdigest(),
    )
