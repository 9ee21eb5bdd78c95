"""The NIC's clock is followed through the kernel's brackets; a step of the host's clock spoils one sample."""

from __future__ import annotations

import struct

import pytest

from appliance.nic_clock import NicClock
from tests.unit.core.nic_host import TAI0, Host, S, line
from timecard.errors import DeviceLostError, ProtocolError, TimeCardError


def test_phc_stamps_become_tai() -> None:
    host = Host()
    nic = NicClock(0, ioctl=host.ioctl, clocks=host.clocks)
    for k in range(60):
        host.raw_ns = k * S // 10
        state = nic.sample(line(host))
    assert state is not None
    later_ns = 6 * S
    assert abs(state.tai_ns(host.phc_ns(later_ns)) - (TAI0 + later_ns)) <= 5
    assert abs(state.rate_ppb + 7_000) < 1
    assert state.error_ns >= 60 + 200 + 20, "biases add up: the map's, the bracket's, the clocks' reading"


def test_a_step_of_the_host_within_a_comparison_is_no_sample() -> None:
    host = Host()
    nic = NicClock(0, ioctl=host.ioctl, clocks=host.clocks)
    assert nic.sample(line(host)) is not None
    host.step_during_read_ns = 1_000_000
    assert nic.sample(line(host)) is None
    host.step_during_read_ns = 0
    assert nic.sample(line(host)) is not None


def test_a_nic_that_goes_away_is_a_lost_device() -> None:
    def gone(_fd: int, _request: int, _data: bytearray) -> None:
        raise OSError(5, "Input/output error")

    with pytest.raises(DeviceLostError, match="/dev/ptp3"):
        NicClock(3, ioctl=gone).sample(line(Host()))


def test_brackets_that_run_backwards_are_refused() -> None:
    def backwards(_fd: int, _request: int, data: bytearray) -> None:
        for k in range(5):
            struct.pack_into("=qI4xqI4xqI4x", data, 16 + 48 * k, 10, 5, 1, 0, 6, 0)

    with pytest.raises(ProtocolError, match="ends before"):
        NicClock(0, ioctl=backwards).sample(line(Host()))


def test_a_missing_device_is_named() -> None:
    with pytest.raises(TimeCardError, match="/dev/ptp250"):
        NicClock(250)
