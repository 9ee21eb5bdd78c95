"""Intent to keys and back: tables that are complete, and a round trip that loses nothing."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyubx2.ubxtypes_configdb import UBX_CONFIG_DATABASE

from timecard.gnss.intent import (
    SIGNAL_NAMES,
    TIME_CARD,
    Dynamics,
    FixedPosition,
    GnssIntent,
    Grid,
    Pulse,
    Survey,
    UtcStandard,
)
from timecard.gnss.ublox_fields import FIELD_OF, READ_KEYS, SIGNAL_KEYS, SYSTEM_KEYS, message_key
from timecard.gnss.ublox_key_codec import key_id, valget_reply, valset, value_bytes
from timecard.gnss.ublox_settings import intent_of, keys_of
from timecard.gnss.ublox_slave import SLAVE_BAUDS, taken_from_slave

RATES = [rate for rate in range(1, 26) if not 1000 % rate]


@st.composite
def signals(draw: st.DrawFn) -> dict[str, tuple[str, ...]]:
    systems = draw(st.sets(st.sampled_from(sorted(SIGNAL_NAMES)), min_size=1))
    return {system: tuple(name for name in SIGNAL_NAMES[system] if draw(st.booleans())) for system in systems}


@st.composite
def positions(draw: st.DrawFn) -> Survey | FixedPosition:
    tenths = st.integers(0, 10_000_000).map(lambda value: value / 1e4)
    if draw(st.booleans()):
        return Survey(min_s=draw(st.integers(0, 604_800)), sigma_m=draw(tenths))
    # On a sphere through the earth's surface, to 0.1 mm.
    x_m, y_m = (draw(st.integers(-30_000_000_000, 30_000_000_000)) / 1e4 for _ in "xy")
    z_m = round((6_371_000.0**2 - x_m**2 - y_m**2) ** 0.5, 4) * draw(st.sampled_from((-1, 1)))
    return FixedPosition(x_m=x_m, y_m=y_m, z_m=z_m, sigma_m=draw(st.integers(1, 1_000_000)) / 1e4)


pulses = st.builds(
    Pulse, locked_only=st.booleans(), width_us=st.integers(1, 999_999), rising=st.booleans(),
    grid=st.sampled_from(get_args(Grid)),
)  # fmt: skip
intents: st.SearchStrategy[GnssIntent] = st.builds(
    GnssIntent,
    signals=st.none() | signals(), position=st.none() | positions(),
    cable_delay_ns=st.none() | st.integers(-32_768, 32_767), pulse=st.none() | pulses,
    rate_hz=st.none() | st.sampled_from(RATES), elevation_mask_deg=st.none() | st.integers(-90, 90),
    antenna_supply=st.none() | st.booleans(), antenna_watch=st.none() | st.booleans(),
    jamming_watch=st.none() | st.booleans(), dynamics=st.none() | st.sampled_from(get_args(Dynamics)),
    utc_standard=st.none() | st.sampled_from(get_args(UtcStandard)),
    messages=st.none() | st.just("time-card"), baud=st.none() | st.sampled_from((4_800, 115_200, 460_800)),
    store=st.sampled_from(("ram", "battery", "flash")),
)  # fmt: skip


def flat(wanted: dict[str, dict[str, int]]) -> dict[str, int]:
    return {key: value for keys in wanted.values() for key, value in keys.items()}


def near(a: Any, b: Any) -> bool:
    if isinstance(a, FixedPosition) and isinstance(b, FixedPosition):
        pairs = zip((a.x_m, a.y_m, a.z_m, a.sigma_m), (b.x_m, b.y_m, b.z_m, b.sigma_m), strict=True)
        return all(abs(x - y) < 0.00006 for x, y in pairs)
    return bool(a == b)


@settings(max_examples=50, deadline=None)
@given(intents)
def test_every_intent_comes_back_from_its_keys(intent: GnssIntent) -> None:
    found = intent_of(flat(keys_of(intent)), intent.store)
    for field in fields(GnssIntent):
        asked = getattr(intent, field.name)
        # A field says nothing of itself; the messages tell the rate, since they count epochs.
        if asked is not None and not (field.name == "messages" and intent.rate_hz is None):
            assert near(getattr(found.intent, field.name), asked), field.name
    assert not [left for left in found.left_over if left.reason == "not modelled"]


@settings(max_examples=50, deadline=None)
@given(intents)
def test_writing_what_was_read_asks_for_nothing(intent: GnssIntent) -> None:
    values = flat(keys_of(intent))
    again = flat(keys_of(intent_of(values).intent, known=values.keys(), rate_hz=intent.rate_hz or 1))
    assert {key: value for key, value in again.items() if values.get(key) != value} == {}


@settings(max_examples=50, deadline=None)
@given(intents)
def test_every_value_fits_its_key_and_no_key_is_foreign(intent: GnssIntent) -> None:
    for field, keys in keys_of(intent).items():
        for key, value in keys.items():
            assert FIELD_OF[key] == field
            value_bytes(key, value)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.sampled_from(READ_KEYS), st.integers(-(2**31), 2**32)))
def test_any_values_are_read_without_an_error_and_each_key_is_accounted_for(values: dict[str, int]) -> None:
    found = intent_of(values)
    left = {item.key for item in found.left_over}
    asked = flat(keys_of(found.intent, known=values.keys()))
    for key in values:
        field = FIELD_OF.get(key)
        assert (key in left) != (field is not None and getattr(found.intent, field) is not None) or (
            field is None
        ), key
        if key in asked and key not in left and field != "messages":
            assert asked[key] == values[key]


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_an_answer_or_none(data: bytes) -> None:
    valget_reply(data, 0, 0)
    valget_reply(b"\x01\x00\x00\x00" + data, 0, 0)


def test_every_key_exists_and_belongs_to_one_field() -> None:
    assert set(READ_KEYS) <= set(UBX_CONFIG_DATABASE)
    assert set(FIELD_OF.values()) == {field.name for field in fields(GnssIntent)} - {"store"}
    assert not any(key.startswith("CFG_SEC") for key in FIELD_OF)


def test_every_signal_that_can_be_named_has_a_key() -> None:
    assert {system: tuple(keys) for system, keys in SIGNAL_KEYS.items()} == dict(SIGNAL_NAMES)
    assert SYSTEM_KEYS.keys() == SIGNAL_NAMES.keys()


def test_key_ids_are_those_of_the_reference(shared_dir: Path) -> None:
    """Rows of one key, and the list of messages, as the data sheet has them."""
    text = (shared_dir / "reference" / "gnss.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (CFG-[A-Z0-9_-]+) \| (0x[0-9a-f]{8}) \|", text, re.MULTILINE)
    ids = {name.replace("-", "_"): int(number, 16) for name, number in rows}
    listed = re.findall(r"\| ((?:NAV|TIM|MON|SEC)-[A-Z0-9]+) \| (0x2091[0-9a-f]{4}) (?=\|)", text)
    ids |= {message_key(name.replace("-", "_")): int(number, 16) for name, number in listed}
    assert len(ids) > 40
    common = {name: number for name, number in ids.items() if name in FIELD_OF}
    assert len(common) > 25
    assert common == {name: key_id(name) for name in common}


def test_rates_of_the_slave_are_those_of_the_reference(shared_dir: Path) -> None:
    text = (shared_dir / "reference" / "gnss.md").read_text(encoding="utf-8")
    codes = re.search(r"register codes (2=4800.*?)\)", text, re.DOTALL)
    assert codes is not None
    assert tuple(int(rate) for rate in re.findall(r"\d=(\d+)", codes[1])) == SLAVE_BAUDS


def test_the_reference_message_comes_out() -> None:
    values = {"CFG_TMODE_MODE": 1, "CFG_TMODE_SVIN_MIN_DUR": 1200, "CFG_TMODE_SVIN_ACC_LIMIT": 90_000}
    frame = "b562068a190000050000010003200110000340b004000011000340905f01001e8f"
    assert valset(5, values).hex() == frame


def test_a_place_in_latitude_and_longitude_is_read() -> None:
    values = {
        "CFG_TMODE_MODE": 2, "CFG_TMODE_POS_TYPE": 1, "CFG_TMODE_FIXED_POS_ACC": 500,
        "CFG_TMODE_LAT": 474_000_000, "CFG_TMODE_LAT_HP": 12, "CFG_TMODE_LON": 85_000_000,
        "CFG_TMODE_LON_HP": -7, "CFG_TMODE_HEIGHT": 47_000, "CFG_TMODE_HEIGHT_HP": 5,
    }  # fmt: skip
    found = intent_of(values).intent.position
    assert isinstance(found, FixedPosition)
    assert (found.x_m, found.y_m, found.z_m) == pytest.approx(
        (4_277_910.6, 639_332.9, 4_672_300.5), abs=1_000
    )
    assert found.sigma_m == 0.05


def test_what_does_not_fit_a_setting_says_what_would() -> None:
    values = flat(keys_of(TIME_CARD))
    values["CFG_TP_PERIOD_TP1"] = 500_000
    found = intent_of(values)
    assert found.intent.pulse is None
    reasons = {left.key: left.reason for left in found.left_over}
    assert reasons["CFG_TP_PERIOD_TP1"] == "pulse would be 1000000"
    assert reasons["CFG_TP_POL_TP1"] == "belongs to pulse, which is otherwise"


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        ({"signals": {}}, "signals"),
        ({"signals": {"GPS": ("E1",)}}, r"signals\.GPS='E1'"),
        ({"signals": {"TRANSIT": ()}}, "signals='TRANSIT'"),
        ({"rate_hz": 3}, "rate_hz=3"),
        ({"rate_hz": 26}, "rate_hz=26"),
        ({"cable_delay_ns": 40_000}, "cable_delay_ns=40000"),
        ({"elevation_mask_deg": 91}, "elevation_mask_deg=91"),
        ({"dynamics": "lying"}, "dynamics='lying'"),
        ({"store": "disk"}, "store='disk'"),
        ({"baud": 50}, "baud=50"),
    ],
)
def test_a_value_out_of_range_names_its_field(bad: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        GnssIntent(**bad)


@pytest.mark.parametrize("bad", [{"min_s": -1}, {"sigma_m": 1001.0}])
def test_a_survey_has_limits(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        Survey(**bad)


def test_nothing_is_taken_from_a_slave_that_had_nothing() -> None:
    assert taken_from_slave({}, {"CFG_RATE_MEAS": 200, "CFG_RATE_NAV": 1}) == ()
