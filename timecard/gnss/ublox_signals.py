"""Strength of every signal, and places, from u-blox messages: many small groups, decoded here by struct.

Layouts: u-blox F9 interface description, UBX-NAV-SIG, UBX-NAV-SAT, UBX-NAV-PVT, UBX-NAV-POSLLH,
UBX-NAV-POSECEF; signal identifiers: the same document, "Signal identifiers". pyubx2 needs 2 ms for a
NAV-SAT of 40 satellites, this 0.1.
"""

from __future__ import annotations

import statistics
import struct
from collections.abc import Sequence
from typing import Final

from timecard.gnss.positions import PositionFilter
from timecard.gnss.ubx import UbxFrame
from timecard.values import AntennaPosition, SatelliteView, Signal, SignalView

SYSTEMS: Final = {0: "GPS", 1: "SBAS", 2: "GAL", 3: "BDS", 4: "IMES", 5: "QZSS", 6: "GLO", 7: "NavIC"}
_SIGNALS: Final = {
    (0, 0): "L1C/A", (0, 3): "L2C", (0, 4): "L2C", (0, 6): "L5", (0, 7): "L5",
    (1, 0): "L1C/A",
    (2, 0): "E1", (2, 1): "E1", (2, 3): "E5a", (2, 4): "E5a", (2, 5): "E5b", (2, 6): "E5b",
    (2, 8): "E6", (2, 9): "E6", (2, 10): "E6",
    (3, 0): "B1I", (3, 1): "B1I", (3, 2): "B2I", (3, 3): "B2I", (3, 4): "B3I", (3, 10): "B3I",
    (3, 5): "B1C", (3, 6): "B1C", (3, 7): "B2a", (3, 8): "B2a",
    (5, 0): "L1C/A", (5, 1): "L1S", (5, 4): "L2C", (5, 5): "L2C", (5, 8): "L5", (5, 9): "L5",
    (6, 0): "L1", (6, 2): "L2",
    (7, 0): "L5",
}  # fmt: skip
"""(gnssId, sigId); data and pilot component of one signal have the same name."""

# gnssId svId sigId freqId prRes cno qualityInd corrSource ionoModel sigFlags reserved
_SIG: Final = struct.Struct("<BBBBhBBBBH4x")
_SIG_USED: Final = 0b111 << 3
"""Pseudorange, carrier range or Doppler used."""
# gnssId svId cno elev azim prRes flags
_SAT: Final = struct.Struct("<BBBbhhI")
_SAT_USED: Final = 8
_PVT_PLACE: Final = struct.Struct("<iiiiI")
_POSLLH: Final = struct.Struct("<iiiiII")
_POSECEF: Final = struct.Struct("<iiiI")
_FIX_OK: Final = 1
_INVALID_LLH: Final = 1


def signals_of_nav_sig(payload: bytes, read_mono_ns: int) -> SignalView:
    """NAV-SIG; a signal without strength is not seen. The length must have been checked."""
    names = _SIGNALS
    return SignalView(
        signals=tuple(
            Signal(
                system=SYSTEMS.get(system, f"GNSS {system}"),
                satellite=satellite,
                signal=names.get((system, signal), ""),
                cno_dbhz=float(cno),
                used=bool(flags & _SIG_USED),
            )
            for system, satellite, signal, _, _, cno, _, _, _, flags in _SIG.iter_unpack(
                _groups(payload, _SIG.size)
            )
            if cno
        ),
        read_mono_ns=read_mono_ns,
    )


def signals_of_nav_sat(payload: bytes, read_mono_ns: int) -> SignalView:
    """NAV-SAT tells a satellite's strongest signal without its name."""
    return SignalView(
        signals=tuple(
            Signal(
                system=SYSTEMS.get(system, f"GNSS {system}"),
                satellite=satellite,
                signal="",
                cno_dbhz=float(cno),
                used=bool(flags & _SAT_USED),
            )
            for system, satellite, cno, _, _, _, flags in _SAT.iter_unpack(_groups(payload, _SAT.size))
            if cno
        ),
        read_mono_ns=read_mono_ns,
    )


def satellites_of_nav_sat(payload: bytes, read_mono_ns: int) -> SatelliteView:
    """NAV-SAT summed up; a satellite without signal is not seen."""
    by_system: dict[str, int] = {}
    strengths: list[int] = []
    seen = 0
    for system, _, cno, _, _, _, flags in _SAT.iter_unpack(_groups(payload, _SAT.size)):
        seen += cno > 0
        if flags & _SAT_USED:
            name = SYSTEMS.get(system, f"GNSS {system}")
            by_system[name] = by_system.get(name, 0) + 1
            strengths.append(cno)
    return SatelliteView(
        seen=seen,
        used=len(strengths),
        median_cno_dbhz=float(statistics.median(strengths)) if strengths else 0.0,
        by_system=by_system,
        read_mono_ns=read_mono_ns,
    )


def _groups(payload: bytes, size: int) -> bytes:
    """As many as the header announces."""
    return payload[8 : 8 + size * payload[5]]


class UbloxPlaces:
    """Places from NAV-PVT, NAV-POSLLH and NAV-POSECEF, the first of them that there is."""

    def __init__(self) -> None:
        self._filter = PositionFilter()

    def of_nav_pvt(self, frame: UbxFrame, read_mono_ns: int) -> Sequence[AntennaPosition]:
        """Nothing without a fix, or where the receiver itself calls the place invalid."""
        raw = frame.raw
        if len(raw) < 92 or not raw[27] & _FIX_OK or raw[84] & _INVALID_LLH:
            return ()
        longitude, latitude, height_mm, _, sigma_mm = _PVT_PLACE.unpack_from(raw, 30)
        return self._filter.geodetic(
            latitude / 1e7, longitude / 1e7, height_mm / 1e3, sigma_mm / 1e3, read_mono_ns, 2
        )

    def of_nav_posllh(self, frame: UbxFrame, read_mono_ns: int) -> Sequence[AntennaPosition]:
        """The message has no flag of its own: ask only while the receiver has a fix."""
        longitude, latitude, height_mm, _, sigma_mm, _ = _POSLLH.unpack_from(frame.raw, 10)
        return self._filter.geodetic(
            latitude / 1e7, longitude / 1e7, height_mm / 1e3, sigma_mm / 1e3, read_mono_ns, 1
        )

    def of_nav_posecef(self, frame: UbxFrame, read_mono_ns: int) -> Sequence[AntennaPosition]:
        """As NAV-POSLLH; its accuracy is the three-dimensional one."""
        x_cm, y_cm, z_cm, sigma_cm = _POSECEF.unpack_from(frame.raw, 10)
        return self._filter.earth_centred(x_cm / 1e2, y_cm / 1e2, z_cm / 1e2, sigma_cm / 1e2, read_mono_ns)
