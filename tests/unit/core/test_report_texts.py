"""No text that somebody else wrote makes a report too large to be sent."""

from __future__ import annotations

from dataclasses import replace

from appliance.board import StatusBoard
from appliance.events import SourceFault
from appliance.printable import MAX_TEXT
from appliance.reporting import clock_report, faults_of
from appliance.timescale.discipline import Discipline
from appliance.timescale.discipline_config import DisciplineConfig


def test_reasons_alarms_and_faults_are_cut() -> None:
    config = DisciplineConfig(topology="C", oscillator_model="ocxo", actuator_max_ppb=100.0)
    snapshot = Discipline(config, 0, learnt={"version": "A" * 1_000_000}).snapshot(0)
    assert any(
        text.startswith("what was learnt before is not used: version is 'AAA") for text in snapshot.alarms
    )
    assert max(map(len, snapshot.alarms)) < MAX_TEXT
    texts = ("B" * 1_000_000, "C" * MAX_TEXT)
    report = clock_report(replace(snapshot, alarms=texts, reasons=texts))
    assert [len(text) for text in (*report.alarms, *report.reasons)] == [MAX_TEXT] * 4
    assert report.alarms[0].endswith("B...")
    assert report.alarms[1] == texts[1]
    board = StatusBoard()
    board.note(SourceFault(source="gnss", reason="D" * 1_000_000, mono_ns=0))
    assert [len(text) for text in faults_of(board, ("gnss",))] == [MAX_TEXT]
