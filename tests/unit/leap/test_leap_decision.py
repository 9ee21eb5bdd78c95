"""Which leap seconds are believed: majorities, lone sources, odd ones, and what is said when nobody knows."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.leap.calendar import leap_at, leap_text, utc_text
from appliance.leap.decision import LeapDesk, LeapJudgement
from appliance.leap.words import LeapWord, built_in_word, peer_word, table_word
from timecard.leap_list import BUILT_IN, ComingLeap, LeapChange, LeapTable
from timecard.values import LeapInfo

DAY = 86_400


def tai(year: int, month: int, day: int, hour: int = 0, *, offset_s: int = 37) -> int:
    return int(datetime(year, month, day, hour, tzinfo=UTC).timestamp()) + offset_s


NOW = tai(2027, 5, 1)
"""After the built-in table has expired."""
JULY = ComingLeap(1, tai(2027, 7, 1, offset_s=38))
EXPIRES = tai(2028, 6, 28)


def table(*changes: LeapChange, expires_s: int = EXPIRES - 37) -> LeapTable:
    return dataclasses.replace(BUILT_IN, changes=(*BUILT_IN.changes, *changes), expires_utc_s=expires_s)


def file_word(name: str, *changes: LeapChange, origin: str = "", expires_s: int = EXPIRES - 37) -> LeapWord:
    return table_word(name, origin or name, table(*changes, expires_s=expires_s), warn_days=60, mono_ns=0)


LEAPING = LeapChange(JULY.at_tai_s - 38, 38)


class Receiver:
    """What a receiver says to a desk, second by second."""

    def __init__(self, desk: LeapDesk) -> None:
        self.desk = desk

    def says(self, tai_s: int, offset_s: int | None = 37, coming: ComingLeap | None = None) -> LeapJudgement:
        info = LeapInfo(
            tai_minus_utc_s=offset_s,
            change_s=coming.change_s if coming else 0,
            seconds_to_event=coming.at_tai_s - tai_s if coming else None,
            source="GPS",
            read_mono_ns=tai_s * 1_000_000_000,
        )
        self.desk.note_receiver(info, tai_s)
        return self.desk.judge(tai_s)


@pytest.fixture
def desk() -> LeapDesk:
    desk = LeapDesk()
    desk.note(built_in_word(warn_days=60, mono_ns=0))
    return desk


def heard(
    name: str,
    offset_s: int = 37,
    *,
    grandmaster: str = "",
    valid: bool = True,
    leap61: bool = False,
    leap59: bool = False,
    tai_s: int = NOW,
) -> LeapWord:
    """A peer's word; each peer follows a grandmaster of its own unless told."""
    return peer_word(
        name,
        grandmaster=(grandmaster or name).encode(),
        utc_offset_s=offset_s,
        valid=valid,
        leap61=leap61,
        leap59=leap59,
        tai_s=tai_s,
        mono_ns=0,
    )


def verdicts(judgement: LeapJudgement) -> dict[str, str]:
    return {item.word.source: item.verdict for item in judgement.sources}


def named(judgement: LeapJudgement, *parts: str) -> bool:
    """One of the alarms has all of these words."""
    return any(all(part in alarm for part in parts) for alarm in judgement.alarms)


# ---------------------------------------------------------------------- nobody, somebody, a majority


def test_nobody_has_said_anything(desk: LeapDesk) -> None:
    judgement = desk.judge(NOW)
    assert (judgement.tai_minus_utc_s, judgement.valid) == (37, False)
    assert verdicts(judgement) == {"built-in table": "expired"}
    assert named(judgement, "built-in table expired on 2026-06-28", "update this program")
    assert named(judgement, "TAI - UTC is not known")


def test_a_receiver_alone_is_believed_without_any_table(desk: LeapDesk) -> None:
    judgement = Receiver(desk).says(NOW)
    assert (judgement.tai_minus_utc_s, judgement.valid, judgement.coming) == (37, True, None)
    assert verdicts(judgement)["receiver"] == "agrees"


