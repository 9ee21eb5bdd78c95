"""What a user has is read as it is meant; what cannot be read is refused in one line that says where."""

from __future__ import annotations

import bz2
import gzip
import lzma
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.analysis import lines, recording
from appliance.analysis.errors import AnalysisError, InputError
from appliance.analysis.units import Kind, parse_unit
from tests.unit.analysis.worlds import read, written

FIVE = [1.0, 2.0, -3.0, 4.0, 5.0]
JSON_ROWS = '{"tai_ns": "1700000000000000000", "qerr_ns": 1.5, "locked": true}\n'


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("1e-9\n2e-9\n-3e-9\n4e-9\n5e-9", {}),
        ("# phase in nanoseconds\n1\n2\n-3\n4\n5\n", {}),
        ("% unit: ps\n1000\n2000\n-3000\n4000\n5000\n", {}),
        ("\ufeff1\r\n2\r\n-3\r\n4\r\n5\r\n", {"unit": "ns"}),
        ("0 1\n1 2\n2 -3\n3 4\n4 5\n", {"unit": "ns"}),
        ("100;1\n101;2\n102;-3\n103;4\n104;5\n", {"unit": "ns"}),
        ("t_s,error_ns\n10,1\n11,2\n12,-3\n13,4\n14,5\n", {}),
        ('"time (ms)"\t"offset (us)"\n0\t.001\n1e3\t.002\n2e3\t-.003\n3e3\t.004\n4e3\t.005\n', {}),
        ("# t_s x_10ps\n0 100\n1 200\n2 -300\n3 400\n4 500\n", {}),
        ("a,b,c\n9,1,9\n9,2,9\n9,-3,9\n9,4,9\n9,5,9\n", {"column": "b", "unit": "ns"}),
        ("9 1\n9 2\n9 -3\n9 4\n9 5\n", {"column": "2", "time_column": "none", "unit": "ns"}),
        ("1 0\n2 1\n-3 2\n4 3\n5 4\n", {"column": "1", "time_column": "2", "unit": "ns"}),
        (
            "".join(f"{60000 + k / 86400:.12f} {x}\n" for k, x in enumerate(FIVE)),
            {"unit": "ns"},
        ),
        (
            "".join(f"2026-11-22T10:00:0{k}Z,{x}\n" for k, x in enumerate(FIVE)),
            {"unit": "ns"},
        ),
        ("[1, 2, -3, 4, 5]", {"unit": "ns"}),
        ('{"t_s": [0, 1, 2, 3, 4], "error_ns": [1, 2, -3, 4, 5], "seed": 7}', {}),
        ('[{"x_ns": 1}, {"x_ns": 2}, {"x_ns": -3}, {"x_ns": "4"}, {"x_ns": 5}]', {}),
        (
            "".join(
                f'{{"tai_ns": "17000000{k:02}000000000", "x_ns": {x}, "ok": true}}\n'
                for k, x in enumerate(FIVE)
            ),
            {},
        ),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress, bz2.compress])
def test_every_spelling_gives_the_same_clock(
    tmp_path: Path, text: str, options: dict[str, Any], pack: Callable[[bytes], bytes]
) -> None:
    if "unit" in options:
        options = options | {"unit": parse_unit(options["unit"])}
    series = read(written(tmp_path, pack(text.encode())), **options)
    assert series.kind is Kind.PHASE
    assert series.interval_s == 1.0
    (piece,) = series.pieces
    assert list(piece.values) == pytest.approx(FIVE, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("1e-9\n2e-9\n-3e-9\n4e-9", {"kind": Kind.FREQUENCY}),
        ("y_ppb\n1\n2\n-3\n4", {}),
        ("f_hz\n10000000.01\n10000000.02\n9999999.97\n10000000.04", {"nominal_hz": 10e6}),
        ("# unit: MHz\n10.00000001\n10.00000002\n9.99999997\n10.00000004", {"nominal_hz": 10e6}),
        ("10000000\n20000000\n-30000000\n40000000", {"unit": parse_unit("1e-16")}),
    ],
)
def test_frequency_in_every_unit(tmp_path: Path, text: str, options: dict[str, Any]) -> None:
    series = read(written(tmp_path, text), **options)
    assert series.kind is Kind.FREQUENCY
    assert list(series.pieces[0].values) == pytest.approx([1e-9, 2e-9, -3e-9, 4e-9], rel=1e-6)
    assert list(series.phase_ns()[0]) == pytest.approx([0, 1, 3, 0, 4], abs=1e-5)


def test_gaps_are_found_by_time_and_by_empty_cells(tmp_path: Path) -> None:
    series = read(written(tmp_path, "t_s,x_ns\n0,0\n2,1\n4,\n6,3\n8,4\n14,7\n16,8\n"))
    assert series.interval_s == 2.0
    assert [(piece.first, list(piece.values)) for piece in series.pieces] == [
        (0, [0.0, 1.0]),
        (3, [3.0, 4.0]),
        (7, [7.0, 8.0]),
    ]
    assert (series.samples, series.grid) == (6, 9)


