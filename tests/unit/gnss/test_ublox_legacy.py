"""A NEO-M8T, which is configured by messages: the same promises, message by message."""

from __future__ import annotations

import struct

import pytest

from tests.unit.gnss.ublox_wire import CFG_RST, CFG_VALSET, ConfigBench
from timecard.errors import DeviceTimeoutError, RefusedError
from timecard.gnss.driver import Capability
from timecard.gnss.intent import TIME_CARD, FixedPosition, GnssIntent, Pulse, Store, Survey
from timecard.gnss.ublox_fields import FIELD_OF
from timecard.gnss.ublox_legacy_messages import PARTS, label, value_in, with_value
from timecard.gnss.ublox_planner import SettingsRefusedError
from timecard.gnss.ublox_profile import UbloxOptions
from timecard.gnss.ubx import UbxFrame

POSITION = FixedPosition(x_m=4_279_269.33, y_m=642_725.46, z_m=4_670_586.5, sigma_m=0.05)
CFG_TP5, CFG_MSG, CFG_CFG, CFG_TMODE2, CFG_NAV5 = 0x0631, 0x0601, 0x0609, 0x063D, 0x0624
SETS = {0x0600: 20, CFG_MSG: 8, 0x0608: 6, 0x0613: 4, CFG_NAV5: 36, CFG_TP5: 32, 0x0639: 8, CFG_TMODE2: 28}


def m8t(options: UbloxOptions | None = None, **flash: int) -> ConfigBench:
    bench = ConfigBench(options, firmware="TIM 1.10", flash=flash)
    bench.driver.start()
    bench.wire.written.clear()
    return bench


def sets(bench: ConfigBench) -> list[int]:
    """Class and id of every message that was set."""
    return [key for key, size in SETS.items() for payload in bench.wire.frames(key) if len(payload) == size]


def test_only_the_messages_that_differ_are_set_and_nothing_the_next_time() -> None:
    bench = m8t()
    plan = bench.driver.plan(TIME_CARD)
    assert sets(bench) == []
    changed = {change.key for change in plan.changes}
    assert {
        "CFG-TMODE2.timeMode",
        "CFG-TP5.antCableDelay",
        "CFG-NAV5.dynModel",
        "CFG-MSG.TIM-TP.rate",
    } <= changed
    bench.driver.apply(plan)
    written = sets(bench)
    assert sorted(set(written)) == sorted({0x0600, CFG_MSG, CFG_NAV5, CFG_TP5, 0x0639, CFG_TMODE2})
    assert written.count(CFG_MSG) == sum(key.startswith("CFG-MSG") for key in changed)
    assert bench.wire.frames(CFG_VALSET) == []
    assert len(bench.wire.frames(CFG_CFG)) == 1
    bench.wire.written.clear()
    again = bench.driver.plan(TIME_CARD)
    assert again.changes == ()
    bench.driver.apply(again)
    assert sets(bench) == []
    assert bench.wire.frames(CFG_CFG) == []


def test_what_it_lacks_is_named() -> None:
    said = "\n".join(
        m8t().driver.plan(GnssIntent(messages="time-card", signals={"GPS": ("L5",)})).unsupported
    )
    assert "CFG_MSGOUT_UBX_MON_RF_UART1" in said
    assert "CFG_SIGNAL_GPS_L5_ENA" in said


def test_another_cable_delay_is_one_message() -> None:
    bench = m8t()
    bench.driver.apply(bench.driver.plan(GnssIntent(cable_delay_ns=77)))
    assert sets(bench) == [CFG_TP5]
    assert bench.value("CFG_TP_ANT_CABLEDELAY") == 77


def test_it_survives_a_restart_when_it_shall_and_not_when_it_shall_not() -> None:
    stores: tuple[tuple[Store, int], ...] = (("battery", 77), ("ram", 50))
    for store, kept in stores:
        bench = m8t()
        bench.driver.apply(bench.driver.plan(GnssIntent(cable_delay_ns=77, store=store)))
        bench.device.restart(bench.time.true_tai_ns())
        assert bench.value("CFG_TP_ANT_CABLEDELAY") == kept


def test_a_message_that_is_refused_takes_back_those_before() -> None:
    bench = m8t()
    plan = bench.driver.plan(TIME_CARD)
    before = bench.layers()
    bench.device._config.refused.add("CFG_NAVSPG_DYNMODEL")
    with pytest.raises(
        SettingsRefusedError, match=r"refused: CFG-NAV5\.dynModel.*; the old settings are in force"
    ):
        bench.driver.apply(plan)
    bench.device._config.refused.clear()
    assert bench.layers() == before
    assert bench.wire.frames(CFG_CFG) == []


@pytest.mark.parametrize("lost", ["request", "acknowledgement"])
@pytest.mark.parametrize("key", [CFG_TP5, CFG_MSG, CFG_TMODE2])
def test_a_lost_message_or_acknowledgement_leaves_the_old_settings(lost: str, key: int) -> None:
    bench = m8t()
    plan = bench.driver.plan(TIME_CARD)
    before = bench.layers()
    times = [0]

    def drop(frame: UbxFrame) -> bytes | None:
        setting = frame.key == key and len(frame.payload) == SETS[key]
        acked = frame.key == 0x0501 and frame.payload == struct.pack(">H", key) and times[0] >= 0
        if (lost == "request" and setting) or (lost == "acknowledgement" and acked and written):
            times[0] += 1
            return b"" if times[0] <= 2 else None
        return None

    written: list[int] = []

    def note(frame: UbxFrame) -> bytes | None:
        if frame.key == key and len(frame.payload) == SETS[key]:
            written.append(frame.key)
        return drop(frame) if lost == "request" else None

    bench.wire.to_device = note
    if lost == "acknowledgement":
        bench.wire.from_device = drop
    with pytest.raises(DeviceTimeoutError, match=r"not acknowledged.*old settings are in force"):
        bench.driver.apply(plan)
    assert bench.layers() == before


