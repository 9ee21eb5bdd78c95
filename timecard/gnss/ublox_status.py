"""What UBX messages say of the receiver itself: identity, antenna, interference, survey.

Each function takes a message decoded by pyubx2 and gives one event. Codes: u-blox F9 interface description,
UBX-MON-VER, UBX-MON-RF, UBX-MON-HW, UBX-SEC-SIG, UBX-NAV-SVIN, UBX-TIM-SVIN.
"""

from __future__ import annotations

import math
from typing import Any, Final

from timecard.values import (
    AntennaStatus,
    JammingState,
    ReceiverIdentity,
    RfStatus,
    SpoofingState,
    SurveyStatus,
)

_ANTENNAS: Final = {status.value: status for status in AntennaStatus}
_SPOOFINGS: Final = {state.value: state for state in SpoofingState}
_POWER: Final = {0: False, 1: True}


def identity(message: Any, read_mono_ns: int) -> ReceiverIdentity:
    """MON-VER; a receiver older than generation 9 may lack the extension ``MOD=``."""
    texts = {}
    number = 1
    while (raw := getattr(message, f"extension_{number:02d}", None)) is not None:
        name, _, value = _text(raw).partition("=")
        texts[name] = value
        number += 1
    return ReceiverIdentity(
        model=texts.get("MOD", "unknown"),
        firmware=texts.get("FWVER", _text(message.swVersion)),
        protocol=texts.get("PROTVER", "unknown"),
        read_mono_ns=read_mono_ns,
    )


def rf_from_mon_rf(message: Any, read_mono_ns: int) -> RfStatus:
    """MON-RF: one antenna feeds all RF blocks, so the worst that any of them sees counts."""
    blocks = [f"{number:02d}" for number in range(1, message.nBlocks + 1)]
    if not blocks:
        return RfStatus(read_mono_ns=read_mono_ns)
    return RfStatus(
        antenna=_ANTENNAS.get(max(getattr(message, f"antStatus_{n}") for n in blocks)),
        antenna_powered=_POWER.get(getattr(message, f"antPower_{blocks[0]}")),
        jamming=JammingState(max(getattr(message, f"jammingState_{n}") for n in blocks)),
        jamming_indicator=max(getattr(message, f"jamInd_{n}") for n in blocks),
        read_mono_ns=read_mono_ns,
    )


def rf_from_mon_hw(message: Any, read_mono_ns: int) -> RfStatus:
    """MON-HW: the same of the first block."""
    return RfStatus(
        antenna=_ANTENNAS.get(message.aStatus),
        antenna_powered=_POWER.get(message.aPower),
        jamming=JammingState(message.jammingState),
        jamming_indicator=message.jamInd,
        read_mono_ns=read_mono_ns,
    )


def rf_from_sec_sig(message: Any, read_mono_ns: int) -> RfStatus:
    """SEC-SIG, versions 1 and 2; a detector that is off says nothing."""
    return RfStatus(
        jamming=JammingState(message.jammingState) if message.jamDetEnabled else None,
        spoofing=_SPOOFINGS.get(message.spoofingState) if message.spfDetEnabled else None,
        read_mono_ns=read_mono_ns,
    )


def survey_status(message: Any, position_given: bool, read_mono_ns: int) -> SurveyStatus:
    """TIM-SVIN; with a given position every field is 0 and there is nothing to wait for."""
    return SurveyStatus(
        active=bool(message.active),
        valid=bool(message.valid) or (position_given and not message.active),
        duration_s=message.dur,
        position_sigma_m=math.sqrt(message.meanV) / 1e3,
        read_mono_ns=read_mono_ns,
    )


def survey_status_of_nav(message: Any, position_given: bool, read_mono_ns: int) -> SurveyStatus:
    """NAV-SVIN: the same with the accuracy as such, in 0.1 mm."""
    return SurveyStatus(
        active=bool(message.active),
        valid=bool(message.valid) or (position_given and not message.active),
        duration_s=message.dur,
        position_sigma_m=message.meanAcc / 1e4,
        read_mono_ns=read_mono_ns,
    )


def _text(raw: bytes) -> str:
    """Fixed-length text, padded with NUL."""
    return raw.split(b"\0", 1)[0].decode("ascii", "replace").strip()
