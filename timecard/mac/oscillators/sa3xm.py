"""Microchip SA.3Xm (SA.33m, SA.35m): a rubidium oscillator that is only watched.

One byte asks, one line answers; fields as oscillatord (``src/oscillators/sa3x_oscillator.c``) reads them.
BITE is the digit ``0`` for a locked unit (oscillatord compares it with a zero byte and shows the opposite).
The part's other commands are not published.
"""

from __future__ import annotations

import re
from typing import Final

from timecard.errors import DeviceAbsentError, DeviceTimeoutError, ProtocolError
from timecard.mac.driver import OscillatorDriver, PartLimits
from timecard.mac.text_line import TextLine
from timecard.mac.watched import WatchedPart
from timecard.mac.wear import WearLedger
from timecard.protocols import ByteStream
from timecard.timebase import Timebase
from timecard.values import OscillatorIdentity, OscillatorStatus, Reading

FAMILY: Final = "sa3xm"
BAUD: Final = 57_600
ASK: Final = b"^"
_REPLY_S: Final = 0.5
_PROBE_S: Final = 0.3
_QUIET_S: Final = 0.05
_MAX_LINE: Final = 128
_MIN_FIELDS: Final = 9
_FIELDS: Final = (
    ("BITE", ""), ("version", ""), ("serial", ""), ("TEC control", "m degC"), ("RF control", "0.1 mV"),
    ("DDS centre current", "0.01 Hz"), ("cell heater current", "mA"), ("DC signal", "mV"),
    ("temperature", "m degC"), ("digital tuning", "0.01 Hz"), ("analog tuning on", ""),
    ("analog tuning", "mV"),
)  # fmt: skip
_NUMBER: Final = re.compile(r"[+-]?\d{1,9}(?:\.\d{1,6})?")
_TEXT: Final = re.compile(r"[0-9A-Za-z._\-]{1,20}")
_MONITOR_ONLY: Final = "this part can only be watched: its control commands are not published"


class Sa3xm(WatchedPart):
    """``Oscillator`` for an SA.3Xm on a byte stream of 57600 baud, 8N1. It takes no orders."""

    def __init__(self, stream: ByteStream, timebase: Timebase, *, wear: WearLedger | None = None) -> None:
        super().__init__(stream.name, _MONITOR_ONLY)
        self._line = TextLine(stream, timebase, end=b"\n", max_bytes=_MAX_LINE)
        self._timebase = timebase

    def identify(self) -> OscillatorIdentity:
        """Ask for its line, which has version and serial number."""
        try:
            fields = self._ask()
        except (DeviceTimeoutError, ProtocolError) as error:
            raise DeviceAbsentError(
                self.name, "identify oscillator", f"no SA.3Xm telemetry at {BAUD} baud: {error.reason}"
            ) from error
        return OscillatorIdentity(family=FAMILY, model="SA.3Xm", serial=fields[2], firmware=fields[1])

    def status(self, full: bool = False) -> OscillatorStatus:
        """One line has everything. It has no phase meter, and says nothing of pulses."""
        fields = self._ask()
        locked = fields[0] == "0"
        tuning = float(fields[9]) if len(fields) > 9 else 0.0
        return OscillatorStatus(
            locked=locked,
            lock_progress_percent=100 if locked else 0,
            frequency_ppb=tuning,  # 0.01 Hz of 10 MHz is 1 ppb
            phase_ns=None,
            pps_detected=False,
            temperature_mdegc=round(float(fields[8])),
            alarms=0,
            alarm_names=(),
            readings=tuple(
                Reading(name=name, value=text if name in ("version", "serial") else float(text), unit=unit)
                for (name, unit), text in zip(_FIELDS, fields, strict=False)
            ),
            dropped=self._line.dropped,
            read_mono_ns=self._timebase.mono_ns(),
        )

    # --- internals ---

    def _ask(self) -> tuple[str, ...]:
        text: str | None = None
        for _ in range(2):
            text = self._line.ask(ASK, _REPLY_S)
            fields = parse(text or "")
            if fields is not None:
                return fields
            self._line.dropped += bool(text or self._line.unfinished)
            self._line.drain(_QUIET_S)
        if text is None:
            raise DeviceTimeoutError(self.name, "read telemetry", f"no line within {_REPLY_S} s")
        raise ProtocolError(self.name, "read telemetry", f"answers {text[:40]!r}")


def parse(line: str) -> tuple[str, ...] | None:
    """The nine to twelve fields of a line, or None when it is none."""
    fields = tuple(field.strip() for field in line[: _MAX_LINE + 1].strip().split(","))
    if not _MIN_FIELDS <= len(fields) <= len(_FIELDS) or fields[0] not in ("0", "1"):
        return None
    if not all(_TEXT.fullmatch(field) for field in fields[1:3]):
        return None
    return fields if all(_NUMBER.fullmatch(field) for field in fields[3:]) else None


def probe(stream: ByteStream, timebase: Timebase) -> OscillatorIdentity | None:
    """Ask for its line once."""
    line = TextLine(stream, timebase, end=b"\n", max_bytes=_MAX_LINE)
    text = line.ask(ASK, _PROBE_S)
    if text is None or parse(text) is None:
        return None
    try:
        return Sa3xm(stream, timebase).identify()
    except DeviceAbsentError:
        return None


DRIVER: Final = OscillatorDriver(
    family=FAMILY,
    baud=BAUD,
    order=30,
    probe=probe,
    open=Sa3xm,
    limits=PartLimits(warm_up_s=1_800.0, temperature_mdegc=(-15_000, 80_000)),
)
