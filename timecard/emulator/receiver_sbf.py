"""SBF blocks of an emulated Septentrio mosaic-T, packed by hand.

Layouts: mosaic-T reference guide, "SBF Blocks"; tests read them with pysbf2. What is not known is sent as the
guide's do-not-use value.
"""

from __future__ import annotations

import math
import struct
from binascii import crc_hqx
from collections.abc import Callable, Mapping
from typing import Final

from timecard.emulator.receiver_epoch import HEIGHT_MM, LAT_1E7, LON_1E7, Epoch, Satellite
from timecard.emulator.receiver_messages import signals
from timecard.timescale import NS_PER_S, TAI_MINUS_GPS_S, tai_to_gps

MODEL: Final = "mosaic-T"
FIRMWARE: Final = "4.14.4"
SERIAL: Final = "3600001"
_NO_TOW: Final = 0xFFFFFFFF
_NO_WEEK: Final = 0xFFFF
_NO_FLOAT: Final = -2e10
_C_M_PER_S: Final = 299_792_458.0
_FINE_TIME: Final = 7
_WEEK_SET, _TOW_SET, _FINE, _ACTIVE_ANTENNA = 1 << 4, 1 << 5, 1 << 6, 1 << 1
_ANTENNA_ERROR: Final = 1 << 5
_SV_BASE: Final = {0: 0, 6: 37, 2: 70, 3: 140}
"""Added to the satellite's number: GPS, GLONASS, Galileo, BeiDou."""
_SIGNALS: Final = {
    (0, 0): 0, (0, 3): 3, (0, 6): 4, (6, 0): 8, (6, 2): 11, (2, 0): 17, (2, 3): 20, (2, 5): 21, (3, 0): 28,
    (3, 2): 29, (3, 7): 14,
}  # fmt: skip
"""u-blox gnssId and sigId to the guide's signal numbers."""
_HEALTHY: Final = 1
_AUTO_SET: Final = 1 << 6
"""Of PVTGeodetic's mode: the fixed position is still being found."""


def block(epoch: Epoch, number: int, revision: int, body: bytes) -> bytes:
    """A whole block at the epoch's time."""
    tow_ms, week = _NO_TOW, _NO_WEEK
    if epoch.nav.time_known:
        week, tow_ns = tai_to_gps(epoch.tai_s * NS_PER_S)
        tow_ms = tow_ns // 1_000_000
    payload = struct.pack("<IH", tow_ms, week & 0xFFFF) + body
    payload += bytes(-(8 + len(payload)) % 4)
    head = struct.pack("<HH", revision << 13 | number, 8 + len(payload))
    return b"$@" + crc_hqx(head + payload, 0).to_bytes(2, "little") + head + payload


def receiver_time(epoch: Epoch) -> bytes:
    """ReceiverTime."""
    nav = epoch.nav
    if not nav.time_known:
        return struct.pack("<7bB", *(-128,) * 7, 0)
    leap_s = epoch.leap.tai_minus_utc_s(epoch.tai_s) - TAI_MINUS_GPS_S
    year, *rest = epoch.leap.utc(epoch.tai_s)
    fields = (year % 100, *rest) if nav.leap_known else (-128,) * 6
    return struct.pack("<7bB", *fields, leap_s if nav.leap_known else -128, _FINE_TIME if nav.fix_ok else 3)


def pvt_geodetic(epoch: Epoch) -> bytes:
    """PVTGeodetic, revision 2."""
    nav = epoch.nav
    if not nav.fix_ok:
        none = (_NO_FLOAT,) * 3
        return _PVT.pack(
            0, 1, *none, *(_NO_FLOAT,) * 5, _NO_FLOAT, _NO_FLOAT, 0, 255, 0, 0, _NO_WEEK, _NO_WEEK, 0, 0, 0,
            0, _NO_WEEK, _NO_WEEK, _NO_WEEK, 0,
        )  # fmt: skip
    mode = 3 if nav.fix_type == 5 else 1 | (_AUTO_SET if nav.survey_active else 0)
    return _PVT.pack(
        mode, 0, math.radians(epoch.lat_1e7 / 1e7), math.radians(LON_1E7 / 1e7), HEIGHT_MM / 1e3, 48.0,
        0.0, 0.0, 0.0, _NO_FLOAT, 1e-5, 0.01, 0, 0, nav.satellites_used, 0, _NO_WEEK, _NO_WEEK, 0x30001,
        0, 0, 0, 50, 80, 120, 0,
    )  # fmt: skip


