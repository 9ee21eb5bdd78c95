"""A whole virtual card: world, physics, serial devices and FPGA put together, with faults and the truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from timecard.boards.board import Role
from timecard.emulator.capture import CaptureReceiver
from timecard.emulator.csac import EmulatedCsac
from timecard.emulator.fault_handlers import Parts, handlers_for
from timecard.emulator.faults import Agenda, FaultBoard, read_schedule
from timecard.emulator.fpga import FpgaCard
from timecard.emulator.fpga_latches import CAPACITY, Latch
from timecard.emulator.gnss_noise import GnssPhysics, RecordedPulses, model_gnss
from timecard.emulator.mac_names import ON_I2C
from timecard.emulator.mac_parts import MAC_PARTS, Fitting
from timecard.emulator.models import GNSS_RECEIVERS, OSCILLATORS
from timecard.emulator.mro50 import EmulatedMro50
from timecard.emulator.options import NO_MAC, CardOptions, options_from
from timecard.emulator.oscillator import OscillatorPhysics, RecordedGrid, model_oscillator, stream_for
from timecard.emulator.pct2075 import Pct2075
from timecard.emulator.receiver_core import ReceiverCore
from timecard.emulator.receiver_kinds import make_receiver
from timecard.emulator.receiver_navigation import Start
from timecard.emulator.sa3xm import EmulatedSa3xm
from timecard.emulator.sa5x import EmulatedSa5x
from timecard.emulator.sa5x_engine import InputPulses
from timecard.emulator.serial_part import SerialPart
from timecard.emulator.series import Playback, read_frequency_ppb, read_phase_ns
from timecard.emulator.temperature import TemperatureWorld
from timecard.emulator.world import VirtualTime, WorldTime
from timecard.protocols import RegisterBus
from timecard.timebase import Timebase
from timecard.timescale import NS_PER_S, TAI_MINUS_UTC_2017_S

_RECORDED_UNLOCKED_PPB: Final = 40.0
_RECORDED_WARMUP_S: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What nobody on the real side of the card can know."""

    true_tai_ns: int
    card_tai_ns: int
    """What the card's clock shows at that instant, cut to whole ns."""
    card_error_ns: float
    """The card's clock minus true TAI; exact while they are within hours of one another."""
    host_offset_ns: float
    """The host's clock (as TAI) minus true TAI."""
    mono_raw_ns: int
    """CLOCK_MONOTONIC_RAW at that instant."""
    gnss_error_ns: float | None
    """How late the newest computed pulse of the receiver is, antenna delay and sawtooth included."""
    free_oscillator_ns: float
    """Phase that the oscillator would have without any steering."""
    series_ended: bool
    """A recorded series without repetition is over: what comes now is not recorded any more."""

    @property
    def host_realtime_ns(self) -> int:
        """The host's CLOCK_REALTIME at that instant."""
        return self.true_tai_ns + round(self.host_offset_ns) - TAI_MINUS_UTC_2017_S * NS_PER_S


class VirtualCard:
    """The assembled card. One thread at a time."""

    def __init__(self, options: CardOptions, world: WorldTime, agenda: Agenda, name: str) -> None:
        """Raises ``ValueError`` (``OptionError``, ``SeriesError``, ``FaultError``) for unusable options."""
        self.options = options
        self.world = world
        start_tai_ns = world.true_tai_ns()
        schedule = read_schedule(Path(options.faults)) if options.faults is not None else []
        self.oscillator = _make_oscillator(options, start_tai_ns)
        self.gnss = _make_gnss(options, start_tai_ns)
        self.receiver = _make_receiver(options, self.gnss, start_tai_ns)
        self.mac = (
            _make_mac(options, self.oscillator, self.receiver, start_tai_ns) if options.has_mac else None
        )
        mac = self.mac
        self.fpga = FpgaCard(
            self.oscillator,
            self.receiver,
            mac if isinstance(mac, EmulatedSa5x | EmulatedCsac | EmulatedSa3xm) else None,
            {"gnss": self.receiver} | ({} if mac is None else {"mac": mac}),
            world,
            board=options.family,
            cables=options.sma_cables(),
            signals=options.sma_signals(),
            tod=self.receiver.tod_status,
            mro50=mac if isinstance(mac, EmulatedMro50) else None,
            clock_10mhz="onboard" if options.mac == NO_MAC else "mac",
            mac_chips=(Pct2075(self.oscillator.temperature_c),) if options.mac in ON_I2C else (),
            start_card_tai_ns=_clock_start_ns(options),
            name=name,
            clock_version=_version(options.clock_core_version),
            serial=options.pci_serial,
            ptm=options.ptm,
            msix=options.interrupts == "msix",
            strict=options.strict,
            cold=options.start == "cold",
            options=options,
        )
        parts = Parts(self.fpga, self.oscillator, self.gnss, self.receiver, self.mac)
        self.faults = FaultBoard(handlers_for(parts), agenda, world.true_tai_ns)
        self.faults.schedule(schedule, start_tai_ns)
        ends = (self.oscillator.series_end_tai_ns(), _end_ns(self.gnss))
        self.series_end_tai_ns = min((end for end in ends if end is not None), default=None)
        """When the first recorded series ends; None when nothing ends."""

    def truth(self) -> Truth:
        """The truth now."""
        sample = self.world.sample()
        t_ns = sample.true_tai_ns
        end_ns = self.series_end_tai_ns
        return Truth(
            true_tai_ns=t_ns,
            card_tai_ns=self.fpga.card_tai_ns(t_ns),
            card_error_ns=self.fpga.card_error_ns(t_ns),
            host_offset_ns=self.world.host_offset_ns(),
            mono_raw_ns=sample.mono_raw_ns,
            gnss_error_ns=self.gnss.newest_error_ns,
            free_oscillator_ns=self.oscillator.free_phase_ns(t_ns),
            series_ended=end_ns is not None and t_ns >= end_ns,
        )

    def set_world(self, offset_ns: int | None = None, rate_ppb: float | None = None) -> float:
        """Change the offset or rate of true time from now on; returns the seconds that a new offset takes."""
        if rate_ppb is not None:
            self.world.set_rate_ppb(rate_ppb)
        return 0.0 if offset_ns is None else self.world.set_offset_ns(offset_ns)


