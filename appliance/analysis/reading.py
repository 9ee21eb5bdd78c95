"""From a file to a recording: which kind it is, and the reader of that kind."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from appliance.analysis.json_input import JsonReader
from appliance.analysis.lines import Lines
from appliance.analysis.recording import Reader, ReadOptions, Recording
from appliance.analysis.servo_log import ServoLogReader
from appliance.analysis.table import TableReader

READERS: Final[tuple[Reader, ...]] = (ServoLogReader(), JsonReader(), TableReader())
"""Asked in this order; the last takes anything."""


def read_recording(path: Path, options: ReadOptions) -> Recording:
    """Read ``path`` (``-`` is standard input), plain or compressed; raises ``InputError``."""
    with Lines(path) as lines:
        reader = next(reader for reader in READERS if reader.recognises(lines.head))
        return reader.read(lines, options)
