"""The bound page from Python: what the daemon writes is what programs read, or they are told why not."""

from __future__ import annotations

import errno
import grp
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.bound import _native
from appliance.bound.layout import DATA, LINE, PLANES, STATES, Line, PageData, Plane, Refusal, UtcWords
from appliance.bound.reader import BoundReader, BoundRefusedError, evaluate, is_before
from appliance.bound.writer import BoundPublisher, page_data
from appliance.leap.decision import LeapJudgement
from appliance.snapshot import ClockState
from tests.netns import missing
from tests.unit.bound.pages import (
    MAP_ERROR_NS,
    TAI0,
    VALID_NS,
    S,
    map_at,
    raw_ns,
    refusal,
    report_at,
    written,
)
from timecard.leap_list import ComingLeap

HEADER = Path(_native.__file__).parent / "native" / "time_bound.h"


def test_python_and_c_mean_the_same_layout() -> None:
    assert DATA.size + PLANES * LINE.size == _native.DATA_SIZE
    text = HEADER.read_text(encoding="utf-8")
    names: dict[str, list[str]] = {}
    for enum, body in re.findall(r"enum time_bound_(\w+) \{(.*?)\};", text, re.DOTALL):
        names[enum] = re.findall(r"^ +TIME_BOUND_(\w+)", body, re.MULTILINE)
    assert names["refusal"] == ["OK", *(item.name for item in Refusal if item), "REFUSALS"]
    assert names["state"] == [*(state.value.upper().replace("-", "_") for state in STATES), "STATES"]
    assert names["plane"] == [plane.name for plane in Plane]


def test_an_interval_holds_the_card_the_map_and_the_time_since(tmp_path: Path) -> None:
    publisher, reader = BoundPublisher(tmp_path / "bound"), BoundReader(tmp_path / "bound")
    anchor_ns = raw_ns()
    publisher.note(report_at(anchor_ns - S, void_after_mono_ns=anchor_ns + VALID_NS))
    publisher.write(map_at(anchor_ns, rate_ppb=10_000.0))
    card, host, wide = reader.now(Plane.CARD), reader.now(), reader.now(wide=True)
    for bound in (card, host, wide):
        age_s = (bound.raw_ns - anchor_ns) / S
        middle_ns = TAI0 + bound.raw_ns + round(age_s * 10_000.0)
        half_ns = (61.0 if bound is wide else 58.0) + 0.4 + MAP_ERROR_NS + 200.4 * age_s
        assert middle_ns - bound.earliest_tai_ns == pytest.approx(half_ns, abs=3)
        assert bound.latest_tai_ns - middle_ns == pytest.approx(half_ns, abs=3)
        assert (bound.state, bound.epoch, bound.clock_class) == (ClockState.LOCKED, 1, 6)
        assert bound.valid_until_raw_ns == anchor_ns + VALID_NS
    card_age_s, host_age_s = (card.raw_ns - anchor_ns) / S, (host.raw_ns - anchor_ns) / S
    assert card.plane_error_ns == pytest.approx(58.4 + 0.4 * card_age_s), "its clock itself knows no map"
    assert host.plane_error_ns == pytest.approx(118.4 + 200.4 * host_age_s)
    assert host.p == 0.999 and 1 - wide.p == pytest.approx(5.733e-7, rel=1e-3)
    publisher.close()


def test_an_unknown_rate_widens_the_interval_faster() -> None:
    known, unknown = (
        evaluate(page_data(report_at(0), map_at(0, rate_error_ppb=ppb)).pack(), S) for ppb in (40.0, 1e5)
    )
    assert known.width_ns == pytest.approx(2 * (58 + 60 + 200.4), abs=5)
    assert unknown.width_ns == pytest.approx(2 * (58 + 60 + 1e5 + 0.4), abs=5)


def test_after_a_step_nothing_is_said_until_both_report_and_map_are_new(tmp_path: Path) -> None:
    publisher = written(tmp_path / "bound")
    reader = BoundReader(tmp_path / "bound")
    assert refusal(reader) is Refusal.NONE
    publisher.disrupt()
    assert refusal(reader) is Refusal.DISRUPTED
    publisher.write(map_at(raw_ns()))
    assert refusal(reader) is Refusal.DISRUPTED, "a map alone does not say where the clock stands"
    publisher.note(report_at(raw_ns(), epoch=2))
    assert refusal(reader) is Refusal.DISRUPTED
    publisher.write(map_at(raw_ns()))
    assert reader.now().epoch == 2


