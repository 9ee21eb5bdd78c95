"""A progress bar for what takes a minute: on a terminal's stderr, silent elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import Progress, TaskID


@contextlib.contextmanager
def progress_bar(silent: bool) -> Iterator[Callable[[str, int, int], None]]:
    """Yields a function of stage, done and total; each stage has a bar of its own."""
    if silent or not sys.stderr.isatty():
        yield lambda stage, done, total: None
        return
    with Progress(console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done, total=total)

        yield show
