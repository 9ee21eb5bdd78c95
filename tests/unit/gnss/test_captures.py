"""Every recording of a real receiver, through the code that decodes a live line."""

from __future__ import annotations

from collections import Counter
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import pytest
from pysbf2 import SBF_PROTOCOL, SBFReader
from pyubx2 import UBX_PROTOCOL, UBXReader

from timecard.gnss.capture import Replay, replay
from timecard.gnss.framing import Framer, SbfBlock, without_header
from timecard.gnss.series import per_second
from timecard.timescale import NS_PER_S
from timecard.values import (
    AntennaPosition,
    AntennaStatus,
    CorruptData,
    FixType,
    GnssEvent,
    GnssFix,
    JammingState,
    LeapInfo,
    PulseLabel,
    ReceiverIdentity,
    RfStatus,
    SatelliteView,
    SignalView,
    SpoofingState,
)

# Good, unknown and bad frames, bytes in the bad ones, lines of text before the stream.
COUNTS = {
    "neo-m8n.log": (293, 0, 0, 0, 5),
    "nmea-fuzzy-cases.log": (28, 0, 0, 0, 8),
    "polarx2.log": (75, 0, 0, 0, 10),
    "pygpsdata-BADHDR.log": (2, 0, 1, 100, 0),
    "pygpsdata-MIXED.log": (308, 0, 0, 0, 0),
    "pygpsdata-MIXED3BADCK.log": (4, 0, 2, 110, 0),
    "pygpsdata-MON.log": (12, 0, 0, 0, 0),
    "pygpsdata-NAV-ZED-X20P.log": (60, 0, 0, 0, 0),
    "pygpsdata-NAV.log": (28, 0, 0, 0, 0),
    "pygpsdata-RXMRAWX.log": (14, 0, 0, 0, 0),
    "pygpsdata-SEC.log": (8, 0, 0, 0, 0),
    "quectel-l76k-nmea.log": (2280, 0, 0, 0, 16),
    "sbf/mosaic-x5-sbfdata.log": (232, 0, 0, 0, 0),
    "sbf/pygpsdata_mixed.log": (6, 0, 0, 0, 0),
    "sbf/pygpsdata_x5_pvttruncated.log": (3, 0, 1, 14, 0),
    "sbf/pygpsdata_x5_status.log": (13, 0, 0, 0, 0),
    "sbf/pygpsdata_x5_time.log": (2, 0, 0, 0, 0),
    "sbf/pygpsdata_x5pvt.log": (64, 0, 0, 0, 0),
    "timingCardUBXG9_PPS_TMODE.txt": (20, 0, 0, 0, 0),
    "trimble-res720.log": (0, 0, 4, 27_538, 15),
    # The last frame is cut.
    "u-blox-m8t-time.log": (1511, 0, 1, 21, 9),
    "ublox-f9p-hpnmea.log": (139, 0, 0, 0, 12),
    # Unknown: two RTCM 4072, a maker's own. The last byte is one of a frame that follows no more.
    "ublox-f9p-rtcm.log": (29, 2, 1, 1, 13),
    # Unknown: replies that no interface description names.
    "ucenter-ZEDF9P-configdebug.log": (167, 21, 0, 0, 0),
}

# Events of each kind that a recording gives.
EVENTS = {
    "neo-m8n.log": {SignalView: 23, GnssFix: 23, PulseLabel: 23, AntennaPosition: 23, SatelliteView: 3},
    "nmea-fuzzy-cases.log": {AntennaPosition: 1, GnssFix: 1, PulseLabel: 1},
    "polarx2.log": {GnssFix: 5, PulseLabel: 5, SignalView: 4, SatelliteView: 1},
    "quectel-l76k-nmea.log": {
        GnssFix: 30,
        PulseLabel: 30,
        SignalView: 31,
        AntennaPosition: 25,
        SatelliteView: 3,
        RfStatus: 6,
    },
    "ublox-f9p-hpnmea.log": {
        GnssFix: 9,
        PulseLabel: 9,
        AntennaPosition: 9,
        SignalView: 8,
        SatelliteView: 1,
    },
    "ublox-f9p-rtcm.log": {GnssFix: 2, AntennaPosition: 2, SatelliteView: 1, SignalView: 3, CorruptData: 1},
    "sbf/mosaic-x5-sbfdata.log": {GnssFix: 58, AntennaPosition: 58},
    "sbf/pygpsdata_x5pvt.log": {GnssFix: 16, AntennaPosition: 16},
    "sbf/pygpsdata_x5_status.log": {RfStatus: 2},
    "sbf/pygpsdata_x5_time.log": {PulseLabel: 1, LeapInfo: 1},
    "timingCardUBXG9_PPS_TMODE.txt": {ReceiverIdentity: 1},
    "trimble-res720.log": {CorruptData: 4},
}


