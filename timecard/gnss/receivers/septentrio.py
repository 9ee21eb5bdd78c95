"""What a Septentrio receiver says in SBF blocks, as events: pure, one block at a time.

Blocks: Septentrio mosaic-X5 reference guide, chapter SBF Reference. Three things differ from u-blox: the
offset of a pulse is told *after* it (xPPSOffset), so its label names the pulse just emitted; that offset is
negative for an early pulse, so the correction is minus it; and times come from the receiver's GPS-like time
scale (TOW and WNc of each block), which ReceiverTime qualifies.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

from timecard.gnss import sbf_messages as sbf
from timecard.gnss import septentrio_status
from timecard.gnss.framing import SbfBlock
from timecard.gnss.leap import LeapNotice, LeapState
from timecard.gnss.positions import PositionFilter
from timecard.gnss.septentrio_signals import SbfSignals
from timecard.gnss.ublox_time import EARLIEST_TAI_S, ReceiverTime
from timecard.timescale import NS_PER_S, S_PER_WEEK
from timecard.values import (
    AntennaStatus,
    CorruptData,
    FixType,
    GnssEvent,
    GnssFix,
    PulseLabel,
    RfStatus,
    SpoofingState,
    SurveyStatus,
)

_C_M_PER_S: Final = 299_792_458.0
_FRESH_NS: Final = 3 * NS_PER_S
_REFRESH_NS: Final = 5 * NS_PER_S
_EPOCH_WINDOW_MS: Final = 100
"""At more than one epoch a second only the one at the second names a pulse."""
_FIXED_LOCATION: Final = 3
_NO_SATELLITES: Final = 255
_SYNC_LEVEL_FULL: Final = 7
_RX_STATE: Final = slice(20, 24)
_TIME_SET: Final = 0b111 << 4
"""Week, time of week and fine time of RxState."""
_NO_LEAP: Final = -128
_RECEIVER_CLOCK: Final = 3
_MAX_SYNC_AGE_S: Final = 10
_MAX_OFFSET_NS: Final = 1_000.0
_NO_ACCURACY_M: Final = 655.35
_ACCURACY_END: Final = 94
"""Revisions that end before do not tell the accuracy of the place."""
_LEAP_SYSTEMS: Final = {sbf.GPS_UTC: "GPS", sbf.GAL_UTC: "Galileo", sbf.BDS_UTC: "BeiDou"}


class SbfDecoder:
    """Blocks in, events out. What is remembered is what one block needs from another."""

    def __init__(self, earliest_tai_s: int = EARLIEST_TAI_S) -> None:
        """Dates are believed in the 1024 weeks from ``earliest_tai_s`` on."""
        self._time = ReceiverTime(earliest_tai_s)
        self.quality: dict[str, int] = {}
        """Latest QualityInd: indicator to 0 (poor) ... 10."""
        self.uptime_s: int | None = None
        self.restarts = 0
        """How often ReceiverStatus told a shorter time since start than before."""
        self._fine_time: bool | None = None
        self._fix_ok = False
        self._leap = LeapState()
        self._sigma: tuple[float, int] | None = None
        self._places = PositionFilter()
        self._survey_since_ns: int | None = None
        self._survey: tuple[tuple[bool, bool], int] | None = None
        self._antenna_drew_current = False
        self._spoofing: dict[int, SpoofingState] = {}
        self._rf_told: dict[int, tuple[RfStatus, int]] = {}
        self._signals = SbfSignals()
        self._parsed: dict[int, Callable[[Any, SbfBlock, int], Sequence[GnssEvent]]] = {
            sbf.PVT_GEODETIC: self._pvt,
            sbf.PVT_CARTESIAN: self._pvt,
            sbf.POS_COV_GEODETIC: self._covariance,
            sbf.POS_COV_CARTESIAN: self._covariance,
            sbf.RECEIVER_TIME: self._receiver_time,
            sbf.PPS_OFFSET: self._pps_offset,
            sbf.RECEIVER_STATUS: self._receiver_status,
            sbf.RF_STATUS: self._rf_status,
            sbf.GAL_AUTH_STATUS: self._gal_auth_status,
            sbf.QUALITY_IND: self._quality,
            **dict.fromkeys(_LEAP_SYSTEMS, self._utc_parameters),
        }

    @property
    def problem(self) -> str | None:
        """Why times are being refused, in plain words; None when they are not."""
        return self._time.problem

    def decode(self, block: SbfBlock, read_mono_ns: int) -> Sequence[GnssEvent]:
        """Events of one block; nothing for blocks without use here."""
        if block.number == sbf.MEAS_EPOCH:
            return self._signals.of_meas_epoch(block, read_mono_ns)
        if block.number == sbf.CHANNEL_STATUS:
            return self._signals.of_channel_status(block, read_mono_ns)
        if block.number == sbf.RECEIVER_SETUP:
            short = sbf.too_short(block, read_mono_ns)
            return (septentrio_status.identity(block, read_mono_ns) if short is None else short,)
        handler = self._parsed.get(block.number)
        if handler is None:
            return ()
        message = sbf.parse(block, read_mono_ns)
        if isinstance(message, CorruptData):
            return (message,)
        return handler(message, block, read_mono_ns)

    # --- time and place -------------------------------------------------------------------------------------

    def _epoch_tai_ns(self, block: SbfBlock) -> int | None:
        week, tow_ms = sbf.time_stamp(block)
        self._time.refused_tai_ns = None
        return None if week is None or tow_ms is None else self._time.epoch_from_gps_ns(week, tow_ms)

    def _pvt(self, message: Any, block: SbfBlock, read_mono_ns: int) -> Sequence[GnssEvent]:
        _, tow_ms = sbf.time_stamp(block)
        if tow_ms is not None and tow_ms % 1000 >= _EPOCH_WINDOW_MS:
            return ()
        self._fix_ok = message.Type != 0 and message.Error == 0
        fix = septentrio_status.fix_type(message) if self._fix_ok else FixType.NONE
        epoch_tai_ns = self._epoch_tai_ns(block)
        # Without ReceiverTime: a position cannot be computed without fine time.
        fine = self._fix_ok if self._fine_time is None else self._fine_time
        sigma = self._sigma
        fresh = sigma is not None and read_mono_ns - sigma[1] < _FRESH_NS
        used = message.NrSV
        events: list[GnssEvent] = [
            GnssFix(
                epoch_tai_ns=epoch_tai_ns,
                fix=fix,
                fix_ok=self._fix_ok,
                time_valid=epoch_tai_ns is not None and fine,
                utc_resolved=self._leap.tai_minus_utc_s is not None,
                time_accuracy_ns=sigma[0] if sigma and fresh and self._fix_ok else None,
                satellites_used=None if used == _NO_SATELLITES else used,
                refused_tai_ns=self._time.refused_tai_ns if epoch_tai_ns is None else None,
                read_mono_ns=read_mono_ns,
            )
        ]
        sigma_m = _place_sigma_m(message, block)
        if self._fix_ok:
            events.extend(self._place(message, block, sigma_m, read_mono_ns))
        events.extend(self._survey_status(message, sigma_m, read_mono_ns))
        return events

    def _place(
        self, message: Any, block: SbfBlock, sigma_m: float | None, read_mono_ns: int
    ) -> Sequence[GnssEvent]:
        if block.number == sbf.PVT_CARTESIAN:
            numbers = (message.X, message.Y, message.Z)
            if not _are_numbers(numbers):
                return ()
            return self._places.earth_centred(*numbers, sigma_m, read_mono_ns)
        numbers = (message.Latitude, message.Longitude, message.Height)
        if not _are_numbers(numbers):
            return ()
        degrees = (math.degrees(numbers[0]), math.degrees(numbers[1]), numbers[2])
        return self._places.geodetic(*degrees, sigma_m, read_mono_ns, 1)

    def _survey_status(self, message: Any, sigma_m: float | None, read_mono_ns: int) -> Sequence[GnssEvent]:
        """Static mode only: averaging (AutoSet), or a fixed location."""
        active, valid = bool(message.AutoSet), message.Type == _FIXED_LOCATION
        if not active and not valid:
            self._survey_since_ns = None
            return ()
        if not active:
            self._survey_since_ns = None
        elif self._survey_since_ns is None:
            self._survey_since_ns = read_mono_ns
        state = (active, valid)
        last = self._survey
        if last is not None and last[0] == state and read_mono_ns - last[1] < _REFRESH_NS:
            return ()
        self._survey = (state, read_mono_ns)
        since_ns = self._survey_since_ns
        return (
            SurveyStatus(
                active=active,
                valid=valid and not active,
                duration_s=0 if since_ns is None else (read_mono_ns - since_ns) // NS_PER_S,
                position_sigma_m=sigma_m or 0.0,
                read_mono_ns=read_mono_ns,
            ),
        )

    def _covariance(self, message: Any, _: SbfBlock, read_mono_ns: int) -> Sequence[GnssEvent]:
        variance_m2 = message.Cov_bb
        if message.Error == 0 and math.isfinite(variance_m2) and variance_m2 > 0:
            self._sigma = (math.sqrt(variance_m2) / _C_M_PER_S * NS_PER_S, read_mono_ns)
        return ()

    def _receiver_time(self, message: Any, block: SbfBlock, read_mono_ns: int) -> Sequence[GnssEvent]:
        self._fine_time = message.SyncLevel & _SYNC_LEVEL_FULL == _SYNC_LEVEL_FULL
        leap_s = None if message.DeltaLS == _NO_LEAP else message.DeltaLS
        return self._leap.told(leap_s, _gps_s(block), read_mono_ns)

    def _utc_parameters(self, message: Any, block: SbfBlock, read_mono_ns: int) -> Sequence[GnssEvent]:
        now_s = _gps_s(block)
        if now_s is None:
            return ()
        notice = LeapNotice(
            system=_LEAP_SYSTEMS[block.number],
            leap_s=message.DEL_t_LS,
            week_256=message.WN_LSF,
            day=message.DN,
            next_leap_s=message.DEL_t_LSF,
        )
        return self._leap.announced(notice, now_s, read_mono_ns)

    def _pps_offset(self, message: Any, block: SbfBlock, read_mono_ns: int) -> Sequence[GnssEvent]:
        """The label of the pulse just emitted, unlike TIM-TP."""
        offset_ns = message.Offset * 1e9
        usable = math.isfinite(offset_ns) and abs(offset_ns) <= _MAX_OFFSET_NS
        _, tow_ms = sbf.time_stamp(block)
        whole = tow_ms is not None and tow_ms % 1000 == 0
        locked = message.TimeScale != _RECEIVER_CLOCK and message.SyncAge <= _MAX_SYNC_AGE_S
        return (
            PulseLabel(
                edge_tai_ns=self._epoch_tai_ns(block) if whole else None,
                qerr_ns=-offset_ns if usable else None,
                pulse_locked=locked and self._fine_time is not False,
                emitted=True,
                read_mono_ns=read_mono_ns,
            ),
        )

    # --- the receiver itself --------------------------------------------------------------------------------

    def _receiver_status(self, message: Any, block: SbfBlock, read_mono_ns: int) -> Sequence[GnssEvent]:
        if self.uptime_s is not None and message.UpTime < self.uptime_s:
            self.restarts += 1
            self._leap = LeapState()
            self._fine_time = None
        self.uptime_s = message.UpTime
        state = int.from_bytes(block.raw[_RX_STATE], "little")
        self._fine_time = state & _TIME_SET == _TIME_SET
        antenna = septentrio_status.antenna(message, self._antenna_drew_current)
        self._antenna_drew_current |= antenna is AntennaStatus.OK
        return self._rf(block.number, RfStatus(antenna=antenna, read_mono_ns=read_mono_ns))

    def _rf_status(self, message: Any, block: SbfBlock, read_mono_ns: int) -> Sequence[GnssEvent]:
        self._spoofing[block.number] = septentrio_status.spoofing(message)
        jamming = septentrio_status.jamming(message)
        status = RfStatus(jamming=jamming, spoofing=self._worst_spoofing(), read_mono_ns=read_mono_ns)
        return self._rf(block.number, status)

    def _gal_auth_status(self, message: Any, block: SbfBlock, read_mono_ns: int) -> Sequence[GnssEvent]:
        state = septentrio_status.authentication(message)
        if state is None:
            self._spoofing.pop(block.number, None)
            return ()
        self._spoofing[block.number] = state
        status = RfStatus(spoofing=self._worst_spoofing(), read_mono_ns=read_mono_ns)
        return self._rf(block.number, status)

    def _worst_spoofing(self) -> SpoofingState:
        return max(self._spoofing.values(), key=lambda state: state.value)

    def _rf(self, source: int, status: RfStatus) -> Sequence[GnssEvent]:
        """A change at once, the same again after a while."""
        last = self._rf_told.get(source)
        if last is not None:
            same = (last[0].antenna, last[0].jamming, last[0].spoofing) == (
                status.antenna,
                status.jamming,
                status.spoofing,
            )
            if same and status.read_mono_ns - last[1] < _REFRESH_NS:
                return ()
        self._rf_told[source] = (status, status.read_mono_ns)
        return (status,)

    def _quality(self, message: Any, _: SbfBlock, read_mono_ns: int) -> Sequence[GnssEvent]:
        self.quality = septentrio_status.quality(message)
        return ()


def _are_numbers(values: tuple[float, ...]) -> bool:
    return all(math.isfinite(value) and value > sbf.NO_FLOAT for value in values)


def _place_sigma_m(message: Any, block: SbfBlock) -> float | None:
    """HAccuracy is twice the distance root mean square, in the guide's words "2DRMS"."""
    if len(block.raw) < _ACCURACY_END or message.HAccuracy >= _NO_ACCURACY_M:
        return None
    return float(message.HAccuracy) / 2


def _gps_s(block: SbfBlock) -> int | None:
    week, tow_ms = sbf.time_stamp(block)
    return None if week is None or tow_ms is None else week * S_PER_WEEK + tow_ms // 1000
