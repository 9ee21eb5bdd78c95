"""The runtime record: what a restarted core needs to go on where it was.

It is valid only on the same boot of the host and only if the card's clock has kept counting meanwhile: its
advance since the record must agree with that of CLOCK_MONOTONIC_RAW at the rate that the clock map had found,
as closely as a running core would look. A record that fails a test is not used, and the reason is said.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from appliance.clock_map import CHANGED_RATE_PPB, JUMP_NS
from appliance.printable import shortened, shown
from appliance.timescale.record_fields import integer, number
from timecard.timescale import NS_PER_S
from timecard.values import CrossTimestamp

NAME: Final = "runtime-record.json"
MAX_BYTES: Final = 1 << 20
VERSION: Final = 2
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
MAX_ERROR_NS: Final = 1e6
MAX_RATE_PPB: Final = 1e6
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
    error_ns: float
    """What ``card_tai_ns`` may be wrong by at that instant."""
    rate_ppb: float
    """Card against host."""
    rate_error_ppb: float
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
        "error_ns": record.error_ns,
        "rate_ppb": record.rate_ppb,
        "rate_error_ppb": record.rate_error_ppb,
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
        document = _document(directory / NAME)
        epoch = document["discipline"]["epoch"]
        if document["boot_id"] != boot_id or type(epoch) is not int:
            return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return epoch if epoch in EPOCHS else None


def load(
    directory: Path, *, card_id: str, boot_id: str, now: CrossTimestamp
) -> tuple[RuntimeRecord | None, str]:
    """The valid record and ``"resumed"``, or None and the reason why there is none."""
    path = directory / NAME
    try:
        document = _document(path)
        if document["version"] != VERSION:
            raise ValueError(f"it has version {shown(document['version'])}, this program writes {VERSION}")
        record = RuntimeRecord(
            card_id=str(document["card_id"]),
            boot_id=str(document["boot_id"]),
            mono_raw_ns=integer(document, "mono_raw_ns"),
            card_tai_ns=integer(document, "card_tai_ns"),
            error_ns=number(document, "error_ns", at_least=0.0, up_to=MAX_ERROR_NS),
            rate_ppb=number(document, "rate_ppb", at_least=-MAX_RATE_PPB, up_to=MAX_RATE_PPB),
            rate_error_ppb=number(document, "rate_error_ppb", at_least=0.0, up_to=MAX_RATE_PPB),
            discipline=dict(document["discipline"]),
        )
    except FileNotFoundError:
        return None, "no runtime record"
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        return None, f"runtime record {path} is unreadable ({shortened(str(error))}); starting afresh"
    elapsed_ns = now.mono_raw_ns - record.mono_raw_ns
    expected_ns = elapsed_ns + round(elapsed_ns * record.rate_ppb * 1e-9)
    off_ns = now.card_tai_ns - record.card_tai_ns - expected_ns
    drift_ns = elapsed_ns * (CHANGED_RATE_PPB + record.rate_error_ppb) * 1e-9
    allowed_ns = JUMP_NS + record.error_ns + now.half_width_ns + drift_ns
    checks = (
        (record.card_id == card_id, f"runtime record is of card {shown(record.card_id)}, this is {card_id}"),
        (record.boot_id == boot_id, "runtime record is of an earlier boot of the host"),
        (0 <= elapsed_ns <= MAX_AGE_S * NS_PER_S, "runtime record is older than a day"),
        (
            abs(off_ns) <= allowed_ns,
            f"the card's clock did not run on since the record: it is {off_ns} ns off,"
            f" {allowed_ns:.0f} ns are allowed",
        ),
    )
    for passed, reason in checks:
        if not passed:
            return None, reason
    return record, "resumed"


def _document(path: Path) -> Any:
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES} bytes")
    return json.loads(data)
