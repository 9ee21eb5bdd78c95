"""The table of attributes, and reading and writing them: typed errors only, whatever a file holds."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.unit.kernel.driver_tree import ART_TEXTS, FB_TEXTS
from timecard.errors import (
    DeviceLostError,
    DeviceTimeoutError,
    ProtocolError,
    RefusedError,
    TimeCardError,
    UnsupportedError,
)
from timecard.kernel import attribute_text as text
from timecard.kernel import attributes as a
from timecard.kernel.sysfs import SysfsDevice


@pytest.fixture
def device(tmp_path: Path) -> SysfsDevice:
    (tmp_path / "ocp0").mkdir()
    return SysfsDevice(tmp_path / "ocp0", driver="mainline driver on kernel 6.12")


def put(device: SysfsDevice, name: str, data: bytes) -> None:
    path = device.path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)


def test_the_table_has_every_attribute_of_every_driver(shared_dir: Path) -> None:
    facts = json.loads((shared_dir / "reference/time-card-registers.json").read_text())["sysfs"]
    known = facts["attributes"]
    top = {name for names in known["mainline"].values() for name in names}
    top |= {*known["vendor_2025_extra_fb"], *known["vendor_current_extra_fb"]}
    ours = set(a.ATTRIBUTES)
    assert top - {n for n in ours if "/" not in n} == set()
    assert {f"gen/{n}" for n in (*known["gen_group"], *known["gen_group_vendor_current_extra"])} <= ours
    assert {f"freq/{n}" for n in known["freq_group"]} <= ours
    assert {f"tty/{n}" for n in facts["tty_dir_files"]} <= ours
    older = {"sma1_in", "sma2_in", "sma3_out", "sma4_out"}
    assert {n for n in ours if "/" not in n} - top - older == set()


@pytest.mark.parametrize(
    ("name", "shown"), sorted({**FB_TEXTS, **{f"art {k}": v for k, v in ART_TEXTS.items()}}.items())
)
def test_what_the_stock_driver_shows_is_understood(device: SysfsDevice, name: str, shown: str) -> None:
    name = name.removeprefix("art ")
    put(device, name, shown.encode())
    folder, _, last = name.rpartition("/")
    number = int(folder[-1]) if folder else None
    row = a.ATTRIBUTES[f"{folder.rstrip('1234')}/{last}" if folder else last]
    device.read(row, number)


@pytest.mark.parametrize(
    ("row", "shown", "value"),
    [
        (a.GNSS_SYNC, "LOST @ 2026-11-22T02:10:38", "2026-11-22 02:10:38+00:00"),
        (a.CLOCK_SOURCE, "(null)", "None"),
        (a.SMA[0], "IN: None", "SmaText(direction='in', names=('None',))"),
        (a.SMA[1], "IN:", "SmaText(direction='in', names=())"),
        (a.SMA[0], "IN: (null)", "SmaText(direction='in', names=('(null)',))"),
        (a.SMA_OLD[2], "GNSS", "SmaText(direction='out', names=('GNSS',))"),
        (a.TS_WINDOW_ADJUST, "-3", "-3"),
    ],
)
def test_special_texts(device: SysfsDevice, row: a.Attribute[Any], shown: str, value: str) -> None:
    put(device, row.name, f"{shown}\n".encode())
    read = device.read(row)
    assert str(getattr(read, "lost_since_utc", read)) == value


def test_a_start_is_not_padded(device: SysfsDevice) -> None:
    put(device, "gen2/start", b"1795315038.500\n")
    assert device.read(a.GEN_START, 2) == 1_795_315_038_000_000_500


def test_a_counter_without_result_reads_empty(device: SysfsDevice) -> None:
    for shown, value in (
        (b"", (None, None)),
        (b"error\n", (None, "error")),
        (b"10000001\n", (10_000_001, None)),
    ):
        put(device, "freq1/frequency", shown)
        result = device.read(a.FREQ_FREQUENCY, 1)
        assert (result.hz, result.error) == value
    put(device, "freq1/seconds", b"")
    with pytest.raises(ProtocolError, match="empty"):
        device.read(a.FREQ_SECONDS, 1)


def test_a_missing_attribute_names_the_driver(device: SysfsDevice) -> None:
    with pytest.raises(UnsupportedError, match=r"mainline driver on kernel 6\.12 has no such attribute"):
        device.read(a.HOLDOVER)


def test_a_missing_class_device_is_a_lost_one(device: SysfsDevice) -> None:
    device.path.rmdir()
    for attempt in (lambda: device.read(a.SERIALNUM), lambda: device.write(a.CLOCK_SOURCE, "PPS")):
        with pytest.raises(DeviceLostError):
            attempt()
    assert device.gone


@pytest.mark.parametrize(
    ("row", "value"),
    [
        (a.TS_WINDOW_ADJUST, -1),
        (a.FREQ_SECONDS, 256),
        (a.IRIG_B_MODE, 8),
        (a.HOLDOVER, 4),
        (a.TOD_CORRECTION, 1 << 31),
    ],
)
def test_out_of_range_is_refused_before_it_is_written(
    device: SysfsDevice, row: a.Attribute[int], value: int
) -> None:
    number = 1 if row.directory else None
    name = f"{row.directory}1/{row.name}" if number else row.name
    put(device, name, b"1\n")
    with pytest.raises(RefusedError, match=rf"{value} is outside"):
        device.write(row, value, number)
    assert (device.path / name).read_bytes() == b"1\n"


def test_read_only_attributes_are_not_written(device: SysfsDevice) -> None:
    put(device, "serialnum", b"00:00:00:00:00:00\n")
    with pytest.raises(RefusedError, match="read-only"):
        device.write(a.SERIALNUM, "02:00:00:00:00:01")


@pytest.mark.parametrize(
    ("row", "value", "written"),
    [
        (a.SMA[2], text.SmaText("out", ("GEN1",)), b"OUT: GEN1"),
        (a.SMA[2], text.SmaText("in", ("TS1", "TS2")), b"IN: TS1 TS2"),
        (a.TS_WINDOW_ADJUST, 0, b"0"),
        (a.TOD_CORRECTION, -5, b"-5"),
    ],
)
def test_what_is_written(device: SysfsDevice, row: a.Attribute[Any], value: object, written: bytes) -> None:
    put(device, row.name, b"")
    device.write(row, value)
    assert (device.path / row.name).read_bytes() == written


def test_the_kernel_itself_refuses_with_the_rule() -> None:
    """A file of this process that the kernel checks in the same way: the error numbers are real ones."""
    process = SysfsDevice(Path("/proc/self"))
    rule = "a number from -1000 to 1000"
    score = a.Attribute(name="oom_score_adj", parse=text.integer, write=lambda v: str(v), rule=rule)
    value = process.read(score)
    process.write(score, value)
    unparsable = a.Attribute(name="oom_score_adj", parse=text.line, write=lambda v: str(v), rule=rule)
    for refused in ("x", "99999"):
        with pytest.raises(RefusedError, match="the driver takes a number from -1000 to 1000"):
            process.write(unparsable, refused)
    assert process.read(score) == value


def test_files_that_are_no_attributes(device: SysfsDevice, tmp_path: Path) -> None:
    put(device, "serialnum", b"x" * 5000)
    with pytest.raises(ProtocolError, match="more than 4096 bytes"):
        device.read(a.SERIALNUM)
    (device.path / "clock_source").mkdir()
    with pytest.raises(UnsupportedError):
        device.read(a.CLOCK_SOURCE)
    os.mkfifo(device.path / "gnss_sync")
    with pytest.raises(TimeCardError):  # does not hang
        device.read(a.GNSS_SYNC)
    (device.path / "sma1").symlink_to(device.path / "sma1")
    with pytest.raises(TimeCardError):
        device.read(a.SMA[0])


@pytest.mark.parametrize("key", sorted(a.ATTRIBUTES))
def test_whatever_a_file_holds_the_errors_are_typed(
    key: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    row = a.ATTRIBUTES[key]
    device = SysfsDevice(tmp_path_factory.mktemp("fuzz"))
    number = 1 if row.directory in (a.GEN, a.FREQ) else None
    name = f"{row.directory}{number or ''}/{row.name}" if row.directory else row.name

    shown = next((v for k, v in FB_TEXTS.items() if k.replace("1", "", 1) == key or k == key), "1\n")
    alphabet = st.sampled_from("0123456789-+_ .:@TINOUSYCLmhz()\n\t\x00٣²é")
    near = st.builds(
        lambda at, what: (shown[:at] + what + shown[at:]).encode(),
        st.integers(0, 30),
        st.text(alphabet, max_size=6),
    )

    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.binary(max_size=200) | near)
    @example(b"\xff" * 4097)
    @example("٣".encode())
    @example(b"1_000\n")
    @example(b"9" * 4000)
    def fuzz(data: bytes) -> None:
        put(device, name, data)
        try:
            value = device.read(row, number)
        except (ProtocolError, UnsupportedError):
            return
        if row.write is not None and value is not None:
            try:
                device.write(row, value, number)
            except RefusedError:
                return
            except DeviceTimeoutError:
                raise AssertionError("a file has no timeout") from None
            if row is not a.SIGNAL:  # is written in another form than it is shown
                device.read(row, number)

    fuzz()
