"""What a card driven through its registers promises, on every board.

In this process in virtual time, and behind a vfio-user socket in real time. At the end no access was anything
but an aligned, decoded word.
"""

from __future__ import annotations

import functools
import itertools
import re
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from timecard.boards import BOARDS, Board, Role
from timecard.boards.board import SmaKind
from timecard.card import card_on_bus, open_card
from timecard.card_protocols import Card
from timecard.card_values import Access, GeneratorSettings, SmaConnector
from timecard.discovery import vfio_user_card
from timecard.emulator.faults import PolledAgenda
from timecard.emulator.fpga import FpgaCard
from timecard.emulator.options import CardOptions
from timecard.emulator.vfio_user_device import VfioUserDevice
from timecard.emulator.vfio_user_server import VfioUserServer
from timecard.emulator.virtual_card import VirtualCard, build_in_process
from timecard.emulator.world import HostWorldTime
from timecard.errors import DeviceLostError, RefusedError, UnsupportedError
from timecard.pcie.clock import RegisterClock
from timecard.protocols import CrossTimestamping, WakingEdgeSource
from timecard.timebase import HostTimebase, Timebase
from timecard.values import EdgeStamp

S = 1_000_000_000
WAYS = ("in-process", "vfio-user")


@dataclass
class Rig:
    """An open card and the emulator behind it."""

    card: Card
    fpga: FpgaCard
    timebase: Timebase
    way: str
    board: Board = field(init=False)

    def __post_init__(self) -> None:
        self.board = self.card.board

    def until(self, look: Callable[[], object], within_s: float = 5.0) -> object:
        """What ``look`` finds, or None."""
        deadline_ns = self.timebase.mono_ns() + round(within_s * S)
        while self.timebase.mono_ns() < deadline_ns:
            found = look()
            if found:
                return found
            self.timebase.sleep_s(0.05)
        return None


@pytest.fixture(scope="module", params=[(board, way) for board in BOARDS for way in WAYS], ids="-".join)
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    board, way = request.param
    if way == "in-process":
        virtual = build_in_process(board=board)
        yield Rig(card_on_bus(virtual.bus, virtual.timebase), virtual.card.fpga, virtual.timebase, way)
        return
    world = HostWorldTime()
    virtual_card = VirtualCard(CardOptions(board=board), world, PolledAgenda(), name="card")
    with tempfile.TemporaryDirectory(prefix="card-") as folder:
        path = Path(folder) / "card.sock"
        server = VfioUserServer(path, VfioUserDevice(virtual_card.fpga), world)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        try:
            timebase = HostTimebase()
            with open_card(vfio_user_card(path), timebase) as card:
                yield Rig(card, virtual_card.fpga, timebase, way)
            with pytest.raises(DeviceLostError):
                card.clock.now_tai_ns()
        finally:
            server.stop()
            thread.join(5)
            server.close()


def test_it_says_what_it_is(rig: Rig) -> None:
    card = rig.card
    assert card.board is BOARDS[rig.board.name]
    assert card.access is Access.VFIO_USER
    assert card.id and card.name == f"card {card.id}"
    assert card.lost is None
    facts, image = card.facts(), card.image()
    assert facts.image_version == str(image)
    assert facts.clock_source == card.clock.source_name() == card.clock_status().source
    assert set(facts.sma) == {"sma1", "sma2", "sma3", "sma4"}
    if rig.board.image_tag is not None:
        assert image.tag == rig.board.image_tag
    assert not image.loader


def test_what_it_lacks_is_refused_with_a_reason(rig: Rig) -> None:
    card, board = rig.card, rig.board
    missing = card.missing()
    asked: dict[str, Callable[[], object]] = {
        "selector": card.selector,
        "pps_slave": card.pps_slave,
        "time_of_day": card.time_of_day,
        "generator": lambda: card.generator(1),
        "counter": lambda: card.counter(1),
        "steering": lambda: card.clock.set_frequency_ppb(0.0),
        **{f"serial {role.value}": functools.partial(card.serial, role) for role in Role},
    }
    for name, ask in asked.items():
        if name in missing:
            assert missing[name]
            with pytest.raises(UnsupportedError):
                ask()
        elif name != "steering":
            assert ask() is not None
    beyond: list[Callable[[], object]] = [
        lambda: card.generator(5),
        lambda: card.counter(0),
        lambda: card.timestamper("ts9"),
    ]
    for ask in beyond:
        with pytest.raises(UnsupportedError):
            ask()
    assert ("selector" in missing) == (board.name == "art")


