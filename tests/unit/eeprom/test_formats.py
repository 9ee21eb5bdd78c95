"""EEPROM contents to values and back, and what is said about contents that are wrong."""

from __future__ import annotations

import dataclasses
import json
import math
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.eeprom.cards import FakeCard
from tests.unit.eeprom.test_power_cut import NEW_CONFIG, NEW_TABLE, old_layout
from timecard.boards import ART, BOARDS, FB, Board
from timecard.card_values import BoardIdentity
from timecard.eeprom import (
    ContentsError,
    crc8,
    decode_config,
    decode_eui48,
    decode_identity,
    decode_record,
    decode_table,
    encode_board_id,
    encode_config,
    encode_eui48,
    encode_record,
    encode_table,
)
from timecard.eeprom.disciplining import FACTORY_CONFIG, config_from_json, config_to_json
from timecard.eeprom.parameters import OLDER, decode_parameters, parameters_from_json
from timecard.errors import DeviceLostError, DeviceTimeoutError


def memory_of(contents: bytes, board: Board = ART) -> BoardIdentity:
    card = FakeCard(board)
    card.world.chips[0x50].memory[:] = contents.ljust(board.i2c.chips[0].size, b"\xff")
    return card.identity()


# --- manufacturing record ---


def test_crc8_check_value_of_the_catalogue() -> None:
    # CRC-8/NRSC-5: polynomial 0x31, start 0xFF, not reflected, no final inversion.
    assert crc8(b"123456789") == 0xF7


def test_record_offsets_are_those_that_the_kernel_driver_reads() -> None:
    raw = encode_record({"pcba_part_number": "ABCDEFGHIJKLM", "product_serial_number": "F12345678"})
    assert len(raw) == 196
    assert raw[0x43:0x50] == b"ABCDEFGHIJKLM"
    assert raw[0x63:0x69] == b"345678"
    assert raw[:3] == b"\xfb\xfb\x03"


texts = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=8)


@given(texts, texts, st.integers(0, 0xFFFF), st.integers(0, 255))
def test_record_comes_back(name: str, serial: str, year: int, state: int) -> None:
    fields = {"product_name": name, "product_serial_number": serial, "year": str(year)}
    fields["production_state"] = str(state)
    back, problems = decode_record(encode_record(fields))
    assert problems == ()
    assert {key: value for key, value in fields.items() if value}.items() <= back.items()


