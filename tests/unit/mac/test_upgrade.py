"""Upgrading an SA5X: the right file, a free port, a cut at every block, refusals, and going on afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.emulator_devices.wire import START_NS, SteadyPulses, Wire
from timecard.emulator.csac import EmulatedCsac
from timecard.emulator.models import OSCILLATORS
from timecard.emulator.oscillator import model_oscillator
from timecard.emulator.sa5x import EmulatedSa5x
from timecard.emulator.sa5x_loader import build_image
from timecard.emulator.world import VirtualTime
from timecard.errors import (
    DeviceAbsentError,
    DeviceTimeoutError,
    ProtocolError,
    RefusedError,
    TimeCardError,
    UnsupportedError,
)
from timecard.mac.firmware_image import FirmwareImage, Version, parse_image, read_image, version_of
from timecard.mac.upgrade import Condition, Upgrade

SIZE = 6_000
NEW = parse_image(build_image("V1.6.5.669A7202", SIZE), "new.cfw")
BLOCKS = -(-SIZE // 1024)


class Bench:
    """A part, somebody with new firmware, and the time that both live in."""

    def __init__(self, **options: Any) -> None:
        self.time = VirtualTime(START_NS)
        oscillator = model_oscillator(OSCILLATORS["sa53"], 1, START_NS)
        self.part = EmulatedSa5x(oscillator, SteadyPulses(), START_NS, **options)
        self.wire = Wire(self.part, self.time)
        self.upgrade = Upgrade(self.wire, self.time)
        self.time.sleep_s(1.5)
        self.seen: list[tuple[int, int]] = []

    def do(self, image: FirmwareImage = NEW, **options: Any) -> str:
        plan = self.upgrade.preflight(image, **options)
        return self.upgrade.run(plan, lambda done, total: self.seen.append((done, total))).after

    def ask(self, command: bytes) -> bytes:
        self.time.sleep_s(0.1)
        self.wire.read(1_000, 0.0)
        self.wire.write(command)
        self.time.sleep_s(0.1)
        return self.wire.read(1_000, 0.0)

    def at_block(self, count: int, action: Callable[[], None]) -> None:
        """Run ``action`` when so many blocks have arrived."""
        receive = self.part.receive
        done = False

        def watched(data: bytes, t_ns: int) -> None:
            nonlocal done
            receive(data, t_ns)
            if not done and self.part.upload is not None and self.part.upload.blocks >= count:
                done = True
                action()

        self.part.receive = watched  # type: ignore[method-assign]  # to count blocks

    def cut(self, off_s: float = 5.0) -> None:
        self.part.power_cycle(self.time.true_tai_ns(), off_s)


# --- files ---


def image_with(footer: str, size: int = 5_000) -> bytes:
    return bytes(size) + footer.encode() + b"\x1a" * 300


GOOD = "?v=V1.1.30.635AC64C,f=sa5x_V1.1.30.635AC64C.cfw,t=sa5x,app=clock,platform=sa5x,target=cpu."


def test_a_footer_is_read(tmp_path: Path) -> None:
    path = tmp_path / "sa5x_V1.1.30.635AC64C.cfw"
    path.write_bytes(image_with(GOOD))
    image = read_image(path)
    assert (image.version, image.label) == (Version(1, 1, 30), "V1.1.30.635AC64C")
    assert len(image.sha256) == 64


@pytest.mark.parametrize(
    ("footer", "message"),
    [
        ("", "no footer"),
        (GOOD[:-1], "no footer"),
        (GOOD.replace("t=sa5x", "t=sa3x"), "t=sa3x, and this part needs t=sa5x"),
        (GOOD.replace("platform=sa5x", "platform=csac"), "platform=csac"),
        (GOOD.replace("target=cpu", "target=fpga"), "target=fpga"),
        (GOOD.replace("t=sa5x,", ""), "t=None"),
        (GOOD.replace("V1.1.30.635AC64C,f", "newest,f"), "no version"),
    ],
)
def test_wrong_files_are_refused(footer: str, message: str) -> None:
    with pytest.raises(RefusedError, match=r"wrong\.cfw") as error:
        parse_image(image_with(footer), "wrong.cfw")
    assert message in str(error.value)


@pytest.mark.parametrize("size", [0, 1_023, (4 << 20) + 1])
def test_wrong_sizes_are_refused(size: int) -> None:
    with pytest.raises(RefusedError, match="bytes"):
        parse_image(bytes(size), "wrong.cfw")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DeviceAbsentError, match="nothing"):
        read_image(tmp_path / "nothing")


def test_versions() -> None:
    assert version_of("V1.0.4.0.5ADA4E31,V1.0") == (1, 0, 4)
    assert version_of("V1.1.30.635AC64C") == (1, 1, 30)
    assert version_of("V1.10.2") == (1, 10, 2)
    assert version_of("sa5x") is None
    older, newer = version_of("V1.9.9"), version_of("V1.10.2")
    assert older is not None and newer is not None and newer > older


# --- preflight ---


@pytest.mark.parametrize(
    ("firmware", "refusals"),
    [
        ("V1.0.4.0.5ADA4E31", 0),
        ("V1.1.30.0.635AC64C", 0),
        ("V1.6.5.0.669A7202", 1),
        ("V1.10.0.0.669A7202", 1),
        (None, 0),
    ],
)
def test_only_newer_firmware(firmware: str | None, refusals: int) -> None:
    bench = Bench(firmware=firmware)
    plan = bench.upgrade.preflight(NEW)
    assert len(plan.refusals) == refusals
    assert plan.condition is (Condition.NO_FIRMWARE if firmware is None else Condition.RUNNING)
    assert bench.upgrade.preflight(NEW, force=True).go
    if refusals:
        assert "is not newer than" in plan.refusals[0]
        with pytest.raises(RefusedError, match="not newer"):
            bench.upgrade.run(plan)
    assert bench.part.flash.version == firmware


def test_a_port_in_use_is_refused_by_name_even_by_force() -> None:
    bench = Bench()
    plan = bench.upgrade.preflight(NEW, holders=lambda: ["process 77 (oscillatord)"], force=True)
    assert plan.refusals == ("the port is in use by process 77 (oscillatord)",)


def test_nobody_there() -> None:
    bench = Bench()
    bench.part.silent = True
    with pytest.raises(DeviceAbsentError, match="device"):
        bench.upgrade.preflight(NEW)


def test_a_csac_is_left_alone() -> None:
    time = VirtualTime(START_NS)
    part = EmulatedCsac(model_oscillator(OSCILLATORS["csac"], 1, START_NS), SteadyPulses(), START_NS)
    time.sleep_s(1.5)
    wire = Wire(part, time)
    with pytest.raises((UnsupportedError, DeviceAbsentError)):
        Upgrade(wire, time).preflight(NEW)
    assert part.nonvolatile_writes == 0
    assert not any(chr(byte).isupper() for byte in wire.written)


def test_the_wrong_speed_is_not_taken_for_a_part() -> None:
    bench = Bench()
    bench.part.wrong_speed = True
    with pytest.raises((DeviceAbsentError, UnsupportedError)):
        bench.upgrade.preflight(NEW)


# --- upgrades ---


@pytest.mark.parametrize("firmware", ["V1.0.4.0.5ADA4E31", "V1.1.30.0.635AC64C", None])
def test_an_upgrade(firmware: str | None) -> None:
    bench = Bench(firmware=firmware)
    assert bench.do() == "V1.6.5.0.669A7202,V1.0"
    assert bench.seen[0][0] == 0
    assert bench.seen[-1] == (BLOCKS, BLOCKS)
    assert bench.ask(b"{get,LaserTempSet}") == b"[=41250]\r\n"


def test_stored_settings_outlive_an_upgrade() -> None:
    bench = Bench()
    bench.ask(b"{set,TauPps0,500}{store}")
    bench.do()
    assert bench.ask(b"{get,TauPps0}") == b"[=500]\r\n"


def test_an_older_image_by_force() -> None:
    bench = Bench()
    old = parse_image(build_image("V1.0.4.5ADA4E31", SIZE), "old.cfw")
    assert bench.do(old, force=True) == "V1.0.4.0.5ADA4E31,V1.0"


@pytest.mark.parametrize("block", range(1, BLOCKS + 1))
def test_a_power_cut_at_every_block_can_be_gone_on_from(block: int) -> None:
    bench = Bench()
    bench.at_block(block, bench.cut)
    with pytest.raises((DeviceTimeoutError, RefusedError)):
        bench.do()
    assert bench.part.flash.version is None
    bench.time.sleep_s(10)
    plan = bench.upgrade.preflight(NEW)
    assert (plan.condition, plan.running, plan.resumes) == (Condition.NO_FIRMWARE, None, True)
    assert bench.upgrade.run(plan).after.startswith("V1.6.5.0")


@pytest.mark.parametrize("wait_s", [0.0, 1.0, 30.0, 400.0])
@pytest.mark.parametrize("block", [0, 1, 3])
def test_a_host_that_died_in_the_middle_can_be_followed_by_another(block: int, wait_s: float) -> None:
    bench = Bench()

    class DiedError(Exception):
        pass

    def die(done: int, total: int) -> None:
        if done == block:
            raise DiedError

    with pytest.raises(DiedError):
        bench.upgrade.run(bench.upgrade.preflight(NEW), die)
    bench.time.sleep_s(wait_s)
    again = Upgrade(bench.wire, bench.time)
    plan = again.preflight(NEW, force=True)
    assert plan.resumes
    assert again.run(plan).after.startswith("V1.6.5.0")


def test_a_part_that_stays_off_leaves_a_timeout() -> None:
    bench = Bench()
    bench.at_block(2, lambda: bench.cut(10_000.0))
    before_ns = bench.time.true_tai_ns()
    with pytest.raises(DeviceTimeoutError, match="silence at block"):
        bench.do()
    assert bench.time.true_tai_ns() - before_ns < 120e9


@pytest.mark.parametrize("refused", [1, 9])
def test_refused_blocks_are_repeated(refused: int) -> None:
    bench = Bench()

    def refuse() -> None:
        assert bench.part.upload is not None
        bench.part.upload.refuse_next = refused

    bench.at_block(2, refuse)
    assert bench.do().startswith("V1.6.5.0")


def test_a_storm_of_refusals() -> None:
    bench = Bench()

    def refuse() -> None:
        assert bench.part.upload is not None
        bench.part.upload.refuse_next = 1_000

    bench.at_block(2, refuse)
    with pytest.raises(RefusedError, match="error 310"):
        bench.do()
    assert bench.do().startswith("V1.6.5.0")


@pytest.mark.parametrize(("code", "meaning"), [(320, "flash erase failed"), (321, "flash write failed")])
def test_flash_faults(code: int, meaning: str) -> None:
    bench = Bench()
    bench.part.flash.fault = code
    with pytest.raises(RefusedError, match=f"error {code}: {meaning}"):
        bench.do()
    bench.part.flash.fault = 0
    assert bench.do().startswith("V1.6.5.0")


def damaged(kind: str) -> bytes:
    data = bytearray(build_image("V1.6.5.669A7202", SIZE))
    if kind == "changed":
        data[3_000] ^= 1
    elif kind == "shortened":
        del data[2_000:3_024]
    return bytes(data)


@pytest.mark.parametrize(("kind", "code"), [("changed", 302), ("shortened", 304)])
def test_a_damaged_file_is_found_by_the_part_and_can_be_repaired(kind: str, code: int) -> None:
    bench = Bench()
    bad = parse_image(damaged(kind), "bad.cfw")
    with pytest.raises(RefusedError, match=f"error {code}: .*no firmware now"):
        bench.do(bad)
    assert bench.upgrade.preflight(NEW).resumes
    assert bench.do().startswith("V1.6.5.0")


def test_a_part_that_runs_something_else_afterwards_is_told() -> None:
    bench = Bench()
    commit = bench.part.flash.commit

    def forget(data: bytes) -> int:
        code = commit(data)
        bench.part.flash.version = "V1.1.30.0.635AC64C"
        return code

    bench.part.flash.commit = forget  # type: ignore[method-assign]  # this part alone forgets
    with pytest.raises(ProtocolError, match=r"V1\.1\.30\.0\.635AC64C,V1\.0 runs now, not V1\.6\.5"):
        bench.do()


@pytest.mark.parametrize("fault", ["truncated", "wrong_echo", "silent", "wrong_speed"])
@pytest.mark.parametrize("block", [0, 2])
def test_a_bad_line_in_the_middle_raises_our_errors_only(fault: str, block: int) -> None:
    bench = Bench()
    bench.at_block(block, lambda: setattr(bench.part, fault, True))
    try:
        bench.do()
    except TimeCardError as error:
        assert error.device == "wire"
    setattr(bench.part, fault, False)
    bench.time.sleep_s(150)
    assert bench.do(force=True).startswith("V1.6.5.0")


def test_a_loader_that_never_comes_leaves_the_firmware() -> None:
    bench = Bench()
    plan = bench.upgrade.preflight(NEW)
    bench.part.silent = True
    with pytest.raises(DeviceTimeoutError, match="the firmware is as before; the part was told to restart"):
        bench.upgrade.run(plan)
    assert bench.part.flash.version is not None


# --- noise ---


class Noise:
    """A line that says anything, at any time."""

    name = "noise"

    def __init__(self, time: VirtualTime, pieces: list[bytes]) -> None:
        self._time = time
        self._pieces = pieces

    def read(self, max_bytes: int, timeout_s: float) -> bytes:
        self._time.sleep_s(max(0.001, min(timeout_s, 0.2)))
        return self._pieces.pop()[:max_bytes] if self._pieces else b""

    def write(self, data: bytes) -> None:
        assert len(data) < 1_100


ANSWERS = (b"[=sa5x]\r\n", b"[!1]\r\n", b"[=V1.0.4.0.5ADA4E31,V1.0]", b"[=BSL]", b"[=1]\r\n", b"[!310]")
NOTICES = (b"[>Loading...]", b"[>Microchip SA5X]\r\n", b"[", b"C", b"\x06", b"\x15", b"\x18\x18")
WORDS = st.sampled_from((*ANSWERS, *NOTICES))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(WORDS, WORDS, st.binary(max_size=30)), max_size=150))
def test_whatever_is_heard_ends_in_our_errors(pieces: list[bytes]) -> None:
    time = VirtualTime(START_NS)
    upgrade = Upgrade(Noise(time, pieces), time)
    with contextlib.suppress(TimeCardError):
        upgrade.run(upgrade.preflight(NEW, force=True))
    assert time.true_tai_ns() - START_NS < 600e9


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400), st.binary(max_size=200))
def test_whatever_a_file_holds_it_is_an_image_or_refused(before: bytes, after: bytes) -> None:
    data = bytes(2_000) + before + GOOD.encode() + after
    with contextlib.suppress(RefusedError):
        assert parse_image(data, "file").version == (1, 1, 30)
    with pytest.raises(RefusedError):
        parse_image(bytes(1_024) + before + after, "file")
