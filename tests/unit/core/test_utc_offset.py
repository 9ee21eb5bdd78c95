"""TAI - UTC for a receiver that tells UTC only: built-in table, tables on the host, the operator's word."""

from __future__ import annotations

import dataclasses

from appliance.leap.words import LeapWord
from appliance.utc_offset import KnownUtcOffset

LATE_UTC_S = 1_790_000_000
"""2026-09-21: nobody knew, when the built-in table was made."""
MIDNIGHT_UTC_S = 1_798_761_600
"""2027-01-01."""
TABLE = LeapWord(
    source="a.list", origin="a", tai_minus_utc_s=37, until_tai_s=MIDNIGHT_UTC_S + 86_400, mono_ns=0
)


def test_the_past_is_known_and_the_future_only_by_who_vouches_for_it() -> None:
    assert KnownUtcOffset(None).at(1_483_228_799) == 36
    assert KnownUtcOffset(None).at(1_483_228_800) == 37
    assert KnownUtcOffset(None).at(LATE_UTC_S) is None
    assert KnownUtcOffset(38).at(LATE_UTC_S) == 38
    assert KnownUtcOffset(99).at(1_483_228_800) == 37, "what is known is not overruled"


def test_tables_of_the_host_count_until_they_end_and_when_they_agree() -> None:
    known = KnownUtcOffset(None)
    known.note([TABLE])
    assert known.at(LATE_UTC_S) == 37
    assert known.at(MIDNIGHT_UTC_S + 86_400) is None
    known.note([dataclasses.replace(TABLE, source="b.list", tai_minus_utc_s=38)])
    assert known.at(LATE_UTC_S) is None, "two tables, two stories"
    known.note([dataclasses.replace(TABLE, source="b.list", tai_minus_utc_s=None, trouble="damaged")])
    assert known.at(LATE_UTC_S) == 37


def test_a_leap_second_of_either_sign_changes_it_at_midnight() -> None:
    for change_s in (1, -1):
        known = KnownUtcOffset(None)
        at_tai_s = MIDNIGHT_UTC_S + 37 + change_s
        known.note([dataclasses.replace(TABLE, change_s=change_s, at_tai_s=at_tai_s)])
        last_s = MIDNIGHT_UTC_S - (1 if change_s > 0 else 2)  # 23:59:59, asked for 23:59:60 too; or 23:59:58
        assert (known.at(last_s), known.at(MIDNIGHT_UTC_S)) == (37, 37 + change_s)
