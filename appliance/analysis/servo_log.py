"""Offsets in the log of ``ptp4l``, ``phc2sys`` and ``ts2phc`` of linuxptp, as printed or as kept by journald.

The offset is clock minus reference, in ns. The programs say when on CLOCK_MONOTONIC, in brackets. Offsets
from before the servo first locked (states s0 and s1) are of a clock that was being set, and left out.
"""

from __future__ import annotations

import re
from typing import Final

from appliance.analysis.errors import InputError
from appliance.analysis.lines import Lines
from appliance.analysis.recording import ReadOptions, Recording, SampleBuffer
from appliance.analysis.units import parse_unit

_ENTRY: Final = re.compile(
    r"(?:\b(?P<program>ptp4l|phc2sys|ts2phc)\b[^\s\[]{0,40})?(?:\[\d{1,12}\])?:?\s?"
    r"\[(?P<time>\d{1,12}\.\d{3})\]:?\s(?P<text>.{1,300})"
)
_OFFSET: Final = re.compile(
    r"(?P<clock>.*?)\s*\b(?:(?:master|phc|sys)\s+)?offset\s+(?P<offset>[+-]?\d{1,19})\s+s(?P<state>\d)\s+freq\b"
)
_SUMMARY: Final = re.compile(r"\brms\s+\d+\s+max\s+\d+\s+freq\b")
_SUMMARIES: Final = "only summaries (rms, max); set summary_interval 0, or phc2sys -u 0"
_UNLOCKED: Final = frozenset("01")


class ServoLogReader:
    """A log with offsets of one or several clocks."""

    def recognises(self, head: bytes) -> bool:
        """The first lines hold an entry of linuxptp."""
        text = head.decode("utf-8", "backslashreplace")
        return any(
            (match := _ENTRY.search(line)) is not None
            and (match["program"] is not None or _OFFSET.search(match["text"]) is not None)
            for line in text.splitlines()
        )

    def read(self, lines: Lines, options: ReadOptions) -> Recording:
        """Read the offsets of one clock; raises ``InputError``."""
        found: dict[str, SampleBuffer] = {}
        early: dict[str, int] = {}
        summaries = 0
        for line, text in lines:
            entry = _ENTRY.search(text)
            if entry is None:
                continue
            match = _OFFSET.search(entry["text"])
            if match is None:
                summaries += _SUMMARY.search(entry["text"]) is not None
                continue
            clock = f"{entry['program'] or ''} {match['clock']}".strip() or "offset"
            if options.clock is not None and options.clock not in clock:
                found.setdefault(clock, SampleBuffer(lines.source, options.skip_bad))
                continue
            if clock not in found and match["state"] in _UNLOCKED:
                early[clock] = early.get(clock, 0) + 1
                continue
            buffer = found.setdefault(clock, SampleBuffer(lines.source, options.skip_bad))
            milliseconds = int(entry["time"].replace(".", ""))
            buffer.add(line, float(match["offset"]), milliseconds)
        clock, buffer = _chosen(lines.source, found, options.clock, summaries)
        left_out = early.get(clock, 0)
        note = (f"left out, from before the servo locked: {left_out}",) if left_out else ()
        return Recording(
            source=lines.source,
            clock=clock,
            values=buffer.values,
            times_s=buffer.times_s(1e-3),
            unit=parse_unit("ns"),
            unit_origin="linuxptp",
            notes=(*note, *buffer.notes),
        )


def _chosen(
    source: str, found: dict[str, SampleBuffer], asked: str | None, summaries: int
) -> tuple[str, SampleBuffer]:
    if not found:
        raise InputError(source, f"the log holds {_SUMMARIES if summaries else 'no offsets'}")
    named = {clock: buffer for clock, buffer in found.items() if asked is None or asked in clock}
    if len(named) != 1:
        problem = "several clocks" if named else f"no clock {asked!r}"
        raise InputError(source, f"{problem}; choose with --clock: {', '.join(sorted(named or found))}")
    return named.popitem()
