"""From factory state only what differs is written, again nothing, and a failure leaves all as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.gnss.ublox_wire import ACK_ACK, CFG_RST, CFG_VALGET, CFG_VALSET, ConfigBench, ack_of
from timecard.errors import DeviceTimeoutError, RefusedError, TimeCardError
from timecard.gnss.driver import Capability, Receiver
from timecard.gnss.intent import TIME_CARD, Change, FixedPosition, GnssIntent, Plan, Store, Survey
from timecard.gnss.receiver import UbloxReceiver
from timecard.gnss.ublox_fields import FIELD_OF
from timecard.gnss.ublox_planner import SettingsRefusedError
from timecard.gnss.ublox_profile import UbloxOptions
from timecard.gnss.ubx import UbxFrame

FACTORY: dict[str, int] = {}
POSITION = FixedPosition(x_m=4_279_269.33, y_m=642_725.46, z_m=4_670_586.5, sigma_m=0.05)
MESSAGES = {
    **dict.fromkeys(("NAV_PVT", "NAV_STATUS", "NAV_TIMELS", "NAV_TIMEUTC", "NAV_EOE", "TIM_TP", "MON_HW"), 1),
    **dict.fromkeys(("TIM_SVIN", "MON_RF", "SEC_SIG", "NAV_SAT", "NAV_SIG"), 5),
}
FROM_FACTORY = {
    "CFG_TMODE_MODE": 1,
    "CFG_TMODE_SVIN_MIN_DUR": 1200,
    "CFG_TMODE_SVIN_ACC_LIMIT": 50_000,
    "CFG_TP_ANT_CABLEDELAY": 0,
    "CFG_ITFM_ENABLE": 1,
    "CFG_ITFM_ANTSETTING": 2,
    "CFG_NAVSPG_DYNMODEL": 2,
    "CFG_UART1OUTPROT_NMEA": 0,
    **{f"CFG_MSGOUT_UBX_{name}_UART1": rate for name, rate in MESSAGES.items()},
}
"""What a ZED-F9T as it leaves the factory has otherwise than a Time Card needs it."""


def factory(**receiver: Any) -> ConfigBench:
    bench = ConfigBench(**{"flash": FACTORY, **receiver})
    bench.driver.start()
    bench.wire.written.clear()
    return bench


def configured() -> ConfigBench:
    bench = factory()
    bench.driver.apply(bench.driver.plan(TIME_CARD))
    bench.wire.written.clear()
    return bench


# --- only what differs ---


def test_from_factory_state_only_the_keys_that_differ_are_written() -> None:
    bench = factory()
    plan = bench.driver.plan(TIME_CARD)
    assert bench.wire.keys_written() == []
    assert {change.key: change.after for change in plan.changes} == FROM_FACTORY
    assert plan.unsupported == ()
    bench.driver.apply(plan)
    (written,) = bench.wire.keys_written()
    assert written.keys() == FROM_FACTORY.keys()
    assert {name: bench.value(name) for name in FROM_FACTORY} == FROM_FACTORY
    assert bench.wire.frames(CFG_RST) == []


def test_doing_it_again_writes_nothing() -> None:
    bench = configured()
    plan = bench.driver.plan(TIME_CARD)
    assert plan.changes == ()
    bench.driver.apply(plan)
    assert bench.wire.keys_written() == []


def test_another_cable_delay_is_one_key() -> None:
    bench = configured()
    plan = bench.driver.plan(GnssIntent(cable_delay_ns=123))
    (change,) = plan.changes
    assert change == Change(setting="cable_delay_ns", key="CFG_TP_ANT_CABLEDELAY", before=0, after=123)
    bench.driver.apply(plan)
    assert bench.wire.keys_written() == [{"CFG_TP_ANT_CABLEDELAY": b"\x7b\x00"}]


def test_each_change_names_the_setting_that_wants_it() -> None:
    fields = {change.setting for change in factory().driver.plan(TIME_CARD).changes}
    assert fields == {"position", "cable_delay_ns", "jamming_watch", "dynamics", "messages"}


@pytest.mark.parametrize(
    ("store", "layers"), [("ram", {"ram"}), ("battery", {"ram", "bbr"}), ("flash", {"ram", "bbr", "flash"})]
)
def test_it_is_kept_in_the_layers_that_are_asked_for(store: Store, layers: set[str]) -> None:
    bench = factory()
    before = bench.layers()
    bench.driver.apply(bench.driver.plan(GnssIntent(cable_delay_ns=99, store=store)))
    after = bench.layers()
    assert {name for name in after if after[name] != before[name]} == layers


def test_what_is_in_force_but_not_stored_is_written_when_it_shall_be_kept() -> None:
    bench = factory()
    bench.driver.apply(bench.driver.plan(GnssIntent(cable_delay_ns=99, store="ram")))
    assert bench.driver.plan(GnssIntent(cable_delay_ns=99, store="ram")).changes == ()
    plan = bench.driver.plan(GnssIntent(cable_delay_ns=99, store="battery"))
    (change,) = plan.changes
    assert (change.before, change.after, change.stored) == (99, 99, 50)
    bench.driver.apply(plan)
    assert bench.driver.plan(GnssIntent(cable_delay_ns=99, store="battery")).changes == ()
    # The battery-backed copy does not survive without its battery.
    plan = bench.driver.plan(GnssIntent(cable_delay_ns=99, store="flash"))
    assert [change.stored for change in plan.changes] == [50]
    bench.driver.apply(plan)
    assert bench.driver.plan(GnssIntent(cable_delay_ns=99, store="flash")).changes == ()


def many(bench: ConfigBench) -> tuple[Change, ...]:
    """Another value for more keys than one message takes."""
    apart = ("RATE", "TIMEGRID", "INPROT_UBX", "TMODE_MODE", "POS_TYPE", "BAUD", "PULSE_DEF")
    keys = [key for key in FIELD_OF if bench.device._config.knows(key) and not any(a in key for a in apart)]
    changes = tuple(
        Change(setting=FIELD_OF[key], key=key, before=bench.value(key), after=bench.value(key) ^ 1)
        for key in keys
    )
    assert len(changes) > 64
    return changes


def test_more_keys_than_one_message_takes_apply_together() -> None:
    bench = factory()
    plan = Plan(changes=many(bench))
    bench.driver.apply(plan)
    steps = [(payload[0], payload[2]) for payload in bench.wire.frames(CFG_VALSET)]
    assert steps == [(1, 1), (1, 3)]
    assert all(bench.value(change.key) == change.after for change in plan.changes)


# --- positions ---


def test_a_survey_that_is_done_is_kept_even_with_other_limits() -> None:
    bench = factory()
    bench.driver.apply(bench.driver.plan(GnssIntent(position=Survey(min_s=60, sigma_m=20.0))))
    for _ in range(90):
        bench.time.sleep_s(1.0)
        bench.driver.poll(0.0)
    assert bench.driver.plan(GnssIntent(position=Survey(min_s=600))).changes == ()
    bench.driver.survey_again(Survey(min_s=600))
    assert bench.value("CFG_TMODE_SVIN_MIN_DUR") == 600
    modes = [w["CFG_TMODE_MODE"] for w in bench.wire.keys_written() if "CFG_TMODE_MODE" in w]
    assert modes[-2:] == [b"\0", b"\1"]


def test_a_survey_that_runs_gets_other_limits() -> None:
    bench = factory()
    bench.driver.apply(bench.driver.plan(GnssIntent(position=Survey(min_s=600))))
    bench.time.sleep_s(2.0)
    assert [c.key for c in bench.driver.plan(GnssIntent(position=Survey(min_s=900))).changes] == [
        "CFG_TMODE_SVIN_MIN_DUR"
    ]


def test_the_same_place_in_other_coordinates_is_not_written() -> None:
    bench = factory()
    bench.driver.apply(bench.driver.plan(GnssIntent(position=POSITION)))
    assert bench.driver.plan(GnssIntent(position=Survey())).changes == ()
    assert bench.driver.plan(GnssIntent(position=POSITION)).changes == ()
    found = bench.driver.settings().intent.position
    assert isinstance(found, FixedPosition)
    assert (found.x_m, found.y_m, found.z_m) == pytest.approx((POSITION.x_m, POSITION.y_m, POSITION.z_m))


# --- failures ---


def lose_acks(bench: ConfigBench) -> None:
    acks = ack_of(CFG_VALSET)
    bench.wire.from_device = lambda frame: b"" if acks(frame) else None


def lose_requests(bench: ConfigBench) -> None:
    bench.wire.to_device = lambda frame: b"" if frame.key == CFG_VALSET else None


def lose_first_acks(bench: ConfigBench, count: int = 2) -> None:
    acks, lost = ack_of(CFG_VALSET), [0]

    def drop(frame: UbxFrame) -> bytes | None:
        if acks(frame) and lost[0] < count:
            lost[0] += 1
            return b""
        return None

    bench.wire.from_device = drop


def cut_replies(bench: ConfigBench) -> None:
    """What is read back after the write comes without its end, as often as it is asked for."""
    written, cut = [False], [0]

    def note(frame: UbxFrame) -> bytes | None:
        written[0] = written[0] or frame.key == CFG_VALSET
        return None

    def half(frame: UbxFrame) -> bytes | None:
        if written[0] and frame.key == CFG_VALGET and cut[0] < 2:
            cut[0] += 1
            return frame.raw[: len(frame.raw) // 2]
        return None

    bench.wire.to_device, bench.wire.from_device = note, half


def reboot_when_written(bench: ConfigBench) -> None:
    """RAM is lost after it was acknowledged: what is read back is not what was written."""
    acks, done = ack_of(CFG_VALSET), [False]

    def reboot(frame: UbxFrame) -> bytes | None:
        if acks(frame) and not done[0]:
            done[0] = True
            bench.device.restart(bench.time.true_tai_ns())
        return None

    bench.wire.from_device = reboot


def refuse_one(bench: ConfigBench) -> None:
    bench.device._config.refused.add("CFG_NAVSPG_DYNMODEL")


def refuse_all(bench: ConfigBench) -> None:
    assert bench.device._config.write({"CFG_SEC_CFG_LOCK": 1})


def take_otherwise(bench: ConfigBench) -> None:
    bench.device._config.crooked["CFG_TP_ANT_CABLEDELAY"] = 3


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        (refuse_one, SettingsRefusedError, r"refused: CFG_NAVSPG_DYNMODEL; the old settings are in force"),
        (refuse_all, SettingsRefusedError, r"locked \(CFG_SEC_CFG_LOCK\)"),
        (lose_requests, DeviceTimeoutError, r"not acknowledged .*the old settings are in force"),
        (lose_acks, DeviceTimeoutError, r"not acknowledged .*the old settings are in force \(CFG_TMODE_MODE"),
        (lose_first_acks, DeviceTimeoutError, r"not acknowledged .*the old settings are in force"),
        (cut_replies, DeviceTimeoutError, r"not read again.*the old settings are in force"),
        (take_otherwise, SettingsRefusedError, r"CFG_TP_ANT_CABLEDELAY=3 instead of 0"),
    ],
)
@pytest.mark.parametrize("store", ["ram", "battery", "flash"])
def test_a_failure_leaves_every_layer_as_it_was(
    fault: Callable[[ConfigBench], None], error: type[TimeCardError], said: str, store: Store
) -> None:
    bench = factory()
    intent = GnssIntent(
        **{
            name: getattr(TIME_CARD, name)
            for name in ("position", "cable_delay_ns", "dynamics", "messages", "jamming_watch")
        },
        store=store,
    )
    plan = bench.driver.plan(intent)
    fault(bench)
    before = bench.layers()
    with pytest.raises(error, match=said) as raised:
        bench.driver.apply(plan)
    after = bench.layers()
    assert after == before
    assert isinstance(raised.value, TimeCardError)
    assert bench.wire.frames(CFG_RST) == []


def test_a_refused_key_is_named_and_no_other() -> None:
    bench = factory()
    plan = bench.driver.plan(TIME_CARD)
    bench.device._config.refused |= {"CFG_NAVSPG_DYNMODEL", "CFG_ITFM_ENABLE"}
    with pytest.raises(SettingsRefusedError) as raised:
        bench.driver.apply(plan)
    assert set(raised.value.keys) == {"CFG_NAVSPG_DYNMODEL", "CFG_ITFM_ENABLE"}
    # Nothing of the asking is left open: the next write stands alone.
    bench.device._config.refused.clear()
    bench.driver.apply(bench.driver.plan(GnssIntent(cable_delay_ns=1)))
    assert (bench.value("CFG_TP_ANT_CABLEDELAY"), bench.value("CFG_NAVSPG_DYNMODEL")) == (1, 0)


def test_a_reboot_in_the_middle_leaves_the_old_settings() -> None:
    bench = factory()
    plan = bench.driver.plan(GnssIntent(cable_delay_ns=5, dynamics="stationary", store="ram"))
    before = bench.layers()
    reboot_when_written(bench)
    with pytest.raises(SettingsRefusedError, match="instead of"):
        bench.driver.apply(plan)
    assert bench.layers() == before


def test_a_transaction_that_breaks_off_applies_nothing() -> None:
    bench = factory()
    plan = Plan(changes=many(bench), store="flash")
    before = bench.layers()
    bench.wire.to_device = lambda frame: b"" if frame.key == CFG_VALSET and frame.payload[2] > 1 else None
    with pytest.raises(DeviceTimeoutError, match="the old settings are in force"):
        bench.driver.apply(plan)
    assert bench.layers() == before
    bench.wire.to_device = lambda frame: None
    acks, seen = ack_of(CFG_VALSET), [0]

    def lose_the_last(frame: UbxFrame) -> bytes | None:
        seen[0] += acks(frame)
        return b"" if acks(frame) and not seen[0] % 2 else None

    bench.wire.from_device = lose_the_last
    with pytest.raises(DeviceTimeoutError, match="the old settings are in force"):
        bench.driver.apply(plan)
    assert bench.layers() == before


def test_a_receiver_that_goes_away_is_said_to_be_unknown() -> None:
    bench = factory()
    plan = bench.driver.plan(TIME_CARD)
    acks = ack_of(CFG_VALSET)

    def die(frame: UbxFrame) -> bytes | None:
        bench.device.silent = bench.device.silent or acks(frame)
        return b"" if bench.device.silent else None

    bench.wire.from_device = die
    with pytest.raises(
        DeviceTimeoutError, match="no longer answers, so it is not known whether CFG_TMODE_MODE"
    ):
        bench.driver.apply(plan)


def test_one_lost_acknowledgement_is_asked_for_again() -> None:
    bench = factory()
    lose_first_acks(bench, 1)
    bench.driver.apply(bench.driver.plan(GnssIntent(cable_delay_ns=5)))
    assert bench.value("CFG_TP_ANT_CABLEDELAY") == 5


def test_a_plan_that_is_out_of_date_is_refused() -> None:
    bench = factory()
    plan = bench.driver.plan(GnssIntent(cable_delay_ns=5))
    bench.device._config.write({"CFG_TP_ANT_CABLEDELAY": 9})
    with pytest.raises(RefusedError, match="CFG_TP_ANT_CABLEDELAY changed since the plan was made"):
        bench.driver.apply(plan)
    assert bench.wire.keys_written() == []


@pytest.mark.parametrize("key", ["CFG_SEC_CFG_LOCK", "CFG_SEC_CFG_LOCK_UNLOCKGRP1", "CFG_NOTHING", "RST"])
def test_a_plan_never_writes_what_is_no_setting(key: str) -> None:
    bench = factory()
    with pytest.raises(RefusedError, match="not a setting that is ever written"):
        bench.driver.apply(Plan(changes=(Change(setting="x", key=key, before=0, after=1),)))
    assert bench.wire.keys_written() == []


# --- undo ---


@pytest.mark.parametrize("store", ["ram", "battery", "flash"])
def test_undo_puts_every_layer_back(store: Store) -> None:
    bench = ConfigBench(flash={"CFG_TP_ANT_CABLEDELAY": 12, "CFG_NAVSPG_DYNMODEL": 3})
    bench.driver.start()
    before = bench.layers()
    plan = bench.driver.plan(GnssIntent(cable_delay_ns=99, dynamics="stationary", store=store))
    bench.driver.apply(plan)
    assert bench.layers() != before
    bench.driver.undo(plan)
    assert bench.layers() == before


def test_undo_without_knowledge_of_layers_restores_what_is_in_force() -> None:
    bench = factory()
    plan = bench.driver.plan(GnssIntent(cable_delay_ns=99))
    bench.driver.apply(plan)
    bench.driver.undo(Plan(changes=plan.changes, store=plan.store))
    assert bench.value("CFG_TP_ANT_CABLEDELAY") == 50
    bench.device.restart(bench.time.true_tai_ns())
    assert bench.value("CFG_TP_ANT_CABLEDELAY") == 50


def test_an_undo_that_fails_leaves_what_was_applied() -> None:
    bench = factory()
    plan = bench.driver.plan(GnssIntent(cable_delay_ns=99, dynamics="stationary"))
    bench.driver.apply(plan)
    applied = bench.layers()
    bench.device._config.refused.add("CFG_NAVSPG_DYNMODEL")
    with pytest.raises(RefusedError, match="CFG_NAVSPG_DYNMODEL"):
        bench.driver.undo(plan)
    assert bench.layers() == applied


# --- what the FPGA hears ---


@pytest.mark.parametrize(
    ("intent", "reason"),
    [
        (GnssIntent(rate_hz=5), r"NAV-TIMEUTC would come every 0\.2 s.*once a second"),
        (GnssIntent(baud=921_600), "cannot follow"),
        (GnssIntent(baud=4_800, messages="time-card"), "carries 480 bytes"),
        (GnssIntent(baud=9_600), "carries 960 bytes"),
    ],
)
def test_an_intent_that_would_silence_the_fpga_is_refused(intent: GnssIntent, reason: str) -> None:
    bench = configured()
    with pytest.raises(RefusedError, match=reason):
        bench.driver.plan(intent)
    assert bench.wire.keys_written() == []


def test_the_longest_message_stays_off_a_slow_line() -> None:
    bench = configured()
    plan = bench.driver.plan(GnssIntent(baud=9_600, messages="time-card"))
    assert {change.key: change.after for change in plan.changes} == {
        "CFG_UART1_BAUDRATE": 9_600, "CFG_MSGOUT_UBX_NAV_SIG_UART1": 0,
    }  # fmt: skip
    bench.driver.apply(plan)
    assert bench.driver.plan(TIME_CARD).changes == ()
    assert bench.driver.settings().intent.messages == "time-card"


def test_more_epochs_are_possible_when_the_messages_follow() -> None:
    bench = configured()
    plan = bench.driver.plan(GnssIntent(rate_hz=1, messages="time-card"))
    assert plan.changes == ()
    with pytest.raises(RefusedError, match="CFG_RATE_MEAS"):  # the emulated one has whole seconds only
        bench.driver.apply(bench.driver.plan(GnssIntent(rate_hz=2, messages="time-card")))
    plan = bench.driver.plan(GnssIntent(rate_hz=2, messages="time-card"))
    rates = {change.key: change.after for change in plan.changes}
    assert rates["CFG_MSGOUT_UBX_NAV_TIMEUTC_UART1"] == 2
    assert rates["CFG_MSGOUT_UBX_NAV_SAT_UART1"] == 10


# --- baud ---


def test_another_rate_is_written_and_followed() -> None:
    bench = configured()
    bench.driver.apply(bench.driver.plan(GnssIntent(baud=230_400)))
    assert (bench.device.baud, bench.wire.baud) == (230_400, 230_400)
    bench.device.restart(bench.time.true_tai_ns())
    assert bench.value("CFG_UART1_BAUDRATE") == 230_400


def test_a_receiver_that_is_not_heard_at_the_new_rate_is_taken_back() -> None:
    bench = configured()
    before = bench.layers()
    bench.wire.deaf_at.add(230_400)
    plan = bench.driver.plan(GnssIntent(baud=230_400, cable_delay_ns=44))
    with pytest.raises(
        RefusedError, match=r"not heard at 230400; back at 115200 baud.*old settings are in force"
    ):
        bench.driver.apply(plan)
    assert (bench.device.baud, bench.wire.baud) == (115_200, 115_200)
    assert bench.layers() == before


def test_a_rate_that_the_receiver_refuses_changes_nothing() -> None:
    bench = configured()
    before = bench.layers()
    bench.device._config.refused.add("CFG_UART1_BAUDRATE")
    with pytest.raises(RefusedError, match="baud = 230400 was refused"):
        bench.driver.apply(bench.driver.plan(GnssIntent(baud=230_400)))
    assert bench.layers() == before
    assert bench.wire.baud == 115_200


def test_a_changed_rate_is_undone() -> None:
    bench = configured()
    before = bench.layers()
    plan = bench.driver.plan(GnssIntent(baud=57_600, store="flash"))
    bench.driver.apply(plan)
    bench.driver.undo(plan)
    assert (bench.device.baud, bench.wire.baud) == (115_200, 115_200)
    assert bench.layers() == before


# --- families ---


def test_it_offers_what_every_driver_offers() -> None:
    receiver: Receiver = factory().driver
    assert Capability.SURVEY in receiver.capabilities
    assert Capability.CONFIGURE in receiver.capabilities


@pytest.mark.parametrize(
    ("firmware", "unsupported"),
    [
        ("TIM 2.01", ("CFG_SIGNAL_GPS_L5_ENA", "CFG_SIGNAL_NAVIC_ENA", "CFG_MSGOUT_UBX_SEC_SIG_UART1")),
        ("TIM 2.20", ("CFG_SIGNAL_GPS_L2C_ENA",)),
        ("SPG 4.04", ("position: this receiver has neither", "CFG_SIGNAL_GPS_L2C_ENA", "TIM_SVIN")),
        ("TIM 3.01", ("CFG_SIGNAL_GPS_L2C_ENA", "MON_HW")),
    ],
)
def test_what_a_family_lacks_is_named_and_the_rest_is_written(
    firmware: str, unsupported: tuple[str, ...]
) -> None:
    bench = factory(firmware=firmware)
    signals = {"GPS": ("L1C/A", "L2C", "L5"), "GAL": ("E1",), "NavIC": ()}
    wanted = GnssIntent(**{
        name: getattr(TIME_CARD, name) for name in TIME_CARD.__slots__ if name != "signals"
    }, signals=signals)  # fmt: skip
    plan = bench.driver.plan(wanted)
    said = "\n".join(plan.unsupported)
    assert all(text in said for text in unsupported)
    bench.driver.apply(plan)
    assert bench.driver.plan(wanted).changes == ()
    assert bench.value("CFG_SIGNAL_GLO_ENA") == 0


def test_settings_in_force_are_shown_in_neutral_words() -> None:
    bench = configured()
    found = bench.driver.settings()
    assert found.intent.signals is not None
    assert found.intent.signals["GPS"] == ("L1C/A",)
    for name in TIME_CARD.__slots__:
        if name not in ("signals", "elevation_mask_deg", "baud"):
            assert getattr(found.intent, name) == getattr(TIME_CARD, name), name
    assert (found.intent.elevation_mask_deg, found.intent.baud) == (5, 115_200)


def test_nothing_is_ever_reset_or_locked() -> None:
    bench = configured()
    plan = bench.driver.plan(GnssIntent(cable_delay_ns=9, position=POSITION, store="flash"))
    bench.driver.apply(plan)
    bench.driver.undo(plan)
    assert bench.wire.frames(CFG_RST) == []
    assert bench.wire.frames(0x0609) == []
    assert not any(name.startswith("CFG_SEC") for written in bench.wire.keys_written() for name in written)
    assert ACK_ACK == 0x0501


# --- start runs on the same code ---


def test_start_writes_what_compare_says_and_no_more() -> None:
    bench = ConfigBench(UbloxOptions(), flash=FACTORY)
    said = bench.driver.compare()
    assert bench.wire.keys_written() == []
    bench.driver.start()
    (written,) = bench.wire.keys_written()
    assert written.keys() == said.keys()
    assert bench.driver.changed == said
    assert said["CFG_TP_ANT_CABLEDELAY"] == (50, 0)
    assert bench.driver.compare() == {}


def test_start_can_be_given_an_intent() -> None:
    bench = ConfigBench(flash=FACTORY)
    driver = UbloxReceiver(bench.wire, bench.time, intent=GnssIntent(cable_delay_ns=8))
    driver.start()
    assert [written.keys() for written in bench.wire.keys_written()] == [{"CFG_TP_ANT_CABLEDELAY"}]


def test_a_key_that_is_refused_costs_the_start_only_itself() -> None:
    bench = ConfigBench(UbloxOptions(), flash=FACTORY)
    bench.device._config.refused.add("CFG_ITFM_ENABLE")
    bench.driver.start()
    (warning,) = bench.driver.health().warnings
    assert warning.startswith("could not be set: CFG_ITFM_ENABLE (")
    assert bench.driver.compare().keys() == {"CFG_ITFM_ENABLE"}
    assert "CFG_ITFM_ENABLE" not in bench.driver.changed


def test_a_start_that_would_silence_the_fpga_leaves_the_receiver_as_it_is() -> None:
    bench = configured()
    driver = UbloxReceiver(bench.wire, bench.time, intent=GnssIntent(rate_hz=5))
    driver.start()
    (warning,) = driver.health().warnings
    assert "used as it is configured" in warning
    assert "NAV-TIMEUTC" in warning
    assert bench.wire.keys_written() == []
