"""An examination ends, whatever the card does: dead, stuck, gone in the middle, or a file that hangs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.doctor.host_tree import HostOptions, build_host
from tests.doctor.seeding import around, seeded_card
from timecard.card import card_on_bus
from timecard.card_protocols import Card
from timecard.discovery import CardDescriptor, list_cards
from timecard.doctor import SystemFacts, diagnose, examine
from timecard.doctor.facts import FailureKind
from timecard.doctor.probe import Prober, StuckError, run_limited
from timecard.doctor.serial_probe import examine_oscillator
from timecard.errors import DeviceLostError, DeviceTimeoutError, RefusedError
from timecard.timebase import Timebase

SCAN_LIMIT_S = 30


class Halting:
    """A bus that at some access does what it is told to, and from then on always."""

    writes_are_posted = False

    def __init__(self, bus: Any, after: int, halt: Any) -> None:
        self.name, self.board, self._bus, self._left, self._halt = bus.name, bus.board, bus, after, halt

    def read32(self, offset: int) -> int:
        self._count()
        return int(self._bus.read32(offset))

    def write32(self, offset: int, value: int) -> None:
        self._count()
        self._bus.write32(offset, value)

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            self._halt()


@pytest.fixture
def never() -> Iterator[threading.Event]:
    """An event that comes only when the test is over, so that no thread stays behind."""
    event = threading.Event()
    yield event
    event.set()


def _examine(tmp_path: Path, after: int, halt: Any, budget_s: float = 1.0) -> SystemFacts:
    emulated = seeded_card("fb", {})
    host = build_host(tmp_path, HostOptions(driver=""))

    def opener(choice: CardDescriptor, timebase: Timebase) -> Card:
        return card_on_bus(Halting(emulated.bus, after, halt), timebase)

    surroundings = replace(around(host, emulated), opener=opener, budget_s=budget_s)
    return examine(list_cards(sysfs=tmp_path / "sys"), surroundings)


@pytest.mark.parametrize("after", [0, 5, 20, 60, 150])
def test_a_card_that_never_answers_again_is_asked_nothing_more(
    after: int, never: threading.Event, tmp_path: Path
) -> None:
    facts = _examine(tmp_path, after, never.wait)
    (card,) = facts.cards
    kinds = [why.kind for why in card.failures.values()]
    assert kinds.count(FailureKind.STUCK) == 1
    assert facts.seconds < SCAN_LIMIT_S
    assert diagnose(facts)[0].id == "card-silent"


@pytest.mark.parametrize("after", [0, 5, 20, 60, 150])
def test_a_card_that_goes_while_it_is_examined_is_named(after: int, tmp_path: Path) -> None:
    def gone() -> None:
        raise DeviceLostError("card", "read", "the socket is closed")

    facts = _examine(tmp_path, after, gone)
    assert diagnose(facts)[0].id == "card-gone"


def test_time_that_is_over_is_said(tmp_path: Path) -> None:
    (card,) = _examine(tmp_path, 1 << 30, None, budget_s=0.0).cards
    assert card.failures["time left"].kind is FailureKind.SKIPPED


def test_an_error_of_the_program_itself_is_not_hidden(tmp_path: Path) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        _examine(tmp_path, 20, broken)


def test_a_call_within_its_time_gives_its_result_or_its_error(never: threading.Event) -> None:
    assert run_limited(lambda: 7, 1.0) == 7
    with pytest.raises(DeviceTimeoutError):
        run_limited(lambda: _raise(DeviceTimeoutError("x", "read", "late")), 1.0)
    with pytest.raises(TimeoutError, match="own"):
        run_limited(lambda: _raise(TimeoutError("own")), 1.0)
    with pytest.raises(StuckError):
        run_limited(never.wait, 0.05)


def test_a_port_that_cannot_be_opened_is_no_silent_oscillator(monkeypatch: pytest.MonkeyPatch) -> None:
    emulated = seeded_card("fb", {})
    card = card_on_bus(emulated.bus, emulated.timebase)
    monkeypatch.setattr(card, "serial", lambda *_: _raise(RefusedError("MAC UART", "open", "it is held")))
    with pytest.raises(RefusedError, match="it is held"):
        examine_oscillator(card, card.board, emulated.timebase)


def test_failures_keep_their_kind() -> None:
    prober = Prober(1.0)
    assert prober.ask("a", lambda: 1, 1.0) == 1
    assert prober.ask("b", lambda: _raise(DeviceTimeoutError("x", "read", "late")), 1.0) is None
    assert prober.failures["b"].kind is FailureKind.TIMEOUT
    assert prober.failures["b"].text == "x: read: late"


def _raise(error: Exception) -> None:
    raise error
