"""Which oscillator answers: no probe changes anything in any part, and what was heard is said."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.unit.emulator_devices.wire import START_NS, SteadyPulses, Wire
from tests.unit.mac.part_bench import PartBench
from timecard.emulator.csac_engine import CHECKSUM, DISCIPLINE, CsacSettings
from timecard.emulator.models import OSCILLATORS as MODELS
from timecard.emulator.oscillator import model_oscillator
from timecard.emulator.taitien import EmulatedTaitien
from timecard.emulator.world import VirtualTime
from timecard.errors import DeviceAbsentError, DeviceLostError, RefusedError
from timecard.mac.detect import detect
from timecard.mac.oscillators import OSCILLATORS

CSAC_SHORTCUTS = b"FMSDUTm>"


def written(bench: PartBench) -> bytes:
    return bytes(bench.wire.written)


@pytest.mark.parametrize("expected", [None, "sa5x", "mro50"])
@pytest.mark.parametrize(
    ("part", "family", "baud"),
    [
        ("sa5x", "sa5x", 57_600),
        ("csac", "csac", 57_600),
        ("sa65", "csac", 57_600),
        ("sa3xm", "sa3xm", 57_600),
        ("mro50", "mro50", 9_600),
    ],
)
def test_every_part_is_found_whatever_is_expected(
    part: str, family: str, baud: int, expected: str | None
) -> None:
    bench = PartBench(part)
    found = detect(bench.open_line, bench.time, expected=expected, wear=bench.wear)
    assert (found.identity.family, found.driver.family, found.baud) == (family, family, baud)
    assert found.oscillator.status(full=True).locked


def test_a_csac_with_checksums_is_found_and_not_disturbed() -> None:
    bench = PartBench("csac", settings=CsacSettings(mode=DISCIPLINE | CHECKSUM))
    bench.run(5)
    before = (bench.device.settings, bench.device._engine.ahead_ns(START_NS), bench.device.nonvolatile_writes)
    found = detect(bench.open_line, bench.time)
    assert found.identity.serial == "1209CS00909"
    after = (bench.device.settings, bench.device._engine.ahead_ns(START_NS), bench.device.nonvolatile_writes)
    assert after == before


@pytest.mark.parametrize("part", ["csac", "sa3xm", "mro50"])
def test_an_unknown_part_never_hears_a_parameter_name_of_the_sa5x(part: str) -> None:
    bench = PartBench(part)
    detect(bench.open_line, bench.time)
    sent = written(bench)
    assert b"get" not in sent
    assert b"set" not in sent
    # Before the part is known only these may go out at 57600 baud; F and D belong to the probe at 9600.
    probes = rb"\{device\?\}|\x1b!\^\*5E\r\n|\r\nFD\r|FD\r|MON_tpcb PIL_cfield C\r|MONITOR1\r"
    free = re.sub(probes, b"", sent)
    assert not set(free) & set(CSAC_SHORTCUTS)


def test_the_probes_move_no_pulse_of_a_csac() -> None:
    bench = PartBench("csac")
    second = bench.time.true_tai_ns() // 10**9 + 20
    twin = PartBench("csac")
    detect(bench.open_line, bench.time)
    assert bench.device.edge(second).error_ns == pytest.approx(twin.device.edge(second).error_ns)
    assert bench.device.nonvolatile_writes == 0


def test_a_part_that_has_just_been_switched_on_is_waited_for() -> None:
    bench = PartBench("sa5x")
    bench.device.power_cycle(bench.time.true_tai_ns(), off_s=0.5)
    assert detect(bench.open_line, bench.time).identity.family == "sa5x"


def test_an_unknown_part_is_quoted() -> None:
    time = VirtualTime(START_NS)
    oscillator = model_oscillator(MODELS["ocxo"], 1, START_NS)
    wire = Wire(EmulatedTaitien(oscillator, SteadyPulses(), START_NS), time)
    with pytest.raises(DeviceAbsentError, match=r"57600 baud .*bytes were heard: '\?.*quartz"):
        detect(lambda baud: wire, time)


def test_what_a_part_said_in_the_first_round_only_is_not_forgotten() -> None:
    time = VirtualTime(START_NS)

    class Dying:
        """Says one thing and falls silent."""

        name = "mac"
        says = b""

        def read(self, max_bytes: int, timeout_s: float) -> bytes:
            time.sleep_s(timeout_s)
            said, self.says = self.says, b""
            return said

        def write(self, data: bytes) -> None:
            if data == b"{device?}" and time.mono_ns() - begun_ns < 2 * 10**9:
                self.says = b"[!1]\r\n"

    line, begun_ns = Dying(), time.mono_ns()
    with pytest.raises(DeviceAbsentError, match=r"at 57600 baud 6 bytes were heard: '\[!1\]'"):
        detect(lambda baud: line, time)
    assert time.mono_ns() - begun_ns > 5 * 10**9, "there were two rounds"


def test_nobody_there() -> None:
    bench = PartBench("sa5x")
    bench.device.silent = True
    said = r"57600 baud nothing.*9600 baud nothing was heard"
    with pytest.raises(DeviceAbsentError, match=said) as failure:
        detect(bench.open_line, bench.time)
    assert failure.value.device == "wire"


@pytest.mark.parametrize("part", ["sa5x", "csac"])
def test_a_port_that_its_maker_set_to_another_rate(part: str) -> None:
    bench = PartBench(part, baud=115_200)
    with pytest.raises(DeviceAbsentError):
        detect(bench.open_line, bench.time, rounds=1)
    found = detect(bench.open_line, bench.time, expected="sa5x", port_baud=115_200)
    assert (found.driver.family, found.baud) == (part if part == "csac" else "sa5x", 115_200)
    usual = PartBench("mro50")
    assert detect(usual.open_line, usual.time, expected="sa5x", port_baud=115_200).baud == 9_600


def test_a_line_that_never_falls_silent() -> None:
    time = VirtualTime(START_NS)

    class Chatter:
        name = "mac"

        def read(self, max_bytes: int, timeout_s: float) -> bytes:
            time.sleep_s(0.01)
            return b"$GNZDA,1\r\n"

        def write(self, data: bytes) -> None:
            pass

    with pytest.raises(DeviceAbsentError, match="GNZDA"):
        detect(lambda baud: Chatter(), time)
    assert time.mono_ns() < 60 * 10**9 + 1_000_000_000_000


def test_another_program_on_the_port_is_named() -> None:
    def held(baud: int) -> Wire:
        raise RefusedError("MAC UART (/dev/ttyS6)", "open", "held by process 77 (minicom)")

    with pytest.raises(RefusedError, match="minicom"):
        detect(held, VirtualTime(START_NS))


def test_a_rate_that_the_port_cannot_make_is_left_out() -> None:
    bench = PartBench("sa5x")
    bench.device.silent = True

    def only_one(baud: int) -> Wire:
        if baud != 57_600:
            raise RefusedError("wire", "set baud", "the UART's clock cannot make 9600")
        return bench.wire

    with pytest.raises(DeviceAbsentError, match="9600 baud not tried: the UART"):
        detect(only_one, bench.time)


def test_a_lost_line_is_no_absent_part() -> None:
    class Gone:
        name = "mac"

        def read(self, max_bytes: int, timeout_s: float) -> bytes:
            raise DeviceLostError(self.name, "read", "the card is gone")

        def write(self, data: bytes) -> None:
            pass

    with pytest.raises(DeviceLostError):
        detect(lambda baud: Gone(), VirtualTime(START_NS))


def test_the_table() -> None:
    assert set(OSCILLATORS) >= {"sa5x", "csac", "sa3xm", "mro50", "rod2522", "quartz"}
    for family, driver in OSCILLATORS.items():
        assert driver.family == family
        assert (driver.probe is None) == (driver.baud is None) == (driver.open is None)
        assert (driver.open is None) != (driver.open_i2c is None)
    orders = [driver.order for driver in OSCILLATORS.values()]
    assert len(set(orders)) == len(orders)


def test_every_driver_has_the_whole_interface() -> None:
    for part in ("sa5x", "csac", "sa3xm", "mro50"):
        oscillator: Any = PartBench(part).part
        for name in ("identify", "status", "set_frequency_ppb", "begin_software_steering", "latch", "store"):
            assert callable(getattr(oscillator, name))
        assert oscillator.max_frequency_ppb >= 0
