"""Reading series files: what is accepted, and one clear error for everything else."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from timecard.emulator import series
from timecard.emulator.series import Playback, SeriesError, read_frequency_ppb, read_numbers, read_phase_ns


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_remarks_blank_lines_and_gzip(tmp_path: Path) -> None:
    path = tmp_path / "phase.gz"
    path.write_bytes(gzip.compress(b"# made by hand\n#\n\n+2.5E-7\r\n 1e-9 \n"))
    assert read_phase_ns(path).tolist() == pytest.approx([250.0, 1.0])


def test_frequency_in_hertz_or_fractional(tmp_path: Path) -> None:
    hertz = read_frequency_ppb(write(tmp_path / "hz", "10000000.1\n9999999.9\n"))
    assert hertz.tolist() == pytest.approx([10.0, -10.0], abs=1e-6)
    fractional = read_frequency_ppb(write(tmp_path / "y", "1e-8\n-2e-9\n"))
    assert fractional.tolist() == pytest.approx([10.0, -2.0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1e-9\nabc\n", "line 2: 'abc' is not a phase"),
        ("1e-9\n1e-9 2e-9\n", "line 2: '1e-9 2e-9' is not a phase"),
        ("# x\nnan\n1e-9\n", "line 2: nan is out of range"),
        ("inf\n", "line 1: inf is out of range"),
        ("1e-9\n1\n", "line 2: 1 is out of range"),
        ("1e-9\n", "1 points; a series needs at least two"),
        ("", "0 points"),
        ("1" * 300 + "\n", "line 1: longer than 256 bytes"),
    ],
)
def test_bad_lines_name_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path / "bad.txt", text)
    with pytest.raises(SeriesError) as error:
        read_phase_ns(path)
    assert str(error.value).startswith(str(path))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_mixed_units_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SeriesError, match=r"point 2: 1e-09 is no Hz of a 10 MHz output"):
        read_frequency_ppb(write(tmp_path / "mixed", "10000000.0\n1e-9\n"))


def test_too_many_points(tmp_path: Path) -> None:
    with pytest.raises(SeriesError, match="more than 3 points"):
        read_numbers(write(tmp_path / "long", "0\n" * 4), 1.0, "a number", max_points=3)


def test_endless_remarks(tmp_path: Path) -> None:
    with pytest.raises(SeriesError, match="remark lines"):
        read_phase_ns(write(tmp_path / "remarks", "#\n" * (series.MAX_REMARK_LINES + 1)))


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(SeriesError, match="cannot read: No such file"):
        read_phase_ns(tmp_path / "absent")
    with pytest.raises(SeriesError, match="cannot read"):
        read_phase_ns(tmp_path)
    packed = gzip.compress(b"1e-9\n" * 10_000)
    (tmp_path / "cut.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(SeriesError, match="damaged gzip"):
        read_phase_ns(tmp_path / "cut.gz")


def test_playback() -> None:
    again = Playback(np.array([1.0, 2.0]), 100, repeat=True)
    assert [again.at(s) for s in (98, 99, 100, 101, 102)] == [1.0, 2.0, 1.0, 2.0, 1.0]
    assert again.end_s is None
    once = Playback(np.array([1.0, 2.0]), 100, repeat=False)
    assert [once.at(s) for s in (99, 100, 101, 102)] == [None, 1.0, 2.0, None]
    assert once.end_s == 102
