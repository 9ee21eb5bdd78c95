"""The same intent on every board: brought up, nothing to do a second time, cut off anywhere and continued."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bringup_world import BOARD_NAMES, PowerCutError, Rig, make_rig
from timecard.bringup.intent_file import parse_intent
from timecard.bringup.journal import FileJournal
from timecard.bringup.report import BringUpReport, Outcome, Verdict

INTENT = parse_intent("""
    version = 1
    [selection]
    clock_10mhz = "mac"
    pps = "gnss"
    clock_source = "PPS"
    wait_s = 20
    [receiver]
    wait_fix_s = 60
    [oscillator]
    wait_lock_s = 30
    [[sma]]
    connector = 1
    direction = "in"
    functions = ["PPS1", "TS1"]
    [[sma]]
    connector = 2
    direction = "in"
    functions = ["FREQ1"]
    [[sma]]
    connector = 4
    direction = "out"
    functions = ["GEN1"]
    [[delays]]
    segment = "antenna-cable"
    value_ns = 251
    uncertainty_ns = 3
    origin = "measured"
    compensated_by = "pps-slave"
    [[outputs]]
    generator = 1
    frequency_hz = 10
    phase_ns = 1000
    [[counters]]
    counter = 1
    gate_s = 2
    [time]
    [proof]
    limit_ns = 1000
    seconds = 5
