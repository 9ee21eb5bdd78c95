"""The runtime record: what a restarted core needs to go on where it was.

It is valid only on the same boot of the host and only if the card's clock has kept counting meanwhile: the
advance of the card's clock since the record must agree with that of CLOCK_MONOTONIC_RAW. A record that fails
a test is not used, and the reason is said.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from timecard.timescale import NS_PER_S

NAME: Final = "runtime-record.json"
VERSION: Final = 1
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
MAX_RATE_PPM: Final = 300.0
"""Host crystal against card: anything more is a clock that was set, not one that ran."""
MAX_READ_NS: Final = 2_000_000
MAX_AGE_S: Final = 86_400.0
EPOCHS: Final = range(1 << 31)
"""It is published in 32 bits, and goes on from here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeRecord:
    """State of the discipline with the two clocks it was true for."""

    card_id: str
    boot_id: str
    mono_raw_ns: int
    card_tai_ns: int
    discipline: dict[str, Any]


def current_boot_id() -> str:
    """Identity of this boot of the host."""
    return BOOT_ID.read_text(encoding="ascii").strip()


def save(directory: Path, record: RuntimeRecord) -> None:
    """Write the record so that a reader sees the old or the new one, whole. Raises ``OSError``."""
    document = {
        "version": VERSION,
        "card_id": record.card_id,
        "boot_id": record.boot_id,
        "mono_raw_ns": record.mono_raw_ns,
        "card_tai_ns": record.card_tai_ns,
        "discipline": record.discipline,
    }
    temporary = directory / f"{NAME}.{os.getpid()}.new"
    try:
        temporary.write_text(json.dumps(document), encoding="utf-8")
        temporary.replace(directory / NAME)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def last_epoch(directory: Path, boot_id: str) -> int | None:
    """The epoch that was last recorded on this boot, by a record that need not fit otherwise."""
    try:
        document = json.loads((directory / NAME).read_text(encoding="utf-8"))
        epoch = document["discipline"]["epoch"]
        if document["boot_id"] != boot_id or type(epoch) is not int:
            return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return epoch if epoch in EPOCHS else None


def load(
    directory: Path, *, card_id: str, boot_id: str, mono_raw_ns: int, card_tai_ns: int
) -> tuple[RuntimeRecord | None, str]:
    """The valid record and ``"resumed"``, or None and the reason why there is none.

    ``mono_raw_ns`` and ``card_tai_ns`` are both clocks read now, at one instant.
    """
    path = directory / NAME
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        record = RuntimeRecord(
            card_id=str(document["card_id"]),
            boot_id=str(document["boot_id"]),
            mono_raw_ns=int(document["mono_raw_ns"]),
            card_tai_ns=int(document["card_tai_ns"]),
            discipline=dict(document["discipline"]),
        )
        version = document["version"]
    except FileNotFoundError:
        return None, "no runtime record"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return None, f"runtime record {path} is unreadable ({error}); starting afresh"
    elapsed_ns = mono_raw_ns - record.mono_raw_ns
    error_ns = abs(card_tai_ns - record.card_tai_ns - elapsed_ns)
    checks = (
        (version == VERSION, f"runtime record has version {version}, this program writes {VERSION}"),
        (record.card_id == card_id, f"runtime record is of card {record.card_id}, this is {card_id}"),
        (record.boot_id == boot_id, "runtime record is of an earlier boot of the host"),
        (0 <= elapsed_ns <= MAX_AGE_S * NS_PER_S, "runtime record is older than a day"),
        (
            error_ns <= MAX_READ_NS + elapsed_ns * MAX_RATE_PPM * 1e-6,
            f"the card's clock did not run on since the record: it is {error_ns} ns off",
        ),
    )
    for passed, reason in checks:
        if not passed:
            return None, reason
    return record, "resumed"
