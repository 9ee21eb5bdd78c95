"""What core goes on in spite of: a runtime folder that cannot be written, a card that is away, peers gone."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from appliance import daemon, peers
from appliance.assembly import Assembly, assemble
from appliance.bound.layout import Refusal
from appliance.bound.reader import BoundReader
from appliance.config import Config
from appliance.daemon import Core
from appliance.event_queue import EventQueue
from appliance.events import CommandKind
from appliance.ipc import CommandRefusedError
from appliance.publisher import Publisher
from appliance.runtime_record import NAME
from appliance.sources import SourceThread
from tests.unit.bound.pages import map_at, refusal
from timecard.card import card_on_bus
from timecard.emulator.virtual_card import build_in_process
from timecard.timebase import HostTimebase


def build(config: Config) -> tuple[Assembly, Any]:
    virtual = build_in_process(seed=1)
    return assemble(card_on_bus(virtual.bus, virtual.timebase), config, virtual.timebase), virtual.timebase


def test_a_record_that_cannot_be_written_is_an_alarm_and_not_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    runtime = tmp_path / "run"
    config = Config.model_validate({"paths": {"runtime": runtime, "state": tmp_path}})
    assembly, timebase = build(config)
    core, publisher = Core(config), Publisher(config, assembly, timebase, bytes(8))
    monkeypatch.setattr(assembly.engine.discipline, "runtime_record", lambda _: {"state": "test"})
    monkeypatch.setattr(core._clock_map, "state", map_at(0))
    for _ in range(3):
        core._save_record(assembly)
    report = publisher.publish(None, None, alarms=core._troubles.alarms)
    assert any(f"runtime-record: cannot be written to {runtime}" in alarm for alarm in report.clock.alarms)
    assert caplog.text.count("runtime-record") == 1, "said once"
    runtime.mkdir()
    core._save_record(assembly)
    assert core._troubles.alarms == ()
    assert (runtime / NAME).exists()


def test_a_bound_page_that_cannot_be_made_is_tried_again_each_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = tmp_path / "run"
    runtime.touch()
    core = Core(Config.model_validate({"paths": {"runtime": runtime, "state": tmp_path}}))
    times_ns = iter((0, daemon.BOUND_RETRY_NS - 1, daemon.BOUND_RETRY_NS))
    monkeypatch.setattr(core, "_timebase", SimpleNamespace(mono_ns=lambda: next(times_ns)))
    core._open_bound()
    (alarm,) = core._troubles.alarms
    assert alarm.startswith("bound-page: cannot make the page")
    runtime.unlink()
    for expected in (Refusal.NO_PAGE, Refusal.UNKNOWN):
        core._open_bound()
        assert refusal(BoundReader(runtime / "bound")) is expected
    assert core._troubles.alarms == ()


def test_what_cannot_be_carried_out_without_the_card_is_refused() -> None:
    core = Core(Config())
    core._lost = "register 0x0: all ones"
    with pytest.raises(CommandRefusedError, match=r"the card is lost \(register 0x0: all ones\)"):
        core.command(CommandKind.ENTER_HOLDOVER)
    with pytest.raises(CommandRefusedError, match="try again when it is back"):
        core.rehearse(100.0, 60.0)
    assert core._events.empty()
    core._lost = None
    core.rehearse(100.0, 60.0)
    assert not core._events.empty()


def descriptors() -> set[int]:
    """Those that are open."""
    return {fd for fd in range(1024) if os.path.lexists(f"/proc/self/fd/{fd}")}


class _Clock:
    """Holds a descriptor as a clock's device does."""

    name = "/dev/ptp7"

    def __init__(self, _: Path) -> None:
        self._fd = os.open(os.devnull, os.O_RDONLY)

    def close(self) -> None:
        os.close(self._fd)


@pytest.mark.parametrize(("kind", "address"), [("sptp", "127.0.0.1"), ("phc", "/dev/ptp7")])
def test_a_peer_holds_nothing_when_its_thread_has_ended(
    kind: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "Phc", _Clock)
    monkeypatch.setattr(peers, "CrossComparer", lambda *_, **__: None)
    monkeypatch.setattr(peers.PhcPeer, "read", lambda _: None)
    row = {"name": "other", "kind": kind, "address": address}
    assembly, _ = build(Config())
    config = Config.model_validate({"peers": [row]})
    (runner,) = peers.peer_runners(config, assembly.card, assembly.engine, HostTimebase(), lambda: None)
    held = descriptors()
    events = EventQueue(1)
    crashes: list[BaseException] = []
    thread = SourceThread(runner, events, crashes.append)
    thread.start()
    deadline = time.monotonic() + 100
    while not descriptors() - held and time.monotonic() < deadline:
        time.sleep(0.01)
    thread.stop()
    thread.join()
    assert not crashes
    assert runner._started or runner.last_error, "it was opened"
    assert descriptors() <= held