def test_the_clock_is_read_and_compared(rig: Rig) -> None:
    clock = rig.card.clock
    assert isinstance(clock, CrossTimestamping)
    first = clock.now_tai_ns()
    rig.timebase.sleep_s(0.2)
    assert 0.15 * S < clock.now_tai_ns() - first < 30 * S
    stamps = [clock.cross_timestamp() for _ in range(5)]
    offsets = [stamp.card_tai_ns - stamp.mono_raw_ns for stamp in stamps]
    widest = max(stamp.half_width_ns for stamp in stamps)
    elapsed = stamps[-1].mono_raw_ns - stamps[0].mono_raw_ns
    # The servo may be slewing, by at most 5 %.
    assert max(offsets) - min(offsets) <= 2 * widest + 0.05 * elapsed + 10_000


@pytest.mark.parametrize("delta_ns", [+123_456_789, -250_000_000, +7 * S, -7 * S])
def test_the_clock_is_stepped(rig: Rig, delta_ns: int) -> None:
    clock = rig.card.clock
    source = clock.source_name()
    if isinstance(clock, RegisterClock):
        clock.select_source("REGS")
    before = clock.cross_timestamp()
    clock.step_ns(delta_ns)
    after = clock.cross_timestamp()
    elapsed = after.mono_raw_ns - before.mono_raw_ns
    stepped = after.card_tai_ns - before.card_tai_ns - elapsed
    slack = before.half_width_ns + after.half_width_ns + 100 + elapsed * 300e-6
    # Beyond a second the step is loaded and its rest measured, which takes two more comparisons.
    assert abs(stepped - delta_ns) <= 3 * slack
    if isinstance(clock, RegisterClock):
        clock.select_source(source)
        assert clock.source_name() == source


def test_the_clock_follows_what_it_is_told_to(rig: Rig) -> None:
    clock = rig.card.clock
    if not isinstance(clock, RegisterClock):
        with pytest.raises(UnsupportedError, match="no source"):
            clock.select_source("REGS")
        with pytest.raises(UnsupportedError, match="through the oscillator"):
            clock.set_frequency_ppb(1.0)
        assert clock.max_frequency_ppb == 0
        return
    with pytest.raises(RefusedError, match="take_control"):
        clock.set_frequency_ppb(100.0)
    with pytest.raises(RefusedError, match="no source 'SUN'; there are NONE, TOD"):
        clock.select_source("SUN")
    clock.select_source("regs")
    assert clock.source_name() == "REGS"
    assert clock.set_frequency_ppb(1_000_000.0) == pytest.approx(1_000_000.0)
    before = clock.cross_timestamp()
    rig.timebase.sleep_s(0.5)
    after = clock.cross_timestamp()
    elapsed = after.mono_raw_ns - before.mono_raw_ns
    gained = after.card_tai_ns - before.card_tai_ns - elapsed
    assert gained == pytest.approx(elapsed * 1e-3, abs=before.half_width_ns + after.half_width_ns + 200_000)
    clock.set_frequency_ppb(0.0)
    clock.select_source("PPS")


def test_edges_are_stamped(rig: Rig) -> None:
    channels = {name: rig.card.timestamper(name) for name in ("ts0", "ts5")}
    assert rig.card.timestamper("ts0") is channels["ts0"]
    seen: dict[str, list[EdgeStamp]] = {name: [] for name in channels}
    for channel in channels.values():
        channel.enable()

    def two_of_each() -> bool:
        for name, channel in channels.items():
            stamp = channel.poll()
            if stamp is not None:
                seen[name].append(stamp)
        return all(len(stamps) >= 2 for stamps in seen.values())

    assert rig.until(two_of_each, 40.0)
    for name, stamps in seen.items():
        assert {stamp.channel for stamp in stamps} == {name}
        assert all(b.card_tai_ns > a.card_tai_ns for a, b in itertools.pairwise(stamps))
    # The clock's own pulse comes with its second.
    own_ns = seen["ts5"][-1].card_tai_ns % S
    assert min(own_ns, S - own_ns) <= 40
    for channel in channels.values():
        channel.disable()
        assert channel.poll() is None
    with pytest.raises(RefusedError, match="outside 0 to"):
        channels["ts0"].enable(cable_delay_ns=70_000)
    if rig.board.name == "art":
        with pytest.raises(UnsupportedError, match="compensate the cable in software"):
            channels["ts0"].enable(cable_delay_ns=10)


