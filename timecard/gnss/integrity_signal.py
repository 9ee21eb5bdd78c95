"""Antenna, interference, sky and place: what the receiver's words about reception show."""

from __future__ import annotations

import math
import statistics
from typing import Final

from timecard.gnss.geodesy import ecef_m
from timecard.gnss.integrity_rules import AlarmBoard, IntegrityOptions
from timecard.timescale import NS_PER_S
from timecard.values import (
    AntennaPosition,
    AntennaStatus,
    FixType,
    GnssFix,
    JammingState,
    RfStatus,
    SatelliteView,
    SignalView,
    SpoofingState,
    SurveyStatus,
)

_USUAL_VIEWS: Final = 60
"""The usual strength is a mean over so many views."""
_LEARNT_VIEWS: Final = 5
_DROP_DB: Final = 6.0
_FEWER: Final = 0.75
_DEEP_DROP_DB: Final = 10.0
_SIGMAS: Final = 5.0
_SURVEY_BEGINS_NS: Final = 30 * NS_PER_S
"""After the first fix."""


class SignalWatch:
    """Reception."""

    def __init__(self, options: IntegrityOptions, board: AlarmBoard) -> None:
        self._options = options
        self._board = board
        self._powered = False
        self._had_satellites = False
        self._had_enough = False
        self._by_epoch = False
        self._by_signal = False
        self._views = 0
        self._usual_cno = 0.0
        self._usual_used = 0.0

    def take_rf(self, rf: RfStatus) -> None:
        """Antenna supervisor, jamming and spoofing detectors. What is not told says nothing."""
        board, now_ns = self._board, rf.read_mono_ns
        if rf.antenna is not None:
            short = rf.antenna is AntennaStatus.SHORT
            board.judge("antenna-short", short, lambda: "antenna status SHORT", now_ns)
            is_open = rf.antenna is AntennaStatus.OPEN
            board.judge("antenna-open", is_open, lambda: "antenna status OPEN", now_ns)
        if rf.antenna_powered is not None:
            # A supply that was never on is meant to be off: a splitter feeds the antenna.
            off = self._powered and not rf.antenna_powered and "antenna-short" not in board
            board.judge("antenna-unpowered", off, lambda: "antenna supply off", now_ns)
            self._powered |= rf.antenna_powered
        if rf.jamming is not None:
            told = "" if rf.jamming_indicator is None else f", indicator {rf.jamming_indicator} of 255"
            says = f"jamming state {rf.jamming.name}{told}"
            for name, state in _JAMMING.items():
                board.judge(name, rf.jamming is state, lambda: says, now_ns)
        if rf.spoofing is not None:
            forged = rf.spoofing in (SpoofingState.INDICATED, SpoofingState.MULTIPLE)
            board.judge(
                "spoofing", forged, lambda: f"spoofing state {rf.spoofing and rf.spoofing.name}", now_ns
            )

    def take_fix(self, fix: GnssFix) -> None:
        """How many satellites an epoch uses, if the receiver tells."""
        if fix.satellites_used is not None:
            self._by_epoch = True
            self.take_used(fix.satellites_used, fix.read_mono_ns)

    def take_used(self, used: int, now_ns: int) -> None:
        """How many satellites are in use."""
        board, enough = self._board, self._options.min_satellites
        few = 0 < used < enough
        board.judge("no-satellites", self._had_satellites and used == 0, lambda: "0 satellites used", now_ns)
        board.judge(
            "few-satellites", self._had_enough and few, lambda: f"{used} used, {enough} wanted", now_ns
        )
        self._had_satellites |= used > 0
        self._had_enough |= used >= enough

    def take_view(self, view: SatelliteView) -> None:
        """Satellites, summed up."""
        if not self._by_epoch:
            self.take_used(view.used, view.read_mono_ns)
        if not self._by_signal:
            self._strength(view.median_cno_dbhz, view.used, view.read_mono_ns)

    def take_signals(self, view: SignalView) -> None:
        """Each signal; where the receiver does not tell which it uses, all that it receives count."""
        self._by_signal = True
        used = [signal for signal in view.signals if signal.used is not False and signal.cno_dbhz > 0]
        if used:
            satellites = {(signal.system, signal.satellite) for signal in used}
            strength = statistics.median(signal.cno_dbhz for signal in used)
            self._strength(strength, len(satellites), view.read_mono_ns)

    def _strength(self, cno_dbhz: float, used: int, now_ns: int) -> None:
        """Against what is usual here."""
        if not used:
            return
        board = self._board
        drop_db = self._usual_cno - cno_dbhz
        fewer = used <= _FEWER * self._usual_used
        dropped = self._views >= _LEARNT_VIEWS and (
            drop_db >= _DEEP_DROP_DB or (drop_db >= _DROP_DB and fewer)
        )
        flagged = board.shown("jamming-critical") or board.shown("jamming-warning")
        text = (
            f"median C/N0 {cno_dbhz:.0f} dBHz, usual {self._usual_cno:.0f}; "
            f"{used} satellites used, usual {self._usual_used:.0f}"
        )
        board.judge("signal-drop", dropped and not flagged, lambda: text, now_ns)
        if not dropped:
            self._views += 1
            weight = 1.0 / min(self._views, _USUAL_VIEWS)
            self._usual_cno += weight * (cno_dbhz - self._usual_cno)
            self._usual_used += weight * (used - self._usual_used)


