"""Datagrams that break the rules, sent to the live server: silence, denial or one answer, and no harm."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from appliance.ptp.sptp import measure
from appliance.ptp.tlv import GrantUnicast
from appliance.ptp.wire import Signaling
from tests.interop.datagrams import Peer, peer
from tests.interop.serving import Served, served
from tests.netns import Pair

pytestmark = pytest.mark.netns

SILENCE_S = 0.05
"""An answer over this wire takes 0.2 ms."""


@pytest.fixture(scope="module")
def malformed(shared_dir: Path) -> list[dict[str, Any]]:
    text = (shared_dir / "reference" / "ptp-vectors.json").read_text(encoding="utf-8")
    return [v for v in json.loads(text)["vectors"] if not v["valid"]]


def send(client: Peer, vector: dict[str, Any], at_most_s: float = SILENCE_S) -> list[Any]:
    return [
        answer.message for answer in client.ask(bytes.fromhex(vector["hex"]), vector["dst_port"], at_most_s)
    ]


def still_answers(pair: Pair, server: Served) -> None:
    with pair.client.entered():
        assert measure(server.address, count=3, interval_s=0, timeout_s=0.5).lost == 0


def dropped(stats: dict[str, int]) -> int:
    return sum(value for name, value in stats.items() if name.startswith("dropped."))


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_what_is_to_be_dropped_is_dropped_in_silence_and_counted(
    pair: Pair, malformed: list[dict[str, Any]], family: str
) -> None:
    drops = [vector for vector in malformed if vector["expected_action"] == "drop"]
    assert len(drops) == 17
    with served(pair, family) as server, peer(pair, family) as client:
        for vector in drops:
            assert send(client, vector) == [], vector["name"]
        stats = server.stats()
        assert dropped(stats) == len(drops)
        assert stats["tx.sync"] == stats["tx.announce"] == stats["tx.signaling"] == 0
        still_answers(pair, server)


def test_impossible_requests_are_denied(pair: Pair, malformed: list[dict[str, Any]]) -> None:
    denials = [vector for vector in malformed if vector["expected_action"] == "deny"]
    assert len(denials) == 2
    with served(pair) as server, peer(pair, "ipv4") as client:
        for vector in denials:
            (answer,) = send(client, vector)
            assert isinstance(answer, Signaling)
            (grant,) = answer.tlvs
            assert isinstance(grant, GrantUnicast)
            assert grant.duration_s == 0, vector["name"]
        assert server.stats()["signaling.granted"] == 0
        still_answers(pair, server)


def test_forty_requests_in_one_datagram_get_one_answer(pair: Pair, malformed: list[dict[str, Any]]) -> None:
    (flood,) = (vector for vector in malformed if vector["expected_action"] == "limit")
    with served(pair) as server, peer(pair, "ipv4") as client:
        signaling = [message for message in send(client, flood) if isinstance(message, Signaling)]
        assert len(signaling) <= 1
        kinds = Counter(
            tlv.message_type for m in signaling for tlv in m.tlvs if isinstance(tlv, GrantUnicast)
        )
        assert all(number == 1 for number in kinds.values())
        assert sum(v for k, v in server.stats().items() if k.startswith("subscriptions.")) <= 1
    # A fresh server: the contract above would go on sending.
    with served(pair) as server:
        still_answers(pair, server)


def test_a_long_trailer_is_refused_or_harmless(pair: Pair, malformed: list[dict[str, Any]]) -> None:
    (trailing,) = (vector for vector in malformed if vector["expected_action"] == "accept-or-drop")
    with served(pair) as server, peer(pair, "ipv4") as client:
        names = sorted(type(message).__name__ for message in send(client, trailing))
        assert names in ([], ["Announce", "Sync"])
        still_answers(pair, server)


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_noise_on_both_ports_is_survived(pair: Pair, family: str) -> None:
    """Empty, tiny, oversized and random datagrams, and shaken versions of a correct request."""
    noise = random.Random(20261121)
    good = bytes.fromhex(
        "01120032000024000000000000000000000000000c42a1fffe6d7ca600010007007f000000000000000000002007000200030000"
    )
    with served(pair, family) as server, peer(pair, family) as client:
        datagrams = [b"", b"\0", bytes(1400), b"\xff" * 1400, good * 20]
        datagrams += [noise.randbytes(noise.randrange(200)) for _ in range(400)]
        for _ in range(400):
            shaken = bytearray(good)
            for _ in range(noise.randrange(1, 4)):
                shaken[noise.randrange(len(shaken))] = noise.randrange(256)
            datagrams.append(bytes(shaken[: noise.randrange(len(shaken) + 1)]))
        for data in datagrams:
            for port in (319, 320):
                client.send(data, port)
        answers = client.collect(0.3)
        stats = server.stats()
        # Every datagram is accounted for, and nobody gets more than an exchange for one request.
        assert dropped(stats) + stats["rx.sptp"] == 2 * len(datagrams)
        assert len(answers) == stats["tx.sync"] + stats["tx.announce"] <= 2 * stats["rx.sptp"]
        for answer in answers:
            assert answer.message is not None
        still_answers(pair, server)
