"""Every parser and dialogue with spoilt input: no exception but ours, nothing that grows, nothing that hangs.

``tools/fuzz_parsers.py`` does the same for as long as it is told to; docs/records/fuzz-parsers.md keeps the
result.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import SHARED_DEFAULT
from tests.fuzzing.held import held
from tests.fuzzing.mutate import Corpus, Mutator
from tests.fuzzing.run import TARGETS, Tally, make_corpus, run_input, try_input
from timecard.gnss.framing import Framer
from timecard.gnss.intent_file import parse_gnss_intent
from timecard.gnss.stream_decoder import StreamDecoder
from timecard.gnss.ucenter import parse_ucenter
from timecard.mac.xmodem import BLOCK, Sender
from timecard.toml_reader import IntentError
from timecard.values import CorruptData, GnssEvent

SEED = 20_270_115
EXAMPLES = 12


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    """With the recordings where they are; the emulated receivers alone do as well."""
    recordings = Path(os.environ.get("TIMECARD_SHARED", SHARED_DEFAULT)) / "data" / "gnss"
    return make_corpus(recordings if recordings.is_dir() else None)


@pytest.mark.parametrize("name", TARGETS)
def test_spoilt_input(name: str, corpus: Corpus) -> None:
    tally = Tally()
    for number in range(EXAMPLES):
        try_input(name, SEED, number, corpus, tally)
    assert not tally.findings, "\n".join(tally.findings.values())
    assert tally.given_bytes > 0


@pytest.mark.full
@pytest.mark.parametrize("name", TARGETS)
def test_much_spoilt_input(name: str, corpus: Corpus) -> None:
    tally = Tally()
    for number in range(40 * EXAMPLES):
        try_input(name, SEED + 1, number, corpus, tally)
    assert not tally.findings, "\n".join(tally.findings.values())


def test_an_input_can_be_repeated(corpus: Corpus) -> None:
    assert run_input("decoders", 3, 4, corpus) == run_input("decoders", 3, 4, corpus)


def test_what_is_neither_ours_nor_bounded_is_found(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    tally = Tally()
    monkeypatch.setattr(Framer, "feed", lambda self, data, now: [][len(data)])
    try_input("framer", SEED, 0, corpus, tally)
    monkeypatch.undo()
    monkeypatch.setattr(Framer, "_scan", lambda *_: None)  # it keeps everything
    for number in range(60):
        try_input("framer", SEED, number, corpus, tally)
    assert any(place.startswith("IndexError") for place in tally.findings)
    assert any("the framer keeps" in text for text in tally.findings.values())


def test_what_an_object_keeps_is_counted() -> None:
    framer = Framer()
    before = held(framer)
    framer.feed(b"$GPGGA,1,2", 0)
    assert held(framer) == before + 10


# --- what hypothesis thinks of ---


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=12))
def test_any_bytes_to_the_decoders(pieces: list[bytes]) -> None:
    decoder = StreamDecoder()
    events: list[GnssEvent] = []
    for number, piece in enumerate(pieces):
        events += decoder.feed(piece, number * 1_000_000)
    events += decoder.finish(len(pieces) * 1_000_000)
    total = sum(event.length for event in events if isinstance(event, CorruptData))
    assert total <= sum(map(len, pieces))


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False), st.binary(max_size=120), st.integers(0, 0xFFFF))
def test_any_payload_below_a_right_checksum(rng: random.Random, payload: bytes, key: int) -> None:
    frame = Mutator(rng).reframed(b"\xb5\x62" + key.to_bytes(2, "big") + b"\0\0" + payload + b"\0\0")
    items = Framer().feed(frame, 0)
    StreamDecoder().feed(frame, 0)
    assert all(held(item) <= len(frame) + 10 for item in items)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=300))
def test_any_text_as_a_file(text: str) -> None:
    for parse in (parse_ucenter, parse_gnss_intent):
        try:
            parse(text)
        except IntentError as error:
            assert error.errors


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.none(), st.binary(max_size=40)), max_size=40))
def test_any_answers_to_the_sender(answers: list[bytes | None]) -> None:
    sender = Sender(bytes(3 * BLOCK))
    for answer in answers:
        reply = sender.timed_out() if answer is None else sender.feed(answer)
        assert len(reply) in (0, 1, BLOCK + 5)