def test_a_receiver_that_does_not_know_says_nothing(desk: LeapDesk) -> None:
    assert not Receiver(desk).says(NOW, None).valid


@pytest.mark.parametrize("offset_s", [18, 51, 0, -100])
def test_a_firmwares_default_is_no_leap_data(desk: LeapDesk, offset_s: int) -> None:
    judgement = Receiver(desk).says(NOW, offset_s)
    assert not judgement.valid
    assert named(judgement, "receiver", f"says {offset_s} s, which cannot be")


def test_a_lone_announcement_is_believed_if_it_can_be(desk: LeapDesk) -> None:
    judgement = Receiver(desk).says(NOW, 37, JULY)
    assert judgement.coming == JULY
    assert leap_text(JULY, 37) == "+1 s at the end of 2027-06-30"
    assert (judgement.offset_at(JULY.at_tai_s - 1), judgement.offset_at(JULY.at_tai_s)) == (37, 38)
    assert judgement.coming_at(JULY.at_tai_s) is None


@pytest.mark.parametrize(
    "at_s",
    [
        tai(2027, 6, 1, offset_s=38),  # not the end of a quarter
        tai(2027, 7, 2, offset_s=38),
        tai(2027, 7, 1, 12, offset_s=38),
        tai(2028, 1, 1, offset_s=38),  # more than half a year ahead
    ],
)
def test_an_announcement_that_cannot_be_is_named_and_not_followed(desk: LeapDesk, at_s: int) -> None:
    judgement = Receiver(desk).says(NOW, 37, ComingLeap(1, at_s))
    assert judgement.valid and judgement.coming is None
    assert named(judgement, "receiver announces", "cannot be")
    assert not Receiver(desk).says(NOW + 1).alarms[:-1], "only the expired table is left"


def test_a_receiver_may_be_some_seconds_off_midnight_and_the_leap_second_is_not(desk: LeapDesk) -> None:
    judgement = Receiver(desk).says(NOW, 37, ComingLeap(1, JULY.at_tai_s - 2))
    assert judgement.coming == JULY


def test_the_odd_receiver_is_named_and_the_others_are_followed(desk: LeapDesk) -> None:
    desk.note(file_word("/etc/leap.list"))
    desk.note(file_word("/usr/share/zoneinfo/leapseconds", origin="tz database"))
    judgement = Receiver(desk).says(NOW, 38)
    assert (judgement.tai_minus_utc_s, judgement.valid) == (37, True)
    assert verdicts(judgement)["receiver"] == "odd"
    assert named(judgement, "receiver says 38 s, the others 37 s: not followed")


def test_one_against_one_is_no_majority_and_no_guess(desk: LeapDesk) -> None:
    desk.note(file_word("/etc/leap.list"))
    judgement = Receiver(desk).says(NOW, 38)
    assert not judgement.valid
    assert named(judgement, "no majority", "37 s by /etc/leap.list", "38 s by receiver")
    assert verdicts(judgement)["receiver"] == verdicts(judgement)["/etc/leap.list"] == "conflict"


def test_two_files_of_one_package_have_one_vote(desk: LeapDesk) -> None:
    for name in ("leap-seconds.list", "leapseconds"):
        desk.note(file_word(f"/usr/share/zoneinfo/{name}", origin="tz database"))
    assert not Receiver(desk).says(NOW, 38).valid


def test_two_of_four_are_no_majority(desk: LeapDesk) -> None:
    for name, offset_s in (("a", 37), ("b", 37), ("c", 38), ("d", 36)):
        desk.note(heard(name, offset_s))
    assert not desk.judge(NOW).valid
    desk.note(heard("d"))
    assert desk.judge(NOW).valid


