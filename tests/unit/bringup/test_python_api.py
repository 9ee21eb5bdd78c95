"""The public interface: its names, its version, and every block of its document, run in order."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import emulated, wait_until_set
from timecard import api

ROOT = Path(__file__).parents[3]
DOCUMENT = ROOT / "docs" / "python-api.md"
OTHERS = (
    *(ROOT / "docs" / name for name in ("firmware.md", "kernel-driver.md")),
    *sorted((ROOT / "examples").glob("*.py")),
)
SOCKET = "/tmp/card.sock"


@pytest.fixture
def socket(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "card.sock"
    with emulated("--vfio-user", path, seed=6):
        wait_until_set(path)  # generators need a clock that jumps no more
        yield path


def test_every_block_of_the_document_runs(socket: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 10
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block.replace(SOCKET, str(socket)), str(DOCUMENT), "exec"), names)
    assert "generator 1" in capsys.readouterr().out


def test_all_names_exist_and_a_users_documents_and_programs_use_no_other() -> None:
    for name in api.__all__:
        assert hasattr(api, name), name
    for document in (DOCUMENT, *OTHERS):
        text = document.read_text(encoding="utf-8")
        used = re.findall(r"^ *from timecard\.api import (.*)$", text, re.MULTILINE)
        assert used, document
        for line in used:
            assert {name.strip() for name in line.split(",")} <= set(api.__all__), document
        assert not re.search(r"^ *(from|import) timecard(?!\.api)", text, re.MULTILINE), document


def test_the_version_is_a_version() -> None:
    assert re.fullmatch(r"\d+\.\d+", api.API_VERSION)


def test_the_interface_is_light() -> None:
    script = (
        "import sys, timecard.api; "
        "print(sorted({'pydantic', 'fastapi', 'numpy', 'timecard.emulator'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_two_choices_of_a_card_that_is_not_there() -> None:
    with pytest.raises(api.DeviceAbsentError, match="no such card"):
        api.describe_card(pci="ff:1f.7")
    with pytest.raises(api.DeviceAbsentError):
        api.open_card(vfio_user="/nowhere/card.sock")
