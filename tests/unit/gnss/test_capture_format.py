"""The recording's own format: written, read, damaged, and replayed as it was live."""

from __future__ import annotations

import json
import random
from io import BytesIO
from pathlib import Path

import pytest

from timecard.errors import DeviceAbsentError, ProtocolError, TimeCardError
from timecard.gnss.capture import (
    FORMAT,
    MAX_PIECE_BYTES,
    REPLAY_EARLIEST_TAI_S,
    CaptureReader,
    CaptureWriter,
    Piece,
    replay,
)
from timecard.gnss.framing import without_header
from timecard.gnss.stream_decoder import MAX_NAMES, OTHERS, StreamDecoder
from timecard.gnss.ubx import encode
from timecard.timescale import NS_PER_S
from timecard.values import CorruptData, GnssEvent

STATUS = encode(0x0103, bytes(16))


def written(*pieces: tuple[int, bytes]) -> bytes:
    file = BytesIO()
    writer = CaptureWriter(
        file, "x", device="/dev/ttyS4", baud=115_200, mono_ns=5, unix_ns=1_796_000_000_000_000_000
    )
    for mono_ns, data in pieces:
        writer.received(data, mono_ns)
    return file.getvalue()


def test_what_is_written_is_read(tmp_path: Path) -> None:
    file = BytesIO()
    writer = CaptureWriter(file, "x", device="/dev/ttyS4", baud=None, mono_ns=5, unix_ns=6)
    writer.received(b"\x00\xff", 7)
    writer.sent(b"\xb5\x62", 8)
    writer.received(bytes(MAX_PIECE_BYTES + 1), 9)
    assert writer.bytes_received == MAX_PIECE_BYTES + 3
    path = tmp_path / "capture.jsonl"
    path.write_bytes(file.getvalue())
    header = json.loads(file.getvalue().splitlines()[0])
    assert header == {
        "format": FORMAT, "version": 1, "device": "/dev/ttyS4", "baud": None, "mono_ns": 5, "unix_ns": 6,
    }  # fmt: skip
    reader = CaptureReader(path)
    assert list(reader) == [Piece(b"\x00\xff", 7), Piece(bytes(MAX_PIECE_BYTES), 9), Piece(b"\x00", 9)]
    assert (reader.kind, reader.header_lines, reader.sent_pieces, reader.damaged_lines) == (
        "timecard",
        1,
        1,
        0,
    )


def test_a_replay_gives_what_the_live_line_gave(shared_dir: Path, tmp_path: Path) -> None:
    stream = without_header((shared_dir / "data" / "gnss" / "u-blox-m8t-time.log").read_bytes())
    rng = random.Random(4)
    file = BytesIO()
    writer = CaptureWriter(file, "x", device="x", baud=115_200, mono_ns=0, unix_ns=0)
    live = StreamDecoder(REPLAY_EARLIEST_TAI_S)
    expected: list[GnssEvent] = []
    at, mono_ns = 0, 40 * NS_PER_S
    while at < len(stream):
        piece = stream[at : at + rng.randint(1, 300)]
        mono_ns += rng.randint(1, NS_PER_S)
        expected += live.feed(piece, mono_ns)
        writer.received(piece, mono_ns)
        at += len(piece)
    expected += live.finish(mono_ns)
    path = tmp_path / "capture"
    path.write_bytes(file.getvalue())
    run = replay(path)
    assert list(run) == expected
    assert len(expected) > 300
    assert run.counts == live.counts


@pytest.mark.parametrize(
    "line",
    [
        b"{", b"[]", b"null", b'{"mono_ns": 1}', b'{"mono_ns": "1", "rx": "00"}', b'{"mono_ns": 1,"rx":"0"}',
        b'{"mono_ns": 1, "rx": "zz"}', b'{"mono_ns": 1, "rx": 5}', b'{"mono_ns": -1, "rx": "00"}',
        b'{"mono_ns": 1e99, "rx": "00"}', b'{"mono_ns": true, "rx": "00"}', b"\xff\xfe", b"[" * 100_000,
        b'{"mono_ns": 99999999999999999999999, "rx": "00"}', b'{"mono_ns": 1, "tx": 4}',
    ],
)  # fmt: skip
def test_a_damaged_line_is_counted_and_costs_nothing_else(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "capture"
    path.write_bytes(written((10, STATUS)) + line + b"\n" + written((20, STATUS)).split(b"\n", 1)[1])
    run = replay(path)
    list(run)
    assert (run.counts.good, run.capture.damaged_lines) == (2, 1)


def test_time_that_goes_back_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    path.write_bytes(written((10, STATUS), (9, STATUS), (11, STATUS)))
    reader = CaptureReader(path)
    assert [piece.mono_ns for piece in reader] == [10, 11]
    assert reader.damaged_lines == 1


def test_a_recording_that_was_cut_off_is_read_to_there(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    path.write_bytes(written((10, STATUS), (20, STATUS))[:-9])
    reader = CaptureReader(path)
    assert len(list(reader)) == 1
    assert reader.damaged_lines == 1


def test_a_later_version_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    path.write_bytes(b'{"format": "timecard-gnss", "version": 2}\n')
    with pytest.raises(ProtocolError, match="version 2"):
        CaptureReader(path)


def test_a_file_that_is_not_there_or_no_file(tmp_path: Path) -> None:
    with pytest.raises(DeviceAbsentError, match="read GNSS recording"):
        replay(tmp_path / "nothing")
    with pytest.raises(TimeCardError):
        replay(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"#", b"# a\n# b\n", b"{\n", b"\n", b"\x00" * 20_000, b"MON-VER - 0A"]
)
def test_odd_files_have_nothing_and_raise_nothing(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "capture"
    path.write_bytes(content)
    run = replay(path)
    assert all(isinstance(event, CorruptData) for event in run)
    assert (run.counts.good, run.counts.unknown) == (0, 0)
    assert run.foreign_protocol is None


def test_header_lines_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    path.write_bytes(b'# a $GPRMC\n#\n{"class":"VERSION"}\n' + STATUS)
    run = replay(path)
    list(run)
    assert (run.capture.header_lines, run.counts.good, run.counts.bad) == (3, 1, 0)


def test_lines_of_an_export_that_are_no_message(tmp_path: Path) -> None:
    path = tmp_path / "export.txt"
    path.write_text("NAV-EOE - 01 61 04 00 01 02 03 04\nNAV-EOE - 01 61 09 00 01\nhello\n", encoding="ascii")
    run = replay(path)
    list(run)
    assert (run.capture.kind, run.counts.good, run.capture.damaged_lines) == ("u-center", 1, 2)


def test_a_write_that_fails_names_the_file() -> None:
    class Full(BytesIO):
        def write(self, data: object) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(TimeCardError, match=r"/var/x: write GNSS recording: No space left"):
        CaptureWriter(Full(), "/var/x", device="x", baud=None, mono_ns=0, unix_ns=0)


def test_names_are_counted_without_end_but_not_kept_without_end() -> None:
    decoder = StreamDecoder()
    for key in range(0x10000 - 600, 0x10000):
        decoder.feed(encode(key), 0)
    assert decoder.counts.unknown == 600
    assert len(decoder.counts.by_name) == MAX_NAMES + 1
    assert decoder.counts.by_name[OTHERS] == 600 - MAX_NAMES
