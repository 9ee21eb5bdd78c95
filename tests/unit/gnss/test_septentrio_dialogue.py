"""The mosaic-T driver against the emulated receiver: identity, settings by difference, refusals, events."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.gnss.rated_wire import START_S, RatedWire, wire_to
from timecard.emulator.receiver_mosaic import EmulatedMosaic
from timecard.errors import (
    DeviceAbsentError,
    DeviceTimeoutError,
    ProtocolError,
    RefusedError,
    TimeCardError,
)
from timecard.gnss.intent import SIGNAL_NAMES, TIME_CARD, FixedPosition, GnssIntent, Pulse, Survey
from timecard.gnss.receivers.septentrio_dialogue import SeptentrioReceiver
from timecard.gnss.septentrio_settings import OWN_SIGNALS
from timecard.timescale import NS_PER_S
from timecard.values import (
    AntennaStatus,
    GnssEvent,
    GnssFix,
    LeapInfo,
    PulseLabel,
    RfStatus,
    SignalView,
    SpoofingState,
    SurveyStatus,
)

HERE = FixedPosition(x_m=4_279_269.33, y_m=642_725.46, z_m=4_670_586.50)


def mosaic(intent: GnssIntent | None = None) -> tuple[SeptentrioReceiver, RatedWire, EmulatedMosaic]:
    wire = wire_to("mosaic")
    assert isinstance(wire.device, EmulatedMosaic)
    return SeptentrioReceiver(wire, wire.time, intent), wire, wire.device


def written(wire: RatedWire) -> list[str]:
    """Commands that change something."""
    commands = [line for line in bytes(wire.written).decode("ascii").split("\r") if line]
    wire.written.clear()
    return [command for command in commands if command.startswith(("set", "exe"))]


def events_of(receiver: SeptentrioReceiver, wire: RatedWire, seconds: float) -> list[GnssEvent]:
    end_ns = wire.time.mono_ns() + round(seconds * NS_PER_S)
    events: list[GnssEvent] = []
    while wire.time.mono_ns() < end_ns:
        events += receiver.poll(0.2)
    return events


def test_every_signal_that_an_intent_may_name_has_a_name_here() -> None:
    assert set(OWN_SIGNALS) == {(system, name) for system, names in SIGNAL_NAMES.items() for name in names}


def test_starting_without_an_intent_changes_nothing() -> None:
    receiver, wire, _ = mosaic()
    receiver.start()
    assert receiver.identity is not None
    assert (receiver.identity.model, receiver.identity.firmware) == ("mosaic-T", "4.14.4")
    assert written(wire) == []


def test_only_what_differs_is_written_and_a_second_time_nothing() -> None:
    receiver, wire, device = mosaic()
    plan = receiver.plan(TIME_CARD)
    assert written(wire) == [], "planning writes nothing"
    assert {change.key for change in plan.changes} == {
        "PPSParameters", "PVTMode", "ReceiverDynamics", "SBFOutput, Stream1",
    }  # fmt: skip
    assert any(text.startswith("antenna_supply") for text in plan.unsupported)
    receiver.apply(plan)
    assert written(wire) == [
        *(f"set{change.key}, {change.after}" for change in plan.changes),
        "exeCopyConfigFile, Current, Boot",
    ]
    assert receiver.plan(TIME_CARD).changes == ()
    assert receiver.plan(dataclasses.replace(TIME_CARD, cable_delay_ns=51)).changes[0].after == "51.000"
    receiver.apply(receiver.plan(GnssIntent(cable_delay_ns=51)))
    assert written(wire) == ["setCalibCommonDelay, 51.000", "exeCopyConfigFile, Current, Boot"]
    device.restart(wire.time.true_tai_ns())
    wire.time.sleep_s(3.0)
    assert receiver.plan(dataclasses.replace(TIME_CARD, cable_delay_ns=51)).changes == (), "kept"


def test_everything_that_an_intent_can_name() -> None:
    intent = GnssIntent(
        signals={"GPS": ("L1C/A", "L5"), "GAL": ("E1", "E6")}, position=HERE, cable_delay_ns=-20,
        pulse=Pulse(width_us=500, rising=False, grid="GAL", locked_only=False), rate_hz=1,
        elevation_mask_deg=15, antenna_watch=True, jamming_watch=True, dynamics="stationary",
        utc_standard="auto", messages="time-card", store="ram",
    )  # fmt: skip
    receiver, wire, device = mosaic(intent)
    receiver.start()
    now = device._mosaic.current
    assert now["SignalTracking", ""] == ("GPSL1CA+GPSL2PY+GPSL5+GALE1BC",), "not modelled ones are left"
    assert now["StaticPosCartesian", "Cartesian1"][:3] == ("4279269.3300", "642725.4600", "4670586.5000")
    assert now["PVTMode", ""][::2] == ("Static", "Cartesian1")
    assert now["CalibCommonDelay", ""] == ("-20.000",)
    assert now["PPSParameters", ""] == ("sec1", "High2Low", "0.00", "Galileo", "0", "0.500000")
    assert now["ElevationMask", "PVT"] == ("15",)
    assert receiver.warnings[0] == "signals: GAL E6 is not received"
    assert "exeCopyConfigFile, Current, Boot" not in written(wire)
    assert receiver.plan(intent).changes == ()


def test_undo_brings_back_what_was() -> None:
    receiver, _, device = mosaic()
    before = dict(device._mosaic.current)
    plan = receiver.plan(dataclasses.replace(TIME_CARD, position=HERE, cable_delay_ns=77, baud=38_400))
    receiver.apply(plan)
    assert device._mosaic.current != before
    receiver.undo(plan)
    assert device._mosaic.current == before


def test_the_rate_is_changed_on_both_sides_and_last() -> None:
    receiver, wire, device = mosaic()
    plan = receiver.plan(GnssIntent(baud=230_400, cable_delay_ns=5))
    assert [change.setting for change in plan.changes] == ["cable_delay_ns", "baud"]
    receiver.apply(plan)
    assert (wire.baud, device.baud) == (230_400, 230_400)
    assert receiver.plan(GnssIntent(baud=230_400, cable_delay_ns=5)).changes == ()


def test_a_refused_setting_takes_everything_back() -> None:
    receiver, _, device = mosaic()
    plan = receiver.plan(dataclasses.replace(TIME_CARD, cable_delay_ns=10))
    bad = dataclasses.replace(plan.changes[-1], after="none of this")
    before = dict(device._mosaic.current)
    with pytest.raises(RefusedError, match=f"{bad.key}.*invalid"):
        receiver.apply(dataclasses.replace(plan, changes=(*plan.changes[:-1], bad)))
    assert device._mosaic.current == before


def test_a_receiver_that_falls_silent_in_the_middle_is_told() -> None:
    receiver, _, device = mosaic()
    plan = receiver.plan(TIME_CARD)
    device.silent = True
    with pytest.raises(DeviceTimeoutError, match="no reply") as error:
        receiver.apply(plan)
    assert "could not be set back" in " ".join(error.value.__notes__)


def test_a_survey_that_goes_on_or_a_position_is_kept() -> None:
    receiver, _, device = mosaic()
    receiver.apply(receiver.plan(GnssIntent(position=HERE)))
    assert receiver.plan(GnssIntent(position=Survey())).changes == ()
    assert device._mosaic.current["PVTMode", ""][2] == "Cartesian1"


def test_a_survey_begins_anew_and_ends_and_can_be_taken_back() -> None:
    receiver, wire, device = mosaic()
    receiver.apply(receiver.plan(GnssIntent(position=HERE)))
    wire.time.sleep_s(3.0)
    receiver.poll(0.0)
    for mode in ("Cartesian1", "auto"):  # from a fixed position, and from a survey that is done
        plan = receiver.plan_survey(Survey())
        assert [
            change.before.split(", ")[2] for change in plan.changes if isinstance(change.before, str)
        ] == ([mode] if mode != "auto" else [])
        written(wire)
        receiver.survey_again(Survey())
        assert [command.split(",")[1] for command in written(wire)] == [" Rover", " Static", " Current"]
        events_of(receiver, wire, 3.0)
        told = [each for each in events_of(receiver, wire, 80.0) if isinstance(each, SurveyStatus)]
        assert (told[0].active, told[0].valid) == (True, False)
        assert (told[-1].active, told[-1].valid) == (False, True)
        if plan.changes:
            first = plan
    receiver.undo(first)
    assert device._mosaic.current["PVTMode", ""][2] == "Cartesian1"


def test_what_is_in_force_can_be_read() -> None:
    wanted = GnssIntent(
        signals={"GPS": ("L1C/A", "L5"), "GAL": ("E1",)}, cable_delay_ns=-20, elevation_mask_deg=15,
        pulse=Pulse(width_us=500, rising=False, grid="GAL", locked_only=False), dynamics="stationary",
    )  # fmt: skip
    receiver, _, _ = mosaic(wanted)
    receiver.start()
    found = receiver.settings()
    for name in ("signals", "cable_delay_ns", "elevation_mask_deg", "pulse", "dynamics"):
        assert getattr(found.intent, name) == getattr(wanted, name), name
    assert (found.intent.baud, found.intent.rate_hz, found.intent.position) == (115_200, 1, None)
    assert [(each.key, each.value) for each in found.left_over] == [
        ("SignalTracking", "GPSL2PY"), ("PVTMode", "Rover, StandAlone+SBAS+DGNSS, auto"),
    ]  # fmt: skip


def test_events_of_a_mosaic_as_configured_by_us() -> None:
    receiver, wire, device = mosaic(dataclasses.replace(TIME_CARD, position=HERE))
    receiver.start()
    wire.time.sleep_s(2.0)
    receiver.poll(0.0)
    events = events_of(receiver, wire, 40.0)
    by_type: dict[type, list[Any]] = {}
    for event in events:
        by_type.setdefault(type(event), []).append(event)
    for fix in by_type[GnssFix]:
        assert (fix.fix_ok, fix.time_valid, fix.fix.name) == (True, True, "TIME_ONLY")
        assert fix.time_accuracy_ns == pytest.approx(8.0, abs=0.1)
    for label in by_type[PulseLabel]:
        second = label.edge_tai_ns // NS_PER_S
        assert second - START_S in range(60)
        # Of the pulse that it names, as the physics has it.
        assert label.qerr_ns == pytest.approx(device._gnss.edge(second).qerr_ns, abs=1e-3)
        assert label.pulse_locked
    assert 38 <= len(by_type[PulseLabel]) <= 41
    assert by_type[LeapInfo][0].tai_minus_utc_s == 37
    view = by_type[SignalView][0]
    assert {(signal.system, signal.signal) for signal in view.signals} >= {
        ("GPS", "L1C/A"), ("GPS", "L5"), ("GAL", "E1"), ("GAL", "E5a"), ("BDS", "B1I"), ("BDS", "B2a"),
        ("GLO", "L1"),
    }  # fmt: skip


def test_faults_of_antenna_and_sky_are_told() -> None:
    receiver, wire, device = mosaic(TIME_CARD)
    receiver.start()
    events_of(receiver, wire, 3.0)
    device.antenna = AntennaStatus.SHORT
    device.spoofing = SpoofingState.INDICATED
    device.jam_db = 14.0
    told = [event for event in events_of(receiver, wire, 5.0) if isinstance(event, RfStatus)]
    assert AntennaStatus.SHORT in {status.antenna for status in told}
    assert {status.jamming.name for status in told if status.jamming} & {"WARNING", "CRITICAL"}
    assert {status.spoofing.name for status in told if status.spoofing} & {"INDICATED", "MULTIPLE"}


class Scripted:
    """A stream that answers everything with the same."""

    name = "scripted"

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self._ready = b""
        self.now_ns = 0

    def read(self, max_bytes: int, timeout_s: float) -> bytes:
        data, self._ready = self._ready[:max_bytes], self._ready[max_bytes:]
        self.now_ns += 1_000_000 if data else round(timeout_s * NS_PER_S)
        return data

    def write(self, data: bytes) -> None:
        self._ready += self.answer

    def mono_ns(self) -> int:
        return self.now_ns

    def sleep_s(self, seconds: float) -> None:
        self.now_ns += round(seconds * NS_PER_S)


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (b"", DeviceAbsentError, "nothing received"),
        (b"\x00\xff" * 9, DeviceAbsentError, "without a valid frame"),
        (b"$R? lstInternalFile: Not authorized!\r\nCOM2>", ProtocolError, "Not authorized"),
        (b"$R; lstInternalFile, Identification\r\n<rxproduct/>\r\nCOM1>", ProtocolError, "names no product"),
        (b"$R; lstInternalFile, Identification\r\n" + b"x" * 40_000, ProtocolError, "more than 32768"),
    ],
)
def test_answers_that_are_none(answer: bytes, kind: type[TimeCardError], words: str) -> None:
    stream = Scripted(answer)
    with pytest.raises(kind, match=words):
        SeptentrioReceiver(stream, stream).start()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([
    b"$R: getPVTMode\r\n", b"$R; ", b"$R", b"COM1>", b"\r\n", b"---->", b"STOP>",
    b"$@\x00\x00\x0e\x16\x08\x00", b"lstInternalFile, Identification\r\n", b'<hwplatform product="', b'"',
    b"\xff\x00", b"x" * 900,
]), max_size=30))  # fmt: skip
def test_any_answer_ends_in_an_identity_or_an_error_of_ours(parts: list[bytes]) -> None:
    stream = Scripted(b"".join(parts))
    with contextlib.suppress(TimeCardError):
        SeptentrioReceiver(stream, stream).start()
    assert stream.now_ns <= 10 * NS_PER_S