def test_without_a_claim_there_is_no_interval(tmp_path: Path) -> None:
    publisher, now_ns = BoundPublisher(tmp_path / "bound"), raw_ns()
    reader = BoundReader(tmp_path / "bound")
    assert refusal(reader) is Refusal.UNKNOWN, "nothing has been written yet"
    publisher.note(report_at(now_ns, state=ClockState.FREE_RUN, bound_ns=None, bound_wide_ns=None))
    publisher.write(map_at(now_ns))
    assert {refusal(reader, plane) for plane in Plane} == {Refusal.UNKNOWN}
    publisher.note(report_at(now_ns - 60 * S))
    publisher.write(map_at(now_ns))
    assert refusal(reader) is Refusal.STALE, "the report had expired before the map was made"


@pytest.mark.parametrize(("of_map_s", "of_report_s", "until_s"), [(3.0, 5.0, 3.0), (3.0, 0.5, 0.5)])
def test_it_expires_with_the_first_of_report_and_map(
    of_map_s: float, of_report_s: float, until_s: float
) -> None:
    report = report_at(0, void_after_mono_ns=round(of_report_s * S))
    data = page_data(report, map_at(0, valid_until_raw_ns=round(of_map_s * S))).pack()
    assert evaluate(data, round(until_s * S)).raw_ns
    with pytest.raises(BoundRefusedError) as refused:
        evaluate(data, round(until_s * S) + 1)
    assert refused.value.refusal is Refusal.STALE


def test_a_reader_follows_a_daemon_that_is_started_again(tmp_path: Path) -> None:
    path = tmp_path / "bound"
    first = written(path)
    reader, old_file = BoundReader(path), path.open("rb")
    assert refusal(reader) is Refusal.NONE and reader.writer_alive()
    first.close()
    assert refusal(reader) is Refusal.ENDED
    second = written(path)
    assert refusal(reader) is Refusal.NONE
    assert os.fstat(old_file.fileno()).st_size == _native.PAGE_SIZE, "what a reader has mapped stays"
    old_file.close()
    second.close()
    second.close()
    assert refusal(reader) is Refusal.ENDED
    assert sorted(item.name for item in tmp_path.iterdir()) == ["bound"]


def test_a_reader_may_be_there_first(tmp_path: Path) -> None:
    reader = BoundReader(tmp_path / "bound")
    assert refusal(reader) is Refusal.NO_PAGE and reader.writer_alive() is None
    written(tmp_path / "bound")
    assert refusal(reader) is Refusal.NONE
    with pytest.raises(ValueError, match="longer than 255"):
        BoundReader(tmp_path / ("x" * 300))


@pytest.mark.parametrize(("group", "mode"), [(None, 0o644), (grp.getgrgid(os.getegid()).gr_name, 0o640)])
def test_who_may_read_it(tmp_path: Path, group: str | None, mode: int) -> None:
    BoundPublisher(tmp_path / "bound", group=group)
    status = (tmp_path / "bound").stat()
    assert status.st_mode & 0o777 == mode
    assert status.st_gid == os.getegid()


def test_what_hinders_it_is_told(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r'paths\.group: no group "nobody-here"'):
        BoundPublisher(tmp_path / "bound", group="nobody-here")
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"file/bound .*make its folder writable"):
        BoundPublisher(tmp_path / "file" / "bound")
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_a_group_that_the_daemon_is_not_in_is_told_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: int) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "fchown", refused)
    group = grp.getgrgid(os.getegid()).gr_name
    with pytest.raises(OSError, match=r'must be a member of paths\.group "') as told:
        BoundPublisher(tmp_path / "bound", group=group)
    assert "writable" not in str(told.value)
    assert not list(tmp_path.iterdir())


ON_A_FULL_FOLDER = """
import sys
from pathlib import Path
from appliance.bound.writer import BoundPublisher
folder = Path(sys.argv[1])
try:
    with (folder / "filler").open("wb", buffering=0) as filler:
        while filler.write(bytes(4096)):
            pass
except OSError:
    pass
try:
    BoundPublisher(folder / "bound")
except OSError as error:
    print(error, [item.name for item in folder.iterdir()])
"""


