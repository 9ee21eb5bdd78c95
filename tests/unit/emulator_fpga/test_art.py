"""The ART card: its clock, timestampers and connectors, and the two ways to its oscillator."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.fpga_world import START_NS, START_S, ScriptedPulses, SteadyOscillator, World, make_world
from timecard.boards import ART
from timecard.emulator.fpga import FpgaCard
from timecard.emulator.fpga_sma import Cable
from timecard.emulator.models import OSCILLATORS
from timecard.emulator.mro50 import DEFAULT_COARSE, EmulatedMro50
from timecard.emulator.oscillator import model_oscillator
from timecard.emulator.world import VirtualTime
from timecard.timescale import NS_PER_S

PPS1, PHC, GNSS, TEN_IN, TEN_OUT = 0x01, 0x02, 0x04, 0x08, 0x10


def art(**options: Any) -> World:
    return make_world(board="art", **options)


def clock_ns(world: World) -> int:
    world.write("reg", "ctrl", 0x4000_0001)
    assert world.read("reg", "ctrl") >> 31
    return world.read("reg", "time_sec") * NS_PER_S + world.read("reg", "time_ns")


class TestClock:
    def test_a_read_of_ctrl_takes_done_away(self) -> None:
        world = art()
        world.write("reg", "ctrl", 0x4000_0001)
        assert world.read("reg", "ctrl") == 0x8000_0001
        assert world.read("reg", "ctrl") == 0x0000_0001

    def test_it_counts_in_steps_of_5_ns(self) -> None:
        world = art()
        seen = set()
        for _ in range(100):
            world.sleep_s(1e-9 * 7)
            seen.add((clock_ns(world) - world.now_ns, clock_ns(world) % 5))
        assert {rest for _, rest in seen} == {0}
        assert all(0 <= late <= 5 for late, _ in seen)

    def test_there_is_no_servo_and_no_source(self) -> None:
        world = art(ppb=1000.0)
        for register in ("select", "servo_offset_p", "servo_offset_i", "servo_drift_p", "servo_drift_i"):
            world.write("reg", register, 3)
            assert world.read("reg", register) == 0
        world.sleep_s(10)
        assert world.error_ns() == pytest.approx(10_000, abs=2)
        assert world.card.unmapped == 0

    def test_status_is_what_software_wrote(self) -> None:
        world = art()
        assert world.read("reg", "status") == 0
        world.write("reg", "status", 1)
        assert world.read("reg", "status") == 1

    @pytest.mark.parametrize("offset_ns", [300, -300, 1_900_000_000, -700_000_000])
    def test_an_offset_waits_for_the_next_second(self, offset_ns: int) -> None:
        world = art()
        world.write("reg", "offset_ns", abs(offset_ns) | (0x8000_0000 if offset_ns < 0 else 0))
        world.write("reg", "offset_interval", NS_PER_S)
        world.write("reg", "ctrl", 5)
        world.sleep_s(0.7)
        assert world.error_ns() == pytest.approx(0, abs=1)
        world.sleep_s(0.1)
        assert world.error_ns() == pytest.approx(offset_ns, abs=1)
        world.sleep_s(5)
        assert world.error_ns() == pytest.approx(offset_ns, abs=1), "it is applied once"

    def test_a_time_is_loaded_at_once(self) -> None:
        world = art()
        world.write("reg", "adjust_sec", 7)
        world.write("reg", "adjust_ns", 500)
        world.write("reg", "ctrl", 3)
        assert clock_ns(world) == pytest.approx(7 * NS_PER_S + 500, abs=5)


class TestTimestampers:
    def test_the_newest_stamp_is_shown_and_held_is_what_was_enabled(self) -> None:
        world = art()
        world.sleep_s(3)
        assert world.read("ts0", "time_sec") == START_S + 3
        assert world.read("ts0", "intr") == 0, "nothing was enabled"
        world.write("ts0", "enable", 1)
        assert world.read("ts0", "intr") == 0
        world.sleep_s(1)
        assert world.read("ts0", "intr") == 1
        world.write("ts0", "intr", 0)
        assert world.read("ts0", "intr") == 0, "any write clears"

    def test_one_message_until_it_is_acknowledged(self) -> None:
        world = art()
        raised: list[int] = []
        world.card.on_interrupt = raised.append
        world.sleep_s(2)
        world.write("pps", "enable", 1)
        assert raised == [], "what came before is no event"
        world.sleep_s(3)
        assert raised == [11]
        world.write("pps", "intr", 1)
        world.sleep_s(1)
        assert raised == [11, 11]

    def test_words_of_the_fb_block_that_the_driver_writes_are_dropped(self) -> None:
        world = art()
        mask = ART.blocks["ts0"].offset + 0x34
        world.card.write32(mask, 1)
        assert world.card.read32(mask) == 0
        assert world.card.unmapped == 0
        world.card.read32(ART.blocks["ts0"].offset + 0x50)
        assert world.card.unmapped == 1

    def test_each_connector_has_its_own(self) -> None:
        world = art(sma_pulses={1: ScriptedPulses(lambda second: 250.0)})
        world.write("art_sma", "io0", PPS1)
        world.sleep_s(2)
        assert world.read("ts1", "time_ns") == pytest.approx(250, abs=5)
        assert world.read("ts2", "time_sec") == 0

    def test_an_output_is_stamped_and_goes_through_a_cable(self) -> None:
        world = art(cables=[Cable(4, 1, 120.0)])
        world.write("art_sma", "io3", PHC)
        world.write("art_sma", "io0", PPS1)
        world.sleep_s(2)
        assert world.read("ts4", "time_ns") == pytest.approx(0, abs=5)
        assert world.read("ts1", "time_ns") == pytest.approx(120, abs=8)
        world.write("art_sma", "io3", GNSS)
        for channel in ("ts4", "ts1"):
            world.write(channel, "intr", 1)
        world.sleep_s(1)
        assert world.read("ts1", "time_ns") == pytest.approx(120, abs=8)


class Fitted:
    """An ART card with its mRO-50."""

    def __init__(self, cold: bool = False, warmup_s: float = 0.0) -> None:
        self.time = VirtualTime(START_NS)
        self.oscillator = model_oscillator(OSCILLATORS["mro50"], 1, START_NS)
        self.mro50 = EmulatedMro50(self.oscillator, START_NS, seed=1, warmup_s=warmup_s)
        self.card = FpgaCard(
            self.oscillator,
            ScriptedPulses(),
            None,
            {"mac": self.mro50},
            self.time,
            board=ART,
            mro50=self.mro50,
            start_card_tai_ns=START_NS,
            cold=cold,
        )

    def read(self, register: str) -> int:
        return self.card.read32(ART.at("osc", register))

    def write(self, register: str, value: int) -> None:
        self.card.write32(ART.at("osc", register), value)

    def until(self, done: Callable[[int], bool], limit_s: float = 0.2) -> int:
        for _ in range(round(limit_s / 0.0005)):
            ctrl = self.read("ctrl")
            if done(ctrl):
                return ctrl
            self.time.sleep_s(0.0005)
        raise AssertionError(f"ctrl stays {ctrl:#x}")

    def value_of(self, command: int) -> int:
        self.write("ctrl", command)
        self.until(lambda ctrl: bool(ctrl & 0x10))
        return self.read("value")

    def adjust(self, command: int, value: int) -> int:
        self.write("adjust", value)
        self.write("ctrl", command)
        assert self.read("ctrl") & 0x20, "pending at first, which the vendor's driver waits for"
        return self.until(lambda ctrl: not ctrl & 0x20)

    def ask(self, text: str, wait_s: float = 0.3) -> bytes:
        """Over the UART, at 9600."""
        port = ART.blocks["port[MAC]"].offset
        for register, byte in ((0x0C, 0x83), (0x00, 326 & 0xFF), (0x04, 326 >> 8), (0x0C, 3), (0x08, 1)):
            self.card.write32(port + register, byte)
        for byte in text.encode():
            self.card.write32(port, byte)
            self.time.sleep_s(0.0012)
        for _ in range(round(wait_s / 0.01)):
            self.time.sleep_s(0.01)
            self.card.read32(port + 0x1C)  # the line moves when somebody looks
        answer = bytearray()
        while self.card.read32(port + 0x14) & 1:
            answer.append(self.card.read32(port))
        return bytes(answer)


class TestBridge:
    def test_words_are_read_and_written(self) -> None:
        rig = Fitted()
        assert rig.value_of(0x0D) == DEFAULT_COARSE
        assert rig.value_of(0x05) == 2400
        assert not rig.adjust(0x21, 1800) & 0x7000_0000
        assert rig.value_of(0x05) == 1800
        assert not rig.adjust(0x61, DEFAULT_COARSE + 3) & 0x7000_0000
        assert rig.value_of(0x0D) == DEFAULT_COARSE + 3

    def test_steps_have_the_size_of_the_sheet(self) -> None:
        rig = Fitted()
        before = rig.oscillator.steering_ppb
        rig.adjust(0x21, 2500)
        assert rig.oscillator.steering_ppb - before == pytest.approx(-0.3)
        rig.adjust(0x61, DEFAULT_COARSE + 2)
        assert rig.oscillator.steering_ppb - before == pytest.approx(2 * 1.24 - 0.3)

    def test_a_read_of_the_value_and_a_command_clear_done(self) -> None:
        rig = Fitted()
        rig.value_of(0x05)
        assert not rig.read("ctrl") & 0x10
        rig.write("ctrl", 0x05)
        rig.until(lambda ctrl: bool(ctrl & 0x10))
        rig.write("ctrl", 0x01)
        assert not rig.read("ctrl") & 0x10

    def test_what_is_out_of_range_is_an_error_until_it_is_read(self) -> None:
        rig = Fitted()
        assert rig.adjust(0x21, 4801) & 1 << 28
        assert not rig.read("ctrl") & 1 << 28
        assert rig.value_of(0x05) == 2400

    def test_enable_has_no_effect_for_31_s(self) -> None:
        rig = Fitted(cold=True)
        rig.write("ctrl", 0x05)
        rig.time.sleep_s(30)
        assert rig.read("ctrl") & 0x14 == 0x04
        rig.time.sleep_s(2)
        assert rig.read("ctrl") & 0x14 == 0x10
        assert rig.read("value") == 2400

    def test_without_enable_nothing_happens(self) -> None:
        rig = Fitted()
        rig.write("ctrl", 0x04)
        rig.time.sleep_s(1)
        assert rig.read("ctrl") & 0x14 == 0

    def test_while_the_uart_has_the_line_commands_time_out(self) -> None:
        rig = Fitted()
        rig.card.write32(ART.at("board_config", "mro50_serial_activate"), 1)
        rig.write("ctrl", 0x05)
        ctrl = rig.until(lambda ctrl: not ctrl & 0x04)
        assert ctrl & 1 << 30
        rig.card.write32(ART.at("board_config", "mro50_serial_activate"), 0)
        assert rig.value_of(0x05) == 2400

    def test_lock_temperature_and_fields_come_with_the_status_line(self) -> None:
        rig = Fitted(warmup_s=60)
        assert rig.read("field_a") == 0xFFFF_FFFF
        rig.write("ctrl", 1)
        rig.time.sleep_s(30)
        assert not rig.read("ctrl") & 2
        rig.time.sleep_s(40)
        assert rig.read("ctrl") & 2
        word = rig.read("temp")
        assert 0 < word < 4096
        ratio = word / 4095
        ohm = 47_000 * ratio / (1 - ratio)
        celsius = 4100 * 298.15 / (298.15 * math.log(1e-5 * ohm) + 4100) - 273.14
        assert celsius == pytest.approx(rig.oscillator.temperature_c(rig.time.true_tai_ns()), abs=0.05)
        assert rig.read("field_a") == rig.mro50.fields["A"]

    def test_the_status_line_shows_as_busy_once_a_second(self) -> None:
        rig = Fitted()
        rig.write("ctrl", 1)
        busy = []
        for _ in range(2000):
            busy.append(rig.read("ctrl") >> 31)
            rig.time.sleep_s(0.001)
        assert sum(busy) == pytest.approx(16, abs=2)

    def test_saved_coarse_survives_the_power_and_fine_does_not(self) -> None:
        rig = Fitted()
        rig.adjust(0x61, DEFAULT_COARSE + 9)
        rig.adjust(0x21, 2000)
        rig.mro50.power_cycle(rig.time.true_tai_ns(), 0.0)
        assert (rig.mro50.coarse, rig.mro50.fine) == (DEFAULT_COARSE, 2400)
        rig.adjust(0x61, DEFAULT_COARSE + 9)
        rig.write("ctrl", 0x81)
        rig.until(lambda ctrl: not ctrl & 0x80)
        rig.mro50.power_cycle(rig.time.true_tai_ns(), 0.0)
        assert rig.mro50.coarse == DEFAULT_COARSE + 9


class TestSerialLine:
    @pytest.fixture
    def rig(self) -> Fitted:
        rig = Fitted()
        rig.card.write32(ART.at("board_config", "mro50_serial_activate"), 1)
        return rig

    def test_words(self, rig: Fitted) -> None:
        assert rig.ask("FD\r") == b"%08X\n\n" % DEFAULT_COARSE
        assert rig.ask("FD %08X\r" % (DEFAULT_COARSE - 1)) == b"\n\n"
        assert rig.mro50.coarse == DEFAULT_COARSE - 1
        assert rig.ask("MON_tpcb PIL_cfield C\r") == b"0960\n\n"
        assert rig.ask("MON_tpcb PIL_cfield C 07D0\r") == b"\n\n"
        assert rig.mro50.fine == 2000

    def test_status_line(self, rig: Fitted) -> None:
        answer = rig.ask("MONITOR1\r")
        assert len(answer) == 62
        assert int(answer[52:56], 16) == rig.mro50.temperature_word(rig.time.true_tai_ns())
        assert answer[56] & 4
        rig.mro50.unlock(rig.time.true_tai_ns())
        assert not rig.ask("MONITOR1\r")[56] & 4

    def test_compensation_fields(self, rig: Fitted) -> None:
        assert rig.ask("MON_tpcb PIL_cfield A\r") == b"%08X\n\n" % rig.mro50.fields["A"]

    @pytest.mark.parametrize("text", ["XX", "FD 1", "MON_tpcb PIL_cfield C 12C1", "fd", "FD 00400000"])
    def test_what_it_does_not_take_is_answered_with_a_question_mark(self, rig: Fitted, text: str) -> None:
        assert rig.ask(text + "\r").startswith(b"?")

    def test_a_command_without_end_is_bounded_and_the_next_one_works(self, rig: Fitted) -> None:
        for _ in range(40):
            rig.mro50.receive(b"x" * 1000, rig.time.true_tai_ns())
        assert rig.ask("\r").startswith(b"?")
        assert rig.ask("FD\r") == b"%08X\n\n" % DEFAULT_COARSE

    def test_reset_forgets_and_says_when_it_is_done(self, rig: Fitted) -> None:
        rig.ask("MON_tpcb PIL_cfield C 0800\r")
        assert rig.ask("reset\r", wait_s=1) == b""
        assert rig.ask("FD\r", wait_s=1) == b""
        rig.time.sleep_s(5)
        assert rig.ask("", wait_s=0.1).endswith(b"Start done>")
        assert rig.mro50.fine == 2400
        assert not rig.mro50.locked

    def test_nothing_comes_while_the_bridge_has_the_line(self, rig: Fitted) -> None:
        rig.card.write32(ART.at("board_config", "mro50_serial_activate"), 0)
        assert rig.ask("FD\r") == b""
        rig.card.write32(ART.at("board_config", "mro50_serial_activate"), 1)
        assert re.fullmatch(rb"[0-9A-F]{8}\n\n", rig.ask("FD\r"))


def test_a_steady_oscillator_is_enough_for_a_card_without_its_module() -> None:
    card = FpgaCard(SteadyOscillator(), ScriptedPulses(), None, {}, VirtualTime(START_NS), board=ART)
    card.write32(ART.at("osc", "ctrl"), 0x05)
    assert card.read32(ART.at("osc", "ctrl")) & 0x04
