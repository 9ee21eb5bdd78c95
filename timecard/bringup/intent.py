"""The intent: what a card shall be like, in the same words for every board. ``intent_file`` reads it.

Absent tables are not asked for: nothing of the card is touched that the intent does not name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from timecard.boards.registers import CLOCK_SOURCES
from timecard.bringup.delays import DelayLedger, DelayRow
from timecard.card_values import GeneratorSettings, PpsSource
from timecard.gnss.intent import TIME_CARD, GnssIntent

VERSION: Final = 1
"""Version of the intent file's format."""
Direction = Literal["in", "out", "off"]
AUTO: Final = "auto"
PPS_CHOICES: Final = (AUTO, *(source.name.lower() for source in PpsSource))
CLOCK_10MHZ_CHOICES: Final = ("sma", "mac", "onboard")
SOURCE_CHOICES: Final = tuple(CLOCK_SOURCES.values())
ACCESS_CHOICES: Final = ("kernel", "resource0", "vfio")


@dataclass(frozen=True, slots=True, kw_only=True)
class CardIntent:
    """``[card]``: which card; with no key, the only card there is."""

    id: str | None = None
    pci: str | None = None
    vfio_user: Path | None = None
    access: str | None = None
    """``kernel``, ``resource0`` or ``vfio``; None: what fits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorIntent:
    """``[doctor]``: what its findings mean for the rest."""

    stop_on_error: bool = False
    """Do nothing further when doctor finds an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionIntent:
    """``[selection]``: what the clock counts and follows. None: as it is."""

    clock_10mhz: str | None = None
    """Which 10 MHz the FPGA shall run on: ``sma``, ``mac``, ``onboard``."""
    pps: str | None = None
    """Which pulse the clock's servo shall get: ``auto`` (SMA before MAC before GNSS), or one of them."""
    clock_source: str | None = None
    """What the clock follows: ``PPS``, ``REGS``, ..."""
    wait_s: float = 0.0
    """How long the card may take until it shows the selection: an oscillator's pulse comes late."""
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverIntent:
    """``[receiver]``: the time receiver on the GNSS port."""

    survey_s: int = 1_200
    survey_accuracy_m: float = 5.0
    position: tuple[float, float, float] | None = None
    """Latitude and longitude in degrees (WGS 84), height above the ellipsoid in m; None: survey."""
    position_accuracy_m: float = 1.0
    settings: GnssIntent = TIME_CARD
    """Everything else, with what a Time Card needs: signals, pulse, rate, ... Its ``position``, ``store`` and
    ``cable_delay_ns`` count for nothing here."""
    store: str = "battery"
    """Where changes are kept: ``ram``, ``battery`` (RAM and battery-backed RAM), ``flash`` (all)."""
    wait_fix_s: float = 0.0
    """How long to wait for a fix; 0: do not."""
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OscillatorIntent:
    """``[oscillator]``: the module on the MAC port."""

    family: str | None = None
    """As in ``timecard.mac.oscillators``, such as ``sa5x``; None: whichever answers."""
    locked: bool = True
    """It shall have reached its atomic line."""
    wait_lock_s: float = 0.0
    """How long it may take for that."""
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SmaIntent:
    """One row of ``[[sma]]``."""

    connector: int
    direction: Direction
    functions: tuple[str, ...] = ()
    """Vendor-neutral names; ``10MHz`` for an input or output without function bits."""
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputIntent:
    """One row of ``[[outputs]]``: a signal generator. ``settings`` None: it shall be stopped."""

    generator: int
    settings: GeneratorSettings | None
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterIntent:
    """One row of ``[[counters]]``: a frequency counter; gate 0 switches it off."""

    counter: int
    gate_s: int
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeIntent:
    """``[time]``: the clock shall show the right time."""

    source: Literal["receiver", "host"] = "receiver"
    """Who tells the second."""
    limit_s: float = 0.5
    """A clock nearer than this is left alone: the phase is the servo's business."""
    wait_s: float = 60.0
    """How long the receiver may take until it knows the time."""
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofIntent:
    """``[proof]``: the phase of the GNSS pulse against the clock's own pulse."""

    limit_ns: float = 1_000.0
    """Every pulse of the proof is at most this far away."""
    seconds: int = 10
    """That many pulses in a row."""
    wait_s: float = 120.0
    """How long it may take until they are found."""
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """Everything that is wanted of one card."""

    card: CardIntent = CardIntent()
    doctor: DoctorIntent = DoctorIntent()
    selection: SelectionIntent | None = None
    receiver: ReceiverIntent | None = None
    oscillator: OscillatorIntent | None = None
    sma: tuple[SmaIntent, ...] = ()
    delays: tuple[DelayRow, ...] | None = None
    """Rows of the ledger; None: registers stay as they are, an empty one: nothing is compensated."""
    delays_required: bool = False
    """A delay register that cannot be written is an error."""
    outputs: tuple[OutputIntent, ...] = ()
    counters: tuple[CounterIntent, ...] = ()
    time: TimeIntent | None = None
    proof: ProofIntent | None = None
    source: str = "intent"
    """The file it came from."""
    digest: str = ""
    """Of that file: a journal belongs to one intent."""

    @property
    def ledger(self) -> DelayLedger:
        """The delay ledger."""
        return DelayLedger(self.delays or ())
