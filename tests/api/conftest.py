"""A core that says what a test wants it to say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from appliance.board import StatusBoard
from appliance.core_report import (
    Announced,
    Bounds,
    CardReport,
    ClockMapReport,
    CoreReport,
    ProcessReport,
    PtpReport,
)
from appliance.ensemble_report import ensemble_report
from appliance.ipc import CoreError, CoreServer
from appliance.leap.report import leap_report
from appliance.reporting import clock_report, gnss_report, holdover_report, oscillator_report
from appliance.snapshot import ClockSnapshot, ClockState, HoldoverLimit
from appliance.timescale.holdover import Growth
from tests.api.publishing import Publishing
from timecard.values import (
    AntennaStatus,
    FixType,
    GnssFix,
    JammingState,
    LeapInfo,
    OscillatorIdentity,
    OscillatorStatus,
    PulseLabel,
    ReceiverIdentity,
    RfStatus,
    SatelliteView,
    SpoofingState,
    SurveyStatus,
)

NOW_NS = 7_200_000_000_000
"""CLOCK_MONOTONIC_RAW of the tests: two hours after boot."""
TAI_NS = 1_795_310_242_000_000_123
"""Beyond 2**53, so that a JSON number would lose digits."""

SNAPSHOT = ClockSnapshot(
    state=ClockState.LOCKED,
    since_mono_ns=NOW_NS - 3_600_000_000_000,
    reasons=("innovations are consistent with the model",),
    alarms=(),
    epoch=1,
    as_of_mono_ns=NOW_NS,
    as_of_tai_ns=TAI_NS,
    void_after_mono_ns=NOW_NS + 5_000_000_000,
    offset_ns=1.5,
    offset_sigma_ns=0.8,
    last_sample_ns=2.25,
    frequency_ppb=-3.125,
    oscillator_ppb=3.1,
    oscillator_sigma_ppb=0.02,
    bound_ns=58.0,
    bound_wide_ns=61.0,
    bias_ns=52.0,
    p=0.999,
    drift_ppb=0.4,
    holdover_since_mono_ns=None,
    holdover_ready=True,
    not_ready_reasons=(),
    limits=(
        HoldoverLimit(limit_ns=250.0, p=0.999, kind="at", seconds=40_000.0),
        HoldoverLimit(limit_ns=1e9, p=0.999, kind="at", seconds=float("inf")),
    ),
    topology="B",
    tai_minus_utc_s=37,
    leap_change_s=0,
    counters={"samples": 3600, "rejected": 2},
)

GROWTH = Growth(50.0, 0.005, np.array([1.0, 1e3, 1e6]), np.array([0.01, 10.0, 1e4]))
"""Sigma grows by 0.01 ns a second, on 50 ns of biases."""

BOARD = StatusBoard(
    fix=GnssFix(
        epoch_tai_ns=TAI_NS,
        fix=FixType.TIME_ONLY,
        fix_ok=True,
        time_valid=True,
        utc_resolved=True,
        time_accuracy_ns=4.0,
        satellites_used=24,
        read_mono_ns=NOW_NS,
    ),
    leap=LeapInfo(tai_minus_utc_s=37, change_s=0, seconds_to_event=None, source="gps", read_mono_ns=NOW_NS),
    survey=SurveyStatus(active=False, valid=True, duration_s=1200, position_sigma_m=1.1, read_mono_ns=NOW_NS),
    rf=RfStatus(
        antenna=AntennaStatus.OK,
        antenna_powered=True,
        jamming=JammingState.OK,
        jamming_indicator=7,
        spoofing=SpoofingState.NONE,
        read_mono_ns=NOW_NS,
    ),
    satellites=SatelliteView(
        seen=31, used=24, median_cno_dbhz=43.0, by_system={"GPS": 11, "Galileo": 13}, read_mono_ns=NOW_NS
    ),
    pulse=PulseLabel(edge_tai_ns=TAI_NS, qerr_ns=-1.25, pulse_locked=True, read_mono_ns=NOW_NS),
    receiver=ReceiverIdentity(model="ZED-F9T", firmware="TIM 2.25", protocol="29.25", read_mono_ns=NOW_NS),
    oscillator=OscillatorStatus(
        locked=True,
        lock_progress_percent=100,
        frequency_ppb=-3.125,
        phase_ns=1.35,
        pps_detected=True,
        temperature_mdegc=44_500,
        alarms=0,
        alarm_names=(),
        read_mono_ns=NOW_NS - 400_000_000,
    ),
    last_gnss_mono_ns=NOW_NS - 200_000_000,
    counters=Counter({"GnssFix": 3600, "PulseLabel": 3600}),
)
IDENTITY = OscillatorIdentity(family="sa5x", model="SA53", serial="2303SA50042", firmware="1.0.9")


def build_report(snapshot: ClockSnapshot, *, board: StatusBoard = BOARD, **changes: Any) -> CoreReport:
    """The report of a card with an SA53, PTP served on eth0."""
    now_ns = snapshot.as_of_mono_ns
    nothing = "nothing is claimed in this state"
    bound_ns, wide_ns = snapshot.bound_ns, snapshot.bound_wide_ns
    values: dict[str, Any] = {
        "as_of_mono_ns": now_ns,
        "valid_until_mono_ns": snapshot.void_after_mono_ns,
        "as_of_tai_ns": snapshot.as_of_tai_ns,
        "clock": clock_report(snapshot),
        "leap": leap_report(snapshot),
        "ensemble": ensemble_report(None),
        "bounds": Bounds.partial(
            nothing,
            card_ns=bound_ns,
            host_ns=bound_ns and bound_ns + 100,
            port={"eth0": bound_ns and bound_ns + 1000},
        ),
        "bounds_wide": Bounds.partial(
            nothing,
            card_ns=wide_ns,
            host_ns=wide_ns and wide_ns + 100,
            port={"eth0": wide_ns and wide_ns + 1000},
        ),
        "announced": Announced(
            clock_class=6,
            clock_accuracy=0x25,
            offset_scaled_log_variance=0x4E5D,
            priority1=128,
            priority2=128,
            time_source=0x20,
            time_traceable=True,
            frequency_traceable=True,
            current_utc_offset_s=37,
            current_utc_offset_valid=True,
            leap59=False,
            leap61=False,
        ),
        "holdover": holdover_report(
            snapshot,
            budget_ns=1000.0,
            temperature_assumption="within 5 K of the last hour",
            excluded_events=("frequency jumps above 0.05 ppb",),
            growth=None if bound_ns is None else GROWTH,
        ),
        "gnss": gnss_report(board, now_ns),
        "oscillator": oscillator_report(board, IDENTITY, now_ns),
        "ptp": PtpReport(
            enabled=True,
            profile="meta",
            domain=0,
            grandmaster_identity="0001c0fffe112233",
            ports=(319, 320),
            addresses=("0.0.0.0",),
            interfaces=("eth0",),
            timestamping={"eth0": "software"},
            contracts=12,
            counters={"sptp_requests": 100},
        ),
        "card": CardReport(
            id="0001c0112233",
            access_path="/run/time-appliance/card.sock",
            image_version="0x0000000d",
            core_version="1.3.0",
            clock_source="REGS",
            pps_selector="MAC",
            sma={"sma1": "IN: PPS1"},
            faults=(),
        ),
        "clock_maps": {
            "host": ClockMapReport(
                method="ptm", half_width_ns=4.0, error_ns=60.0, rate_ppb=-11_000.0, age_s=0.1
            )
        },
        "process": ProcessReport(pid=4242, version="0.1.0", started_mono_ns=NOW_NS - 3_700_000_000_000),
        **changes,
    }
    return CoreReport.partial("the card's clock could not be read: card lost", **values)


class FakeTimebase:
    """A monotonic clock that stands still until told otherwise."""

    def __init__(self) -> None:
        self.now_ns = NOW_NS

    def mono_ns(self) -> int:
        return self.now_ns

    def sleep_s(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


class FakeCore:
    """Implements ``CoreLike``: a report, or an error."""

    def __init__(self) -> None:
        self.timebase = FakeTimebase()
        self.answer: CoreReport | CoreError = build_report(SNAPSHOT)
        self.asked = 0

    def report(self) -> CoreReport:
        self.asked += 1
        if isinstance(self.answer, CoreError):
            raise self.answer
        return self.answer

    def show(self, **changes: Any) -> None:
        """Report a snapshot that differs from the usual one."""
        self.answer = build_report(replace(SNAPSHOT, **changes))


@pytest.fixture
def core() -> FakeCore:
    """A locked clock, one hour after start."""
    return FakeCore()


@pytest.fixture
def report_of() -> Callable[..., CoreReport]:
    """A report of a snapshot that differs from the usual one; ``changes`` replace whole sections."""

    def make(changes: dict[str, Any] | None = None, **snapshot: Any) -> CoreReport:
        return build_report(replace(SNAPSHOT, **snapshot), **(changes or {}))

    return make


@pytest.fixture
def published(tmp_path: Path, report_of: Callable[..., CoreReport]) -> Iterator[Publishing]:
    """A core that answers on the socket of ``--runtime-dir``."""
    handler = Publishing(report_of)
    with CoreServer(tmp_path / "core.sock", handler):
        yield handler
