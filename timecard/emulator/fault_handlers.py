"""What each fault does to the parts of a virtual card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from timecard.emulator.capture import CaptureReceiver
from timecard.emulator.card_faults import card_handlers
from timecard.emulator.faults import Start, Stop
from timecard.emulator.fpga import FpgaCard
from timecard.emulator.gnss_noise import Disturbance, GnssPhysics
from timecard.emulator.mac_faults import mac_handlers
from timecard.emulator.oscillator import OscillatorPhysics
from timecard.emulator.receiver_core import ReceiverCore
from timecard.emulator.receiver_faults import receiver_handlers
from timecard.emulator.serial_part import SerialPart
from timecard.timescale import NS_PER_S, S_PER_WEEK
from timecard.values import AntennaStatus

Arguments = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Parts:
    """What faults act on."""

    fpga: FpgaCard
    oscillator: OscillatorPhysics
    gnss: GnssPhysics
    receiver: ReceiverCore | CaptureReceiver
    mac: SerialPart | None


def handlers_for(parts: Parts) -> dict[str, Start]:
    """The faults that a card of these parts can have."""
    handlers: dict[str, Start] = {
        **card_handlers(parts.fpga),
        "pps-glitch": partial(_pps_glitch, parts.gnss),
        "pps-step": partial(_pps_step, parts.gnss),
        "pps-ramp": partial(_pps_ramp, parts.gnss),
        "pps-stop": partial(_pps_stop, parts.gnss),
        "frequency-jump": partial(_frequency_jump, parts.oscillator),
        "temperature-step": partial(_temperature_step, parts.oscillator),
        "wrong-time": partial(_wrong_time, parts.receiver),
        "dead-card": partial(_dead_card, parts.fpga),
    }
    if isinstance(parts.receiver, ReceiverCore):  # a recording has its own sky
        handlers["antenna-cut"] = partial(_antenna_cut, parts.receiver)
        handlers["jam"] = partial(_jam, parts.receiver)
        handlers |= receiver_handlers(parts.receiver)
    talking = [part for part in (parts.receiver, parts.mac) if isinstance(part, ReceiverCore | SerialPart)]
    if talking:
        handlers["serial-garbage"] = partial(_serial_garbage, talking)
    if parts.mac is not None:
        handlers["mac-unlock"] = partial(_mac_unlock, parts.mac, parts.oscillator)
        handlers |= mac_handlers(parts.mac)
    return handlers


def _next_second(t_ns: int) -> int:
    """The first second whose pulse cannot have left yet."""
    return t_ns // NS_PER_S + 1


def _ends(gnss: GnssPhysics, disturbance: Disturbance) -> Stop:
    return lambda t_ns: gnss.end(disturbance, _next_second(t_ns))


def _pps_glitch(gnss: GnssPhysics, t_ns: int, arguments: Arguments) -> Stop:
    return _ends(gnss, gnss.glitch(_next_second(t_ns), arguments["late_ns"], int(arguments["count"])))


def _pps_step(gnss: GnssPhysics, t_ns: int, arguments: Arguments) -> Stop:
    return _ends(gnss, gnss.step(_next_second(t_ns), arguments["late_ns"]))


def _pps_ramp(gnss: GnssPhysics, t_ns: int, arguments: Arguments) -> Stop:
    return _ends(gnss, gnss.ramp(_next_second(t_ns), arguments["ns_per_s"]))


def _pps_stop(gnss: GnssPhysics, t_ns: int, arguments: Arguments) -> Stop:
    return _ends(gnss, gnss.stop(_next_second(t_ns)))


def _antenna_cut(receiver: ReceiverCore, t_ns: int, arguments: Arguments) -> Stop:
    def connect(t_ns: int) -> None:
        receiver.advance(t_ns)
        receiver.antenna = AntennaStatus.OK

    receiver.advance(t_ns)
    receiver.antenna = AntennaStatus.OPEN
    return connect


def _jam(receiver: ReceiverCore, t_ns: int, arguments: Arguments) -> Stop:
    def end(t_ns: int) -> None:
        receiver.advance(t_ns)
        receiver.jam_db = 0.0

    receiver.advance(t_ns)
    receiver.jam_db = arguments["drop_db"]
    return end


def _wrong_time(receiver: ReceiverCore | CaptureReceiver, t_ns: int, arguments: Arguments) -> Stop:
    def end(t_ns: int) -> None:
        receiver.advance(t_ns)
        receiver.time_offset_s = 0

    receiver.advance(t_ns)
    receiver.time_offset_s = int(arguments["weeks"]) * S_PER_WEEK or int(arguments["off_s"])
    return end


def _serial_garbage(devices: list[ReceiverCore | SerialPart], t_ns: int, arguments: Arguments) -> Stop:
    def set_garbage(t_ns: int, count: int) -> None:
        for device in devices:
            device.advance(t_ns)
            device.garbage_bytes = count

    set_garbage(t_ns, int(arguments["bytes"]))
    return lambda t_ns: set_garbage(t_ns, 0)


def _mac_unlock(mac: SerialPart, oscillator: OscillatorPhysics, t_ns: int, arguments: Arguments) -> Stop:
    def relock(t_ns: int) -> None:
        mac.relock(t_ns)
        oscillator.set_disturbance_ppb(t_ns, 0.0, "mac-unlock")

    mac.unlock(t_ns)
    oscillator.set_disturbance_ppb(t_ns, arguments["offset_ppb"], "mac-unlock")
    return relock


def _frequency_jump(oscillator: OscillatorPhysics, t_ns: int, arguments: Arguments) -> Stop:
    oscillator.set_disturbance_ppb(t_ns, arguments["ppb"], "frequency-jump")
    return lambda t_ns: oscillator.set_disturbance_ppb(t_ns, 0.0, "frequency-jump")


def _temperature_step(oscillator: OscillatorPhysics, t_ns: int, arguments: Arguments) -> Stop:
    oscillator.step_temperature(t_ns, arguments["delta_c"])
    return lambda t_ns: oscillator.step_temperature(t_ns, -arguments["delta_c"])


def _dead_card(fpga: FpgaCard, t_ns: int, arguments: Arguments) -> Stop:
    def revive(t_ns: int) -> None:
        fpga.dead = False

    fpga.dead = True
    return revive
