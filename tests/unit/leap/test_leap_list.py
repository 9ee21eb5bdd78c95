"""Tables of leap seconds in their three forms: what is right is read, what is not is named with its line."""

from __future__ import annotations

import dataclasses
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timecard.gnss.integrity_rules import KnownLeap
from timecard.leap_list import (
    BUILT_IN,
    MAX_BYTES,
    ComingLeap,
    LeapChange,
    LeapListError,
    LeapTable,
    read_leap_table,
    write_leap_list,
)

ZONEINFO = Path("/usr/share/zoneinfo")
JULY_2027 = 1_814_400_000
JANUARY_2028 = 1_830_297_600

# The last lines of the list that IERS published with Bulletin C 70, with the hash of the whole.
IERS_2025 = """\
#$\t3960835200
#@\t3991593600
2272060800      10      # 1 Jan 1972
2287785600      11      # 1 Jul 1972
2303683200      12      # 1 Jan 1973
2335219200      13      # 1 Jan 1974
2366755200      14      # 1 Jan 1975
2398291200      15      # 1 Jan 1976
2429913600      16      # 1 Jan 1977
2461449600      17      # 1 Jan 1978
2492985600      18      # 1 Jan 1979
2524521600      19      # 1 Jan 1980
2571782400      20      # 1 Jul 1981
2603318400      21      # 1 Jul 1982
2634854400      22      # 1 Jul 1983
2698012800      23      # 1 Jul 1985
2776982400      24      # 1 Jan 1988
2840140800      25      # 1 Jan 1990
2871676800      26      # 1 Jan 1991
2918937600      27      # 1 Jul 1992
2950473600      28      # 1 Jul 1993
2982009600      29      # 1 Jul 1994
3029443200      30      # 1 Jan 1996
3076704000      31      # 1 Jul 1997
3124137600      32      # 1 Jan 1999
3345062400      33      # 1 Jan 2006
3439756800      34      # 1 Jan 2009
3550089600      35      # 1 Jul 2012
3644697600      36      # 1 Jul 2015
3692217600      37      # 1 Jan 2017
#
#h\t49db2447 571e5e1b 2f002a53 9c8da8e4 39b8e49e
"""


def read(text: str) -> LeapTable:
    return read_leap_table(text.encode(), "leap.list")


def test_the_list_of_the_iers_is_read_and_its_hash_is_right() -> None:
    table = read(IERS_2025)
    assert len(table.changes) == 28
    assert table.changes[-1] == LeapChange(1_483_228_800, 37)
    assert table.expires_utc_s == 1_782_604_800
    assert table.updated_utc_s == 1_751_846_400


def test_the_built_in_table_is_that_list() -> None:
    assert read(IERS_2025) == BUILT_IN


def test_the_integrity_rules_end_where_the_built_in_table_ends() -> None:
    known = KnownLeap()
    assert known.until_tai_s == BUILT_IN.expires_tai_s
    assert known.tai_minus_utc_s == BUILT_IN.changes[-1].tai_minus_utc_s


def test_a_list_that_is_written_is_read_again() -> None:
    table = dataclasses.replace(
        BUILT_IN, changes=(*BUILT_IN.changes, LeapChange(JULY_2027, 36)), expires_utc_s=JANUARY_2028
    )
    assert read(write_leap_list(table)) == table
    assert write_leap_list(BUILT_IN).splitlines()[-1] == IERS_2025.splitlines()[-1]


@pytest.mark.parametrize("name", ["leap-seconds.list", "leapseconds", "right/UTC"])
def test_the_files_of_this_hosts_tz_database_are_read(name: str) -> None:
    path = ZONEINFO / name
    if not path.exists():
        pytest.skip(f"{path} is not on this host")
    table = read_leap_table(path.read_bytes(), str(path))
    assert table.changes[: len(BUILT_IN.changes)] == BUILT_IN.changes


def test_the_difference_changes_at_midnight_and_not_in_the_inserted_second() -> None:
    midnight_tai_s = 1_483_228_800 + 37
    assert BUILT_IN.tai_minus_utc_s(midnight_tai_s - 1) == 36
    assert BUILT_IN.tai_minus_utc_s(midnight_tai_s) == 37
    assert BUILT_IN.coming(midnight_tai_s - 1) == ComingLeap(1, midnight_tai_s)
    assert BUILT_IN.coming(midnight_tai_s) is None


