"""The NMEA decoder on sentences made here."""

from __future__ import annotations

from functools import reduce
from operator import xor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timecard.gnss import nmea_sentences as nmea
from timecard.gnss.framing import Framer, NmeaSentence
from timecard.gnss.receivers.nmea import NmeaDecoder
from timecard.timescale import NS_PER_S
from timecard.values import (
    AntennaPosition,
    AntennaStatus,
    CorruptData,
    FixType,
    GnssEvent,
    GnssFix,
    JammingState,
    PulseLabel,
    ReceiverIdentity,
    RfStatus,
    SatelliteView,
    Signal,
    SignalView,
    SurveyStatus,
)

UTC_2027_01_15_NOON = 1_800_014_400
PLACE = "4717.11399,N,00833.91590,E"
RMC = f"GNRMC,120000.00,A,{PLACE},0.004,77.52,150127,,,A,V"
GGA = f"GNGGA,120000.00,{PLACE},1,09,1.01,499.6,M,48.0,M,,"
NAMES = [
    "GNRMC", "GNGGA", "GNGNS", "GNZDA", "GNGST", "GNGSA", "GPGSV", "GNTXT", "GNGLL", "PUBX", "PQTMVERNO",
    "PQTMANTENNASTATUS", "PQTMJAMMINGSTATUS", "PQTMSVINSTATUS",
]  # fmt: skip
ZDA = "GNZDA,120000.00,15,01,2027,00,00"


def sentence(text: str) -> NmeaSentence:
    check = reduce(xor, text.encode("ascii"), 0)
    (item,) = Framer().feed(f"${text}*{check:02X}\r\n".encode("ascii"), 0)
    assert isinstance(item, NmeaSentence)
    return item


def told(*texts: str, target: NmeaDecoder | None = None, mono_ns: int = 0) -> list[GnssEvent]:
    target = target or NmeaDecoder()
    return [event for text in texts for event in target.decode(sentence(text), mono_ns)]


def fix_of(events: list[GnssEvent]) -> GnssFix:
    (fix,) = (event for event in events if isinstance(event, GnssFix))
    return fix


def test_rmc_tells_the_second_but_not_whether_its_leap_seconds_are_known() -> None:
    assert fix_of(told(RMC)) == GnssFix(
        epoch_tai_ns=(UTC_2027_01_15_NOON + 37) * NS_PER_S,
        fix=FixType.FIX_2D,
        fix_ok=True,
        time_valid=True,
        utc_resolved=False,
        time_accuracy_ns=None,
        satellites_used=None,
        read_mono_ns=0,
    )


@pytest.mark.parametrize(
    "text",
    [
        RMC.replace(",A,4717", ",V,4717"),
        RMC.replace(",A,V", ",E,V"),
        RMC.replace(",A,V", ",S,V"),
        RMC.replace(",A,V", ",N,V"),
        "GNRMC,120000.00,V,,,,,,,150127,,,N,V",
    ],
)
def test_time_without_a_fix_may_be_the_receivers_own_clock(text: str) -> None:
    fix = fix_of(told(text))
    assert (fix.epoch_tai_ns, fix.time_valid, fix.fix_ok, fix.fix) == (None, False, False, FixType.NONE)


@pytest.mark.parametrize("date", ["320127", "151327", "000000", "", "1501", "15x127"])
def test_a_date_that_is_none_is_no_time(date: str) -> None:
    fix = fix_of(told(RMC.replace("150127", date)))
    assert (fix.epoch_tai_ns, fix.time_valid, fix.fix_ok) == (None, False, True)


def test_a_rolled_over_week_is_refused_and_told() -> None:
    target = NmeaDecoder()
    fix = fix_of(told(RMC.replace("150127", "010607"), target=target))  # 1024 weeks earlier
    assert not fix.time_valid
    assert fix.refused_tai_ns == (UTC_2027_01_15_NOON - 1024 * 604_800 + 33) * NS_PER_S
    assert target.problem is not None


def labels_of(events: list[GnssEvent]) -> list[PulseLabel]:
    return [event for event in events if isinstance(event, PulseLabel)]


def test_an_epoch_names_the_pulse_before_its_first_sentence() -> None:
    target = NmeaDecoder()
    assert labels_of(told(GGA, target=target, mono_ns=100)) == []
    (label,) = labels_of(told(RMC.replace("150127", "150126"), target=target, mono_ns=900))
    assert label == PulseLabel(
        edge_tai_ns=(UTC_2027_01_15_NOON - 365 * 86_400 + 37) * NS_PER_S,
        qerr_ns=None,
        pulse_locked=True,
        emitted=True,
        read_mono_ns=100,
    )
    assert target.leap_problem is None


