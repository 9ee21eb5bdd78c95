"""``[gnss]`` as a file: what is said, what is not, and errors that name file, table and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from timecard.gnss.geodesy import ecef_m
from timecard.gnss.intent import TIME_CARD, FixedPosition, GnssIntent, Survey
from timecard.gnss.intent_file import load_gnss_intent, parse_gnss_intent
from timecard.toml_reader import IntentError


def test_what_is_not_said_is_left_alone() -> None:
    assert parse_gnss_intent("[gnss]\ncable_delay_ns = 12\n") == GnssIntent(cable_delay_ns=12)
    assert parse_gnss_intent("[gnss]\n") == GnssIntent()


def test_the_profile_is_a_beginning() -> None:
    assert parse_gnss_intent('[gnss]\nprofile = "time-card"\n') == TIME_CARD
    found = parse_gnss_intent(
        '[gnss]\nprofile = "time-card"\nantenna_supply = false\nstore = "flash"\n'
        "[gnss.survey]\nmin_s = 600\n[gnss.pulse]\nrising = false\n[gnss.signals]\nGPS = ['L1C/A', 'L5']\n"
    )
    assert found.position == Survey(min_s=600)
    assert found.pulse is not None
    assert (found.pulse.rising, found.pulse.locked_only) == (False, True)
    assert (found.antenna_supply, found.antenna_watch, found.store) == (False, True, "flash")
    assert found.signals == {"GPS": ("L1C/A", "L5")}


def test_a_place_may_be_given_either_way() -> None:
    x_m, y_m, z_m = ecef_m(47.4, 8.5, 470.0)
    geodetic = parse_gnss_intent(
        "[gnss.position]\nlatitude_deg = 47.4\nlongitude_deg = 8.5\nheight_m = 470\nsigma_m = 0.5\n"
    )
    assert geodetic.position == FixedPosition(x_m=x_m, y_m=y_m, z_m=z_m, sigma_m=0.5)
    ecef = parse_gnss_intent(f"[gnss.position]\nx_m = {x_m!r}\ny_m = {y_m!r}\nz_m = {z_m!r}\n")
    assert ecef.position == FixedPosition(x_m=x_m, y_m=y_m, z_m=z_m)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "f.toml: gnss: is missing"),
        ("gnss = 3", "f.toml: gnss: got 3, expected a table"),
        ("[gns]\n[gnss]", 'f.toml: gns: unknown key; did you mean "gnss"'),
        ("[gnss]\ncable_delay = 3", 'f.toml: gnss.cable_delay: unknown key; did you mean "cable_delay_ns"'),
        (
            "[gnss]\ncable_delay_ns = 40000",
            "gnss.cable_delay_ns: got 40000, expected a whole number from -32768",
        ),
        ("[gnss]\nrate_hz = 3", "gnss.rate_hz: got 3, expected one of 1, 2, 4, 5, 8, 10, 20, 25"),
        ("[gnss]\nantenna_supply = 1", "gnss.antenna_supply: got 1, expected true or false"),
        ('[gnss]\ndynamics = "stationery"', 'did you mean "stationary"'),
        ('[gnss]\nprofile = "card"', "gnss.profile: .*expected one of time-card"),
        ("[gnss.signals]\nGPS = ['L1']", r"gnss\.signals\.GPS: got .L1., expected one of L1C/A, L2C, L5"),
        ("[gnss.signals]\nGSP = ['L5']", 'gnss.signals.GSP: unknown key; did you mean "GPS"'),
        ("[gnss.signals]", "gnss.signals: names no system"),
        ("[gnss.survey]\n[gnss.position]\nx_m=1\ny_m=1\nz_m=1", "survey and position exclude each other"),
        ("[gnss.position]\nx_m=1.0\ny_m=1.0\nz_m=1.0", "gnss.position: .*earth's centre"),
        ("[gnss.position]\nlatitude_deg=1.0", "gnss.position.longitude_deg: is missing"),
        ("[gnss.position]\nlatitude_deg=1.0\nx_m=1.0", "give either x_m, y_m, z_m or latitude_deg"),
        ("[gnss.pulse]\nwidth_us = 0", "gnss.pulse.width_us: got 0"),
        ("[gnss]\nbaud = ", "f.toml: line 2"),
        (f"[gnss.survey]\nsigma_m = 1{'0' * 310}", r"gnss\.survey\.sigma_m: got 0x"),
        (f"[gnss]\ndynamics = 0x{'f' * 5_000}", "gnss.dynamics: got 0xfff"),
        (f"[gnss]\nrate_hz = {'9' * 5_000}", "f.toml: not valid TOML: a number has too many digits"),
    ],
)
def test_an_error_names_file_table_and_key(text: str, said: str) -> None:
    with pytest.raises(IntentError, match=said):
        parse_gnss_intent(text, "f.toml")


def test_every_problem_is_found_in_one_pass() -> None:
    with pytest.raises(IntentError) as raised:
        parse_gnss_intent("[gnss]\nrate_hz = 3\nbaud = 1\n[gnss.pulse]\ngrid = 'x'\n")
    assert len(raised.value.errors) == 3


def test_a_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "receiver.toml"
    path.write_text("[gnss]\nrate_hz = 1\n")
    assert load_gnss_intent(path) == GnssIntent(rate_hz=1)
    with pytest.raises(IntentError, match=r"none\.toml: cannot be read"):
        load_gnss_intent(tmp_path / "none.toml")
