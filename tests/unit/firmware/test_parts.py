"""Header, pins, bitstream head and journal: the small readers of untrusted bytes."""

from __future__ import annotations

import contextlib
import json
import struct
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.firmware.firmware_world import CARD_ID, firmware, pin_for, updater, world
from timecard.boards import BOARDS
from timecard.emulator.spi_flash_images import make_image, update_start
from timecard.errors import DeviceAbsentError, RefusedError, TimeCardError
from timecard.firmware.bitstream import IDCODES, SYNC, read_bitstream
from timecard.firmware.header import Header, crc16, read_header, with_header
from timecard.firmware.journal import APPLY, Job, StateFolder, state_folder
from timecard.firmware.layout import STARTS, is_xilinx
from timecard.firmware.pins import find_pin, make_pin, read_pins
from timecard.toml_reader import MAX_FILE_BYTES

# --- header ---


def test_the_crc_is_crc_16_modbus(shared_dir: Path) -> None:
    assert crc16(b"123456789") == 0x4B37
    assert crc16(b"") == 0xFFFF
    sheet = (shared_dir / "reference/time-card.md").read_text(encoding="utf-8")
    assert "0x4B37 (CRC-16/MODBUS)" in sheet


@given(payload=st.binary(max_size=2000), vendor=st.integers(0, 0xFFFF), revision=st.integers(0, 0xFFFF))
def test_a_header_reads_back(payload: bytes, vendor: int, revision: int) -> None:
    data = with_header(payload, vendor, 0x0400, revision)
    expected = Header(vendor=vendor, device=0x0400, size=len(payload), revision=revision, crc=crc16(payload))
    assert read_header(data) == expected
    assert data[16:] == payload
    assert data[4:8] == struct.pack(">HH", vendor, 0x0400)


@given(data=st.binary(max_size=40))
def test_any_bytes_are_a_header_or_none(data: bytes) -> None:
    header = read_header(data)
    assert (header is not None) is (len(data) >= 16 and data.startswith(b"OCPC"))


# --- bitstream ---


def test_the_head_of_a_bitstream() -> None:
    stream = read_bitstream(make_image(BOARDS["fb"], 1, 33))
    assert stream is not None
    assert (stream.fpga, stream.user_access, stream.warm_boot) == ("xc7a100t", 1 << 16 | 33, None)
    golden = read_bitstream(make_image(BOARDS["fb"], 0, 2, golden=True, fpga="xc7a200t"))
    assert golden is not None
    assert golden.fpga == "xc7a200t"
    assert golden.jumps_to(0x80_0000) is True
    assert golden.jumps_to(0x40_0000) is False


def test_the_silicon_s_revision_does_not_count() -> None:
    image = make_image(BOARDS["fb"], 0, 1)
    revised = image.replace(struct.pack(">I", 0x0363_1093), struct.pack(">I", 0x1363_1093), 1)
    stream = read_bitstream(revised)
    assert stream is not None
    assert stream.fpga == "xc7a100t"


def test_ids_of_the_fpgas_are_those_of_the_data_sheet() -> None:
    assert IDCODES == {"xc7a100t": 0x3631093, "xc7a200t": 0x3636093}


@settings(max_examples=300)
@given(junk=st.binary(max_size=400), behind=st.booleans())
def test_any_bytes_behind_a_sync_word_are_read(junk: bytes, behind: bool) -> None:
    stream = read_bitstream((SYNC if behind else b"") + junk)
    assert stream is not None or not behind
    if stream is not None:
        assert stream.jumps_to(0x40_0000) in (True, False, None)


