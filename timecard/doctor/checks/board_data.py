"""Which FPGA image runs on which board, and what the EEPROM says."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Final

from timecard.boards.board import ImageWord
from timecard.doctor.facts import FailureKind
from timecard.doctor.findings import Case, Entry, Group, Seen, Severity

PRODUCTION_ID: Final = "R4006"
"""How the board id of a Production board begins."""
SOM: Final = 0
PRODUCTION: Final = 1
GENERATORS_SINCE: Final = 19
COUNTERS_SINCE: Final = 20
RECEIVER_STATE_SINCE: Final = 26
_CONTENTS: Final = ("blank", "is not an EUI-48", "manufacturing record:")
"""Words of problems with what was read; all others are failures to read it (``timecard.eeprom``)."""
_BROKEN: Final = (FailureKind.ABSENT, FailureKind.TIMEOUT, FailureKind.PROTOCOL, FailureKind.REFUSED)
ENTRIES: Final = MappingProxyType(
    {
        "loader-image": Entry(
            severity=Severity.FAIL,
            title="the golden (loader) image runs",
            cause="The update image did not start: its flash area is empty, damaged, or made for another "
            "board. The golden image can do little more than take a new one.",
            fix="Write a good image: `timecard flash plan IMAGE`, then `timecard flash apply`; switch the "
            "machine off and on afterwards.",
            explains=(
                *("image-old", "image-wrong-board", "tod-silent", "tod-off", "tod-errors", "pps-none"),
                *("pps-slave-off", "generator-error", "clock-not-in-sync", "clock-1970", "ten-mhz-onboard"),
                *("receiver-silent", "mac-silent", "utc-unknown", "clock-source-none", "pps-lost"),
            ),
        ),
        "image-wrong-board": Entry(
            severity=Severity.FAIL,
            title="image {image} is made for a {image_kind} board, this is a {board_kind} board",
            cause="The two differ in pins: parts of the card do not work, and the wrong one on a SOM card "
            "keeps it off the bus altogether.",
            fix="Write the image for the {board_kind} board (`timecard flash plan` refuses the other kind), "
            "then switch the machine off and on.",
        ),
        "image-old": Entry(
            severity=Severity.WARN,
            title="image {image} has no {lacks}",
            cause="The parts came with later images: generators with 19, frequency counters with 20.",
            fix="Write a newer image: `timecard flash plan IMAGE`.",
        ),
        "image-without-receiver-state": Entry(
            severity=Severity.INFO,
            title="image {image} does not show antenna and fix",
            cause="The time-of-day slave has those registers since SOM 26 and Production 10.",
            fix="Nothing to do; the receiver itself is asked instead.",
        ),
        "eeprom-unreadable": Entry(
            severity=Severity.WARN,
            title="the EEPROM cannot be read",
            cause="{reason}",
            fix="Cut the machine's power for a moment (a reset does not free a stuck I2C bus); look for "
            "another user of the bus. The card works without: its id is then that of the PCI function.",
        ),
        "eeprom-blank": Entry(
            severity=Severity.WARN,
            title="the EEPROM is blank",
            cause="Nobody wrote the identity: a new board, or an erased memory.",
            fix="Write it from the maker's data or a backup: `timecard eeprom restore`.",
        ),
        "eeprom-damaged": Entry(
            severity=Severity.WARN,
            title="the EEPROM's record is damaged: {problems}",
            cause="Magic or checksum of the record do not fit: a write was cut short, or something else was "
            "written there (some ART cards carry a text).",
            fix="Compare with a backup and restore it: `timecard eeprom backup`, `timecard eeprom restore`.",
        ),
        "flash-unreadable": Entry(
            severity=Severity.WARN,
            title="the flash does not answer",
            cause="{reason}",
            fix="Cut the machine's power for a moment; do not flash meanwhile. A flash that stays silent is "
            "broken: the image that runs now may be the last.",
        ),
        "flash-unknown": Entry(
            severity=Severity.INFO,
            title="the flash is not one that this board is known to have",
            cause="{reason}",
            fix="Nothing to do, but this toolkit will not write to it.",
        ),
        "flash-large": Entry(
            severity=Severity.INFO,
            title="the flash has {size} MiB, more than this board's usual 16",
            cause="Cards with the larger FPGA (200T) keep their update image at 0x800000; the kernel's "
            "driver writes it to 0x400000 all the same.",
            fix="Do not use `devlink dev flash` with 200T images.",
        ),
    }
)


def image(case: Case) -> Iterator[Seen]:
    """Loader, wrong board, old."""
    running, board, identity = case.card.image, case.board, case.card.identity
    if running is None or board is None:
        return
    words: dict[str, object] = {"image": str(running)}
    evidence = (f"image word: {running}",)
    if running.loader:
        yield Seen("loader-image", evidence, words)
        return
    if board.image_word is not ImageWord.BIT15_TAG:
        return
    board_id = identity.board_id or "" if identity else ""
    if running.tag == PRODUCTION and board_id and not board_id.startswith(PRODUCTION_ID):
        kinds = {"image_kind": "Production", "board_kind": "SOM"}
        yield Seen("image-wrong-board", (*evidence, f"board id {board_id}"), words | kinds)
    production = board.name == "celestica" or board_id.startswith(PRODUCTION_ID)
    if production and running.tag == SOM:
        kinds = {"image_kind": "SOM", "board_kind": "Production"}
        yield Seen(
            "image-wrong-board",
            (*evidence, f"board id {board_id or 'unknown'}, {board.product}"),
            words | kinds,
        )
    if running.tag == SOM:
        lacks = [
            name
            for name, since in (("generators", GENERATORS_SINCE), ("frequency counters", COUNTERS_SINCE))
            if running.number < since
        ]
        if lacks:
            yield Seen("image-old", evidence, words | {"lacks": " and ".join(lacks)})
        elif running.number < RECEIVER_STATE_SINCE:
            yield Seen("image-without-receiver-state", evidence, words)


def eeprom(case: Case) -> Iterator[Seen]:
    """Is it readable, written, intact."""
    failed, identity = case.card.failures.get("identity"), case.card.identity
    if failed is not None and failed.kind in _BROKEN:
        yield Seen("eeprom-unreadable", (failed.text,), {"reason": failed.text})
    if identity is None or not identity.problems:
        return
    contents = tuple(each for each in identity.problems if any(mark in each for mark in _CONTENTS))
    unread = tuple(each for each in identity.problems if each not in contents)
    if unread:
        yield Seen("eeprom-unreadable", unread, {"reason": "; ".join(unread)})
    elif any("blank" in each for each in contents) and identity.serial is None:
        yield Seen("eeprom-blank", contents)
    else:
        yield Seen("eeprom-damaged", contents, {"problems": "; ".join(contents)})


def flash(case: Case) -> Iterator[Seen]:
    """Does it answer, and is it the usual part."""
    failed, size, board = case.card.failures.get("flash_bytes"), case.card.flash_bytes, case.board
    if failed is not None and failed.kind in (*_BROKEN, FailureKind.LOST):
        yield Seen("flash-unreadable", (failed.text,), {"reason": failed.text})
    elif failed is not None and failed.kind is FailureKind.UNSUPPORTED:
        yield Seen("flash-unknown", (failed.text,), {"reason": failed.text})
    identity = case.card.identity
    production = identity is not None and (identity.board_id or "").startswith(PRODUCTION_ID)
    if board is not None and size is not None and size > board.flash.default_size and not production:
        yield Seen("flash-large", (f"{size} bytes",), {"size": size >> 20})


GROUP: Final = Group(title="Image, EEPROM and flash", entries=ENTRIES, card_checks=(image, eeprom, flash))