_JAMMING: Final = {"jamming-warning": JammingState.WARNING, "jamming-critical": JammingState.CRITICAL}


class PlaceWatch:
    """An antenna whose position is held must not move."""

    def __init__(self, options: IntegrityOptions, board: AlarmBoard) -> None:
        self._options = options
        self._board = board
        self._home_m = options.position_m
        self._last_ns = 0
        self._held = False
        self._surveyed = False
        self._fixed = False
        self._fixed_ns: int | None = None

    def forgive(self) -> None:
        """The antenna was moved: it is where the receiver finds it next."""
        self._home_m = self._options.position_m
        self._board.good("position-jump", self._last_ns)

    def take_fix(self, fix: GnssFix) -> None:
        """Whether the position is held."""
        self._fixed = fix.fix_ok and fix.fix in (FixType.FIX_2D, FixType.FIX_3D, FixType.TIME_ONLY)
        if not self._fixed:
            return
        if self._fixed_ns is None:
            self._fixed_ns = fix.read_mono_ns
        now_held = fix.fix is FixType.TIME_ONLY
        left = self._held and not now_held
        if left or not self._surveyed:
            text = f"fix is {fix.fix.name} after TIME_ONLY"
            self._board.judge("survey-lost", left, lambda: text, fix.read_mono_ns)
        self._held |= now_held

    def take_survey(self, survey: SurveyStatus) -> None:
        """Survey-in, or a position that is given."""
        board, now_ns = self._board, survey.read_mono_ns
        if self._surveyed and not survey.valid and not self._fixed:
            return  # without a fix the receiver does not say that it holds a position
        lost = self._surveyed and not survey.valid
        board.judge(
            "survey-lost",
            lost,
            lambda: f"position not valid any more, survey active={survey.active} since {survey.duration_s} s",
            now_ns,
        )
        self._surveyed |= survey.valid
        endless = survey.active and survey.duration_s > self._options.survey_limit_s
        fixed_ns = self._fixed_ns
        idle = not survey.active and fixed_ns is not None and now_ns - fixed_ns > _SURVEY_BEGINS_NS
        known = survey.valid or self._surveyed or self._held
        missing = not known and (idle or endless)
        board.judge(
            "survey-missing",
            missing,
            lambda: f"survey active={survey.active} for {survey.duration_s} s, no valid position",
            now_ns,
        )

    def take_position(self, position: AntennaPosition) -> None:
        """Where the receiver finds the antenna."""
        self._last_ns = position.read_mono_ns
        here_m = ecef_m(position.latitude_deg, position.longitude_deg, position.height_m)
        if self._home_m is None:
            if self._held or self._surveyed:
                self._home_m = here_m
            return
        moved_m = math.dist(here_m, self._home_m)
        limit_m = max(self._options.max_moved_m, _SIGMAS * (position.sigma_m or 0.0))
        self._board.judge(
            "position-jump",
            moved_m > limit_m,
            lambda: (
                f"{moved_m:.1f} m from where it was (limit {limit_m:.0f} m): "
                f"{position.latitude_deg:.7f} deg, {position.longitude_deg:.7f} deg, "
                f"{position.height_m:.1f} m"
            ),
            position.read_mono_ns,
        )
