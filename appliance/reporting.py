"""From the values inside core to the records it publishes: every unknown gets its reason here."""

from __future__ import annotations

import math
from enum import Enum
from typing import Final

import numpy as np

from appliance.board import StatusBoard
from appliance.core_report import (
    ClockReport,
    GnssReport,
    GrowthReport,
    HoldoverReport,
    LimitForecast,
    OscillatorReport,
)
from appliance.printable import shortened
from appliance.reported import NO_CARD_CLOCK
from appliance.snapshot import ClockSnapshot
from appliance.timescale.holdover import Growth, k_of_kinds
from timecard.timescale import NS_PER_S
from timecard.values import OscillatorIdentity

NO_SAMPLE: Final = "no phase sample has been accepted yet"
NO_LEAP: Final = "the receiver has not learnt the leap second offset from a satellite yet"
NO_OFFSET: Final = "the sources of leap seconds do not tell it, or do not agree: see leap"
NEVER: Final = "not within the forecast's horizon"
NOT_SAID: Final = "the receiver has not reported it since core started"
SILENT: Final = "the receiver has said nothing since core started"
NO_MODULE: Final = "this card has no oscillator module that answers"
NO_TELEMETRY: Final = "no telemetry has been read yet"

GNSS_SOURCES: Final = ("gnss", "pps")
OSCILLATOR_SOURCES: Final = ("oscillator",)
CARD_SOURCES: Final = ("card", "actuator")


def clock_report(snapshot: ClockSnapshot) -> ClockReport:
    """The discipline's snapshot without its bounds, which are published per plane."""
    return ClockReport.partial(
        NO_SAMPLE,
        state=snapshot.state,
        since_mono_ns=snapshot.since_mono_ns,
        # Whatever text gets into one of them, the report stays small enough to be sent.
        reasons=tuple(map(shortened, snapshot.reasons)),
        alarms=tuple(map(shortened, snapshot.alarms)),
        epoch=snapshot.epoch,
        offset_ns=snapshot.offset_ns,
        offset_sigma_ns=snapshot.offset_sigma_ns,
        last_sample_ns=snapshot.last_sample_ns,
        frequency_ppb=snapshot.frequency_ppb,
        oscillator_ppb=snapshot.oscillator_ppb,
        oscillator_sigma_ppb=snapshot.oscillator_sigma_ppb,
        bias_ns=snapshot.bias_ns,
        p=snapshot.p,
        drift_ppb=snapshot.drift_ppb,
        topology=snapshot.topology,
        tai_minus_utc_s=snapshot.tai_minus_utc_s,
        leap_change_s=snapshot.leap_change_s,
        counters=dict(snapshot.counters),
        why_null={} if snapshot.tai_minus_utc_s is not None else {"tai_minus_utc_s": NO_OFFSET},
    )


def holdover_report(
    snapshot: ClockSnapshot,
    *,
    budget_ns: float,
    temperature_assumption: str | None,
    excluded_events: tuple[str, ...],
    growth: Growth | None = None,
) -> HoldoverReport:
    """Readiness and forecast."""
    return HoldoverReport.partial(
        "no forecast has been made yet",
        ready=snapshot.holdover_ready,
        not_ready_reasons=snapshot.not_ready_reasons,
        forced=snapshot.holdover_forced,
        entered_mono_ns=snapshot.holdover_since_mono_ns,
        budget_ns=budget_ns,
        limits=tuple(
            _limit(limit.limit_ns, limit.p, limit.kind, limit.seconds, snapshot.as_of_tai_ns)
            for limit in snapshot.limits
        ),
        growth=None if growth is None else _growth_report(growth),
        temperature_assumption=temperature_assumption,
        excluded_events=excluded_events,
        why_null={}
        if snapshot.holdover_since_mono_ns is not None
        else {"entered_mono_ns": "the clock is not in holdover"},
    )


def limit_forecasts(
    growth: GrowthReport, limit_ns: float, p: float, as_of_tai_ns: int | None
) -> tuple[LimitForecast, ...]:
    """When the bound with probability ``p`` passes ``limit_ns``, for both kinds."""
    curve = Growth(growth.base_ns, growth.now_ns, np.array(growth.seconds), np.array(growth.sigma_ns))
    kinds = k_of_kinds(p)
    sigmas = np.array([(limit_ns - growth.base_ns) / k for _, k in kinds])
    return tuple(
        _limit(limit_ns, p, kind, float(seconds), as_of_tai_ns)
        for (kind, _), seconds in zip(kinds, curve.crossings_s(sigmas), strict=True)
    )


def _growth_report(growth: Growth) -> GrowthReport:
    """Five digits are more than any forecast has."""
    return GrowthReport(
        base_ns=growth.base_ns,
        now_ns=growth.now_ns,
        seconds=tuple(float(f"{value:.5g}") for value in growth.seconds),
        sigma_ns=tuple(float(f"{value:.5g}") for value in growth.sigma_ns),
    )


