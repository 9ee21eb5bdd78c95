"""UBX payloads of an emulated receiver, packed by hand: a whole epoch costs some tens of microseconds.

Layouts: u-blox F9 interface description (UBX-18010854), named after the message; field order as there.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from timecard.emulator.receiver_epoch import ECEF_CM, HEIGHT_MM, LON_1E7, Epoch, Satellite
from timecard.emulator.receiver_navigation import NavState
from timecard.timescale import NS_PER_S, S_PER_WEEK, TAI_MINUS_GPS_S, tai_to_gps

_PVT: Final = struct.Struct("<IH6BIi4B4i2I5i2I2HIihH")
_STATUS: Final = struct.Struct("<I4BII")
_DOP: Final = struct.Struct("<I7H")
_CLOCK: Final = struct.Struct("<IiiII")
_TIMEGPS: Final = struct.Struct("<IihbBI")
_TIMEUTC: Final = struct.Struct("<IIiH6B")
_TIMELS: Final = struct.Struct("<IB3xBbBbiHH3xB")
_SAT_HEADER: Final = struct.Struct("<IBB2x")
_SAT: Final = struct.Struct("<BBBbhhI")
_SVIN: Final = struct.Struct("<B3xIIiii3bxIIBB2x")
_TIM_TP: Final = struct.Struct("<IIiHBB")
_TIM_SVIN: Final = struct.Struct("<IiiiIIBB2x")
_RF_BLOCK: Final = struct.Struct("<BBBBI4xHHBbBbB3x")
_HW: Final = struct.Struct("<IIIIHHBBBxI17sB2xIII")
_SEC_SIG: Final = struct.Struct("<B3xB3xB3x")
_POSECEF: Final = struct.Struct("<IiiiI")
_POSLLH: Final = struct.Struct("<IiiiiII")
_SIG_HEADER: Final = struct.Struct("<IBB2x")
_SIG: Final = struct.Struct("<4BhBBBBH4x")

_LEAP_BASE_S: Final = TAI_MINUS_GPS_S
_USNO: Final = 3
_SOURCE_GPS: Final = 2
_GRIDS: Final[Mapping[int, tuple[int, int, int, bool]]] = {
    # CFG-TP-TIMEGRID: (TIM-TP timeBase, timeRefGnss, TAI of week 0, plus leap seconds?)
    0: (1, 15, 315_964_819, True),
    1: (0, 0, 315_964_819, False),
    2: (0, 1, 315_954_019, True),
    3: (0, 2, 1_136_073_633, False),
    4: (0, 3, 935_280_019, False),
    5: (0, 4, 935_280_019, False),
}
_SECOND_SIGNAL: Final[Mapping[tuple[int, str], int]] = {
    (0, "L2"): 3, (2, "L2"): 5, (3, "L2"): 2, (6, "L2"): 2,
    (0, "L5"): 6, (2, "L5"): 3, (3, "L5"): 7,
}  # fmt: skip
"""GPS L2CL, L5I; Galileo E5bI, E5aI; BeiDou B2I, B2ap; GLONASS L2OF (u-blox signal identifiers)."""


def nav_pvt(epoch: Epoch) -> bytes:
    """NAV-PVT."""
    nav = epoch.nav
    located = 1 if nav.fix_ok else 0
    return _PVT.pack(
        epoch.itow_ms, *epoch.leap.utc(epoch.tai_s), epoch.valid_time, nav.time_accuracy_ns, 0,
        nav.fix_type, located, 0x20 | (0xC0 if nav.confirmed else 0), nav.satellites_used,
        LON_1E7 * located, epoch.lat_1e7 * located, HEIGHT_MM * located, (HEIGHT_MM - 48_000) * located,
        400 if located else 4_294_967_295, 600 if located else 4_294_967_295, 0, 0, 0, 0, 0, 50, 18_000_000,
        120 if located else 9999, 0, 0, 0, 0, 0,
    )  # fmt: skip


def nav_status(epoch: Epoch) -> bytes:
    """NAV-STATUS."""
    nav = epoch.nav
    flags = (1 if nav.fix_ok else 0) | (0x0C if nav.time_known else 0)
    spoofing = epoch.rf.spoofing << 3
    return _STATUS.pack(
        epoch.itow_ms, nav.fix_type, flags, 0, spoofing, nav.first_fix_ms, nav.uptime_ms & 0xFFFFFFFF
    )


def nav_dop(epoch: Epoch) -> bytes:
    """NAV-DOP."""
    dop = (180, 155, 90, 130, 80, 60, 55) if epoch.nav.fix_ok else (9999,) * 7
    return _DOP.pack(epoch.itow_ms, *dop)


def nav_clock(epoch: Epoch) -> bytes:
    """NAV-CLOCK."""
    return _CLOCK.pack(epoch.itow_ms, 1234, 42, epoch.nav.time_accuracy_ns, 900)


def nav_timegps(epoch: Epoch) -> bytes:
    """NAV-TIMEGPS."""
    week, tow_ns = tai_to_gps(epoch.tai_s * NS_PER_S)
    leap_s = epoch.leap.tai_minus_utc_s(epoch.tai_s) - _LEAP_BASE_S
    return _TIMEGPS.pack(tow_ns // 1_000_000, 0, week, leap_s, epoch.valid_time, epoch.nav.time_accuracy_ns)


def nav_timeutc(epoch: Epoch) -> bytes:
    """NAV-TIMEUTC."""
    standard = _USNO << 4 if epoch.nav.leap_known else 0
    return _TIMEUTC.pack(
        epoch.itow_ms,
        epoch.nav.time_accuracy_ns,
        0,
        *epoch.leap.utc(epoch.tai_s),
        epoch.valid_time | standard,
    )


def nav_timels(epoch: Epoch) -> bytes:
    """NAV-TIMELS: before the almanac page has come, the firmware's own figure, marked as such."""
    known = epoch.nav.leap_known
    leap_s = epoch.leap.tai_minus_utc_s(epoch.tai_s) - _LEAP_BASE_S
    change, left_s = epoch.leap.coming(epoch.tai_s) if known else (0, 0)
    week, day = 0, 0
    if change:
        # The day of UTC that ends with it.
        after_s = leap_s + (change if left_s else 0)
        week, tow_ns = tai_to_gps((epoch.tai_s + left_s - after_s - 1) * NS_PER_S)
        day = tow_ns // (86_400 * NS_PER_S) + 1
    source = _SOURCE_GPS if known else 0
    return _TIMELS.pack(
        epoch.itow_ms, 0, source, leap_s, source, change, left_s, week, day, 3 if known else 0
    )


