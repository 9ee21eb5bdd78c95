"""Strength of every signal, and which satellites are used, from Septentrio blocks, decoded by struct.

Layouts: Septentrio mosaic-X5 reference guide, MeasEpoch, ChannelStatus, "SVID" and "Signal type"; the
names of signals are the ones of ``timecard.values.Signal``.
"""

from __future__ import annotations

import statistics
import struct
from collections.abc import Sequence
from typing import Final

from timecard.gnss import sbf_messages as sbf
from timecard.gnss.framing import SbfBlock
from timecard.timescale import NS_PER_S
from timecard.values import GnssEvent, SatelliteView, Signal, SignalView

_EVERY_NS: Final = 850_000_000
"""Once a second, with room for the jitter of the line."""
_FRESH_NS: Final = 10 * NS_PER_S
_SATELLITES_EVERY_NS: Final = 10 * NS_PER_S
_DO_NOT_FIT: Final = "groups do not fit in it"

_SIGNALS: Final = {
    0: ("GPS", "L1C/A"), 1: ("GPS", "L1P"), 2: ("GPS", "L2P"), 3: ("GPS", "L2C"), 4: ("GPS", "L5"),
    5: ("GPS", "L1C"), 6: ("QZSS", "L1C/A"), 7: ("QZSS", "L2C"), 8: ("GLO", "L1"), 9: ("GLO", "L1P"),
    10: ("GLO", "L2P"), 11: ("GLO", "L2"), 12: ("GLO", "L3"), 13: ("BDS", "B1C"), 14: ("BDS", "B2a"),
    15: ("NavIC", "L5"), 17: ("GAL", "E1"), 19: ("GAL", "E6"), 20: ("GAL", "E5a"), 21: ("GAL", "E5b"),
    22: ("GAL", "E5"), 24: ("SBAS", "L1C/A"), 25: ("SBAS", "L5"), 26: ("QZSS", "L5"), 27: ("QZSS", "L6"),
    28: ("BDS", "B1I"), 29: ("BDS", "B2I"), 30: ("BDS", "B3I"), 32: ("QZSS", "L1C"), 33: ("QZSS", "L1S"),
    34: ("BDS", "B2b"), 38: ("QZSS", "L1C/B"), 39: ("QZSS", "L5S"),
}  # fmt: skip
"""Signal number to system and signal."""
_EXTENDED: Final = 31
"""A signal number that does not fit in five bits is 32 plus the upper bits of ObsInfo."""
_SATELLITES: Final = (
    (1, 37, "GPS", 0), (38, 61, "GLO", 37), (63, 68, "GLO", 38), (71, 106, "GAL", 70), (120, 140, "SBAS", 0),
    (141, 180, "BDS", 140), (181, 187, "QZSS", 180), (191, 197, "NavIC", 190), (198, 215, "SBAS", 57),
    (216, 222, "NavIC", 208), (223, 245, "BDS", 182),
)  # fmt: skip
"""First and last SVID, system, and what to subtract for the satellite's own number."""
_TYPE1_BYTES: Final = 20
_TYPE2_BYTES: Final = 12
_CHANNEL_BYTES: Final = 12
_STATE_BYTES: Final = 8
_TRACKING: Final = 3
_USED: Final = 2
_NO_CNO: Final = 255
_STATES: Final = struct.Struct("<HH")


def satellite(svid: int) -> tuple[str, int]:
    """System and number within the system."""
    for first, last, system, offset in _SATELLITES:
        if first <= svid <= last:
            return system, svid - offset
    return "other", svid


def signals_of_meas_epoch(raw: bytes, used: frozenset[int] | None) -> tuple[Signal, ...] | None:
    """C/N0 of all signals of a MeasEpoch block; None when its groups do not fit in it.

    ``used``: SVIDs in the solution, by the latest ChannelStatus; None when that is not known.
    """
    count, size1, size2 = raw[14], raw[15], raw[16]
    if count and (size1 < _TYPE1_BYTES or size2 < _TYPE2_BYTES):
        return None
    signals: list[Signal] = []
    at = 20
    for _ in range(count):
        if at + size1 > len(raw):
            return None
        svid = raw[at + 2]
        _add(signals, svid, raw[at + 1], raw[at + 15], raw[at + 18], used)
        more = raw[at + 19]
        at += size1
        if at + more * size2 > len(raw):
            return None
        for _ in range(more):
            _add(signals, svid, raw[at], raw[at + 2], raw[at + 5], used)
            at += size2
    return tuple(signals)


