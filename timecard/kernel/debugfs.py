"""What only debugfs shows: ``summary`` and ``tod_status`` of ``/sys/kernel/debug/timecard/ocpN``. Root only.

The texts are for people and change between kernels; a line that is not recognised is skipped, and what was
not said stays None. Source: the show functions of the kernel's ``drivers/ptp/ptp_ocp.c``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from timecard.card_values import PpsSource, SelectorStatus, TodStatus
from timecard.errors import CardPermissionError, ProtocolError, UnsupportedError, from_oserror

MAX_BYTES: Final = 65_536
_TOD_ERRORS: Final = ("parser", "checksum", "uart")
_UNLOCKED_TEXT: Final = "unsynced"
_SYNCED_TEXT: Final = "sync"


@dataclass(frozen=True, slots=True)
class Summary:
    """Of ``summary``: what sysfs does not show."""

    in_sync: bool | None
    clock_pps: str | None
    """``sma1``, ``MAC``, ``GNSS1``, ``----`` while the clock follows PPS; None otherwise."""
    mac_pps: str | None
    """What the selector offers the oscillator: ``smaN``, ``GNSS1``, ``----`` (none)."""
    timestampers_on: frozenset[str]
    sma_words: tuple[tuple[int, int], ...]
    """Input and output half-word of each connector; empty where the board has no such map."""


class DebugFolder:
    """The card's folder in debugfs, read when asked."""

    def __init__(self, name: str, sysfs: Path = Path("/sys")) -> None:
        self.name = name
        self.path = sysfs / "kernel/debug/timecard" / name

    def summary(self) -> Summary:
        """Read ``summary``; the caller makes sure that the driver survives it (``generators_are_safe``)."""
        return parse_summary(self._text("summary"))

    def time_of_day(self) -> TodStatus:
        """Read ``tod_status``."""
        return parse_tod_status(self.name, self._text("tod_status"))

    def _text(self, file: str) -> str:
        operation = f"read debugfs {file}"
        try:
            with (self.path / file).open("rb") as opened:
                data = opened.read(MAX_BYTES)
        except PermissionError as error:
            raise CardPermissionError(self.name, operation, "debugfs is for root only") from error
        except FileNotFoundError as error:
            mounted = (self.path.parent.parent / "clk").is_dir() or self.path.is_dir()
            reason = (
                "the driver has no such file for this board"
                if mounted
                else "debugfs is not mounted: mount -t debugfs none /sys/kernel/debug"
            )
            raise UnsupportedError(self.name, operation, reason) from error
        except OSError as error:
            raise from_oserror(self.name, operation, error) from error
        return data.decode("ascii", "replace")


def parse_summary(text: str) -> Summary:
    """Lines as ``PHC src: MAC via PPS1, state: sync``."""
    rows: dict[str, str] = {}
    for line in text.splitlines():
        label, colon, value = line.partition(":")
        if colon:
            rows.setdefault(label.strip(), value.strip())
    source, _, state = rows.get("PHC src", "").partition(", state: ")
    via = re.fullmatch(r"(\S+) via PPS1", source)
    words = []
    for number in range(1, 5):
        match = re.match(r"([0-9a-f]{4}),([0-9a-f]{4})\b", rows.get(f"sma{number}", ""))
        if match:
            words.append((int(match[1], 16), int(match[2], 16)))
    has_map = len(words) == 4 and any(pair != (0xFFFF, 0xFFFF) for pair in words)
    return Summary(
        in_sync={_SYNCED_TEXT: True, _UNLOCKED_TEXT: False}.get(state),
        clock_pps=via[1] if via else None,
        mac_pps=rows.get("MAC PPS1 src") or None,
        timestampers_on=frozenset(f"ts{n}" for n in range(6) if rows.get(f"TS{n}", "").startswith("ON")),
        sma_words=tuple(words) if has_map else (),
    )


def selector_of(summary: Summary) -> SelectorStatus | None:
    """What the summary lets one conclude of the PPS selector; None where it leaves MAC or GNSS open.

    The driver prints the best present input, so ``present`` holds at least that one; what else is there,
    whether one is forced and which 10 MHz is taken it does not print.
    """
    name = summary.clock_pps
    if name is None and summary.mac_pps is not None:
        # The clock follows no PPS. The other line tells an SMA pulse from none, but not MAC from GNSS.
        name = summary.mac_pps if summary.mac_pps.startswith("sma") or summary.mac_pps == "----" else None
    if name is None or name == "?":
        return None
    source = {"MAC": PpsSource.MAC, "GNSS1": PpsSource.GNSS}.get(name)
    if name.startswith("sma"):
        source = PpsSource.SMA
    return SelectorStatus(
        present=frozenset() if source is None else frozenset({source}),
        forced=None,
        selected=source,
        clock_10mhz="unknown",
    )


def parse_tod_status(device: str, text: str) -> TodStatus:
    """``tod_status`` of mainline; vendor drivers add lines about the receiver."""
    operation = "read debugfs tod_status"
    if text.startswith("TOD Slave disabled"):
        return _tod(enabled=False, protocol="unknown")
    if not text.startswith("TOD Slave enabled"):
        raise ProtocolError(device, operation, f"{text[:40]!r} is no answer")
    protocol = _find(r"^Protocol ([A-Za-z_]{1,20})$", text)
    status = int(_find(r"^Status register: 0x([0-9A-Fa-f]{1,8})$", text) or "0", 16)
    utc = int(_find(r"^UTC status register: 0x([0-9A-Fa-f]{1,8})$", text) or "0", 16)
    leap = _find(r"^Time to next leap second \(in sec\): (-?[0-9]{1,10})$", text)
    correction = _find(r"^Correction seconds: (-?[0-9]{1,10})$", text)
    return _tod(
        enabled=True,
        # NMEA_ZDA and the like: the message that is left after the disabled ones.
        protocol=(protocol or "unknown").split("_")[0],
        errors=tuple(name for bit, name in enumerate(_TOD_ERRORS) if status >> bit & 1),
        tai_minus_utc_s=utc & 0xFF if utc & 0x100 else None,
        leap_59=bool(utc & 0x2000),
        leap_61=bool(utc & 0x4000),
        seconds_to_leap=int(leap) if leap and utc & 0x2_0000 else None,
        correction_s=int(correction or "0"),
    )


def _tod(
    *,
    enabled: bool,
    protocol: str,
    errors: tuple[str, ...] = (),
    tai_minus_utc_s: int | None = None,
    leap_59: bool = False,
    leap_61: bool = False,
    seconds_to_leap: int | None = None,
    correction_s: int = 0,
) -> TodStatus:
    """The driver prints nothing about the receiver behind the block."""
    return TodStatus(
        enabled=enabled,
        protocol=protocol,
        errors=errors,
        tai_minus_utc_s=tai_minus_utc_s,
        leap_59=leap_59,
        leap_61=leap_61,
        seconds_to_leap=seconds_to_leap,
        correction_s=correction_s,
        fix_ok=None,
        fix=None,
        antenna=None,
        jamming=None,
        satellites_seen=None,
        satellites_used=None,
    )


def _find(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text, re.MULTILINE)
    return match[1] if match else None