def nav_sat(epoch: Epoch) -> bytes:
    """NAV-SAT."""
    parts = [_SAT_HEADER.pack(epoch.itow_ms, 1, len(epoch.sky))]
    for number, sat in enumerate(epoch.sky):
        used = number < epoch.nav.satellites_used
        # Code and carrier locked, healthy, ephemeris; or searching.
        flags = 0x1917 | used << 3 if sat.cno_dbhz else 0x0811
        parts.append(
            _SAT.pack(
                sat.gnss_id,
                sat.sv_id,
                sat.cno_dbhz,
                sat.elevation_deg,
                sat.azimuth_deg,
                number % 5 - 2,
                flags,
            )
        )
    return b"".join(parts)


def nav_svin(epoch: Epoch) -> bytes:
    """NAV-SVIN."""
    nav = epoch.nav
    return _SVIN.pack(
        0, epoch.itow_ms, nav.survey_s, *_mean(nav), 0, 0, 0, round(nav.mean_v_mm2**0.5 * 10), nav.survey_s,
        nav.survey_valid, nav.survey_active,
    )  # fmt: skip


def nav_eoe(epoch: Epoch) -> bytes:
    """NAV-EOE."""
    return epoch.itow_ms.to_bytes(4, "little")


def tim_svin(epoch: Epoch) -> bytes:
    """TIM-SVIN; all zero when the position is given."""
    nav = epoch.nav
    return _TIM_SVIN.pack(
        nav.survey_s, *_mean(nav), nav.mean_v_mm2, nav.survey_s, nav.survey_valid, nav.survey_active
    )


def tim_tp(epoch: Epoch) -> bytes:
    """TIM-TP: the label of the next pulse in the configured time grid."""
    base, reference, zero_s, with_leap = _GRIDS[epoch.grid]
    label_s = epoch.tai_s + 1 + epoch.label_off_s
    if with_leap:
        zero_s += epoch.leap.tai_minus_utc_s(label_s) - _LEAP_BASE_S
    week, tow_s = divmod(label_s - zero_s, S_PER_WEEK)
    flags = base | (2 if epoch.nav.leap_known else 0) | (8 if epoch.nav.fix_ok else 0)
    flags |= 0 if epoch.qerr_valid or not epoch.traits.qerr_flag else 0x10
    flags |= 0x20 if epoch.traits.lock_flags and not epoch.nav.pulse_locked else 0
    qerr_ps = epoch.qerr_ps if epoch.qerr_valid else 0
    standard = _USNO << 4 if epoch.nav.leap_known else 0
    return _TIM_TP.pack(tow_s * 1000, 0, qerr_ps, week, flags, reference | standard)


def mon_rf(epoch: Epoch) -> bytes:
    """MON-RF, one block for each band."""
    rf = epoch.rf
    noise, agc = (85, 5200) if rf.jamming < 2 else (170, 2100)
    blocks = 2 if epoch.traits.second_band else 1
    return bytes((0, blocks, 0, 0)) + b"".join(
        _RF_BLOCK.pack(
            block, rf.jamming, rf.antenna, rf.antenna_power, 0, noise, agc, rf.jam_indicator, 3, 140, -2, 145
        )
        for block in range(blocks)
    )


