"""Every value that may be recorded comes back as it was, and bytes that are no record are refused."""

from __future__ import annotations

import struct
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.events import SourceFault, Steer
from appliance.flight import shapes
from appliance.flight.decision import ACTIONS, EVENTS, VOCABULARY, Announcement, Decision
from appliance.flight.errors import FlightError
from appliance.flight.shape_parser import MAX_ROW_BYTES
from appliance.flight.shapes import ITEM, MAX_DEFINED, SHAPE, STRING, VALUE, Packer, Unpacker
from timecard.values import EdgeStamp, SatelliteView, Signal, SignalView

st.register_type_strategy(str, st.text(st.characters(), max_size=6))  # lone surrogates included
st.register_type_strategy(int, st.integers(-(2**70), 2**70))

values = st.one_of([st.from_type(cls) for cls in (*EVENTS, *ACTIONS, Announcement, Decision)])


def text_item(kind: int, text: str) -> bytes:
    return ITEM.pack(kind, len(text.encode())) + text.encode()


@settings(max_examples=60, deadline=None)
@given(st.lists(values, max_size=6))
def test_what_is_packed_is_unpacked_to_the_last_bit(recorded: list[Any]) -> None:
    packer, unpacker = Packer(VOCABULARY), Unpacker(VOCABULARY)
    for value in recorded * 2:
        (back,) = unpacker.unpack(packer.pack(value))
        assert type(back) is type(value)
        assert repr(back) == repr(value)


def test_doubles_keep_their_sign_of_zero_and_their_kind_of_nothing() -> None:
    packer, unpacker = Packer(VOCABULARY), Unpacker(VOCABULARY)
    for ppb in (-0.0, 0.0, float("inf"), 5e-324, 0.1 + 0.2):
        (back,) = unpacker.unpack(packer.pack(Steer(frequency_ppb=ppb)))
        assert struct.pack("<d", back.frequency_ppb) == struct.pack("<d", ppb)


def test_strings_and_shapes_are_written_once() -> None:
    packer = Packer(VOCABULARY)
    stamp = EdgeStamp(channel="ts0", card_tai_ns=2**60, event_count=1, dropped=False, read_mono_ns=7)
    first, second = packer.pack(stamp), packer.pack(stamp)
    assert b"EdgeStamp(" in first
    assert len(second) < 40


def test_a_long_view_of_signals_has_a_short_shape() -> None:
    signals = tuple(
        Signal(system="GPS", satellite=n, signal="L1C/A", cno_dbhz=40.0 + n, used=True) for n in range(60)
    )
    packed = Packer(VOCABULARY).pack(SignalView(signals=signals, read_mono_ns=1))
    assert b"60*Signal(" in packed
    assert len(packed) < 60 * 40


def test_what_is_not_known_cannot_be_recorded() -> None:
    with pytest.raises(TypeError, match="object"):
        Packer(VOCABULARY).pack(object())


@pytest.mark.parametrize(
    "shape",
    [
        "",
        "q)",
        "[1*q",
        "[1000000*[1000000*q]]",
        "[9999999*n]",
        "[" * 40 + "]" * 40,
        "Path(name=s)",
        "FixType(x=q)",
        "EdgeStamp(channel=s)",
        "EdgeStamp()",
        "[1*q1*q]",
        "q q",
        "__import__",
        "[0*q]]",
        "?(",
    ],
)
def test_a_shape_that_is_none_is_refused(shape: str) -> None:
    with pytest.raises(FlightError):
        list(Unpacker(VOCABULARY).unpack(text_item(SHAPE, shape)))


@pytest.mark.parametrize(
    "item",
    [
        text_item(STRING, "x" * 16_000),
        text_item(STRING, "x" * 16_000 + "\U0001f570"),
        text_item(SHAPE, f"[{MAX_ROW_BYTES // 8}*?]"),
        text_item(SHAPE, f"[{MAX_ROW_BYTES // 16}*[]]"),
        text_item(SHAPE, f"[{','.join(['0*q'] * 1_000)}]"),
        text_item(SHAPE, f"[{','.join(['1*i'] * 1_000)}]"),
    ],
)
def test_what_a_stream_defines_takes_no_more_memory_than_allowed(
    item: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shapes, "MAX_WEIGHT", 4 << 20)
    unpacker = Unpacker(VOCABULARY)
    tracemalloc.start()
    try:
        with pytest.raises(FlightError, match="too many strings and shapes"):
            while True:
                list(unpacker.unpack(item))
        kept_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept_bytes < 2 * shapes.MAX_WEIGHT