def test_no_pulse_is_named_without_a_fix_or_without_leap_seconds() -> None:
    assert labels_of(told(RMC.replace(",A,4717", ",V,4717"))) == []
    target = NmeaDecoder()
    (label,) = labels_of(told(RMC, target=target))  # of 2027, where the table says nothing
    assert label.edge_tai_ns is None
    assert target.leap_problem is not None and "gnss.tai_minus_utc_s" in target.leap_problem
    told_otherwise = NmeaDecoder(utc_offset=lambda utc_s: 38)
    events = told(RMC, target=told_otherwise)
    (label,) = labels_of(events)
    assert label.edge_tai_ns == (UTC_2027_01_15_NOON + 38) * NS_PER_S == fix_of(events).epoch_tai_ns
    assert told_otherwise.leap_problem is None


def test_a_leap_second_is_the_second_before_midnight() -> None:
    target = NmeaDecoder(earliest_tai_s=1_262_304_034)
    epochs = [
        fix_of(told(f"GNRMC,{clock}.00,A,{PLACE},0.0,,{date},,,A", target=target)).epoch_tai_ns
        for clock, date in (("235959", "311216"), ("235960", "311216"), ("000000", "010117"))
    ]
    assert epochs == [second * NS_PER_S for second in (1_483_228_799 + 36, 1_483_228_836, 1_483_228_800 + 37)]


def test_one_fix_for_each_second_and_none_between() -> None:
    target = NmeaDecoder()
    fixes = [
        event
        for tenths in range(20)
        for event in told(
            RMC.replace("120000.00", f"12000{tenths // 10}.{tenths % 10}0"),
            target=target,
            mono_ns=tenths * NS_PER_S // 10,
        )
        if isinstance(event, GnssFix)
    ]
    assert len(fixes) == 2


def test_without_rmc_zda_and_gga_make_an_epoch_in_either_order() -> None:
    for texts in ((ZDA, GGA), (GGA, ZDA)):
        fix = fix_of(told(*texts))
        assert (fix.epoch_tai_ns, fix.time_valid) == ((UTC_2027_01_15_NOON + 37) * NS_PER_S, True)
        assert fix.satellites_used == 9
    assert not any(isinstance(event, GnssFix) for event in told(ZDA))
    assert not any(isinstance(event, GnssFix) for event in told(ZDA, GGA.replace("120000", "120001")))
    assert not fix_of(told(ZDA, GGA.replace("E,1,", "E,0,"))).time_valid
    assert not fix_of(told(ZDA, GGA.replace("E,1,", "E,6,"))).fix_ok
    gns = f"GNGNS,120000.00,{PLACE},AN,09,1.0,499.6,48.0,,,V"
    assert fix_of(told(ZDA, gns)).time_valid
    assert not fix_of(told(ZDA, gns.replace(",AN,", ",NN,"))).time_valid


def test_the_place_is_above_the_ellipsoid() -> None:
    target = NmeaDecoder()
    (place,) = told("GNGST,120000.00,1.0,,,,3.0,4.0,9.0", GGA, target=target)
    assert isinstance(place, AntennaPosition)
    assert place.latitude_deg == pytest.approx(47.2852332)
    assert place.longitude_deg == pytest.approx(8.5652650)
    assert place.height_m == pytest.approx(547.6)
    assert place.sigma_m == 5.0
    # Told again only when it is another, or after ten seconds.
    assert told(GGA, target=target, mono_ns=NS_PER_S) == []
    assert len(told(GGA.replace("499.6", "499.7"), target=target, mono_ns=2 * NS_PER_S)) == 1
    assert not told(GGA.replace("E,1,", "E,0,"))
    assert not told(GGA.replace(",48.0,M", ",,M"))


def test_signals_come_when_the_next_epoch_begins() -> None:
    target = NmeaDecoder()
    first = told(
        RMC,
        GGA,
        "GNGSA,A,3,05,33,,,,,,,,,,,1.5,0.9,1.2,1",
        "GNGSA,A,3,11,,,,,,,,,,,,1.5,0.9,1.2,3",
        "GPGSV,2,1,05,05,60,120,44,07,20,200,31,33,30,180,40,09,05,010,,1",
        "GPGSV,2,2,05,12,10,100,25,1",
        "GPGSV,1,1,01,05,60,120,41,8",
        "GAGSV,1,1,01,11,70,090,46,1",
        target=target,
    )
    assert not any(isinstance(event, SignalView) for event in first)
    view, satellites, fix, _ = told(RMC.replace("120000", "120001"), target=target, mono_ns=NS_PER_S)
    assert isinstance(view, SignalView)
    assert view.signals == (
        Signal(system="GPS", satellite=5, signal="L1C/A", cno_dbhz=44.0, used=True),
        Signal(system="GPS", satellite=7, signal="L1C/A", cno_dbhz=31.0, used=False),
        Signal(system="SBAS", satellite=120, signal="L1C/A", cno_dbhz=40.0, used=True),
        Signal(system="GPS", satellite=12, signal="L1C/A", cno_dbhz=25.0, used=False),
        Signal(system="GPS", satellite=5, signal="L5", cno_dbhz=41.0, used=True),
        Signal(system="GAL", satellite=11, signal="E5a", cno_dbhz=46.0, used=True),
    )
    assert isinstance(satellites, SatelliteView)
    assert (satellites.seen, satellites.used) == (5, 3)
    assert satellites.by_system == {"GAL": 1, "GPS": 1, "SBAS": 1}
    assert isinstance(fix, GnssFix)
    assert fix.fix is FixType.FIX_3D


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GNTXT,01,01,02,ANTSTATUS=OPEN", AntennaStatus.OPEN),
        ("GNTXT,01,01,02,ANTSTATUS=SHORT", AntennaStatus.SHORT),
        ("GPTXT,01,01,01,ANTENNA OK", AntennaStatus.OK),
        ("PQTMANTENNASTATUS,2,2,2,2,2", AntennaStatus.OPEN),
    ],
)
def test_antenna(text: str, expected: AntennaStatus) -> None:
    target = NmeaDecoder()
    assert told(text, target=target) == [RfStatus(antenna=expected, read_mono_ns=0)]
    assert told(text, target=target, mono_ns=NS_PER_S) == []
    assert len(told(text, target=target, mono_ns=6 * NS_PER_S)) == 1


