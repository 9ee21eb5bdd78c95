"""What reads a file of the user: settings in TOML, backups and records in JSON, spoilt or meant to harm."""

from __future__ import annotations

import contextlib
import json
import random
import re
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from appliance.config import check_config
from tests.fuzzing.gnss_targets import INTENT_TEXT, Target
from tests.fuzzing.mutate import Corpus, Mutator
from tests.unit.eeprom.cards import FakeCard, as_card
from timecard.board_data import load_backup, take_backup
from timecard.boards import ART
from timecard.bringup.intent_file import load_intent
from timecard.doctor import FactsError, diagnose, read_facts
from timecard.errors import RefusedError
from timecard.firmware.pins import read_pins
from timecard.gnss.intent_file import load_gnss_intent
from timecard.toml_reader import IntentError

ROOT = Path(__file__).resolve().parents[2]
PINS = f'[[image]]\nname = "n"\nsha256 = "{"ab" * 32}"\nboards = ["fb", "litepcie"]\nversion = "0.28"\n'
CONFIG = """
[card]
id = "ec:46:70:0a:12:34"
[timescale]
budget_ns = 400
[ptp]
domain = 44
[api]
port = 8080
[[delays]]
segment = "antenna-cable"
value_ns = 50.0
uncertainty_ns = 1.0
compensated_by = "receiver"
"""
HOSTILE = (
    *("1" + "0" * 310, "-1" + "0" * 400, "9" * 5_000, "0x" + "f" * 5_000, "1e999", "nan", "NaN", "-inf"),
    *("[" * 300 + "]" * 300, "[" * 900 + "]" * 900, "[" * 5_000, "[0x" + "f" * 5_000 + "]"),
    *('"\\u00b2"', '"\\u0000"', '"' + "x" * 30_000 + '"', "true", "null", "{}", "[]", "{a.b.c = 1}"),
)
"""Values that a reader's own conversions, or its error texts, have stumbled over, or may."""
_VALUE = re.compile(r"(?<=[=:] )[^,\n]+")


def hostile_value(rng: random.Random, text: str) -> str:
    """The text with one of its values replaced."""
    place = rng.choice(list(_VALUE.finditer(text)))
    return text[: place.start()] + rng.choice(HOSTILE) + text[place.end() :]


@cache
def _backup() -> str:
    """Of an ART card; the values count where the bytes are left out."""
    values = take_backup(as_card(FakeCard(ART))).to_json()
    del values["hex"]["disciplining_config"], values["hex"]["temperature_table"]
    return json.dumps(values, indent=1)


@cache
def _facts() -> str:
    return (ROOT / "tests/doctor/recorded/debian-6.12.json").read_text(encoding="utf-8")


@cache
def _intent() -> str:
    return (ROOT / "docs/examples/intent.toml").read_text(encoding="utf-8")


READERS: dict[str, tuple[Callable[[], str], Callable[[Path], object]]] = {
    "receiver-intent": (lambda: INTENT_TEXT, load_gnss_intent),
    "bring-up-intent": (_intent, load_intent),
    "pins": (lambda: PINS, read_pins),
    "configuration": (lambda: CONFIG, lambda path: check_config(path, ())),
    "backup": (_backup, load_backup),
    "facts": (_facts, lambda path: diagnose(read_facts(path))),
}
"""A good file, and what reads it."""


def _fuzz(kind: str) -> Target:
    good, read = READERS[kind]

    def fuzz(rng: random.Random, corpus: Corpus) -> int:
        text = good()
        if rng.random() < 0.7:
            text = hostile_value(rng, text)
        if rng.random() < 0.4:
            text = Mutator(rng, [each.encode() for each in HOSTILE]).text(text)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "file"
            path.write_text(text, encoding="utf-8", newline="")
            with contextlib.suppress(IntentError, RefusedError, FactsError):
                read(path)
        return len(text)

    return fuzz


FILE_TARGETS: dict[str, Target] = {f"{kind}-file": _fuzz(kind) for kind in READERS}