# ---------------------------------------------------------------------- across a leap second


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("late_s", [-2, 0, 2])
def test_the_offset_changes_at_midnight_however_early_or_late_the_receiver_is(
    desk: LeapDesk, sign: int, late_s: int
) -> None:
    coming = ComingLeap(sign, tai(2027, 7, 1, offset_s=37 + sign))
    receiver = Receiver(desk)
    for tai_s in range(coming.at_tai_s - 30, coming.at_tai_s + 30):
        told = tai_s < coming.at_tai_s + late_s
        judgement = receiver.says(
            tai_s, 37 if told else 37 + sign, coming if told and tai_s < coming.at_tai_s else None
        )
        assert judgement.valid
        assert judgement.offset_at(tai_s) == (37 if tai_s < coming.at_tai_s else 37 + sign)
        assert (judgement.coming_at(tai_s) == coming) == (tai_s < coming.at_tai_s)
        assert not named(judgement, "receiver")


def test_a_leap_second_that_was_announced_happens_in_the_receivers_silence(desk: LeapDesk) -> None:
    Receiver(desk).says(JULY.at_tai_s - 20 * DAY, 37, JULY)
    for tai_s in (JULY.at_tai_s - 1, JULY.at_tai_s, JULY.at_tai_s + 20 * DAY):
        judgement = desk.judge(tai_s)
        assert judgement.valid and judgement.offset_at(tai_s) == 37 + (tai_s >= JULY.at_tai_s)
    assert not desk.judge(JULY.at_tai_s + 29 * DAY).valid, "by then there might be another"
    assert Receiver(desk).says(JULY.at_tai_s + 29 * DAY, 38).valid


def test_a_receiver_that_does_not_make_the_change_is_named(desk: LeapDesk) -> None:
    receiver = Receiver(desk)
    receiver.says(JULY.at_tai_s - 10, 37, JULY)
    judgement = receiver.says(JULY.at_tai_s + 4, 37)
    assert not judgement.valid, "it contradicts itself, and nobody else says anything"
    assert judgement.tai_minus_utc_s == 38
    assert named(judgement, "receiver says 37 s, but by its word before it is 38 s")
    desk.note(file_word("/etc/leap.list", LEAPING))
    judgement = desk.judge(JULY.at_tai_s + 5)
    assert (judgement.tai_minus_utc_s, judgement.valid) == (38, True)
    assert named(judgement, "receiver says 37 s"), "still named"


def test_a_change_without_announcement_is_not_followed(desk: LeapDesk) -> None:
    desk.note(file_word("/etc/leap.list"))
    receiver = Receiver(desk)
    assert receiver.says(NOW, 37).valid
    judgement = receiver.says(NOW + 1, 38)
    assert (judgement.tai_minus_utc_s, judgement.valid) == (37, True)
    assert named(judgement, "receiver says 38 s, but by its word before it is 37 s")
    assert not named(receiver.says(NOW + 2, 37), "receiver")


def test_a_lone_receiver_that_contradicts_itself_is_not_followed_and_nothing_is_claimed(
    desk: LeapDesk,
) -> None:
    receiver = Receiver(desk)
    receiver.says(NOW, 37)
    judgement = receiver.says(NOW + 1, 38)
    assert (judgement.tai_minus_utc_s, judgement.valid) == (37, False)


def test_once_others_say_the_same_it_is_believed_again(desk: LeapDesk) -> None:
    receiver = Receiver(desk)
    receiver.says(JULY.at_tai_s - 10, 37)
    assert not receiver.says(JULY.at_tai_s + 10, 38).valid
    desk.note(file_word("/etc/leap.list", LEAPING))
    receiver.says(JULY.at_tai_s + 11, 38)
    judgement = receiver.says(JULY.at_tai_s + 12, 38)
    assert (judgement.tai_minus_utc_s, judgement.valid) == (38, True)
    assert verdicts(judgement)["receiver"] == "agrees"


def test_a_receiver_back_after_months_is_not_held_to_what_it_said(desk: LeapDesk) -> None:
    receiver = Receiver(desk)
    receiver.says(NOW, 37)
    assert receiver.says(JULY.at_tai_s + DAY, 38).valid


