"""Once a second: the snapshot becomes the announced data, the bounds of three planes, and the report."""

from __future__ import annotations

import dataclasses
import logging
import os
from typing import Final

from appliance.assembly import Assembly
from appliance.clock_map import MapState
from appliance.config import Config
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
from appliance.flight.decision import Announcement
from appliance.leap.calendar import leap_text
from appliance.leap.decision import NOTHING_SAID
from appliance.leap.report import leap_report
from appliance.learnt_report import learnt_report
from appliance.ptp.server import PtpServer
from appliance.rehearsal_report import rehearsal_report
from appliance.reporting import (
    CARD_SOURCES,
    clock_report,
    faults_of,
    gnss_report,
    holdover_report,
    oscillator_report,
)
from appliance.serving import (
    FLAG_FREQUENCY_TRACEABLE,
    FLAG_LEAP59,
    FLAG_LEAP61,
    FLAG_PTP_TIMESCALE,
    FLAG_TIME_TRACEABLE,
    FLAG_UTC_OFFSET_VALID,
    TIME_SOURCE_GNSS,
    TIME_SOURCE_INTERNAL_OSCILLATOR,
    AnnounceData,
    LeapSwitch,
    PlaneBounds,
    leap_flags,
    leap_switch,
    plane_bounds,
    port_names,
    utc_offset,
)
from appliance.snapshot import ClockSnapshot, ClockState
from appliance.stamp_watch import StampWatch
from appliance.timescale.clock_quality import AccuracyHold, clock_quality, variance_of
from appliance.timescale.models import OSCILLATORS
from appliance.timescale.publication import holdover_growth
from appliance.version import installed_version
from timecard.errors import TimeCardError
from timecard.timebase import Timebase

log = logging.getLogger(__name__)

NO_MAP: Final = "the card's clock and the host's clock have not been compared yet"
NO_BOUND: Final = "nothing is claimed in this state"
PTP_OFF: Final = "PTP is switched off in the configuration"
TEMPERATURE_TOLD: Final = "the temperature stays as it is"
EXCLUDED_EVENTS: Final = ("a frequency jump of the oscillator", "a temperature step", "a loss of power")