@pytest.fixture
def gnss_dir(shared_dir: Path) -> Path:
    return shared_dir / "data" / "gnss"


def events_of(path: Path) -> tuple[list[GnssEvent], Replay]:
    run = replay(path)
    return list(run), run


def test_no_recording_is_left_out(gnss_dir: Path) -> None:
    there = {str(path.relative_to(gnss_dir)) for path in gnss_dir.rglob("*") if path.is_file()}
    assert there == set(COUNTS)


@pytest.mark.parametrize("name", COUNTS)
def test_a_recording_decodes_and_its_frames_are_counted(name: str, gnss_dir: Path) -> None:
    events, run = events_of(gnss_dir / name)
    counts = run.counts
    header = run.capture.header_lines
    assert (counts.good, counts.unknown, counts.bad, counts.bad_bytes, header) == COUNTS[name]
    assert run.capture.damaged_lines == 0
    assert sum(counts.by_name.values()) == counts.good + counts.unknown
    assert all(isinstance(event, GnssEvent) for event in events)
    times = [event.read_mono_ns for event in events]
    assert times == sorted(times)
    if name in EVENTS:
        assert Counter(type(event) for event in events) == EVENTS[name]


def test_the_same_recording_gives_the_same_twice(gnss_dir: Path) -> None:
    run = replay(gnss_dir / "u-blox-m8t-time.log")
    assert list(run) == list(run)
    assert run.counts.good == 1511


def test_a_protocol_that_is_not_supported_is_named(gnss_dir: Path) -> None:
    named = {name: events_of(gnss_dir / name)[1].foreign_protocol for name in COUNTS}
    assert {name for name, protocol in named.items() if protocol} == {"trimble-res720.log"}
    assert named["trimble-res720.log"] == "Trimble TSIP"


@pytest.mark.parametrize("name", [name for name in COUNTS if name.startswith("sbf/")])
def test_blocks_of_a_capture_are_the_ones_pysbf2_finds(name: str, gnss_dir: Path) -> None:
    data = (gnss_dir / name).read_bytes()
    ours = [item.raw for item in Framer().feed(data, 0) if isinstance(item, SbfBlock)]
    assert ours == [raw for raw, _ in SBFReader(BytesIO(data), quitonerror=0, protfilter=SBF_PROTOCOL) if raw]


def test_m8t_gives_a_series_of_time_sawtooth_and_validity(gnss_dir: Path) -> None:
    path = gnss_dir / "u-blox-m8t-time.log"
    rows = list(per_second(replay(path)))
    # The first label comes before the leap seconds that its time base needs.
    assert rows[0].tai_ns is None
    seconds = [row.tai_ns for row in rows[1:] if row.tai_ns is not None]
    assert seconds == [second * NS_PER_S for second in range(1_614_103_506, 1_614_103_506 + 153)]
    # Two epochs at the beginning without a label, two labels at the end without an epoch.
    whole = rows[3:-2]
    assert len(whole) == 149
    assert all(row.fix_ok and row.time_valid and row.utc_resolved and row.pulse_locked for row in whole)
    assert {row.time_accuracy_ns for row in whole} <= {float(accuracy) for accuracy in range(20, 60)}
    reader = UBXReader(BytesIO(without_header(path.read_bytes())), protfilter=UBX_PROTOCOL, quitonerror=0)
    theirs = [parsed.qErr / 1000 for _, parsed in reader if parsed.identity == "TIM-TP"]
    assert [row.qerr_ns for row in rows if row.qerr_ns is not None] == theirs


def test_m8t_tells_its_place_and_signals_every_second(gnss_dir: Path) -> None:
    events, _ = events_of(gnss_dir / "u-blox-m8t-time.log")
    views = [event for event in events if isinstance(event, SignalView)]
    assert len(views) == 151
    assert all(second.read_mono_ns - first.read_mono_ns == NS_PER_S for first, second in pairwise(views))
    assert all(8 <= sum(bool(signal.used) for signal in view.signals) <= 14 for view in views[5:])
    places = [event for event in events if isinstance(event, AntennaPosition)]
    # A position that is given does not move: told again every ten seconds.
    assert len(places) == 16
    assert {(place.latitude_deg, place.longitude_deg, place.height_m) for place in places[1:]} == {
        (44.7654405, -68.8066651, 13.684)
    }


