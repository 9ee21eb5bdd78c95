"""Times of recordings that tell none, and rows of seconds."""

from __future__ import annotations

import struct

from timecard.gnss.framing import Item, NmeaSentence, Rtcm3Frame, SbfBlock, UbxFrame
from timecard.gnss.pacing import EpochPacer
from timecard.gnss.series import GnssSecond, per_second
from timecard.gnss.ubx import encode
from timecard.timescale import NS_PER_S
from timecard.values import CorruptData, FixType, GnssFix, PulseLabel

WEEK_MS = 604_800_000


def ubx(itow_ms: int, key: int = 0x0107) -> UbxFrame:
    return UbxFrame(key, encode(key, struct.pack("<I", itow_ms) + bytes(12)))


def sbf(tow_ms: int) -> SbfBlock:
    return SbfBlock(4007, b"$@\0\0\xa7\x0f\x10\0" + struct.pack("<IH", tow_ms, 2400) + b"\0\0")


def nmea(clock: str, kind: str = "GNRMC") -> NmeaSentence:
    return NmeaSentence(f"${kind},{clock},A*00\r\n".encode("ascii"))


def paced_ms(*items: Item) -> list[int]:
    pacer = EpochPacer()
    return [pacer(item) // 1_000_000 for item in items]


def test_seconds_of_the_receiver_are_seconds_of_the_replay() -> None:
    assert paced_ms(ubx(5000), ubx(5000, 0x0103), ubx(6000), ubx(6200), ubx(10_000)) == [
        0,
        0,
        1000,
        1200,
        5000,
    ]
    assert paced_ms(ubx(WEEK_MS - 1000), ubx(0), ubx(1000)) == [0, 1000, 2000]
    assert paced_ms(nmea("235959.50"), nmea("000000.50"), nmea("000001.00", "GNZDA")) == [0, 1000, 1500]
    assert paced_ms(sbf(1000), sbf(0xFFFFFFFF), sbf(2000)) == [0, 0, 1000]


def test_a_jump_is_one_second_and_time_never_goes_back() -> None:
    assert paced_ms(ubx(500_000), ubx(400_000), ubx(401_000), ubx(5_000_000)) == [0, 1000, 2000, 3000]


def test_what_has_no_time_takes_the_last_one() -> None:
    noise = CorruptData(length=3, reason="no frame", read_mono_ns=0)
    label = UbxFrame(0x0D01, encode(0x0D01, bytes(16)))
    items = (ubx(1000), ubx(2000), noise, label, Rtcm3Frame(b"\xd3\0\0\x47\xea\x4b"), nmea("", "GNGGA"))
    assert paced_ms(*items) == [0, 1000, 1000, 1000, 1000, 1000]


def test_a_binary_protocol_leads_nmea() -> None:
    items = (nmea("120000.00"), nmea("120001.00"), ubx(43_218_000), nmea("120002.00"), ubx(43_219_000))
    assert paced_ms(*items) == [0, 1000, 1000, 1000, 2000]


def label(second: int | None, qerr_ns: float | None = 1.5) -> PulseLabel:
    edge = None if second is None else second * NS_PER_S
    return PulseLabel(edge_tai_ns=edge, qerr_ns=qerr_ns, pulse_locked=True, read_mono_ns=0)


def fix(second: int | None) -> GnssFix:
    return GnssFix(
        epoch_tai_ns=None if second is None else second * NS_PER_S,
        fix=FixType.FIX_3D,
        fix_ok=True,
        time_valid=second is not None,
        utc_resolved=True,
        time_accuracy_ns=20.0,
        satellites_used=9,
        read_mono_ns=0,
    )


def test_a_label_before_and_an_epoch_after_make_one_row() -> None:
    events = [
        event for second in range(100, 120) for event in (fix(second), label(second + 1, float(second)))
    ]
    rows = list(per_second(events))
    assert [row.tai_ns for row in rows] == [second * NS_PER_S for second in range(100, 121)]
    assert [row.qerr_ns for row in rows] == [None, *map(float, range(100, 120))]
    assert [row.time_valid for row in rows] == [True] * 20 + [None]


def test_what_names_no_second_is_a_row_of_its_own() -> None:
    rows = list(per_second([label(None), fix(None), fix(100)]))
    assert rows[0] == GnssSecond(tai_ns=None, qerr_ns=1.5, pulse_locked=True)
    assert (rows[1].tai_ns, rows[1].time_valid) == (None, False)
    assert rows[2].tai_ns == 100 * NS_PER_S


def test_seconds_that_jump_about_are_not_kept_for_ever() -> None:
    rows = per_second(fix(1000 - 10 * number) for number in range(50))
    assert len([next(rows) for _ in range(30)]) == 30
    assert len(list(rows)) == 20
