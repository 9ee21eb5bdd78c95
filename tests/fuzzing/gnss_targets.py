"""What reads bytes of a receiver, of a file or of a socket, each with hostile input."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from tests.fuzzing.held import held
from tests.fuzzing.mutate import Corpus, Mutator
from tests.fuzzing.streams import Recorder, SpoiltLine
from tests.unit.gnss.rated_wire import wire_to
from timecard.emulator.receiver_kinds import RECEIVER_KINDS
from timecard.emulator.world import VirtualTime
from timecard.errors import TimeCardError
from timecard.gnss.capture import MAX_PIECE_BYTES, CaptureReader, replay
from timecard.gnss.detect import detect
from timecard.gnss.framing import MAX_CORRUPT_RUN, MAX_FRAME_BYTES, Framer, Item
from timecard.gnss.integrity import IntegrityMonitor
from timecard.gnss.intent import TIME_CARD, FixedPosition, GnssIntent, Pulse, Survey
from timecard.gnss.intent_file import parse_gnss_intent
from timecard.gnss.receivers import RECEIVERS
from timecard.gnss.stream_decoder import MAX_NAMES, StreamDecoder
from timecard.gnss.tap import MAX_READERS, Tap, TapAddress
from timecard.gnss.ucenter import parse_ucenter
from timecard.timescale import NS_PER_S
from timecard.toml_reader import IntentError
from timecard.values import CorruptData, GnssEvent

Target = Callable[[random.Random, Corpus], int]
"""Makes one input and hands it over; returns the bytes given. Raises what was found."""

MAX_DECODER_HELD = 200_000
MAX_DIALOGUE_HELD = 400_000
"""A driver keeps a queue of 512 events besides its decoders; an event of 70 signals is some 400 items."""
START_NS = 1_800_000_000 * NS_PER_S
INTENTS = (
    TIME_CARD,
    GnssIntent(signals={"GPS": ("L1C/A", "L5"), "GAL": ("E1",)}, rate_hz=5, elevation_mask_deg=10),
    GnssIntent(position=FixedPosition(x_m=4_177_680.0, y_m=855_360.0, z_m=4_727_120.0), store="flash"),
    GnssIntent(baud=460_800, messages="time-card", pulse=Pulse(grid="UTC"), cable_delay_ns=-30, store="ram"),
)
INTENT_TEXT = """
[gnss]
profile = "time-card"
cable_delay_ns = 251
rate_hz = 1
elevation_mask_deg = 10
antenna_supply = true
dynamics = "stationary"
store = "flash"
baud = 115200
[gnss.signals]
GPS = ["L1C/A", "L5"]
GAL = ["E1", "E5a"]
[gnss.position]
latitude_deg = 48.1
longitude_deg = 11.5
height_m = 560.0
sigma_m = 0.1
[gnss.pulse]
locked_only = true
width_us = 100000
grid = "GPS"
"""


def fuzz_framer(rng: random.Random, corpus: Corpus) -> int:
    """Frames and noise; nothing is raised, what is kept is bounded, no byte is lost."""
    mutator = Mutator(rng, corpus.frames)
    data = mutator.stream(corpus, rng.randint(1, 40))
    if rng.random() < 0.3:
        data = mutator.mutate(data, 20)
    if rng.random() < 0.02:  # a long run of starts without an end
        data += rng.choice((b"\xb5\x62\x01\x07", b"$GPGGA,", b"$@", b"\xd3\x03", b"\x00", b"\xb5")) * 100_000
    framer, now_ns = Framer(), 0
    items: list[Item] = []
    for piece in mutator.pieces(data):
        now_ns += rng.choice((0, 1000, NS_PER_S, 10 * NS_PER_S))
        items += framer.feed(piece, now_ns)
        limit = MAX_FRAME_BYTES + MAX_CORRUPT_RUN + 200
        assert held(framer) <= limit, f"the framer keeps {held(framer)} bytes"
    items += framer.finish(now_ns)
    total = sum(item.length if isinstance(item, CorruptData) else len(item.raw) for item in items)
    assert total == len(data), f"{len(data)} bytes in, {total} out"
    return len(data)


def fuzz_decoders(rng: random.Random, corpus: Corpus) -> int:
    """All decoders and the integrity monitor behind them."""
    mutator = Mutator(rng, corpus.frames)
    decoder, monitor = StreamDecoder(), IntegrityMonitor()
    now_ns, given = rng.randrange(1 << 50), 0
    for _ in range(rng.randint(1, 6)):
        data = mutator.stream(corpus, rng.randint(1, 60))
        given += len(data)
        for piece in mutator.pieces(data):
            now_ns += rng.choice((0, 1000, 50_000_000, NS_PER_S, 3_000 * NS_PER_S))
            for event in decoder.feed(piece, now_ns):
                assert isinstance(event, GnssEvent)
                monitor.feed(event, now_ns)
            monitor.look(now_ns)
    decoder.finish(now_ns)
    assert len(decoder.counts.by_name) <= MAX_NAMES + 1
    kept = held(decoder) + held(monitor)
    assert kept <= MAX_DECODER_HELD, f"decoders keep {kept}"
    return given


@cache
def receiver_record(kind: str) -> dict[bytes, list[bytes]]:
    """What an emulated receiver answers to everything that a driver asks."""
    wire = wire_to(kind)
    recorder = Recorder(wire)
    _receiver_dialogue(recorder, wire.time, INTENTS[0], (115_200,))
    for intent in INTENTS[1:]:
        _receiver_dialogue(recorder, wire.time, intent, (wire.baud, 115_200))
    return recorder.answers


def _receiver_dialogue(
    stream: Any, time: VirtualTime, intent: GnssIntent, bauds: tuple[int, ...], driver: str = ""
) -> None:
    """All that a program does with a receiver; each step may fail, by an error of ours."""
    chosen = RECEIVERS[driver] if driver else RECEIVERS["nmea"]
    with contextlib.suppress(TimeCardError):
        chosen = detect(stream, time, bauds, limit_s=20.0).driver
    receiver: Any = chosen.open(stream, time, None)
    plan = None
    with contextlib.suppress(TimeCardError):
        receiver.start()
    with contextlib.suppress(TimeCardError):
        plan = receiver.plan(intent)
    for step in (
        lambda: receiver.apply(plan) if plan else None,
        lambda: receiver.settings() if hasattr(receiver, "settings") else None,
        lambda: [receiver.poll(0.2) for _ in range(5)],
        lambda: receiver.undo(plan) if plan else None,
        lambda: receiver.survey_again(Survey()) if hasattr(receiver, "survey_again") else None,
        lambda: [receiver.poll(0.2) for _ in range(5)],
    ):
        with contextlib.suppress(TimeCardError):
            step()
    kept = held(receiver) - held(stream)
    assert kept <= MAX_DIALOGUE_HELD, f"the driver keeps {kept}"


def _fuzz_receiver(kind: str) -> Target:
    def fuzz(rng: random.Random, corpus: Corpus) -> int:
        time = VirtualTime(START_NS)
        line = SpoiltLine(receiver_record(kind), rng, time, spoilt=rng.choice((0.02, 0.1, 0.5, 1.0)))
        line.says_unasked(corpus.frames)
        driver = rng.choice((*RECEIVERS, ""))
        _receiver_dialogue(line, time, rng.choice(INTENTS), (115_200,), driver)
        return line.bytes_given

    return fuzz


def fuzz_detection(rng: random.Random, corpus: Corpus) -> int:
    """A line on which anything may be heard."""
    time = VirtualTime(START_NS)
    answers = {b"": [Mutator(rng, corpus.frames).stream(corpus, 40)[:16_384]]}
    line = SpoiltLine(answers, rng, time, spoilt=0.5)
    line.says_unasked(corpus.frames)
    with contextlib.suppress(TimeCardError):
        detect(line, time, limit_s=60.0, listen_only=rng.random() < 0.3)
    return line.bytes_given


def fuzz_ucenter(rng: random.Random, corpus: Corpus) -> int:
    """An export of u-center: ``IntentError`` or a result."""
    lines = [
        f"CFG-{rng.choice(('VALGET', 'TP5', 'TMODE2', 'PRT'))} - {frame[2:-2].hex(' ').upper()}"
        for frame in rng.sample(_configuration(), 3)
    ]
    mutator = Mutator(rng)
    frames = [mutator.reframed(frame) for frame in rng.sample(_configuration(), 3)]
    lines += [f"CFG-VALGET - {frame[2:-2].hex(' ').upper()}" for frame in frames]
    text = "\n".join(lines)
    text = mutator.text(text) if rng.random() < 0.5 else text
    with contextlib.suppress(IntentError):
        export = parse_ucenter(text)
        assert held(export) < 4 * len(text) + 100_000
    return len(text)


@cache
def _configuration() -> list[bytes]:
    """Answers with settings in them, of receivers of both generations."""
    kinds = ("f9t", "m8t")
    answers = [each for kind in kinds for heard in receiver_record(kind).values() for each in heard]
    corpus = Corpus()
    for answer in answers:
        corpus.add_stream(answer)
    return [frame for frame in corpus.frames if frame[:3] == b"\xb5\x62\x06"]


def fuzz_intent_file(rng: random.Random, corpus: Corpus) -> int:
    """A TOML file with mistakes: ``IntentError`` or an intent."""
    text = Mutator(rng, [b"[gnss", b"= nan", b"= 1e400", b"]]", b'"""', b"true", b"-1", b"[[", b"{}"]).text(
        INTENT_TEXT
    )
    with contextlib.suppress(IntentError):
        parse_gnss_intent(text)
    return len(text)