def test_mosaic_epochs_have_time_accuracy_from_the_covariance(gnss_dir: Path) -> None:
    events, _ = events_of(gnss_dir / "sbf/mosaic-x5-sbfdata.log")
    fixes = [event for event in events if isinstance(event, GnssFix)]
    # Week 2367, TOW 218303 s: 2025-05-20 12:38:23 GPS.
    assert fixes[0].epoch_tai_ns == (315_964_819 + 2367 * 604_800 + 218_303) * NS_PER_S
    steps = {
        second.epoch_tai_ns - first.epoch_tai_ns
        for first, second in pairwise(fixes)
        if first.epoch_tai_ns is not None and second.epoch_tai_ns is not None
    }
    assert steps == {NS_PER_S}
    assert all(fix.fix is FixType.FIX_3D and fix.fix_ok and fix.time_valid for fix in fixes)
    assert all(fix.time_accuracy_ns and 5 < fix.time_accuracy_ns < 30 for fix in fixes[1:])
    places = [event for event in events if isinstance(event, AntennaPosition)]
    assert all(abs(place.latitude_deg - 53.4507) < 1e-3 for place in places)
    assert all(abs(place.longitude_deg + 2.2403) < 1e-3 for place in places)
    assert all(70 < place.height_m < 95 for place in places)


def test_mosaic_names_the_pulse_just_emitted_and_turns_the_sign(gnss_dir: Path) -> None:
    events, _ = events_of(gnss_dir / "sbf/pygpsdata_x5_time.log")
    label = next(event for event in events if isinstance(event, PulseLabel))
    assert label.edge_tai_ns == (315_964_819 + 2367 * 604_800 + 483_078) * NS_PER_S
    # The block says +5.406 ns: the pulse was late.
    assert label.qerr_ns == pytest.approx(-5.406)
    assert label.pulse_locked
    assert label.emitted
    leap = next(event for event in events if isinstance(event, LeapInfo))
    assert (leap.tai_minus_utc_s, leap.change_s, leap.source) == (37, 0, "receiver")


def test_mosaic_status_blocks(gnss_dir: Path) -> None:
    events, _ = events_of(gnss_dir / "sbf/pygpsdata_x5_status.log")
    antenna, interference = (event for event in events if isinstance(event, RfStatus))
    assert antenna.antenna is AntennaStatus.OK
    assert (interference.jamming, interference.spoofing) == (JammingState.OK, SpoofingState.NONE)


def test_nmea_receivers_tell_the_second_of_the_pulse_before(gnss_dir: Path) -> None:
    expected = {
        # 2015-03-18 17:19:26, when TAI was 35 s ahead of UTC.
        "neo-m8n.log": 1_426_699_166 + 35,
        # 2012-03-22 11:22:57: 34 s.
        "polarx2.log": 1_332_415_377 + 34,
        # 2021-12-23 01:45:00: 37 s.
        "ublox-f9p-hpnmea.log": 1_640_223_900 + 37,
        # 2026-08-05 05:52:34; five epochs a second, of which one names a pulse.
        "quectel-l76k-nmea.log": 1_785_909_154 + 37,
    }
    for name, first_s in expected.items():
        fixes = [event for event in events_of(gnss_dir / name)[0] if isinstance(event, GnssFix)]
        seconds = [fix.epoch_tai_ns // NS_PER_S for fix in fixes if fix.epoch_tai_ns is not None]
        assert seconds == list(range(first_s, first_s + len(fixes)))
        assert all(fix.fix_ok and fix.time_valid and not fix.utc_resolved for fix in fixes)
        assert all(fix.time_accuracy_ns is None for fix in fixes)


def test_signals_of_an_f9p_are_named(gnss_dir: Path) -> None:
    events, _ = events_of(gnss_dir / "ublox-f9p-rtcm.log")
    views = [event for event in events if isinstance(event, SignalView)]
    # NAV-SAT comes before the first NAV-SIG and knows no signals; then it is not looked at any more.
    assert {signal.signal for signal in views[0].signals} == {""}
    for view in views[1:]:
        names = {(signal.system, signal.signal) for signal in view.signals}
        assert names == {
            ("GPS", "L1C/A"), ("GPS", "L2C"), ("GAL", "E1"), ("GAL", "E5b"), ("BDS", "B1I"),
            ("GLO", "L1"), ("GLO", "L2"), ("SBAS", "L1C/A"),
        }  # fmt: skip
        assert all(5 <= signal.cno_dbhz <= 55 for signal in view.signals)


def test_time_and_place_are_not_told_twice_in_a_mixed_stream(gnss_dir: Path) -> None:
    events, run = events_of(gnss_dir / "sbf/pygpsdata_mixed.log")
    assert run.counts.by_name == {
        "NMEA GNGLL": 1, "RTCM3 1005": 1, "RTCM3 1230": 1, "NMEA GNRMC": 1, "SBF PVTGeodetic": 1,
        "SBF PosLocal": 1,
    }  # fmt: skip
    # RMC came before the first block; two receivers, in fact.
    assert [type(event) for event in events] == [GnssFix, PulseLabel, GnssFix, AntennaPosition]
