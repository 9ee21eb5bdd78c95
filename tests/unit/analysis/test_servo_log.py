"""Logs of linuxptp, as its programs print them and as journald keeps them."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.analysis.errors import InputError
from tests.unit.analysis.worlds import read, written

PTP4L = """\
ptp4l[5374018.735]: selected /dev/ptp0 as PTP clock
ptp4l[5374019.001]: port 1 (eth0): INITIALIZING to LISTENING on INIT_COMPLETE
ptp4l[5374020.735]: master offset     -41230 s0 freq   -1000 path delay      4560
ptp4l[5374021.735]: master offset     -41260 s1 freq   -1030 path delay      4561
ptp4l[5374022.735]: master offset        -12 s2 freq   -1042 path delay      4560
ptp4l[5374023.736]: master offset          7 s2 freq   -1027 path delay      4559
ptp4l[5374024.735]: master offset          3 s3 freq   -1029 path delay      4559
ptp4l[5374026.735]: master offset         -1 s2 freq   -1032 path delay      4560
ptp4l[5374027.735]: master offset        900 s0 freq   -1032 path delay      4560
"""
JOURNAL = """\
Nov 22 09:00:01 host phc2sys[811]: [17.100] CLOCK_REALTIME phc offset        21 s2 freq   +4321 delay    512
Nov 22 09:00:01 host ts2phc[812]: [17.300] [ts2phc.0.config] /dev/ptp2 offset          1 s2 freq      -3
Nov 22 09:00:02 host ts2phc[812]: [18.300] [ts2phc.0.config] /dev/ptp2 offset          2 s2 freq      -3
Nov 22 09:00:02 host phc2sys[811]: [18.100] CLOCK_REALTIME phc offset        22 s2 freq   +4322 delay    511
Nov 22 09:00:03 host phc2sys[811]: [19.100] CLOCK_REALTIME phc offset        23 s2 freq   +4323 delay    512
Nov 22 09:00:03 host ts2phc[812]: [19.300] [ts2phc.0.config] /dev/ptp2 offset          3 s2 freq      -3
Nov 22 09:00:03 host ts2phc[812]: [20.300] [ts2phc.0.config] /dev/ptp2 offset         -4 s2 freq      -3
Nov 22 09:00:04 host phc2sys[811]: [20.100] CLOCK_REALTIME phc offset       -24 s2 freq   +4324 delay    512
"""
TS2PHC_3 = "".join(
    f"ts2phc[{681 + k}.491]: /dev/ptp1 master offset {x:10} s2 freq -0\n" for k, x in enumerate([5, 6, 7, 8])
)


def test_one_clock_is_taken_with_its_gap_and_without_its_start(tmp_path: Path) -> None:
    series = read(written(tmp_path, PTP4L))
    assert series.interval_s == 1.0
    assert series.name.endswith("ptp4l")
    assert [(piece.first, list(piece.values)) for piece in series.pieces] == [
        (0, [-12.0, 7.0, 3.0]),
        (4, [-1.0, 900.0]),
    ]
    assert series.notes == ("left out, from before the servo locked: 2",)


def test_several_clocks_are_named_and_one_is_chosen(tmp_path: Path) -> None:
    path = written(tmp_path, JOURNAL)
    with pytest.raises(
        InputError, match="several clocks; choose with --clock: phc2sys CLOCK_REALTIME, ts2phc"
    ):
        read(path)
    system = read(path, clock="CLOCK_REALTIME")
    assert list(system.pieces[0].values) == [21.0, 22.0, 23.0, -24.0]
    assert list(read(path, clock="ptp2").pieces[0].values) == [1.0, 2.0, 3.0, -4.0]
    with pytest.raises(InputError, match="no clock 'eth7'"):
        read(path, clock="eth7")


def test_the_older_spelling_of_ts2phc(tmp_path: Path) -> None:
    assert list(read(written(tmp_path, TS2PHC_3)).pieces[0].values) == [5.0, 6.0, 7.0, 8.0]


def test_summaries_are_no_samples(tmp_path: Path) -> None:
    summary = "ptp4l[1.100]: rms 787 max 1208 freq -38601 +/- 1071 delay -14 +/- 0\n"
    with pytest.raises(InputError, match="only summaries"):
        read(written(tmp_path, summary * 4))
    with pytest.raises(InputError, match="the log holds no offsets"):
        read(written(tmp_path, "ptp4l[1.100]: selected /dev/ptp0 as PTP clock\n"))


def test_a_log_over_a_boot_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 5: the time does not rise"):
        read(written(tmp_path, TS2PHC_3 + TS2PHC_3))
