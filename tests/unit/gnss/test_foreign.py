"""Naming what is on a line that carries no UBX."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from timecard.gnss.foreign import protocol_name
from timecard.gnss.ubx import without_header


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("trimble-res720.log", "Trimble TSIP"),
        ("sbf/mosaic-x5-sbfdata.log", "Septentrio SBF"),
        ("sbf/pygpsdata_x5_status.log", "Septentrio SBF"),
        ("neo-m8n.log", "NMEA"),
        ("polarx2.log", "NMEA"),
    ],
)
def test_protocols_of_captures_are_named(name: str, expected: str, shared_dir: Path) -> None:
    sample = without_header((shared_dir / "data" / "gnss" / name).read_bytes())[:2048]
    assert protocol_name(sample) == expected


def test_noise_is_not_given_a_name() -> None:
    rng = random.Random(1)
    assert [protocol_name(rng.randbytes(2048)) for _ in range(50)] == [None] * 50
    assert protocol_name(b"") is None
    assert protocol_name(b"$@") is None


def with_crc32(body: bytes) -> bytes:
    """Bit by bit as the vendors' manuals write it: polynomial EDB88320, begun at 0, not inverted."""
    crc = 0
    for byte in body:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
    return body + crc.to_bytes(4, "little")


FOREIGN = {
    "Unicore binary": with_crc32(b"\xaa\x44\xb5\x00\x11\x00" + (40).to_bytes(2, "little") + bytes(16 + 40)),
    "NovAtel binary": with_crc32(
        b"\xaa\x44\x12\x1c\x2a\x00\x00\x20" + (32).to_bytes(2, "little") + bytes(18 + 32)
    ),
    # Poll software version; the answer to it begins the same way.
    "SiRF binary": bytes.fromhex("a0a20002840000 84b0b3"),
    "SkyTraq binary": bytes.fromhex("a0a100020201030d0a"),
    "Allystar binary": bytes.fromhex("f1d90a0400000e34"),
    "Unicore ASCII": b"#VERSIONA,97,GPS,FINE,2190,365174000,0,0,18,338;UM980,R4.10*1a2b3c4d\r\n",
}


@pytest.mark.parametrize(("name", "frame"), FOREIGN.items())
def test_protocols_are_named_by_a_whole_frame(name: str, frame: bytes) -> None:
    assert protocol_name(b"\x00\x11" + frame + b"\x22") == name
    damaged = bytearray(frame)
    damaged[-6] ^= 0x55
    if name != "Unicore ASCII":
        assert protocol_name(bytes(damaged)) is None
    assert protocol_name(frame[:-3]) is None
