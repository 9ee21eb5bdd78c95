"""What a kernel module says about itself: the ``.modinfo`` section of its ELF file (kernel, ``modpost``)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Final

_ELF64_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")


def normal_name(name: str) -> str:
    """The kernel's own spelling: dashes and underscores are the same to it."""
    return name.replace("-", "_")


def modinfo(image: bytes) -> dict[str, str]:
    """Keys and values of an uncompressed module; of a key that is there more often, the last.

    Raises ``ValueError`` for anything but a 64-bit little-endian ELF file with such a section.
    """
    try:
        header = _ELF64_HEADER.unpack_from(image)
        if header[0][:6] != b"\x7fELF\x02\x01":
            raise ValueError("not a 64-bit ELF file")
        table, count, names_index = header[6], header[12], header[13]
        sections = [_SECTION.unpack_from(image, table + i * _SECTION.size) for i in range(count)]
        names = image[sections[names_index][4] :]
    except (struct.error, IndexError) as error:
        raise ValueError(f"a damaged ELF file: {error}") from error
    for section in sections:
        if names[section[0] :].startswith(b".modinfo\0"):
            lines = image[section[4] : section[4] + section[5]].split(b"\0")
            return dict(line.decode(errors="replace").split("=", 1) for line in lines if b"=" in line)
    raise ValueError("no .modinfo section")


def load_order(wanted: Iterable[str], depends: Callable[[str], Iterable[str]]) -> list[str]:
    """The wanted modules and all they need, each after what it needs."""
    order: list[str] = []
    underway: set[str] = set()

    def visit(name: str) -> None:
        name = normal_name(name)
        if name in order or name in underway:
            return
        underway.add(name)
        for other in depends(name):
            visit(other)
        order.append(name)

    for name in wanted:
        visit(name)
    return order
