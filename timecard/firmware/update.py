"""Plan, apply, verify and roll back: the whole of an update, for any ``FlashDevice``.

The order of an apply: check the file, the pin and the card; compare; store snapshot and image; begin the
journal; write; end the journal. A cut anywhere leaves a card that starts, and ``apply`` or ``rollback`` go on
from there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Final, TypeVar

from timecard.boards.board import Board
from timecard.card_protocols import Card, FlashDevice
from timecard.card_values import ImageVersion
from timecard.errors import RefusedError, TimeCardError
from timecard.firmware.image import CardSide, Image, check_file, refusals
from timecard.firmware.journal import APPLY, ROLLBACK, Job, Record, StateFolder, state_folder
from timecard.firmware.layout import GuardedFlash, Layout, examine
from timecard.firmware.pins import Pin, make_pin
from timecard.firmware.plan import Outcome, Plan
from timecard.firmware.writer import Progress, Region, differing, read_region, write_region
from timecard.timebase import HostTimebase, Timebase
from timecard.timescale import NS_PER_S

T = TypeVar("T")
SECTOR_BUSY_S: Final = 0.06
"""Erase 4 KiB and programme 16 pages: typical times of the parts' data sheets."""
SECTOR_TRAFFIC: Final = 3.5
"""Writing and reading back a sector moves about as many bytes as reading so many."""
PASSES: Final = 2
"""Times that all of it is read besides: snapshot and verification."""


def nobody_to_drain() -> None:
    """Nobody uses the card."""


def no_progress(stage: str, done: int, total: int) -> None:
    """Tell nobody."""