def fuzz_capture_file(rng: random.Random, corpus: Corpus) -> int:
    """A recording with mistakes: read to its end, in pieces of bounded size."""
    mutator = Mutator(rng, corpus.frames)
    stream = mutator.stream(corpus, rng.randint(1, 20))
    kind = rng.randrange(3)
    if kind == 0:
        header = {
            "format": "timecard-gnss",
            "version": 1,
            "device": "x",
            "baud": 9600,
            "mono_ns": 0,
            "unix_ns": 0,
        }
        lines = [json.dumps(header)]
        for number, piece in enumerate(mutator.pieces(stream)[:200]):
            key = rng.choice(("rx", "rx", "rx", "tx", "zx"))
            lines.append(json.dumps({"mono_ns": number * rng.choice((1, 10**9, 10**30)), key: piece.hex()}))
        data = "\n".join(lines).encode()
    elif kind == 1:
        data = b"".join(b"UBX - %s\n" % frame[2:-2].hex(" ").encode() for frame in corpus.frames[:20])
    else:
        data = b"# a header\n{ another\n" * rng.randrange(3) + stream
    data = mutator.mutate(data) if rng.random() < 0.7 else data
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "capture"
        path.write_bytes(data)
        with contextlib.suppress(TimeCardError):
            for each in CaptureReader(path):
                assert len(each.data) <= MAX_PIECE_BYTES
            for event in replay(path):
                assert isinstance(event, GnssEvent)
    return len(data)


