"""Serial ports, their holders, memories over I2C and the flash: on what this host's kernel offers."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from timecard.boards.board import EepromChip
from timecard.errors import DeviceAbsentError, DeviceLostError, RefusedError, TimeCardError, UnsupportedError
from timecard.kernel.holders import holders
from timecard.kernel.memories import I2cMemory
from timecard.kernel.mtd import MtdFlash
from timecard.kernel.serial_port import TtyStream


@pytest.fixture
def line() -> Iterator[tuple[int, Path]]:
    """A pseudo-terminal: our end and the port's path. The kernel's tty layer is the real one."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    path = Path(os.ttyname(theirs))
    os.close(theirs)
    yield ours, path
    with contextlib.suppress(OSError):
        os.close(ours)


def test_bytes_go_both_ways(line: tuple[int, Path]) -> None:
    ours, path = line
    stream = TtyStream(path, 115_200, "GNSS")
    assert stream.read(10, 0.0) == b""
    os.write(ours, b"\x00\xff\r\n\x03\x11hello")
    got = b""
    while len(got) < 11:
        got += stream.read(100, 1.0)
    assert got == b"\x00\xff\r\n\x03\x11hello"
    stream.write(b"\xb5b\n\r\x13")
    assert os.read(ours, 100) == b"\xb5b\n\r\x13"
    stream.set_baud(9_600)
    assert stream.baud == 9_600
    stream.close()
    stream.close()
    with pytest.raises(DeviceLostError, match="closed"):
        stream.read(1, 0.0)


def test_at_most_what_was_asked_for(line: tuple[int, Path]) -> None:
    ours, path = line
    stream = TtyStream(path, 115_200, "GNSS")
    os.write(ours, b"abcdef")
    assert stream.read(2, 1.0) == b"ab"
    assert stream.read(100, 1.0) == b"cdef"
    stream.close()


def test_a_port_that_goes_is_lost(line: tuple[int, Path]) -> None:
    ours, path = line
    stream = TtyStream(path, 115_200, "GNSS")
    os.close(ours)
    with pytest.raises(DeviceLostError):
        stream.read(1, 1.0)
    stream.close()


@contextlib.contextmanager
def program_on(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another program that has the port open and takes no care of locks."""
    script = (
        f"import os,sys; f = os.open({str(path)!r}, os.O_RDWR | os.O_NOCTTY);"
        " print('.', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-S", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as program:
        assert program.stdout is not None and program.stdout.read(1) == b"."
        try:
            yield program
        finally:
            program.communicate(timeout=10)


def test_a_port_that_is_held_names_the_program(line: tuple[int, Path]) -> None:
    _, path = line
    with program_on(path) as program:
        assert [holder.pid for holder in holders(path)] == [program.pid]
        with pytest.raises(RefusedError, match=rf"held by process {program.pid} \(python"):
            TtyStream(path, 115_200, "MAC")
    assert holders(path) == ()
    TtyStream(path, 115_200, "MAC").close()


def test_a_second_opening_of_our_own_is_refused(line: tuple[int, Path]) -> None:
    _, path = line
    first = TtyStream(path, 115_200, "GNSS")
    with pytest.raises(TimeCardError):
        TtyStream(path, 115_200, "GNSS")
    first.close()


def test_ports_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DeviceAbsentError):
        TtyStream(Path("/dev/ttyS4711"), 115_200, "GNSS")
    file = tmp_path / "file"
    file.write_bytes(b"")
    for path in (file, tmp_path, Path("/dev/null")):
        with pytest.raises(TimeCardError):
            TtyStream(path, 115_200, "GNSS")


def test_an_impossible_rate_is_refused(line: tuple[int, Path]) -> None:
    _, path = line
    with pytest.raises(RefusedError):
        TtyStream(path, -5, "GNSS")


def test_holders_of_nothing(tmp_path: Path) -> None:
    assert holders(tmp_path / "nothing") == ()
    assert holders(tmp_path) == ()
    assert holders(Path("/dev/null"), proc=tmp_path) == ()


def test_what_is_no_flash(tmp_path: Path) -> None:
    file = tmp_path / "mtd0"
    file.write_bytes(b"\0" * 100)
    for path in (file, Path("/dev/null"), tmp_path / "absent", tmp_path):
        with pytest.raises(TimeCardError):
            MtdFlash(path)


def test_what_is_no_i2c_bus(tmp_path: Path) -> None:
    chip = EepromChip(part="24c02", address=0x50, size=256)
    for path in (Path("/dev/null"), tmp_path / "absent"):
        memory = I2cMemory(path, chip)
        with pytest.raises(TimeCardError):
            memory.read(0, 4)
        with pytest.raises(TimeCardError):
            memory.write(0, b"abcd")
        with pytest.raises(RefusedError):
            memory.read(255, 2)
    with pytest.raises((UnsupportedError, DeviceLostError, DeviceAbsentError)):
        I2cMemory(tmp_path / "absent", chip).read(0, 1)