@pytest.mark.parametrize(
    "fields",
    [{"colour": "red"}, {"product_name": "x" * 21}, {"year": "-1"}, {"year": "65536"}, {"location": "é"}],
)
def test_record_refuses_what_does_not_fit(fields: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        encode_record(fields)


def test_each_flipped_bit_of_a_record_is_noticed() -> None:
    raw = encode_record({"product_serial_number": "F00000001"})
    for bit in range(len(raw) * 8):
        damaged = bytearray(raw)
        damaged[bit // 8] ^= 1 << bit % 8
        fields, problems = decode_record(bytes(damaged))
        assert problems, bit
        assert "product_serial_number" not in fields


@pytest.mark.parametrize(
    ("record", "word"),
    [
        (b"\xff" * 196, "blank"),
        (bytes(196), "blank"),
        (b"oscillator=mRO50\ndisciplining=true\n", "configuration text"),
        (b"\x12\x34" + bytes(194), "magic 1234"),
        (b"\xfb\xfb\x02" + bytes(193), "version 2"),
        (encode_record({})[:-1] + b"\x00", "CRC"),
    ],
)
def test_what_is_wrong_with_an_art_card_is_named(record: bytes, word: str) -> None:
    identity = memory_of(bytes(512) + record.ljust(196, b"\0"))
    assert identity.serial is None
    assert identity.board_id is None
    assert word in identity.problems[0]


# --- FB layout ---


def test_eui48_and_board_id() -> None:
    assert decode_eui48(encode_eui48("02:AC:cd:00:00:09".lower())) == "02:ac:cd:00:00:09"
    for wrong in ("", "02:ac:cd:00:00", "zz:ac:cd:00:00:01", "01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff"):
        with pytest.raises(ValueError, match="EUI-48"):
            encode_eui48(wrong)
    field = FB.i2c.fields["board_id"]
    assert encode_board_id("R4006", field) == b"R4006" + bytes(8)
    with pytest.raises(ValueError, match="13"):
        encode_board_id("x" * 14, field)


def test_a_blank_fb_card_is_no_card_without_problems() -> None:
    identity = memory_of(b"\xff" * 256, FB)
    assert identity.board_id is None
    assert identity.serial is not None, "the maker of the chip stored it"
    assert any("board id" in problem for problem in identity.problems)


def test_a_lost_card_is_an_error_and_a_silent_chip_a_problem() -> None:
    class Failing:
        def __init__(self, error: Exception) -> None:
            self.error = error

        def read(self, offset: int, size: int) -> bytes:
            raise self.error

    lost = Failing(DeviceLostError("x", "read", "gone"))
    with pytest.raises(DeviceLostError):
        decode_identity(FB, lambda address: lost)
    silent = Failing(DeviceTimeoutError("x", "read", "held"))
    assert len(decode_identity(FB, lambda address: silent).problems) == 2


# --- parameters ---


def test_layout_of_the_config_is_the_documented_one() -> None:
    raw = encode_config(NEW_CONFIG)
    assert len(raw) == 144
    assert raw[:2] == b"O\x01"
    assert struct.unpack_from("<10f", raw, 4)[:2] == (0.125, 0.25)
    assert struct.unpack_from("<10f", raw, 44)[:2] == (2.5, 1.25)
    assert struct.unpack_from("<3f", raw, 84) == (0.25, 0.5, 0.75)
    assert struct.unpack_from("<2i", raw, 108) == (4_186_600, 4_186_612)
    assert struct.unpack_from("<q", raw, 120) == (1_700_000_000,)
    assert raw[128:131] == b"\x03\x05\x01"
    assert struct.unpack_from("<H", raw, 132) == (2417,)
    assert raw[134:] == bytes(10)
    table = encode_table(NEW_TABLE)
    assert len(table) == 368
    assert struct.unpack_from("<2H", table, 2) == (24_000, 24_007)
    assert table[322:] == bytes(46)


def test_parameters_come_back_from_bytes_and_from_json() -> None:
    assert decode_config(encode_config(NEW_CONFIG)) == NEW_CONFIG
    assert decode_table(encode_table(NEW_TABLE)) == NEW_TABLE
    found = decode_parameters(encode_config(NEW_CONFIG), encode_table(NEW_TABLE))
    text = json.dumps(found.to_json())
    assert parameters_from_json(json.loads(text)) == found


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=10, max_size=10))
def test_every_single_comes_back_to_the_last_bit(coefficients: list[float]) -> None:
    config = dataclasses.replace(NEW_CONFIG, ctrl_drift_coeffs=tuple(coefficients))
    values = json.loads(json.dumps(config_to_json(config)))
    assert encode_config(config_from_json(values)) == encode_config(config)


@pytest.mark.parametrize(
    ("place", "raw", "words"),
    [
        (0, b"\x00", "header 0x00"),
        (1, b"\x02", "version 2"),
        (4, struct.pack("<f", math.nan), "ctrl_load_nodes[0] is nan"),
        (44, struct.pack("<f", math.inf), "ctrl_drift_coeffs[0] is inf"),
        (4, struct.pack("<f", 1.5), "load node is 1.5"),
        (108, struct.pack("<i", -2), "coarse_equilibrium_factory is -2"),
        (112, struct.pack("<i", 1 << 22), "coarse_equilibrium is 4194304"),
        (128, b"\x04", "ctrl_nodes_length_factory is 4"),
        (129, b"\x0b", "ctrl_nodes_length is 11"),
        (120, struct.pack("<q", -1), "calibration_date_unix_s is -1"),
        (120, struct.pack("<q", 1 << 60), "calibration_date_unix_s"),
    ],
)
def test_a_wrong_config_is_named_by_its_field(place: int, raw: bytes, words: str) -> None:
    damaged = bytearray(encode_config(NEW_CONFIG))
    damaged[place : place + len(raw)] = raw
    with pytest.raises(ContentsError) as caught:
        decode_config(bytes(damaged))
    assert words in str(caught.value)
    with pytest.raises(ContentsError, match="143 bytes instead of 144"):
        decode_config(bytes(damaged)[:-1])


