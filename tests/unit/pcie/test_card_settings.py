"""Delays, polarities, forced choices and board lines on emulated boards; the ART card's own two blocks."""

from __future__ import annotations

import pytest

from tests.fpga_world import ScriptedPulses, World, make_world
from timecard.boards import Role
from timecard.card import card_on_bus
from timecard.card_values import GeneratorSettings, PpsSource
from timecard.emulator.virtual_card import InProcessCard, build_in_process
from timecard.errors import (
    DeviceLostError,
    DeviceTimeoutError,
    ProtocolError,
    RefusedError,
    UnsupportedError,
)
from timecard.pcie.gpio import BoardGpio
from timecard.pcie.mro50_bridge import Mro50Bridge
from timecard.pcie.pulse_ports import PulsePort
from timecard.pcie.register_card import RegisterCard

S = 1_000_000_000


@pytest.fixture
def world() -> World:
    return make_world()


@pytest.fixture
def card(world: World) -> RegisterCard:
    return card_on_bus(world.card, world.time)


@pytest.mark.parametrize("block", ["pps_to_clk", "pps_to_ext"])
def test_cable_delays_have_a_sign_in_new_cores(world: World, card: RegisterCard, block: str) -> None:
    port = PulsePort(world.card, block)
    assert port.cable_delay_range_ns == (-(1 << 30) + 1, (1 << 30) - 1)
    for delay_ns in (0, 250, -100, (1 << 30) - 1):
        port.set_cable_delay_ns(delay_ns)
        assert port.cable_delay_ns() == delay_ns
    assert world.read(block, "cable_delay") == (1 << 30) - 1
    port.set_cable_delay_ns(-100)
    assert world.read(block, "cable_delay") == 0x8000_0064
    with pytest.raises(RefusedError, match=r"1073741824 ns is outside .* of core 1\.6\.0"):
        port.set_cable_delay_ns(1 << 30)


class OldCore:
    """The emulated card, but one core reports another version."""

    def __init__(self, world: World, block: str, version: int) -> None:
        self.name, self.board = "old", world.card.board
        self._card, self._at, self._version = world.card, world.at(block, "version"), version

    def read32(self, offset: int) -> int:
        return self._version if offset == self._at else self._card.read32(offset)

    def write32(self, offset: int, value: int) -> None:
        self._card.write32(offset, value)


class BusyHost:
    """The emulated card; this program is held up for 1.5 s before it starts a generator, the first time."""

    def __init__(self, world: World) -> None:
        self.name, self.board = "busy", world.card.board
        self._world, self._enable, self.held_up = world, world.at("signal_out[0]", "enable"), 0

    def read32(self, offset: int) -> int:
        return self._world.card.read32(offset)

    def write32(self, offset: int, value: int) -> None:
        if offset == self._enable and value and not self.held_up:
            self.held_up += 1
            self._world.sleep_s(1.5)
        self._world.card.write32(offset, value)


