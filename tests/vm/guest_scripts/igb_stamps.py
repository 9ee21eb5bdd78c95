"""Runs in the guest beside Debian's igb driver: makes QEMU's NIC stamp received packets as a real one does.

    python3 igb_stamps.py 0000:03:00.0 delay-req     Delay_Req over Ethernet
    python3 igb_stamps.py 0000:03:00.0 sync          Sync over Ethernet, as the driver leaves it
    python3 igb_stamps.py 0000:03:00.0 udp           UDP over IPv4 whose type of service is 2
    python3 igb_stamps.py 0000:03:00.0 udp6          UDP over IPv6 whose flow label begins with 2

A real 82576 stamps all event messages after what the driver writes. QEMU (hw/net/igb_core.c) looks no
deeper than the Ethernet type, compares the next byte with TSYNCRXCFG[15:8] and wants a 2 in the low half of
the one after it; of an IPv4 packet these are 0x45 and the type of service, of an IPv6 packet 0x60 and the
traffic class with the first digit of the flow label. And it keeps a stamp until RXSATRH is read, while the
driver reads only RXSTMPH: without this program one stamp is all there ever is. A stamp is let go when it has
been seen twice, so that the driver has had its turn.

To be started after the driver was told to stamp; needs ``iomem=relaxed``. Says "ready", runs until killed.
"""

import mmap
import struct
import sys
import time
from pathlib import Path

TSYNCRXCTL, TSYNCRXCFG, RXSATRH = 0xB620, 0x5F50, 0xB630
ETQF_1588 = 0x5CB0 + 4 * 3
"""The Ethernet type filter that the driver uses."""
VALID = 1
ENABLE, STAMP = 1 << 26, 1 << 30
PTP_ETHERNET, IPV4, IPV6 = 0x88F7, 0x0800, 0x86DD
MODES = {
    "sync": (0x00, PTP_ETHERNET),
    "delay-req": (0x01, PTP_ETHERNET),
    "udp": (0x45, IPV4),
    "udp6": (0x60, IPV6),
}
LOOK_S = 0.01


def main() -> None:
    """Write the two registers, then let stamps go."""
    address, mode = sys.argv[1:]
    first_byte, ethernet_type = MODES[mode]
    with Path(f"/sys/bus/pci/devices/{address}/resource0").open("r+b", buffering=0) as file:
        registers = mmap.mmap(file.fileno(), 0x20000)

    def read(offset: int) -> int:
        return int(struct.unpack_from("<I", registers, offset)[0])

    struct.pack_into("<I", registers, TSYNCRXCFG, first_byte << 8)
    struct.pack_into("<I", registers, ETQF_1588, ENABLE | STAMP | ethernet_type)
    print("ready", flush=True)
    seen = False
    while True:
        time.sleep(LOOK_S)
        valid = bool(read(TSYNCRXCTL) & VALID)
        if valid and seen:
            read(RXSATRH)
            valid = False
        seen = valid


main()