def test_what_takes_another_value_is_taken_back() -> None:
    bench = m8t()
    plan = bench.driver.plan(GnssIntent(cable_delay_ns=77, dynamics="stationary"))
    before = bench.layers()
    bench.device._config.crooked["CFG_TP_ANT_CABLEDELAY"] = 3
    with pytest.raises(SettingsRefusedError, match=r"read back otherwise: CFG-TP5\.antCableDelay"):
        bench.driver.apply(plan)
    assert bench.layers() == before


def test_undo_writes_what_the_plan_found() -> None:
    bench = m8t()
    before = bench.layers()["ram"]
    plan = bench.driver.plan(TIME_CARD)
    bench.driver.apply(plan)
    assert bench.layers()["ram"] != before
    bench.driver.undo(plan)
    assert bench.layers()["ram"] == before


def test_positions_and_surveys() -> None:
    bench = m8t()
    bench.driver.apply(bench.driver.plan(GnssIntent(position=POSITION)))
    assert bench.driver.plan(GnssIntent(position=Survey())).changes == ()
    assert bench.driver.plan(GnssIntent(position=POSITION)).changes == ()
    found = bench.driver.settings().intent.position
    assert isinstance(found, FixedPosition)
    assert (found.x_m, found.sigma_m) == (4_279_269.33, 0.05)
    bench.driver.survey_again(Survey(min_s=100, sigma_m=2.0))
    assert bench.driver.settings().intent.position == Survey(min_s=100, sigma_m=2.0)


def test_signals_are_switched_by_system() -> None:
    bench = m8t()
    bench.driver.apply(bench.driver.plan(GnssIntent(signals={"GPS": ("L1C/A",), "GAL": ("E1",)})))
    assert (bench.value("CFG_SIGNAL_GPS_ENA"), bench.value("CFG_SIGNAL_GLO_ENA")) == (1, 0)
    assert bench.driver.settings().intent.signals == {"GPS": ("L1C/A",), "GAL": ("E1",)}


def test_start_makes_it_as_the_options_say() -> None:
    bench = m8t(UbloxOptions(survey_min_s=300))
    found = bench.driver.settings().intent
    assert found.position == Survey(min_s=300, sigma_m=9.0)
    assert found.pulse == Pulse()
    assert "CFG-TMODE2.svinMinDur" in bench.driver.changed
    assert not any("used as it is" in warning for warning in bench.driver.health().warnings)
    assert Capability.SURVEY in bench.driver.capabilities


def test_another_rate_is_followed_and_undone() -> None:
    bench = m8t()
    plan = bench.driver.plan(GnssIntent(baud=115_200))
    bench.driver.apply(plan)
    assert (bench.device.baud, bench.wire.baud) == (115_200, 115_200)
    bench.driver.undo(plan)
    assert (bench.device.baud, bench.wire.baud) == (9_600, 9_600)
    bench.wire.deaf_at.add(115_200)
    with pytest.raises(RefusedError, match="not heard at 115200; back at 9600"):
        bench.driver.apply(plan)
    assert (bench.device.baud, bench.wire.baud) == (9_600, 9_600)


def test_an_intent_that_would_silence_the_fpga_is_refused() -> None:
    bench = m8t()
    bench.driver.apply(bench.driver.plan(TIME_CARD))
    with pytest.raises(RefusedError, match="NAV-TIMEUTC would come every"):
        bench.driver.plan(GnssIntent(rate_hz=5))


def test_nothing_is_ever_reset() -> None:
    bench = m8t()
    plan = bench.driver.plan(TIME_CARD)
    bench.driver.apply(plan)
    bench.driver.undo(plan)
    assert bench.wire.frames(CFG_RST) == []
    assert all(payload[:4] == payload[8:12] == bytes(4) for payload in bench.wire.frames(CFG_CFG))


@pytest.mark.parametrize("key", sorted(PARTS))
def test_every_field_holds_what_is_put_there_and_leaves_its_neighbours(key: str) -> None:
    part = PARTS[key]
    size = 4 + 8 * 2 if part.source.key == 0x063E else SETS[part.source.key]
    blank = bytearray(b"\xa5" * size)
    if part.block is not None:
        blank[3], blank[4], blank[12] = 2, 255, part.block
    for value in (0, part.scale):
        changed = with_value(part, bytes(blank), value)
        assert value_in(part, changed) == value
        assert with_value(part, changed, value_in(part, bytes(blank)) or 0) == bytes(blank)
    assert label(key).startswith("CFG-")
    with pytest.raises(ValueError, match=r"does not fit|format|argument|required"):
        with_value(part, bytes(blank), 1 << 40)


def test_names_of_fields_are_not_shared() -> None:
    names = [label(key) for key in PARTS if key in FIELD_OF]
    assert len(set(names)) == len(names)