def test_a_start_that_was_missed_is_tried_once_more_unless_it_was_ordered(world: World) -> None:
    world.free_run()
    bus = BusyHost(world)
    generator = card_on_bus(bus, world.time).generator(1)
    state = generator.start(GeneratorSettings(period_ns=S, pulse_ns=S // 10))
    assert (state.running, bus.held_up) == (True, 1)
    bus.held_up = 0
    ordered = GeneratorSettings(period_ns=S, pulse_ns=S // 10, start_tai_ns=world.now_ns + S)
    with pytest.raises(RefusedError, match="in the past"):
        generator.start(ordered)


def test_cable_delays_of_old_cores_are_short_and_positive(world: World) -> None:
    port = PulsePort(OldCore(world, "pps_to_clk", 0x0105_0000), "pps_to_clk")
    assert port.cable_delay_range_ns == (0, 0xFFFF)
    port.set_cable_delay_ns(65_535)
    assert port.cable_delay_ns() == 65_535
    for delay_ns in (-1, 65_536):
        with pytest.raises(RefusedError, match=r"outside 0 to 65535 ns of core 1\.5\.0"):
            port.set_cable_delay_ns(delay_ns)


@pytest.mark.parametrize("version", [0x0100_0000, 0x0102_FFFF])
def test_a_generator_with_another_register_map_is_left_alone(world: World, version: int) -> None:
    old = card_on_bus(OldCore(world, "signal_out[0]", version), world.time)
    with pytest.raises(UnsupportedError, match="update the FPGA image"):
        old.generator(1)
    card_on_bus(OldCore(world, "signal_out[0]", 0x0001_0000), world.time).generator(1)


def test_a_pulse_is_forced_and_the_rest_of_the_word_stays() -> None:
    world = make_world(mac_pulse=ScriptedPulses())
    card = card_on_bus(world.card, world.time)
    world.sleep_s(5)
    assert card.selector().selected is PpsSource.MAC
    world.write("pps_select", "gpio2", 0x20)
    card.force_pps_source(PpsSource.GNSS)
    assert world.read("pps_select", "gpio2") == 0x23
    selector = card.selector()
    assert (selector.forced, selector.selected) == (PpsSource.GNSS, PpsSource.GNSS)
    card.force_pps_source(None)
    assert world.read("pps_select", "gpio2") == 0x20
    assert card.selector().forced is None


def test_lines_of_the_board(world: World, card: RegisterCard) -> None:
    gpio = card.gpio()
    word = world.read("gpio_ext", "gpio2")
    gpio.set("eeprom_wp", True)
    assert gpio.get("eeprom_wp")
    assert world.read("gpio_ext", "gpio2") == word | 0x10
    gpio.set("eeprom_wp", False)
    gpio.set("mac_i2c", True)
    assert world.read("gpio_ext", "gpio2") == word & ~0x10 | 0x8000_0000
    gpio.set("gnss1_reset", True)
    assert world.read("gpio_gnss_mac", "gpio2") == 1
    assert gpio.get("mac_alarm") in (True, False)
    assert 0 <= gpio.board_revision() <= 7
    with pytest.raises(RefusedError, match="'mac_alarm' is no output; there are eeprom_wp"):
        gpio.set("mac_alarm", True)
    with pytest.raises(RefusedError, match="no line 'coffee'"):
        gpio.get("coffee")


def test_a_card_that_is_gone_is_told_by_every_part(world: World, card: RegisterCard) -> None:
    source, gpio, generator, counter = card.pps_input(), card.gpio(), card.generator(1), card.counter(1)
    world.card.dead = True
    for ask in (source.cable_delay_ns, generator.state, counter.read, card.sma.read):
        with pytest.raises(DeviceLostError):
            ask()
    with pytest.raises(DeviceLostError):
        gpio.set("eeprom_wp", True)
    with pytest.raises(DeviceLostError):
        card.force_pps_source(None)


class NoSecondMap(OldCore):
    """An image whose second map is missing: directions are fixed."""

    def __init__(self, world: World) -> None:
        super().__init__(world, "reg", 0x0102_0000)
        self._hole = world.at("sma_map2", "gpio2")

    def read32(self, offset: int) -> int:
        return 0xFFFF_FFFF if offset == self._hole else super().read32(offset)


def test_directions_that_are_fixed_are_not_changed(world: World) -> None:
    sma = card_on_bus(NoSecondMap(world), world.time).sma
    assert [connector.direction for connector in sma.read()] == ["in", "in", "out", "out"]
    with pytest.raises(RefusedError, match="fixed directions: sma1 is always input"):
        sma.set(1, "out", ["PHC"])
    with pytest.raises(RefusedError, match="fixed directions: sma4 is always output"):
        sma.set(4, "off", [])
    sma.set(2, "in", ["TS1"])
    sma.set(3, "out", ["GND"])
    assert [str(connector) for connector in sma.read()][1:3] == ["sma2 in TS1", "sma3 out GND"]


# --- ART ---


@pytest.fixture
def art() -> InProcessCard:
    return build_in_process(board="art")


def test_the_art_clock_steps_as_its_second_rolls_over(art: InProcessCard) -> None:
    card = card_on_bus(art.bus, art.timebase)
    for delta_ns in (1, -1, 999_999_999, -999_999_999, 1_790_000_000 * S, -5 * S):
        before = card.clock.cross_timestamp()
        card.clock.step_ns(delta_ns)
        after = card.clock.cross_timestamp()
        elapsed_ns = after.mono_raw_ns - before.mono_raw_ns
        assert abs(after.card_tai_ns - before.card_tai_ns - elapsed_ns - delta_ns) <= 30
    card.clock.step_ns(0)


def test_an_art_clock_that_does_not_step_is_told(art: InProcessCard) -> None:
    class Deaf(OldCore):
        def __init__(self) -> None:
            self.name, self.board, self._card = "deaf", art.bus.board, art.card.fpga

        def read32(self, offset: int) -> int:
            return self._card.read32(offset)

        def write32(self, offset: int, value: int) -> None:
            if offset != self.board.at("reg", "offset_ns"):
                self._card.write32(offset, value)

    card = card_on_bus(Deaf(), art.timebase)
    with pytest.raises(ProtocolError, match="500000000 ns were asked for"):
        card.clock.step_ns(500_000_000)


def test_the_bridge_reads_and_sets_the_oscillators_words(art: InProcessCard) -> None:
    art.timebase.sleep_s(40)  # the bridge does not work in the first 31 s
    card = card_on_bus(art.bus, art.timebase)
    bridge = card.oscillator_bridge()
    assert card.oscillator_bridge() is bridge
    coarse = bridge.coarse()
    bridge.set_fine(2_345)
    assert bridge.fine() == 2_345
    bridge.set_coarse(coarse + 5)
    assert bridge.coarse() == coarse + 5
    bridge.save_coarse()
    assert bridge.locked() in (True, False)
    assert 0 <= bridge.temperature_raw() <= 0xFFFF
    with pytest.raises(RefusedError, match="4801 is outside 0 to 4800"):
        bridge.set_fine(4_801)
    with pytest.raises(RefusedError, match="-1 is outside"):
        bridge.set_coarse(-1)
    with pytest.raises(UnsupportedError, match="bridge, which is open"):
        card.serial(Role.MAC)


def test_serial_port_and_bridge_exclude_one_another(art: InProcessCard) -> None:
    card = card_on_bus(art.bus, art.timebase)
    card.serial(Role.MAC)
    assert art.bus.read32(art.bus.board.at("board_config", "mro50_serial_activate")) == 1
    with pytest.raises(UnsupportedError, match="its serial port, which is open"):
        card.oscillator_bridge()


@pytest.mark.parametrize("before", [0, 1])
def test_a_serial_port_that_is_closed_leaves_the_oscillator_where_it_was(
    art: InProcessCard, before: int
) -> None:
    place = art.bus.board.at("board_config", "mro50_serial_activate")
    art.bus.write32(place, before)
    with card_on_bus(art.bus, art.timebase) as card:
        card.serial(Role.MAC)
        assert art.bus.read32(place) == 1
    assert art.bus.read32(place) == before


def test_a_bridge_that_does_not_answer_times_out(art: InProcessCard) -> None:
    class Silent(OldCore):
        """Takes commands and never finishes them, or reports an error."""

        def __init__(self, state: int) -> None:
            self.name, self.board, self._card = "silent", art.bus.board, art.card.fpga
            self.state = state

        def read32(self, offset: int) -> int:
            return self.state if offset == self.board.at("osc", "ctrl") else self._card.read32(offset)

        def write32(self, offset: int, value: int) -> None:
            pass

    for state, error in (
        (0x0000_0001, DeviceTimeoutError),  # nothing is ever done
        (0x0000_0021, DeviceTimeoutError),  # an adjustment never ends
        (0x4000_0001, DeviceTimeoutError),
        (0x2000_0001, ProtocolError),
        (0xFFFF_FFFF, DeviceLostError),
    ):
        with pytest.raises(error):
            Mro50Bridge(Silent(state), art.timebase).fine()


def test_boards_without_a_block_say_so(world: World, art: InProcessCard) -> None:
    card = card_on_bus(art.bus, art.timebase)
    for ask in (card.gpio, card.pps_input, lambda: card.force_pps_source(None)):
        with pytest.raises(UnsupportedError, match="ART"):
            ask()
    with pytest.raises(UnsupportedError, match="no mRO50 bridge"):
        Mro50Bridge(world.card, world.time)
    assert BoardGpio(world.card)
