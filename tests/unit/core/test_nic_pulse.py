"""The card's pulse stamped by a NIC: seconds are named by the brackets, foreign pulses are refused."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from appliance.clock_map import MapState
from appliance.nic_clock import NicClock
from appliance.nic_pulse import NicPulse
from tests.unit.core.nic_host import Host, line, nic_of
from timecard.errors import DeviceLostError
from timecard.kernel.phc_values import ExttsEvent

S = 1_000_000_000
TAI0 = 1_700_000_037 * S
CABLE_NS = 25


class Stamps:
    """A NIC's queue of stamps, and what was asked of it."""

    name = "/dev/ptp0"

    def __init__(self) -> None:
        self.waiting: list[ExttsEvent] = []
        self.closed: list[object] = []

    def read_events(self, timeout_s: float) -> Sequence[ExttsEvent]:
        assert timeout_s == 0
        events, self.waiting = self.waiting, []
        return events

    def disable_extts(self, channel: int) -> None:
        self.closed.append(channel)

    def close(self) -> None:
        self.closed.append("closed")


def rig() -> tuple[Host, Stamps, NicPulse, NicClock]:
    host, stamps = Host(), Stamps()
    pulse = NicPulse(stamps, 1, delay_ns=CABLE_NS, uncertainty_ns=3.0)
    return host, stamps, pulse, nic_of(host, pulse=pulse)


def run(host: Host, stamps: Stamps, nic: NicClock, first: int, seconds: int, *, late_ns: int = 0) -> MapState:
    state = None
    for k in range(first * 10, (first + seconds) * 10):
        host.raw_ns = k * S // 10
        if k % 10 == 0:
            stamps.waiting.append(ExttsEvent(0, 12345))
            stamps.waiting.append(ExttsEvent(1, host.phc_ns(host.raw_ns) + CABLE_NS + late_ns))
        state = nic.sample(line(host))
    assert state is not None
    return state


def test_the_line_is_that_of_the_pulses() -> None:
    host, stamps, pulse, nic = rig()
    state = run(host, stamps, nic, 1, 30)
    assert state.method == "pps"
    assert state.error_ns <= 40
    later_ns = 32 * S
    assert abs(state.tai_ns(host.phc_ns(later_ns)) - (TAI0 + later_ns)) <= 3
    assert pulse.rejected == 0


def test_brackets_serve_until_there_are_pulses_and_after_they_stop() -> None:
    host, stamps, _, nic = rig()
    assert nic.sample(line(host)) is not None
    assert nic.state is not None and nic.state.method == "bracket"
    run(host, stamps, nic, 1, 10)
    for k in range(110, 150):
        host.raw_ns = k * S // 10
        state = nic.sample(line(host))
    assert state is not None and state.method == "bracket"


def test_a_pulse_that_is_not_the_cards_is_refused() -> None:
    host, stamps, pulse, nic = rig()
    run(host, stamps, nic, 1, 2)
    state = run(host, stamps, nic, 3, 10, late_ns=400_000)
    assert state.method == "bracket"
    assert pulse.rejected == 10


def test_a_step_forgets_the_line_and_closing_switches_the_channel_off() -> None:
    host, stamps, pulse, nic = rig()
    run(host, stamps, nic, 1, 5)
    nic.reset()
    assert pulse.state is None
    nic.close()
    assert stamps.closed == [1, "closed"]


def test_a_nic_that_goes_away_is_a_lost_device() -> None:
    host, stamps, _, nic = rig()

    def gone(timeout_s: float) -> Sequence[ExttsEvent]:
        raise DeviceLostError("/dev/ptp0", "read events", "the clock has gone")

    stamps.read_events = gone  # type: ignore[method-assign]  # this one alone is gone
    with pytest.raises(DeviceLostError):
        nic.sample(line(host))