def _limit(limit_ns: float, p: float, kind: str, seconds: float, as_of_tai_ns: int | None) -> LimitForecast:
    never = not math.isfinite(seconds)
    crosses_at = None if never or as_of_tai_ns is None else as_of_tai_ns + round(seconds * NS_PER_S)
    return LimitForecast.partial(
        NEVER if never else NO_CARD_CLOCK,
        limit_ns=limit_ns,
        p=p,
        kind=kind,
        seconds=None if never else seconds,
        crosses_at_tai_ns=crosses_at,
    )


def gnss_report(board: StatusBoard, mono_ns: int, *, warnings: tuple[str, ...] = ()) -> GnssReport:
    """The receiver's newest words; ``mono_ns`` is now, ``warnings`` what its driver has to say of it."""
    fix, rf, leap, survey = board.fix, board.rf, board.leap, board.survey
    satellites, pulse, identity = board.satellites, board.pulse, board.receiver
    last_ns = board.last_gnss_mono_ns
    why = {}
    if fix is not None and fix.time_accuracy_ns is None:
        why["time_accuracy_ns"] = "the receiver gives no time accuracy while it has no time"
    if leap is not None and leap.tai_minus_utc_s is None:
        why["tai_minus_utc_s"] = NO_LEAP
    if leap is not None and leap.seconds_to_event is None:
        why["seconds_to_leap"] = "no leap second is announced"
    return GnssReport.partial(
        SILENT if last_ns is None else NOT_SAID,
        model=identity and identity.model,
        firmware=identity and identity.firmware,
        protocol=identity and identity.protocol,
        fix=None if fix is None else _word(fix.fix),
        fix_ok=fix and fix.fix_ok,
        time_valid=fix and fix.time_valid,
        time_accuracy_ns=None if fix is None else fix.time_accuracy_ns,
        pulse_locked=None if pulse is None else pulse.pulse_locked,
        satellites_used=satellites.used if satellites else fix and fix.satellites_used,
        satellites_seen=satellites and satellites.seen,
        satellites_by_system=satellites and dict(satellites.by_system),
        median_cno_dbhz=satellites and satellites.median_cno_dbhz,
        antenna=None if rf is None else _word(rf.antenna),
        antenna_powered=rf and rf.antenna_powered,
        jamming=None if rf is None else _word(rf.jamming),
        jamming_indicator=rf and rf.jamming_indicator,
        spoofing=None if rf is None else _word(rf.spoofing),
        tai_minus_utc_s=leap and leap.tai_minus_utc_s,
        leap_change_s=leap and leap.change_s,
        seconds_to_leap=leap and leap.seconds_to_event,
        leap_source=leap and leap.source,
        survey_active=survey and survey.active,
        survey_valid=survey and survey.valid,
        survey_s=survey and survey.duration_s,
        position_sigma_m=survey and survey.position_sigma_m,
        last_message_age_s=None if last_ns is None else max(0.0, (mono_ns - last_ns) / NS_PER_S),
        faults=(*faults_of(board, GNSS_SOURCES), *warnings),
        counters={name: count for name, count in sorted(board.counters.items()) if name not in _NOT_GNSS},
        why_null=why,
    )


_NOT_GNSS: Final = frozenset({"Tick", "Command", "OscillatorReport", "SteeringApplied", "ClockStepped"})


def oscillator_report(
    board: StatusBoard, identity: OscillatorIdentity | None, mono_ns: int, *, module: str | None = None
) -> OscillatorReport:
    """Telemetry of the module; ``module`` says why there is none where the card has none."""
    status = board.oscillator
    reason = NO_TELEMETRY if identity is not None else module or NO_MODULE
    why = {}
    if status is not None and status.phase_ns is None:
        why["phase_ns"] = "the part measures no phase without both pulses, or has no phase meter"
    if status is not None and status.temperature_mdegc is None:
        why["temperature_c"] = "the part reports no temperature"
    return OscillatorReport.partial(
        reason,
        family=identity and identity.family,
        model=identity and identity.model,
        serial=identity and identity.serial,
        firmware=identity and identity.firmware,
        locked=status and status.locked,
        lock_progress_percent=status and status.lock_progress_percent,
        steering_ppb=status and status.frequency_ppb,
        phase_ns=status and status.phase_ns,
        pps_detected=status and status.pps_detected,
        temperature_c=None
        if status is None or status.temperature_mdegc is None
        else status.temperature_mdegc / 1000.0,
        alarms=status and status.alarm_names,
        age_s=None if status is None else max(0.0, (mono_ns - status.read_mono_ns) / NS_PER_S),
        faults=faults_of(board, OSCILLATOR_SOURCES),
        why_null=why,
    )


def faults_of(board: StatusBoard, sources: tuple[str, ...]) -> tuple[str, ...]:
    """What is wrong with these sources now."""
    found = (f"{source}: {board.faults[source]}" for source in sources if source in board.faults)
    return tuple(map(shortened, found))


def _word(value: Enum | None) -> str | None:
    """``FIX_3D`` -> ``fix-3d``."""
    return None if value is None else value.name.lower().replace("_", "-")
