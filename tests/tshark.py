"""Wireshark's opinion: captures on an interface, and our messages under the names of its fields."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from appliance.ptp.tlv import GrantUnicast, RequestUnicast
from appliance.ptp.wire import Announce, Message, Signaling
from tests.netns import Namespace


def view(message: Message) -> dict[str, str]:
    """A message under the names of tshark's fields, without their common prefix ``ptp.v2.``."""
    header = message.header
    seen: dict[str, str] = {
        "messagetype": f"0x{message.TYPE:02x}",
        "messagelength": str(message.message_length),
        "flags": f"0x{header.flags:04x}",
        "sequenceid": str(header.sequence_id),
        "controlfield": str(header.control),
        "logmessageperiod": str(header.log_message_interval),
        "minorversionptp": str(header.minor_version),
        "clockidentity": f"0x{header.source.clock.hex()}",
        "sourceportid": str(header.source.port),
    }
    names = {"Announce": "an.origin", "FollowUp": "fu.preciseorigin", "DelayResp": "dr.receive"}
    stamp = getattr(message, "origin", getattr(message, "timestamp", None))
    if stamp is not None:
        prefix = names.get(type(message).__name__, "sdr.origin")
        seen[f"{prefix}timestamp.seconds"] = str(stamp.seconds)
        seen[f"{prefix}timestamp.nanoseconds"] = str(stamp.nanoseconds)
    if isinstance(message, Announce):
        seen["an.grandmasterclockclass"] = str(message.clock_class)
        seen["an.grandmasterclockaccuracy"] = f"0x{message.clock_accuracy:02x}"
        seen["an.origincurrentutcoffset"] = str(message.utc_offset_s)
        seen["timesource"] = f"0x{message.time_source:02x}"
    if isinstance(message, Signaling):
        tlvs = [t for t in message.tlvs if isinstance(t, RequestUnicast | GrantUnicast)]
        seen["sig.tlv.tlvType"] = ",".join(str(int(t.tlv_type)) for t in tlvs)
        seen["sig.tlv.messageType"] = ",".join(f"0x{t.message_type:02x}" for t in tlvs)
        seen["sig.tlv.logInterMessagePeriod"] = ",".join(str(t.log_period) for t in tlvs)
        seen["sig.tlv.durationField"] = ",".join(str(t.duration_s) for t in tlvs)
    return seen


@contextlib.contextmanager
def capture(space: Namespace, file: Path) -> Iterator[None]:
    """Capture what passes the namespace's interface into ``file`` while the block runs."""
    log = file.with_suffix(".log")
    with log.open("w", encoding="utf-8") as stream:
        process = space.start("tshark", "-i", space.interface, "-w", file, stdout=stream)
        deadline = time.monotonic() + 20
        # tshark speaks before the capture child has opened the interface; the file says when it has.
        while not (file.exists() and file.stat().st_size > 0):
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"tshark does not capture: {log.read_text(encoding='utf-8')}")
            time.sleep(0.05)
        try:
            yield
            time.sleep(0.5)
        finally:
            space.stop(process)


def dissect(file: Path, fields: Sequence[str], display_filter: str = "udp") -> list[dict[str, str]]:
    """One dictionary per packet; a field that occurs several times is joined by commas."""
    command = ["tshark", "-r", str(file), "-Y", display_filter, "-T", "fields", "-E", "separator=|"]
    for name in fields:
        command += ["-e", name]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [dict(zip(fields, line.split("|"), strict=True)) for line in out.splitlines()]
