"""A board that nobody knows, in one file of another package: everything works on it, nothing else changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.other_package import install, run_with

BOARD_FILE = '''
"""A board that only this test knows: the FB's blocks in other places, fewer generators, another PCI id."""

from dataclasses import replace
from types import MappingProxyType

from timecard.boards.board import SerialPort, Role, SmaKind, SmaTable
from timecard.boards.fb import BLOCKS, FB

SHIFT = 0x0010_0000
MISSING = {"signal_out[2]", "signal_out[3]", "freq_in[2]", "irig_in", "irig_out", "dcf_in", "dcf_out"}
_ROWS = [row._replace(offset=row.offset + SHIFT) for row in BLOCKS.values() if row.name not in MISSING]

BOARD = replace(
    FB,
    name="bench",
    product="Bench Time Card",
    vendor="bench",
    pci_ids=((0x1234, 0x5678),),
    bar0_size=0x0400_0000,
    blocks=MappingProxyType({block.name: block for block in _ROWS}),
    sma=SmaTable(
        kind=SmaKind.MAPS,
        inputs=MappingProxyType({k: v for k, v in FB.sma.inputs.items() if k not in ("IRIG", "DCF")}),
        outputs=MappingProxyType({"PHC": 1, "MAC": 2, "GNSS1": 4, "GEN1": 0x40, "GEN2": 0x80}),
    ),
)
'''

SCRIPT = '''
import json
from timecard.boards import BOARDS, board_for
from timecard.bringup.intent_file import parse_intent
from tests.bringup_world import make_rig
from timecard.pcie.safe_registers import registers, why_not_read

INTENT = parse_intent("""
[selection]
pps = "gnss"
clock_source = "PPS"
wait_s = 20
[receiver]
wait_fix_s = 60
[oscillator]
[[sma]]
connector = 1
direction = "in"
functions = ["TS1", "IRIG"]
[[sma]]
connector = 4
direction = "out"
functions = ["GEN2"]
[[outputs]]
generator = 2
frequency_hz = 5
[[outputs]]
generator = 3
frequency_hz = 5
[[delays]]
segment = "antenna"
value_ns = 20
uncertainty_ns = 1
origin = "data sheet"
compensated_by = "pps-slave"
[time]
[proof]
seconds = 3
""")

rig = make_rig("bench")
fpga = rig.virtual.card.fpga
report = rig.run(INTENT)
again = rig.run(INTENT)
before = fpga.unmapped
for row in registers(rig.bus.board):
    if why_not_read(rig.bus, row) is None:
        rig.bus.read32(row.offset)
print(json.dumps({
    "names": list(BOARDS),
    "found": board_for((0x1234, 0x5678)).product,
    "report": report.as_dict(),
    "again": again.as_dict()["changes"],
    "written_again": len(rig.bus.changed()),
    "unmapped": fpga.unmapped - before,
    "identity": rig.card.identity().serial,
    "flash": rig.card.flash().size,
    "missing": dict(rig.card.missing()),
}))
'''


def test_one_file_makes_a_board(tmp_path: Path) -> None:
    install(tmp_path, "timecard.boards", {"bench": "bench_board:BOARD"}, {"bench_board": BOARD_FILE})
    done = run_with(tmp_path, SCRIPT)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["names"][-1] == "bench"
    assert found["found"] == "Bench Time Card"
    results = {
        result["what"]: result["outcome"] for step in found["report"]["steps"] for result in step["results"]
    }
    assert found["report"]["verdict"] == "done", found["report"]
    assert results["phase proof"] == "as intended"
    assert results["generator 2"] == "changed"
    assert results["sma4"] == "changed"
    assert results["generator 3"] == results["sma1"] == "not available", "what it lacks is named"
    assert (found["again"], found["written_again"]) == (0, 0)
    assert found["unmapped"] == 0, "no access beside its blocks"
    assert found["identity"]
    assert found["flash"] > 0


@pytest.mark.parametrize(
    ("file", "target"),
    [
        (BOARD_FILE, "bench_board:NOTHING"),
        ("raise OSError('broken')", "bench_board:BOARD"),
        ("BOARD = 4", "bench_board:BOARD"),
        (BOARD_FILE.replace('name="bench"', 'name="fb"'), "bench_board:BOARD"),
    ],
)
def test_a_board_that_cannot_be_used_is_told_and_left_out(tmp_path: Path, file: str, target: str) -> None:
    install(tmp_path, "timecard.boards", {"bench": target}, {"bench_board": file})
    done = run_with(
        tmp_path, "from timecard.boards import BOARDS, FB; assert BOARDS['fb'] is FB; print(len(BOARDS))"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "6\n"
    assert "timecard.boards bench (bench_board:" in done.stderr