class InProcessCard:
    """A card in virtual time for a single thread: time moves only in ``timebase.sleep_s``."""

    def __init__(self, options: CardOptions) -> None:
        world = VirtualTime(options.start_tai_ns, options.world_offset_ns, options.world_rate_ppb)
        self.card = VirtualCard(options, world, world, name="virtual card")
        self.bus: RegisterBus = self.card.fpga
        self.timebase: Timebase = world

    def inject(self, name: str, seconds: float | None = None, **arguments: Any) -> None:
        """Begin a fault; it ends after ``seconds``, if given. Raises ``FaultError``."""
        self.card.faults.inject(name, seconds, **arguments)

    def clear(self, name: str | None = None) -> None:
        """End a fault, or all."""
        self.card.faults.clear(name)

    def truth(self) -> Truth:
        """The truth now."""
        return self.card.truth()

    def latches(self, since: int = 0) -> list[Latch]:
        """The clock's snapshots from a number on, as many as are kept."""
        return self.card.fpga.latches.since(since, CAPACITY)

    def power_cycle(self) -> None:
        """Off and on again: the FPGA boots from its flash; receiver and oscillator keep their state."""
        self.card.fpga.power_cycle()

    def set_world(self, offset_ns: int | None = None, rate_ppb: float | None = None) -> None:
        """Step the emulated host's clock, or let it run at another rate from now on."""
        self.card.set_world(offset_ns, rate_ppb)

    @property
    def series_ended(self) -> bool:
        """A recorded series without repetition is over."""
        return self.truth().series_ended


def build_in_process(**options: Any) -> InProcessCard:
    """A card in this process, in virtual time; options as in ``CardOptions``. Raises ``ValueError``."""
    return InProcessCard(options_from(options))


def _make_oscillator(options: CardOptions, start_tai_ns: int) -> OscillatorPhysics:
    source = options.oscillator_source
    temperature = TemperatureWorld(
        base_c=options.temperature_c, daily_amplitude_c=options.daily_temperature_c
    )
    offset_ppb = None if options.y0 is None else options.y0 * 1e9
    if isinstance(source, str):
        return model_oscillator(
            OSCILLATORS[source],
            options.seed,
            start_tai_ns,
            temperature=temperature,
            offset_ppb=offset_ppb,
            cold=options.start == "cold",
        )
    values = read_frequency_ppb(source)
    grid = RecordedGrid(Playback(values, start_tai_ns // NS_PER_S, repeat=options.repeat_series))
    return OscillatorPhysics(grid, start_tai_ns, temperature=temperature, offset_ppb=offset_ppb or 0.0)


def _make_gnss(options: CardOptions, start_tai_ns: int) -> GnssPhysics:
    start_s = start_tai_ns // NS_PER_S
    if options.gnss_phase is None:
        return model_gnss(GNSS_RECEIVERS[options.gnss], options.seed, start_s, options.antenna_delay_ns)
    values = read_phase_ns(Path(options.gnss_phase))
    playback = Playback(values, start_s, repeat=options.repeat_series)
    return GnssPhysics(RecordedPulses(playback), options.antenna_delay_ns)


def _make_receiver(
    options: CardOptions, gnss: GnssPhysics, start_tai_ns: int
) -> ReceiverCore | CaptureReceiver:
    baud = options.gnss_baud
    if options.gnss_capture is not None:
        return CaptureReceiver(Path(options.gnss_capture), gnss, start_tai_ns, seed=options.seed, baud=baud)
    start = Start.COLD if options.start == "cold" else Start.HOT
    # The only cable is that of ``antenna_delay_ns``, which nobody has told the receiver of.
    return make_receiver(
        options.receiver, gnss, start_tai_ns, seed=options.seed, start=start, baud=baud, cable_delay_ns=0
    )


def _make_mac(
    options: CardOptions, oscillator: OscillatorPhysics, pulses: InputPulses, start_tai_ns: int
) -> SerialPart:
    source = options.oscillator_source
    model = OSCILLATORS.get(source) if isinstance(source, str) else None
    warmup_s = model.warmup_lock_s if model else _RECORDED_WARMUP_S
    warmup_s = warmup_s if options.start == "cold" else 0.0
    unlocked_ppb = model.unlocked_offset * 1e9 if model else _RECORDED_UNLOCKED_PPB
    fitting = Fitting(
        oscillator=oscillator,
        pulses=pulses,
        start_tai_ns=start_tai_ns,
        seed=options.seed,
        warmup_s=warmup_s,
        unlocked_offset_ppb=unlocked_ppb,
        baud=options.family.serial_ports[Role.MAC].baud,
        firmware=options.mac_firmware,
    )
    return MAC_PARTS[options.mac](fitting)


def _end_ns(gnss: GnssPhysics) -> int | None:
    end_s = gnss.series_end_s()
    return None if end_s is None else end_s * NS_PER_S


def _clock_start_ns(options: CardOptions) -> int:
    if options.clock_start_tai_ns is not None:
        return options.clock_start_tai_ns
    return int(stream_for(options.seed, "power-on").integers(NS_PER_S))


def _version(word: int) -> tuple[int, int, int]:
    return word >> 24, word >> 16 & 0xFF, word & 0xFFFF
