"""What every register bus promises, for the emulated card in this process and behind a vfio-user socket."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fpga_server import make_card, serving
from tests.fpga_world import EchoDevice
from timecard.boards.fb import BLOCKS
from timecard.card import card_on_bus
from timecard.emulator.fpga import FpgaCard
from timecard.pcie.bus import ConfigSpace, burst_reader, device_serial, has_ptm
from timecard.pcie.clock import RegisterClock
from timecard.pcie.uart import UartStream
from timecard.pcie.vfio_user import VfioUserBus
from timecard.protocols import RegisterBus
from timecard.timebase import HostTimebase
from timecard.timescale import NS_PER_S

RAM = BLOCKS["nmea_out"].offset


@dataclass
class Rig:
    bus: RegisterBus
    card: FpgaCard
    device: EchoDevice


@pytest.fixture(params=["in-process", "vfio-user"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    if request.param == "in-process":
        card, device, _ = make_card()
        yield Rig(card, card, device)
    else:
        with serving(tmp_path / "card.sock") as served:
            bus = VfioUserBus(served.path)
            yield Rig(bus, served.card, served.device)
            bus.close()


def test_it_has_a_name(rig: Rig) -> None:
    assert rig.bus.name


def test_a_register_keeps_what_was_written(rig: Rig) -> None:
    for value in (0, 1, 0x8000_0000, 0xFFFF_FFFF):
        rig.bus.write32(RAM, value)
        assert rig.bus.read32(RAM) == value


def test_a_write_is_seen_by_the_next_read(rig: Rig) -> None:
    for value in range(100):
        rig.bus.write32(RAM, value)
        assert rig.bus.read32(RAM) == value


def test_a_hole_reads_all_ones(rig: Rig) -> None:
    assert rig.bus.read32(0x0100_0018) == 0xFFFF_FFFF


def test_a_burst_is_a_sequence_of_reads(rig: Rig) -> None:
    rig.bus.write32(RAM, 1)
    rig.bus.write32(RAM + 4, 2)
    read_many = burst_reader(rig.bus)
    assert read_many((RAM, RAM + 4, RAM, 0x0100_0018)) == [1, 2, 1, 0xFFFF_FFFF]
    assert read_many((RAM,)) == [1]
    assert read_many(()) == []
    assert read_many((RAM,) * 20) == [1] * 20


def test_configuration_space_is_reached(rig: Rig) -> None:
    assert isinstance(rig.bus, ConfigSpace)
    assert rig.bus.read_config32(0) == 0x0400_1D9B
    assert device_serial(rig.bus) == 0x02AC_CDFF_FE00_0001
    assert has_ptm(rig.bus)


def test_a_clock_runs_on_it(rig: Rig) -> None:
    clock = RegisterClock(rig.bus, HostTimebase())
    first, second = clock.now_tai_ns(), clock.now_tai_ns()
    assert 0 < second - first < NS_PER_S
    stamps = [clock.cross_timestamp() for _ in range(5)]
    assert {stamp.method for stamp in stamps} == {"ptm"}
    offsets = [stamp.card_tai_ns - stamp.mono_raw_ns for stamp in stamps]
    assert max(offsets) - min(offsets) < 1_000_000


def test_a_serial_line_runs_on_it(rig: Rig) -> None:
    stream = UartStream(rig.bus, HostTimebase(), BLOCKS["port[GNSS]"].offset, 115_200, "GNSS")
    rig.device.to_say = [(0, bytes(range(100)))]
    got = b""
    while len(got) < 100:
        more = stream.read(1000, 2.0)
        assert more
        got += more
    assert got == bytes(range(100))
    stream.write(b"command\r\n")
    stream.read(1, 0.01)
    assert bytes(rig.device.heard) == b"command\r\n"


def test_a_whole_card_runs_on_it(rig: Rig) -> None:
    card = card_on_bus(rig.bus, HostTimebase())
    assert card.facts().image_version == "fw 0.28"
    assert rig.card.unmapped == 0


def test_threads_get_their_own_answers(tmp_path: Path) -> None:
    with serving(tmp_path / "card.sock") as served:
        bus = VfioUserBus(served.path)
        for n in range(8):
            bus.write32(RAM + 4 * n, n)
        wrong: list[int] = []

        def work(n: int) -> None:
            wrong.extend(n for _ in range(300) if bus.read32(RAM + 4 * n) != n)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert not wrong
        bus.close()
