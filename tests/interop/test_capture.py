"""What our server sends, as Wireshark sees it: well-formed, complete, and with the fields that we mean."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from appliance.ptp.primitives import MessageType
from appliance.ptp.sptp import measure
from appliance.ptp.wire import decode
from tests import tshark
from tests.interop.linuxptp import ptp4l_client
from tests.interop.serving import served
from tests.netns import Pair, require

pytestmark = pytest.mark.netns

EXCHANGES = 20
DIAGNOSIS = ("_ws.malformed", "_ws.expert.message", "_ws.expert.severity", "udp.payload", "udp.srcport")
EXPERT_ERROR = 0x800000
"""Severity from which tshark calls a packet wrong; below are remarks on what it did not see."""
FIELDS = (
    "messagetype",
    "messagelength",
    "flags",
    "sequenceid",
    "controlfield",
    "logmessageperiod",
    "minorversionptp",
    "clockidentity",
    "sourceportid",
    "sdr.origintimestamp.seconds",
    "sdr.origintimestamp.nanoseconds",
    "an.origintimestamp.seconds",
    "an.origintimestamp.nanoseconds",
    "an.grandmasterclockclass",
    "an.grandmasterclockaccuracy",
    "an.origincurrentutcoffset",
    "timesource",
    "fu.preciseorigintimestamp.seconds",
    "fu.preciseorigintimestamp.nanoseconds",
    "dr.receivetimestamp.seconds",
    "dr.receivetimestamp.nanoseconds",
    "sig.tlv.tlvType",
    "sig.tlv.messageType",
    "sig.tlv.logInterMessagePeriod",
    "sig.tlv.durationField",
)
WANTED = {
    MessageType.SYNC,
    MessageType.DELAY_REQ,
    MessageType.FOLLOW_UP,
    MessageType.DELAY_RESP,
    MessageType.ANNOUNCE,
    MessageType.SIGNALING,
}


def test_wireshark_finds_every_message_well_formed_and_reads_what_we_read(pair: Pair, tmp_path: Path) -> None:
    require("tshark", "ptp4l")
    file = tmp_path / "exchange.pcapng"
    with served(pair, world_offset_ns=3_700_000), tshark.capture(pair.client, file):
        for address in (pair.server.ipv4, pair.server.ipv6):
            with pair.client.entered():
                measure(address, count=EXCHANGES, interval_s=0, timeout_s=0.5, mode="standard")
            with ptp4l_client(pair.client, address, tmp_path, log_announce=-2, log_sync=-3) as client:
                client.wait_for_offsets(1, timeout_s=20)
    packets = tshark.dissect(file, [*(f"ptp.v2.{name}" for name in FIELDS), *DIAGNOSIS])
    complaints = [
        (p["_ws.malformed"], p["_ws.expert.message"])
        for p in packets
        if p["_ws.malformed"] or any(int(s) >= EXPERT_ERROR for s in p["_ws.expert.severity"].split(",") if s)
    ]
    assert complaints == []
    seen: Counter[tuple[MessageType, bool]] = Counter()
    for packet in packets:
        message = decode(bytes.fromhex(packet["udp.payload"]))
        dissected = {name: packet[f"ptp.v2.{name}"] for name in FIELDS if packet[f"ptp.v2.{name}"]}
        assert dissected == tshark.view(message)
        seen[message.TYPE, packet["udp.srcport"] in ("319", "320")] += 1
    assert {kind for kind, _ in seen} == WANTED
    # All of ours leave from other ports than the well-known ones.
    from_server = {kind for (kind, well_known) in seen if not well_known}
    assert from_server == WANTED - {MessageType.DELAY_REQ}
    assert seen[MessageType.SYNC, False] >= 2 * EXCHANGES
