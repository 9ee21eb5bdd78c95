"""What is wrong with an analysis; the text is one line for its user."""

from __future__ import annotations

from appliance.printable import printable


class AnalysisError(Exception):
    """The analysis cannot be made as asked."""


class InputError(AnalysisError):
    """A file cannot be used; names the file and, where there is one, the line."""

    def __init__(self, source: str, text: str, line: int | None = None) -> None:
        super().__init__(printable(f"{source}: {text}" if line is None else f"{source}, line {line}: {text}"))
