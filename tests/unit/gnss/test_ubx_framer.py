"""Framing: vectors, noise, and the same result for any split of a stream."""

from __future__ import annotations

import re
from collections import Counter
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyubx2 import NMEA_PROTOCOL, RTCM3_PROTOCOL, UBX_PROTOCOL, UBXReader

from timecard.gnss.ubx import (
    MAX_CORRUPT_RUN,
    MAX_FRAME_BYTES,
    PATIENCE_NS,
    Framer,
    Item,
    NmeaSentence,
    Rtcm3Frame,
    UbxFrame,
    encode,
    without_header,
)
from timecard.timescale import NS_PER_S
from timecard.values import CorruptData

FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
CAPTURES = ["u-blox-m8t-time.log", "pygpsdata-MIXED.log", "ublox-f9p-rtcm.log", "neo-m8n.log"]

# Made with pyubx2 1.4.0.
VECTORS = [
    "b5620a0400000e34",
    "b56205010200068a98c1",
    "b562060404000000090017 76",
    "b56206040400ffff02000e61",
    "b562068a190000050000010003200110000340b004000011000340905f01001e8f",
    "b562068b080000000000ffffff0fa597",
    "b5620d011000e8739914000000002efbffff59090a30e9db",
    "b5620126180000709914000000000212020000000000000000000000000375b5",
    "b56201211400007099140800000085ffffffea070b13000000372324",
]


@pytest.mark.parametrize("vector", VECTORS)
def test_encoding_and_framing_match_frames_made_elsewhere(vector: str) -> None:
    frame = bytes.fromhex(vector)
    key = int.from_bytes(frame[2:4], "big")
    assert encode(key, frame[6:-2]) == frame
    assert Framer().feed(frame, 0) == [UbxFrame(key, frame)]


def test_a_frame_is_found_between_noise_and_the_noise_is_counted() -> None:
    frame = encode(0x0126, bytes(24))
    items = Framer().feed(b"\x00\x11\xb5" + frame + b"junk" + frame, 7)
    assert items == [
        CorruptData(length=3, reason="no frame", read_mono_ns=7),
        UbxFrame(0x0126, frame),
        CorruptData(length=4, reason="no frame", read_mono_ns=7),
        UbxFrame(0x0126, frame),
    ]


def test_a_damaged_frame_costs_only_itself() -> None:
    good = encode(0x0103, bytes(range(16)))
    bad = bytearray(good)
    bad[9] ^= 0x40
    items = Framer().feed(bytes(bad) + good, 0)
    assert items == [CorruptData(length=24, reason="UBX checksum", read_mono_ns=0), UbxFrame(0x0103, good)]


def test_a_frame_that_hides_inside_a_false_one_is_found() -> None:
    inner = encode(0x0D01, bytes(16))
    false_start = b"\xb5\x62\x02\x15\x28\x00"  # 40 bytes of payload that never were
    framer = Framer()
    items = framer.feed(false_start + inner + bytes(40), 0)
    assert [item for item in items if isinstance(item, UbxFrame)] == [UbxFrame(0x0D01, inner)]


def test_a_huge_length_is_no_frame() -> None:
    frame = encode(0x0135, bytes(8))
    false_start = b"\xb5\x62\x01\x35" + MAX_FRAME_BYTES.to_bytes(2, "little")
    items = Framer().feed(false_start + frame, 0)
    assert items == [CorruptData(length=6, reason="UBX length", read_mono_ns=0), UbxFrame(0x0135, frame)]


def test_a_length_that_a_known_message_cannot_have_holds_nothing_back() -> None:
    frame = encode(0x0D01, bytes(16))
    damaged = frame[:5] + b"\x10" + frame[6:]  # 4112 bytes of TIM-TP
    items = Framer().feed(damaged + frame, 0)
    assert items == [CorruptData(length=24, reason="UBX length", read_mono_ns=0), UbxFrame(0x0D01, frame)]


def test_an_unfinished_frame_is_given_up_after_a_while() -> None:
    framer = Framer()
    frame = encode(0x0103, bytes(16))
    damaged = b"\xb5\x62\x02\x15\x00\x1f"  # a length of 7936 that noise made
    assert framer.feed(damaged + frame, 0) == []
    assert framer.feed(b"", PATIENCE_NS) == []
    assert framer.feed(b"", PATIENCE_NS + 1) == [
        CorruptData(length=6, reason="unfinished frame", read_mono_ns=PATIENCE_NS + 1),
        UbxFrame(0x0103, frame),
    ]


def test_endless_noise_is_reported_in_pieces() -> None:
    framer = Framer()
    items = [item for second in range(5) for item in framer.feed(bytes(4000), second * NS_PER_S)]
    assert [item.length for item in items if isinstance(item, CorruptData)] == [MAX_CORRUPT_RUN] * 2
    assert framer.unreported_bytes == 20_000 - 2 * MAX_CORRUPT_RUN


def test_sentences_need_a_right_checksum_and_printable_text() -> None:
    good = b"$GNZDA,120000.00,15,01,2027,00,00*79\r\n"
    checked = Framer().feed(good + good.replace(b"*79", b"*7A") + b"$GN\x01ZDA*00\r\n" + good, 0)
    assert [type(item).__name__ for item in checked] == ["NmeaSentence", "CorruptData", "NmeaSentence"]
    assert isinstance(checked[1], CorruptData)
    assert checked[1].reason == "NMEA checksum"