def test_an_announcement_that_is_withdrawn_is_not_made_and_named_until_its_day(desk: LeapDesk) -> None:
    receiver = Receiver(desk)
    receiver.says(JULY.at_tai_s - 5 * DAY, 37, JULY)
    judgement = receiver.says(JULY.at_tai_s - 4 * DAY, 37)
    assert judgement.valid and judgement.coming is None
    assert named(judgement, "+1 s at the end of 2027-06-30 is not announced any more")
    assert named(receiver.says(JULY.at_tai_s - 10, 37), "not announced any more")
    after = receiver.says(JULY.at_tai_s + 10, 37)
    assert after.valid and not named(after, "announced")


def test_a_receiver_that_withdraws_against_a_list_leaves_no_majority(desk: LeapDesk) -> None:
    desk.note(file_word("/etc/leap.list", LEAPING))
    receiver = Receiver(desk)
    assert receiver.says(JULY.at_tai_s - 5 * DAY, 37, JULY).coming == JULY
    judgement = receiver.says(JULY.at_tai_s - 4 * DAY, 37)
    assert judgement.valid and judgement.coming is None
    assert named(judgement, "/etc/leap.list announces +1 s", "receiver knows of none")
    after = receiver.says(JULY.at_tai_s + 4, 37)
    assert not after.valid, "from midnight on they differ"


def test_far_ahead_a_receivers_silence_says_nothing_against_a_list(desk: LeapDesk) -> None:
    desk.note(file_word("/etc/leap.list", LEAPING))
    assert Receiver(desk).says(JULY.at_tai_s - 40 * DAY, 37).coming == JULY


def test_a_week_rollover_does_not_take_an_announcement_back(desk: LeapDesk) -> None:
    receiver = Receiver(desk)
    before = receiver.says(JULY.at_tai_s - DAY, 37, JULY)
    rolled = dataclasses.replace(JULY, at_tai_s=JULY.at_tai_s + 1024 * 7 * DAY)
    judgement = receiver.says(JULY.at_tai_s - DAY + 1, 37, rolled)
    assert judgement.coming == before.coming == JULY
    assert named(judgement, "receiver announces", "cannot be")


# ---------------------------------------------------------------------- tables and peers


def test_a_table_warns_sixty_days_ahead_and_is_not_used_once_it_has_expired(desk: LeapDesk) -> None:
    desk.note(file_word("/etc/leap.list"))
    assert not desk.judge(EXPIRES - 61 * DAY).alarms
    soon = desk.judge(EXPIRES - 59 * DAY)
    assert soon.valid and named(soon, "/etc/leap.list expires on 2028-06-28", "install a newer one")
    late = desk.judge(EXPIRES)
    assert not late.valid and verdicts(late)["/etc/leap.list"] == "expired"
    assert named(late, "/etc/leap.list expired on 2028-06-28")
    assert late.tai_minus_utc_s == 37, "the last that was known, and not vouched for"
    known = Receiver(desk).says(EXPIRES + 1)
    assert known.valid and named(known, "/etc/leap.list expired"), "the receiver is enough; the alarm stays"


def test_a_table_that_has_trouble_is_named_and_has_no_vote(desk: LeapDesk) -> None:
    desk.note(dataclasses.replace(file_word("/etc/leap.list"), trouble="/etc/leap.list:9: the hash"))
    judgement = desk.judge(NOW)
    assert not judgement.valid
    assert verdicts(judgement)["/etc/leap.list"] == "refused"
    assert named(judgement, "/etc/leap.list:9: the hash")


def test_tz_data_older_than_the_list_is_silent_about_what_it_cannot_know(desk: LeapDesk) -> None:
    older_s = tai(2027, 6, 28) - 37
    desk.note(file_word("/usr/share/zoneinfo/leapseconds", origin="tz database", expires_s=older_s))
    desk.note(file_word("/etc/leap.list", LEAPING))
    judgement = desk.judge(NOW)
    assert judgement.coming == JULY and judgement.valid
    assert verdicts(judgement)["/usr/share/zoneinfo/leapseconds"] == "agrees"
    after = desk.judge(JULY.at_tai_s)
    assert (after.tai_minus_utc_s, after.valid) == (38, True)
    assert verdicts(after)["/usr/share/zoneinfo/leapseconds"] == "expired"


