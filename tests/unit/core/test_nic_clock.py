"""The NIC's clock is followed through the kernel; a step of the host's clock spoils one of its samples."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path

import pytest

from appliance.clock_map import MapState
from appliance.nic_clock import NicClock
from tests.unit.core.nic_host import (
    PTP_SYS_OFFSET_EXTENDED,
    PTP_SYS_OFFSET_PRECISE,
    TAI0,
    Host,
    PlayedPhc,
    S,
    line,
    nic_of,
)
from timecard.errors import DeviceLostError, ProtocolError, TimeCardError


def followed(host: Host, nic: NicClock) -> MapState:
    """The line after six seconds."""
    for k in range(1, 61):
        host.raw_ns = k * S // 10
        state = nic.sample(line(host))
    assert state is not None
    later_ns = host.raw_ns + S // 10
    assert abs(state.tai_ns(host.phc_ns(later_ns)) - (TAI0 + later_ns)) <= 5
    assert abs(state.rate_ppb + 7_000) < 1
    return state


def test_phc_stamps_become_tai() -> None:
    host = Host()
    state = followed(host, nic_of(host))
    assert state.method == "bracket"
    assert state.error_ns >= 60 + 200 + 20, "biases add up: the map's, the bracket's, the clocks' reading"


def test_brackets_of_the_raw_clock_need_no_reading_of_our_own() -> None:
    host = Host(raw_brackets=True)
    state = followed(host, nic_of(host))
    assert (state.method, state.half_width_ns) == ("bracket", 60 + 200)


def test_ptm_is_preferred() -> None:
    host = Host(raw_brackets=True, ptm=True)
    state = followed(host, nic_of(host))
    assert (state.method, state.half_width_ns) == ("ptm", 60 + 50)


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.ETIMEDOUT, errno.ENODEV])
def test_ptm_that_is_claimed_and_does_not_work_leaves_the_brackets(code: int) -> None:
    host = Host(ptm=True)
    asked = 0

    def answer(request: int, data: bytearray) -> None:
        nonlocal asked
        if request == PTP_SYS_OFFSET_PRECISE:
            asked += 1
            raise OSError(code, os.strerror(code))
        host.answer(request, data)

    assert followed(host, nic_of(host, answer=answer)).method == "bracket"
    assert asked <= 3


def test_a_step_of_the_host_within_a_comparison_is_no_sample() -> None:
    host = Host()
    nic = nic_of(host)
    assert nic.sample(line(host)) is not None
    host.step_during_read_ns = 1_000_000
    assert nic.sample(line(host)) is None
    host.step_during_read_ns = 0
    assert nic.sample(line(host)) is not None


def test_a_step_of_the_host_does_not_concern_brackets_of_the_raw_clock() -> None:
    host = Host(raw_brackets=True)
    host.step_during_read_ns = 1_000_000
    followed(host, nic_of(host))


def test_a_clock_open_for_reading_only_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[PlayedPhc] = []
    real_open = os.open

    def read_only(path: Path, flags: int) -> int:
        if flags & os.O_ACCMODE != os.O_RDONLY:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real_open(path, flags)

    def open_phc(path: Path) -> PlayedPhc:
        opened.append(PlayedPhc(path, host.answer))
        return opened[-1]

    host = Host()
    monkeypatch.setattr(os, "open", read_only)
    nic = NicClock(0, open_phc=open_phc, clocks=host.clocks)
    monkeypatch.undo()
    followed(host, nic)
    assert not opened[0].writable
    nic.close()
    assert opened[0].closed


def test_a_nic_that_goes_away_is_a_lost_device() -> None:
    def gone(_request: int, _data: bytearray) -> None:
        raise OSError(5, "Input/output error")

    nic = NicClock(3, open_phc=lambda path: PlayedPhc(path, gone))
    with pytest.raises(DeviceLostError, match="/dev/ptp3"):
        nic.sample(line(Host()))


def test_brackets_that_run_backwards_are_refused() -> None:
    """By 4 s: that is what ``ptp_ocp`` may do, of which a NIC's driver is not to be suspected."""
    host = Host()

    def backwards(request: int, data: bytearray) -> None:
        if request != PTP_SYS_OFFSET_EXTENDED:
            host.answer(request, data)
            return
        for k in range(5):
            struct.pack_into("=qI4xqI4xqI4x", data, 16 + 48 * k, 10, 5, 1, 0, 6, 0)

    with pytest.raises(ProtocolError, match="ends before"):
        nic_of(host, answer=backwards).sample(line(host))


def test_a_missing_device_is_named() -> None:
    with pytest.raises(TimeCardError, match="/dev/ptp250"):
        NicClock(250)