def pos_cov_geodetic(epoch: Epoch) -> bytes:
    """PosCovGeodetic: variances in square metres, the clock's among them."""
    if not epoch.nav.fix_ok:
        return struct.pack("<BB10f", 0, 1, *(_NO_FLOAT,) * 10)
    clock_m = epoch.nav.time_accuracy_ns * 1e-9 * _C_M_PER_S
    mode = 3 if epoch.nav.fix_type == 5 else 1
    return struct.pack("<BB10f", mode, 0, 0.08, 0.08, 0.36, clock_m**2, *(0.0,) * 6)


def xpps_offset(epoch: Epoch) -> bytes:
    """xPPSOffset: how late the pulse just emitted was, ns: a u-blox quantisation error has the other sign."""
    scale = {0: 2, 1: 1, 2: 4, 3: 6, 4: 5}.get(epoch.grid, 1)
    return struct.pack("<BBf", min(255, epoch.sync_age_s), scale, -epoch.past_qerr_ps / 1e3)


def receiver_status(epoch: Epoch) -> bytes:
    """ReceiverStatus, revision 1."""
    nav, rf = epoch.nav, epoch.rf
    state = _ACTIVE_ANTENNA if rf.antenna == 2 else 0
    state |= (_WEEK_SET | _TOW_SET) if nav.time_known else 0
    state |= _FINE if nav.fix_ok else 0
    error = _ANTENNA_ERROR if rf.antenna == 3 else 0  # an overcurrent
    gain = 35 if rf.jamming < 2 else 20
    groups = b"".join(struct.pack("<BbBB", band, gain, 100, 0) for band in range(2))
    return struct.pack("<BBIII4B", 12, 0, nav.uptime_ms // 1000, state, error, 2, 4, 1, 145) + groups


def rf_status(epoch: Epoch) -> bytes:
    """RFStatus: a band with interference, and what the receiver thinks of the signals' origin."""
    rf = epoch.rf
    flags = (1 if rf.spoofing >= 2 else 0) | (2 if rf.spoofing >= 3 else 0)
    mode = {2: 2, 3: 8}.get(rf.jamming)
    bands = b"" if mode is None else struct.pack("<IHBx", 1_575_420_000, 2_000, mode | 1 << 6)
    return struct.pack("<BBB3x", len(bands) // 8, 8, flags) + bands


def dop(epoch: Epoch) -> bytes:
    """DOP."""
    if not epoch.nav.fix_ok:
        return struct.pack("<BB4Hff", 0, 0, 0, 0, 0, 0, _NO_FLOAT, _NO_FLOAT)
    return struct.pack("<BB4Hff", epoch.nav.satellites_used, 0, 155, 90, 80, 130, _NO_FLOAT, _NO_FLOAT)


def quality_ind(epoch: Epoch) -> bytes:
    """QualityInd: overall, GNSS signals, RF power level."""
    good = 0 if not epoch.nav.fix_ok else 5 if epoch.rf.jamming >= 2 else 9
    values = ((0, good), (1, good), (11, 10 if epoch.rf.jamming < 2 else 3))
    return struct.pack("<BB", len(values), 0) + b"".join(struct.pack("<H", k | v << 8) for k, v in values)


def gps_utc(epoch: Epoch) -> bytes:
    """GPSUtc: page 18 of subframe 4."""
    week, _ = tai_to_gps(epoch.tai_s * NS_PER_S)
    leap_s = epoch.leap.tai_minus_utc_s(epoch.tai_s) - TAI_MINUS_GPS_S
    change, left_s = epoch.leap.coming(epoch.tai_s)
    # Without a change to come the page shows the last one: end of 2016, GPS week 1929, day 7.
    event_week, day = 1929, 7
    after_s = leap_s + (change if left_s else 0)
    if change:
        # The day of UTC that ends with it.
        event_week, tow_ns = tai_to_gps((epoch.tai_s + left_s - after_s - 1) * NS_PER_S)
        day = tow_ns // (86_400 * NS_PER_S) + 1
    return struct.pack(
        "<BBfdIBbBBb", 5, 0, 0.0, 0.0, 319_488, week & 0xFF, leap_s, event_week & 0xFF, day, after_s
    )


def meas_epoch(epoch: Epoch) -> bytes:
    """MeasEpoch: a channel per satellite, its second band as a sub-block."""
    channels: dict[tuple[int, int], list[tuple[Satellite, int]]] = {}
    for sat, signal, _ in signals(epoch):
        channels.setdefault((sat.gnss_id, sat.sv_id), []).append((sat, signal))
    body = bytearray(struct.pack("<6B", len(channels), 20, 12, 0x08, 0, 0))
    for number, ((gnss, sv), received) in enumerate(channels.items(), start=1):
        sat, signal = received[0]
        body += struct.pack(
            "<4BIiHbBHBB", number, _SIGNALS[gnss, signal], _SV_BASE[gnss] + sv, 4, 3_000_000_000, 12_345, 0,
            -128, _strength(sat), 1000, 0, len(received) - 1,
        )  # fmt: skip
        for other, second in received[1:]:
            body += struct.pack(
                "<4BbBHHH", _SIGNALS[gnss, second], 100, _strength(other), 0, -128, 0, 0, 0, 0
            )
    return bytes(body)


def channel_status(epoch: Epoch) -> bytes:
    """ChannelStatus: direction, tracking and use of each satellite."""
    body = bytearray(struct.pack("<3B3x", len(epoch.sky), 12, 8))
    for number, sat in enumerate(epoch.sky):
        tracked, used = bool(sat.cno_dbhz), number < epoch.nav.satellites_used
        body += struct.pack(
            "<BBHHHbBBB", _SV_BASE[sat.gnss_id] + sat.sv_id, 8 if sat.gnss_id == 6 else 0, 0,
            sat.azimuth_deg, _HEALTHY, sat.elevation_deg, 1, number + 1, 0,
        )  # fmt: skip
        body += struct.pack("<BBHHH", 0, 0, 3 if tracked else 1, 2 if used else 0, 0)
    return bytes(body)


def receiver_setup(epoch: Epoch) -> bytes:
    """ReceiverSetup, revision 4."""

    def text(value: str, size: int) -> bytes:
        return value.encode("ascii").ljust(size, b"\0")

    return (
        bytes(2) + text("SEPT", 60) + text("Unknown", 20) + text("Unknown", 20) + text("Unknown", 40)
        + text(SERIAL, 20) + text(FIRMWARE, 20) + text("Unknown", 20) + text("Unknown", 20)
        + struct.pack("<fff", 0.0, 0.0, 0.0) + text("Unknown", 20) + text(FIRMWARE, 40) + text(MODEL, 40)
        + struct.pack("<ddf", math.radians(LAT_1E7 / 1e7), math.radians(LON_1E7 / 1e7), HEIGHT_MM / 1e3)
        + text("", 10) + bytes(2) + text("", 3) + bytes(21)
    )  # fmt: skip


def end_of_pvt(epoch: Epoch) -> bytes:
    """EndOfPVT."""
    return b""


def _strength(sat: Satellite) -> int:
    """C/N0 in 0.25 dB above 10 dB-Hz."""
    return max(0, min(254, (sat.cno_dbhz - 10) * 4))


_PVT: Final = struct.Struct("<BBdddfffffdfBBBBHHIBBHHHHB")

BLOCKS: Final[Mapping[str, tuple[int, int, Callable[[Epoch], bytes]]]] = {
    # In the order in which they leave the receiver: number, revision, what makes the body.
    "MeasEpoch": (4027, 1, meas_epoch),
    "PVTGeodetic": (4007, 2, pvt_geodetic),
    "PosCovGeodetic": (5906, 0, pos_cov_geodetic),
    "DOP": (4001, 0, dop),
    "EndOfPVT": (5921, 0, end_of_pvt),
    "ReceiverTime": (5914, 0, receiver_time),
    "xPPSOffset": (5911, 0, xpps_offset),
    "GPSUtc": (5894, 0, gps_utc),
    "ChannelStatus": (4013, 0, channel_status),
    "ReceiverStatus": (4014, 1, receiver_status),
    "QualityInd": (4082, 0, quality_ind),
    "RFStatus": (4092, 0, rf_status),
    "ReceiverSetup": (5902, 4, receiver_setup),
}
EVERY_S: Final[Mapping[str, int]] = {"GPSUtc": 30, "ReceiverSetup": 60}
"""Blocks that come by themselves when there is news, and so often at least."""