@given(
    steps=st.lists(st.integers(1, 50), min_size=4, max_size=40),
    interval=st.sampled_from([0.001, 0.1, 1.0, 16.0]),
    start=st.integers(0, 2**60),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_pattern_of_gaps_is_restored(
    tmp_path: Path, steps: list[int], interval: float, start: int
) -> None:
    steps += [1] * (len(steps) + 1)  # the interval is that of most samples
    places = [0, *np.cumsum(steps)]
    rows = "".join(f"{start + round(place * interval * 1e9)} {place}\n" for place in places)
    series = read(written(tmp_path, rows), time_unit="ns", unit=parse_unit("ns"))
    assert series.interval_s == pytest.approx(interval)
    assert [v for piece in series.pieces for v in piece.values] == places
    assert [piece.first + k for piece in series.pieces for k in range(len(piece.values))] == places
    assert all(b.first > a.first + len(a.values) for a, b in pairwise(series.pieces))


@pytest.mark.parametrize(
    ("text", "options", "complaint"),
    [
        ("", {}, "holds no samples"),
        ("# only a remark\n\n", {}, "holds no samples"),
        ("1e-9", {}, "1 usable samples; 4 are needed"),
        ("x_ns\n", {}, "holds no samples"),
        ("1\n2\nnan\n4\n5", {}, ", line 3: nan is no number"),
        ("1\n2\n3\ninf\n5", {}, ", line 4: inf is no number"),
        ("1\n2\n1e999\n4\n5", {}, ", line 3: inf is no number"),
        ("1\n2\nthree\n4", {}, ", line 3: 'three' is no number"),
        ("1\n2\n1_000\n4", {}, ", line 3: '1_000' is no number"),
        ("1,5\n2,5\n3,5\n4 5\n", {}, ", line 4: 1 columns where line 1 has 2"),
        ("0 1\n1 2\n1 3\n2 4", {}, ", line 3: the time does not rise"),
        ("5 1\n4 2\n3 3\n2 4", {}, ", line 2: the time does not rise"),
        ("x 1\n4 2\n3 3\n2 4", {"time_column": "1"}, ", line 1: 'x' is no time"),
        ("Hello!\nGoodbye!", {}, ", line 2: 'Goodbye!' is no number"),
        ("1 2 3\n1 2 3\n", {}, ", line 1: which column? choose with --column: 2 to 3"),
        ("t_s,a_ns,b_ns,c\n0,1,2,3\n", {}, ", line 2: which column? choose with --column: a_ns, b_ns"),
        ("a,b\n0,1\n", {"column": "c"}, ", line 2: --column c: there is no such column; there is a, b"),
        ("1\n2\n3\n4\n", {"column": "7"}, ", line 1: --column 7: there is no such column; there is 1 to 1"),
        (b"\x7fELF\x02\x01\x00\x00\x00" * 9, {}, ", line 1: holds binary data"),
        (b"\xff\xfe1\x00\n\x002\x00", {}, ", line 1: holds binary data"),
        (b"\x89PNG\r\n\x1a\n\xde\xad\xbe\xef", {}, ", line 2: '\\x1a' is no number"),
        (gzip.compress(b"1\n2\n3\n4\n" * 900, mtime=0)[:-9], {}, "cannot be read: "),
        (lzma.compress(b"1\n2\n3\n4\n" * 900)[:40], {}, "cannot be read: "),
        (b"\x1f\x8b rubbish", {}, "cannot be read: "),
        ("1" * 70_000, {}, ", line 1: longer than 65536 bytes"),
        ("1\n" + "9" * 3_000_000, {}, ", line 2: longer than 65536 bytes"),
        ("10000000.1\n" * 5, {"kind": Kind.FREQUENCY}, "--unit Hz --nominal 10e6"),
        ('{"a": 1}\n{"a": }\n', {}, ", line 2: is no JSON"),
        ('{"a_ns": 1}\n[3]\n', {}, ", line 2: is no JSON object"),
        ('{"a_ns": 1}\n{"a_ns": "x"}\n', {}, ", line 2: a_ns or None is no number"),
        ('{"t_s": [1, 2], "x_ns": [1]}', {}, "holds arrays of several lengths"),
        ('{"duration_s": 1, "states": [], "holdovers": []}', {}, "run with --series FILE"),
        ("[" * 100_000, {}, "is no JSON"),
        (JSON_ROWS * 2, {}, ", line 2: the time does not rise"),
        ("0 1\n1e-320 2\n2e-320 3\n3e-320 4\n5e-320 5\n", {}, "an interval of 9.99989e-321 s"),
        ("1e300\n2\n3\n4\n", {}, "values too large for their unit"),
        (JSON_ROWS, {"column": "bias_ns"}, "no row has bias_ns"),
        ('{"x_ns": 1}\n{"x_ns": ' + "9" * 400 + "}\n", {}, ", line 2: x_ns or None is no number"),
        ('{"x_ns": NaN}\n{"x_ns": 1}\n', {}, ", line 1: nan is no number"),
        ('{"\\u001b[2J_ns": 1, "\\u001b[3J_ns": 1}\n{}\n', {}, "choose with --column: ?[2J_ns, ?[3J_ns"),
        ("x" + " " * 60_000 + "y\n" + "_ " * 30_000, {}, "which column?"),
        ("ptp4l-" * 10_000 + "\n1\n", {}, "usable samples"),
        ('[{"a": "x"}]', {}, ", line 1: no column with numbers"),
        ("t_s\n1\n2\n", {}, ", line 2: no column with numbers"),
        (gzip.compress(b"[" + b"{}," * 6_000_000 + b"{}]", mtime=0), {}, "larger than 16 MiB"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else "-",
)
def test_what_cannot_be_read_is_refused_in_one_line(
    tmp_path: Path, text: str | bytes, options: dict[str, Any], complaint: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        read(path, **options)
    told = str(caught.value)
    assert told.startswith(str(path))
    assert complaint in told
    assert "\n" not in told
    assert len(told) < 300


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.txt", tmp_path):
        with pytest.raises(InputError, match=str(path)):
            read(path)


def test_a_bomb_does_not_get_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endless = written(tmp_path, gzip.compress(b"0" * 50_000_000))
    with pytest.raises(InputError, match="line 1: longer than 65536 bytes"):
        read(endless)
    monkeypatch.setattr(recording, "MAX_SAMPLES", 1000)
    with pytest.raises(InputError, match="line 1001: more than 1,000 samples"):
        read(written(tmp_path, "1\n" * 1002))
    monkeypatch.setattr(lines, "MAX_LINES", 100)
    with pytest.raises(InputError, match="more than 100 lines"):
        read(written(tmp_path, "#\n" * 2_000_000))
    monkeypatch.setattr(lines, "MAX_DOCUMENT_BYTES", 1000)
    with pytest.raises(InputError, match="larger than"):
        read(written(tmp_path, "[" + "1," * 60_000 + "1]"))


def test_bad_samples_are_skipped_only_when_asked(tmp_path: Path) -> None:
    path = written(tmp_path, "1\n2\nnan\n3 4\nx\n6\n7\n8\n")
    series = read(path, skip_bad=True, unit=parse_unit("ns"))
    assert [(piece.first, list(piece.values)) for piece in series.pieces] == [
        (0, [1.0, 2.0]),
        (5, [6.0, 7.0, 8.0]),
    ]
    assert "bad samples taken as missing: 3" in series.notes


def test_a_remark_about_the_times_is_not_taken_for_the_values(tmp_path: Path) -> None:
    series = read(written(tmp_path, "# time in milliseconds\n0 1\n1 2\n2 3\n3 4\n"))
    assert series.unit.startswith("s (assumed")


def test_a_part_is_taken_by_time_and_said(tmp_path: Path) -> None:
    path = written(tmp_path, "t_s,x_ns\n" + "".join(f"{100 + 2 * k},{k}\n" for k in range(50) if k != 7))
    series = read(path, from_s=10.0, to_s=20.0)
    assert [(piece.first, list(piece.values)) for piece in series.pieces] == [
        (5, [5.0, 6.0]),
        (8, [8.0, 9.0, 10.0]),
    ]
    assert "only from 10 s to 20 s after the first sample" in series.notes
    with pytest.raises(InputError, match="0 usable samples"):
        read(path, from_s=1000.0)


def test_options_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "x_ns\n1\n2\n3\n4\n")
    with pytest.raises(AnalysisError, match="does not go with unit ns"):
        read(path, kind=Kind.FREQUENCY)
    with pytest.raises(AnalysisError, match="--nominal"):
        read(path, unit=parse_unit("Hz"))
    for wrong in ("", "parsec", "0ns", "1e999", "-3"):
        with pytest.raises(AnalysisError, match="is no unit"):
            parse_unit(wrong)


@pytest.mark.parametrize(
    ("text", "kind", "scale"),
    [
        ("s", Kind.PHASE, 1e9),
        ("Nanoseconds", Kind.PHASE, 1.0),
        ("µs", Kind.PHASE, 1e3),
        ("10ps", Kind.PHASE, 0.01),
        ("ppb", Kind.FREQUENCY, 1e-9),
        ("1e-16", Kind.FREQUENCY, 1e-16),
        ("kHz", Kind.FREQUENCY, 1e3),
    ],
)
def test_units(text: str, kind: Kind, scale: float) -> None:
    unit = parse_unit(text)
    assert unit.kind is kind
    assert math.isclose(unit.scale, scale)


@given(st.binary(max_size=300))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_read_or_refused(tmp_path: Path, content: bytes) -> None:
    read_or_refused(written(tmp_path, content))


def read_or_refused(path: Path) -> None:
    try:
        series = read(path)
    except AnalysisError as error:
        assert "\n" not in str(error)
    else:
        assert series.samples >= 4


TEXTS = st.lists(st.sampled_from(["1", "2e-9", "nan", ",", " ", "\n", "#", "t_s", "{", "}", '"', "[1]", ";"]))


@given(TEXTS)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_read_or_refused(tmp_path: Path, words: list[str]) -> None:
    read_or_refused(written(tmp_path, "".join(words)))
