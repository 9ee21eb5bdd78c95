"""Tables on the host: read once, again when they change, and named when they cannot be used."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.config import load_config
from appliance.config_models import LeapConfig
from appliance.leap.files import LOOK_EVERY_NS, LeapFiles
from appliance.leap.words import LeapWord
from timecard.leap_list import BUILT_IN, LeapChange, write_leap_list

LEAPING = dataclasses.replace(BUILT_IN, changes=(*BUILT_IN.changes, LeapChange(1_814_400_000, 38)))


class Look:
    """Files, looked at a minute later each time."""

    def __init__(self, *paths: Path, required: bool = True) -> None:
        self._files = LeapFiles(paths, warn_days=60, required=required)
        self._now_ns = 7
        self.built_in = self._files.poll(self._now_ns)

    def __call__(self) -> list[LeapWord]:
        words, self.built_in = self.built_in[1:], []
        if words:
            return words
        self._now_ns += LOOK_EVERY_NS
        return self._files.poll(self._now_ns)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "leap-seconds.list"
    path.write_text(write_leap_list(BUILT_IN))
    return path


def replace(path: Path, text: str) -> None:
    """As a package does it: a new file takes the place of the old one."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def test_the_built_in_table_speaks_first_and_once(path: Path) -> None:
    look = Look(path)
    assert look.built_in[0].source == "built-in table"
    (word,) = look()
    assert (word.source, word.origin, word.tai_minus_utc_s, word.change_s) == (str(path), str(path), 36, 1)
    assert word.offset_at(BUILT_IN.changes[-1].tai_s) == 37
    assert word.until_tai_s == BUILT_IN.expires_tai_s
    assert word.warn_tai_s is not None and word.until_tai_s is not None
    assert word.until_tai_s - word.warn_tai_s == 60 * 86_400
    assert look() == []


def test_a_file_is_looked_at_once_a_minute(path: Path) -> None:
    files = LeapFiles((path,), warn_days=60, required=True)
    assert len(files.poll(0)) == 2
    replace(path, write_leap_list(LEAPING))
    assert files.poll(LOOK_EVERY_NS - 1) == []
    assert [word.tai_minus_utc_s for word in files.poll(LOOK_EVERY_NS)] == [37]


def test_a_file_that_changes_is_read_again(path: Path) -> None:
    look = Look(path)
    look()
    replace(path, write_leap_list(LEAPING))
    (word,) = look()
    assert (word.change_s, word.at_tai_s) == (1, 1_814_400_038)


def test_a_file_that_becomes_wrong_is_named_and_one_that_is_mended_is_used(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    look = Look(path)
    look()
    replace(path, write_leap_list(BUILT_IN).replace("37\n", "38\n"))
    (word,) = look()
    assert word.tai_minus_utc_s is None
    assert word.trouble is not None and word.trouble.startswith(f"{path}:31: the hash does not fit")
    assert word.trouble in caplog.text
    replace(path, write_leap_list(BUILT_IN))
    (word,) = look()
    assert word.trouble is None


def test_a_file_that_goes_is_named_until_it_is_back(path: Path) -> None:
    look = Look(path, required=False)
    look()
    path.unlink()
    (word,) = look()
    assert word.trouble == f"{path}: No such file or directory"
    assert look() == []
    path.write_text(write_leap_list(BUILT_IN))
    (word,) = look()
    assert word.trouble is None


def test_only_a_file_that_was_asked_for_is_missed(tmp_path: Path) -> None:
    assert Look(tmp_path / "none", required=False)() == []
    (word,) = Look(tmp_path / "none", required=True)()
    assert word.trouble == f"{tmp_path / 'none'}: No such file or directory"


def _directory(path: Path) -> None:
    path.mkdir()


def _endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize(
    ("make", "says"), [(os.mkfifo, "no plain file"), (_directory, "directory"), (_endless, "no plain file")]
)
def test_what_is_no_plain_file_is_refused_and_not_waited_for(
    tmp_path: Path, make: Callable[[Path], None], says: str
) -> None:
    make(tmp_path / "table")
    (word,) = Look(tmp_path / "table")()
    assert word.trouble is not None and says in word.trouble


def test_files_of_the_tz_database_are_one_origin(tmp_path: Path) -> None:
    folder = tmp_path / "zoneinfo"
    (folder / "right").mkdir(parents=True)
    for name in ("leap-seconds.list", "right/UTC"):
        (folder / name).write_text(write_leap_list(BUILT_IN))
    words = Look(folder / "leap-seconds.list", folder / "right" / "UTC")()
    assert {word.origin for word in words} == {"tz database"}


def test_the_configuration_names_files_and_days(tmp_path: Path) -> None:
    assert not LeapConfig().required
    file = tmp_path / "appliance.toml"
    file.write_text('[leap]\nfiles = ["/etc/leap-seconds.list"]\nwarn_days = 30\n')
    leap = load_config(file).leap
    assert (leap.files, leap.warn_days, leap.required) == ((Path("/etc/leap-seconds.list"),), 30, True)
