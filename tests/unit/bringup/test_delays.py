"""The delay ledger as a library: sums, doubles, guesses. The daemon's rows are tested with its files."""

from __future__ import annotations

from typing import Any

import pytest

from timecard.boards.registers import PPS_SLAVE, TIMESTAMPER
from timecard.bringup.delays import PLACE_RANGE_NS, DelayLedger, DelayRow, Place, Segment, ledger_problems


def row(segment: Segment, value_ns: float, place: Place, origin: str = "measured", **values: Any) -> DelayRow:
    return DelayRow(
        segment=segment, value_ns=value_ns, uncertainty_ns=1.0, origin=origin, compensated_by=place, **values
    )


def test_each_place_gets_its_sum_and_software_the_rest() -> None:
    ledger = DelayLedger(
        (
            row("antenna", 20.4, "receiver"),
            row("antenna-cable", 251.3, "receiver"),
            row("receiver-input", 7.0, "timestamper"),
            row("nic", 180.0, "software"),
        )
    )
    assert ledger.register_ns("receiver") == 272
    assert ledger.register_ns("timestamper") == 7
    assert ledger.register_ns("pps-slave") == 0
    assert ledger.software_ns("card") == pytest.approx(-0.3)
    assert ledger.software_ns("port") == pytest.approx(179.7)
    assert ledger.calibrated


def test_a_guess_does_not_calibrate() -> None:
    rows = (row("antenna", 20, "software"), row("antenna-cable", 250, "software", "guessed: about 50 m"))
    ledger = DelayLedger(rows)
    assert not ledger.calibrated
    assert ledger.uncertainty_ns("card") == 50.0
    assert "antenna-cable that is not guessed" in (ledger.not_calibrated_reason or "")


def test_doubles_and_impossible_places() -> None:
    rows = (
        row("antenna-cable", 251, "receiver"),
        row("antenna-cable", 251, "pps-slave"),
        row("pci", 900, "receiver"),
        row("splitter", -5, "timestamper"),
    )
    problems = dict(ledger_problems(rows))
    assert 'already compensated by "receiver" in delays[0]' in problems[1]
    assert "possible: software" in problems[2]
    assert "it takes 0 to 65535 ns" in problems[3]
    with pytest.raises(ValueError, match="exactly one place"):
        DelayLedger(rows)


def test_the_registers_that_the_places_name_exist() -> None:
    for rows in (TIMESTAMPER, PPS_SLAVE):
        assert "cable_delay" in {register.name for register in rows}
    assert PLACE_RANGE_NS["timestamper"] == (0, 0xFFFF)