def test_on_a_full_tmpfs_it_is_an_error_and_not_a_signal(tmp_path: Path) -> None:
    inside = f'mount -t tmpfs -o size=16k none {tmp_path} && exec {sys.executable} -c "$0" {tmp_path}'
    unshare = ["unshare", "--mount", "--map-root-user"]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"], check=False).returncode:
        missing("unshare --mount --map-root-user")
    done = subprocess.run(
        [*unshare, "sh", "-c", inside, ON_A_FULL_FOLDER], check=False, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert "(No space left on device): free some space there" in done.stdout
    assert done.stdout.endswith("['filler']\n")


@pytest.mark.parametrize(
    ("why", "cure"),
    [
        (Refusal.STALE, "restart core"),
        (Refusal.OTHER_CLOCKS, "use /run and time namespace of the host"),
        (Refusal.UNKNOWN, "wait until it is locked"),
    ],
)
def test_a_refusal_says_what_to_do(why: Refusal, cure: str) -> None:
    assert cure in str(BoundRefusedError(why))


LEAP_S = 1_798_761_600 + 37
"""2027-01-01 00:00:00 UTC, by TAI - UTC = 37 s."""


@pytest.mark.parametrize("change_s", [1, -1])
def test_utc_is_right_before_in_and_after_a_leap_second(change_s: int) -> None:
    coming = ComingLeap(change_s, LEAP_S + change_s)
    leap = LeapJudgement(tai_minus_utc_s=37, valid=True, coming=coming, why="test")
    report = report_at(0, leap=leap, leap_tai_s=LEAP_S - 3)
    state = map_at(0, anchor_tai_ns=(LEAP_S - 2) * S, error_ns=0.0, valid_until_raw_ns=5 * S)
    data = page_data(report, state).pack()
    said = []
    for tenths in range(0, 50, 5):
        bound = evaluate(data, tenths * S // 10)
        assert (bound.leap_change_s, bound.leap_at_tai_ns) == (change_s, (LEAP_S + change_s) * S)
        utc = bound.utc()
        middle_ns = (utc.earliest_ns + utc.latest_ns) // 2 if tenths % 10 else utc.latest_ns
        said.append((round(middle_ns / (S / 10)) - (LEAP_S - 37) * 10, utc.latest_in_leap))
    expected = {
        1: [(-20, 0), (-15, 0), (-10, 0), (-5, 0), (-10, 1), (-5, 1), (0, 0), (5, 0), (10, 0), (15, 0)],
        -1: [(-20, 0), (-15, 0), (0, 0), (5, 0), (10, 0), (15, 0), (20, 0), (25, 0), (30, 0), (35, 0)],
    }
    assert said == expected[change_s]


def test_utc_is_refused_while_the_sources_do_not_agree() -> None:
    leap = LeapJudgement(tai_minus_utc_s=37, valid=False, coming=None, why="no majority")
    bound = evaluate(page_data(report_at(0, leap=leap), map_at(0)).pack(), S)
    with pytest.raises(BoundRefusedError, match="offset between TAI and UTC") as refused:
        bound.utc()
    assert refused.value.refusal is Refusal.UTC_UNKNOWN


def test_order_is_told_only_where_intervals_do_not_meet() -> None:
    line = Line(
        anchor_raw_ns=0,
        anchor_tai_ns=TAI0,
        valid_until_raw_ns=S,
        rate_ppb=0.0,
        error_ns=100.0,
        error_wide_ns=100.0,
        growth_ns_per_s=0.0,
        reading_ns=0.0,
        reading_growth_ns_per_s=0.0,
    )
    page = PageData(
        card=line, host=line, p=0.999, epoch=0, state=ClockState.LOCKED, clock_class=6, utc=UtcWords()
    ).pack()
    first, near, far = (evaluate(page, after_ns) for after_ns in (0, 200, 210))
    assert is_before(first, far) and not is_before(far, first)
    assert not is_before(first, near) and not is_before(near, first) and not is_before(first, first)


def test_data_of_another_size_are_refused_where_they_come_in(tmp_path: Path) -> None:
    for data in (b"", bytes(_native.DATA_SIZE - 1), bytes(_native.DATA_SIZE + 8)):
        with pytest.raises(ValueError, match=f"must be {_native.DATA_SIZE} bytes"):
            evaluate(data, 0)
