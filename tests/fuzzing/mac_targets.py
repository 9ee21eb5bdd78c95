"""The dialogues with oscillators, firmware upgrade and its files, each with hostile input."""

from __future__ import annotations

import contextlib
import json
import random
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from tests.fuzzing.gnss_targets import START_NS, Target
from tests.fuzzing.held import held
from tests.fuzzing.mutate import Corpus, Mutator
from tests.fuzzing.streams import Recorder, SpoiltLine
from tests.unit.emulator_devices.wire import SteadyPulses, Wire
from tests.unit.mac.part_bench import PartBench
from timecard.emulator.models import OSCILLATORS as MODELS
from timecard.emulator.oscillator import model_oscillator
from timecard.emulator.sa5x import EmulatedSa5x
from timecard.emulator.sa5x_loader import build_image
from timecard.emulator.world import VirtualTime
from timecard.errors import DeviceAbsentError, TimeCardError
from timecard.mac.detect import detect
from timecard.mac.driver import SelfDiscipline
from timecard.mac.firmware_image import parse_image
from timecard.mac.oscillators import OSCILLATORS
from timecard.mac.oscillators.mro50 import Mro50
from timecard.mac.upgrade import Upgrade
from timecard.mac.wear import WearLedger
from timecard.mac.xmodem import ACK, BLOCK, CAN, NAK, READY, Sender, send_file
from timecard.protocols import ByteStream

PARTS = ("sa5x", "csac", "sa65", "sa3xm", "mro50")
MAX_PART_HELD = 100_000
IMAGE = build_image("V1.6.5.669A7202", 4_000)
LOOP = SelfDiscipline(time_constant_s=100, phase_limit_ns=500, lock_threshold_ns=20, max_jump_ns=1000.0)


@cache
def part_record(part: str) -> dict[bytes, list[bytes]]:
    """What an emulated part answers to everything that our drivers ask."""
    bench = PartBench(part)
    recorder = Recorder(bench.wire)
    with contextlib.suppress(TimeCardError):

        def open_line(baud: int) -> ByteStream:
            bench.open_line(baud)
            return recorder

        detect(open_line, bench.time, rounds=1)
    bench.device.wrong_speed = False
    _part_dialogue(recorder, bench.time, "csac" if part == "sa65" else part)
    return recorder.answers


def _part_dialogue(stream: ByteStream, time: VirtualTime, family: str) -> None:
    driver = OSCILLATORS[family]
    assert driver.open is not None
    part: Any = driver.open(stream, time, wear=WearLedger())
    steps: tuple[Callable[[], object], ...] = (
        part.identify,
        lambda: part.status(full=True),
        lambda: [part.status() for _ in range(3)],
        lambda: getattr(part, "readings", tuple)(),
        lambda: part.set_frequency_ppb(1.5),
        lambda: part.set_frequency_ppb(-0.001),
        part.begin_software_steering,
        lambda: part.begin_self_disciplining(LOOP),
        part.sync_pulse,
        part.latch,
        part.store,
        lambda: part.status(full=True),
    )
    for step in steps:
        with contextlib.suppress(TimeCardError):
            step()
    assert held(part) - held(stream) <= MAX_PART_HELD, f"the driver keeps {held(part)}"


def _fuzz_part(part: str) -> Target:
    def fuzz(rng: random.Random, corpus: Corpus) -> int:
        time = VirtualTime(START_NS)
        line = SpoiltLine(part_record(part), rng, time, spoilt=rng.choice((0.05, 0.3, 1.0)), baud=57_600)

        def open_line(baud: int) -> ByteStream:
            line.baud = baud
            return line

        if rng.random() < 0.3:
            with contextlib.suppress(TimeCardError):
                detect(open_line, time, rounds=1)
        else:
            # Now and then a part that is another one than it seemed to be.
            family = "csac" if part == "sa65" else part
            _part_dialogue(
                line, time, rng.choice(("sa5x", "csac", "sa3xm", "mro50")) if rng.random() < 0.2 else family
            )
        return line.bytes_given

    return fuzz


class RandomWords:
    """An mRO-50 behind registers that hold anything."""

    name = "mro50"

    def __init__(self, rng: random.Random) -> None:
        self._random = rng
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*_: object) -> int:
            self.calls += 1
            assert self.calls < 10_000, "the driver does not end"
            return self._random.choice(
                (0, 1, 0xFFFF_FFFF, self._random.getrandbits(32), self._random.getrandbits(12))
            )

        return call


def fuzz_mro50_words(rng: random.Random, corpus: Corpus) -> int:
    """The part by registers."""
    words = RandomWords(rng)
    part: Any = Mro50(words, VirtualTime(START_NS))
    for step in (
        part.identify,
        lambda: part.status(full=True),
        lambda: part.set_frequency_ppb(rng.uniform(-2, 2)),
        part.latch,
        lambda: part.status(full=True),
    ):
        with contextlib.suppress(TimeCardError):
            step()
    return 4 * words.calls


