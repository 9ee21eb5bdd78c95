"""Signals and places of the u-blox decoder, against pyubx2 and on payloads made here."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyubx2 import UBXReader

from timecard.gnss import ublox_messages as ubx
from timecard.gnss import ublox_signals
from timecard.gnss.framing import Framer, UbxFrame, without_header
from timecard.gnss.geodesy import ecef_m, geodetic
from timecard.gnss.receivers.ublox_timing import UbloxDecoder
from timecard.gnss.ublox_profile import UbloxOptions
from timecard.gnss.ubx import encode
from timecard.timescale import NS_PER_S
from timecard.values import AntennaPosition, CorruptData, GnssEvent, SatelliteView, SignalView, SurveyStatus


def frame(key: int, payload: bytes) -> UbxFrame:
    return UbxFrame(key, encode(key, payload))


def captured(shared_dir: Path, key: int) -> list[UbxFrame]:
    path = shared_dir / "data" / "gnss" / "ublox-f9p-rtcm.log"
    items = Framer().feed(without_header(path.read_bytes()), 0)
    return [item for item in items if isinstance(item, UbxFrame) and item.key == key]


def test_signals_are_what_pyubx2_reads(shared_dir: Path) -> None:
    for item in captured(shared_dir, ubx.NAV_SIG):
        theirs = UBXReader.parse(item.raw)
        expected = []
        for number in range(1, theirs.numSigs + 1):
            one = {
                name: getattr(theirs, f"{name}_{number:02d}")
                for name in ("gnssId", "svId", "cno", "prUsed", "crUsed", "doUsed")
            }
            if one["cno"]:
                used = bool(one["prUsed"] or one["crUsed"] or one["doUsed"])
                expected.append((ublox_signals.SYSTEMS[one["gnssId"]], one["svId"], float(one["cno"]), used))
        view = ublox_signals.signals_of_nav_sig(item.payload, 0)
        assert [(one.system, one.satellite, one.cno_dbhz, one.used) for one in view.signals] == expected
        assert len(expected) > 50


def test_satellites_are_what_pyubx2_reads(shared_dir: Path) -> None:
    for item in captured(shared_dir, ubx.NAV_SAT):
        theirs = UBXReader.parse(item.raw)
        numbers = [f"{number:02d}" for number in range(1, theirs.numSvs + 1)]
        view = ublox_signals.satellites_of_nav_sat(item.payload, 0)
        assert view.used == sum(getattr(theirs, f"svUsed_{number}") for number in numbers)
        assert view.seen == sum(getattr(theirs, f"cno_{number}") > 0 for number in numbers)
        assert sum(view.by_system.values()) == view.used


def nav_sig(*signals: tuple[int, int, int, int]) -> UbxFrame:
    groups = b"".join(
        struct.pack("<BBBBhBBBBH4x", system, satellite, signal, 0, 0, cno, 7, 0, 0, 8)
        for system, satellite, signal, cno in signals
    )
    return frame(ubx.NAV_SIG, struct.pack("<IBBH", 0, 0, len(signals), 0) + groups)


def nav_sat(*satellites: tuple[int, int, int]) -> UbxFrame:
    groups = b"".join(struct.pack("<BBBbhhI", *one, 45, 90, 0, 8) for one in satellites)
    return frame(ubx.NAV_SAT, struct.pack("<IBBH", 0, 1, len(satellites), 0) + groups)


def test_signals_are_decoded_at_most_once_a_second() -> None:
    target = UbloxDecoder(UbloxOptions())
    told = [
        tenth
        for tenth in range(40)
        for event in target.decode(nav_sig((0, 3, 0, 40), (0, 3, 7, 0)), tenth * NS_PER_S // 10)
        if isinstance(event, SignalView) and len(event.signals) == 1
    ]
    assert told == [0, 7, 17, 27, 37]  # one may come early, the next one waits for it


def test_where_there_is_nav_sig_nav_sat_only_sums_up() -> None:
    target = UbloxDecoder(UbloxOptions())
    kinds: list[list[type[GnssEvent]]] = []
    for second in range(12):
        events = target.decode(nav_sat((0, 3, 40)), second * NS_PER_S)
        events = [*events, *target.decode(nav_sig((0, 3, 0, 40)), second * NS_PER_S)]
        kinds.append([type(event) for event in events])
    assert kinds[0] == [SatelliteView, SignalView, SignalView]
    assert kinds[1:10] == [[SignalView]] * 9
    assert kinds[10] == [SatelliteView, SignalView]
    # NAV-SIG stops: after three seconds NAV-SAT says it.
    later = [
        event for second in range(12, 16) for event in target.decode(nav_sat((0, 3, 40)), second * NS_PER_S)
    ]
    assert [type(event) for event in later] == [SignalView, SignalView]


def pvt(
    latitude: float = 48.1,
    longitude: float = 11.6,
    height_m: float = 560.0,
    sigma_m: float = 0.5,
    flags: int = 1,
    flags3: int = 0,
    itow_ms: int = 345_600_000,
) -> UbxFrame:
    payload = bytearray(92)
    struct.pack_into("<IHBBBBBB", payload, 0, itow_ms, 2026, 5, 28, 0, 0, 0, 0x37)
    payload[20:24] = bytes((5, flags, 0, 12))
    place = round(longitude * 1e7), round(latitude * 1e7), round(height_m * 1e3), 0, round(sigma_m * 1e3)
    struct.pack_into("<iiiiI", payload, 24, *place)
    payload[78] = flags3
    return frame(ubx.NAV_PVT, bytes(payload))


def places(target: UbloxDecoder, item: UbxFrame, mono_ns: int = 0) -> list[AntennaPosition]:
    return [event for event in target.decode(item, mono_ns) if isinstance(event, AntennaPosition)]


def test_a_place_that_jumps_is_told_with_the_next_epoch() -> None:
    """Also while nothing else of NAV-PVT changes, which then is not decoded again."""
    target = UbloxDecoder(UbloxOptions())
    told = []
    for second in range(25):
        item = pvt(latitude=48.1 if second < 5 else 48.2, itow_ms=345_600_000 + second * 1000)
        told += [(second, one.latitude_deg) for one in places(target, item, second * NS_PER_S)]
    assert told == [(0, 48.1), (5, 48.2), (15, 48.2)]


@pytest.mark.parametrize(
    "item",
    [pvt(flags=0), pvt(flags3=1), pvt(sigma_m=4e6), pvt(latitude=91.0), pvt(0, 0, 0), pvt(height_m=2e6)],
)
def test_no_place_without_a_fix_or_sense(item: UbxFrame) -> None:
    assert places(UbloxDecoder(UbloxOptions()), item) == []


def status(fix_ok: bool) -> UbxFrame:
    return frame(ubx.NAV_STATUS, struct.pack("<I4BII", 0, 3, int(fix_ok), 0, 8, 0, 1000))


def test_places_without_nav_pvt_need_a_fix() -> None:
    posllh = frame(ubx.NAV_POSLLH, struct.pack("<IiiiiII", 0, 116_000_000, 481_000_000, 560_000, 0, 500, 900))
    x_m, y_m, z_m = ecef_m(48.1, 11.6, 560.0)
    cm = [round(number * 100) for number in (x_m, y_m, z_m)]
    posecef = frame(ubx.NAV_POSECEF, struct.pack("<IiiiI", 0, *cm, 120))
    target = UbloxDecoder(UbloxOptions())
    target.decode(status(False), 0)
    assert places(target, posllh) == places(target, posecef) == []
    target.decode(status(True), 0)
    (place,) = places(target, posecef)
    assert place.latitude_deg == pytest.approx(48.1, abs=1e-7)
    assert place.height_m == pytest.approx(560.0, abs=0.02)
    assert place.sigma_m == 1.2
    # The better message takes over and the other is left out from then on.
    (place,) = places(target, posllh, NS_PER_S)
    assert (place.latitude_deg, place.longitude_deg, place.height_m, place.sigma_m) == (
        48.1,
        11.6,
        560.0,
        0.5,
    )
    assert places(target, posecef, 2 * NS_PER_S) == []
    assert places(UbloxDecoder(UbloxOptions()), frame(ubx.NAV_POSECEF, bytes(20))) == []


def test_nav_svin_is_a_survey_too() -> None:
    payload = bytearray(40)
    struct.pack_into("<I", payload, 8, 77)
    struct.pack_into("<I", payload, 28, 12_345)
    payload[37] = 1
    (event,) = UbloxDecoder(UbloxOptions()).decode(frame(ubx.NAV_SVIN, bytes(payload)), 3)
    assert event == SurveyStatus(
        active=True, valid=False, duration_s=77, position_sigma_m=1.2345, read_mono_ns=3
    )


DIRECT = (ubx.NAV_SIG, ubx.NAV_SAT, ubx.NAV_POSLLH, ubx.NAV_POSECEF, ubx.NAV_SVIN)


@settings(max_examples=300, deadline=None)
@given(key=st.sampled_from((*DIRECT, ubx.NAV_PVT)), payload=st.binary(max_size=300))
def test_any_payload_gives_events_and_no_exception(key: int, payload: bytes) -> None:
    target = UbloxDecoder(UbloxOptions(earliest_tai_s=0))
    for mono_ns in (0, NS_PER_S):
        for event in target.decode(frame(key, payload), mono_ns):
            assert isinstance(event, GnssEvent)


@pytest.mark.parametrize("key", DIRECT)
def test_a_short_payload_is_corrupt_data(key: int) -> None:
    (event,) = UbloxDecoder(UbloxOptions()).decode(frame(key, b"\x01\x02"), 9)
    assert isinstance(event, CorruptData)


@settings(max_examples=300)
@given(
    latitude=st.floats(-90, 90), longitude=st.floats(-179.99, 179.99), height_m=st.floats(-10_000, 100_000)
)
def test_there_and_back_through_earth_centred_coordinates(
    latitude: float, longitude: float, height_m: float
) -> None:
    back = geodetic(*ecef_m(latitude, longitude, height_m))
    assert back[0] == pytest.approx(latitude, abs=1e-9)
    assert back[2] == pytest.approx(height_m, abs=1e-3)
    if abs(latitude) < 89.999:
        assert back[1] == pytest.approx(longitude, abs=1e-9)
