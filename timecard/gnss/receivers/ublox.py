"""The drivers of u-blox receivers: configured by keys (generation 9 and later), or by messages (8)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from timecard.errors import DeviceAbsentError
from timecard.gnss import ublox_messages as m
from timecard.gnss.driver import Receiver, ReceiverDriver
from timecard.gnss.intent import GnssIntent
from timecard.gnss.receiver import UbloxReceiver
from timecard.gnss.receivers.ublox_timing import UbloxDecoder
from timecard.gnss.ublox_line import UbloxLine
from timecard.gnss.ublox_profile import UbloxOptions
from timecard.gnss.ubx import encode
from timecard.protocols import ByteStream
from timecard.timebase import Timebase
from timecard.values import ReceiverIdentity

PROBE_S: Final = 0.7
_TRIES: Final = 2
"""A receiver that was switched on a moment ago does not hear the first question."""
_FIRST_WITH_KEYS: Final = 27
"""Protocol version; generation 8 ends below."""
_NUMBER: Final = re.compile(r"(\d{1,3})\.")
_READ_ONLY: Final = UbloxOptions(configure=False)


def takes_keys(identity: ReceiverIdentity) -> bool:
    """Whether this receiver is configured by keys, by what it says of itself."""
    number = _NUMBER.match(identity.protocol)
    return number is not None and int(number.group(1)) >= _FIRST_WITH_KEYS


def _probe(stream: ByteStream, timebase: Timebase) -> ReceiverIdentity | None:
    try:
        return UbloxLine(stream, timebase, UbloxDecoder(_READ_ONLY)).identify(_TRIES, PROBE_S)
    except DeviceAbsentError:
        return None


def _probe_keys(stream: ByteStream, timebase: Timebase) -> ReceiverIdentity | None:
    identity = _probe(stream, timebase)
    return identity if identity is not None and takes_keys(identity) else None


def _probe_messages(stream: ByteStream, timebase: Timebase) -> ReceiverIdentity | None:
    identity = _probe(stream, timebase)
    return identity if identity is not None and not takes_keys(identity) else None


def _open(stream: ByteStream, timebase: Timebase, intent: GnssIntent | None) -> Receiver:
    return UbloxReceiver(stream, timebase, _READ_ONLY, intent=intent)


_TELLS: Final[Mapping[str, tuple[int, ...]]] = {
    "time": (m.NAV_PVT,),
    "pulse": (m.TIM_TP,),
    "leap seconds": (m.NAV_TIMELS,),
    "position": (m.NAV_PVT,),
    "survey": (m.TIM_SVIN,),
    "signals": (m.NAV_SIG, m.NAV_SAT),
    "antenna": (m.MON_RF,),
    "jamming": (m.MON_RF,),
    "spoofing": (m.NAV_STATUS,),
}
_LEGACY_TELLS: Final = {**_TELLS, "signals": (m.NAV_SAT,), "antenna": (m.MON_HW,), "jamming": (m.MON_HW,)}


def _polls(tells: Mapping[str, tuple[int, ...]]) -> Mapping[str, tuple[bytes, ...]]:
    return MappingProxyType({topic: tuple(map(encode, keys)) for topic, keys in tells.items()})


UBLOX: Final = ReceiverDriver(
    name="ublox",
    bauds=(115_200, 38_400, 9_600, 230_400, 460_800, 921_600),
    probe=_probe_keys,
    open=_open,
    poll_messages=_polls(_TELLS),
)
UBLOX_LEGACY: Final = ReceiverDriver(
    name="ublox-legacy",
    bauds=(115_200, 9_600, 38_400),
    probe=_probe_messages,
    open=_open,
    poll_messages=_polls(_LEGACY_TELLS),
)
