"""What the FPGA says about itself and its inputs, as frozen values. Reading any of it has no side effect.

Bit assignments: the kernel's ``ptp_ocp`` driver, the vendor driver's debug output and the manuals of the
closed cores. All functions raise ``DeviceLostError`` when the card answers all ones, and
``UnsupportedError`` where the board has no such block.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from timecard.boards.board import ImageWord
from timecard.boards.registers import CLOCK_SOURCES, signed_magnitude
from timecard.card_values import (
    ClockStatus,
    ImageVersion,
    PpsSlaveStatus,
    PpsSource,
    SelectorStatus,
    TodStatus,
)
from timecard.errors import UnsupportedError
from timecard.pcie.bus import burst_reader
from timecard.pcie.words import core_version, present
from timecard.protocols import RegisterBus

GNSS_STATUS_SINCE: Final = {0: 26, 1: 10}
"""Image number, by tag, from which on the time-of-day slave has its two receiver registers."""


def read_image_version(bus: RegisterBus) -> ImageVersion:
    """The FPGA image's version, from where the board keeps it (``ImageWord``)."""
    board = bus.board
    if board.image_word is ImageWord.CLOCK_VERSION:
        (word,) = _read(bus, "reg", ("version",))
        return ImageVersion(False, board.image_tag or 0, word)
    (word,) = _read(bus, "image", ("version",))
    loader = word & 0xFFFF == 0
    half = word >> 16 if loader else word & 0xFFFF
    if board.image_word is ImageWord.FIXED_TAG:
        return ImageVersion(loader, board.image_tag or 0, half)
    return ImageVersion(loader, half >> 15, half & 0x7FFF)


def read_clock_status(bus: RegisterBus) -> ClockStatus:
    """Status words of the adjustable clock."""
    registers = {row.name for row in bus.board.blocks["reg"].registers}
    if "status_offset" not in registers:  # ART: nothing selects, nothing corrects
        version, status = _read(bus, "reg", ("version", "status"))
        return ClockStatus(
            version=core_version(version),
            source=CLOCK_SOURCES[0],
            in_sync=bool(status & 1),
            in_holdover=bool(status & 2),
            offset_ns=None,
            drift_ppb=None,
        )
    version, select, status, offset, drift = _read(
        bus, "reg", ("version", "select", "status", "status_offset", "status_drift")
    )
    source = select >> 16 & 0xFF
    return ClockStatus(
        version=core_version(version),
        source=CLOCK_SOURCES.get(source, str(source)),
        in_sync=bool(status & 1),
        in_holdover=bool(status & 2),
        offset_ns=signed_magnitude(offset),
        drift_ppb=signed_magnitude(drift),
    )


def read_selector(bus: RegisterBus) -> SelectorStatus:
    """The PPS and clock source selector."""
    detected, forced_word = _read(bus, "pps_select", ("gpio1", "gpio2"))
    present = frozenset(s for s in PpsSource if detected >> (s.value - 1) & 1)
    forced = PpsSource(forced_word & 3) if forced_word & 3 else None
    best = next((s for s in PpsSource if s in present), None)
    return SelectorStatus(
        present=present,
        forced=forced,
        selected=forced or best,
        clock_10mhz="sma" if detected & 0x10 else "mac" if detected & 0x20 else "onboard",
    )


def read_pps_slave(bus: RegisterBus) -> PpsSlaveStatus:
    """The PPS slave."""
    ctrl, status, width, delay, version = _read(
        bus, "pps_to_clk", ("ctrl", "status", "pulse_width", "cable_delay", "version")
    )
    wide = version >= 0x0106_0000  # older cores have 16 bits without sign
    return PpsSlaveStatus(
        enabled=bool(ctrl & 1),
        filter_error=bool(status & 1),
        lost=bool(status & 2),
        pulse_width_ms=None if width & 0x3FF == 0x3FF else width & 0x3FF,
        cable_delay_ns=signed_magnitude(delay, 30) if wide else delay & 0xFFFF,
    )


def clear_pps_errors(bus: RegisterBus) -> None:
    """Clear the sticky errors of the PPS slave; one that persists comes back within a second."""
    bus.write32(bus.board.at("pps_to_clk", "status"), 3)


def read_tod(bus: RegisterBus) -> TodStatus:
    """The time-of-day slave. Its receiver registers are asked for only where the image has them."""
    image = read_image_version(bus)
    ctrl, status, correction, utc, leap = _read(
        bus, "tod", ("ctrl", "status", "correction", "utc_status", "time_to_leap")
    )
    gnss = satellites = 0
    if image.number >= GNSS_STATUS_SINCE.get(image.tag, 0x8000):
        gnss, satellites = _read(bus, "tod", ("gnss_status", "num_sat"))
    fix_known, antenna_known, seen_known = gnss >> 28 & 1, gnss >> 29 & 1, satellites >> 16 & 1
    protocols = ("NMEA", "UBX", "TSIP", "ESIP", "PFEC")
    protocol = ctrl >> 28 & 7
    return TodStatus(
        enabled=bool(ctrl & 1),
        protocol=protocols[protocol] if protocol < len(protocols) else str(protocol),
        errors=tuple(name for bit, name in enumerate(("parser", "checksum", "uart")) if status >> bit & 1),
        tai_minus_utc_s=utc & 0xFF if utc & 0x100 else None,
        leap_59=bool(utc & 0x2000),
        leap_61=bool(utc & 0x4000),
        seconds_to_leap=_signed32(leap) if utc & 0x2_0000 else None,
        correction_s=signed_magnitude(correction),
        fix_ok=bool(gnss >> 16 & 1) if fix_known else None,
        fix=gnss >> 17 & 0xFF if fix_known else None,
        antenna=gnss & 7 if antenna_known else None,
        jamming=gnss >> 3 & 3 if antenna_known else None,
        satellites_seen=satellites & 0xFF if seen_known else None,
        satellites_used=satellites >> 8 & 0xFF if seen_known else None,
    )


def _read(bus: RegisterBus, block: str, registers: Sequence[str]) -> list[int]:
    if not bus.board.has(block):
        raise UnsupportedError(bus.name, f"read {block}", f"{bus.board.product} has no such block")
    words = burst_reader(bus)([bus.board.at(block, register) for register in registers])
    present(words[0], bus.name, f"read {block}", registers[0])
    return words


def _signed32(word: int) -> int:
    return word - (1 << 32) if word & 0x8000_0000 else word
