"""What a frame is called in its maker's documents: for counting and for messages to people."""

from __future__ import annotations

from typing import Final

from pynmeagps import NMEA_MSGIDS, NMEA_MSGIDS_PROP
from pyrtcm import RTCM_MSGIDS
from pysbf2 import SBF_MSGIDS
from pyubx2 import UBX_MSGIDS

from timecard.gnss.framing import Frame, NmeaSentence, SbfBlock, UbxFrame

_UBX: Final[dict[int, str]] = {int.from_bytes(key, "big"): name for key, name in UBX_MSGIDS.items()}
_SBF: Final[dict[int, str]] = {number: texts[0] for number, texts in SBF_MSGIDS.items()}


def frame_name(frame: Frame) -> tuple[str, bool]:
    """Its name with the protocol in front, ``UBX NAV-PVT``, and whether the message is known.

    A message that is not known is named by its number, ``UBX 66-01``.
    """
    if isinstance(frame, UbxFrame):
        name = _UBX.get(frame.key)
        return f"UBX {name or f'{frame.key >> 8:02X}-{frame.key & 0xFF:02X}'}", name is not None
    if isinstance(frame, SbfBlock):
        name = _SBF.get(frame.number)
        return f"SBF {name or frame.number}", name is not None
    if isinstance(frame, NmeaSentence):
        return _nmea_name(sentence_id(frame))
    number = int.from_bytes(frame.raw[3:5], "big") >> 4 if len(frame.raw) >= 8 else 0
    return f"RTCM3 {number}", str(number) in RTCM_MSGIDS


def sentence_id(sentence: NmeaSentence) -> str:
    """``GNRMC``: what stands before the first comma."""
    return sentence.raw[1:].partition(b"*")[0].partition(b",")[0].decode("ascii", "replace")


def _nmea_name(name: str) -> tuple[str, bool]:
    # A proprietary sentence is "P" and the maker's three letters; no talker begins with "P".
    known = name[1:] in NMEA_MSGIDS_PROP if name.startswith("P") else name[2:] in NMEA_MSGIDS
    return f"NMEA {name}", known