def test_an_edge_wakes_who_waits_for_it(rig: Rig) -> None:
    channel = rig.card.timestamper("ts5")
    assert isinstance(channel, WakingEdgeSource)
    channel.enable()
    assert channel.wakes == (rig.way == "vfio-user")
    if channel.wakes:
        for _ in range(2):
            assert channel.wait(3.0)
            assert channel.poll() is not None
            assert channel.poll() is None
    channel.disable()


def _route(rig: Rig, number: int, direction: str, name: str) -> SmaConnector:
    rig.card.sma.set(number, direction, [name.lower()])
    return rig.card.sma.read()[number - 1]


def test_connectors_are_routed(rig: Rig) -> None:
    sma, table = rig.card.sma, rig.board.sma
    art = table.kind is SmaKind.ART
    done = refused = 0
    for number in (1, 2, 3, 4):
        for direction, names in (("in", table.inputs), ("out", table.outputs)):
            for name in names:
                before = sma.read()
                try:
                    assert _route(rig, number, direction, name) == SmaConnector(number, direction, (name,))
                except RefusedError as error:
                    refused += 1
                    assert sma.read() == before, "a refused routing changes nothing"
                    assert "cannot do" in str(error) or "already comes from" in str(error) or name == "10MHz"
                else:
                    done += 1
                others = [c for c in sma.read() if c.number != number]
                assert others == [c for c in before if c.number != number]
        if not art:
            sma.set(number, "off", [])
            assert sma.read()[number - 1] == SmaConnector(number, "off", ())
    assert done >= 13
    assert refused >= 1


def test_routings_that_cannot_be_are_refused(rig: Rig) -> None:
    sma, board = rig.card.sma, rig.board
    wrong: list[tuple[int, str, list[str], str]] = [
        (0, "in", ["PPS1"], "connectors 1 to 4"),
        (5, "out", ["PHC"], "connectors 1 to 4"),
        (1, "sideways", ["PHC"], "none of in, out, off"),
        (1, "in", ["coffee"], re.escape(f"{board.product} has no input 'coffee'; there are")),
        (1, "in", [], "name a function"),
        (1, "out", ["PHC", "GNSS1"], "an output has one function, not PHC and GNSS1"),
        (1, "off", ["PHC"], "has no function"),
    ]
    if board.name == "art":
        wrong += [
            (2, "out", ["10MHz"], "cannot do 10MHz out; it can do PPS1 in, 10MHz in, PHC out, GNSS1 out"),
            (1, "in", ["PPS1", "10MHz"], "cannot do|one function"),
        ]
        with pytest.raises(UnsupportedError, match="always has a function"):
            sma.set(3, "off", [])
    else:
        sma.set(1, "in", ["PPS1", "TS1"])
        assert sma.read()[0].functions == ("PPS1", "TS1")
        wrong += [(4, "in", ["TS2", "TS1"], "TS1 already comes from sma1.* only the lower one counts")]
    if "10MHz" in board.sma.inputs and board.name != "art":
        wrong += [
            (2, "in", ["10MHz"], "only sma1 leads to the 10 MHz input"),
            (1, "in", ["10MHz", "TS2"], "cannot be combined"),
        ]
    for number, direction, functions, text in wrong:
        with pytest.raises(RefusedError, match=text):
            sma.set(number, direction, functions)