""")


def rig_of(board: str) -> Rig:
    return make_rig(board, antenna_delay_ns=251.0)


def outcomes(report: BringUpReport) -> dict[str, Outcome]:
    return {result.what: result.outcome for step in report.steps for result in step.results}


@pytest.mark.parametrize("board", BOARD_NAMES)
def test_brought_up_and_a_second_run_writes_nothing(board: str) -> None:
    rig = rig_of(board)
    ahead = rig.run(INTENT, check=True)
    assert ahead.verdict is Verdict.WOULD_CHANGE, ahead
    assert not rig.bus.changed(), "--check changes nothing"

    report = rig.run(INTENT)
    assert report.verdict is Verdict.DONE, report
    assert rig.bus.changed()

    assert rig.run(INTENT, check=True).verdict is Verdict.DONE
    second = rig.run(INTENT)
    assert second.verdict is Verdict.DONE, second
    assert second.count(Outcome.CHANGED) == 0
    assert not rig.bus.changed(), "the second run writes no setting"

    truth = rig.virtual.truth()
    assert abs(truth.card_error_ns) < 1_500, "the clock is right, the antenna's delay included"


def test_what_art_lacks_is_named_and_no_error() -> None:
    found = outcomes(rig_of("art").run(INTENT))
    absent = {what for what, outcome in found.items() if outcome is Outcome.ABSENT}
    assert {"10 MHz", "clock source", "sma1", "sma4", "generator 1", "counter 1"} <= absent
    assert found["oscillator lock"] is Outcome.AS_INTENDED, "the mRO-50, by the registers of its bridge"
    assert found["time"] is Outcome.CHANGED, "a clock of 1970 without a servo is set"
    assert found["phase proof"] is Outcome.AS_INTENDED


@pytest.mark.parametrize(
    ("table", "what"),
    [
        ("[selection]\nclock_source = 'PPS'\nrequired = true", "clock source"),
        ("[oscillator]\nrequired = true", "oscillator"),
        ("[[outputs]]\ngenerator = 1\nfrequency_hz = 1\nrequired = true", "generator 1"),
        ("[[counters]]\ncounter = 2\nrequired = true", "counter 2"),
        (
            "[[sma]]\nconnector = 4\ndirection = 'out'\nfunctions = ['GEN1']\nrequired = true",
            "sma4",
        ),
        (
            "delays_required = true\n[[delays]]\nsegment = 'antenna'\nvalue_ns = 20\nuncertainty_ns = 1\n"
            "origin = 'data sheet'\ncompensated_by = 'timestamper'",
            "delay in timestamper",
        ),
    ],
)
def test_a_lack_is_an_error_where_it_was_required(table: str, what: str) -> None:
    report = make_rig("art", mac="none").run(parse_intent(table))
    assert report.verdict is Verdict.FAILED
    assert outcomes(report)[what] is Outcome.FAILED
    optional = parse_intent(table.replace("required = true", "required = false"))
    assert make_rig("art", mac="none").run(optional).verdict is Verdict.DONE


@pytest.mark.parametrize("board", ["fb", "art"])
def test_cut_off_at_every_write_it_continues(board: str, tmp_path: Path) -> None:
    whole = rig_of(board)
    whole.run(INTENT)
    last = whole.bus.settings
    assert last >= 5
    resumed = set()
    for cut in range(1, last + 1):
        rig = rig_of(board)
        journal = FileJournal(tmp_path / str(cut), rig.card.id, INTENT.digest)
        rig.bus.cut_at = cut
        with pytest.raises(PowerCutError):
            rig.run(INTENT, journal=journal)
        rig.reopen()
        report = rig.run(INTENT, journal=FileJournal(tmp_path / str(cut), rig.card.id, INTENT.digest))
        assert report.verdict is Verdict.DONE, (cut, report)
        assert report.resumed is not None
        resumed.add(report.resumed)
        assert rig.run(INTENT, check=True).verdict is Verdict.DONE, cut
        assert not rig.bus.changed()
    assert len(resumed) >= 2, "cut off in different steps"


def test_a_function_moves_between_connectors_that_hold_one_anothers() -> None:
    rig = make_rig()
    rig.card.sma.set(1, "in", ["TS1"])
    rig.card.sma.set(2, "in", ["TS2"])
    swapped = parse_intent(
        "[[sma]]\nconnector = 1\ndirection = 'in'\nfunctions = ['TS2']\n"
        "[[sma]]\nconnector = 2\ndirection = 'in'\nfunctions = ['TS1']\n"
    )
    assert rig.run(swapped, check=True).verdict is Verdict.WOULD_CHANGE
    assert rig.run(swapped).verdict is Verdict.DONE
    assert [str(each) for each in rig.card.sma.read()[:2]] == ["sma1 in TS2", "sma2 in TS1"]


def test_an_input_that_an_unnamed_connector_holds_is_refused_with_what_would_do() -> None:
    rig = make_rig()
    rig.card.sma.set(2, "in", ["PPS1"])
    report = rig.run(parse_intent("[[sma]]\nconnector = 3\ndirection = 'in'\nfunctions = ['PPS1']"))
    assert report.verdict is Verdict.FAILED
    reason = report.steps[[step.name for step in report.steps].index("sma")].results[0].reason
    assert reason is not None
    assert "already comes from sma2" in reason
    assert "give sma2 a row" in reason
    assert not rig.bus.changed()


def test_a_card_that_goes_away_ends_the_run_and_says_so(tmp_path: Path) -> None:
    rig = make_rig()
    rig.virtual.inject("dead-card")
    report = rig.run(INTENT, journal=FileJournal(tmp_path, rig.card.id, INTENT.digest))
    assert report.verdict is Verdict.FAILED
    assert report.stopped is not None
    assert "gone" in report.stopped or "reads" in report.stopped


def test_a_clock_that_nobody_steers_is_stepped_once() -> None:
    rig = make_rig()
    intent = parse_intent(
        "[selection]\nclock_source = 'REGS'\n[receiver]\nwait_fix_s = 60\n[time]\n[proof]\nseconds = 3"
    )
    set_exactly = outcomes(rig.run(intent))
    assert set_exactly["time"] is Outcome.CHANGED
    assert "phase" not in set_exactly, "the pulse that a message names sets the clock exactly"
    rig.card.clock.step_ns(200_000_000)
    assert outcomes(rig.run(intent, check=True))["phase"] is Outcome.WOULD_CHANGE
    first = outcomes(rig.run(intent))
    assert first["phase"] is Outcome.CHANGED
    assert first["phase proof"] is Outcome.AS_INTENDED
    assert abs(rig.virtual.truth().card_error_ns) < 1_000
    again = rig.run(intent)
    assert again.count(Outcome.CHANGED) == 0
    assert not rig.bus.changed()


def test_the_servo_on_another_pulse_is_named_when_the_proof_fails() -> None:
    rig = make_rig()
    report = rig.run(
        parse_intent("[receiver]\nwait_fix_s = 60\n[time]\n[proof]\nseconds = 3\nwait_s = 20\nlimit_ns = 100")
    )
    proof = report.steps[[step.name for step in report.steps].index("proof")].results[-1]
    assert proof.outcome is Outcome.FAILED
    assert "follows the pulse of mac" in (proof.reason or "")


def test_an_absent_pulse_is_not_chosen() -> None:
    rig = make_rig()
    report = rig.run(parse_intent("[selection]\npps = 'sma'\nwait_s = 2"))
    assert report.verdict is Verdict.FAILED
    assert not rig.bus.changed(), "the servo keeps the pulse that it has"


def test_the_host_tells_the_time_where_there_is_no_receiver() -> None:
    rig = make_rig("art", clock_start_tai_ns=0)
    report = rig.run(parse_intent("[time]\nsource = 'host'\nlimit_s = 0.1"))
    assert outcomes(report)["time"] is Outcome.CHANGED
    assert abs(rig.virtual.truth().card_error_ns) < 1e8