def test_the_older_layout_is_converted_only_if_all_of_it_is_possible() -> None:
    raw = old_layout(NEW_CONFIG, NEW_TABLE)
    found = decode_parameters(raw[:144], raw[144:])
    assert found.layout == OLDER
    assert (found.config, found.table) == (NEW_CONFIG, NEW_TABLE)
    assert found.encode() == (encode_config(NEW_CONFIG), encode_table(NEW_TABLE))
    for place in (0, 80, 104, 116, 120):
        damaged = bytearray(raw)
        damaged[place : place + 4] = b"\xff\xff\xff\xfe"
        assert not decode_parameters(bytes(damaged[:144]), bytes(damaged[144:])).complete
    assert decode_parameters(bytes(144), bytes(368)).layout is None
    assert decode_parameters(b"\xff" * 144, b"\xff" * 368).layout is None


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"ctrl_load_nodes": [0.5] * 9}, "ctrl_load_nodes"),
        ({"ctrl_load_nodes": "0.5"}, "ctrl_load_nodes"),
        ({"ctrl_drift_coeffs": [1e39] * 10}, "ctrl_drift_coeffs"),
        ({"ctrl_drift_coeffs": [None] * 10}, "ctrl_drift_coeffs"),
        ({"coarse_equilibrium": 1.5}, "coarse_equilibrium"),
        ({"coarse_equilibrium": True}, "coarse_equilibrium"),
        ({"calibration_valid": 1}, "calibration_valid"),
        ({"colour": 1}, "colour"),
    ],
)
def test_edited_values_are_checked(change: dict[str, object], word: str) -> None:
    values = {**config_to_json(FACTORY_CONFIG), **change}
    with pytest.raises(ContentsError, match=word):
        config_from_json(values)


# --- fuzz ---


@given(st.binary(max_size=1024), st.sampled_from(list(BOARDS)))
def test_any_contents_give_an_identity_or_problems(contents: bytes, name: str) -> None:
    board = BOARDS[name]
    identity = memory_of(contents[: board.i2c.chips[0].size], board)
    assert identity.board_id or identity.problems
    json.dumps(dataclasses.asdict(identity) | {"fields": dict(identity.fields)})


@given(st.binary(max_size=200), st.binary(max_size=400))
def test_any_bytes_as_parameters_give_problems_only(config: bytes, table: bytes) -> None:
    for found in (
        decode_parameters(config, table),
        decode_parameters(config.ljust(144, b"\0")[:144], table.ljust(368, b"\0")[:368]),
        decode_parameters((b"O\x01" + config).ljust(144)[:144], (b"O\x01" + table).ljust(368)[:368]),
    ):
        assert found.complete or found.problems
        json.dumps(found.to_json(), allow_nan=False)
        if found.complete:
            assert decode_parameters(*found.encode()).config == found.config


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
        max_leaves=8,
    )
)
def test_any_json_as_parameters_is_refused_with_a_reason(value: object) -> None:
    with pytest.raises(ContentsError):
        parameters_from_json({"disciplining_config": value, "temperature_table": value})


# --- reference ---


def test_places_are_those_of_the_reference(shared_dir: Path) -> None:
    maps = json.loads((shared_dir / "reference/time-card-registers.json").read_text())["eeprom_maps"]
    for family, boards in (("fb", [board for board in BOARDS.values() if board is not ART]), ("art", [ART])):
        for board in boards:
            parts = {chip.address: chip.part for chip in board.i2c.chips}
            for row in maps[family]:
                field = board.i2c.fields[row["field"]]
                assert (field.chip, field.size) == (row["i2c"], row["length"])
                assert field.offset == row.get("raw_word_address", row["offset"])
                assert parts[field.chip] == row["chip"]