def mon_hw(epoch: Epoch) -> bytes:
    """MON-HW."""
    rf = epoch.rf
    noise, agc = (85, 5200) if rf.jamming < 2 else (170, 2100)
    return _HW.pack(
        0,
        0,
        0,
        0,
        noise,
        agc,
        rf.antenna,
        rf.antenna_power,
        rf.jamming << 2,
        0,
        bytes(17),
        rf.jam_indicator,
        0,
        0,
        0,
    )


def nav_posecef(epoch: Epoch) -> bytes:
    """NAV-POSECEF."""
    ok = epoch.nav.fix_ok
    return _POSECEF.pack(epoch.itow_ms, *(epoch.ecef_cm if ok else (0, 0, 0)), 60 if ok else 0xFFFFFFFF)


def nav_posllh(epoch: Epoch) -> bytes:
    """NAV-POSLLH."""
    if not epoch.nav.fix_ok:
        return _POSLLH.pack(epoch.itow_ms, 0, 0, 0, 0, 0xFFFFFFFF, 0xFFFFFFFF)
    return _POSLLH.pack(epoch.itow_ms, LON_1E7, epoch.lat_1e7, HEIGHT_MM, HEIGHT_MM - 48_000, 400, 600)


def signals(epoch: Epoch) -> list[tuple[Satellite, int, bool]]:
    """The signals that are received: the satellite, u-blox sigId, used."""
    found = []
    for number, sat in enumerate(epoch.sky):
        if not sat.cno_dbhz:
            continue
        used = number < epoch.nav.satellites_used
        found.append((sat, 0, used))
        second = _SECOND_SIGNAL.get((sat.gnss_id, epoch.traits.second_band))
        if second is not None:
            found.append((sat._replace(cno_dbhz=max(1, sat.cno_dbhz - 3)), second, used))
    return found


def nav_sig(epoch: Epoch) -> bytes:
    """NAV-SIG."""
    parts = []
    for sat, signal, used in signals(epoch):
        flags = 0x0001 | (0x0028 if used else 0)  # healthy; range and Doppler used
        parts.append(
            _SIG.pack(
                sat.gnss_id, sat.sv_id, signal, 8 if sat.gnss_id == 6 else 0, 0, sat.cno_dbhz, 7, 0, 2, flags
            )
        )
    return _SIG_HEADER.pack(epoch.itow_ms, 0, len(parts)) + b"".join(parts)


def sec_sig(epoch: Epoch) -> bytes:
    """SEC-SIG."""
    rf = epoch.rf
    jamming = 1 | rf.jamming << 1 if rf.jamming else 0
    if epoch.traits.sec_sig_version == 2:
        bands = (1_575_420, 1_176_450) if epoch.traits.second_band else (1_575_420,)
        jammed = 1 << 24 if rf.jamming > 1 else 0
        state = jamming | 8 | rf.spoofing << 4
        return bytes((2, state, 0, len(bands))) + b"".join(
            (khz | jammed).to_bytes(4, "little") for khz in bands
        )
    return _SEC_SIG.pack(1, jamming, 1 | rf.spoofing << 1)


def _mean(nav: NavState) -> tuple[int, int, int]:
    return ECEF_CM if nav.survey_s else (0, 0, 0)


class Message(NamedTuple):
    """A periodic message: its class and id, and what makes its payload."""

    key: int
    build: Callable[[Epoch], bytes]


MESSAGES: Final[Mapping[str, Message]] = {
    # In the order in which they leave the receiver: navigation by id, NAV-EOE last, then the rest.
    "NAV_POSECEF": Message(0x0101, nav_posecef),
    "NAV_POSLLH": Message(0x0102, nav_posllh),
    "NAV_STATUS": Message(0x0103, nav_status),
    "NAV_DOP": Message(0x0104, nav_dop),
    "NAV_PVT": Message(0x0107, nav_pvt),
    "NAV_TIMEGPS": Message(0x0120, nav_timegps),
    "NAV_TIMEUTC": Message(0x0121, nav_timeutc),
    "NAV_CLOCK": Message(0x0122, nav_clock),
    "NAV_TIMELS": Message(0x0126, nav_timels),
    "NAV_SAT": Message(0x0135, nav_sat),
    "NAV_SVIN": Message(0x013B, nav_svin),
    "NAV_SIG": Message(0x0143, nav_sig),
    "NAV_EOE": Message(0x0161, nav_eoe),
    "TIM_SVIN": Message(0x0D04, tim_svin),
    "MON_HW": Message(0x0A09, mon_hw),
    "MON_RF": Message(0x0A38, mon_rf),
    "SEC_SIG": Message(0x2709, sec_sig),
    "TIM_TP": Message(0x0D01, tim_tp),
}
