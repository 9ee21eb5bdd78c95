"""Capture packs: what goes in, of a healthy part and of one that falls ill."""

from __future__ import annotations

import errno
import itertools
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.unit.emulator_devices.wire import START_NS, SteadyPulses, Wire
from timecard.emulator.models import OSCILLATORS
from timecard.emulator.oscillator import model_oscillator
from timecard.emulator.sa5x import EmulatedSa5x
from timecard.emulator.world import VirtualTime
from timecard.errors import DeviceAbsentError, DeviceLostError, DeviceTimeoutError, TimeCardError
from timecard.mac import log
from timecard.mac.log import (
    Capture,
    RecordingRateStream,
    RecordingStream,
    capture,
    recorded,
    telemetry_csv,
    write_pack,
)
from timecard.mac.oscillators.sa5x import Sa5x
from timecard.protocols import RateStream
from timecard.values import Reading


class Bench:
    def __init__(self) -> None:
        self.time = VirtualTime(START_NS)
        oscillator = model_oscillator(OSCILLATORS["sa53"], 1, START_NS)
        self.part = EmulatedSa5x(oscillator, SteadyPulses(), START_NS)
        self.wire = Wire(self.part, self.time)
        self.stream = RecordingStream(self.wire, self.time.true_tai_ns)
        self.driver = Sa5x(self.stream, self.time)
        self.time.sleep_s(3.5)

    def listen(self, seconds: float, **options: Any) -> Capture:
        return capture(
            self.driver,
            self.stream,
            self.time,
            seconds=seconds,
            now_unix_ns=self.time.true_tai_ns,
            **options,
        )


def test_rounds_come_at_their_interval() -> None:
    bench = Bench()
    told: list[tuple[int, int]] = []
    heard = bench.listen(20, interval_s=2.0, progress=lambda done, total: told.append((done, total)))
    assert heard.identity is not None
    assert heard.identity.serial == "1209CS00909"
    assert (len(heard.rounds), heard.failures) == (10, ())
    starts = [at_ns for at_ns, _ in heard.rounds]
    assert all(b - a == 2_000_000_000 for a, b in itertools.pairwise(starts))
    assert told == [(number, 10) for number in range(1, 11)]


def test_raw_lines_have_time_direction_text_and_bytes() -> None:
    time = VirtualTime(START_NS)

    class Echo:
        name = "echo"
        baud = 57_600

        def read(self, max_bytes: int, timeout_s: float) -> bytes:
            return b'"\\\r\n\t\x00\xff'

        def set_baud(self, baud: int) -> None:
            self.baud = baud

        def write(self, data: bytes) -> None:
            time.sleep_s(0.5)

    stream = recorded(Echo(), time.true_tai_ns)
    assert isinstance(stream, RecordingRateStream)
    stream.write(b"{device?}")
    stream.read(10, 0)
    stream.mark("end")
    assert isinstance(stream, RateStream)
    assert {"baud", "set_baud"} <= set(vars(type(stream)))  # Python 3.12 asks no ``__getattr__``
    assert stream.baud == 57_600
    assert stream.text() == (
        f'{START_NS} TX "{{device?}}" 7b6465766963653f7d\n'
        f'{START_NS + 500_000_000} RX "\\"\\\\\\r\\n\\t\\x00\\xff" 225c0d0a0900ff\n'
        f'{START_NS + 500_000_000} MARK "end" 656e64\n'
    )
    stream.set_baud(9_600)
    assert stream.baud == 9_600
    assert stream.text().endswith(' MARK "9600 baud" 393630302062617564\n')
    assert not isinstance(recorded(Bench().wire), RateStream)


def test_a_part_that_falls_silent_ends_the_capture() -> None:
    bench = Bench()
    bench.listen(2)
    bench.part.silent = True
    heard = bench.listen(100)
    assert heard.identity is None
    assert heard.rounds == ()
    assert len(heard.failures) == 1 + log.MAX_FAILURES
    assert "no answer" in heard.failures[-1][1]
    assert 'MARK "wire: ' in bench.stream.text()


def test_a_lost_line_ends_it_at_once() -> None:
    bench = Bench()

    def lost(max_bytes: int, timeout_s: float) -> bytes:
        raise DeviceLostError("wire", "read", "gone")

    bench.wire.read = lost  # type: ignore[method-assign]  # this wire alone is cut
    with pytest.raises(DeviceLostError):
        bench.listen(5)


def test_the_raw_log_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "MAX_RAW_BYTES", 2_000)
    bench = Bench()
    bench.listen(20)
    assert len(bench.stream.text()) <= 2_000
    assert bench.stream.dropped > 100


def test_a_pack(tmp_path: Path) -> None:
    bench = Bench()
    heard = bench.listen(3)
    path = tmp_path / "pack.zip"
    write_pack(path, bench.stream, heard, "falls ill at noon")
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        facts = json.loads(archive.read(log.PACK))
        assert archive.read(log.RAW).decode() == bench.stream.text()
        assert archive.read(log.TELEMETRY).decode() == telemetry_csv(heard)
    assert (facts["format"], facts["rounds"], facts["failures"]) == ("timecard mac log 1", 3, [])
    assert facts["part"]["family"] == "sa5x"
    assert [each.name for each in tmp_path.iterdir()] == ["pack.zip"]
    with pytest.raises(DeviceAbsentError, match="capture pack"):
        write_pack(tmp_path / "nothing" / "pack.zip", bench.stream, heard)


def test_a_pack_that_cannot_be_finished_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench()
    heard = bench.listen(1)

    def full(heard: Capture) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(log, "telemetry_csv", full)
    with pytest.raises(TimeCardError, match="No space left"):
        write_pack(tmp_path / "pack.zip", bench.stream, heard)
    assert list(tmp_path.iterdir()) == []


def test_a_slow_part_gives_fewer_rounds() -> None:
    bench = Bench()
    begun_ns = bench.time.mono_ns()
    heard = bench.listen(5, interval_s=0.1)
    assert 1 < len(heard.rounds) < 50
    assert bench.time.mono_ns() - begun_ns < 8e9


def test_a_round_is_kept_when_the_rest_of_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()

    def fail() -> tuple[Reading, ...]:
        raise DeviceTimeoutError("wire", "get,TauPps0", "no answer")

    monkeypatch.setattr(bench.driver, "readings", fail)
    heard = bench.listen(3)
    assert (len(heard.rounds), len(heard.failures)) == (3, 3)


def test_telemetry_is_a_table_with_units() -> None:
    bench = Bench()
    table = telemetry_csv(bench.listen(2)).splitlines()
    assert table[0].startswith("unix_ns,locked,lock_progress_percent,frequency_ppb,phase_ns,pps_detected")
    assert len(table) == 3
    assert table[1].split(",")[1:3] == ["1", "100"]
    assert {"PowerSupply [mV]", "TauPps0 [s]"} <= set(table[0].split(","))