def test_codecs_run_while_a_connector_is_routed_to_them(rig: Rig) -> None:
    if "IRIG" not in rig.board.sma.outputs:
        return
    sma, ctrl = rig.card.sma, rig.board.at("irig_out", "ctrl")
    mode = 0x0100_0000
    rig.fpga.write32(ctrl, mode)
    sma.set(3, "out", ["IRIG"])
    assert rig.fpga.read32(ctrl) == mode | 1
    sma.set(4, "out", ["IRIG"])
    sma.set(3, "out", ["PHC"])
    assert rig.fpga.read32(ctrl) == mode | 1, "sma4 still needs it"
    sma.set(4, "out", ["GNSS1"])
    assert rig.fpga.read32(ctrl) == mode


def test_generators_start_and_stop(rig: Rig) -> None:
    if not rig.board.generators:
        return
    generator = rig.card.generator(rig.board.generators)
    if isinstance(rig.card.clock, RegisterClock):
        rig.card.clock.select_source("REGS")
    state = generator.start(GeneratorSettings(period_ns=S, pulse_ns=S // 10, phase_ns=250))
    assert (state.running, state.period_ns, state.pulse_ns, state.error) == (True, S, S // 10, None)
    assert state.start_tai_ns % S == 250
    assert 0 < state.start_tai_ns - rig.card.clock.now_tai_ns() < 2 * S
    assert generator.state() == state
    at_ns = rig.card.clock.now_tai_ns() + S
    state = generator.start(
        GeneratorSettings(period_ns=3 * S, pulse_ns=5, start_tai_ns=at_ns, active_high=False)
    )
    assert (state.start_tai_ns, state.active_high) == (at_ns, False)
    refused: list[tuple[GeneratorSettings, str]] = [
        (GeneratorSettings(period_ns=0, pulse_ns=5), "a period of 0 ns"),
        (GeneratorSettings(period_ns=100, pulse_ns=100), "does not fit a period of 100 ns: 5 to 95 ns would"),
        (GeneratorSettings(period_ns=100, pulse_ns=50, phase_ns=100), "phase"),
        (GeneratorSettings(period_ns=100, pulse_ns=50, cable_delay_ns=-1), "cable delay"),
        (GeneratorSettings(period_ns=100, pulse_ns=50, repeat_count=-1), "repeat count"),
        (GeneratorSettings(period_ns=100, pulse_ns=50, start_tai_ns=1), "at least 1 ms"),
        (GeneratorSettings(period_ns=100, pulse_ns=50, start_tai_ns=1 << 63), "32-bit seconds"),
    ]
    for settings, text in refused:
        with pytest.raises(RefusedError, match=text):
            generator.start(settings)
    assert generator.state() == state, "refused settings change nothing"
    generator.stop()
    assert not generator.state().running


def test_counters_are_started_and_read(rig: Rig) -> None:
    if not rig.board.counters:
        return
    counter = rig.card.counter(rig.board.counters)
    counter.start(2)
    reading = counter.read()
    assert (reading.gate_s, reading.error) == (2, None)
    for gate_s in (0, 256, -1):
        with pytest.raises(RefusedError, match="outside 1 to 255"):
            counter.start(gate_s)
    counter.stop()
    assert (counter.read().gate_s, counter.read().frequency_hz) == (0, None)


def test_the_receiver_is_heard(rig: Rig) -> None:
    stream = rig.card.serial(Role.GNSS)
    assert rig.card.serial(Role.GNSS) is stream
    heard = b""
    for _ in range(40):
        heard += stream.read(4096, 1.0)
        if b"\xb5b" in heard:
            break
    assert b"\xb5b" in heard


def test_memories_are_reached(rig: Rig) -> None:
    identity = rig.card.identity()
    assert identity.problems == ()
    assert identity.serial and identity.board_id
    chip = rig.board.i2c.chips[0]
    memory = rig.card.memory(chip.address)
    assert memory.size == chip.size
    assert len(memory.read(0, 16)) == 16
    with pytest.raises(UnsupportedError):
        rig.card.memory(0x11)
    flash = rig.card.flash()
    assert flash.size >= rig.board.flash.update_start
    assert len(flash.read(rig.board.flash.update_start, 32)) == 32


def test_only_aligned_words_that_there_are_were_accessed(rig: Rig) -> None:
    """Last: what all the tests above did."""
    accesses = rig.fpga.accesses
    assert (accesses.narrow, accesses.unmapped) == (0, 0)
