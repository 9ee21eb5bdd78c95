"""A card on a recorded class device: what is shown, what is refused, what is missing and why."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.kernel.driver_tree import ADDRESS, FB_TEXTS, SUMMARY, TOD_STATUS, Tree
from timecard import api
from timecard.boards import ADVA, ADVA_X1, ART, FB, Board, Role
from timecard.card_values import GeneratorSettings, ImageVersion, PpsSource
from timecard.errors import (
    DeviceAbsentError,
    DeviceLostError,
    RefusedError,
    TimeCardError,
    UnsupportedError,
)
from timecard.kernel.debugfs import parse_summary, parse_tod_status, selector_of
from timecard.kernel.devlink import DevlinkInfo, devlink_flash, devlink_info
from timecard.kernel.modules import KernelModules, ModuleState, flash_modules, identity_modules


def test_what_the_driver_shows(tmp_path: Path) -> None:
    with Tree(root=tmp_path).open() as card:
        assert str(card.driver) == "mainline driver on kernel 6.12.107+deb13-amd64"
        status = card.clock_status()
        assert (status.source, status.in_sync, status.offset_ns, status.drift_ppb) == (
            "PPS",
            False,
            372797211,
            -12,
        )
        assert status.version is None and status.in_holdover is None
        selector = card.selector()
        assert (selector.selected, selector.clock_10mhz) == (PpsSource.MAC, "unknown")
        slave = card.pps_slave()
        assert (slave.lost, slave.enabled, slave.filter_error) == (False, None, None)
        tod = card.time_of_day()
        assert (tod.protocol, tod.errors, tod.tai_minus_utc_s, tod.correction_s) == ("UBX", ("uart",), 37, -2)
        assert (tod.leap_59, tod.leap_61, tod.seconds_to_leap) == (False, True, 86_400)
        facts = card.facts()
        assert facts.sma == {"sma1": "in 10MHz", "sma2": "in PPS1", "sma3": "out PHC", "sma4": "out GNSS1"}
        assert (facts.clock_source, facts.pps_source, facts.clock_core_version) == ("PPS", "MAC", None)
        assert card.lost is None


def test_opening_says_what_is_not_there(tmp_path: Path) -> None:
    tree = Tree(root=tmp_path)
    (tree.dev / "ptp0").unlink()
    with pytest.raises(DeviceAbsentError, match="ptp0"):
        tree.open()
    (tree.ocp / "ptp").unlink()
    (tree.device / "ptp").rename(tree.device / "away")
    with pytest.raises(DeviceAbsentError, match="no PTP clock yet"):
        tree.open()
    (tree.device / "timecard").rename(tree.device / "elsewhere")
    with pytest.raises(DeviceAbsentError, match="no class device"):
        tree.open()


def test_a_card_that_goes_is_lost(tmp_path: Path) -> None:
    tree = Tree(root=tmp_path)
    card = tree.open()
    tree.ocp.rename(tree.root / "away")
    assert card.lost is not None and "ocp0 has gone" in card.lost
    for attempt in (card.clock_status, card.sma.read, card.identity, card.pps_slave):
        with pytest.raises(DeviceLostError):
            attempt()
    card.close()
    card.close()
    assert card.lost == "closed"


# --- missing ---


def test_what_a_stock_kernel_cannot_show_is_named(tmp_path: Path) -> None:
    tree = Tree(
        root=tmp_path, modules=("ptp_ocp", "at24", "spi-nor"), texts={"serialnum": "00:00:00:00:00:00\n"}
    )
    with tree.open() as card:
        missing = card.missing()
        assert missing["eeprom"] == f"kernel {tree.release} has no module i2c-xiic, CONFIG_I2C_XILINX is off"
        assert missing["flash"] == f"kernel {tree.release} has no module spi-xilinx, CONFIG_SPI_XILINX is off"
        assert "no frequency control" in missing["steering"]
        assert "does not show which 10 MHz" in missing["10 MHz selection"]
        assert {"generator", "counter", "selector", "time_of_day", "serial gnss"} & set(missing) == set()
        identity = card.identity()
        assert (identity.serial, identity.board_id) == (None, None)
        assert identity.problems == (missing["eeprom"],)
        for flash in (card.flash, lambda: api.devlink_flash(card, "new.bin")):
            with pytest.raises(UnsupportedError, match="spi-xilinx"):
                flash()
        with pytest.raises(UnsupportedError, match="i2c-xiic"):
            card.memory(0x50)


def test_a_module_that_is_there_is_asked_to_be_loaded(tmp_path: Path) -> None:
    tree = Tree(root=tmp_path, board=ART, modules=("ptp_ocp",))
    folder = tree.root / "modules" / tree.release
    tree.write(
        folder / "modules.dep",
        "kernel/drivers/i2c/busses/i2c-ocores.ko.xz:\nkernel/x/at24.ko: kernel/y/z.ko\n",
    )
    tree.write(folder / "modules.builtin", "kernel/drivers/mtd/spi-nor/spi-nor.ko\n")
    with tree.open() as card:
        assert card.missing()["eeprom"] == (
            "module i2c-ocores is not loaded (modprobe i2c-ocores); module at24 is not loaded (modprobe at24)"
        )
        assert "CONFIG_SPI_ALTERA is off" in card.missing()["flash"]
        assert card.modules.state("spi_nor") is ModuleState.BUILT_IN


def test_without_root_debugfs_is_named(tmp_path: Path) -> None:
    with Tree(root=tmp_path, debugfs=False).open() as card:
        assert "mount -t debugfs" in card.missing()["selector"]
        for attempt in (card.selector, card.time_of_day):
            with pytest.raises(UnsupportedError, match="mount -t debugfs"):
                attempt()
        assert card.clock_status().in_sync is None
        assert card.facts().pps_source is None


@pytest.mark.parametrize("board", [ART, ADVA, ADVA_X1], ids=lambda b: b.name)
def test_what_a_board_lacks_is_named(tmp_path: Path, board: Board) -> None:
    with Tree(root=tmp_path, board=board).open() as card:
        missing = card.missing()
        lacks = f"{board.product} has none"
        for role in Role:
            assert (missing.get(f"serial {role.value}") == lacks) == (role not in board.serial_ports)
        assert (missing.get("time_of_day") == lacks) == (not board.has("tod"))
        assert ("generator" in missing) == (board.generators == 0)
        for channel in ("ts3", "ts9"):
            if channel not in board.channels:
                with pytest.raises(UnsupportedError, match="no channel"):
                    card.timestamper(channel)
        with pytest.raises(UnsupportedError, match="has"):
            card.generator(5)
        if board is ART:
            for attempt in (card.selector, card.pps_slave, card.time_of_day):
                with pytest.raises(UnsupportedError, match="has none"):
                    attempt()


# --- too few interrupts ---


def test_generators_are_not_written_when_the_driver_would_crash(tmp_path: Path) -> None:
    tree = Tree(root=tmp_path, vectors=1)
    with tree.open() as card:
        generator = card.generator(1)
        for attempt in (
            lambda: generator.start(GeneratorSettings(period_ns=10**9, pulse_ns=10**8)),
            generator.stop,
            card.selector,
        ):
            with pytest.raises(UnsupportedError, match="null pointer"):
                attempt()
        assert not generator.state().running
        assert "null pointer" in card.missing()["generator"]
        assert card.clock_status().in_sync is None
        # tod_status does not touch the generators.
        assert card.time_of_day().enabled


def test_enough_interrupts_are_safe(tmp_path: Path) -> None:
    with Tree(root=tmp_path, vectors=17).open() as card:
        assert card.unsafe is None


# --- connectors ---


def lines(card_path: Path) -> list[str]:
    return [(card_path / f"sma{n}").read_text().strip() for n in range(1, 5)]


@pytest.mark.parametrize(
    ("number", "direction", "functions", "written"),
    [
        (3, "out", ["gen1"], "OUT: GEN1"),
        (1, "in", ["TS1", "freq1"], "IN: TS1 FREQ1"),
        (1, "in", ["10MHz"], "IN: 10Mhz"),
        (4, "out", ["10MHz"], "OUT: 10Mhz"),
        (2, "off", [], "IN: None"),
    ],
)
def test_connectors_are_routed_by_neutral_names(
    tmp_path: Path, number: int, direction: str, functions: list[str], written: str
) -> None:
    tree = Tree(root=tmp_path)
    with tree.open() as card:
        card.sma.set(number, direction, functions)
        assert lines(tree.ocp)[number - 1] == written
        shown = card.sma.read()[number - 1]
        assert shown.direction == direction
        assert [f.lower() for f in shown.functions] == [f.lower() for f in functions]


@pytest.mark.parametrize(
    ("board", "number", "direction", "functions", "why"),
    [
        (FB, 5, "in", ["TS1"], "connectors 1 to 4"),
        (FB, 1, "both", ["TS1"], "none of in, out, off"),
        (FB, 1, "in", [], "name a function"),
        (FB, 1, "in", ["GEN1"], "no input 'GEN1'"),
        (FB, 3, "out", ["GEN1", "GEN2"], "an output has one function"),
        (FB, 2, "in", ["10MHz"], "only sma1 leads to the 10 MHz input"),
        (FB, 1, "in", ["10MHz", "TS1"], "cannot be combined"),
        (FB, 1, "in", ["PPS1"], "already comes from sma2"),
        (FB, 1, "off", ["TS1"], "has no function"),
        (ART, 1, "off", [], "cannot switch a connector off"),
        (ART, 1, "in", ["PPS1", "10MHz"], "one function per connector"),
        (ART, 1, "out", ["GEN1"], "no output 'GEN1'"),
        (ADVA_X1, 1, "in", ["10MHz"], "no input '10MHz'"),
    ],
)
def test_impossible_routings_are_explained(
    tmp_path: Path, board: Board, number: int, direction: str, functions: list[str], why: str
) -> None:
    tree = Tree(root=tmp_path, board=board)
    with tree.open() as card:
        before = lines(tree.ocp)
        with pytest.raises(RefusedError, match=why):
            card.sma.set(number, direction, functions)
        assert lines(tree.ocp) == before


def test_art_names_are_translated_both_ways(tmp_path: Path) -> None:
    tree = Tree(root=tmp_path, board=ART)
    with tree.open() as card:
        assert [str(c) for c in card.sma.read()] == [
            "sma1 in PPS1",
            "sma2 in 10MHz",
            "sma3 out GNSS1",
            "sma4 out PHC",
        ]
        card.sma.set(3, "out", ["PHC"])
        assert lines(tree.ocp)[2] == "OUT: PHC"
    vendor = Tree(
        root=tmp_path / "vendor",
        board=ART,
        texts={"available_sma_outputs": "MAC GNSS 10Mhz\n", "sma4": "OUT: MAC\n"},
    )
    with vendor.open() as card:
        assert str(card.sma.read()[3]) == "sma4 out PHC"
        card.sma.set(3, "out", ["PHC"])
        assert lines(vendor.ocp)[2] == "OUT: MAC"


def test_connectors_of_a_kernel_before_5_18(tmp_path: Path) -> None:
    tree = Tree(root=tmp_path, release="5.15.0")
    for n in range(1, 5):
        (tree.ocp / f"sma{n}").unlink()
    for name, text in (("sma1_in", "10Mhz"), ("sma2_in", "PPS1"), ("sma3_out", "PHC"), ("sma4_out", "GNSS")):
        tree.write(tree.ocp / name, f"{text}\n")
    with tree.open() as card:
        assert [c.direction for c in card.sma.read()] == ["in", "in", "out", "out"]
        with pytest.raises(UnsupportedError, match=r"older than 5\.18"):
            card.sma.set(3, "out", ["PHC"])


# --- generators, counters ---


@pytest.mark.parametrize(
    ("settings_", "why"),
    [
        (GeneratorSettings(period_ns=0, pulse_ns=1), "period"),
        (GeneratorSettings(period_ns=1000, pulse_ns=1000), "pulse"),
        (GeneratorSettings(period_ns=10**9, pulse_ns=1000), "1 to 99 %"),
        (GeneratorSettings(period_ns=1000, pulse_ns=500, phase_ns=1000), "phase"),
    ],
)
def test_impossible_signals_are_refused(tmp_path: Path, settings_: GeneratorSettings, why: str) -> None:
    with Tree(root=tmp_path).open() as card, pytest.raises(RefusedError, match=why):
        card.generator(1).start(settings_)


def test_settings_of_later_drivers_only(tmp_path: Path) -> None:
    with Tree(root=tmp_path).open() as card, pytest.raises(UnsupportedError, match="repeat_count"):
        card.generator(1).start(GeneratorSettings(period_ns=10**9, pulse_ns=10**8, repeat_count=3))


def test_a_generator_is_shown(tmp_path: Path) -> None:
    texts = {
        "gen2/period": "1000000\n",
        "gen2/duty": "25\n",
        "gen2/running": "1\n",
        "gen2/start": "1795315038.7\n",
        "gen2/polarity": "0\n",
    }
    with Tree(root=tmp_path, texts=texts).open() as card:
        state = card.generator(2).state()
        assert (state.running, state.period_ns, state.pulse_ns, state.active_high) == (
            True,
            10**6,
            250_000,
            False,
        )
        assert state.start_tai_ns == 1_795_315_038_000_000_007


def test_an_image_without_generators(tmp_path: Path) -> None:
    tree = Tree(root=tmp_path)
    (tree.ocp / "gen1/signal").unlink()
    (tree.ocp / "freq1/seconds").unlink()
    with tree.open() as card:
        for attempt in (lambda: card.generator(1), lambda: card.counter(1)):
            with pytest.raises(UnsupportedError, match="too old"):
                attempt()


def test_counters(tmp_path: Path) -> None:
    tree = Tree(root=tmp_path, texts={"freq2/frequency": "9999999\n"})
    with tree.open() as card:
        counter = card.counter(2)
        assert counter.read().frequency_hz is None  # it is off: an old result is none
        counter.start(5)
        assert (counter.read().gate_s, counter.read().frequency_hz) == (5, 9_999_999)
        counter.stop()
        with pytest.raises(RefusedError, match="1 to 255"):
            counter.start(256)


# --- memories ---


def test_identity_from_the_memories(tmp_path: Path) -> None:
    tree = Tree(root=tmp_path, i2c=3)
    adapter = next(tree.device.glob("*/i2c-3"))
    (adapter / "3-0050/eeprom").write_bytes(b"\xff" * 0x43 + b"R4006-2024-01" + b"\xff" * 176)
    (adapter / "3-0058/eeprom").write_bytes(bytes.fromhex("02accd000001"))
    with tree.open() as card:
        identity = card.identity()
        assert (identity.serial, identity.board_id) == ("02:ac:cd:00:00:01", "R4006-2024-01")
        chip = card.memory(0x58)
        assert chip.read(0x9A, 6) == bytes.fromhex("02accd000001")
        with pytest.raises(UnsupportedError, match="only 0x9a to 0x9f"):
            chip.read(0, 6)
        with pytest.raises(RefusedError, match="read-only"):
            chip.write(0x9A, b"x")
        chip = card.memory(0x50)
        chip.write(0x10, b"abc")
        assert chip.read(0x0F, 5) == b"\xffabc\xff"
        for offset, size in ((-1, 2), (250, 7), (0, -1)):
            with pytest.raises(RefusedError):
                chip.read(offset, size)
        with pytest.raises(UnsupportedError, match="no EEPROM at 0x51"):
            card.memory(0x51)
        assert "eeprom" not in card.missing()


def test_identity_that_the_driver_kept(tmp_path: Path) -> None:
    tree = Tree(root=tmp_path, modules=("ptp_ocp",))
    with tree.open() as card:
        assert card.identity().serial == "02:ac:cd:00:00:01"


# --- debugfs ---


@pytest.mark.parametrize(
    ("old", "new", "selected", "present"),
    [
        ("MAC via PPS1", "sma2 via PPS1", PpsSource.SMA, {PpsSource.SMA}),
        ("MAC via PPS1", "GNSS1 via PPS1", PpsSource.GNSS, {PpsSource.GNSS}),
        ("MAC via PPS1", "---- via PPS1", None, set()),
    ],
)
def test_the_selector_is_concluded(
    old: str, new: str, selected: PpsSource | None, present: set[PpsSource]
) -> None:
    status = selector_of(parse_summary(SUMMARY.replace(old, new)))
    assert status is not None
    assert status.selected == selected
    assert status.present == present


def test_without_pps_source_the_selector_is_open(tmp_path: Path) -> None:
    unknown = SUMMARY.replace("MAC via PPS1", "unknown")
    assert selector_of(parse_summary(unknown)) is None
    from_sma = selector_of(parse_summary(unknown.replace("PPS1 src: GNSS1", "PPS1 src: sma2")))
    assert from_sma is not None and from_sma.selected is PpsSource.SMA
    tree = Tree(root=tmp_path)
    tree.write(tree.sysfs / "kernel/debug/timecard/ocp0/summary", unknown)
    with tree.open() as card, pytest.raises(UnsupportedError, match="while the clock follows PPS"):
        card.selector()


def test_a_forced_source_of_the_vendor_driver(tmp_path: Path) -> None:
    with Tree(root=tmp_path, texts={"holdover": "3\n"}).open() as card:
        selector = card.selector()
        assert (selector.forced, selector.selected) == (PpsSource.GNSS, PpsSource.GNSS)
        assert card.driver.is_vendor
        card.force_pps_source(None)
        assert selector != card.selector()


def test_a_summary_line_by_line() -> None:
    summary = parse_summary(SUMMARY)
    assert summary.timestampers_on == {"ts0"}
    assert summary.sma_words[0] == (0x8000, 0)
    assert parse_summary(SUMMARY.replace("unsynced", "sync")).in_sync is True
    assert parse_summary("").in_sync is None


@settings(max_examples=150, deadline=None)
@given(
    st.text(max_size=400)
    | st.lists(st.sampled_from([*SUMMARY.splitlines(), *TOD_STATUS.splitlines(), "\x00", ":" * 50])).map(
        "\n".join
    )
)
def test_any_text_in_debugfs_is_survived(text: str) -> None:
    selector_of(parse_summary(text))
    with contextlib.suppress(TimeCardError):
        parse_tod_status("ocp0", text)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(FB_TEXTS)), data=st.binary(max_size=80))
def test_any_attribute_may_hold_anything(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: bytes
) -> None:
    tree = Tree(root=tmp_path_factory.mktemp("fuzz"))
    (tree.ocp / name).write_bytes(data)
    with tree.open() as card:
        for attempt in (
            card.facts,
            card.identity,
            card.clock_status,
            card.pps_slave,
            card.selector,
            card.missing,
            card.sma.read,
            card.generator(1).state,
            card.counter(1).read,
            lambda: card.sma.set(1, "in", ["TS1"]),
            lambda: card.clock.select_source("REGS"),
            card.clock.source_name,
            card.kernel_clock.window_adjust_ns,
        ):
            with contextlib.suppress(TimeCardError):
                attempt()


# --- devlink, modules ---


@pytest.mark.parametrize(
    ("running", "image"),
    [
        ({"fw": "0.28"}, ImageVersion(loader=False, tag=0, number=28)),
        ({"loader": "1.14"}, ImageVersion(loader=True, tag=1, number=14)),
        ({"fw": "x"}, None),
        ({}, None),
    ],
)
def test_the_image_by_devlink(running: dict[str, str], image: ImageVersion | None) -> None:
    assert DevlinkInfo(driver="ptp_ocp", serial_number=None, running=running).image == image


@pytest.mark.parametrize("image", ["0.28", "x"])
def test_devlink_is_asked_for_the_image_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: str
) -> None:
    asked = []

    def answer(address: str) -> DevlinkInfo:
        asked.append(address)
        return DevlinkInfo(driver="ptp_ocp", serial_number=None, running={"fw": image})

    monkeypatch.setattr("timecard.kernel.kernel_card.devlink_info", answer)
    tree = Tree(root=tmp_path)
    with tree.open() as card:
        shown = {card.facts().image_version for _ in range(3)}
    assert shown == {"fw 0.28" if image == "0.28" else None}
    assert asked == [ADDRESS]


def test_devlink_of_a_device_that_is_not_there() -> None:
    """The kernel's own answer, or that it has no devlink."""
    with pytest.raises((DeviceAbsentError, UnsupportedError)):
        devlink_info("0000:ff:1f.7")
    with pytest.raises(RefusedError, match="relative to /lib/firmware"):
        devlink_flash(ADDRESS, "/etc/passwd")
    with pytest.raises(TimeCardError):
        devlink_flash("0000:ff:1f.7", "nothing.bin", limit_s=5)


def test_modules_of_this_host_are_readable() -> None:
    modules = KernelModules()
    assert modules.state("no_such_module_at_all") is ModuleState.MISSING
    assert modules.reason(()) is None


def test_needed_modules_follow_the_board() -> None:
    assert (*identity_modules(FB), *flash_modules(FB)) == ("i2c-xiic", "at24", "spi-xilinx", "spi-nor")
    art = ("i2c-ocores", "at24", "spi-altera-platform", "spi-nor")
    assert (*identity_modules(ART), *flash_modules(ART)) == art
