"""SA.3Xm, mRO-50, the faults that every module on the MAC port can have, and how a module is chosen."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.emulator_devices.part import Bench
from tests.unit.emulator_devices.wire import START_NS
from timecard.boards.board import Role
from timecard.emulator.arguments import parse
from timecard.emulator.csac import EmulatedCsac
from timecard.emulator.fault_kinds import FAULTS
from timecard.emulator.mac_names import MAC_FIRMWARES, MAC_PHYSICS, ON_I2C
from timecard.emulator.mac_parts import MAC_PARTS
from timecard.emulator.models import OSCILLATORS
from timecard.emulator.mro50 import EmulatedMro50
from timecard.emulator.options import CardOptions, OptionError
from timecard.emulator.sa3xm import EmulatedSa3xm
from timecard.emulator.sa5x import EmulatedSa5x
from timecard.emulator.serial_part import SerialPart
from timecard.emulator.virtual_card import build_in_process
from timecard.pcie.register_card import RegisterCard


def sa3xm(**options: Any) -> Bench:
    return Bench(lambda oscillator, pulses: EmulatedSa3xm(oscillator, START_NS, seed=2, **options))


def mro50(**options: Any) -> Bench:
    return Bench(lambda oscillator, pulses: EmulatedMro50(oscillator, START_NS, seed=2, **options))


# --- SA.3Xm ---


def test_sa3xm_answers_one_line() -> None:
    bench = sa3xm()
    line = bench.send("^")
    assert re.fullmatch(r"0,1\.22,1311R30127,\d+,\d+,-?\d+,\d+,\d+,35000,0,0,2500\r\n", line)
    assert len(line) <= 128
    assert bench.send("6{device?}\r\nFD\r") == ""
    assert bench.send("^^").count("\r\n") == 2


def test_sa3xm_shows_its_warm_up() -> None:
    bench = sa3xm(warmup_s=300.0)
    assert bench.send("^")[0] == "1"
    bench.wait(300)
    assert bench.send("^")[0] == "0"
    assert isinstance(bench.part, EmulatedSa3xm)
    bench.part.unlock(bench.t_ns)
    assert bench.send("^")[0] == "1"
    bench.part.relock(bench.t_ns)
    bench.wait(61)
    assert bench.send("^")[0] == "0"


# --- mRO-50 ---


def test_mro50_begins_to_answer_within_20_ms() -> None:
    bench = mro50()
    for _ in range(30):
        assert bench.send("FD\r", wait_s=0.020)
        bench.wait(0.1)


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        ("FD\r", "003FE127\n\n"),
        ("FD 003FE0E8\r", "\n\n"),
        ("FD 00400000\r", "?\n\n"),
        ("FD 1\r", "?\n\n"),
        ("MON_tpcb PIL_cfield C\r", "0960\n\n"),
        ("MON_tpcb PIL_cfield C 0A00\r", "\n\n"),
        ("MON_tpcb PIL_cfield C 12C1\r", "?\n\n"),
        ("nonsense\r\n", "?\n\n"),
    ],
)
def test_mro50_exchanges(sent: str, answered: str) -> None:
    assert mro50().send(sent) == answered


def test_mro50_status_line() -> None:
    bench = mro50()
    line = bench.send("MONITOR1\r", wait_s=0.2)
    assert len(line) == 62
    assert line.endswith("\n\n")
    assert int(line[52:56], 16) == pytest.approx(0x093A, abs=1)  # 35 degC
    assert ord(line[56]) & 4
    assert isinstance(bench.part, EmulatedMro50)
    bench.part.unlock(bench.t_ns)
    assert not ord(bench.send("MONITOR1\r", wait_s=0.2)[56]) & 4


def test_mro50_may_take_minutes_to_start() -> None:
    bench = mro50(boot_s=300.0)
    bench.send("MON_tpcb PIL_cfield C 0A00\r")
    assert bench.send("reset\r", wait_s=149) == ""
    assert bench.send("FD\r", wait_s=1.5) == "mRO-50\r\n"
    assert bench.wait(151).endswith("Start done>")
    assert bench.send("MON_tpcb PIL_cfield C\r") == "0960\n\n"


# --- faults ---

PARTS: dict[str, tuple[Callable[[], Bench], str, str]] = {
    "sa5x": (
        lambda: Bench(lambda oscillator, pulses: EmulatedSa5x(oscillator, pulses, START_NS, seed=2)),
        "{get,TauPps0}",
        "[=10000]\r\n",
    ),
    "csac": (
        lambda: Bench(lambda oscillator, pulses: EmulatedCsac(oscillator, pulses, START_NS, seed=2)),
        "D",
        "100\r\n",
    ),
    "sa3xm": (sa3xm, "^", "0,1.22,1311R30127,45002,15870,-318,212,812,35000,0,0,2500\r\n"),
    "mro50": (mro50, "MON_tpcb PIL_cfield C\r", "0960\n\n"),
}


@pytest.fixture(params=sorted(PARTS))
def asked(request: pytest.FixtureRequest) -> tuple[Bench, str, str]:
    make, request_text, answer = PARTS[request.param]
    return make(), request_text, answer


def test_without_faults(asked: tuple[Bench, str, str]) -> None:
    bench, text, answer = asked
    assert bench.send(text) == answer


def test_silence(asked: tuple[Bench, str, str]) -> None:
    bench, text, answer = asked
    bench.part.silent = True
    assert bench.send(text, wait_s=5) == ""
    bench.part.silent = False
    assert bench.send(text) == answer


def test_truncated(asked: tuple[Bench, str, str]) -> None:
    bench, text, answer = asked
    bench.part.truncated = True
    assert bench.send(text) == answer[: len(answer) // 2]


def test_late(asked: tuple[Bench, str, str]) -> None:
    bench, text, answer = asked
    bench.part.late_ns = 4_000_000_000
    assert bench.send(text, wait_s=3.9) == ""
    assert bench.wait(0.3) == answer


def test_wrong_echo(asked: tuple[Bench, str, str]) -> None:
    bench, text, answer = asked
    bench.part.wrong_echo = True
    heard = bench.send(text)
    assert len(heard) == len(answer)
    assert sum(a != b for a, b in zip(heard, answer, strict=True)) == 1


def test_garbage(asked: tuple[Bench, str, str]) -> None:
    bench, text, answer = asked
    bench.part.garbage_bytes = 30
    heard = bench.send(text, wait_s=0.3)
    assert len(heard) == len(answer) + 30
    assert heard != answer


def test_wrong_speed(asked: tuple[Bench, str, str]) -> None:
    bench, text, answer = asked
    bench.part.wrong_speed = True
    assert answer not in bench.send(text * 5, wait_s=3)


def test_reset_in_mid_command(asked: tuple[Bench, str, str]) -> None:
    bench, text, answer = asked
    bench.part.reset_in_command = True
    assert bench.send(text, wait_s=0.3).startswith(answer[: len(answer) // 2])
    assert bench.send(text, wait_s=0.1) == ""
    bench.wait(10)
    assert bench.send(text, wait_s=0.3).endswith(answer[-2:])


def test_power_cut(asked: tuple[Bench, str, str]) -> None:
    bench, text, answer = asked
    bench.part.power_cycle(bench.t_ns, off_s=20.0)
    assert bench.send(text, wait_s=19) == ""
    bench.wait(10)
    assert bench.send(text, wait_s=0.3).endswith(answer[-2:])


# --- choosing a module ---


def test_every_name_makes_a_part() -> None:
    assert set(MAC_PARTS) | ON_I2C == set(MAC_PHYSICS)
    assert set(MAC_PHYSICS.values()) <= set(OSCILLATORS)
    for name in MAC_PARTS:
        card = build_in_process(mac=name, board="art" if name == "mro50" else "fb").card
        assert isinstance(card.mac, SerialPart)
        assert card.options.oscillator_source == MAC_PHYSICS[name]


def test_the_command_line_chooses() -> None:
    options = parse(["--vfio-user", "/tmp/x", "--mac", "csac"]).options
    assert (options.mac, options.oscillator_source) == ("csac", "csac")
    options = parse(["--vfio-user", "/tmp/x", "--mac", "sa53", "--mac-firmware", "broken"]).options
    assert options.mac_firmware == "broken"
    with pytest.raises(OptionError, match=r"mac_firmware='1\.6\.5'"):
        CardOptions(mac="csac", mac_firmware="1.6.5")
    with pytest.raises(OptionError, match="mac_firmware='9'"):
        CardOptions(mac_firmware="9")


@pytest.mark.parametrize("name", MAC_FIRMWARES)
def test_firmware_variants(name: str) -> None:
    card = build_in_process(mac="sa53", mac_firmware=name).card
    assert isinstance(card.mac, EmulatedSa5x)
    t_ns = card.world.true_tai_ns()
    card.mac.receive(b"{swrev?}{get,LockProgress}{get,LaserTempSet}", t_ns)
    version, progress, laser = card.mac.transmit(t_ns + 100_000_000).decode().split()
    expected = MAC_FIRMWARES[name]
    assert version == ("[!1]" if expected is None else f"[={expected},V1.0]")
    assert progress == {"broken": "[!1]", "1.0.4": "[!100]"}.get(name, "[=100]")
    assert laser == {"broken": "[!1]", "1.6.5": "[=41250]"}.get(name, "[!100]")


def test_a_csac_is_heard_through_the_cards_port() -> None:
    rig = build_in_process(mac="csac", seed=3)
    rig.inject("mac-late", late_ms=500)
    with RegisterCard(rig.bus, rig.timebase) as card:
        port = card.serial(Role.MAC)
        port.write(b"6")
        assert port.read(100, 0.4) == b""
        heard = b""
        while data := port.read(200, 0.3):
            heard += data
        assert heard.startswith(b"Status,Alarm,SN")
    rig.clear()
    assert "mac-alarm" in rig.card.faults.supported()


@pytest.mark.parametrize("fault", [name for name in FAULTS if name.startswith("mac-")])
@pytest.mark.parametrize("mac", ["sa53", "csac", "sa3xm"])
def test_every_fault_of_the_module_can_be_had_and_ends(mac: str, fault: str) -> None:
    rig = build_in_process(mac=mac, seed=4)
    request = {"sa53": b"{get,Locked}", "csac": b"F", "sa3xm": b"^"}[mac]
    with RegisterCard(rig.bus, rig.timebase) as card:
        port = card.serial(Role.MAC)

        def ask() -> bytes:
            port.write(request)
            heard = b""
            while more := port.read(4096, 0.2):
                heard += more
            return heard

        usual = ask()
        assert usual.endswith(b"\r\n")
        if fault not in rig.card.faults.supported():
            assert (mac, fault) == ("sa3xm", "mac-alarm")
            return
        rig.inject(fault)
        if fault not in ("mac-unlock", "mac-alarm"):
            assert ask() != usual
        rig.timebase.sleep_s(10.0)
        rig.clear(fault)
        rig.timebase.sleep_s(10.0)
        ask()
        rig.timebase.sleep_s(120.0)
        assert len(ask()) == len(usual)


def test_alarm_bits_show_in_the_answers() -> None:
    rig = build_in_process(mac="sa53", seed=4)
    rig.inject("mac-alarm", bits=0x22)
    assert isinstance(rig.card.mac, EmulatedSa5x)
    t_ns = rig.card.world.true_tai_ns()
    rig.card.mac.receive(b"{get,Alarms}", t_ns)
    assert rig.card.mac.transmit(t_ns + 100_000_000) == b"[=34]\r\n"
