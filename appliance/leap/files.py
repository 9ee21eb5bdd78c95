"""Tables of leap seconds on the host, read again when they change.

A table that is wrong, or gone, is said so: its word then has ``trouble`` instead of a value, and is not used.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from appliance.leap.words import LeapWord, built_in_word, table_word
from timecard.leap_list import MAX_BYTES, LeapListError, read_leap_table
from timecard.timescale import NS_PER_S

log = logging.getLogger(__name__)

LOOK_EVERY_NS: Final = 60 * NS_PER_S
TZ_DATABASE: Final = "zoneinfo"
"""The folder of the tz database: what it holds comes from one package, and so is one origin."""

Stamp = tuple[int, int, int] | None


class LeapFiles:
    """What the configured files and the built-in table say. ``poll`` may be called as often as one likes."""

    def __init__(self, paths: Sequence[Path], *, warn_days: int, required: bool) -> None:
        """``required``: a file that is not there is a trouble; else it is passed over."""
        self._paths = tuple(paths)
        self._warn_days = warn_days
        self._required = required
        self._stamps: dict[Path, Stamp] = {}
        self._due_ns: int | None = None
        self._begun = False

    def poll(self, mono_ns: int) -> list[LeapWord]:
        """The words that are new at ``mono_ns``; the files are looked at once a minute."""
        if self._due_ns is not None and mono_ns < self._due_ns:
            return []
        words = [] if self._begun else [built_in_word(warn_days=self._warn_days, mono_ns=mono_ns)]
        self._begun, self._due_ns = True, mono_ns + LOOK_EVERY_NS
        for path in self._paths:
            stamp = _stamp(path)
            if path not in self._stamps or stamp != self._stamps[path]:
                known = path in self._stamps
                self._stamps[path] = stamp
                if stamp is not None or known or self._required:
                    words.append(self._read(path, mono_ns))
        return words

    def _read(self, path: Path, mono_ns: int) -> LeapWord:
        origin = "tz database" if TZ_DATABASE in path.parts else str(path)
        try:
            table = read_leap_table(_content(path), str(path))
        except (LeapListError, OSError) as error:
            reason = str(error) if isinstance(error, LeapListError) else f"{path}: {error.strerror or error}"
            log.warning("table of leap seconds not used reason=%s", reason)
            return LeapWord(
                source=str(path), origin=origin, tai_minus_utc_s=None, trouble=reason, mono_ns=mono_ns
            )
        log.info("table of leap seconds %s: expires_utc_s=%s", path, table.expires_utc_s)
        return table_word(str(path), origin, table, warn_days=self._warn_days, mono_ns=mono_ns)


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _content(path: Path) -> bytes:
    """At most a little more than a table may have. What is no plain file is refused: it might never end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise LeapListError(f"{path}: no plain file")
        return stream.read(MAX_BYTES + 1)