def test_places_of_update_images_agree_with_the_emulated_cards_and_the_sheet(shared_dir: Path) -> None:
    for board in BOARDS.values():
        for fpga in IDCODES if is_xilinx(board) else ("",):
            expected = STARTS.get((board.name, fpga), board.flash.update_start)
            if fpga:
                assert update_start(board, fpga) == expected
    sheet = (shared_dir / "reference/time-card.md").read_text(encoding="utf-8")
    row = next(line for line in sheet.splitlines() if line.startswith("| SOM 200T |"))
    assert row.split("|")[5].strip() == "0x0080_0000"
    assert STARTS["fb", "xc7a200t"] == 0x80_0000


# --- pins ---

PIN = f'[[image]]\nname = "n"\nsha256 = "{"ab" * 32}"\nboards = ["fb", "litepcie"]\nversion = "0.28"\n'


def pins_file(tmp_path: Path, text: str | bytes) -> Path:
    file = tmp_path / "firmware.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def test_pins_are_read_and_found(tmp_path: Path) -> None:
    pins = read_pins(pins_file(tmp_path, PIN + PIN.replace("ab", "cd").replace("0.28", "1.14")))
    assert [pin.version for pin in pins] == ["0.28", "1.14"]
    assert find_pin(pins, ("00" * 32, "cd" * 32)) is pins[1]
    assert find_pin(pins, ("00" * 32, "11" * 32)) is None


BAD_PINS: dict[str, str | bytes] = {
    "no TOML": "[[image",
    "not UTF-8": b"\xff\xfe",
    "nothing": "",
    "another table": PIN + "[other]\n",
    "a plain table": PIN.replace("[[image]]", "[image]"),
    "a missing key": PIN.replace('version = "0.28"\n', ""),
    "an unknown key": PIN + "force = true\n",
    "a short digest": PIN.replace("ab" * 32, "ab" * 31),
    "no digest": PIN.replace("ab" * 32, "xy" * 32),
    "a number as version": PIN.replace('"0.28"', "0.28"),
    "a version of three": PIN.replace("0.28", "0.28.1"),
    "an unknown board": PIN.replace('"litepcie"', '"acme"'),
    "no boards": PIN.replace('["fb", "litepcie"]', "[]"),
    "one board as text": PIN.replace('["fb", "litepcie"]', '"fb"'),
    "too long": "#" * (MAX_FILE_BYTES + 1),
    "a number of 5000 digits": PIN.replace('"0.28"', "9" * 5_000),
    "nested too deeply": PIN.replace('"0.28"', "[" * 5_000),
}


@pytest.mark.parametrize("name", BAD_PINS)
def test_a_bad_file_of_pins_is_refused_by_name(name: str, tmp_path: Path) -> None:
    file = pins_file(tmp_path, BAD_PINS[name])
    with pytest.raises(RefusedError, match=r"firmware\.toml: read pins"):
        read_pins(file)


def test_a_missing_file_of_pins_is_absent(tmp_path: Path) -> None:
    with pytest.raises(DeviceAbsentError, match="no such file"):
        read_pins(tmp_path / "none.toml")


@pytest.mark.parametrize(("digest", "version"), [("ab", "0.1"), ("ab" * 32, "x"), ("ab" * 32, "0.99999")])
def test_a_pin_of_the_command_line_is_checked(digest: str, version: str) -> None:
    with pytest.raises(ValueError, match=r"sha256|version"):
        make_pin(digest, version)


# --- journal ---

JOB = Job(
    action=APPLY,
    card="card",
    board="fb",
    flash_size=1 << 24,
    start=0x40_0000,
    size=8192,
    image="ab" * 32,
    snapshot="cd" * 32,
    image_name="new.bin",
    version="0.28",
    pinned_boards=("fb",),
)


def begun(tmp_path: Path) -> StateFolder:
    state = StateFolder(state_folder(tmp_path, "a/b:c"))
    with state.locked():
        state.begin(JOB)
    return state