def _add(
    signals: list[Signal], svid: int, kind: int, strength: int, observation: int, used: frozenset[int] | None
) -> None:
    number = kind & 31
    if number == _EXTENDED:
        number = 32 + (observation >> 3)
    if strength == _NO_CNO:
        return
    system, own_number = satellite(svid)
    signals.append(
        Signal(
            system=system,
            satellite=own_number,
            signal=_SIGNALS.get(number, ("", ""))[1],
            # GPS P(Y) is tracked without the code's key: its scale begins lower.
            cno_dbhz=strength / 4 + (0 if number in (1, 2) else 10),
            used=None if used is None else svid in used,
        )
    )


def tracked_and_used(raw: bytes) -> tuple[frozenset[int], frozenset[int]] | None:
    """SVIDs that a ChannelStatus block calls tracked and used; None when its groups do not fit in it."""
    count, size1, size2 = raw[14], raw[15], raw[16]
    if count and (size1 < _CHANNEL_BYTES or size2 < _STATE_BYTES):
        return None
    tracked, used = set(), set()
    at = 20
    for _ in range(count):
        if at + size1 > len(raw):
            return None
        svid, states = raw[at], raw[at + 9]
        at += size1
        if at + states * size2 > len(raw):
            return None
        for _ in range(states):
            tracking, solution = _STATES.unpack_from(raw, at + 2)
            if any(tracking >> shift & 3 == _TRACKING for shift in range(0, 16, 2)):
                tracked.add(svid)
            if any(solution >> shift & 3 == _USED for shift in range(0, 16, 2)):
                used.add(svid)
            at += size2
    return frozenset(tracked), frozenset(used)


class SbfSignals:
    """MeasEpoch and ChannelStatus put together, each decoded at most once a second."""

    def __init__(self) -> None:
        self._used: frozenset[int] = frozenset()
        self._tracked: frozenset[int] = frozenset()
        self._used_ns: int | None = None
        self._signals_ns: int | None = None
        self._satellites_ns: int | None = None

    def of_channel_status(self, block: SbfBlock, read_mono_ns: int) -> Sequence[GnssEvent]:
        """Remembers which satellites are tracked and used."""
        if not _is_due(self._used_ns, _EVERY_NS, read_mono_ns):
            return ()
        short = sbf.too_short(block, read_mono_ns)
        if short is not None:
            return (short,)
        found = tracked_and_used(block.raw)
        if found is None:
            return (sbf.corrupt(block, _DO_NOT_FIT, read_mono_ns),)
        self._tracked, self._used = found
        self._used_ns = read_mono_ns
        return ()

    def of_meas_epoch(self, block: SbfBlock, read_mono_ns: int) -> Sequence[GnssEvent]:
        """Signals; every ten seconds satellites too, if it is known which are used."""
        if not _is_due(self._signals_ns, _EVERY_NS, read_mono_ns):
            return ()
        short = sbf.too_short(block, read_mono_ns)
        if short is not None:
            return (short,)
        known = not _is_due(self._used_ns, _FRESH_NS, read_mono_ns)
        signals = signals_of_meas_epoch(block.raw, self._used if known else None)
        if signals is None:
            return (sbf.corrupt(block, _DO_NOT_FIT, read_mono_ns),)
        self._signals_ns = read_mono_ns
        view = SignalView(signals=signals, read_mono_ns=read_mono_ns)
        if not known or not _is_due(self._satellites_ns, _SATELLITES_EVERY_NS, read_mono_ns):
            return (view,)
        self._satellites_ns = read_mono_ns
        return (view, self._satellites(signals, read_mono_ns))

    def _satellites(self, signals: Sequence[Signal], read_mono_ns: int) -> SatelliteView:
        by_system: dict[str, int] = {}
        for svid in self._used:
            system, _ = satellite(svid)
            by_system[system] = by_system.get(system, 0) + 1
        strengths = [signal.cno_dbhz for signal in signals if signal.used]
        return SatelliteView(
            seen=len(self._tracked),
            used=len(self._used),
            median_cno_dbhz=statistics.median(strengths) if strengths else 0.0,
            by_system=by_system,
            read_mono_ns=read_mono_ns,
        )


def _is_due(last_ns: int | None, period_ns: int, now_ns: int) -> bool:
    return last_ns is None or now_ns - last_ns >= period_ns
