"""NMEA 0183 sentences of an emulated receiver (talker GN), formatted by hand.

Field lists: NMEA 0183 version 4.11 as described in the u-blox F9 interface description, "NMEA protocol".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from operator import xor
from typing import Final

from timecard.emulator.receiver_epoch import HEIGHT_MM, LON_1E7, Epoch

_SYSTEMS: Final = ((0, "GP", 1), (6, "GL", 2), (2, "GA", 3), (3, "GB", 4))
"""UBX gnssId, talker, NMEA system id."""
_GSA_SLOTS: Final = 12
_GSV_PER_SENTENCE: Final = 4


def sentence(talker: str, kind: str, fields: str) -> bytes:
    """Frame and checksum."""
    body = f"{talker}{kind},{fields}".encode("ascii")
    return b"$%s*%02X\r\n" % (body, reduce(xor, body))


def _clock(epoch: Epoch) -> str:
    if not epoch.nav.time_known:
        return ""
    _, _, _, hour, minute, second = epoch.leap.utc(epoch.tai_s)
    return f"{hour:02d}{minute:02d}{second:02d}.00"


def _angle(value_1e7: int, degrees: int, marks: str) -> str:
    whole, rest = divmod(abs(value_1e7), 10_000_000)
    return f"{whole:0{degrees}d}{rest * 60 / 1e7:08.5f},{marks[value_1e7 < 0]}"


def _position(epoch: Epoch) -> str:
    if not epoch.nav.fix_ok:
        return ",,,"
    return f"{_angle(epoch.lat_1e7, 2, 'NS')},{_angle(LON_1E7, 3, 'EW')}"


def rmc(epoch: Epoch) -> bytes:
    """RMC."""
    ok = epoch.nav.fix_ok
    date = ""
    if epoch.nav.time_known:
        year, month, day, *_ = epoch.leap.utc(epoch.tai_s)
        date = f"{day:02d}{month:02d}{year % 100:02d}"
    state, speed, mode = ("A", "0.004", "A") if ok else ("V", "", "N")
    return sentence("GN", "RMC", f"{_clock(epoch)},{state},{_position(epoch)},{speed},,{date},,,{mode},V")


def gga(epoch: Epoch) -> bytes:
    """GGA."""
    nav = epoch.nav
    height = f"{HEIGHT_MM / 1000 - 48.0:.1f},M,48.0,M" if nav.fix_ok else ",,,"
    dop = "0.80" if nav.fix_ok else "99.99"
    used = min(12, nav.satellites_used)
    fields = f"{_clock(epoch)},{_position(epoch)},{int(nav.fix_ok)},{used:02d},{dop},{height},,"
    return sentence("GN", "GGA", fields)


def gll(epoch: Epoch) -> bytes:
    """GLL."""
    state, mode = ("A", "A") if epoch.nav.fix_ok else ("V", "N")
    return sentence("GN", "GLL", f"{_position(epoch)},{_clock(epoch)},{state},{mode}")


def vtg(epoch: Epoch) -> bytes:
    """VTG."""
    moving = ",T,,M,0.004,N,0.008,K,A" if epoch.nav.fix_ok else ",T,,M,,N,,K,N"
    return sentence("GN", "VTG", moving)


def zda(epoch: Epoch) -> bytes:
    """ZDA."""
    if not epoch.nav.time_known:
        return sentence("GN", "ZDA", ",,,,00,00")
    year, month, day, *_ = epoch.leap.utc(epoch.tai_s)
    return sentence("GN", "ZDA", f"{_clock(epoch)},{day:02d},{month:02d},{year},00,00")


def gsa(epoch: Epoch) -> bytes:
    """GSA, one sentence per system."""
    nav = epoch.nav
    mode = 3 if nav.fix_ok else 1
    dops = "1.55,0.80,1.30" if nav.fix_ok else "99.99,99.99,99.99"
    out = []
    for gnss_id, _, system in _SYSTEMS:
        used = [sat.sv_id for sat in epoch.sky[: nav.satellites_used] if sat.gnss_id == gnss_id][:_GSA_SLOTS]
        slots = ",".join([*(f"{sv:02d}" for sv in used), *[""] * (_GSA_SLOTS - len(used))])
        out.append(sentence("GN", "GSA", f"A,{mode},{slots},{dops},{system}"))
    return b"".join(out)


def gsv(epoch: Epoch) -> bytes:
    """GSV, four satellites a sentence."""
    out = []
    for gnss_id, talker, _ in _SYSTEMS:
        seen = [sat for sat in epoch.sky if sat.gnss_id == gnss_id and sat.cno_dbhz]
        count = max(1, -(-len(seen) // _GSV_PER_SENTENCE))
        for number in range(count):
            part = seen[number * _GSV_PER_SENTENCE : (number + 1) * _GSV_PER_SENTENCE]
            groups = "".join(
                f",{sat.sv_id:02d},{sat.elevation_deg:02d},{sat.azimuth_deg:03d},{sat.cno_dbhz:02d}"
                for sat in part
            )
            out.append(sentence(talker, "GSV", f"{count},{number + 1},{len(seen):02d}{groups},1"))
    return b"".join(out)


SENTENCES: Final[Mapping[str, Callable[[Epoch], bytes]]] = {
    "RMC": rmc, "GGA": gga, "GLL": gll, "GSA": gsa, "GSV": gsv, "VTG": vtg, "ZDA": zda,
}  # fmt: skip