def test_of_two_files_of_one_origin_the_newer_one_votes_and_the_other_is_named(desk: LeapDesk) -> None:
    desk.note(file_word("old", origin="tz database", expires_s=tai(2027, 12, 28) - 37))
    desk.note(file_word("new", LEAPING, origin="tz database"))
    judgement = desk.judge(NOW)
    assert judgement.coming == JULY
    assert verdicts(judgement)["old"] == "odd"
    assert named(judgement, "old does not know of +1 s at the end of 2027-06-30")


def test_a_table_without_expiry_announces_and_vouches_for_nothing_else(desk: LeapDesk) -> None:
    endless = dataclasses.replace(table(LEAPING), expires_utc_s=None)
    desk.note(table_word("right/UTC", "tz database", endless, warn_days=60, mono_ns=0))
    assert desk.judge(NOW).coming == JULY
    assert verdicts(desk.judge(JULY.at_tai_s))["right/UTC"] == "silent"


@pytest.mark.parametrize("sign", [1, -1])
def test_a_peers_flag_means_the_end_of_its_day(desk: LeapDesk, sign: int) -> None:
    at_s = tai(2027, 7, 1, offset_s=37 + sign)
    for hours in (12, 1):
        word = heard("p", leap61=sign > 0, leap59=sign < 0, tai_s=at_s - hours * 3600)
        assert word.coming(at_s - hours * 3600) == ComingLeap(sign, at_s)
    desk.note(word)
    assert desk.judge(at_s - 1).coming == ComingLeap(sign, at_s)
    assert desk.judge(at_s).tai_minus_utc_s == 37 + sign


def test_a_peer_that_flags_an_ordinary_day_or_both_signs_is_refused_or_ignored(desk: LeapDesk) -> None:
    odd = heard("p", leap61=True)
    desk.note(odd)
    assert named(desk.judge(NOW), "peer p announces a leap second that cannot be")
    both = heard("p", leap61=True, leap59=True)
    assert both.coming(NOW) is None and both.trouble is not None
    unknown = heard("p", valid=False)
    desk.note(unknown)
    assert verdicts(desk.judge(NOW))["peer p"] == "silent"


def test_peers_of_one_grandmaster_have_one_vote(desk: LeapDesk) -> None:
    spring = tai(2026, 3, 1)
    Receiver(desk).says(spring)
    for name in "abc":
        desk.note(heard(name, 36, grandmaster="one", tai_s=spring))
    judgement = desk.judge(spring + 1)
    assert (judgement.tai_minus_utc_s, judgement.valid) == (37, True)
    assert named(judgement, "peer a says 36 s, the others 37 s: not followed")


@pytest.mark.parametrize("across_a_restart", [False, True])
def test_peers_alone_do_not_change_what_was_valid(desk: LeapDesk, across_a_restart: bool) -> None:
    """Two grandmasters against the receiver, the table expired: a leap second that nobody announced."""
    receiver = Receiver(desk)
    receiver.says(NOW)
    if across_a_restart:
        receiver.desk = desk = restarted(desk)
    for name in "ab":
        desk.note(heard(name, 36))
    for tai_s in (NOW + 1, NOW + 2):
        judgement = receiver.says(tai_s)
        assert (judgement.tai_minus_utc_s, judgement.valid) == (37, False)
        assert named(judgement, "peer a, peer b changed to 36 s from 37 s")
    desk.note(file_word("/etc/leap.list"))
    desk.note(heard("b", 37))
    assert receiver.says(NOW + 3).valid, "a table and the receiver again have the majority"


def test_a_peers_word_ends_after_twelve_hours(desk: LeapDesk) -> None:
    desk.note(heard("p"))
    assert desk.judge(NOW + 12 * 3600).valid
    assert not desk.judge(NOW + 13 * 3600).valid


def test_no_flood_of_peers_is_remembered(desk: LeapDesk) -> None:
    for number in range(1000):
        desk.note(heard(f"{number}"))
    assert len(desk.judge(NOW).sources) <= 64


# ---------------------------------------------------------------------- without time, across a restart


