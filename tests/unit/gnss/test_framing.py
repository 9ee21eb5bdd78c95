"""SBF blocks among the other protocols, and the end of a stream."""

from __future__ import annotations

import struct
from binascii import crc_hqx

from hypothesis import given, settings
from hypothesis import strategies as st

from timecard.gnss.frame_names import frame_name
from timecard.gnss.framing import (
    MAX_FRAME_BYTES,
    PATIENCE_NS,
    Framer,
    NmeaSentence,
    Rtcm3Frame,
    SbfBlock,
    UbxFrame,
)
from timecard.gnss.ubx import encode
from timecard.values import CorruptData

UBX = encode(0x0103, bytes(16))
NMEA = b"$GNZDA,120000.00,15,01,2027,00,00*79\r\n"
RTCM3 = bytes.fromhex("d300133ed00003")


def sbf(number: int = 4007, body: bytes = bytes(16)) -> bytes:
    inner = struct.pack("<HH", number, len(body) + 8) + body
    return b"$@" + struct.pack("<H", crc_hqx(inner, 0)) + inner


def test_a_block_is_known_by_its_number_without_the_revision() -> None:
    raw = sbf(4007 | 2 << 13)
    assert Framer().feed(raw, 0) == [SbfBlock(4007, raw)]
    assert frame_name(SbfBlock(4007, raw)) == ("SBF PVTGeodetic", True)
    assert frame_name(SbfBlock(8000, raw)) == ("SBF 8000", False)


def test_names_of_the_other_protocols() -> None:
    assert frame_name(UbxFrame(0x0107, encode(0x0107))) == ("UBX NAV-PVT", True)
    assert frame_name(UbxFrame(0xF1F2, encode(0xF1F2))) == ("UBX F1-F2", False)
    assert frame_name(NmeaSentence(NMEA)) == ("NMEA GNZDA", True)
    assert frame_name(NmeaSentence(b"$GNXYZ*00\r\n")) == ("NMEA GNXYZ", False)
    assert frame_name(NmeaSentence(b"$PQTMVERNO,a,b,c*00\r\n")) == ("NMEA PQTMVERNO", True)
    assert frame_name(Rtcm3Frame(bytes.fromhex("d30002435000000000"))) == ("RTCM3 1077", True)
    assert frame_name(Rtcm3Frame(b"\xd3\0\0\x47\xea\x4b")) == ("RTCM3 0", False)


def test_a_block_with_a_damaged_byte_costs_only_itself() -> None:
    bad = bytearray(sbf())
    bad[12] ^= 1
    items = Framer().feed(UBX + bytes(bad) + NMEA + sbf(), 0)
    assert [type(item) for item in items] == [UbxFrame, CorruptData, NmeaSentence, SbfBlock]
    assert items[1] == CorruptData(length=24, reason="SBF CRC", read_mono_ns=0)


def test_a_length_that_no_block_can_have_holds_nothing_back() -> None:
    for length in (0, 8, 12, 17, MAX_FRAME_BYTES + 4, 0xFFFF):
        start = b"$@\0\0\xa7\x0f" + struct.pack("<H", length)
        items = Framer().feed(start + UBX, 0)
        assert items == [CorruptData(length=8, reason="SBF length", read_mono_ns=0), UbxFrame(0x0103, UBX)]


def test_an_unfinished_block_is_given_up_after_a_while() -> None:
    framer = Framer()
    start = b"$@\0\0\xa7\x0f" + struct.pack("<H", 4000)
    assert framer.feed(start + UBX, 0) == []
    assert framer.feed(b"", PATIENCE_NS + 1)[-1] == UbxFrame(0x0103, UBX)


def test_the_end_of_a_stream_gives_what_a_false_start_held_back() -> None:
    framer = Framer()
    start = b"\xb5\x62\x02\x15\x00\x1f"
    assert framer.feed(start + UBX + b"$GP", 0) == []
    assert framer.finish(3) == [
        CorruptData(length=6, reason="unfinished frame", read_mono_ns=3),
        UbxFrame(0x0103, UBX),
        CorruptData(length=3, reason="unfinished frame", read_mono_ns=3),
    ]
    assert framer.finish(4) == []
    assert framer.feed(UBX, 5) == [UbxFrame(0x0103, UBX)]


@settings(max_examples=200, deadline=None)
@given(
    parts=st.lists(
        st.one_of(
            st.sampled_from(
                [UBX, NMEA, sbf(), sbf(5914), b"$", b"@", b"$@", b"\xb5\x62", b"\xd3\0\x04", b"*", b"\r\n"]
            ),
            st.binary(max_size=30),
        ),
        max_size=20,
    ),
    cuts=st.lists(st.integers(0, 900), max_size=8).map(sorted),
)
def test_any_mixture_gives_the_same_for_any_split_and_every_byte_is_accounted_for(
    parts: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(parts)
    whole = Framer()
    expected = [*whole.feed(stream, 0), *whole.finish(0)]
    split = Framer()
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    found = [item for piece in pieces for item in split.feed(piece, 0)]
    assert [*found, *split.finish(0)] == expected
    total = sum(item.length if isinstance(item, CorruptData) else len(item.raw) for item in expected)
    assert total == len(stream)


def test_a_long_row_of_false_starts_is_not_searched_to_its_end_for_each() -> None:
    """With a search to the end of the buffer this takes minutes and not half a second."""
    framer = Framer()
    items = [*framer.feed(b"$" * 300_000, 0), *framer.finish(0)]
    assert sum(item.length for item in items if isinstance(item, CorruptData)) == 300_000
