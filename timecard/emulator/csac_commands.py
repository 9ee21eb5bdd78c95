"""The commands of an emulated CSAC: what each does to the part, and what it answers.

Source: "SA.45s CSAC User Guide" (990-00123) and "LN-CSAC User's Guide" (DS50003805). The replies to ``!FL``,
``!m`` and ``!>`` were not in the sheets at hand: here they are the value now in force.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from timecard.emulator.csac_engine import (
    ANALOG,
    AUTO_SYNC,
    CHECKSUM,
    DISCIPLINE,
    LOW_POWER,
    METER,
    CsacEngine,
)
from timecard.timescale import NS_PER_S

HEADER: Final = (
    "Status,Alarm,SN,Mode,Contrast,LaserI,TCXO,HeatP,Sig,Temp,Steer,ATune,Phase,DiscOK,TOD,LTime,Ver"
)
UNKNOWN: Final = "?"
HELP: Final = (
    "^ 6 F M S D U T ?   shortcuts",
    "!F !M !S !D !U !T !m !>   commands, with values",
)
SYNC_WAITS_NS: Final = 3 * NS_PER_S
_TOD_AFTER_NS: Final = (2_000_000, 18_000_000)
_MODES: Final = {"A": ANALOG, "M": METER, "S": AUTO_SYNC, "D": DISCIPLINE, "U": LOW_POWER, "C": CHECKSUM}
_WHOLE: Final = r"([+-]?\d{1,11})"
Handler = Callable[[re.Match[str], int], str | None]
"""Returns the reply; None when it comes later."""


class CsacKind(NamedTuple):
    """What differs between the two parts."""

    tau_s: tuple[int, int]
    cable_100ps: int
    """Largest compensation."""
    serial: str
    firmware: str


SA45S: Final = CsacKind((10, 10_000), 1_000, "1209CS00909", "1.09")
SA65: Final = CsacKind((60, 10_000), 250, "2301CS65012", "2.01")


class CsacCommands:
    """A table of commands, and the little state that belongs to them."""

    def __init__(
        self,
        engine: CsacEngine,
        kind: CsacKind,
        firmware: str,
        telemetry: Callable[[int], str],
        rng: random.Random,
        t_ns: int,
    ) -> None:
        self.engine = engine
        self.kind = kind
        self.later: list[tuple[int, str]] = []
        """Commands that act at a later instant, for ``at_pulse``."""
        self._random = rng
        self._tod_at_ns, self._tod = t_ns, 0
        self._sync_until_ns: int | None = None
        handlers: Mapping[str, Handler] = {
            r"6": lambda match, t_ns: HEADER,
            r"\^": lambda match, t_ns: telemetry(t_ns),
            r"\?": lambda match, t_ns: "\r\n".join(HELP),
            r"F|F\?": lambda match, t_ns: self._steer_text(),
            r"F([AD])" + _WHOLE: self._on_steer,
            r"FL": self._on_latch,
            r"M|M\?": lambda match, t_ns: self.mode_text(),
            r"M([AMSDUCamsduc])": self._on_mode,
            r"S": self._on_sync,
            r"D|D\?": lambda match, t_ns: str(self.engine.settings.tau_s),
            r"D(\d{1,6})": self._on_tau,
            r"DC\?": lambda match, t_ns: str(self.engine.cable_100ps),
            r"DC" + _WHOLE: self._on_cable,
            r"DCL": self._on_latch_cable,
            r"U|U\?": lambda match, t_ns: self._low_power_text(),
            r"U(\d{1,6}),(\d{1,6})": self._on_low_power,
            r"T|T\?": self._on_time,
            r"T([AD])" + _WHOLE: self._on_set_time,
            r"@(.{1,30})": self._on_deferred,
        }
        newer: Mapping[str, Handler] = {
            r"m|m\?": lambda match, t_ns: str(self.engine.settings.threshold_ns),
            r"m(\d{1,10})": self._on_threshold,
            r">|>\?": lambda match, t_ns: str(self.engine.settings.pulse_width),
            r">(\d{1,4})": self._on_width,
        }
        since_108 = tuple(int(part) for part in firmware.split(".")[:2]) >= (1, 8)
        table = {**handlers, **(newer if since_108 else {})}
        self._handlers = {re.compile(pattern): each for pattern, each in table.items()}
        self.shortcuts = frozenset(b"^6FMSDUT?m>" if since_108 else b"^6FMSDUT?")

    def keep(self, samples: tuple[str, ...]) -> None:
        """Forget every command but those of these samples, and all shortcuts."""
        self.shortcuts = frozenset()
        self._handlers = {
            pattern: handler
            for pattern, handler in self._handlers.items()
            if any(pattern.fullmatch(sample) for sample in samples)
        }

    def add(self, pattern: str, handler: Handler) -> None:
        """One more command."""
        self._handlers[re.compile(pattern)] = handler

    def begin_anew(self, engine: CsacEngine, t_ns: int) -> None:
        """The part starts at ``t_ns``."""
        self.engine = engine
        self.later.clear()
        self._sync_until_ns = None
        self._tod_at_ns, self._tod = t_ns, 0

    def execute(self, text: str, t_ns: int) -> str | None:
        """What a command without its ``!`` answers; None when it answers later."""
        for pattern, handler in self._handlers.items():
            match = pattern.fullmatch(text)
            if match is not None:
                return handler(match, t_ns)
        return UNKNOWN

    def at_pulse(self, text: str, t_ns: int) -> str | None:
        """What a command of ``later`` answers when its time has come."""
        return str(self.time_of_day(t_ns)) if text == "T" else self.execute(text, t_ns)

    def sync_result(self, t_ns: int) -> str | None:
        """The answer to ``S`` once it is known: ``S``, or ``E`` without a pulse in 3 s."""
        if self._sync_until_ns is None:
            return None
        if not self.engine.sync_wanted:
            self._sync_until_ns = None
            return "S"
        if t_ns < self._sync_until_ns:
            return None
        self._sync_until_ns, self.engine.sync_wanted = None, False
        return "E"

    def time_of_day(self, t_ns: int) -> int:
        """The part's counter of seconds."""
        return self._tod + (t_ns - self._tod_at_ns) // NS_PER_S

    def mode_text(self) -> str:
        """The mode register."""
        return f"0x{self.engine.settings.mode:04X}"

    # --- one command each -----------------------------------------------------------------------------------

    def _on_steer(self, match: re.Match[str], t_ns: int) -> str:
        units = int(match[2])
        if match[1] == "D":
            if abs(units) > 20_000_000:
                return UNKNOWN
            units += self.engine.steer
        return self._steer_text() if self.engine.set_steer(units, t_ns) else UNKNOWN

    def _on_latch(self, match: re.Match[str], t_ns: int) -> str:
        self.engine.latch_steer(t_ns)
        return self._steer_text()

    def _on_mode(self, match: re.Match[str], t_ns: int) -> str:
        self.engine.set_mode(_MODES[match[1].upper()], match[1].isupper(), t_ns)
        return self.mode_text()

    def _on_sync(self, match: re.Match[str], t_ns: int) -> None:
        self.engine.sync_wanted = True
        self._sync_until_ns = t_ns + SYNC_WAITS_NS

    def _on_tau(self, match: re.Match[str], t_ns: int) -> str:
        low, high = self.kind.tau_s
        return self._stored("tau_s", int(match[1]), low, high)

    def _on_cable(self, match: re.Match[str], t_ns: int) -> str:
        value = int(match[1])
        if abs(value) > self.kind.cable_100ps:
            return UNKNOWN
        self.engine.cable_100ps = value
        return str(value)

    def _on_latch_cable(self, match: re.Match[str], t_ns: int) -> str:
        self.engine.store(cable_100ps=self.engine.cable_100ps)
        return "Phase comp latched"

    def _on_low_power(self, match: re.Match[str], t_ns: int) -> str:
        sleep_s, wake_s = int(match[1]), int(match[2])
        if not (1_800 <= sleep_s <= 65_535 and 10 <= wake_s <= 65_535):
            return UNKNOWN
        self.engine.store(sleep_s=sleep_s, wake_s=wake_s)
        return self._low_power_text()

    def _on_threshold(self, match: re.Match[str], t_ns: int) -> str:
        return self._stored("threshold_ns", int(match[1]), 1, 1_000_000_000)

    def _on_width(self, match: re.Match[str], t_ns: int) -> str:
        return self._stored("pulse_width", int(match[1]), 1, 9_999)

    def _on_time(self, match: re.Match[str], t_ns: int) -> None:
        self.later.append((self._after_pulse_ns(t_ns), "T"))

    def _on_deferred(self, match: re.Match[str], t_ns: int) -> None:
        self.later.append((self._after_pulse_ns(t_ns), match[1]))

    def _on_set_time(self, match: re.Match[str], t_ns: int) -> str:
        onto = 0 if match[1] == "A" else self.time_of_day(t_ns)
        self._tod, self._tod_at_ns = onto + int(match[2]), t_ns
        return f"TimeOfDay = {self._tod}"

    # --- internals ------------------------------------------------------------------------------------------

    def _stored(self, name: str, value: int, low: int, high: int) -> str:
        if not low <= value <= high:
            return UNKNOWN
        self.engine.store(**{name: value})
        return str(value)

    def _steer_text(self) -> str:
        return f"Steer = {round(self.engine.steer / 1_000)}"

    def _low_power_text(self) -> str:
        return f"{self.engine.settings.sleep_s},{self.engine.settings.wake_s}"

    def _after_pulse_ns(self, t_ns: int) -> int:
        """Shortly after the next output pulse."""
        second = t_ns // NS_PER_S
        pulses = (
            each * NS_PER_S - round(self.engine.ahead_ns(t_ns)) for each in range(second - 1, second + 4)
        )
        return next(each for each in pulses if each > t_ns) + self._random.randint(*_TOD_AFTER_NS)
