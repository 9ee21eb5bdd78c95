"""The newest word of every kind that the devices said: what a status page shows beside the clock itself."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field

from appliance.events import Event, OscillatorReport, SourceFault, SourceRestored
from timecard.values import (
    Alarm,
    CorruptData,
    GnssFix,
    LeapInfo,
    OscillatorStatus,
    PulseLabel,
    ReceiverIdentity,
    RfStatus,
    SatelliteView,
    SurveyStatus,
)

log = logging.getLogger(__name__)

GNSS_WORDS = (
    GnssFix,
    LeapInfo,
    SurveyStatus,
    RfStatus,
    SatelliteView,
    PulseLabel,
    ReceiverIdentity,
    CorruptData,
)


@dataclass(slots=True)
class StatusBoard:
    """Latest values; a value's age is its ``read_mono_ns``."""

    fix: GnssFix | None = None
    leap: LeapInfo | None = None
    survey: SurveyStatus | None = None
    rf: RfStatus | None = None
    satellites: SatelliteView | None = None
    pulse: PulseLabel | None = None
    receiver: ReceiverIdentity | None = None
    oscillator: OscillatorStatus | None = None
    last_gnss_mono_ns: int | None = None
    faults: dict[str, str] = field(default_factory=dict)
    counters: Counter[str] = field(default_factory=Counter)

    def note(self, event: Event) -> None:
        """Remember what ``event`` says."""
        match event:
            case GnssFix():
                self.fix = event
            case LeapInfo():
                self.leap = event
            case SurveyStatus():
                self.survey = event
            case RfStatus():
                self.rf = _merged(self.rf, event)
            case SatelliteView():
                self.satellites = event
            case PulseLabel():
                self.pulse = event
            case ReceiverIdentity():
                self.receiver = event
            case OscillatorReport(status=status):
                self.oscillator = status
            case SourceFault(source=source, reason=reason):
                self.faults[source] = reason
            case SourceRestored(source=source):
                self.faults.pop(source, None)
            case Alarm():
                log.warning(
                    "alarm %s %s: %s", event.name, "begins" if event.active else "ends", event.evidence
                )
            case CorruptData(length=length):
                self.counters["gnss.corrupt_bytes"] += length
            case _:
                pass
        if isinstance(event, GNSS_WORDS) and not isinstance(event, CorruptData):
            self.last_gnss_mono_ns = event.read_mono_ns
        self.counters[type(event).__name__] += 1


def _merged(old: RfStatus | None, new: RfStatus) -> RfStatus:
    """A message tells only some of the fields; the others keep their last value."""
    if old is None:
        return new
    return RfStatus(
        antenna=new.antenna if new.antenna is not None else old.antenna,
        antenna_powered=new.antenna_powered if new.antenna_powered is not None else old.antenna_powered,
        jamming=new.jamming if new.jamming is not None else old.jamming,
        jamming_indicator=new.jamming_indicator
        if new.jamming_indicator is not None
        else old.jamming_indicator,
        spoofing=new.spoofing if new.spoofing is not None else old.spoofing,
        read_mono_ns=new.read_mono_ns,
    )
