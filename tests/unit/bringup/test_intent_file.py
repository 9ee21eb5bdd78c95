"""Intent files: what they say, and one clear line for everything that is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timecard.bringup.intent_file import intent_from, load_delays, load_intent, parse_intent
from timecard.card_values import GeneratorSettings
from timecard.toml_reader import MAX_FILE_BYTES, IntentError

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "intent.toml"
ROW = 'segment = "{}"\nvalue_ns = {}\nuncertainty_ns = 1\norigin = "test"\ncompensated_by = "{}"\n'


def test_the_example_says_what_it_should() -> None:
    intent = load_intent(EXAMPLE)
    assert intent.selection is not None
    assert (intent.selection.clock_10mhz, intent.selection.pps) == ("mac", "gnss")
    assert intent.outputs[0].settings == GeneratorSettings(period_ns=100_000_000, pulse_ns=50_000_000)
    assert intent.ledger.register_ns("receiver") == 251
    assert intent.counters[0].gate_s == 10
    assert [row.functions for row in intent.sma] == [("PHC",), ("GEN1",)]
    assert len(intent.digest) == 64


def test_an_empty_intent_asks_for_nothing() -> None:
    intent = parse_intent("")
    assert (intent.selection, intent.receiver, intent.time, intent.proof) == (None, None, None, None)
    assert (intent.sma, intent.outputs, intent.delays) == ((), (), None)


def test_an_empty_ledger_is_not_the_same_as_none() -> None:
    assert parse_intent("delays = []").delays == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("verzion = 1", ['unknown key; did you mean "version"?']),
        ("version = 2", ["version: got 2, expected a whole number from 1 to 1"]),
        ("[selection]\npps = 'gnns'", ["selection.pps", 'did you mean "gnss"?']),
        ("[selection]\nclock_sauce = 'PPS'", ["selection.clock_sauce", 'did you mean "clock_source"?']),
        ("selection = 3", ["selection: got 3, expected a table"]),
        ("[card]\nid = 'x'\npci = '1:0.0'", ["card: id and pci each select a card"]),
        ("[card]\nvfio_user = 's'\naccess = 'vfio'", ["card.access"]),
        ("[proof]\nseconds = true", ["proof.seconds: got true, expected a whole number"]),
        ("[proof]\nlimit_ns = nan", ["proof.limit_ns: got nan"]),
        ("[proof]\nwait_s = -1", ["proof.wait_s: got -1"]),
        (
            "[receiver.position]\nlatitude_deg = 91",
            ["receiver.position.latitude_deg", "longitude_deg: is missing"],
        ),
        ("[oscillator]\nfamily = 'rubidium'", ["oscillator.family", "csac", "mro50", "rod2522", "sa5x"]),
        ("[[sma]]\nconnector = 5\ndirection = 'in'", ["sma[0].connector: got 5"]),
        ("[[sma]]\nconnector = 1\ndirection = 'out'\nfunctions = ['PSP']", ["sma[0].functions", "PSP"]),
        (
            "[[sma]]\nconnector = 1\ndirection = 'out'\nfunctions = ['PHC', 'MAC']",
            ["an output has one function, not 2"],
        ),
        ("[[sma]]\nconnector = 1\ndirection = 'off'\nfunctions = ['PHC']", ['"off" has no function']),
        ("[[sma]]\nconnector = 1\ndirection = 'in'", ["sma[0].functions: is missing"]),
        (
            "[[sma]]\nconnector = 1\ndirection = 'in'\nfunctions = ['10MHz', 'PPS1']",
            ["10MHz is an input without any other function"],
        ),
        (
            "[[sma]]\nconnector = 1\ndirection = 'in'\nfunctions = ['TS1']\n"
            "[[sma]]\nconnector = 2\ndirection = 'in'\nfunctions = 'TS1'",
            ["sma[1].functions: TS1 already comes from connector 1"],
        ),
        (
            "[[sma]]\nconnector = 1\ndirection = 'off'\n[[sma]]\nconnector = 1\ndirection = 'off'",
            ["sma[1].connector: 1 has a row already"],
        ),
        ("[[outputs]]\ngenerator = 1", ["outputs[0]: give one of period_ns and frequency_hz"]),
        ("[[outputs]]\ngenerator = 1\nfrequency_hz = 3", ["period_ns = 333333333"]),
        ("[[outputs]]\ngenerator = 1\nperiod_ns = 100\npulse_ns = 100", ["100 is not below the period"]),
        ("[[outputs]]\ngenerator = 1\nperiod_ns = 100\nphase_ns = 100", ["outputs[0].phase_ns"]),
        (
            "[[outputs]]\ngenerator = 1\nperiod_ns = 100\n[[outputs]]\ngenerator = 1\nperiod_ns = 100",
            ["outputs[1].generator: 1 has a row already"],
        ),
        ("[[counters]]\ncounter = 1\ngate_s = 256", ["counters[0].gate_s: got 256"]),
        ("[[delays]]\n" + ROW.format("roof", 1, "software"), ["delays[0].segment", "splitter"]),
        ("[[delays]]\n" + ROW.format("nic", 1, "receiver"), ["delays[0]", "possible: software"]),
        (
            ("[[delays]]\n" + ROW.format("antenna", 1, "software")) * 2,
            ["delays[1]", "each delay is removed in exactly one place"],
        ),
        ("[[delays]]\n" + ROW.format("antenna", 1, "receiver"), ["a table [receiver] has to be there too"]),
        (
            "[[outputs]]\ngenerator = 1\nenable = false\n"
            "[[sma]]\nconnector = 1\ndirection = 'out'\nfunctions = ['GEN1']",
            ["generator 1 is not enabled, but connector 1 shows GEN1"],
        ),
        ("[proof", ["line 1", "not valid TOML"]),
        (
            f"[proof]\nlimit_ns = 1{'0' * 310}",
            ["proof.limit_ns: got 0x", "expected a number from 1 to 1e+06"],
        ),
        (f"[proof]\nlimit_ns = {'9' * 5_000}", ["not valid TOML: a number has too many digits"]),
        (f"[proof]\nlimit_ns = 0x{'f' * 5_000}", ["proof.limit_ns: got 0xfff"]),
        (f"[proof]\nseconds = -0x{'f' * 5_000}", ["not valid TOML"]),
        (f"[card]\nid = 0x{'f' * 5_000}", ["card.id: got 0xfff"]),
        (f"[selection]\npps = 0x{'f' * 5_000}", ["selection.pps: got 0xfff", "expected one of"]),
        (f"[selection]\npps = {'[' * 5_000}", ["nested too deeply"]),
        (f"[{'a.' * 5_000}a]", ["nested too deeply"]),
    ],
)
def test_what_is_wrong_is_named(text: str, words: list[str]) -> None:
    with pytest.raises(IntentError) as caught:
        parse_intent(text, "my.toml")
    assert all(line.startswith("my.toml: ") for line in caught.value.errors)
    for word in words:
        assert any(word in line for line in caught.value.errors), (word, caught.value.errors)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(IntentError) as caught:
        parse_intent("[proof]\nseconds = 0\nlimit_ns = 'x'\n[card]\nacess = 'kernel'")
    assert len(caught.value.errors) == 3


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(IntentError, match="cannot be read"):
        load_intent(tmp_path / "absent.toml")
    big = tmp_path / "big.toml"
    big.write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    with pytest.raises(IntentError, match="larger than"):
        load_intent(big)
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b"a = 1\n# \xff\n")
    with pytest.raises(IntentError, match="line 2: not UTF-8"):
        load_intent(latin)


def test_delays_of_the_daemons_configuration_are_read_too(tmp_path: Path) -> None:
    file = tmp_path / "appliance.toml"
    file.write_text("[ptp]\ndomain = 3\n[[delays]]\n" + ROW.format("antenna", 12, "software"))
    assert load_delays(file).delay_ns("card") == 12


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = st.sampled_from(
    [
        "version",
        "card",
        "doctor",
        "selection",
        "receiver",
        "oscillator",
        "sma",
        "delays",
        "outputs",
        "counters",
        "time",
        "proof",
        "connector",
        "direction",
        "functions",
        "segment",
        "period_ns",
    ]
)


@given(st.dictionaries(KEYS, st.one_of(VALUES, st.dictionaries(KEYS, VALUES, max_size=4)), max_size=6))
def test_any_document_is_an_intent_or_a_list_of_problems(document: dict[str, object]) -> None:
    try:
        intent_from(document)
    except IntentError as error:
        assert error.errors
        assert all("\n" not in line for line in error.errors)