def summary(items: list[Item]) -> list[tuple[str, bytes | int]]:
    return [
        ("corrupt", item.length) if isinstance(item, CorruptData) else (type(item).__name__, item.raw)
        for item in items
    ]


@pytest.mark.parametrize("name", CAPTURES)
@FUZZ
@given(data=st.data())
def test_any_split_of_a_capture_gives_the_same(name: str, shared_dir: Path, data: st.DataObject) -> None:
    capture = (shared_dir / "data" / "gnss" / name).read_bytes()[:6000]
    whole = summary(list(Framer().feed(capture, 0)))
    cuts = data.draw(st.lists(st.integers(0, len(capture)), max_size=12).map(sorted))
    framer = Framer()
    pieces = [capture[a:b] for a, b in zip([0, *cuts], [*cuts, len(capture)], strict=True)]
    assert summary([item for piece in pieces for item in framer.feed(piece, 0)]) == whole
    assert len(whole) > 5


@FUZZ
@given(noise=st.binary(max_size=300), cuts=st.lists(st.integers(0, 700), max_size=6).map(sorted))
def test_any_split_of_noise_gives_the_same_and_nothing_is_lost(noise: bytes, cuts: list[int]) -> None:
    stream = noise + encode(0x0D01, bytes(16)) + noise + b"$GNTXT,x*15\r\n" + noise
    whole = Framer()
    expected = summary(list(whole.feed(stream, 0)))
    split = Framer()
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert summary([item for piece in pieces for item in split.feed(piece, 0)]) == expected
    counted = sum(item if isinstance(item, int) else len(item) for _, item in expected)
    assert counted + whole.unreported_bytes <= len(stream)
    assert whole.unreported_bytes == split.unreported_bytes


# What each file holds: (UBX, NMEA, RTCM3), by pyubx2 on the file without its header lines.
COUNTS = {
    "neo-m8n.log": (0, 293, 0),
    "nmea-fuzzy-cases.log": (0, 28, 0),
    "polarx2.log": (0, 75, 0),
    "pygpsdata-BADHDR.log": (2, 0, 0),
    "pygpsdata-MIXED.log": (300, 8, 0),
    "pygpsdata-MIXED3BADCK.log": (1, 3, 0),
    "pygpsdata-MON.log": (12, 0, 0),
    "pygpsdata-NAV-ZED-X20P.log": (60, 0, 0),
    "pygpsdata-NAV.log": (28, 0, 0),
    "pygpsdata-RXMRAWX.log": (14, 0, 0),
    "pygpsdata-SEC.log": (8, 0, 0),
    "quectel-l76k-nmea.log": (0, 2280, 0),
    "trimble-res720.log": (0, 0, 0),
    "u-blox-m8t-time.log": (1511, 0, 0),
    "ublox-f9p-hpnmea.log": (0, 139, 0),
    "ublox-f9p-rtcm.log": (16, 0, 15),
    "ucenter-ZEDF9P-configdebug.log": (188, 0, 0),
}


@pytest.mark.parametrize(("name", "expected"), COUNTS.items())
def test_frames_of_a_capture_are_counted_as_pyubx2_counts_them(
    name: str, expected: tuple[int, int, int], shared_dir: Path
) -> None:
    capture = without_header((shared_dir / "data" / "gnss" / name).read_bytes())
    items = Framer().feed(capture, 0)
    found = Counter(type(item) for item in items)
    assert (found[UbxFrame], found[NmeaSentence], found[Rtcm3Frame]) == expected
    if name == "trimble-res720.log":
        return  # pyubx2 stops with an exception on foreign binary data
    reader = UBXReader(
        BytesIO(capture), quitonerror=0, protfilter=UBX_PROTOCOL | NMEA_PROTOCOL | RTCM3_PROTOCOL
    )
    theirs = Counter(
        "ubx" if raw[:2] == b"\xb5\x62" else "nmea" if raw[:1] == b"$" else "rtcm" for raw, _ in reader if raw
    )
    assert (theirs["ubx"], theirs["nmea"], theirs["rtcm"]) == expected


def test_ubx_frames_of_a_capture_are_the_ones_pyubx2_finds(shared_dir: Path) -> None:
    capture = without_header((shared_dir / "data" / "gnss" / "u-blox-m8t-time.log").read_bytes())
    ours = [item.raw for item in Framer().feed(capture, 0) if isinstance(item, UbxFrame)]
    assert ours == [raw for raw, _ in UBXReader(BytesIO(capture), quitonerror=0, protfilter=UBX_PROTOCOL)]


@pytest.mark.parametrize("name", ["neo-m8n.log", "quectel-l76k-nmea.log", "ublox-f9p-hpnmea.log"])
def test_header_lines_with_dollar_words_are_no_sentences(name: str, shared_dir: Path) -> None:
    raw = (shared_dir / "data" / "gnss" / name).read_bytes()
    sentences = [item for item in Framer().feed(raw, 0) if isinstance(item, NmeaSentence)]
    assert len(sentences) == len(re.findall(rb"(?m)^\$", raw))