def test_without_the_time_only_the_receiver_counts(desk: LeapDesk) -> None:
    desk.note(file_word("/etc/leap.list"))
    assert not desk.judge(None).valid
    info = LeapInfo(tai_minus_utc_s=37, change_s=0, seconds_to_event=None, source="GPS", read_mono_ns=0)
    desk.note_receiver(info, None)
    assert desk.judge(None).valid
    desk.note_receiver(dataclasses.replace(info, tai_minus_utc_s=51), None)
    assert not desk.judge(None).valid


def restarted(desk: LeapDesk) -> LeapDesk:
    again = LeapDesk()
    again.resume(json.loads(json.dumps(desk.to_record())), 5)
    return again


def test_a_restart_forgets_neither_the_offset_nor_the_announcement(desk: LeapDesk) -> None:
    Receiver(desk).says(JULY.at_tai_s - 10, 37, JULY)
    again = restarted(desk)
    assert again.judge(JULY.at_tai_s - 5).coming == JULY
    across = restarted(desk).judge(JULY.at_tai_s + 5)
    assert (across.tai_minus_utc_s, across.valid) == (38, True)
    wrong = Receiver(restarted(desk)).says(JULY.at_tai_s + 5, 37)
    assert not wrong.valid and named(wrong, "by its word before it is 38 s")


@pytest.mark.parametrize(
    "record",
    [
        None,
        [],
        {},
        {"offset_s": "37"},
        {"offset_s": True},
        {"offset_s": 37, "coming": [1], "receiver": 3},
        {"offset_s": 37, "coming": [2, 5], "receiver": {"change_s": 5}},
        {"offset_s": 37, "coming": [1, "x"], "receiver": {"change_s": 0, "at_tai_s": 1e9}},
        {"offset_s": 37, "coming": [1, 1 << 70], "receiver": {"change_s": 0, "until_tai_s": 1 << 70}},
    ],
)
def test_a_record_that_does_not_fit_is_dropped(record: object) -> None:
    desk = LeapDesk()
    desk.resume(record, 0)
    judgement = desk.judge(NOW)
    assert (judgement.tai_minus_utc_s, judgement.valid, judgement.coming) == (37, False, None)


@given(
    st.lists(
        st.tuples(
            st.integers(-200, 200), st.integers(-1, 1), st.integers(-3, 400 * DAY), st.integers(0, 40 * DAY)
        ),
        max_size=12,
    )
)
def test_whatever_a_receiver_says_what_is_valid_can_be(words: list[tuple[int, int, int, int]]) -> None:
    desk, tai_s = LeapDesk(), NOW
    for offset_s, change_s, left_s, later_s in words:
        tai_s += later_s
        info = LeapInfo(
            tai_minus_utc_s=offset_s,
            change_s=change_s,
            seconds_to_event=left_s,
            source="GPS",
            read_mono_ns=0,
        )
        desk.note_receiver(info, tai_s)
        judgement = desk.judge(tai_s)
        json.dumps(desk.to_record())
        if judgement.valid:
            assert abs(judgement.tai_minus_utc_s - 37) <= 1 + (tai_s - tai(2026, 6, 28)) // (90 * DAY)
        if judgement.coming is not None:
            coming = judgement.coming
            assert leap_at(coming.change_s, coming.at_tai_s, judgement.tai_minus_utc_s) == coming


def test_what_utc_calls_the_seconds() -> None:
    at_s = JULY.at_tai_s
    said = [utc_text(at_s + rel, 37 + (rel >= 0), JULY)[11:19] for rel in (-2, -1, 0, 1)]
    assert said == ["23:59:59", "23:59:60", "00:00:00", "00:00:01"]
    left_out = ComingLeap(-1, tai(2027, 7, 1, offset_s=36))
    said = [utc_text(left_out.at_tai_s + rel, 37 - (rel >= 0), left_out)[11:19] for rel in (-2, -1, 0)]
    assert said == ["23:59:57", "23:59:58", "00:00:00"]
    assert utc_text(1 << 60, 37, None) == f"second {1 << 60} of TAI"
