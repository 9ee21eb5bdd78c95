"""Every attribute of the class device ``timecard/ocpN``: where it is, what it says, what may be written.

One row per attribute; mainline (K) and both vendor generations (V2, V3). A row says what an attribute
*means*; whether it is there is asked of the device. Sources: the kernel's ``drivers/ptp/ptp_ocp.c`` and
``Documentation/ABI/testing/sysfs-timecard``, the vendor drivers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

from timecard.kernel import attribute_text as text

T = TypeVar("T")

GEN: Final = "gen"
"""Directory of a signal generator: ``gen1`` ... ``gen4``."""
FREQ: Final = "freq"
"""Directory of a frequency counter: ``freq1`` ... ``freq4``."""
TTY: Final = "tty"

MAINLINE: Final = "mainline"
OLD: Final = "mainline up to 5.17"
V2: Final = "vendor"
V3: Final = "vendor (later text)"
ALL: Final = "every driver"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute(Generic[T]):
    """One attribute. ``parse`` raises ``ValueError`` for text that the driver cannot have written."""

    name: str
    parse: Callable[[str], T]
    unit: str = ""
    directory: str = ""
    """``gen``, ``freq`` (numbered on the device) or ``tty``; else at the top."""
    low: int | None = None
    high: int | None = None
    write: Callable[[T], str] | None = None
    """Text to write; None: read-only."""
    rule: str = ""
    """What the driver accepts: told when it refuses."""
    drivers: str = ALL
    may_be_empty: bool = False
    """An empty read is an answer: there is no result."""


def _shown(name: str, unit: str, *, drivers: str = ALL, directory: str = "") -> Attribute[int]:
    return Attribute(name=name, parse=text.integer, unit=unit, directory=directory, drivers=drivers)


def _number(
    name: str, unit: str, low: int, high: int, *, drivers: str = ALL, directory: str = "", rule: str = ""
) -> Attribute[int]:
    return Attribute(
        name=name,
        parse=text.integer,
        unit=unit,
        directory=directory,
        low=low,
        high=high,
        write=str,
        rule=rule or f"{low} to {high}{' ' + unit if unit else ''}",
        drivers=drivers,
    )


def _word(name: str, drivers: str, choices: str = "") -> Attribute[str]:
    rule = f"one of {choices}" if choices else f"a name that available_{name}s lists"
    return Attribute(name=name, parse=text.word, write=str, rule=rule, drivers=drivers)


def _names(name: str, drivers: str = ALL) -> Attribute[tuple[str, ...]]:
    return Attribute(name=name, parse=text.names, drivers=drivers)


U16: Final = 0xFFFF
U31: Final = 0x7FFF_FFFF
U32: Final = 0xFFFF_FFFF

SERIALNUM: Final = Attribute(name="serialnum", parse=text.eui48)
GNSS_SYNC: Final = Attribute(name="gnss_sync", parse=text.gnss_sync)
CLOCK_SOURCE: Final = Attribute(
    name="clock_source",
    parse=text.word_or_null,
    write=lambda name: str(name),
    rule="a name that available_clock_sources lists",
)
AVAILABLE_CLOCK_SOURCES: Final = _names("available_clock_sources")
_SMA_RULE: Final = (
    "'IN: name ...' or 'OUT: name' of available_sma_inputs and available_sma_outputs; "
    "the image may have fixed the direction or the function"
)
SMA: Final[tuple[Attribute[text.SmaText], ...]] = tuple(
    Attribute(name=f"sma{n}", parse=text.sma, write=text.sma_command, rule=_SMA_RULE) for n in range(1, 5)
)
SMA_OLD: Final[tuple[Attribute[text.SmaText], ...]] = tuple(
    Attribute(name=name, parse=text.sma_names(direction), drivers=OLD)
    for name, direction in (("sma1_in", "in"), ("sma2_in", "in"), ("sma3_out", "out"), ("sma4_out", "out"))
)
"""Before directions could be switched: two inputs, two outputs."""
AVAILABLE_SMA_INPUTS: Final = _names("available_sma_inputs")
AVAILABLE_SMA_OUTPUTS: Final = _names("available_sma_outputs")
CLOCK_STATUS_DRIFT: Final = _shown("clock_status_drift", "ns/s")
CLOCK_STATUS_OFFSET: Final = _shown("clock_status_offset", "ns")
IRIG_B_MODE: Final = _number("irig_b_mode", "", 0, 7)
UTC_TAI_OFFSET: Final = _number(
    "utc_tai_offset", "s", 0, U31, rule="seconds; the time-of-day slave's own value replaces it within 1 s"
)
TS_WINDOW_ADJUST: Final = _number("ts_window_adjust", "ns", 0, U31)
TOD_CORRECTION: Final = _number("tod_correction", "s", -U31, U31)
EXTERNAL_PPS_CABLE_DELAY: Final = _number("external_pps_cable_delay", "ns", -U31, U31, drivers=V2)
INTERNAL_PPS_CABLE_DELAY: Final = _number("internal_pps_cable_delay", "ns", -U31, U31, drivers=V2)
EXTERNAL_PPS_PULSE_WIDTH: Final = _number("external_pps_pulse_width", "ms", 0, 1023, drivers=V3)
HOLDOVER: Final = _number(
    "holdover", "", 0, 3, drivers=V2, rule="0 automatic, 1 SMA, 2 MAC, 3 GNSS; needs a PPS selector"
)
MAC_I2C: Final = _number("mac_i2c", "", -1, 1, drivers=V2, rule="0 UART, 1 I2C (-1 reads as neither)")
TOD_PROTOCOL: Final = _word("tod_protocol", V2)
TOD_BAUD_RATE: Final = Attribute(
    name="tod_baud_rate",
    parse=text.integer,
    unit="baud",
    write=str,
    rule="a rate that available_tod_baud_rates lists",
    drivers=V2,
)

SIGNAL: Final = Attribute(
    name="signal",
    parse=text.signal,
    directory=GEN,
    write=text.signal_command,
    rule="period_ns [duty_percent [phase_ns [polarity]]]: duty 1 to 99, pulse up to the period, "
    "start at least 1 ms ahead",
)
GEN_DUTY: Final = _shown("duty", "%", directory=GEN)
GEN_PERIOD: Final = _shown("period", "ns", directory=GEN)
GEN_PHASE: Final = _shown("phase", "ns", directory=GEN)
GEN_POLARITY: Final = _shown("polarity", "", directory=GEN)
GEN_RUNNING: Final = _shown("running", "", directory=GEN)
GEN_START: Final = Attribute(name="start", parse=text.start_ns, unit="ns TAI", directory=GEN)
GEN_REPEAT_COUNT: Final = _number("repeat_count", "pulses", 0, U32, drivers=V3, directory=GEN)
GEN_CABLE_DELAY: Final = _number("cable_delay", "ns", 0, U16, drivers=V3, directory=GEN)
FREQ_SECONDS: Final = _number("seconds", "s", 0, 255, directory=FREQ, rule="0 (off) to 255 s")
FREQ_FREQUENCY: Final = Attribute(
    name="frequency", parse=text.frequency, unit="Hz", directory=FREQ, may_be_empty=True
)
TTYS: Final[tuple[Attribute[str], ...]] = tuple(
    Attribute(name=name, parse=text.tty_name, directory=TTY)
    for name in ("ttyGNSS", "ttyGNSS2", "ttyMAC", "ttyNMEA")
)

_V3_NUMBERS: Final = (
    *("optional_image_contract", "external_pps_polarity", "internal_pps_polarity"),
    *("irig_output_mode", "irig_input_mode", "irig_output_control_bits"),
    *("irig_output_am", "irig_input_code", "irig_input_manual_year", "irig_input_am"),
    *("irig_input_cable_delay", "dcf_input_air_delay", "dcf_input_bit_position", "nmea_enable"),
    *("nmea_uart_polarity", "nmea_baud_rate", "nmea_correction_seconds", "nmea_local_offset_minutes"),
    *("nmea_message_disable_mask", "tod_message_disable_mask", "tod_uart_polarity"),
)
_V3_SHOWN: Final = (
    *("irig_output_error", "irig_input_error", "dcf_output_error", "dcf_input_error"),
    *("nmea_errors", "tod_errors"),
)
_VENDOR_ONLY: Final[tuple[Attribute[Any], ...]] = (
    *(_number(name, "", -U31, U32, drivers=V3, rule="a number in the range of this core's version")
      for name in _V3_NUMBERS),
    *(Attribute(name=name, parse=text.line, drivers=V3) for name in _V3_SHOWN),
    *(_word(name, V3) for name in ("nmea_gnss", "tod_gnss")),
    *(_names(f"available_{name}", V3) for name in ("nmea_baud_rates", "nmea_gnss", "tod_gnss")),
    *(_names(f"available_{name}", V2) for name in ("tod_protocols", "tod_baud_rates")),
)  # fmt: skip

_Rows = tuple[Attribute[Any], ...]
_CARD: Final[_Rows] = (SERIALNUM, GNSS_SYNC, CLOCK_SOURCE, AVAILABLE_CLOCK_SOURCES, UTC_TAI_OFFSET)
_CLOCK: Final[_Rows] = (
    CLOCK_STATUS_DRIFT,
    CLOCK_STATUS_OFFSET,
    TS_WINDOW_ADJUST,
    TOD_CORRECTION,
    IRIG_B_MODE,
)
_SMA: Final[_Rows] = (*SMA, *SMA_OLD, AVAILABLE_SMA_INPUTS, AVAILABLE_SMA_OUTPUTS)
_VENDOR: Final[_Rows] = (
    EXTERNAL_PPS_CABLE_DELAY,
    INTERNAL_PPS_CABLE_DELAY,
    EXTERNAL_PPS_PULSE_WIDTH,
    HOLDOVER,
    MAC_I2C,
    TOD_PROTOCOL,
    TOD_BAUD_RATE,
    GEN_REPEAT_COUNT,
    GEN_CABLE_DELAY,
)
_GEN: Final[_Rows] = (SIGNAL, GEN_DUTY, GEN_PERIOD, GEN_PHASE, GEN_POLARITY, GEN_RUNNING, GEN_START)
_FREQ: Final[_Rows] = (FREQ_SECONDS, FREQ_FREQUENCY)
_ROWS: Final[_Rows] = (*_CARD, *_CLOCK, *_SMA, *_GEN, *_FREQ, *TTYS, *_VENDOR, *_VENDOR_ONLY)
ATTRIBUTES: Final[Mapping[str, Attribute[Any]]] = MappingProxyType(
    {f"{row.directory}/{row.name}" if row.directory else row.name: row for row in _ROWS}
)
"""By name, with the directory (without its number) in front: ``sma1``, ``gen/signal``, ``tty/ttyMAC``."""
