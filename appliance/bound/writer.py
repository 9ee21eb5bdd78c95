"""Writing the bound page: ten times a second what core's report and the clock map say together.

The daemon's main thread alone calls this. A page is made anew at every start and given its name when it is
complete; a page that has a name is never shortened, so that no reader's mapping loses its memory.
"""

from __future__ import annotations

import contextlib
import grp
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from appliance.bound import _native, fbclock
from appliance.bound.layout import Line, PageData, Plane, Refusal, UtcWords
from appliance.bound.process import start_ticks
from appliance.clock_map import MapState
from appliance.core_report import CoreReport
from timecard.timescale import NS_PER_S

log = logging.getLogger(__name__)

HOST_CRYSTAL_PPB: Final = 200.0
"""What the host's crystal may do beyond what the clock map saw of it, until the next comparison."""
EVERYBODY: Final = 0o644
GROUP_ONLY: Final = 0o640


class BoundPublisher:
    """The page, and one for readers of fbclock if there shall be one."""

    def __init__(self, page: Path, *, group: str | None = None, fbclock_page: Path | None = None) -> None:
        """Make the pages, which claim nothing yet. Raises ``OSError`` with a text that says what to do.

        With a ``group`` the pages are for its members; without one, for everybody who gets into the folder.
        """
        self._report: CoreReport | None = None
        self._leap: UtcWords | None = None
        self._fbclock: _native.FbclockPage | None = None
        self._fbclock_version = 0
        with _new_file(page, _native.PAGE_SIZE, group) as file:
            pid = os.getpid()
            self._page = _native.Page(file, pid, start_ticks(pid) or 0)
        if fbclock_page is not None:
            self._fbclock_version = fbclock.version_of(fbclock_page)
            with _new_file(fbclock_page, fbclock.file_size(self._fbclock_version), group) as file:
                self._fbclock = _native.FbclockPage(file, self._fbclock_version)

    def note(self, report: CoreReport) -> None:
        """From now on this is what is known of the clock."""
        self._report = report

    def disrupt(self) -> None:
        """The card's clock was stepped by whomever, or lost: refuse until a later report, and a map since."""
        report, self._report = self._report, None
        if report is not None:
            self._publish(_refused(report, Refusal.DISRUPTED))

    def write(self, state: MapState) -> None:
        """The page for this map."""
        report = self._report
        if report is not None and self._publish(page_data(report, state)):
            log.warning("bound withheld: the host has slept")  # card and host are compared afresh
            self.disrupt()

    def close(self) -> None:
        """Readers refuse from now on. Harmless when closed."""
        if self._report is not None:
            self._publish(_refused(self._report, Refusal.ENDED))
        self._page.end()

    def _publish(self, data: PageData) -> bool:
        """True when the host slept since the last write."""
        if self._fbclock is not None:
            if data.utc.change_s:
                self._leap = data.utc  # fbclock's readers smear it for hours after it has been
            self._fbclock.write(fbclock.pack(self._fbclock_version, data, self._leap))
        return self._page.write(data.pack())


def page_data(report: CoreReport, state: MapState) -> PageData:
    """The report's bound, carried to the map's anchor and through the map."""
    card_ns, wide_ns = report.bounds.card_ns, report.bounds_wide.card_ns
    valid_until_ns = min(state.valid_until_raw_ns, report.valid_until_mono_ns)
    if card_ns is None or wide_ns is None:
        return _refused(report, Refusal.UNKNOWN)
    if valid_until_ns < state.anchor_raw_ns:
        return _refused(report, Refusal.STALE)
    grown_ns = report.clock.drift_ppb * max(0, state.anchor_raw_ns - report.as_of_mono_ns) / NS_PER_S
    map_ns, map_ppb = state.error_ns, max(HOST_CRYSTAL_PPB, state.rate_error_ppb)

    def line(plane: Plane) -> Line:
        # What is not known of the map is an error of the host's clock; the card's is only read through it.
        on_host = plane is Plane.HOST
        return Line(
            anchor_raw_ns=state.anchor_raw_ns,
            anchor_tai_ns=state.anchor_tai_ns,
            valid_until_raw_ns=valid_until_ns,
            rate_ppb=state.rate_ppb,
            error_ns=card_ns + grown_ns + (map_ns if on_host else 0.0),
            error_wide_ns=wide_ns + grown_ns + (map_ns if on_host else 0.0),
            growth_ns_per_s=report.clock.drift_ppb + (map_ppb if on_host else 0.0),
            reading_ns=0.0 if on_host else map_ns,
            reading_growth_ns_per_s=0.0 if on_host else map_ppb,
        )

    return _data(report, line(Plane.CARD), line(Plane.HOST))


def _refused(report: CoreReport, refusal: Refusal) -> PageData:
    return _data(report, refusal, refusal)


def _data(report: CoreReport, card: Line | Refusal, host: Line | Refusal) -> PageData:
    clock, leap = report.clock, report.leap
    return PageData(
        card=card,
        host=host,
        p=clock.p,
        epoch=clock.epoch,
        state=clock.state,
        clock_class=report.announced.clock_class or 0,
        utc=UtcWords(
            offset_s=leap.tai_minus_utc_s if leap.valid else None,
            change_s=leap.change_s,
            at_tai_ns=leap.at_tai_ns or 0,
        ),
    )


@contextlib.contextmanager
def _new_file(path: Path, size: int, group: str | None) -> Iterator[int]:
    """A file of zeros that takes the place of the one at ``path`` when the body has filled it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    gid = -1 if group is None else _gid_of(group)
    cure = folder = "make its folder writable, or name another one"
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        file = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            cure = "free some space there"
            os.posix_fallocate(file, 0, size)  # a store to a page that a full tmpfs cannot give is a SIGBUS
            yield file
            cure = f'the user of the daemon must be a member of paths.group "{group}"'
            os.fchown(file, -1, gid)
            cure = folder
            os.fchmod(file, EVERYBODY if group is None else GROUP_ONLY)
            temporary.rename(path)
        finally:
            os.close(file)
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OSError(
            error.errno,
            f"cannot make the page {path} ({error.strerror}): {cure}",
        ) from error


def _gid_of(group: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise OSError(f'paths.group: no group "{group}" on this host; `groupadd {group}` makes it') from None