@pytest.mark.parametrize("item", [text_item(STRING, ""), text_item(SHAPE, "q")])
def test_strings_and_shapes_are_counted(item: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "MAX_DEFINED", 500)
    unpacker = Unpacker(VOCABULARY)
    list(unpacker.unpack(item * 1_000))
    with pytest.raises(FlightError, match="too many strings and shapes"):
        list(unpacker.unpack(item))


def test_a_shape_of_a_hundred_letters_takes_no_gigabyte() -> None:
    inner = ",".join(["999999*[]"] * 9)
    tracemalloc.start()
    try:
        with pytest.raises(FlightError, match="too large"):
            list(Unpacker(VOCABULARY).unpack(text_item(SHAPE, f"[{inner}]")))
        (value,) = Unpacker(VOCABULARY).unpack(
            text_item(SHAPE, f"[{MAX_ROW_BYTES}*n]") + ITEM.pack(VALUE, 0) + bytes(MAX_ROW_BYTES + 1)
        )
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(value) == MAX_ROW_BYTES
    assert peak_bytes < 30 << 20


def test_one_string_that_is_in_a_value_too_often_is_refused() -> None:
    many = shapes.MAX_VALUE_CHARS // 10_000
    for times in (many, many + 1):
        stream = text_item(STRING, "x" * 10_000) + text_item(SHAPE, f"[1*n,{times}*s]")
        stream += ITEM.pack(VALUE, 0) + bytes(2 + 4 * times)
        unpacker = Unpacker(VOCABULARY)
        if times > many:
            with pytest.raises(FlightError, match="texts of a value are too long"):
                list(unpacker.unpack(stream))
        else:
            ((nothing, *texts),) = unpacker.unpack(stream)
            assert nothing is None
            assert len(texts) == many


@pytest.mark.parametrize("size", [shapes.MAX_STRING_BYTES, shapes.MAX_STRING_BYTES + 1])
def test_writer_and_reader_agree_how_long_a_string_may_be(size: int) -> None:
    fault = SourceFault(source="pps", reason="x" * size, mono_ns=0)
    if size > shapes.MAX_STRING_BYTES:
        with pytest.raises(ValueError, match=f"a text of {size} bytes"):
            Packer(VOCABULARY).pack(fault)
        with pytest.raises(FlightError, match=f"text of {size} bytes"):
            list(Unpacker(VOCABULARY).unpack(text_item(STRING, fault.reason)))
    else:
        assert list(Unpacker(VOCABULARY).unpack(Packer(VOCABULARY).pack(fault))) == [fault]


def test_a_stream_says_when_it_is_full_long_before_it_is_refused() -> None:
    packer, unpacker, number = Packer(VOCABULARY), Unpacker(VOCABULARY), 0
    while not packer.full:
        stamp = EdgeStamp(
            channel=f"{number} {'x' * 900}", card_tai_ns=1, event_count=1, dropped=False, read_mono_ns=7
        )
        assert list(unpacker.unpack(packer.pack(stamp))) == [stamp]
        number += 1
    assert 1_000 < number < MAX_DEFINED


def test_a_row_never_grows_beyond_its_limit() -> None:
    shape = f"[{MAX_ROW_BYTES // 8 + 1}*q]"
    with pytest.raises(FlightError, match="too large"):
        list(Unpacker(VOCABULARY).unpack(text_item(SHAPE, shape)))


@pytest.mark.parametrize(
    "data",
    [
        ITEM.pack(VALUE, 0),
        ITEM.pack(0, 0),
        b"S\x00",
        ITEM.pack(STRING, 10) + b"abc",
        ITEM.pack(STRING, 1) + b"\xff",
        text_item(SHAPE, "s") + ITEM.pack(VALUE, 0) + struct.pack("<I", 3),
        text_item(SHAPE, "FixType") + text_item(STRING, "FIX_9D") + ITEM.pack(VALUE, 0) + bytes(4),
        text_item(SHAPE, "{1*q}") + ITEM.pack(VALUE, 0) + bytes(9),
        text_item(SHAPE, "i") + text_item(STRING, "9" * 5000) + ITEM.pack(VALUE, 0) + bytes(4),
    ],
)
def test_an_item_that_makes_no_sense_is_refused(data: bytes) -> None:
    with pytest.raises(FlightError):
        list(Unpacker(VOCABULARY).unpack(data))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_no_bytes_cause_anything_but_our_error(data: st.DataObject) -> None:
    packer = Packer(VOCABULARY)
    view = SatelliteView(seen=9, used=7, median_cno_dbhz=41.5, by_system={"GPS": 4, "GAL": 3}, read_mono_ns=5)
    good = bytearray(packer.pack(view) + packer.pack(view))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(good) - 1))
        good[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    try:
        for _ in Unpacker(VOCABULARY).unpack(bytes(good)):
            pass
    except FlightError:
        pass
