"""What SBF blocks say of the receiver itself; most of them decoded by pysbf2.

Codes: Septentrio mosaic-X5 reference guide, ReceiverStatus, RFStatus, GALAuthStatus, QualityInd,
ReceiverSetup and the Mode field of PVTGeodetic.
"""

from __future__ import annotations

from typing import Any, Final

from timecard.gnss.framing import SbfBlock
from timecard.values import AntennaStatus, FixType, JammingState, ReceiverIdentity, SpoofingState

_FIXES: Final = {0: FixType.NONE, 3: FixType.TIME_ONLY}
_NOT_MITIGATED: Final = 8
_INDICATORS: Final = {
    0: "overall", 1: "signals", 2: "auxiliary-signals", 11: "rf-power", 12: "auxiliary-rf-power",
    21: "cpu-headroom", 25: "oscillator", 30: "base-measurements", 31: "corrections",
}  # fmt: skip
_RX_NAME: Final = slice(156, 176)
_RX_VERSION: Final = slice(176, 196)
_PRODUCT_NAME: Final = slice(308, 348)
"""From revision 3 on."""
_NO_QUALITY: Final = 15
_AUTHENTICATING: Final = 6
_TIME_DISAGREES: Final = 3


def fix_type(message: Any) -> FixType:
    """Mode of a PVT block: a fixed location is what u-blox calls time only."""
    if message.Type in _FIXES:
        return _FIXES[message.Type]
    return FixType.FIX_2D if getattr(message, "2D") else FixType.FIX_3D


def antenna(message: Any, drew_current: bool) -> AntennaStatus:
    """An antenna that draws current is sensed; one that did and no longer does is gone.

    One that never did may be fed from elsewhere.
    """
    if message.AntennaError:
        return AntennaStatus.SHORT
    if message.ActiveAntenna:
        return AntennaStatus.OK
    return AntennaStatus.OPEN if drew_current else AntennaStatus.UNKNOWN


def jamming(message: Any) -> JammingState:
    """RFStatus lists bands with interference: 1 and 2 are filtered out, 8 is not."""
    modes = [getattr(message, f"Mode_{number:02d}") for number in range(1, message.N + 1)]
    if _NOT_MITIGATED in modes:
        return JammingState.CRITICAL
    return JammingState.WARNING if any(modes) else JammingState.OK


def spoofing(message: Any) -> SpoofingState:
    """RFStatus flags: misleading signals, inauthentic navigation data."""
    return (SpoofingState.NONE, SpoofingState.INDICATED, SpoofingState.MULTIPLE)[
        message.Misleading + message.Inauthentic
    ]


def authentication(message: Any) -> SpoofingState | None:
    """GALAuthStatus: None while it does not authenticate; a satellite that fails is an indication."""
    if message.Status == _TIME_DISAGREES:
        return SpoofingState.INDICATED
    if message.Status != _AUTHENTICATING:
        return None
    failed = (
        message.GalActiveMask & ~message.GalAuthenticMask | message.GpsActiveMask & ~message.GpsAuthenticMask
    )
    return SpoofingState.INDICATED if failed else SpoofingState.NONE


def quality(message: Any) -> dict[str, int]:
    """Indicators with a name, 0 (poor) to 10."""
    found = {}
    for number in range(1, message.N + 1):
        name = _INDICATORS.get(getattr(message, f"QualityType_{number:02d}"))
        value = getattr(message, f"QualityValue_{number:02d}")
        if name is not None and value != _NO_QUALITY:
            found[name] = value
    return found


def identity(block: SbfBlock, read_mono_ns: int) -> ReceiverIdentity:
    """ReceiverSetup, from its bytes: pysbf2 refuses the revisions that end before the coordinates."""
    name, version, product = (_text(block.raw[part]) for part in (_RX_NAME, _RX_VERSION, _PRODUCT_NAME))
    return ReceiverIdentity(
        model=product or name or "unknown",
        firmware=version or "unknown",
        protocol="SBF",
        read_mono_ns=read_mono_ns,
    )


def _text(raw: bytes) -> str:
    """Fixed-length text, padded with NUL; nothing in a revision without this field."""
    return raw.split(b"\0", 1)[0].decode("ascii", "replace").strip()
