"""What faults do to the oscillator module on the MAC port, and to its line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from timecard.emulator.csac import EmulatedCsac
from timecard.emulator.faults import Start, Stop
from timecard.emulator.sa5x import EmulatedSa5x
from timecard.emulator.serial_part import SerialPart

Arguments = Mapping[str, float]
_SWITCHES: Final[Mapping[str, tuple[str, Callable[[Arguments], float]]]] = {
    "mac-truncated": ("truncated", lambda arguments: True),
    "mac-late": ("late_ns", lambda arguments: round(arguments["late_ms"] * 1e6)),
    "mac-wrong-echo": ("wrong_echo", lambda arguments: True),
    "mac-wrong-speed": ("wrong_speed", lambda arguments: True),
    "mac-reset": ("reset_in_command", lambda arguments: True),
}
"""Attribute of the part, and its value while the fault lasts; each is false or 0 without."""


def mac_handlers(mac: SerialPart) -> dict[str, Start]:
    """The faults that this part can have."""
    handlers: dict[str, Start] = {name: partial(_switch, mac, name) for name in _SWITCHES}
    handlers["mac-power-cut"] = partial(_power_cut, mac)
    if isinstance(mac, EmulatedSa5x | EmulatedCsac):
        handlers["mac-alarm"] = partial(_alarm, mac)
    return handlers


def _switch(mac: SerialPart, name: str, t_ns: int, arguments: Arguments) -> Stop:
    attribute, value_of = _SWITCHES[name]

    def put(t_ns: int, value: float) -> None:
        mac.advance(t_ns)
        setattr(mac, attribute, value)

    put(t_ns, value_of(arguments))
    return lambda t_ns: put(t_ns, 0)


def _power_cut(mac: SerialPart, t_ns: int, arguments: Arguments) -> Stop:
    mac.power_cycle(t_ns, arguments["off_s"])
    return lambda t_ns: None


def _alarm(mac: EmulatedSa5x | EmulatedCsac, t_ns: int, arguments: Arguments) -> Stop:
    def put(t_ns: int, bits: int) -> None:
        mac.advance(t_ns)
        mac.fault_alarms = bits

    put(t_ns, int(arguments["bits"]))
    return lambda t_ns: put(t_ns, 0)
