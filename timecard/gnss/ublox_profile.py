"""What a u-blox timing receiver is asked to be: keys of its configuration interface and the values we want.

Key names and units: u-blox F9 interface description, "Configuration interface" (CFG-TP, CFG-TMODE,
CFG-MSGOUT, CFG-ITFM, CFG-HW). The profile is the Time Card's own minimum (NAV-TIMEUTC, NAV-TIMELS and
MON-HW each second, because the FPGA decodes them too) plus what a disciplined clock needs. Never written:
the baud rate, which the FPGA could not follow, and CFG-SEC-CFG_LOCK, which is permanent in flash.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

LAYER_RAM: Final = 1
LAYER_BBR: Final = 2
LAYER_FLASH: Final = 4
MAX_KEYS_PER_MESSAGE: Final = 64
"""CFG-VALSET and CFG-VALGET take no more."""
PROBE_KEY: Final = "CFG_RATE_MEAS"
"""Every receiver with the key interface knows it."""

_MIN_SURVEY_S: Final = 60
_MAX_SURVEY_S: Final = 604_800


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedPosition:
    """A surveyed antenna position, ECEF (WGS 84)."""

    x_m: float
    y_m: float
    z_m: float
    sigma_m: float = 0.1

    def __post_init__(self) -> None:
        radius_km = math.hypot(self.x_m, self.y_m, self.z_m) / 1e3
        if not 6_300 <= radius_km <= 6_400:
            raise ValueError(
                f"fixed position: ({self.x_m}, {self.y_m}, {self.z_m}) m is {radius_km:.0f} km from the "
                "earth's centre; give ECEF coordinates of the antenna in metres"
            )
        if not 0.0 < self.sigma_m <= 100.0:
            raise ValueError(f"fixed position: sigma_m={self.sigma_m} must be above 0 and at most 100")


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


_TIME_PULSE: Final[Mapping[str, int]] = {
    "CFG_TP_PULSE_DEF": 0,  # a period ...
    "CFG_TP_PULSE_LENGTH_DEF": 1,  # ... and a length, in us
    "CFG_TP_PERIOD_TP1": 1_000_000,
    "CFG_TP_PERIOD_LOCK_TP1": 1_000_000,
    "CFG_TP_LEN_TP1": 0,  # no pulse at all unless locked
    "CFG_TP_LEN_LOCK_TP1": 100_000,
    "CFG_TP_USER_DELAY_TP1": 0,
    "CFG_TP_TP1_ENA": 1,
    "CFG_TP_SYNC_GNSS_TP1": 1,
    "CFG_TP_USE_LOCKED_TP1": 1,
    "CFG_TP_ALIGN_TO_TOW_TP1": 1,
    "CFG_TP_POL_TP1": 1,  # rising edge at the second
    "CFG_TP_TIMEGRID_TP1": 1,  # GPS: TAI needs no leap data then
}
_NAVIGATION: Final[Mapping[str, int]] = {
    "CFG_RATE_MEAS": 1000,
    "CFG_RATE_NAV": 1,
    "CFG_RATE_TIMEREF": 1,
    "CFG_NAVSPG_DYNMODEL": 2,  # stationary
    "CFG_NAVSPG_UTCSTANDARD": 0,
    "CFG_ITFM_ENABLE": 1,  # else jammingState stays "unknown"
    "CFG_ITFM_ANTSETTING": 2,
}
_PORT: Final[Mapping[str, int]] = {
    "CFG_UART1INPROT_UBX": 1,
    "CFG_UART1OUTPROT_UBX": 1,
    "CFG_UART1OUTPROT_NMEA": 0,
}
_ANTENNA: Final[Mapping[str, int]] = {
    "CFG_HW_ANT_CFG_VOLTCTRL": 1,
    "CFG_HW_ANT_CFG_SHORTDET": 1,
    "CFG_HW_ANT_CFG_OPENDET": 1,
    "CFG_HW_ANT_CFG_PWRDOWN": 1,
    "CFG_HW_ANT_CFG_RECOVER": 1,
}
_EACH_SECOND: Final = ("NAV_PVT", "NAV_STATUS", "NAV_TIMELS", "NAV_TIMEUTC", "NAV_EOE", "TIM_TP", "MON_HW")
_SLOW_S: Final = 5
_EVERY_FEW_SECONDS: Final = ("TIM_SVIN", "MON_RF", "SEC_SIG")


def wanted_values(options: UbloxOptions) -> dict[str, int]:
    """The profile: key name to value."""
    wanted = {**_TIME_PULSE, **_NAVIGATION, **_PORT}
    if options.antenna_supervisor:
        wanted |= _ANTENNA
    wanted["CFG_TP_ANT_CABLEDELAY"] = options.antenna_cable_delay_ns
    for message in _EACH_SECOND:
        wanted[f"CFG_MSGOUT_UBX_{message}_UART1"] = 1
    for message in _EVERY_FEW_SECONDS:
        wanted[f"CFG_MSGOUT_UBX_{message}_UART1"] = _SLOW_S
    wanted["CFG_MSGOUT_UBX_NAV_SAT_UART1"] = options.satellites_every_s
    return wanted | _time_mode(options)


def _time_mode(options: UbloxOptions) -> dict[str, int]:
    position = options.fixed_position
    if position is None:
        return {
            "CFG_TMODE_MODE": 1,
            "CFG_TMODE_SVIN_MIN_DUR": options.survey_min_s,
            "CFG_TMODE_SVIN_ACC_LIMIT": round(options.survey_sigma_m * 1e4),  # 0.1 mm
        }
    mode = {
        "CFG_TMODE_MODE": 2,
        "CFG_TMODE_POS_TYPE": 0,
        "CFG_TMODE_FIXED_POS_ACC": round(position.sigma_m * 1e4),
    }
    for axis, metres in (("X", position.x_m), ("Y", position.y_m), ("Z", position.z_m)):
        # Whole centimetres, and the rest in 0.1 mm.
        centimetres = round(metres * 100)
        mode[f"CFG_TMODE_ECEF_{axis}"] = centimetres
        mode[f"CFG_TMODE_ECEF_{axis}_HP"] = round((metres * 100 - centimetres) * 100)
    return mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What differs between receiver families."""

    name: str
    qerr_limit_ps: int
    """Half a period of the clock that the pulse is tied to, with a margin."""


F9T: Final = Family(name="F9T", qerr_limit_ps=5_000)
M8: Final = Family(name="M8", qerr_limit_ps=10_500)
"""48 MHz: half a period is 10417 ps; a recorded M8T spans -10158..+10086 ps."""
UNKNOWN: Final = Family(name="unknown", qerr_limit_ps=M8.qerr_limit_ps)
_FAMILIES: Final[tuple[tuple[str, Family], ...]] = (
    ("F9T", F9T),
    ("F9P", F9T),
    ("M8", M8),
)


def family_of(model: str) -> Family:
    """The family of a MON-VER model such as ``ZED-F9T``."""
    return next((family for mark, family in _FAMILIES if mark in model), UNKNOWN)
