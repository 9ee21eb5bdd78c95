"""Quartz daughter cards: nothing steers them, no serial port answers; the card's clock is corrected instead.

On such cards the pins of the MAC port are an I2C bus (OSC/OCXO Daughtercard of the Time Card project) with a
PCT2075 thermometer, and that is all there is to ask.
"""

from __future__ import annotations

from typing import Final

from timecard.errors import DeviceAbsentError, ProtocolError
from timecard.mac.driver import I2cPort, OscillatorDriver, PartLimits
from timecard.mac.watched import WatchedPart
from timecard.timebase import Timebase
from timecard.values import OscillatorIdentity, OscillatorStatus, Reading

FAMILY: Final = "quartz"
ADDRESSES: Final = tuple(range(0x48, 0x50))
"""Where a PCT2075 can be by its address pins (its lower eight addresses)."""
_TEMPERATURE, _HYSTERESIS, _OVERHEAT = 0x00, 0x02, 0x03
_UNUSED_TEMPERATURE_BITS: Final = 0x1F
_UNUSED_LIMIT_BITS: Final = 0x7F
_STEP_MDEGC: Final = 125
_FIXED: Final = "a quartz without tuning input: correct the card's clock instead"


class QuartzCard(WatchedPart):
    """``Oscillator`` that can only be watched. ``locked`` is always True: there is nothing to lose."""

    def __init__(
        self,
        port: I2cPort,
        timebase: Timebase,
        *,
        family: str = FAMILY,
        model: str = "quartz daughter card",
        reason: str = _FIXED,
    ) -> None:
        super().__init__(port.name, reason)
        self._port = port
        self._timebase = timebase
        self._family = family
        self._model = model
        self._address: int | None = None

    def identify(self) -> OscillatorIdentity:
        """Look for its thermometer; the oscillator itself has no name."""
        self._find()
        return OscillatorIdentity(family=self._family, model=self._model, serial="", firmware="")

    def status(self, full: bool = False) -> OscillatorStatus:
        """Its temperature."""
        mdegc = self._read_mdegc(self._address if self._address is not None else self._find())
        return OscillatorStatus(
            locked=True,
            lock_progress_percent=100,
            frequency_ppb=0.0,
            phase_ns=None,
            pps_detected=False,
            temperature_mdegc=mdegc,
            alarms=0,
            alarm_names=(),
            readings=(Reading(name="PCT2075", value=mdegc / 1000, unit="degC"),),
            read_mono_ns=self._timebase.mono_ns(),
        )

    # --- internals ---

    def _find(self) -> int:
        for address in ADDRESSES:
            try:
                limits = [self._word(address, register) for register in (_HYSTERESIS, _OVERHEAT)]
                word = self._word(address, _TEMPERATURE)
            except DeviceAbsentError:
                continue
            if word & _UNUSED_TEMPERATURE_BITS or any(limit & _UNUSED_LIMIT_BITS for limit in limits):
                continue  # another part
            self._address = address
            return address
        raise DeviceAbsentError(
            self.name,
            "look for a PCT2075",
            f"none at {ADDRESSES[0]:#04x} to {ADDRESSES[-1]:#04x}: are the MAC pins on I2C (mac_i2c)?",
        )

    def _read_mdegc(self, address: int) -> int:
        word = self._word(address, _TEMPERATURE)
        if word & _UNUSED_TEMPERATURE_BITS:
            raise ProtocolError(self.name, "read temperature", f"{word:#06x} has bits that it never sets")
        signed = word - 0x1_0000 if word & 0x8000 else word
        return (signed >> 5) * _STEP_MDEGC

    def _word(self, address: int, register: int) -> int:
        data = self._port.transfer(address, bytes((register,)), 2)
        if len(data) != 2:
            raise ProtocolError(self.name, "read thermometer", f"{len(data)} bytes instead of 2")
        return int.from_bytes(data, "big")


DRIVER: Final = OscillatorDriver(
    family=FAMILY,
    baud=None,
    order=60,
    probe=None,
    open=None,
    open_i2c=QuartzCard,
    limits=PartLimits(warm_up_s=0.0, temperature_mdegc=(-40_000, 85_000)),
    timescale_model="ocxo",  # most of what fits these cards; a SiT5501 is a TCXO: the administrator names it
)
