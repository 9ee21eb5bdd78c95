"""Signals and satellites from GSV and GSA, which come in groups of sentences per system and signal."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any, Final

from timecard.gnss import nmea_sentences as nmea
from timecard.timescale import NS_PER_S
from timecard.values import GnssEvent, SatelliteView, Signal, SignalView

_EVERY_NS: Final = 850_000_000
"""Once a second, with room for the jitter of the line."""
_SATELLITES_EVERY_NS: Final = 10 * NS_PER_S
_MAX_GROUPS: Final = 32
_MAX_IN_GROUP: Final = 64
_MAX_USED: Final = 256
_Found = list[tuple[str, int, str, float]]


class NmeaSatellites:
    """Collects the groups of one epoch; ``publish`` when the next begins."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str], _Found] = {}
        self._used: set[tuple[str, int]] = set()
        self._has_gsa = False
        self._published_ns: int | None = None
        self._satellites_ns: int | None = None

    def add_gsv(self, talker: str, message: Any) -> None:
        """One of the sentences of a group; the first begins it anew."""
        signal_id = str(getattr(message, "signalID", ""))
        key = (talker, signal_id)
        if message.msgNum == 1 or key not in self._groups:
            if key not in self._groups and len(self._groups) >= _MAX_GROUPS:
                return
            self._groups[key] = []
        group = self._groups[key]
        for number in range(1, 5):
            satellite = getattr(message, f"svid_{number:02d}", "")
            strength = getattr(message, f"cno_{number:02d}", "")
            if not isinstance(satellite, int) or not isinstance(strength, int | float) or strength <= 0:
                continue
            if len(group) < _MAX_IN_GROUP:
                system, own_number = nmea.satellite_of(talker, satellite)
                group.append((system, own_number, nmea.signal_name(system, signal_id), float(strength)))

    def add_gsa(self, talker: str, message: Any) -> None:
        """Satellites in the solution."""
        self._has_gsa = True
        system_id = str(getattr(message, "systemId", ""))
        for number in range(1, 13):
            satellite = getattr(message, f"svid_{number:02d}", "")
            if isinstance(satellite, int) and satellite > 0 and len(self._used) < _MAX_USED:
                self._used.add(nmea.satellite_of(talker, satellite, system_id))

    def publish(self, read_mono_ns: int) -> Sequence[GnssEvent]:
        """A new epoch begins: what the last one said, at most once a second."""
        groups, used, has_gsa = self._groups, self._used, self._has_gsa
        self._groups, self._used, self._has_gsa = {}, set(), False
        found = [one for group in groups.values() for one in group]
        last_ns = self._published_ns
        if not groups or (last_ns is not None and read_mono_ns - last_ns < _EVERY_NS):
            return ()
        self._published_ns = read_mono_ns
        signals = tuple(
            Signal(
                system=system,
                satellite=satellite,
                signal=signal,
                cno_dbhz=strength,
                used=(system, satellite) in used if has_gsa else None,
            )
            for system, satellite, signal, strength in found
        )
        view = SignalView(signals=signals, read_mono_ns=read_mono_ns)
        told_ns = self._satellites_ns
        if not has_gsa or (told_ns is not None and read_mono_ns - told_ns < _SATELLITES_EVERY_NS):
            return (view,)
        self._satellites_ns = read_mono_ns
        return (view, _summary(signals, used, read_mono_ns))


def _summary(signals: Sequence[Signal], used: set[tuple[str, int]], read_mono_ns: int) -> SatelliteView:
    by_system: dict[str, int] = {}
    for system, _ in used:
        by_system[system] = by_system.get(system, 0) + 1
    strengths = [signal.cno_dbhz for signal in signals if signal.used]
    return SatelliteView(
        seen=len({(signal.system, signal.satellite) for signal in signals}),
        used=len(used),
        median_cno_dbhz=statistics.median(strengths) if strengths else 0.0,
        by_system=dict(sorted(by_system.items())),
        read_mono_ns=read_mono_ns,
    )