def test_leading_zeros_of_the_hash_may_be_missing() -> None:
    for utc_s in range(0, 86_400 * 40, 86_400):
        text = write_leap_list(
            dataclasses.replace(BUILT_IN, updated_utc_s=BUILT_IN.changes[-1].utc_s + utc_s)
        )
        if re.search(r" 0[0-9a-f]{7}", text):
            break
    assert read(re.sub(r"([ \t])0+(?=[0-9a-f]+(?: |$))", r"\1", text)).changes == BUILT_IN.changes


BROKEN = {
    "digit changed": (("3692217600      37", "3692217600      38"), "leap.list:32: the hash does not fit"),
    "line gone": (("3644697600      36      # 1 Jul 2015\n", ""), "leap.list:31: the hash does not fit"),
    "expiry changed": (("3991593600", "4991593600"), "leap.list:32: the hash does not fit"),
    "hash too short": (("49db2447 ", ""), "leap.list:32: the hash does not fit"),
    "hash of letters": (("49db2447", "zzzzzzzz"), "leap.list:32: the hash does not fit"),
    "no hash": (("#h\t49db2447 571e5e1b 2f002a53 9c8da8e4 39b8e49e\n", ""), "leap.list: no #h line (hash)"),
    "no expiry": (("#@\t3991593600\n", ""), "leap.list: no #@ line (expiry)"),
    "no update": (("#$\t3960835200\n", ""), "leap.list: no #$ line (last update)"),
    "two expiries": (("#@\t", "#@\t1\n#@\t"), "leap.list:3: a second #@ line"),
    "three numbers": (("3692217600      37", "3692217600 37 1"), "leap.list:30: wants NTP seconds"),
    "a word": (("3692217600", "tomorrow"), "leap.list:30: 'tomorrow' is no number"),
    "unicode digits": (("3692217600      37", "3692217600 ٣٧"), "leap.list:30: '٣٧' is no number"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_wrong_is_named_with_file_and_line(case: str) -> None:
    (old, new), says = BROKEN[case]
    assert IERS_2025.count(old) == 1
    with pytest.raises(LeapListError) as caught:
        read(IERS_2025.replace(old, new))
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ((LeapChange(JULY_2027, 39),), "TAI - UTC goes from 37 to 39 s"),
        ((LeapChange(JULY_2027, 38), LeapChange(JULY_2027, 39)), "not later than the change before"),
        ((LeapChange(JULY_2027 + 1, 38),), "not the midnight that begins a month"),
        ((LeapChange(JULY_2027 + 86_400, 38),), "not the midnight that begins a month"),
    ],
)
def test_a_right_hash_does_not_excuse_a_table_that_cannot_be(
    changes: tuple[LeapChange, ...], says: str
) -> None:
    table = dataclasses.replace(BUILT_IN, changes=(*BUILT_IN.changes, *changes))
    with pytest.raises(LeapListError, match=says):
        read(write_leap_list(table))


def test_a_table_that_lacks_its_beginning_is_refused() -> None:
    with pytest.raises(LeapListError, match="does not begin with 10 s on 1972-01-01"):
        read(write_leap_list(dataclasses.replace(BUILT_IN, changes=BUILT_IN.changes[1:])))
    with pytest.raises(LeapListError, match="no #\\$ line"):
        read("")
    with pytest.raises(LeapListError, match="larger than"):
        read_leap_table(b"#" * (MAX_BYTES + 1), "big")
    with pytest.raises(LeapListError, match="byte 0"):
        read_leap_table(b"\xff\xfe", "binary")


TZ_TEXT = """\
# comment
Leap\t1972\tJun\t30\t23:59:60\t+\tS
Leap\t1972\tDec\t31\t23:59:59\t-\tS
#updated 1751846400 (2025-07-07 00:00:00 UTC)
#expires 1782604800 (2026-06-28 00:00:00 UTC)
"""


