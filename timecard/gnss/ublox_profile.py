"""What a u-blox timing receiver is asked to be when it starts, and what families of them have.

The profile is the Time Card's own minimum (NAV-TIMEUTC, NAV-TIMELS and MON-HW each second, because the FPGA
decodes them too) plus what a disciplined clock needs; ``ublox_settings`` knows the keys. Never written: the
baud rate, which the FPGA could not follow, and CFG-SEC-CFG_LOCK, which is permanent in flash.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from timecard.gnss.driver import Capability
from timecard.gnss.intent import TIME_CARD, GnssIntent, Survey
from timecard.gnss.intent import FixedPosition as FixedPosition
from timecard.gnss.ublox_fields import DEFAULT_BAUD, message_key
from timecard.gnss.ublox_settings import keys_of

LAYER_RAM: Final = 1
LAYER_BBR: Final = 2
LAYER_FLASH: Final = 4
PROBE_KEY: Final = "CFG_RATE_MEAS"
"""Every receiver with the key interface knows it."""

_MIN_SURVEY_S: Final = 60
_MAX_SURVEY_S: Final = 604_800


@dataclass(frozen=True, slots=True, kw_only=True)
class UbloxOptions:
    """Choices that the receiver's driver leaves to its user."""

    configure: bool = True
    """False: use the receiver as it is."""
    fixed_position: FixedPosition | None = None
    """None: survey in."""
    survey_min_s: int = 1200
    survey_sigma_m: float = 9.0
    """The survey ends when both are reached."""
    antenna_cable_delay_ns: int = 0
    """What the receiver itself compensates; each delay is compensated in exactly one place."""
    antenna_supervisor: bool = True
    """Watch the antenna's current: needs the module's usual supply circuit."""
    satellites_every_s: int = 5
    """NAV-SAT is the longest message; above 2 the FPGA's satellite count is stale in between (3 s rule)."""
    layers: int = LAYER_RAM | LAYER_BBR
    """Where changes are written; add ``LAYER_FLASH`` to survive a power cut without a backup battery."""
    qerr_limit_ps: int | None = None
    """A larger quantisation error is bogus; None: the limit of the receiver's family."""
    earliest_tai_s: int = 1_735_689_637
    """2025-01-01: an earlier date, or one 1024 weeks later, is a wrong week and never used."""
    identify_timeout_s: float = 1.5
    identify_tries: int = 3

    def __post_init__(self) -> None:
        checks = (
            ("survey_min_s", self.survey_min_s, _MIN_SURVEY_S, _MAX_SURVEY_S),
            ("survey_sigma_m", self.survey_sigma_m, 0.01, 1000.0),
            ("antenna_cable_delay_ns", self.antenna_cable_delay_ns, -32_768, 32_767),
            ("satellites_every_s", self.satellites_every_s, 1, 60),
            ("layers", self.layers, 1, LAYER_RAM | LAYER_BBR | LAYER_FLASH),
            ("identify_timeout_s", self.identify_timeout_s, 0.1, 60.0),
            ("identify_tries", self.identify_tries, 1, 100),
        )
        for name, value, low, high in checks:
            if not low <= value <= high:
                raise ValueError(f"u-blox option {name}={value}: must be {low} to {high}")


def intent_of_options(options: UbloxOptions) -> GnssIntent:
    """The same wishes in neutral words; ``layers`` and ``satellites_every_s`` have none."""
    survey = Survey(min_s=options.survey_min_s, sigma_m=options.survey_sigma_m)
    watched = True if options.antenna_supervisor else None
    return replace(
        TIME_CARD,
        position=options.fixed_position or survey,
        cable_delay_ns=options.antenna_cable_delay_ns,
        antenna_supply=watched,
        antenna_watch=watched,
    )


def wanted_by_field(options: UbloxOptions, baud: int = DEFAULT_BAUD) -> dict[str, dict[str, int]]:
    """Field of the intent to keys and values, for a line of this rate."""
    wanted = keys_of(intent_of_options(options), baud=baud)
    wanted["messages"][message_key("NAV_SAT")] = options.satellites_every_s
    return wanted


_ALWAYS: Final = frozenset(Capability) - {Capability.SURVEY, Capability.FIXED_POSITION}
_TIMING: Final = frozenset(Capability)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What differs between receiver families."""

    name: str
    qerr_limit_ps: int
    """Half a period of the clock that the pulse is tied to, with a margin."""
    capabilities: frozenset[Capability] = _TIMING
    """What the family has, as far as its model name tells."""


M8_QERR_LIMIT_PS: Final = 10_500
"""48 MHz: half a period is 10417 ps; a recorded M8T spans -10158..+10086 ps."""
F9T: Final = Family(name="F9T", qerr_limit_ps=5_000)
F10T: Final = Family(name="F10T", qerr_limit_ps=M8_QERR_LIMIT_PS)
M9N: Final = Family(name="M9N", qerr_limit_ps=M8_QERR_LIMIT_PS, capabilities=_ALWAYS)
"""A receiver for navigation: no survey, no fixed position."""
M8: Final = Family(name="M8", qerr_limit_ps=M8_QERR_LIMIT_PS, capabilities=_TIMING - {Capability.SIGNALS})
"""No NAV-SIG."""
UNKNOWN: Final = Family(name="unknown", qerr_limit_ps=M8_QERR_LIMIT_PS, capabilities=_ALWAYS)
_FAMILIES: Final[tuple[tuple[str, Family], ...]] = (
    ("F9T", F9T),
    ("F9P", F9T),
    ("F10T", F10T),
    ("M9N", M9N),
    ("M8", M8),
)


def family_of(model: str) -> Family:
    """The family of a MON-VER model such as ``ZED-F9T``."""
    return next((family for mark, family in _FAMILIES if mark in model), UNKNOWN)