class RandomI2c:
    """An I2C bus on which anything answers."""

    name = "i2c"

    def __init__(self, rng: random.Random) -> None:
        self._random = rng
        self.given = 0

    def transfer(self, address: int, write: bytes, read: int) -> bytes:
        if self._random.random() < 0.2:
            raise DeviceAbsentError(self.name, "transfer", "nobody acknowledges")
        self.given += read
        word = self._random.choice((0x4B00, 0x5000, self._random.getrandbits(11) << 5))
        return word.to_bytes(2, "big")[:read] if self._random.random() < 0.8 else self._random.randbytes(read)


def fuzz_quartz(rng: random.Random, corpus: Corpus) -> int:
    """A daughter card's thermometer."""
    bus = RandomI2c(rng)
    for driver in OSCILLATORS.values():
        if driver.open_i2c is not None:
            with contextlib.suppress(TimeCardError):
                part = driver.open_i2c(bus, VirtualTime(START_NS))
                part.identify()
                part.status(full=True)
    return bus.given


def fuzz_sender(rng: random.Random, corpus: Corpus) -> int:
    """The XMODEM sender as a state machine: it comes to an end and never sends more than a block at once."""
    sender = Sender(rng.randbytes(rng.randint(1, 5 * BLOCK)))
    given = 0
    for _ in range(rng.randint(1, 200)):
        if rng.random() < 0.1:
            reply = sender.timed_out()
        else:
            data = bytes(
                rng.choice((ACK, ACK, ACK, NAK, CAN, READY, 0x5B, 0x21, 0x5D, 0x31, rng.randrange(256)))
                for _ in range(rng.randint(1, 4))
            )
            if rng.random() < 0.02:
                data = b"[" + b"!1" * 5_000
            given += len(data)
            reply = sender.feed(data)
        assert len(reply) <= BLOCK + 5
        assert sender.acknowledged <= sender.blocks
        assert held(sender) < 20_000
    return given


@cache
def upgrade_record() -> dict[bytes, list[bytes]]:
    """An upgrade that goes well."""
    time = VirtualTime(START_NS)
    part = EmulatedSa5x(model_oscillator(MODELS["sa53"], 1, START_NS), SteadyPulses(), START_NS)
    recorder = Recorder(Wire(part, time))
    time.sleep_s(1.5)
    upgrade = Upgrade(recorder, time)
    upgrade.run(upgrade.preflight(parse_image(IMAGE, "new.cfw")))
    return recorder.answers


def fuzz_upgrade(rng: random.Random, corpus: Corpus) -> int:
    """Preflight and transfer with a boot loader that answers anything."""
    time = VirtualTime(START_NS)
    line = SpoiltLine(upgrade_record(), rng, time, spoilt=rng.choice((0.05, 0.2, 0.8)), baud=57_600)
    with contextlib.suppress(TimeCardError):
        upgrade = Upgrade(line, time)
        upgrade.run(upgrade.preflight(parse_image(IMAGE, "new.cfw"), force=True))
    with contextlib.suppress(TimeCardError):
        send_file(line, time, IMAGE)
    return line.bytes_given


def fuzz_image(rng: random.Random, corpus: Corpus) -> int:
    """A firmware file."""
    data = Mutator(rng, [IMAGE[-300:]]).mutate(IMAGE[:1200] + IMAGE[-400:])
    with contextlib.suppress(TimeCardError):
        parse_image(data, "file")
    return len(data)


def fuzz_wear_file(rng: random.Random, corpus: Corpus) -> int:
    """The file in which non-volatile writes are counted."""
    text = json.dumps({"version": 1, "parts": {"csac/12": {"day": 20_000, "today": 3, "life": 40}}})
    data = Mutator(rng, [b"1e999", b"NaN", b"[[[[", b"null", b"-1", b'"']).mutate(text.encode())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "writes.json"
        path.write_bytes(data)
        ledger = WearLedger(path)
        with contextlib.suppress(TimeCardError):
            ledger.usage("csac", "12")
        with contextlib.suppress(TimeCardError):
            ledger.charge("csac", "csac", "12", "store")
    return len(data)


MAC_TARGETS: dict[str, Target] = {
    **{f"oscillator-{part}": _fuzz_part(part) for part in PARTS},
    "mro50-words": fuzz_mro50_words,
    "quartz-i2c": fuzz_quartz,
    "xmodem-sender": fuzz_sender,
    "upgrade": fuzz_upgrade,
    "firmware-file": fuzz_image,
    "wear-file": fuzz_wear_file,
}
