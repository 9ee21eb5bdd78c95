"""Import of a u-center export: it and our own keys agree, and nothing is left out silently."""

from __future__ import annotations

from pathlib import Path

import pytest

from timecard.gnss.intent import TIME_CARD, Pulse, Survey
from timecard.gnss.ublox_fields import FIELD_OF
from timecard.gnss.ublox_settings import keys_of
from timecard.gnss.ucenter import UcenterExport, load_ucenter, parse_ucenter
from timecard.toml_reader import IntentError

FILE = "data/gnss/timingCardUBXG9_PPS_TMODE.txt"
WITHOUT_EFFECT = {
    "CFG_TMODE_POS_TYPE", "CFG_TMODE_FIXED_POS_ACC", "CFG_ITFM_ANTSETTING",
    *(f"CFG_TMODE_ECEF_{axis}{part}" for axis in "XYZ" for part in ("", "_HP")),
    *(f"CFG_TMODE_{name}{part}" for name in ("LAT", "LON", "HEIGHT") for part in ("", "_HP")),
}  # fmt: skip
"""A fixed position's keys, while there is a survey; the kind of antenna, while jamming is not watched."""


@pytest.fixture(scope="module")
def export(shared_dir: Path) -> UcenterExport:
    return load_ucenter(shared_dir / FILE)


def test_every_line_of_the_file_is_understood(export: UcenterExport) -> None:
    assert export.identity is not None
    assert (export.identity.model, export.identity.firmware) == ("ZED-F9T", "TIM 2.01")
    assert len(export.values) == 1137


def test_it_says_this_intent(export: UcenterExport) -> None:
    intent = export.intent
    assert intent.signals == {
        "GPS": ("L1C/A", "L2C"), "GAL": ("E1", "E5b"), "BDS": ("B1I", "B2I"), "GLO": ("L1", "L2"),
        "QZSS": ("L1C/A", "L2C"), "SBAS": (),
    }  # fmt: skip
    assert intent.position == Survey(min_s=0, sigma_m=0.0)
    assert intent.pulse == Pulse(locked_only=True, width_us=100_000, rising=True, grid="GPS")
    assert (intent.cable_delay_ns, intent.rate_hz, intent.elevation_mask_deg, intent.baud) == (
        50,
        1,
        5,
        4_800,
    )
    assert (intent.antenna_supply, intent.antenna_watch, intent.jamming_watch) == (True, True, False)
    assert (intent.dynamics, intent.utc_standard, intent.messages) == ("stationary", "auto", None)


def test_intent_and_file_agree_on_every_key_they_share(export: UcenterExport) -> None:
    asked = {
        key: value
        for keys in keys_of(export.intent, known=export.values.keys()).values()
        for key, value in keys.items()
    }
    shared = asked.keys() & export.values.keys()
    assert asked.keys() == shared
    assert {key: export.values[key] for key in shared} == {key: asked[key] for key in shared}
    assert len(shared) == 48


def test_every_key_of_the_file_is_in_the_intent_or_in_the_list(export: UcenterExport) -> None:
    asked = {key for keys in keys_of(export.intent).values() for key in keys}
    listed = {item.key for item in export.not_modelled}
    assert not asked & listed
    assert export.values.keys() - asked - listed == WITHOUT_EFFECT
    assert listed <= export.values.keys()
    # Of what we do know, only the message set is otherwise: no NAV-PVT, no MON-HW, TIM-TP or MON-RF.
    assert {FIELD_OF[key] for key in listed & FIELD_OF.keys()} == {"messages"}
    reasons = {item.key: item.reason for item in export.not_modelled}
    assert reasons["CFG_MSGOUT_UBX_MON_HW_UART1"] == "messages would be 1"
    assert reasons["CFG_MSGOUT_UBX_NAV_TIMEUTC_UART1"] == "belongs to messages, which is otherwise"
    assert reasons["CFG_TP_TP2_ENA"] == "not modelled"


def test_the_time_card_intent_differs_from_the_file_where_it_should(export: UcenterExport) -> None:
    asked = {key: value for keys in keys_of(TIME_CARD).values() for key, value in keys.items()}
    differs = {key for key in asked.keys() & export.values.keys() if asked[key] != export.values[key]}
    assert {FIELD_OF[key] for key in differs} == {"position", "cable_delay_ns", "jamming_watch", "messages"}


def test_an_export_of_an_older_receiver_is_read_by_its_messages() -> None:
    tp5 = "06 31 20 00 00 01 00 00 19 00 00 00 40 42 0F 00 40 42 0F 00 00 00 00 00 A0 86 01 00 00 00 00 00"
    tp5 += " F7 00 00 00"
    rate = "06 08 06 00 E8 03 01 00 01 00"
    tmode = "06 3D 1C 00 01 00 00 00" + " 00" * 16 + " B0 04 00 00 88 13 00 00"
    names = ("CFG-TP5", "CFG-RATE", "CFG-TMODE2", "CFG-SBAS")
    found = parse_ucenter(
        "\n".join(f"{n} - {h}" for n, h in zip(names, (tp5, rate, tmode, "06 16 02 00 01 02"), strict=True))
    )
    assert found.intent.pulse == Pulse()
    assert found.intent.cable_delay_ns == 25
    assert found.intent.rate_hz == 1
    assert found.intent.position == Survey(min_s=1200, sigma_m=5.0)
    assert [(item.key, item.value) for item in found.not_modelled][-1] == ("CFG-SBAS", "01 02")


GOOD = "CFG-VALGET - 06 8B 09 00 01 00 00 00 01 00 03 20 01"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no configuration in it"),
        ("MON-VER - 0A 04 00 00", "no configuration in it"),
        ("hello", "line 1: expected NAME - and bytes"),
        (GOOD + "\nCFG-VALGET 06 8B", "line 2: expected NAME"),
        (GOOD + "\nCFG-VALGET - 06 8B 09 00 01 00 00 00", "line 2: CFG-VALGET: says 9 bytes, has 4"),
        ("CFG-VALGET - 06 8B 08 00 01 00 00 00 01 00 03 20", "line 1: CFG-VALGET: its keys and values"),
        (GOOD + "\n" + GOOD[:-1] + "2", "line 2: CFG_TMODE_MODE: 2 here, 1 before"),
    ],
)
def test_a_damaged_export_names_the_line(text: str, said: str) -> None:
    with pytest.raises(IntentError, match=said):
        parse_ucenter(text)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(IntentError, match=r"none\.txt: cannot be read"):
        load_ucenter(tmp_path / "none.txt")


def test_a_file_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_bytes(b"0" * 2_000_000)
    with pytest.raises(IntentError, match="larger than"):
        load_ucenter(path)
