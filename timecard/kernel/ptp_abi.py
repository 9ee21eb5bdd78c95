"""The kernel's interface of a PTP hardware clock: request numbers and structures of 64-bit Linux.

Source: ``include/uapi/linux/ptp_clock.h``, ``include/uapi/linux/timex.h``. All fields are native words; the
kernel refuses a request whose reserved words are not 0.
"""

from __future__ import annotations

import ctypes
import struct
from enum import IntEnum, IntFlag
from typing import Final

_WRITE: Final = 1
_READ: Final = 2
_MAGIC: Final = ord("=")


def _request(direction: int, number: int, size: int) -> int:
    return direction << 30 | size << 16 | _MAGIC << 8 | number


CAPS: Final = struct.Struct("=8i48x")
"""max_adj, n_alarm, n_ext_ts, n_per_out, pps, n_pins, cross_timestamping, adjust_phase."""
EXTTS: Final = struct.Struct("=II8x")
"""Channel, flags."""
PEROUT: Final = struct.Struct("=qI4x qI4x II qI4x")
"""Start or phase; period; channel, flags; on time."""
PIN: Final = struct.Struct("=64sIII20x")
"""Name, pin, function, channel."""
TIME: Final = struct.Struct("=qI4x")
"""Seconds, nanoseconds."""
PRECISE: Final = struct.Struct("=qI4x qI4x qI4x 16x")
"""Device, CLOCK_REALTIME, CLOCK_MONOTONIC_RAW."""
SAMPLES_HEADER: Final = struct.Struct("=Ii8x")
"""Number of samples; clock for the brackets (since 6.12, before: must be 0)."""
EVENT: Final = struct.Struct("=qI4x II8x")
"""Seconds, nanoseconds, channel, flags."""
MAX_SAMPLES: Final = 25
EXTENDED_SIZE: Final = SAMPLES_HEADER.size + MAX_SAMPLES * 3 * TIME.size
PLAIN_SIZE: Final = SAMPLES_HEADER.size + (2 * MAX_SAMPLES + 1) * TIME.size

PTP_CLOCK_GETCAPS: Final = _request(_READ, 1, CAPS.size)
PTP_EXTTS_REQUEST: Final = _request(_WRITE, 2, EXTTS.size)
PTP_PEROUT_REQUEST: Final = _request(_WRITE, 3, PEROUT.size)
PTP_SYS_OFFSET: Final = _request(_WRITE, 5, PLAIN_SIZE)
PTP_PIN_GETFUNC: Final = _request(_READ | _WRITE, 6, PIN.size)
PTP_PIN_SETFUNC: Final = _request(_WRITE, 7, PIN.size)
PTP_SYS_OFFSET_PRECISE: Final = _request(_READ | _WRITE, 8, PRECISE.size)
PTP_SYS_OFFSET_EXTENDED: Final = _request(_READ | _WRITE, 9, EXTENDED_SIZE)
SECOND_FORM: Final = 9
"""The second form of a request, which knows flags, has a number that is this much higher."""
PTP_EXTTS_REQUEST2: Final = PTP_EXTTS_REQUEST + SECOND_FORM
PTP_PEROUT_REQUEST2: Final = PTP_PEROUT_REQUEST + SECOND_FORM

QUEUE: Final = 128
"""Events that the kernel keeps for a reader; the oldest are lost beyond."""


class ExttsFlag(IntFlag):
    """Of an EXTTS request."""

    ENABLE = 1
    RISING = 2
    FALLING = 4
    STRICT = 8


class PeroutFlag(IntFlag):
    """Of a PEROUT request."""

    ONE_SHOT = 1
    DUTY_CYCLE = 2
    PHASE = 4


class PinFunction(IntEnum):
    """What a pin does."""

    NONE = 0
    EXTTS = 1
    PEROUT = 2
    PHYSYNC = 3


ADJ_FREQUENCY: Final = 0x0002
ADJ_SETOFFSET: Final = 0x0100
ADJ_NANO: Final = 0x2000


class Timex(ctypes.Structure):
    """``struct timex``, 208 bytes."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("precision", ctypes.c_long),
        ("tolerance", ctypes.c_long),
        ("time_sec", ctypes.c_long),
        ("time_usec", ctypes.c_long),
        ("tick", ctypes.c_long),
        ("ppsfreq", ctypes.c_long),
        ("jitter", ctypes.c_long),
        ("shift", ctypes.c_int),
        ("stabil", ctypes.c_long),
        ("jitcnt", ctypes.c_long),
        ("calcnt", ctypes.c_long),
        ("errcnt", ctypes.c_long),
        ("stbcnt", ctypes.c_long),
        ("tai", ctypes.c_int),
        ("reserved", ctypes.c_int * 11),
    )


def clock_id(descriptor: int) -> int:
    """The dynamic clock behind an open PTP device, for ``clock_gettime`` and its relatives."""
    return ~descriptor << 3 | 3
