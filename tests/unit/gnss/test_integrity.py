"""The integrity monitor, event by event."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from appliance.timescale.reference import CORROBORATED
from timecard.gnss.integrity import RULES, IntegrityMonitor, IntegrityOptions, KnownLeap
from timecard.timescale import NS_PER_S, S_PER_WEEK
from timecard.values import (
    Alarm,
    AntennaPosition,
    CorruptData,
    FixType,
    GnssEvent,
    GnssFix,
    LeapInfo,
    PulseLabel,
    ReceiverIdentity,
    SurveyStatus,
)

S = NS_PER_S
TAI = 1_800_000_000 * S
FIX = GnssFix(
    epoch_tai_ns=TAI,
    fix=FixType.TIME_ONLY,
    fix_ok=True,
    time_valid=True,
    utc_resolved=True,
    time_accuracy_ns=8.0,
    satellites_used=20,
    time_confirmed=True,
    read_mono_ns=0,
)


class Receiver:
    """Says an epoch a second."""

    def __init__(self, options: IntegrityOptions | None = None) -> None:
        self.monitor = IntegrityMonitor(options)
        self.said: list[Alarm] = []
        self.now_ns = 50 * S
        self.tai_ns = TAI

    def say(self, event: GnssEvent) -> None:
        self.said += self.monitor.feed(event, event.read_mono_ns)

    def wait(self, seconds: float) -> None:
        self.now_ns += round(seconds * S)
        self.said += self.monitor.look(self.now_ns)

    def epoch(self, **changes: Any) -> None:
        self.say(
            dataclasses.replace(FIX, **{"epoch_tai_ns": self.tai_ns, "read_mono_ns": self.now_ns, **changes})
        )

    def seconds(self, count: int, **changes: Any) -> None:
        for _ in range(count):
            self.epoch(**changes)
            self.tai_ns += S
            self.wait(1.0)

    def names(self) -> list[tuple[str, bool]]:
        return [(alarm.name, alarm.active) for alarm in self.said]


def test_nothing_is_usable_before_the_first_valid_time() -> None:
    receiver = Receiver()
    assert receiver.monitor.reasons == ("no valid time yet",)
    receiver.seconds(
        3, time_valid=False, epoch_tai_ns=None, fix_ok=False, fix=FixType.NONE, satellites_used=0
    )
    assert not receiver.monitor.usable
    assert receiver.said == []  # to start is no fault
    receiver.seconds(1)
    assert receiver.monitor.usable
    receiver.epoch(fix_ok=False)
    assert not receiver.monitor.usable


def test_a_receiver_that_never_finds_time_is_told_after_half_an_hour() -> None:
    receiver = Receiver()
    for _ in range(1_800):
        receiver.seconds(1, time_valid=False, epoch_tai_ns=None, satellites_used=0)
    assert receiver.said == []
    receiver.seconds(2, time_valid=False, epoch_tai_ns=None, satellites_used=0)
    assert receiver.names() == [("time-invalid", True)]


def test_a_fault_that_comes_and_goes_is_one_alarm() -> None:
    receiver = Receiver()
    receiver.seconds(20)
    for _ in range(10):
        receiver.seconds(1, time_accuracy_ns=5_000.0)
        receiver.seconds(2)
    assert receiver.names() == [("time-inaccurate", True)]
    receiver.seconds(6)
    assert receiver.names() == [("time-inaccurate", True), ("time-inaccurate", False)]
    begin, end = receiver.said
    assert "5000 ns" in begin.evidence and begin.unusable
    assert end.read_mono_ns - begin.read_mono_ns == (27 + 1 + RULES["time-inaccurate"].clear_after_s) * S


def test_what_waited_in_a_buffer_is_no_jump() -> None:
    receiver = Receiver()
    for _ in range(5):  # read at once
        receiver.epoch()
        receiver.tai_ns += S
    receiver.seconds(30)
    assert receiver.said == []


def test_a_host_that_slept_is_told_that_its_epochs_are_late() -> None:
    receiver = Receiver()
    receiver.seconds(30)
    receiver.now_ns += 4 * S
    for _ in range(5):
        receiver.epoch()
        receiver.tai_ns += S
    assert receiver.names() == [("stale-epoch", True)]
    assert "late" in receiver.said[0].evidence
    receiver.wait(1.0)
    receiver.seconds(10)
    assert receiver.names() == [("stale-epoch", True), ("stale-epoch", False)]


def test_a_slow_drift_of_the_host_is_no_jump() -> None:
    receiver = Receiver()
    for _ in range(3_000):
        receiver.epoch()
        receiver.tai_ns += S
        receiver.wait(1.0001)
    assert receiver.said == []


def test_a_jump_lasts_until_somebody_accepts_it() -> None:
    receiver = Receiver()
    receiver.seconds(20)
    receiver.tai_ns += 7 * S
    receiver.seconds(120)
    assert receiver.names() == [("time-jump", True)]
    assert "7.0 s ahead" in receiver.said[0].evidence
    assert not receiver.monitor.usable
    receiver.monitor.forgive()
    receiver.seconds(20)
    assert receiver.names()[1:] == [("time-jump", False)]
    assert receiver.monitor.usable


@pytest.mark.parametrize("order", [0, 1, 2])
def test_labels_in_the_order_of_any_receiver(order: int) -> None:
    """0: mosaic, of the pulse past; 1: after the epoch; 2: before it."""
    receiver = Receiver()

    def second(off_s: int = 0, lost: bool = False) -> None:
        def label() -> None:
            named = receiver.tai_ns + (order > 0) * S + off_s * S
            receiver.say(
                PulseLabel(
                    edge_tai_ns=named,
                    qerr_ns=1.0,
                    pulse_locked=True,
                    emitted=order == 0,
                    read_mono_ns=receiver.now_ns,
                )
            )

        if order == 2:
            label()
            receiver.wait(0.2)
        if not lost:
            receiver.epoch()
        receiver.wait(0.1)
        if order < 2:
            label()
            receiver.wait(0.2)
        receiver.tai_ns += S
        receiver.wait(0.7)

    for _ in range(10):
        second()
    second(lost=True)
    for _ in range(10):
        second()
    assert [name for name, _ in receiver.names() if name == "label-mismatch"] == []
    for off_s in (1, -1):
        receiver.said.clear()
        second(off_s)
        assert ("label-mismatch", True) in receiver.names()
        for _ in range(10):
            second()
        assert ("label-mismatch", False) in receiver.names()


def test_the_rollover_names_the_right_week_and_other_dates_do_not() -> None:
    receiver = Receiver()
    receiver.seconds(15)
    receiver.epoch(
        time_valid=False, epoch_tai_ns=None, refused_tai_ns=receiver.tai_ns - 1024 * S_PER_WEEK * S
    )
    assert receiver.names() == [("week-rollover", True)]
    assert "1024 weeks from 2027-01-15" in receiver.said[0].evidence
    other = Receiver()
    other.epoch(time_valid=False, epoch_tai_ns=None, refused_tai_ns=3_900_000_000 * S)
    assert other.names() == [("time-implausible", True)]
    first = Receiver()  # before any good time: by the date alone
    first.epoch(time_valid=False, epoch_tai_ns=None, refused_tai_ns=TAI - 1024 * S_PER_WEEK * S)
    assert first.names() == [("week-rollover", True)]


def _leap(now_ns: int, seconds: int | None = 37, **changes: Any) -> LeapInfo:
    leap = LeapInfo(
        tai_minus_utc_s=seconds, change_s=0, seconds_to_event=None, source="GPS", read_mono_ns=now_ns
    )
    return dataclasses.replace(leap, **changes)


def test_leap_seconds_against_a_peer_and_against_the_past() -> None:
    receiver = Receiver()
    receiver.seconds(3)
    receiver.say(_leap(receiver.now_ns))
    receiver.say(_leap(receiver.now_ns, None))  # not known is not wrong
    assert receiver.said == []
    receiver.monitor.note_peer_leap("peer 192.0.2.1", 38, receiver.now_ns)
    receiver.say(_leap(receiver.now_ns))
    assert receiver.names() == [("leap-mismatch", True)]
    assert receiver.said[0].evidence == "TAI - UTC is 37 s, but 38 s by peer 192.0.2.1"
    receiver.monitor.note_peer_leap("peer 192.0.2.1", None, receiver.now_ns)  # it does not know any more
    receiver.say(_leap(receiver.now_ns))
    receiver.seconds(6)
    assert receiver.names() == [("leap-mismatch", True), ("leap-mismatch", False)]
    alone = Receiver()
    alone.seconds(1)
    alone.say(_leap(alone.now_ns))
    alone.say(_leap(alone.now_ns, 38))
    assert "37 s by this receiver before" in alone.said[0].evidence


def test_an_announced_leap_second_comes_and_is_no_fault() -> None:
    month_tai_s = 1_801_440_000 + 37  # 2027-02-01 in UTC
    receiver = Receiver()
    receiver.tai_ns = (month_tai_s - 20) * S
    for left in range(21, -1, -1):
        receiver.say(_leap(receiver.now_ns, change_s=1, seconds_to_event=left))
        receiver.seconds(1)
    for _ in range(30):
        receiver.say(_leap(receiver.now_ns, 38))
        receiver.seconds(1)
    assert receiver.said == []


def test_a_table_that_has_no_leap_second_then_contradicts_an_announcement() -> None:
    receiver = Receiver(IntegrityOptions(leap=KnownLeap(until_tai_s=1_900_000_000)))
    receiver.tai_ns = (1_801_440_037 - 1_000) * S
    receiver.seconds(1)
    receiver.say(_leap(receiver.now_ns, change_s=1, seconds_to_event=1_000))
    assert receiver.names() == [("leap-not-credible", True)]
    assert "the table has +0 s until then" in receiver.said[0].evidence


def test_an_antenna_that_is_held_must_not_move() -> None:
    def place(latitude_deg: float) -> AntennaPosition:
        return AntennaPosition(
            latitude_deg=latitude_deg,
            longitude_deg=8.5,
            height_m=400.0,
            sigma_m=0.4,
            read_mono_ns=receiver.now_ns,
        )

    receiver = Receiver()
    receiver.seconds(1, fix=FixType.FIX_3D)
    receiver.say(place(47.0))
    receiver.say(place(47.1))  # not held yet
    receiver.seconds(1)
    for latitude_deg in (47.2, 47.20001):
        receiver.say(place(latitude_deg))
    assert receiver.said == []
    receiver.say(place(47.2003))
    assert receiver.names() == [("position-jump", True)]
    assert receiver.said[0].evidence.startswith("33.4 m from where it was")
    receiver.monitor.forgive()
    receiver.seconds(1)
    receiver.say(place(47.2003))
    receiver.seconds(15)
    assert receiver.names()[-1] == ("position-jump", False)


def test_pulses_are_missed_once_they_were_seen() -> None:
    receiver = Receiver()
    receiver.seconds(5)
    assert receiver.said == []
    receiver.monitor.note_pulse(receiver.now_ns)
    receiver.seconds(3)
    assert receiver.names() == [("pulse-missing", True)]
    receiver.monitor.note_pulse(receiver.now_ns)
    receiver.seconds(1)
    receiver.monitor.note_pulse(receiver.now_ns)
    receiver.seconds(1)
    receiver.monitor.note_pulse(receiver.now_ns)
    receiver.seconds(1)
    receiver.monitor.note_pulse(receiver.now_ns)
    receiver.wait(0.1)
    assert receiver.names()[-1] == ("pulse-missing", False)


def test_a_position_that_nobody_looks_for() -> None:
    receiver = Receiver()
    nothing = SurveyStatus(active=False, valid=False, duration_s=0, position_sigma_m=0.0, read_mono_ns=0)
    receiver.seconds(20, fix=FixType.FIX_3D)
    receiver.say(dataclasses.replace(nothing, read_mono_ns=receiver.now_ns))
    assert receiver.said == []  # it may begin yet
    receiver.seconds(20, fix=FixType.FIX_3D)
    receiver.say(dataclasses.replace(nothing, read_mono_ns=receiver.now_ns))
    assert receiver.names() == [("survey-missing", True)]


def test_noise_before_the_first_message_is_a_line_opened_in_the_middle() -> None:
    receiver = Receiver()
    receiver.say(CorruptData(length=3_000, reason="no frame", read_mono_ns=receiver.now_ns))
    receiver.seconds(3)
    for _ in range(2):
        receiver.say(CorruptData(length=20, reason="no frame", read_mono_ns=receiver.now_ns))
    assert receiver.said == []
    receiver.say(CorruptData(length=20, reason="no frame", read_mono_ns=receiver.now_ns))
    assert receiver.names() == [("corrupt-data", True)]
    assert "3 damaged stretches with 60 bytes" in receiver.said[0].evidence
    receiver.seconds(22)
    assert receiver.names() == [("corrupt-data", True), ("corrupt-data", False)]


def test_a_line_that_was_never_heard_is_silent() -> None:
    monitor = IntegrityMonitor()
    said: Sequence[Alarm] = ()
    for tenth in range(60):
        said = [*said, *monitor.look(tenth * S // 10)]
    assert [alarm.name for alarm in said] == ["receiver-silent"]


def test_events_without_use_count_as_words_only() -> None:
    receiver = Receiver()
    identity = ReceiverIdentity(model="x", firmware="y", protocol="z", read_mono_ns=receiver.now_ns)
    receiver.say(identity)
    assert receiver.said == []


def test_restarts_are_counted_from_what_there_was() -> None:
    receiver = Receiver()
    receiver.seconds(1)
    assert receiver.monitor.note_restarts(3, receiver.now_ns) == []
    (alarm,) = receiver.monitor.note_restarts(4, receiver.now_ns)
    assert (alarm.name, alarm.active, alarm.unusable) == ("receiver-restarted", True, True)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"epoch_period_s": 0.0}, "epoch_period_s=0.0"),
        ({"min_satellites": -1}, "min_satellites=-1"),
        ({"max_moved_m": 0.0}, "max_moved_m=0.0"),
    ],
)
def test_options_out_of_range_are_named(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        IntegrityOptions(**options)


def test_the_documented_table_is_the_table() -> None:
    text = (Path(__file__).parents[3] / "docs" / "gnss-integrity.md").read_text("utf-8")
    rows = [re.split(r" *\| *", line)[1:4] for line in text.splitlines() if line.startswith("| `")]
    told = {name.strip("`"): (unusable, ends) for name, unusable, ends in rows}
    assert list(told) == list(RULES)
    for name, rule in RULES.items():
        at_once = ", at once" if name in CORROBORATED else ""
        assert told[name] == (f"yes{at_once}" if rule.unusable else "no", f"{rule.clear_after_s:g} s"), name
