"""A PTP hardware clock on what a host without one has: other nodes, whose answers are the kernel's own."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from timecard.errors import (
    CardPermissionError,
    DeviceAbsentError,
    DeviceLostError,
    ProtocolError,
    RefusedError,
    TimeCardError,
    UnsupportedError,
)
from timecard.kernel.edges import EdgeQueue, KernelTimestamper
from timecard.kernel.phc import Phc
from timecard.kernel.phc_values import ExttsEvent
from timecard.kernel.ptp_abi import PinFunction
from timecard.timebase import HostTimebase


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[tuple[Phc, int]]:
    """A pipe in the place of the clock: it can be waited for and read like one."""
    path = tmp_path / "ptp0"
    os.mkfifo(path)
    with Phc(path) as phc:
        writer = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        yield phc, writer
        os.close(writer)


def event(seconds: int, ns: int, channel: int) -> bytes:
    return struct.pack("=qIIIIII", seconds, ns, 0, channel, 1, 0, 0)


def test_no_such_clock() -> None:
    with pytest.raises(DeviceAbsentError, match="/dev/ptp4711"):
        Phc(Path("/dev/ptp4711"))


def test_every_request_to_what_is_no_clock_is_a_typed_error() -> None:
    with Phc(Path("/dev/null")) as phc:
        for unsupported in (
            phc.capabilities,
            phc.precise,
            lambda: phc.enable_extts(0),
            lambda: phc.disable_extts(0),
            lambda: phc.pin(0),
            lambda: phc.set_pin(0, PinFunction.PEROUT, 1),
            lambda: phc.brackets(5),
            lambda: phc.plain_brackets(5),
            lambda: phc.start_perout(1, 10**9, start_ns=5, on_ns=3),
            lambda: phc.stop_perout(1),
        ):
            with pytest.raises(UnsupportedError):
                unsupported()
        for other in (
            phc.now_ns,
            lambda: phc.set_ns(5),
            lambda: phc.adjust_ns(-5),
            lambda: phc.set_frequency_ppb(1.0),
            phc.frequency_ppb,
        ):
            with pytest.raises(TimeCardError):
                other()


def test_values_that_no_structure_holds_are_refused() -> None:
    with Phc(Path("/dev/null")) as phc:
        for attempt in (
            lambda: phc.set_ns(1 << 80),
            lambda: phc.adjust_ns(1 << 100),
            lambda: phc.set_frequency_ppb(float("nan")),
            lambda: phc.set_frequency_ppb(1e30),
            lambda: phc.start_perout(1, 1 << 100, start_ns=0),
            lambda: phc.start_perout(1, -1, start_ns=0, phase_ns=0),
        ):
            with pytest.raises(RefusedError):
                attempt()


def test_a_closed_clock_is_a_lost_one() -> None:
    phc = Phc(Path("/dev/null"))
    phc.close()
    phc.close()
    for attempt in (phc.now_ns, phc.capabilities, lambda: phc.read_events(0), lambda: phc.adjust_ns(1)):
        with pytest.raises(DeviceLostError, match="closed"):
            attempt()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_clock_for_reading_only(tmp_path: Path) -> None:
    path = tmp_path / "ptp0"
    path.write_bytes(b"")
    path.chmod(0o400)
    with Phc(path) as phc:
        assert not phc.writable
        with pytest.raises(CardPermissionError):
            phc.set_ns(0)


def test_events_are_decoded(queue: tuple[Phc, int]) -> None:
    phc, writer = queue
    assert list(phc.read_events(0.0)) == []
    os.write(writer, event(1_795_315_038, 5, 5) + event(1_795_315_039, 999_999_999, 0))
    assert list(phc.read_events(1.0)) == [
        ExttsEvent(5, 1_795_315_038_000_000_005),
        ExttsEvent(0, 1_795_315_039_999_999_999),
    ]


def test_a_torn_event_is_refused(queue: tuple[Phc, int]) -> None:
    phc, writer = queue
    os.write(writer, event(1, 2, 3)[:31])
    with pytest.raises(ProtocolError, match="no whole events"):
        phc.read_events(0.0)


def test_events_are_sorted_by_channel_and_counted(queue: tuple[Phc, int]) -> None:
    phc, writer = queue
    edges = EdgeQueue(phc, HostTimebase())
    os.write(writer, event(1, 0, 0))  # before anybody asked
    edges.open(0)
    edges.open(5)
    ts0, ts5 = KernelTimestamper(phc, edges, "ts0"), KernelTimestamper(phc, edges, "ts5")
    for second in range(3):
        os.write(writer, event(second, 7, 5) + event(second, 9, 0) + event(second, 1, 3))
    got = [ts0.poll(), ts0.poll(), ts5.poll(), ts5.poll(), ts5.poll(), ts0.poll(), ts0.poll()]
    assert [(g.channel, g.card_tai_ns, g.event_count, g.dropped) for g in got if g] == [
        ("ts0", 9, 1, False),
        ("ts0", 1_000_000_009, 2, False),
        ("ts5", 7, 1, False),
        ("ts5", 1_000_000_007, 2, False),
        ("ts5", 2_000_000_007, 3, False),
        ("ts0", 2_000_000_009, 3, False),
    ]
    assert got[-1] is None
    assert not ts0.wait(0.0)
    os.write(writer, event(3, 9, 0))
    assert ts0.wait(1.0)


def test_an_overrun_is_told_once(queue: tuple[Phc, int]) -> None:
    phc, writer = queue
    edges = EdgeQueue(phc, HostTimebase())
    edges.open(0)
    for second in range(128):
        os.write(writer, event(second, 0, 0))
    stamper = KernelTimestamper(phc, edges, "ts0")
    first, second_stamp = stamper.poll(), stamper.poll()
    assert first is not None and first.dropped
    assert second_stamp is not None and not second_stamp.dropped


def test_a_delay_or_an_absent_channel_is_unsupported() -> None:
    with Phc(Path("/dev/null")) as phc:
        stamper = KernelTimestamper(phc, EdgeQueue(phc, HostTimebase()), "ts1")
        with pytest.raises(UnsupportedError, match="40 ns"):
            stamper.enable(cable_delay_ns=40)
        # What is no clock has no channel either.
        with pytest.raises((UnsupportedError, ProtocolError, DeviceLostError)):
            stamper.enable()
        assert not stamper.enabled


@pytest.mark.parametrize("others", [True, False])
def test_a_channel_that_others_use_stays_on(
    queue: tuple[Phc, int], monkeypatch: pytest.MonkeyPatch, others: bool
) -> None:
    phc, _ = queue
    asked: list[str] = []
    monkeypatch.setattr(phc, "enable_extts", lambda channel: asked.append(f"on {channel}"))
    monkeypatch.setattr(phc, "disable_extts", lambda channel: asked.append(f"off {channel}"))
    stamper = KernelTimestamper(phc, EdgeQueue(phc, HostTimebase()), "ts5", lambda channel: others)
    stamper.enable()
    stamper.enable()
    stamper.release()
    assert asked == ["on 5", "on 5"] + ([] if others else ["off 5"])
    assert not stamper.enabled


def test_a_channel_that_another_program_switched_off_is_switched_on_again(
    queue: tuple[Phc, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    phc, feed = queue
    asked: list[int] = []
    monkeypatch.setattr(phc, "enable_extts", asked.append)
    monkeypatch.setattr(phc, "disable_extts", lambda channel: None)
    now_ns = 0
    timebase = HostTimebase()
    monkeypatch.setattr(HostTimebase, "mono_ns", lambda self: now_ns)
    stamper = KernelTimestamper(phc, EdgeQueue(phc, timebase), "ts5")
    stamper.enable()
    for seconds, known in ((2.9, 1), (0.2, 2), (2.9, 2), (0.2, 3)):
        now_ns += round(seconds * 10**9)
        assert stamper.poll() is None
        assert len(asked) == known
    os.write(feed, event(1, 0, 5))
    assert stamper.poll() is not None
    now_ns += 2_900_000_000
    assert stamper.poll() is None
    assert len(asked) == 3
    stamper.disable()
