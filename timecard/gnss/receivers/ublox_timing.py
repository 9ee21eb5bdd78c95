"""What a u-blox timing receiver says, as events: pure, one frame at a time.

Only what changes each second is decoded each second; a message whose meaning did not change is looked at
again after a while. Generation 9 sends NAV-PVT; an M8T in time mode may not, then NAV-STATUS and a time
message of the same epoch are put together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from timecard.gnss import ublox_messages as ubx
from timecard.gnss import ublox_signals, ublox_status
from timecard.gnss.ublox_profile import UNKNOWN, Family, UbloxOptions, family_of
from timecard.gnss.ublox_time import ReceiverTime
from timecard.gnss.ubx import UbxFrame
from timecard.timescale import NS_PER_S
from timecard.values import CorruptData, FixType, GnssEvent, GnssFix, PulseLabel, RfStatus, SpoofingState

_FIXES: Final = {fix.value: fix for fix in FixType}
_PVT_FRESH_NS: Final = 3 * NS_PER_S
_SIG_FRESH_NS: Final = 3 * NS_PER_S
_JITTER_NS: Final = 300_000_000
"""How much earlier than a second after the last one a message may come on a slow line."""
_REFRESH_NS: Final = 5 * NS_PER_S
_SLOW_REFRESH_NS: Final = 10 * NS_PER_S
_RESTART_MS: Final = 500
"""``msss`` this much below the last one is a restart."""

_Time = tuple[int, int | None, bool, float | None]


class UbloxDecoder:
    """Frames in, events out. What is remembered is what one message needs from another."""

    def __init__(self, options: UbloxOptions) -> None:
        self._options = options
        self._time = ReceiverTime(options.earliest_tai_s)
        self.family: Family = UNKNOWN
        """Known after MON-VER."""
        self.fixed_position = False
        """The receiver is configured with a position: there is no survey to wait for."""
        self.uptime_ms: int | None = None
        self.restarts = 0
        """How often the receiver was seen to start again (NAV-STATUS msss going backwards)."""
        self._pvt_mono_ns: int | None = None
        self._last_pvt: tuple[int, GnssFix] | None = None
        self._time_only = False
        self._satellites_used: int | None = None
        self._spoofing: tuple[int, int] | None = None
        self._places = ublox_signals.UbloxPlaces()
        self._signals_due_ns: int | None = None
        self._nav_sig_mono_ns: int | None = None
        # For an epoch without NAV-PVT: what NAV-STATUS said, what a time message said, what was given out.
        self._status: tuple[int, FixType, bool] | None = None
        self._epoch: _Time | None = None
        self._refused_ns: int | None = None
        self._done_itow_ms: int | None = None
        self._handlers: dict[int, Callable[[Any, int], Sequence[GnssEvent]]] = {
            ubx.NAV_STATUS: self._nav_status,
            ubx.NAV_PVT: self._nav_pvt,
            ubx.NAV_TIMEGPS: self._nav_timegps,
            ubx.NAV_TIMEUTC: self._nav_timeutc,
            ubx.NAV_TIMELS: lambda message, mono: (self._time.leap_info(message, mono),),
            ubx.NAV_SVIN: self._nav_svin,
            ubx.MON_VER: self._mon_ver,
            ubx.MON_HW: lambda message, mono: (ublox_status.rf_from_mon_hw(message, mono),),
            ubx.MON_RF: lambda message, mono: (ublox_status.rf_from_mon_rf(message, mono),),
            ubx.TIM_TP: self._tim_tp,
            ubx.TIM_SVIN: self._tim_svin,
            ubx.SEC_SIG: lambda message, mono: (ublox_status.rf_from_sec_sig(message, mono),),
        }
        # Long or very simple messages, decoded from their bytes.
        self._direct: dict[int, Callable[[UbxFrame, int], Sequence[GnssEvent]]] = {
            ubx.NAV_SAT: self._nav_sat,
            ubx.NAV_SIG: self._nav_sig,
            ubx.NAV_POSLLH: self._nav_posllh,
            ubx.NAV_POSECEF: self._nav_posecef,
        }
        self._satellites_watch = ubx.Watch(_SLOW_REFRESH_NS)
        self._watches = {
            # Date, validity, accuracy, fix, satellites: what is left is the time, which goes on.
            ubx.NAV_PVT: ubx.Watch(_SLOW_REFRESH_NS, slice(4, 8), slice(11, 16), slice(20, 24)),
            ubx.NAV_STATUS: ubx.Watch(_REFRESH_NS, slice(4, 8)),
            # Everything but iTOW and the countdown.
            ubx.NAV_TIMELS: ubx.Watch(_SLOW_REFRESH_NS, slice(8, 12), slice(16, 24)),
            # Jamming, antenna and supply of up to three RF blocks; MON-HW tells the first.
            ubx.MON_RF: ubx.Watch(_SLOW_REFRESH_NS, slice(5, 8), slice(29, 32), slice(53, 56)),
            ubx.MON_HW: ubx.Watch(_SLOW_REFRESH_NS, slice(20, 23)),
            ubx.SEC_SIG: ubx.Watch(_SLOW_REFRESH_NS, slice(1, 2), slice(4, 5), slice(8, 9)),
            ubx.TIM_SVIN: ubx.Watch(_REFRESH_NS, slice(0, 28)),
            ubx.NAV_SVIN: ubx.Watch(_REFRESH_NS, slice(8, 40)),
        }

    @property
    def problem(self) -> str | None:
        """Why times are being refused, in plain words; None when they are not."""
        return self._time.problem

    def decode(self, frame: UbxFrame, read_mono_ns: int) -> Sequence[GnssEvent]:
        """Events of one frame; nothing for messages without use here."""
        if len(frame.raw) == 8:
            return ()  # a poll
        direct, handler = self._direct.get(frame.key), self._handlers.get(frame.key)
        if direct is None and handler is None:
            return ()
        short = ubx.too_short(frame, read_mono_ns)
        if short is not None:
            return (short,)  # before a watch remembers it
        if direct is not None:
            return direct(frame, read_mono_ns)
        if not self._is_due(frame, read_mono_ns):
            return self._same_fix(frame, read_mono_ns) if frame.key == ubx.NAV_PVT else ()
        message = ubx.parse(frame, read_mono_ns)
        if isinstance(message, CorruptData):
            return (message,)
        events = handler(message, read_mono_ns) if handler else ()
        if frame.key == ubx.NAV_PVT:
            return (*events, *self._places.of_nav_pvt(frame, read_mono_ns))
        return events

    def _is_due(self, frame: UbxFrame, read_mono_ns: int) -> bool:
        key = frame.key
        if key in (ubx.NAV_TIMEUTC, ubx.NAV_TIMEGPS):
            if self._has_pvt(read_mono_ns):
                return False  # NAV-PVT says it all
            return _u32(frame.raw, 6) != self._done_itow_ms
        if key == ubx.NAV_STATUS:
            self._note_uptime(_u32(frame.raw, 18))
            if not self._has_pvt(read_mono_ns):
                return True
        last = self._last_pvt
        if key == ubx.NAV_PVT and (last is None or _u32(frame.raw, 6) < last[0]):
            return True  # the GPS week ends before the UTC date changes
        if key == ubx.NAV_TIMELS and self._time.leap_pending:
            return True  # the countdown matters now
        watch = self._watches.get(key)
        return watch is None or watch.is_due(frame, read_mono_ns)

    def _has_pvt(self, read_mono_ns: int) -> bool:
        return self._pvt_mono_ns is not None and read_mono_ns - self._pvt_mono_ns < _PVT_FRESH_NS

    def _note_uptime(self, msss: int) -> None:
        if self.uptime_ms is not None and msss < self.uptime_ms - _RESTART_MS:
            self.restarts += 1
            self._time.forget_leap()
        self.uptime_ms = msss

    def _tim_tp(self, message: Any, read_mono_ns: int) -> Sequence[GnssEvent]:
        limit_ps = self._options.qerr_limit_ps or self.family.qerr_limit_ps
        usable = not message.qErrInvalid and abs(message.qErr) <= limit_ps
        return (
            PulseLabel(
                edge_tai_ns=self._time.label_tai_ns(message, read_mono_ns),
                qerr_ns=message.qErr / 1e3 if usable else None,
                pulse_locked=not message.TpNotLocked,
                read_mono_ns=read_mono_ns,
            ),
        )

    def _nav_pvt(self, message: Any, read_mono_ns: int) -> Sequence[GnssEvent]:
        self._pvt_mono_ns = read_mono_ns
        fix = _FIXES.get(message.fixType, FixType.NONE)
        self._time_only = fix is FixType.TIME_ONLY
        self._satellites_used = message.numSV
        known = bool(message.validDate and message.validTime)
        epoch_tai_ns = self._time.epoch_from_utc_ns(message) if known else None
        confirmed = bool(message.confirmedDate and message.confirmedTime) if message.confirmedAvai else None
        event = GnssFix(
            epoch_tai_ns=epoch_tai_ns,
            fix=fix,
            fix_ok=bool(message.gnssFixOk),
            time_valid=epoch_tai_ns is not None,
            time_confirmed=confirmed,
            utc_resolved=bool(message.fullyResolved),
            time_accuracy_ns=float(message.tAcc) if message.validTime else None,
            satellites_used=message.numSV,
            refused_tai_ns=self._refused(known, epoch_tai_ns),
            read_mono_ns=read_mono_ns,
        )
        self._last_pvt = (message.iTOW, event)
        return (event,)

    def _same_fix(self, frame: UbxFrame, read_mono_ns: int) -> Sequence[GnssEvent]:
        """A NAV-PVT that differs from the last decoded one in its time only."""
        if self._last_pvt is None:
            return ()
        self._pvt_mono_ns = read_mono_ns
        itow_ms, event = self._last_pvt
        later_ns = (_u32(frame.raw, 6) - itow_ms) * 1_000_000
        epoch_ns, refused_ns = event.epoch_tai_ns, event.refused_tai_ns
        fix = replace(
            event,
            epoch_tai_ns=None if epoch_ns is None else epoch_ns + later_ns,
            refused_tai_ns=None if refused_ns is None else refused_ns + later_ns,
            read_mono_ns=read_mono_ns,
        )
        return (fix, *self._places.of_nav_pvt(frame, read_mono_ns))

    def _nav_status(self, message: Any, read_mono_ns: int) -> Sequence[GnssEvent]:
        events: list[GnssEvent] = []
        state, last = message.spoofDetState, self._spoofing
        if last is None or last[0] != state or read_mono_ns - last[1] >= _REFRESH_NS:
            self._spoofing = (state, read_mono_ns)
            events.append(RfStatus(spoofing=SpoofingState(state), read_mono_ns=read_mono_ns))
        if not self._has_pvt(read_mono_ns):
            fix = _FIXES.get(message.gpsFix, FixType.NONE)
            self._time_only = fix is FixType.TIME_ONLY
            self._status = (message.iTOW, fix, bool(message.gpsFixOk))
            events.extend(self._fix_without_pvt(read_mono_ns))
        return events

    def _nav_timegps(self, message: Any, read_mono_ns: int) -> Sequence[GnssEvent]:
        valid = bool(message.towValid and message.weekValid)
        epoch = self._time.epoch_from_gps_ns(message.week, message.iTOW) if valid else None
        self._refused_ns = self._refused(valid, epoch)
        self._epoch = (message.iTOW, epoch, bool(message.leapSValid), float(message.tAcc) if valid else None)
        return self._fix_without_pvt(read_mono_ns)

    def _nav_timeutc(self, message: Any, read_mono_ns: int) -> Sequence[GnssEvent]:
        valid = bool(message.validTOW and message.validWKN)
        epoch = self._time.epoch_from_utc_ns(message) if valid else None
        self._refused_ns = self._refused(valid, epoch)
        self._epoch = (message.iTOW, epoch, bool(message.validUTC), float(message.tAcc) if valid else None)
        return self._fix_without_pvt(read_mono_ns)

    def _refused(self, valid: bool, epoch_tai_ns: int | None) -> int | None:
        """The date that was just refused, if that is why there is no epoch."""
        return self._time.refused_tai_ns if valid and epoch_tai_ns is None else None

    def _fix_without_pvt(self, read_mono_ns: int) -> Sequence[GnssEvent]:
        """An epoch is complete with NAV-STATUS and a time message of the same iTOW, in either order."""
        if self._status is None or self._epoch is None or self._status[0] != self._epoch[0]:
            return ()
        itow_ms, fix, fix_ok = self._status
        if itow_ms == self._done_itow_ms:
            return ()
        self._done_itow_ms = itow_ms
        _, epoch_tai_ns, utc_resolved, accuracy_ns = self._epoch
        return (
            GnssFix(
                epoch_tai_ns=epoch_tai_ns,
                fix=fix,
                fix_ok=fix_ok,
                time_valid=epoch_tai_ns is not None,
                utc_resolved=utc_resolved,
                time_accuracy_ns=accuracy_ns,
                satellites_used=self._satellites_used,
                refused_tai_ns=self._refused_ns,
                read_mono_ns=read_mono_ns,
            ),
        )

    def _nav_sat(self, frame: UbxFrame, read_mono_ns: int) -> Sequence[GnssEvent]:
        events: list[GnssEvent] = []
        if self._satellites_watch.is_due(frame, read_mono_ns):
            events.append(ublox_signals.satellites_of_nav_sat(frame.payload, read_mono_ns))
        sig_ns = self._nav_sig_mono_ns
        has_nav_sig = sig_ns is not None and read_mono_ns - sig_ns < _SIG_FRESH_NS
        if not has_nav_sig and self._signals_due(read_mono_ns):
            signals = ublox_signals.signals_of_nav_sat(frame.payload, read_mono_ns)
            events.append(signals)
            if not self._has_pvt(read_mono_ns):
                self._satellites_used = sum(bool(signal.used) for signal in signals.signals)
        return events

    def _nav_sig(self, frame: UbxFrame, read_mono_ns: int) -> Sequence[GnssEvent]:
        first = self._nav_sig_mono_ns is None
        self._nav_sig_mono_ns = read_mono_ns
        if not self._signals_due(read_mono_ns) and not first:
            return ()
        return (ublox_signals.signals_of_nav_sig(frame.payload, read_mono_ns),)

    def _signals_due(self, read_mono_ns: int) -> bool:
        """At most once a second, whatever the jitter: what comes early makes the next one wait."""
        due_ns = self._signals_due_ns
        if due_ns is not None and read_mono_ns < due_ns - _JITTER_NS:
            return False
        self._signals_due_ns = max(read_mono_ns, due_ns or 0) + NS_PER_S
        return True

    def _nav_posllh(self, frame: UbxFrame, read_mono_ns: int) -> Sequence[GnssEvent]:
        return self._places.of_nav_posllh(frame, read_mono_ns) if self._tells_place(read_mono_ns) else ()

    def _nav_posecef(self, frame: UbxFrame, read_mono_ns: int) -> Sequence[GnssEvent]:
        return self._places.of_nav_posecef(frame, read_mono_ns) if self._tells_place(read_mono_ns) else ()

    def _tells_place(self, read_mono_ns: int) -> bool:
        """NAV-PVT does not, and as far as NAV-STATUS tells there is a fix."""
        return not self._has_pvt(read_mono_ns) and (self._status is None or self._status[2])

    def _tim_svin(self, message: Any, read_mono_ns: int) -> Sequence[GnssEvent]:
        given = self.fixed_position or self._time_only
        return (ublox_status.survey_status(message, given, read_mono_ns),)

    def _nav_svin(self, message: Any, read_mono_ns: int) -> Sequence[GnssEvent]:
        given = self.fixed_position or self._time_only
        return (ublox_status.survey_status_of_nav(message, given, read_mono_ns),)

    def _mon_ver(self, message: Any, read_mono_ns: int) -> Sequence[GnssEvent]:
        identity = ublox_status.identity(message, read_mono_ns)
        self.family = family_of(identity.model)
        return (identity,)


def _u32(raw: bytes, at: int) -> int:
    """An unsigned field of a frame; 0 in one that is too short, which decoding then refuses."""
    return int.from_bytes(raw[at : at + 4], "little")