class Publisher:
    """Builds what others see. Called by the main thread only."""

    def __init__(self, config: Config, assembly: Assembly, timebase: Timebase, identity: bytes) -> None:
        self._config = config
        self._assembly = assembly
        self._timebase = timebase
        self._started_ns = timebase.mono_ns()
        self._hold = AccuracyHold()
        self._leap = NOTHING_SAID
        self._stamps = StampWatch()
        self._kind = OSCILLATORS[assembly.oscillator_model].kind
        self.clock_identity = identity

    def publish(
        self,
        host: MapState | None,
        ptp: PtpServer | None,
        nic: MapState | None = None,
        alarms: tuple[str, ...] = (),
        dropped: int = 0,
    ) -> CoreReport:
        """Put the announced data on the page and return the report.

        ``host`` is the line from the host's raw clock to TAI, ``nic`` that from the NIC's clock, which is
        used with hardware stamps. ``alarms`` are the process's own, beside those of the clock; ``dropped``
        counts the events that the main loop was too slow for.
        """
        now_ns = self._timebase.mono_ns()
        snapshot = self._with_flight(self._assembly.engine.discipline.snapshot(now_ns))
        snapshot = self._with_stamps(snapshot, ptp, now_ns)
        counters = {**snapshot.counters, "events_dropped": dropped} if dropped else snapshot.counters
        snapshot = dataclasses.replace(snapshot, alarms=(*snapshot.alarms, *alarms), counters=counters)
        hardware = ptp is not None and ptp.hardware_stamps
        port = nic if hardware else host
        narrow = plane_bounds(snapshot.bound_at_ns(now_ns), host, port, hardware=hardware)
        wide = plane_bounds(snapshot.bound_wide_at_ns(now_ns), host, port, hardware=hardware)
        data = self._announce_data(snapshot, wide, now_ns, hardware=hardware)
        if ptp is not None:
            self._to_page(data, ptp, snapshot)
        if self._assembly.flight is not None:
            self._assembly.flight.announce(_for_the_record(data))
        maps = {"host": _map_report(host, now_ns)}
        if hardware:
            maps[port_names(self._config)[0]] = _map_report(nic, None)
        self._tell_leap(snapshot)
        return self._core_report(
            snapshot, self._announced(data), self._bounds(narrow, ptp), self._bounds(wide, ptp), maps, ptp
        )

    def _with_flight(self, snapshot: ClockSnapshot) -> ClockSnapshot:
        """The recorder's trouble is the operator's, not the discipline's."""
        flight = self._assembly.flight
        if flight is None or not (flight.lost or flight.problem):
            return snapshot
        return dataclasses.replace(
            snapshot,
            alarms=(*snapshot.alarms, *flight.alarms),
            counters={**snapshot.counters, "flight_records_lost": flight.lost},
        )

    def _with_stamps(self, snapshot: ClockSnapshot, ptp: PtpServer | None, now_ns: int) -> ClockSnapshot:
        """A server that may not answer is the operator's trouble, too."""
        if ptp is None:
            return snapshot
        self._stamps.update(ptp.stats(), now_ns, kind=ptp.timestamping)
        alarm = self._stamps.alarm
        return snapshot if alarm is None else dataclasses.replace(snapshot, alarms=(*snapshot.alarms, alarm))

    def _tell_leap(self, snapshot: ClockSnapshot) -> None:
        """A leap second that is announced, is over or taken back, and an offset that gets lost, are news."""
        before, leap = self._leap, snapshot.leap
        self._leap = leap
        if leap.coming != before.coming or (before.valid and not leap.valid):
            coming = leap_text(leap.coming, leap.tai_minus_utc_s) if leap.coming else "none to come"
            log.warning(
                "leap second: %s, TAI - UTC %d s valid=%s (%s)",
                *(coming, leap.tai_minus_utc_s, leap.valid, leap.why),
            )

    def _announce_data(
        self, snapshot: ClockSnapshot, wide: PlaneBounds, now_ns: int, *, hardware: bool
    ) -> AnnounceData:
        quality = clock_quality(
            snapshot.state,
            wide.port_ns,
            card_bound_ns=wide.card_ns,
            profile=self._config.ptp.profile,
            budget_ns=self._config.timescale.budget_ns,
            oscillator=self._kind,
            software_stamps=not hardware,
        )
        offset_s, offset_valid = utc_offset(snapshot)
        flags = (
            FLAG_PTP_TIMESCALE
            | leap_flags(snapshot)
            | (FLAG_UTC_OFFSET_VALID if offset_valid else 0)
            | (FLAG_TIME_TRACEABLE if quality.time_traceable else 0)
            | (FLAG_FREQUENCY_TRACEABLE if quality.frequency_traceable else 0)
        )
        accuracy = self._hold.update(now_ns, snapshot.state, quality.clock_accuracy)
        return AnnounceData(
            quality=dataclasses.replace(
                quality,
                clock_accuracy=accuracy,
                offset_scaled_log_variance=variance_of(snapshot.state, accuracy),
            ),
            utc_offset_s=offset_s,
            flags=flags,
            leap_switch=leap_switch(snapshot, flags),
            time_source=TIME_SOURCE_GNSS
            if snapshot.state is ClockState.LOCKED
            else TIME_SOURCE_INTERNAL_OSCILLATOR,
        )

    def _to_page(self, data: AnnounceData, ptp: PtpServer, snapshot: ClockSnapshot) -> None:
        switch = data.leap_switch or LeapSwitch(tai_ns=0, utc_offset_s=0, flags=0)
        ptp.page.set_leap(
            tai_ns=switch.tai_ns, utc_offset_after=switch.utc_offset_s, flags_after=switch.flags
        )
        ptp.page.publish_announce(
            clock_class=data.quality.clock_class,
            clock_accuracy=data.quality.clock_accuracy,
            offset_scaled_log_variance=data.quality.offset_scaled_log_variance,
            current_utc_offset=data.utc_offset_s,
            flags=data.flags,
            time_source=data.time_source,
            priority1=self._config.ptp.priority1,
            priority2=self._config.ptp.priority2,
            grandmaster_identity=self.clock_identity,
            steps_removed=0,
            epoch=snapshot.epoch,
        )
        ptp.page.set_serving(snapshot.as_of_tai_ns is not None)

    def _announced(self, data: AnnounceData) -> Announced:
        return Announced(
            clock_class=data.quality.clock_class,
            clock_accuracy=data.quality.clock_accuracy,
            offset_scaled_log_variance=data.quality.offset_scaled_log_variance,
            priority1=self._config.ptp.priority1,
            priority2=self._config.ptp.priority2,
            time_source=data.time_source,
            time_traceable=data.quality.time_traceable,
            frequency_traceable=data.quality.frequency_traceable,
            current_utc_offset_s=data.utc_offset_s,
            current_utc_offset_valid=bool(data.flags & FLAG_UTC_OFFSET_VALID),
            leap59=bool(data.flags & FLAG_LEAP59),
            leap61=bool(data.flags & FLAG_LEAP61),
        )

    def _core_report(
        self,
        snapshot: ClockSnapshot,
        announced: Announced,
        bounds: Bounds,
        bounds_wide: Bounds,
        maps: dict[str, ClockMapReport],
        ptp: PtpServer | None,
    ) -> CoreReport:
        assembly, config = self._assembly, self._config
        board, now_ns = assembly.engine.board, snapshot.as_of_mono_ns
        return CoreReport.partial(
            "the card's clock could not be read",
            as_of_mono_ns=snapshot.as_of_mono_ns,
            valid_until_mono_ns=snapshot.void_after_mono_ns,
            as_of_tai_ns=snapshot.as_of_tai_ns,
            clock=clock_report(snapshot),
            bounds=bounds,
            bounds_wide=bounds_wide,
            announced=announced,
            rehearsal=rehearsal_report(snapshot.rehearsal),
            holdover=holdover_report(
                snapshot,
                budget_ns=config.timescale.budget_ns,
                temperature_assumption=self._temperature_assumption(),
                excluded_events=EXCLUDED_EVENTS,
                growth=holdover_growth(assembly.engine.discipline, now_ns),
            ),
            learnt=learnt_report(assembly.engine.discipline, now_ns),
            leap=leap_report(snapshot),
            gnss=gnss_report(board, now_ns, warnings=assembly.receiver.warnings),
            oscillator=oscillator_report(board, assembly.oscillator, now_ns),
            ensemble=ensemble_report(assembly.engine.witnessing),
            ptp=self._ptp_report(ptp),
            card=self._card_report(),
            clock_maps=maps,
            process=ProcessReport(
                pid=os.getpid(), version=installed_version(), started_mono_ns=self._started_ns
            ),
        )

    def _bounds(self, planes: PlaneBounds, ptp: PtpServer | None) -> Bounds:
        names = port_names(self._config) if ptp is not None else ()
        return Bounds.partial(
            NO_BOUND if planes.card_ns is None else NO_MAP,
            card_ns=planes.card_ns,
            host_ns=planes.host_ns,
            port=dict.fromkeys(names, planes.port_ns),
        )

    def _temperature_assumption(self) -> str:
        status, swing = self._assembly.engine.board.oscillator, self._config.timescale.temperature_swing_degc
        if status is not None and status.temperature_mdegc is not None:
            return TEMPERATURE_TOLD
        assumed = f"+-{swing:g} degC a day" if swing else "constant"
        return f"nobody reports the oscillator's temperature: {assumed}"

    def _ptp_report(self, ptp: PtpServer | None) -> PtpReport:
        config = self._config.ptp
        if ptp is None:
            return PtpReport.partial(
                PTP_OFF, enabled=False, addresses=(), interfaces=(), timestamping={}, counters={}
            )
        return PtpReport(
            enabled=True,
            profile=config.profile,
            domain=config.domain,
            grandmaster_identity=self.clock_identity.hex(),
            ports=config.ports,
            addresses=config.addresses,
            interfaces=port_names(self._config),
            timestamping=dict.fromkeys(port_names(self._config), ptp.timestamping),
            contracts=ptp.contract_count(),
            counters=ptp.stats(),
        )

    def _card_report(self) -> CardReport:
        card, board = self._assembly.card, self._assembly.engine.board
        try:
            facts = dataclasses.asdict(card.facts())
            reason = "the card does not tell"
        except TimeCardError as error:
            facts, reason = {}, str(error)
        return CardReport.partial(
            reason,
            id=card.id,
            access_path=card.access_path,
            image_version=facts.get("image_version"),
            core_version=facts.get("clock_core_version"),
            clock_source=facts.get("clock_source"),
            pps_selector=facts.get("pps_source"),
            sma=facts.get("sma"),
            faults=faults_of(board, CARD_SOURCES),
        )


def _for_the_record(data: AnnounceData) -> Announcement:
    return Announcement(
        clock_class=data.quality.clock_class,
        clock_accuracy=data.quality.clock_accuracy,
        offset_scaled_log_variance=data.quality.offset_scaled_log_variance,
        flags=data.flags,
        utc_offset_s=data.utc_offset_s,
        time_source=data.time_source,
    )


def _map_report(state: MapState | None, raw_now_ns: int | None) -> ClockMapReport:
    """``raw_now_ns`` is now on the axis of the map; None when that clock is not read here."""
    if state is None:
        return ClockMapReport.partial(
            NO_MAP, method=None, half_width_ns=None, error_ns=None, rate_ppb=None, age_s=None
        )
    return ClockMapReport.partial(
        "the NIC's clock is read by the packet path only",
        method=state.method,
        half_width_ns=state.half_width_ns,
        error_ns=state.error_ns,
        rate_ppb=state.rate_ppb,
        age_s=None if raw_now_ns is None else max(0, raw_now_ns - state.anchor_raw_ns) / 1e9,
    )
