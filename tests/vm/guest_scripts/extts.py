"""Runs in the guest: external timestamps of /dev/ptp0 on the given channels for so many seconds.

Prints "seconds nanoseconds channel" for each edge. Structures and numbers:
kernel, ``uapi/linux/ptp_clock.h``.
"""

import fcntl
import os
import select
import struct
import sys
import time

PTP_EXTTS_REQUEST = 0x40103D02
ENABLE, RISING_EDGE = 1, 2
EVENT = struct.Struct("<qI4xII8x")

channels, seconds = [int(word) for word in sys.argv[1].split(",")], float(sys.argv[2])
clock = os.open("/dev/ptp0", os.O_RDWR)
for channel in channels:
    fcntl.ioctl(clock, PTP_EXTTS_REQUEST, struct.pack("<II8x", channel, ENABLE | RISING_EDGE))
end = time.monotonic() + seconds
while time.monotonic() < end:
    if select.select([clock], [], [], 0.5)[0]:
        second, nanosecond, channel, _ = EVENT.unpack(os.read(clock, EVENT.size))
        print(second, nanosecond, channel)
for channel in channels:
    fcntl.ioctl(clock, PTP_EXTTS_REQUEST, struct.pack("<II8x", channel, 0))