def fuzz_tap(rng: random.Random, corpus: Corpus) -> int:
    """Readers that come, talk, read or not, and go: the bytes of those that read are complete."""
    given = 0
    with tempfile.TemporaryDirectory() as folder:
        address = (
            TapAddress(path=Path(folder) / "tap") if rng.random() < 0.5 else TapAddress(host="127.0.0.1")
        )
        tap = Tap(address)
        with contextlib.closing(tap), contextlib.ExitStack() as closing:
            readers: list[socket.socket] = []
            witness = closing.enter_context(_connect(tap))
            expected, seen = bytearray(), bytearray()
            tap.publish(b"")
            for _ in range(rng.randint(1, 60)):
                action = rng.randrange(6)
                if action == 0 and len(readers) < MAX_READERS + 4:
                    readers.append(closing.enter_context(_connect(tap)))
                elif action == 1 and readers:
                    readers.pop(rng.randrange(len(readers))).close()
                elif action == 2 and readers:
                    _talk(rng.choice(readers), rng.randbytes(rng.choice((1, 100, 60_000))))
                elif action == 3 and readers:
                    with contextlib.suppress(OSError):
                        rng.choice(readers).shutdown(
                            rng.choice((socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR))
                        )
                data = rng.randbytes(rng.choice((0, 1, 100, 4096)))
                tap.publish(data)
                given += len(data)
                expected += data
                while len(seen) < len(expected):
                    seen += witness.recv(65_536)
                assert tap.readers <= MAX_READERS
            assert seen == expected
    return given


def _connect(tap: Tap) -> socket.socket:
    path = tap.address.path
    sock = socket.socket(socket.AF_INET if path is None else socket.AF_UNIX)
    sock.settimeout(10)
    sock.connect((tap.address.host, tap.address.port) if path is None else str(path))
    return sock


def _talk(sock: socket.socket, data: bytes) -> None:
    sock.setblocking(False)
    with contextlib.suppress(OSError):
        sock.send(data)
    sock.settimeout(10)


GNSS_TARGETS: dict[str, Target] = {
    "framer": fuzz_framer,
    "decoders": fuzz_decoders,
    "detection": fuzz_detection,
    **{f"dialogue-{kind}": _fuzz_receiver(kind) for kind in RECEIVER_KINDS if kind != "f9t-00b"},
    "u-center": fuzz_ucenter,
    "intent-file": fuzz_intent_file,
    "capture-file": fuzz_capture_file,
    "tap": fuzz_tap,
}