def test_a_journal_tells_how_far_it_came(tmp_path: Path) -> None:
    state = begun(tmp_path)
    for row in ({"erase": 0x40_0000}, {"erase": 0x40_1000}, {"done": 0x40_1000}):
        state.note(row)
    record = state.record()
    assert record is not None
    assert (record.job, record.open, record.unfinished) == (JOB, True, frozenset({0x40_0000}))
    state.note({"end": True})
    record = state.record()
    assert record is not None
    assert not record.open


def test_card_ids_cannot_leave_their_folder(tmp_path: Path) -> None:
    assert state_folder(tmp_path, "../../etc") == tmp_path / "flash" / ".._.._etc"
    assert begun(tmp_path).folder.parent == tmp_path / "flash"


def test_a_journal_torn_at_any_byte_is_read_and_written_on(tmp_path: Path) -> None:
    state = begun(tmp_path)
    state.note({"erase": 0x40_0000})
    state.note({"done": 0x40_0000})
    whole = (state.folder / "journal").read_bytes()
    first = whole.index(b"\n") + 1
    for size in range(first, len(whole) + 1):
        (state.folder / "journal").write_bytes(whole[:size])
        record = state.record()
        assert record is not None
        assert record.open
        state.note({"erase": 0x40_1000})
        record = state.record()
        assert record is not None
        assert 0x40_1000 in record.unfinished


BAD_LINES = [
    b"[]",
    b"{}",
    b"not json",
    b'{"erase": -1}',
    b'{"erase": "x"}',
    b'{"erase": true}',
    b'{"end": 1.5}',
    b'"begin"',
    b"[" * 5000,
    b'{"begin": {}}',
    b"\xff\xfe",
]


@pytest.mark.parametrize("line", BAD_LINES)
def test_a_damaged_journal_is_refused_with_its_line(line: bytes, tmp_path: Path) -> None:
    state = begun(tmp_path)
    with (state.folder / "journal").open("ab") as file:
        file.write(line + b"\n")
    with pytest.raises(RefusedError, match="line 2 is damaged"):
        state.record()


@pytest.mark.parametrize(
    "change",
    [
        {"action": "format"},
        {"start": 0},
        {"start": -4096},
        {"size": "8192"},
        {"image": "../../../etc/passwd"},
        {"snapshot": "AB" * 32},
        {"version": "latest"},
        {"pinned_boards": ["acme"]},
        {"pinned_boards": None},
        {"card": 7},
    ],
)
def test_a_journal_with_impossible_values_is_refused(change: dict[str, object], tmp_path: Path) -> None:
    state = begun(tmp_path)
    (state.folder / "journal").write_text(json.dumps({"begin": asdict(JOB) | change}) + "\n")
    with pytest.raises(RefusedError, match="line 1 is damaged"):
        state.record()


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=300))
def test_any_journal_gives_an_answer_or_a_typed_error(
    data: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    state = StateFolder(tmp_path_factory.mktemp("journal"))
    (state.folder / "journal").write_bytes(data)
    with contextlib.suppress(TimeCardError):
        assert state.record() is None or b"\n" in data


def test_a_journal_cannot_widen_what_may_be_written(tmp_path: Path) -> None:
    """Somebody who edits the journal gets no further than the update image."""
    data = firmware(size=12_000)
    bus = world()
    updater(bus, tmp_path).apply(data, "new.bin", pin_for(data))
    journal = state_folder(tmp_path, CARD_ID) / "journal"
    first, rest = journal.read_bytes().split(b"\n", 1)
    job = json.loads(first)["begin"]
    golden = bus.chip.memory.read(0, 0x40_0000)
    operations = bus.chip.operations
    for change in (
        {"start": 4096},
        {"size": 1 << 24},
        {"size": 5000},
        {"board": "celestica"},
        {"size": 8192},
    ):
        journal.write_bytes(json.dumps({"begin": job | change}).encode() + b"\n" + rest)
        with pytest.raises(RefusedError):
            updater(bus, tmp_path).rollback()
    assert bus.chip.operations == operations
    assert bus.chip.memory.read(0, 0x40_0000) == golden
