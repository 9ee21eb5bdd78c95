"""``[receiver]`` takes what ``timecard gnss configure`` takes, in the same words, by the same code."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.bringup_world import make_rig
from timecard.bringup.bench import receiver_intent
from timecard.bringup.intent import ReceiverIntent
from timecard.bringup.intent_file import parse_intent
from timecard.bringup.report import Outcome, Result, Verdict
from timecard.gnss.intent import TIME_CARD, GnssIntent
from timecard.gnss.intent_file import parse_gnss_intent
from timecard.mac.oscillators import OSCILLATORS
from timecard.toml_reader import IntentError

KEYS = """
rate_hz = 2
elevation_mask_deg = 12
antenna_supply = true
antenna_watch = false
jamming_watch = false
dynamics = "portable"
utc_standard = "EU"
baud = 57600
{table}signals]
GPS = ["L1C/A", "L5"]
GAL = ["E1", "E5a"]
{table}pulse]
width_us = 200
grid = "GAL"
"""
EVERY_KIND = ("f9t", "f10t", "m9n", "m8t", "mosaic", "nmea")
PLAIN = """
version = 1
[receiver]
elevation_mask_deg = 12
[receiver.signals]
GPS = ["L1C/A"]
GAL = ["E1"]
[receiver.pulse]
width_us = 200
"""


def same_words(text: str) -> tuple[GnssIntent, GnssIntent]:
    intent = parse_intent("[receiver]\n" + KEYS.replace("{table}", "[receiver."))
    assert intent.receiver is not None
    gnss = parse_gnss_intent('[gnss]\nprofile = "time-card"\n' + KEYS.replace("{table}", "[gnss."))
    return receiver_intent(intent.receiver, intent), gnss


def test_the_same_words_mean_the_same() -> None:
    found, gnss = same_words(KEYS)
    assert found == replace(gnss, cable_delay_ns=None)
    assert found != TIME_CARD


def test_without_them_it_is_what_a_time_card_needs() -> None:
    intent = parse_intent("[receiver]\n")
    assert intent.receiver == ReceiverIntent()
    assert replace(receiver_intent(intent.receiver, intent), cable_delay_ns=0) == TIME_CARD


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_one_file_serves_every_receiver_and_a_second_run_changes_nothing(kind: str) -> None:
    rig, intent = make_rig(receiver=kind), parse_intent(PLAIN)
    first = rig.run(intent)
    again = rig.run(intent)
    assert (first.verdict, again.verdict) == (Verdict.DONE, Verdict.DONE)
    assert again.count(Outcome.CHANGED) == 0


def test_only_what_differs_is_written() -> None:
    rig = make_rig()
    rig.run(parse_intent("version = 1\n[receiver]\n"))
    report = rig.run(parse_intent("version = 1\n[receiver]\nelevation_mask_deg = 12\n"))
    results: list[Result] = [result for step in report.steps for result in step.results]
    (settings,) = [result for result in results if result.what == "receiver settings"]
    assert (settings.outcome, settings.wanted) == (Outcome.CHANGED, "CFG_NAVSPG_INFIL_MINELEV=12")


def test_another_rate_takes_the_time_of_day_slave_along() -> None:
    rig, intent = make_rig(), parse_intent("version = 1\n[receiver]\nbaud = 57600\n")
    for _ in range(2):
        report = rig.run(intent)
        assert report.verdict is Verdict.DONE
        results = {result.what: result for step in report.steps for result in step.results}
        assert results["time-of-day slave"].wanted == "UBX at 57600 baud"
    assert report.count(Outcome.CHANGED) == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[receiver]\nrate_hz = 3", "receiver.rate_hz: got 3, expected one of 1, 2, 4, 5"),
        ("[receiver]\nelevation_mask = 3", 'unknown key; did you mean "elevation_mask_deg"'),
        ("[receiver.signals]\nGPS = ['L9']", 'receiver.signals.GPS: got "L9"'),
        ("[receiver.pulse]\ngrid = 'x'", "receiver.pulse.grid"),
        ("[receiver]\ncable_delay_ns = 251", "receiver.cable_delay_ns: belongs to [[delays]]"),
        (
            "[[delays]]\nsegment = 'antenna-cable'\nvalue_ns = 1\nuncertainty_ns = 1\norigin = 'x'\n"
            "compensated_by = 'oscillator'",
            "delays[0].compensated_by: nothing writes an oscillator's own delay, so nobody would take it out;"
            " choose receiver, timestamper, pps-slave, software",
        ),
    ],
)
def test_what_is_wrong_is_named(text: str, words: str) -> None:
    with pytest.raises(IntentError) as error:
        parse_intent(text, "card.toml")
    assert words in str(error.value)


@pytest.mark.parametrize("family", OSCILLATORS)
def test_every_oscillator_that_can_be_found_can_be_named(family: str) -> None:
    intent = parse_intent(f"[oscillator]\nfamily = '{family}'\n")
    assert intent.oscillator is not None and intent.oscillator.family == family
