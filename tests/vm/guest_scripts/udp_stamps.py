"""Runs in the guest: sends UDP packets from namespace "far" to eth0 and prints the hardware stamps they get.

Argument: the type of service of the packets. Prints "received COUNT stamped COUNT".
"""

import os
import socket
import struct
import subprocess
import sys

SO_TIMESTAMPING = 37
RX_HARDWARE, RAW_HARDWARE = 1 << 2, 1 << 6
PORT, COUNT = 319, 10
ADDRESS = "10.9.0.1"
SEND = f"""
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, int(sys.argv[1]))
for _ in range({COUNT}):
    s.sendto(bytes(44), ("{ADDRESS}", {PORT}))
    time.sleep(0.2)
"""


def main() -> None:
    """Listen, have them sent, count."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((ADDRESS, PORT))
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, RX_HARDWARE | RAW_HARDWARE)
    sock.settimeout(5)
    sender = ["ip", "netns", "exec", "far", sys.executable, "-c", SEND, sys.argv[1]]
    received = stamped = 0
    with subprocess.Popen(sender, env=os.environ):
        try:
            while received < COUNT:
                _, control, _, _ = sock.recvmsg(100, 200)
                received += 1
                for level, kind, data in control:
                    if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPING) and len(data) >= 48:
                        stamped += any(struct.unpack("<6q", data[:48])[4:])
        except TimeoutError:
            pass
    sock.close()
    print("received", received, "stamped", stamped)


main()
