"""What any NMEA receiver says, as events: pure, one sentence at a time.

What a sentence cannot tell is not made up. RMC has a year of two digits and no leap data, so a fix is never
``utc_resolved``; without an accuracy of its own there is none. A sentence names the second of the pulse
*before* it, as ``GnssFix.epoch_tai_ns`` does, and the ``PulseLabel`` that goes with it: ``emitted``, without
quantisation error, and without a second while TAI - UTC is not known from elsewhere. In a state without fix
the time fields may run from the receiver's own clock: then they are not valid here, and no pulse is named.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from timecard.gnss import nmea_sentences as nmea
from timecard.gnss.frame_names import sentence_id
from timecard.gnss.framing import NmeaSentence
from timecard.gnss.nmea_satellites import NmeaSatellites
from timecard.gnss.positions import PositionFilter
from timecard.gnss.ublox_time import EARLIEST_TAI_S, ReceiverTime
from timecard.timescale import NS_PER_S, tai_to_gps
from timecard.values import (
    CorruptData,
    FixType,
    GnssEvent,
    GnssFix,
    PulseLabel,
    ReceiverIdentity,
    RfStatus,
    SurveyStatus,
)

_T = TypeVar("_T")
_FRESH_NS: Final = 3 * NS_PER_S
_REFRESH_NS: Final = 5 * NS_PER_S
_MIN_GAP_NS: Final = 500_000_000
"""Between fixes that have no time."""
_PULSE_WINDOW_NS: Final = 100_000_000
"""At more than one epoch a second only the one at the second names a pulse."""
_NAV_MODES: Final = {1: FixType.NONE, 2: FixType.FIX_2D, 3: FixType.FIX_3D}
_NOT_FROM_THE_SKY: Final = frozenset("EMNS")
"""posMode: estimated, manual, none, simulated."""
_QUALITIES: Final = frozenset((1, 2, 3, 4, 5, 9))
"""GGA quality with a position from satellites; 6 is estimated, 7 manual, 8 simulated."""
_NO_LEAP: Final = (
    "the receiver tells UTC only, and TAI - UTC is not known for its date: pulses cannot be named "
    "(gnss.tai_minus_utc_s)"
)
_SENTENCES_WITH_TIME: Final = {"RMC": 1, "GGA": 1, "GNS": 1, "ZDA": 1, "GST": 1}


class NmeaDecoder:
    """Sentences in, events out. What is remembered is what one sentence needs from another."""

    def __init__(
        self, earliest_tai_s: int = EARLIEST_TAI_S, utc_offset: nmea.UtcOffset = nmea.table_offset_s
    ) -> None:
        """Dates are believed in the 1024 weeks from ``earliest_tai_s`` on; ``utc_offset`` tells TAI - UTC."""
        self.utc_offset = utc_offset
        self.leap_problem: str | None = None
        """Why pulses are not named, in plain words; None while they are."""
        self._time = ReceiverTime(earliest_tai_s)
        self._satellites = NmeaSatellites()
        self._places = PositionFilter()
        self._clock_ns: int | None = None
        """Time of day of the epoch that is being told."""
        self._begun_mono_ns: int | None = None
        """When its first sentence was read, the nearest to its pulse."""
        self._rmc_mono_ns: int | None = None
        self._date: tuple[int, int, int] | None = None
        """By a ZDA of the present epoch."""
        self._solved: bool | None = None
        """By a GGA or GNS of the present epoch."""
        self._done_clock_ns: int | None = None
        self._last_fix_mono_ns: int | None = None
        self._mode: tuple[FixType, int] | None = None
        self._used: tuple[int, int] | None = None
        self._sigma_m: tuple[float, int] | None = None
        self._told: dict[str, tuple[object, int]] = {}
        self._handlers: dict[str, Callable[[Any, str, int], Sequence[GnssEvent]]] = {
            "RMC": self._rmc,
            "GGA": self._gga,
            "GNS": self._gns,
            "ZDA": self._zda,
            "GST": self._gst,
            "GSA": self._gsa,
            "GSV": self._gsv,
            "TXT": self._txt,
            "PQTMANTENNASTATUS": self._pqtm_antenna,
            "PQTMJAMMINGSTATUS": self._pqtm_jamming,
            "PQTMSVINSTATUS": self._pqtm_survey,
            "PQTMVERNO": self._pqtm_version,
        }

    @property
    def problem(self) -> str | None:
        """Why times are being refused, in plain words; None when they are not."""
        return self._time.problem

    def decode(self, sentence: NmeaSentence, read_mono_ns: int) -> Sequence[GnssEvent]:
        """Events of one sentence; nothing for sentences without use here."""
        name = sentence_id(sentence)
        kind = name if name.startswith("P") else name[2:]
        handler = self._handlers.get(kind)
        if handler is None:
            return ()
        message = nmea.parse(sentence, name, read_mono_ns)
        if isinstance(message, CorruptData):
            return (message,)
        events: list[GnssEvent] = []
        if kind in _SENTENCES_WITH_TIME:
            texts = nmea.fields(sentence)
            self._begin_epoch(nmea.time_of_day_ns(texts[1] if len(texts) > 1 else ""), read_mono_ns, events)
            if kind == "RMC":
                self._date = nmea.day_of_rmc(texts[9]) if len(texts) > 9 else None
        try:
            events.extend(handler(message, name, read_mono_ns))
        except (AttributeError, TypeError):
            # A field is missing, or is not of its kind.
            return (*events, nmea.corrupt(sentence, name, "fields missing or wrong", read_mono_ns))
        return events

    def _begin_epoch(self, clock_ns: int | None, read_mono_ns: int, events: list[GnssEvent]) -> None:
        if clock_ns is not None and clock_ns != self._clock_ns:
            events.extend(self._satellites.publish(read_mono_ns))
            self._date = self._solved = None
            self._begun_mono_ns = read_mono_ns
        self._clock_ns = clock_ns

    # --- time and place -------------------------------------------------------------------------------------

    def _rmc(self, message: Any, _: str, read_mono_ns: int) -> Sequence[GnssEvent]:
        self._rmc_mono_ns = read_mono_ns
        solved = message.status == "A" and getattr(message, "posMode", "A") not in _NOT_FROM_THE_SKY
        return self._fix(solved, read_mono_ns)

    def _zda(self, message: Any, _: str, read_mono_ns: int) -> Sequence[GnssEvent]:
        date = (message.year, message.month, message.day)
        self._date = date if all(isinstance(part, int) for part in date) else None
        return self._fix_without_rmc(read_mono_ns)

    def _gga(self, message: Any, _: str, read_mono_ns: int) -> Sequence[GnssEvent]:
        return self._solution(message, message.quality in _QUALITIES, read_mono_ns)

    def _gns(self, message: Any, _: str, read_mono_ns: int) -> Sequence[GnssEvent]:
        modes = str(message.posMode)
        return self._solution(message, not set(modes) <= _NOT_FROM_THE_SKY, read_mono_ns)

    def _solution(self, message: Any, solved: bool, read_mono_ns: int) -> Sequence[GnssEvent]:
        self._solved = solved
        if isinstance(message.numSV, int):
            self._used = (message.numSV, read_mono_ns)
        events = list(self._fix_without_rmc(read_mono_ns))
        place = (message.lat, message.lon, message.alt, message.sep)
        if solved and self._is_pulse_epoch() and all(isinstance(number, int | float) for number in place):
            sigma_m = _fresh(self._sigma_m, read_mono_ns)
            height_m = message.alt + message.sep
            events.extend(self._places.geodetic(place[0], place[1], height_m, sigma_m, read_mono_ns))
        return events

    def _gst(self, message: Any, _: str, read_mono_ns: int) -> Sequence[GnssEvent]:
        deviations = (message.stdLat, message.stdLong)
        if all(isinstance(number, int | float) for number in deviations):
            self._sigma_m = (math.hypot(*deviations), read_mono_ns)
        return ()

    def _fix_without_rmc(self, read_mono_ns: int) -> Sequence[GnssEvent]:
        """An epoch is complete with ZDA and one of GGA and GNS, in either order."""
        rmc_ns = self._rmc_mono_ns
        if rmc_ns is not None and read_mono_ns - rmc_ns < _FRESH_NS:
            return ()
        if self._solved is None or self._date is None:
            return ()
        return self._fix(self._solved, read_mono_ns)

    def _is_pulse_epoch(self) -> bool:
        return self._clock_ns is None or self._clock_ns % NS_PER_S < _PULSE_WINDOW_NS

    def _fix(self, solved: bool, read_mono_ns: int) -> Sequence[GnssEvent]:
        clock_ns = self._clock_ns
        last_ns = self._last_fix_mono_ns
        if clock_ns is None:
            if last_ns is not None and read_mono_ns - last_ns < _MIN_GAP_NS:
                return ()
        elif clock_ns == self._done_clock_ns or not self._is_pulse_epoch():
            return ()
        self._done_clock_ns = clock_ns
        self._last_fix_mono_ns = read_mono_ns
        epoch_tai_ns, leap_known = self._epoch_tai_ns() if solved else (None, False)
        fix = _fresh(self._mode, read_mono_ns) or FixType.FIX_2D
        told: list[GnssEvent] = [
            GnssFix(
                epoch_tai_ns=epoch_tai_ns,
                fix=fix if solved else FixType.NONE,
                fix_ok=solved and fix is not FixType.NONE,
                time_valid=epoch_tai_ns is not None,
                utc_resolved=False,
                time_accuracy_ns=None,
                satellites_used=_fresh(self._used, read_mono_ns),
                refused_tai_ns=self._time.refused_tai_ns if solved and epoch_tai_ns is None else None,
                read_mono_ns=read_mono_ns,
            )
        ]
        if epoch_tai_ns is not None and self._begun_mono_ns is not None:
            self.leap_problem = None if leap_known else _NO_LEAP
            label = PulseLabel(
                edge_tai_ns=epoch_tai_ns if leap_known else None,
                qerr_ns=None,
                pulse_locked=True,  # it does not say otherwise
                emitted=True,
                read_mono_ns=self._begun_mono_ns,
            )
            told.append(label)
        return told

    def _epoch_tai_ns(self) -> tuple[int | None, bool]:
        """TAI of the epoch's second, and whether its leap seconds are known."""
        self._time.refused_tai_ns = None
        if self._clock_ns is None or self._date is None:
            return None, False
        tai_ns, leap_known = nmea.tai_ns(self._date, self._clock_ns, self.utc_offset)
        if tai_ns is None:
            return None, False
        week, tow_ns = tai_to_gps(tai_ns)
        return self._time.epoch_from_gps_ns(week, tow_ns // 1_000_000), leap_known

    # --- satellites, antenna, the receiver itself -----------------------------------------------------------

    def _gsa(self, message: Any, name: str, read_mono_ns: int) -> Sequence[GnssEvent]:
        mode = _NAV_MODES.get(message.navMode)
        if mode is not None:
            self._mode = (mode, read_mono_ns)
        self._satellites.add_gsa(name[:2], message)
        return ()

    def _gsv(self, message: Any, name: str, _: int) -> Sequence[GnssEvent]:
        self._satellites.add_gsv(name[:2], message)
        return ()

    def _txt(self, message: Any, _: str, read_mono_ns: int) -> Sequence[GnssEvent]:
        antenna = nmea.antenna_of_text(str(message.text))
        if antenna is None or not self._is_news("antenna", antenna, read_mono_ns):
            return ()
        return (RfStatus(antenna=antenna, read_mono_ns=read_mono_ns),)

    def _pqtm_antenna(self, message: Any, _: str, read_mono_ns: int) -> Sequence[GnssEvent]:
        # Version 3 has other fields.
        antenna = nmea.PQTM_ANTENNA.get(message.antennastatus) if message.msgver in (1, 2) else None
        if antenna is None or not self._is_news("antenna", antenna, read_mono_ns):
            return ()
        return (RfStatus(antenna=antenna, read_mono_ns=read_mono_ns),)

    def _pqtm_jamming(self, message: Any, _: str, read_mono_ns: int) -> Sequence[GnssEvent]:
        jamming = nmea.PQTM_JAMMING.get(message.jammingstatus)
        if jamming is None or not self._is_news("jamming", jamming, read_mono_ns):
            return ()
        return (RfStatus(jamming=jamming, read_mono_ns=read_mono_ns),)

    def _pqtm_survey(self, message: Any, _: str, read_mono_ns: int) -> Sequence[GnssEvent]:
        """Quectel: 0 no survey, 1 at work, 2 done; ``obs`` counts seconds."""
        state, sigma_m = message.valid, message.meanacc
        if state not in (1, 2) or not self._is_news("survey", (state, message.obs), read_mono_ns):
            return ()
        return (
            SurveyStatus(
                active=state == 1,
                valid=state == 2,
                duration_s=int(message.obs),
                position_sigma_m=float(sigma_m) if isinstance(sigma_m, int | float) else 0.0,
                read_mono_ns=read_mono_ns,
            ),
        )

    def _pqtm_version(self, message: Any, _: str, read_mono_ns: int) -> Sequence[GnssEvent]:
        version = str(message.verstr)
        return (
            ReceiverIdentity(
                model=version[:32] or "unknown",
                firmware=version[:64],
                protocol="NMEA",
                read_mono_ns=read_mono_ns,
            ),
        )

    def _is_news(self, subject: str, state: object, read_mono_ns: int) -> bool:
        """A change at once, the same again after a while."""
        last = self._told.get(subject)
        if last is not None and last[0] == state and read_mono_ns - last[1] < _REFRESH_NS:
            return False
        self._told[subject] = (state, read_mono_ns)
        return True


def _fresh(known: tuple[_T, int] | None, read_mono_ns: int) -> _T | None:
    return known[0] if known is not None and read_mono_ns - known[1] < _FRESH_NS else None
