"""The faults that there are: a table of names, what they do, and the numbers they take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


class FaultError(ValueError):
    """A request that cannot be carried out; one line that says what to change."""


@dataclass(frozen=True, slots=True)
class Argument:
    """A number that a fault takes."""

    name: str
    default: float
    minimum: float
    maximum: float
    whole: bool = False

    def check(self, value: object) -> float:
        """The value as a number in range; raises ``FaultError``."""
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                value = None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise FaultError(f"{self.name}: must be a number")
        if not self.minimum <= value <= self.maximum:
            raise FaultError(f"{self.name}={value:g}: must be between {self.minimum:g} and {self.maximum:g}")
        if self.whole and value != int(value):
            raise FaultError(f"{self.name}={value:g}: must be a whole number")
        return value


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One kind of fault; its first argument is its magnitude."""

    says: str
    arguments: tuple[Argument, ...] = ()


FAULTS: Final[Mapping[str, FaultKind]] = MappingProxyType(
    {
        "antenna-cut": FaultKind("antenna open: satellites and fix go, then the pulse"),
        "jam": FaultKind("interference: C/N0 falls, then the fix goes", (Argument("drop_db", 30, 1, 60),)),
        "pps-glitch": FaultKind(
            "pulses at the wrong time",
            (Argument("late_ns", 500, -4e8, 4e8), Argument("count", 1, 1, 1000, whole=True)),
        ),
        "pps-step": FaultKind("all pulses late from now on", (Argument("late_ns", 500, -4e8, 4e8),)),
        "pps-ramp": FaultKind("pulses run away, as in spoofing", (Argument("ns_per_s", 1, -1e6, 1e6),)),
        "pps-stop": FaultKind("no pulses while messages go on"),
        "wrong-time": FaultKind(
            "the receiver names a wrong second, or a wrong week if weeks is given",
            (Argument("off_s", 1, -4e9, 4e9, whole=True), Argument("weeks", 0, -5000, 5000, whole=True)),
        ),
        "mac-unlock": FaultKind(
            "the atomic clock loses its lock: its model's frequency error, and so much more",
            (Argument("offset_ppb", 0, -1e3, 1e3),),
        ),
        "frequency-jump": FaultKind("the oscillator jumps in frequency", (Argument("ppb", 0.01, -1e3, 1e3),)),
        "temperature-step": FaultKind("the air becomes warmer", (Argument("delta_c", 10, -60, 60),)),
        "serial-garbage": FaultKind(
            "noise on the lines of receiver and oscillator: so many bytes with each epoch or answer",
            (Argument("bytes", 20, 1, 1000, whole=True),),
        ),
        "dead-card": FaultKind("off the bus: every register reads all ones"),
        "clock-stopped": FaultKind("the card's clock stands still"),
        "clock-1970": FaultKind("the clock begins anew in 1970 and nothing sets it"),
        "done-stuck": FaultKind(
            "bit 31 of the clock's control word keeps a level", (Argument("high", 0, 0, 1, whole=True),)
        ),
        "adjust-ignored": FaultKind("the clock ignores time, offset and drift from the registers"),
        "no-10mhz": FaultKind(
            "the FPGA counts its on-board oscillator", (Argument("offset_ppb", -5_000, -50_000, 50_000),)
        ),
        "pps-select-wrong": FaultKind(
            "the PPS selector is forced: 1 SMA, 2 MAC, 3 GNSS", (Argument("source", 1, 1, 3, whole=True),)
        ),
        "tod-errors": FaultKind(
            "the time-of-day slave reports errors: 1 parser, 2 checksum, 4 UART",
            (Argument("bits", 7, 1, 7, whole=True),),
        ),
        "tod-leap-wrong": FaultKind(
            "the time-of-day slave takes TAI - UTC for another than it heard",
            (Argument("off_s", 1, -30, 30, whole=True),),
        ),
        "loader-image": FaultKind("the image word is that of the golden image"),
        "wrong-image": FaultKind("the image word has the tag of another card"),
        "gnss-silent": FaultKind("nothing comes from the receiver's line, for the time-of-day slave neither"),
        "mac-silent": FaultKind("nothing comes from the oscillator's line"),
        "mac-truncated": FaultKind("the oscillator's answers end half way"),
        "mac-late": FaultKind("the oscillator's answers come late", (Argument("late_ms", 3_000, 1, 60_000),)),
        "mac-wrong-echo": FaultKind("the last digit of each answer of the oscillator is another one"),
        "mac-wrong-speed": FaultKind("the oscillator talks at another rate: both sides see noise"),
        "mac-reset": FaultKind("the oscillator restarts in the middle of its next answer"),
        "mac-power-cut": FaultKind("the oscillator has no supply", (Argument("off_s", 1, 0.001, 1e5),)),
        "mac-alarm": FaultKind(
            "an SA5X or CSAC reports alarm bits", (Argument("bits", 1, 1, 2**31, whole=True),)
        ),
        "antenna-short": FaultKind("short circuit in the antenna line: no supply, no satellites"),
        "antenna-unpowered": FaultKind("the antenna supply is off: signals of a dead amplifier"),
        "signal-drop": FaultKind(
            "C/N0 falls and the interference monitor sees nothing", (Argument("drop_db", 18, 1, 60),)
        ),
        "spoof": FaultKind(
            "the receiver's detector says spoofing: 2 indicated, 3 sure",
            (Argument("state", 2, 0, 3, whole=True),),
        ),
        "few-satellites": FaultKind("so few are in the sky", (Argument("count", 2, 0, 32, whole=True),)),
        "position-jump": FaultKind(
            "the position is found elsewhere", (Argument("north_m", 100, -10_000, 10_000),)
        ),
        "survey-lost": FaultKind("the receiver surveys its position again"),
        "leap-wrong": FaultKind("TAI - UTC is off", (Argument("off_s", 1, -60, 60, whole=True),)),
        "leap-announced": FaultKind(
            "a leap second is announced that nobody decided",
            (
                Argument("change", 1, -1, 1, whole=True),
                Argument("in_s", 100_000, 0, 2e7, whole=True),
            ),
        ),
        "leap-hidden": FaultKind("the announcement of a leap second disappears"),
        "leap-unknown": FaultKind("the receiver does not know its leap seconds"),
        "time-invalid": FaultKind("date and time are marked invalid"),
        "time-frozen": FaultKind("the same second is told again and again"),
        "time-inaccurate": FaultKind(
            "the receiver's estimate of its error", (Argument("accuracy_ns", 100_000, 0, 4e9, whole=True),)
        ),
        "date-unset": FaultKind("the date is that of GPS week 0"),
        "label-wrong": FaultKind(
            "the next pulse is named by another second", (Argument("off_s", 1, -1000, 1000, whole=True),)
        ),
        "label-missing": FaultKind("the next pulse is not named"),
        "pulse-unlocked": FaultKind("the pulse is marked not locked, where the receiver can say so"),
        "qerr-invalid": FaultKind("the quantisation error is marked invalid"),
        "epochs-missing": FaultKind("no message with a time, others go on"),
        "epochs-repeated": FaultKind("everything is sent twice"),
        "epochs-late": FaultKind("everything is sent late", (Argument("late_s", 1.5, 0, 60),)),
        "receiver-silent": FaultKind("the receiver sends nothing; its pulses go on"),
        "receiver-restart": FaultKind(
            "a short power cut: 0 cold, 1 warm, 2 hot start", (Argument("start", 2, 0, 2, whole=True),)
        ),
        "generator-error": FaultKind(
            "a signal generator ends with an error", (Argument("generator", 1, 1, 4, whole=True),)
        ),
        "ptm-wrong": FaultKind(
            "PTM's master time is wrong", (Argument("offset_ns", 50_000, -1e9, 1e9, whole=True),)
        ),
        "eeprom-unreadable": FaultKind("no memory answers on the I2C bus"),
        "flash-dead": FaultKind("the flash answers nothing but ones"),
    }
)
