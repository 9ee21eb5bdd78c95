"""Requests captured from other people's clients: our server answers as theirs did, but for ids and times.

The server is given the identity and the announced values of the captured one: all else must be equal.
"""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from appliance.ptp.tlv import CancelUnicast, GrantUnicast, RequestUnicast
from appliance.ptp.wire import DelayResp, Message, Signaling, decode, encode
from tests.interop.datagrams import Answer, Peer, peer, without_times
from tests.interop.serving import served
from tests.netns import Pair

pytestmark = pytest.mark.netns

META_SERVER = bytes.fromhex("da2796fffea9daf9")
ANNOUNCED = {"clock_accuracy": 0x21, "offset_scaled_log_variance": 23008, "flags": 0x08}
QUIET_S = 0.4


@pytest.fixture(scope="module")
def observed(shared_dir: Path) -> dict[str, dict[str, Any]]:
    text = (shared_dir / "reference" / "ptp-vectors.json").read_text(encoding="utf-8")
    return {v["name"]: v for v in json.loads(text)["vectors"] if v["origin"] == "observed"}


def datagram(vector: dict[str, Any]) -> bytes:
    return bytes.fromhex(vector["hex"])


def comparable(message: Message, sequence_id: int) -> Message:
    """Without what depends on the moment; controlField is obsolete and differs between peers."""
    return without_times(replace(message, header=replace(message.header, sequence_id=sequence_id, control=0)))


def assert_like(answer: Answer, vector: dict[str, Any], request: Message) -> None:
    sequence_id = request.header.sequence_id
    assert answer.message.header.sequence_id == sequence_id
    assert answer.port == vector["dst_port"]
    assert comparable(answer.message, sequence_id) == comparable(decode(datagram(vector)), sequence_id)


def by_type(answers: list[Answer]) -> dict[str, Answer]:
    return {type(answer.message).__name__: answer for answer in answers}


@pytest.mark.parametrize(("family", "short"), [("ipv4", "v4"), ("ipv6", "v6")])
def test_an_sptp_request_is_answered_as_metas_server_answered_it(
    pair: Pair, observed: dict[str, dict[str, Any]], family: str, short: str
) -> None:
    request = datagram(observed[f"observed_sptp_{short}_delay_req"])
    with served(pair, family, identity=META_SERVER, announce=ANNOUNCED), peer(pair, family) as client:
        answers = client.ask(request, 319, QUIET_S)
    found = by_type(answers)
    assert len(answers) == len(found) == 2
    for kind in ("sync", "announce"):
        vector = observed[f"observed_sptp_{short}_{kind}"]
        answer = found[kind.capitalize()]
        assert_like(answer, vector, decode(request))
        # Theirs always adds two octets; ours where a transparent clock needs them, over IPv6.
        if family == "ipv6":
            assert len(answer.data) == vector["length"]


def grants(answers: list[Answer]) -> set[GrantUnicast]:
    signaling = [answer.message for answer in answers if isinstance(answer.message, Signaling)]
    found = list(chain.from_iterable(message.tlvs for message in signaling))
    assert all(isinstance(tlv, GrantUnicast) for tlv in found)
    return {tlv for tlv in found if isinstance(tlv, GrantUnicast)}


def cancel(client: Peer, request: bytes) -> list[Answer]:
    """End the contracts that a captured request began; returns what came after the acknowledgement."""
    message = decode(request)
    assert isinstance(message, Signaling)
    kinds = [tlv.message_type for tlv in message.tlvs if isinstance(tlv, RequestUnicast)]
    ended = replace(message, tlvs=tuple(CancelUnicast(message_type=kind) for kind in kinds))
    client.send(encode(ended), 320)
    client.collect(0.1)
    return client.collect(1.2)


@pytest.mark.parametrize("server", ["ptp4u", "ptp4l"])
def test_a_request_for_announce_is_granted_and_served(
    pair: Pair, observed: dict[str, dict[str, Any]], server: str
) -> None:
    request = datagram(observed[f"observed_ptp4l_to_{server}_request_announce"])
    granted = observed[
        "observed_ptp4l_to_ptp4u_grant_announce" if server == "ptp4u" else "observed_ptp4l_to_ptp4l_grant"
    ]
    with served(pair, identity=META_SERVER, announce=ANNOUNCED), peer(pair, "ipv4") as client:
        answers = client.ask(request, 320, QUIET_S, count=2)
        found = by_type(answers)
        assert_like(found["Signaling"], granted, decode(request))
        assert_like(found["Announce"], observed["observed_ptp4l_to_ptp4u_announce"], decode(request))
        assert cancel(client, request) == []


def test_contracts_for_sync_and_delay_resp_are_served_as_captured(
    pair: Pair, observed: dict[str, dict[str, Any]]
) -> None:
    request = datagram(observed["observed_ptp4l_to_ptp4u_request_sync_delayresp"])
    delay_req = datagram(observed["observed_ptp4l_to_ptp4u_delay_req"])
    with served(pair, identity=META_SERVER, announce=ANNOUNCED), peer(pair, "ipv4") as client:
        assert client.ask(delay_req, 319, 0.1) == [], "no Delay_Resp without a contract"
        answers = client.ask(request, 320, QUIET_S, count=3)
        found = by_type(answers)
        assert grants(answers) == {
            GrantUnicast(message_type=kind, log_period=0, duration_s=60) for kind in (0x0, 0x9)
        }
        for name in ("Sync", "FollowUp"):
            vector = observed[f"observed_ptp4l_to_ptp4u_{'sync' if name == 'Sync' else 'follow_up'}"]
            first = replace(decode(request), header=replace(decode(request).header, sequence_id=0))
            assert_like(found[name], vector, first)
        (delay_resp,) = client.ask(delay_req, 319, QUIET_S, count=1)
        assert_like(delay_resp, observed["observed_ptp4l_to_ptp4u_delay_resp"], decode(delay_req))
        assert isinstance(delay_resp.message, DelayResp)
        assert delay_resp.message.requesting == decode(delay_req).header.source
        assert cancel(client, request) == []
        assert client.ask(delay_req, 319, 0.1) == [], "the contract has ended"
