"""Nonsense in registers and files: the examination ends with facts and findings, never with a crash."""

from __future__ import annotations

import random
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.doctor.host_tree import HostOptions, build_host
from tests.doctor.seeding import around, seeded_card
from timecard.boards import BOARDS
from timecard.card import card_on_bus
from timecard.card_protocols import Card
from timecard.discovery import CardDescriptor, list_cards
from timecard.doctor import diagnose, examine
from timecard.doctor.facts_json import from_json, to_json
from timecard.timebase import Timebase

TEXTS = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [b"", b"\n", b"-1\n", b"0x\n", b"999999999999999999999\n", b"[none\n", b"(null)\n", b"\0" * 20]
    ),
)


class Nonsense:
    """A bus on which a share of the reads gives something else; the same seed gives the same."""

    writes_are_posted = False

    def __init__(self, bus: Any, seed: int, share: float) -> None:
        self.name, self.board, self._bus = bus.name, bus.board, bus
        self._random, self._share = random.Random(seed), share

    def read32(self, offset: int) -> int:
        value = int(self._bus.read32(offset))
        if self._random.random() >= self._share:
            return value
        return self._random.choice(
            [0, 0xFFFF_FFFF, value ^ 1 << self._random.randrange(32), self._random.getrandbits(32)]
        )

    def write32(self, offset: int, value: int) -> None:
        self._bus.write32(offset, value)


@settings(max_examples=25, deadline=None)
@given(
    board=st.sampled_from(list(BOARDS)),
    seed=st.integers(0, 1 << 32),
    share=st.sampled_from([0.002, 0.05, 0.5, 1.0]),
)
def test_nonsense_in_registers(board: str, seed: int, share: float) -> None:
    emulated = seeded_card(board, {})
    with tempfile.TemporaryDirectory() as folder:
        host = build_host(Path(folder), HostOptions(board=board, driver=""))

        def opener(choice: CardDescriptor, timebase: Timebase) -> Card:
            return card_on_bus(Nonsense(emulated.bus, seed, share), timebase)

        surroundings = replace(around(host, emulated), opener=opener)
        facts = examine(list_cards(sysfs=host.root / "sys"), surroundings)
    assert from_json(to_json(facts)) == facts
    diagnose(facts)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), driver=st.sampled_from(["ptp_ocp", "", "vfio-pci"]))
def test_nonsense_in_files(data: Any, driver: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        host = build_host(Path(folder), HostOptions(driver=driver, holders={"gnss": "gpsd"}))
        files = sorted(path for path in host.root.rglob("*") if path.is_file() and not path.is_symlink())
        for path in data.draw(st.lists(st.sampled_from(files), min_size=1, max_size=5)):
            path.write_bytes(data.draw(TEXTS))
        facts = examine(list_cards(sysfs=host.root / "sys"), around(host, None))
    assert from_json(to_json(facts)) == facts
    diagnose(facts)