def test_the_text_of_the_tz_database_knows_both_signs() -> None:
    table = read(TZ_TEXT)
    assert [change.tai_minus_utc_s for change in table.changes] == [10, 11, 10]
    assert table.changes[2].utc_s == 94_694_400  # 1973-01-01
    assert (table.updated_utc_s, table.expires_utc_s) == (1_751_846_400, 1_782_604_800)
    expires = read(TZ_TEXT.replace("#expires 1782604800", "Expires 2026 Jun 28 00:00:00\n#"))
    assert expires.expires_utc_s == 1_782_604_800


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("23:59:60\t+", "23:59:60\t-", "leap.list:2: wants Leap YEAR"),
        ("Dec\t31", "Dec\t32", "leap.list:3: 1972 Dec 32 is no date"),
        ("Dec\t31", f"{'D' * 200_000}\t31", f"leap.list:3: 1972 {'D' * 35} is no date"),
        ("Dec\t31", "Foo\t31", "leap.list:3: 1972 Foo 31 is no date"),
        ("Dec\t31", "Dec\t30", "leap.list:3: not the midnight"),
        ("# comment", "Zone x", "leap.list:1: neither a Leap nor an Expires line"),
        ("Leap\t1972\tDec\t31\t23:59:59\t-\tS", "Leap", "leap.list:3: wants Leap YEAR"),
        ("#expires 1782604800", "#expires x", "leap.list:5: 'x' is no number"),
    ],
)
def test_a_wrong_line_of_the_tz_text_is_named(old: str, new: str, says: str) -> None:
    with pytest.raises(LeapListError) as caught:
        read(TZ_TEXT.replace(old, new))
    assert str(caught.value).startswith(says)


def zone(records: list[tuple[int, int]], version: bytes = b"2") -> bytes:
    """A zone without times and one type, as RFC 9636 has it; the second part counts in 64 bits."""
    sizes = struct.pack(">6I", 0, 0, len(records), 0, 1, 4)
    header = b"TZif" + version + bytes(15) + sizes
    first = bytes(6) + b"UTC\0" + b"".join(struct.pack(">ii", *record) for record in records)
    second = bytes(6) + b"UTC\0" + b"".join(struct.pack(">qi", *record) for record in records)
    return header + first + header + second + b"\nUTC0\n"


def test_a_compiled_zone_gives_its_leap_seconds_and_its_expiry() -> None:
    # 23:59:60 of 1972-06-30, then what would be 23:59:59 of 1972-12-31, then an expiry.
    records = [(78_796_800, 1), (94_694_400, 0)]
    table = read_leap_table(zone(records), "right")
    assert table.changes == ((63_072_000, 10), (78_796_800, 11), (94_694_400, 10))
    assert table.expires_utc_s is None
    ending = read_leap_table(zone([*records, (100_000_000, 0)], b"4"), "right")
    assert (ending.changes, ending.expires_utc_s) == (table.changes, 100_000_000)


def test_a_zone_without_leap_seconds_or_cut_short_is_refused() -> None:
    with pytest.raises(LeapListError, match="those under right/ have them"):
        read_leap_table(zone([]), "Etc/UTC")
    whole = zone([(78_796_800, 1)])
    for length in range(4, len(whole) - 6):
        with pytest.raises(LeapListError, match="cut"):
            read_leap_table(whole[:length], "right")
    with pytest.raises(LeapListError, match="version 1"):
        read_leap_table(zone([(78_796_800, 1)], b"\0"), "right")


def test_the_zone_compiler_and_we_mean_the_same(tmp_path: Path) -> None:
    zic = shutil.which("zic", path="/usr/sbin:/usr/bin")
    if zic is None:
        pytest.skip("zic is not installed")
    leaps = "".join(line + "\n" for line in TZ_TEXT.splitlines() if line.startswith("Leap"))
    (tmp_path / "leaps").write_text(leaps)
    (tmp_path / "zone").write_text("Zone Test 0 - UTC\n")
    subprocess.run([zic, "-L", "leaps", "-d", "out", "zone"], cwd=tmp_path, check=True)
    compiled = read_leap_table((tmp_path / "out" / "Test").read_bytes(), "Test")
    assert compiled.changes == read(TZ_TEXT).changes


@given(st.binary(max_size=400))
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    for content in (data, b"TZif2" + data, IERS_2025.encode() + data, zone([(78_796_800, 1)])[:60] + data):
        try:
            read_leap_table(content, "noise")
        except LeapListError as error:
            assert str(error).startswith("noise")