class FirmwareUpdate:
    """Updates of one card. Not to be shared between threads."""

    def __init__(
        self,
        flash: FlashDevice,
        board: Board,
        card_id: str,
        state_root: Path,
        *,
        board_id: str | None = None,
        running: ImageVersion | None = None,
        progress: Progress = no_progress,
        timebase: Timebase | None = None,
    ) -> None:
        """``state_root``: where snapshots and journals are kept, in a folder per card.

        Raises ``RefusedError`` for a flash that must not be written (no golden image, other layout).
        """
        self.card_id = card_id
        self.state = StateFolder(state_folder(state_root, card_id))
        self._flash = flash
        self._progress = progress
        self._timebase = timebase or HostTimebase()
        self.layout: Layout = examine(flash, board)
        self._card = CardSide(board=board, layout=self.layout, board_id=board_id, running=running)

    @classmethod
    def of_card(cls, card: Card, state_root: Path, progress: Progress = no_progress) -> FirmwareUpdate:
        """For an open card; what cannot be read of its identity counts as unknown."""
        return cls(
            card.flash(),
            card.board,
            card.id,
            state_root,
            board_id=_or_none(lambda: card.identity().board_id),
            running=_or_none(card.image),
            progress=progress,
        )

    # --- plan ---

    def plan(self, image: Image, pin: Pin | None) -> Plan:
        """What ``apply`` would do, and every reason why it would refuse. Changes nothing."""
        reasons = refusals(image, pin, self._card)
        record = self.state.record()
        resumes = False
        if record is not None and record.open:
            resumes = record.job.action == APPLY and record.job.image == image.sha256
            if not resumes:
                reasons.append(_cut_before(record))
        region = self._region(image)
        todo: set[int] = set()
        started_ns = self._timebase.mono_ns()
        if region.start + len(region.content) <= self._flash.size:
            todo = set(differing(self._flash, region, "comparing", self._progress))
            todo |= self._unfinished(record, region)
            # The first sector is taken out of the way whenever anything behind it changes.
            todo |= {region.start} if todo else set()
        size = len(region.content)
        byte_s = (self._timebase.mono_ns() - started_ns) / NS_PER_S / size
        busy_s = SECTOR_BUSY_S * self.layout.erase_size / 4096
        moved = SECTOR_TRAFFIC * self.layout.erase_size
        return Plan(
            card=self.card_id,
            board=self._card.board.name,
            flash=f"{self._flash.name}, {self._flash.size >> 20} MiB",
            running=None if self._card.running is None else str(self._card.running),
            image=image.name,
            sha256=image.sha256,
            version=None if pin is None else pin.version,
            hardware_revision=image.header.revision,
            offset=region.start,
            size=len(image.payload),
            sectors=size // self.layout.erase_size,
            sectors_to_write=len(todo),
            seconds=round(len(todo) * busy_s + (PASSES * size + len(todo) * moved) * byte_s, 1),
            resumes=resumes,
            refusals=tuple(reasons),
        )

    # --- changes ---

    def apply(
        self, data: bytes, name: str, pin: Pin | None, drain: Callable[[], None] = nobody_to_drain
    ) -> Outcome:
        """Write a firmware file. ``drain`` is called before the first change: whoever uses the card lets go.

        Raises ``RefusedError`` with every reason for an image that does not fit; ``TimeCardError`` when the
        hardware fails, after which the same call goes on where it stopped.
        """
        image = check_file(name, data)
        reasons = refusals(image, pin, self._card)
        if reasons or pin is None:
            raise RefusedError(name, "apply", "; ".join(reasons))
        with self.state.locked():
            record = self.state.record()
            region = self._region(image)
            unfinished = self._unfinished(record, region)
            if record is not None and record.open:
                if record.job.action != APPLY or record.job.image != image.sha256:
                    raise RefusedError(name, "apply", _cut_before(record))
                self._fits(record.job)
                self.state.load("snapshot", record.job.snapshot)
                drain()
                return self._write(record.job, region, unfinished, resumed=True)
            before = read_region(
                self._flash, region.start, len(region.content), "storing a snapshot", self._progress
            )
            if before == region.content and not unfinished:
                return Outcome(action=APPLY, sectors_written=0, version=pin.version, resumed=False)
            drain()
            job = Job(
                action=APPLY,
                card=self.card_id,
                board=self._card.board.name,
                flash_size=self._flash.size,
                start=region.start,
                size=len(region.content),
                image=self.state.store("image", data),
                snapshot=self.state.store("snapshot", before),
                image_name=name,
                version=pin.version,
                pinned_boards=pin.boards,
            )
            self._store_config_page()
            self.state.begin(job, unfinished=unfinished)
            self.state.forget_others(job)
            return self._write(job, region, unfinished, current=before)

    def resume(self, drain: Callable[[], None] = nobody_to_drain) -> Outcome:
        """Go on with an apply that was cut, from its copy of the image; ``RefusedError`` without one."""
        record = self.state.record()
        if record is None or not record.open:
            raise RefusedError(self.state.name, "resume", "no update was cut: name an image to apply")
        if record.job.action != APPLY:
            raise RefusedError(self.state.name, "resume", _cut_before(record))
        job = record.job
        pin = make_pin(job.image, job.version, name=job.image_name, boards=job.pinned_boards)
        return self.apply(self.state.load("image", job.image), job.image_name, pin, drain)

    def rollback(self, drain: Callable[[], None] = nobody_to_drain) -> Outcome:
        """Write back what the flash held before the last apply; also when that was cut, or this was.

        Raises ``RefusedError`` when nothing was ever applied, or the snapshot is damaged or another card's.
        """
        with self.state.locked():
            record = self.state.record()
            if record is None:
                raise RefusedError(self.state.name, "rollback", "nothing was applied from here: no snapshot")
            job = record.job
            self._fits(job)
            region = Region(job.start, self.state.load("snapshot", job.snapshot))
            if len(region.content) != job.size:
                raise RefusedError(
                    self.state.name, "rollback", "the snapshot has another size than the journal says"
                )
            resumed = record.open and job.action == ROLLBACK
            unfinished = self._unfinished(record, region)
            drain()
            if not resumed:
                job = Job(**{**asdict(job), "action": ROLLBACK, "pinned_boards": job.pinned_boards})
                self.state.begin(job, unfinished=unfinished)
            return self._write(job, region, unfinished, resumed=resumed)

    def verify(self, image: Image | None = None) -> tuple[str, list[int]]:
        """Compare the flash with an image or with what was written last: its name, sectors that differ."""
        if image is not None:
            return image.name, differing(self._flash, self._region(image), "verifying", self._progress)
        record = self.state.record()
        if record is None:
            raise RefusedError(self.state.name, "verify", "nothing was applied from here: name an image")
        self._fits(record.job)
        if record.job.action == ROLLBACK:
            name = "snapshot"
            region = Region(record.job.start, self.state.load("snapshot", record.job.snapshot))
        else:
            name = record.job.image_name
            region = self._region(check_file(name, self.state.load("image", record.job.image)))
        wrong = set(differing(self._flash, region, "verifying", self._progress))
        return name, sorted(wrong | self._unfinished(record, region))

    # --- internals ---

    def _region(self, image: Image) -> Region:
        return Region(self.layout.update_start, self.layout.padded(image.payload))

    def _write(
        self,
        job: Job,
        region: Region,
        unfinished: frozenset[int],
        *,
        current: bytes | None = None,
        resumed: bool = False,
    ) -> Outcome:
        guarded = GuardedFlash(self._flash, region.start, region.start + len(region.content))
        written = write_region(
            guarded, region, self.state.note, self._progress, suspicious=unfinished, current=current
        )
        self.state.note({"end": True})
        version = job.version if job.action == APPLY else None
        return Outcome(action=job.action, sectors_written=written, version=version, resumed=resumed)

    def _fits(self, job: Job) -> None:
        """The journal is about this card and flash, and its region is one that may be written."""
        own = (self.card_id, self._card.board.name, self._flash.size, self.layout.update_start)
        if (job.card, job.board, job.flash_size, job.start) != own:
            raise RefusedError(
                self.state.name,
                job.action,
                f"the journal is of card {job.card} ({job.board}, flash of {job.flash_size} bytes, image at "
                f"{job.start:#x}); this one is {own[0]} ({own[1]}, {own[2]}, {own[3]:#x})",
            )
        if job.size % self.layout.erase_size or job.start + job.size > self._flash.size:
            raise RefusedError(
                self.state.name, job.action, f"the journal's size, {job.size}, does not fit the flash"
            )

    def _unfinished(self, record: Record | None, region: Region) -> frozenset[int]:
        """Sectors of the region in which a cut happened."""
        sectors = region.sectors(self.layout.erase_size)
        return frozenset() if record is None else frozenset(o for o in record.unfinished if o in sectors)

    def _store_config_page(self) -> None:
        """Keep the vendor's configuration page, too; nothing here ever writes it back or changes it."""
        page = self.layout.config_page
        if page is not None and self.layout.update_start >= page + 4096:
            self.state.keep("config-page", self._flash.read(page, 4096))


def _cut_before(record: Record) -> str:
    job = record.job
    if job.action == ROLLBACK:
        return "a rollback of this card was cut: run `timecard flash rollback` to its end first"
    return (
        f"an update of this card with {job.image_name} (SHA-256 {job.image}) was cut: "
        "run `timecard flash apply` without an image to finish it, or `timecard flash rollback`"
    )


def _or_none(ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    except TimeCardError:
        return None