def test_quectels_own_sentences() -> None:
    (jamming,) = told("PQTMJAMMINGSTATUS,1,3")
    assert jamming == RfStatus(jamming=JammingState.CRITICAL, read_mono_ns=0)
    (survey,) = told("PQTMSVINSTATUS,1,1000,1,,01,20,100,-2519265.0514,4849534.9045,3277834.6432,8.0213")
    assert survey == SurveyStatus(
        active=True, valid=False, duration_s=20, position_sigma_m=8.0213, read_mono_ns=0
    )
    (identity,) = told("PQTMVERNO,LC29HDANR11A03S,2022/08/31,15:22:59")
    assert isinstance(identity, ReceiverIdentity)
    assert identity.firmware == "LC29HDANR11A03S"
    assert told("PQTMANTENNASTATUS,3,1,2,1") == []


@pytest.mark.parametrize(
    "text",
    [
        "GNGGA,120000.00,4717.1,N,00833.9,E,q,zz,1.01,499.6,M,48.0,M,,",
        "GNRMC",
        "GPGSV,x,y",
        "GNGSA,A",
        "GNZDA,120000.00,a,b,c,,",
        "PQTMSVINSTATUS,1",
        "GNTXT",
    ],
)
def test_text_where_a_number_belongs_is_no_exception(text: str) -> None:
    events = told(text)
    assert all(isinstance(event, CorruptData | GnssFix) for event in events)
    for event in events:
        assert not isinstance(event, CorruptData) or event.reason.startswith(f"NMEA {text.split(',')[0]}: ")


@settings(max_examples=400, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    fields=st.lists(
        st.one_of(
            st.text(
                alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters="*,"),
                max_size=8,
            ),
            st.sampled_from(
                ["120000.00", "150127", "A", "4717.1", "N", "E", "1", "-1", "1e309", "nan", "inf"]
            ),
        ),
        max_size=22,
    ),
)
def test_any_fields_give_events_and_no_exception(name: str, fields: list[str]) -> None:
    text = ",".join([name, *fields])
    check = reduce(xor, text.encode("ascii"), 0)
    raw = NmeaSentence(f"${text}*{check:02X}\r\n".encode("ascii"))
    target = NmeaDecoder(earliest_tai_s=0)
    for mono_ns in (0, NS_PER_S):
        for event in target.decode(raw, mono_ns):
            assert isinstance(event, GnssEvent)


def test_endless_different_groups_are_bounded() -> None:
    target = NmeaDecoder()
    told(RMC, target=target)
    for number in range(2000):
        signal = "0123456789ABCDEF"[number % 16]
        told(f"G{chr(65 + number % 26)}GSV,9,2,36,01,10,100,40,02,10,100,40,{signal}", target=target)
    view, *_ = told(RMC.replace("120000", "120001"), target=target, mono_ns=NS_PER_S)
    assert isinstance(view, SignalView)
    assert len(view.signals) <= 32 * 64


@pytest.mark.parametrize(
    ("talker", "number", "system_id", "expected"),
    [
        ("GP", 5, "", ("GPS", 5)), ("GP", 40, "", ("SBAS", 127)), ("GN", 70, "", ("GLO", 6)),
        ("GL", 70, "", ("GLO", 6)), ("GN", 193, "", ("QZSS", 1)), ("GN", 11, "3", ("GAL", 11)),
        ("BD", 9, "", ("BDS", 9)), ("GN", 70, "2", ("GLO", 6)), ("GI", 4, "", ("NavIC", 4)),
    ],
)  # fmt: skip
def test_satellite_numbers(talker: str, number: int, system_id: str, expected: tuple[str, int]) -> None:
    assert nmea.satellite_of(talker, number, system_id) == expected
