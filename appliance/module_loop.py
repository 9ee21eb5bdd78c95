"""The oscillator module as the engine of topology A uses it: steered by us, or following its pulse by itself.

All calls are made on the thread that owns the module's line (``OscillatorSource``).
"""

from __future__ import annotations

import logging
from typing import Final

from timecard.errors import RefusedError
from timecard.mac.driver import SelfDiscipline
from timecard.mac.oscillators.sa5x import Sa5x
from timecard.values import OscillatorIdentity, OscillatorStatus

log = logging.getLogger(__name__)

FULL_EVERY: Final = 4
"""While the module steers itself, all of its telemetry is read this often: its tuning is one word of many."""


class ModuleLoop:
    """``AtomicClock`` with two more words: follow, take over.

    Every call raises what the driver raises (``TimeCardError``).
    """

    def __init__(self, module: Sa5x, settings: SelfDiscipline) -> None:
        self._module, self._settings = module, settings
        self._following = False
        self._round = 0
        self._newest_ppb = 0.0

    @property
    def max_frequency_ppb(self) -> float:
        """Range of the steering."""
        return self._module.max_frequency_ppb

    def identify(self) -> OscillatorIdentity:
        """Who is there."""
        return self._module.identify()

    def status(self) -> OscillatorStatus:
        """One round of telemetry."""
        self._round += 1
        status = self._module.status(full=self._following and self._round % FULL_EVERY == 0)
        self._newest_ppb = status.frequency_ppb
        return status

    def set_frequency_ppb(self, frequency_ppb: float) -> float:
        """Steer. A command that comes too late, because the module steers itself by now, is dropped."""
        return self._newest_ppb if self._following else self._module.set_frequency_ppb(frequency_ppb)

    def take_over(self) -> None:
        """Software steers from now on; the tuning in force stays."""
        self._module.begin_software_steering()
        self._following = False

    def follow(self) -> None:
        """The module follows its pulse from now on; its refusal shows in the next status."""
        try:
            self._module.begin_self_disciplining(self._settings)
        except RefusedError as error:
            log.warning("the oscillator module does not follow its pulse reason=%s", error)
            return
        self._following = True

    def correct_pulse(self, correction_ns: float) -> None:
        """Add this to the phase that the module sees at its next pulse."""
        self._module.set_pulse_qerr_ns(correction_ns)
