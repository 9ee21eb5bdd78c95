"""What can be configured: frozen models, one per section; an unknown key is an error.

Reading files, merging drop-ins and wording the errors is the business of ``appliance.config``.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError

from appliance.bound.layout import PAGE_NAME
from appliance.delays import DelayLedger, DelayRow, ledger_problems
from appliance.peer_config import EnsembleConfig, Peers
from appliance.timescale.models import GNSS, OSCILLATORS
from timecard.gnss.tap import parse_tap_address
from timecard.state_folder import state_directory

PROGRAM: Final = "time-appliance"
SYSTEM_CONFIG: Final = Path("/etc/time-appliance/appliance.toml")
SYSTEM_RUNTIME: Final = Path("/run/time-appliance")
PCI_ADDRESS: Final = r"^([0-9a-fA-F]{4}:)?[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]$"
TELECOM_BUDGET_NS: Final = 400.0
G8275_2_DOMAIN: Final = 44
"""ITU-T G.8275.2 default domain."""


def _checked_address(text: str) -> str:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise PydanticCustomError("address", "expected an IPv4 or IPv6 address") from None
    return text


def _loopback_only(host: str) -> str:
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise PydanticCustomError("address", "expected a loopback address such as 127.0.0.1 or ::1") from None
    if not loopback:
        raise PydanticCustomError(
            "not_loopback",
            "the API answers without a token and is therefore served on loopback only; "
            "use 127.0.0.1 or ::1 and put an authenticating proxy in front of it",
        )
    return host


def _tap_address(text: str) -> str:
    try:
        parse_tap_address(text)
    except ValueError as error:
        raise PydanticCustomError("tap", "{reason}", {"reason": str(error)}) from None
    return text


def _one_of(table: Mapping[str, object]) -> Callable[[str], str]:
    """A name of one of our own tables, or ``auto``."""
    names = ("auto", *table)

    def check(name: str) -> str:
        if name not in names:
            raise PydanticCustomError("model_name", "expected one of {names}", {"names": ", ".join(names)})
        return name

    return check


def _known_delays(rows: tuple[DelayRow, ...]) -> tuple[DelayRow, ...]:
    problems = ledger_problems(rows)
    if problems:
        raise PydanticCustomError("delays", "see rows", {"rows": problems})
    return rows


def _absolute(path: Path) -> Path:
    if not path.is_absolute() or "\0" in str(path):
        raise PydanticCustomError("relative_path", "expected an absolute path")
    return path


def _path_from_text(value: object) -> object:
    """Strict models take no str for a Path; TOML has only str."""
    return Path(value) if isinstance(value, str) else value


def _tuple_from_list(value: object) -> object:
    """Strict models take no list for a tuple; TOML has only lists."""
    return tuple(value) if isinstance(value, list) else value


FilePath = Annotated[Path, AfterValidator(_absolute), BeforeValidator(_path_from_text)]
Port = Annotated[int, Field(ge=1, le=65_535)]
LimitNs = Annotated[float, Field(gt=0, le=1_000_000_000)]
Priority = Annotated[int, Field(ge=0, le=255)]
Address = Annotated[str, AfterValidator(_checked_address)]
Interface = Annotated[
    str, StringConstraints(min_length=1, max_length=15, pattern=r"^[^\s/]+$"), Field(examples=["eth0"])
]
OscillatorName = Annotated[str, AfterValidator(_one_of(OSCILLATORS))]
GnssName = Annotated[str, AfterValidator(_one_of(GNSS))]
FromList = BeforeValidator(_tuple_from_list)


class Section(BaseModel):
    """A table of the configuration."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class CardConfig(Section):
    """``[card]``: which card. With no key, the only card found."""

    id: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    """Identity as in ``/dev/timecard/<id>``."""
    vfio_user: FilePath | None = None
    """Socket of a card served over vfio-user (an emulated one)."""
    pci: Annotated[str, StringConstraints(pattern=PCI_ADDRESS), Field(examples=["0000:3b:00.0"])] | None = (
        None
    )
    """PCI address such as 0000:3b:00.0."""

    @model_validator(mode="after")
    def _at_most_one(self) -> CardConfig:
        given = [name for name in ("id", "vfio_user", "pci") if getattr(self, name) is not None]
        if len(given) > 1:
            raise PydanticCustomError(
                "exclusive", "{names} each select a card; keep one of them", {"names": " and ".join(given)}
            )
        return self


class TimescaleConfig(Section):
    """``[timescale]``: how the clock is kept."""

    topology: Literal["auto", "A", "B", "C", "D"] = "auto"
    """Who closes the loop; ``auto`` asks the card what it can do, and never takes A, the part's own loop."""
    oscillator_model: OscillatorName = "auto"
    """Noise and ageing model of the oscillator; ``auto`` follows the part found."""
    gnss_model: GnssName = "auto"
    """Noise model of the receiver's pulse; ``auto`` follows the part found."""
    lock_limit_ns: Annotated[float, Field(gt=0, le=100_000)] = 250.0
    """Locked needs a bound of at most this, in ns."""
    budget_ns: Annotated[float, Field(gt=0, le=1_000_000)] = 1_000.0
    """Holdover ends when the bound passes this, in ns; 400 with the telecom profile."""
    recovery_slew_ns_per_s: Annotated[float, Field(gt=0, le=1_000)] = 1.0
    """How fast an error is slewed out after holdover."""
    max_slew_ns_per_s: Annotated[float, Field(gt=0, le=10_000)] = 100.0
    """The fastest slew, used when recovery would otherwise take longer than 15 minutes."""
    step_limit_ns: Annotated[float, Field(gt=0, le=1_000_000_000)] = 10_000.0
    """With the budget spent, a larger error is stepped when the reference is back, in ns; else slewed."""
    coast_s: Annotated[float, Field(ge=2, le=600)] = 10.0
    """Missing pulses with nothing else wrong are ridden through for this long, within the lock limit."""
    release_s: Annotated[float, Field(ge=60, le=2_592_000)] = 600.0
    """With the budget spent, a healthy reference outside the bound is followed after this long."""
    forecast_limits_ns: Annotated[tuple[LimitNs, ...], Field(min_length=1, max_length=16), FromList] = (
        100.0,
        250.0,
        400.0,
        1_000.0,
        1_500.0,
    )
    """Limits for which holdover is foretold, in ns, beside the budget."""
    temperature_swing_degc: Annotated[float, Field(ge=0, le=50)] = 2.0
    """Holdover allows for a daily wave of so many degrees up and down while nobody reports the oscillator's
    temperature; 0: it is constant."""
    p: Annotated[float, Field(ge=0.5, lt=1)] = 0.999
    """Probability of the published bound."""
    resume: bool = True
    """Take up a valid runtime record after a restart; false always starts in free-run."""
    fbclock_page: Annotated[FilePath, Field(examples=["/run/fbclock/data_v2"])] | None = None
    """Keep the bound in a layout of fbclock, too: version 2 if the name ends with ``_v2``, else version 1."""

    @model_validator(mode="after")
    def _ordered(self) -> TimescaleConfig:
        if self.lock_limit_ns > self.budget_ns:
            raise PydanticCustomError(
                "order",
                "lock_limit_ns ({limit}) is above budget_ns ({budget}); lower the limit or raise the budget",
                {"limit": f"{self.lock_limit_ns:g}", "budget": f"{self.budget_ns:g}"},
            )
        if self.recovery_slew_ns_per_s > self.max_slew_ns_per_s:
            raise PydanticCustomError(
                "order",
                "recovery_slew_ns_per_s ({slew}) is above max_slew_ns_per_s ({limit}); raise the latter",
                {"slew": f"{self.recovery_slew_ns_per_s:g}", "limit": f"{self.max_slew_ns_per_s:g}"},
            )
        return self


class Position(Section):
    """``[gnss.position]``: the antenna's surveyed position, WGS 84."""

    latitude_deg: Annotated[float, Field(ge=-90, le=90)]
    longitude_deg: Annotated[float, Field(ge=-180, le=180)]
    height_m: Annotated[float, Field(ge=-1_000, le=10_000)]
    """Above the ellipsoid, not above sea level."""
    accuracy_m: Annotated[float, Field(gt=0, le=100)] = 1.0


class GnssConfig(Section):
    """``[gnss]``: what is asked of the receiver."""

    position: Position | None = None
    """Fixed position; without it the receiver surveys its position."""
    survey_s: Annotated[int, Field(ge=60, le=604_800)] = 1_200
    """Shortest survey, in seconds."""
    survey_accuracy_m: Annotated[float, Field(gt=0, le=100)] = 5.0
    """A survey lasts until its position is at least this good."""
    elevation_deg: Annotated[int, Field(ge=0, le=60)] = 10
    """Satellites lower than this are not used."""
    min_satellites: Annotated[int, Field(ge=1, le=32)] = 4
    """Fewer used satellites are no corroborated time."""
    tai_minus_utc_s: Annotated[int, Field(ge=37, le=99)] | None = None
    """TAI minus UTC for a receiver that tells UTC only (NMEA), where no table covers the date."""
    tap: Annotated[str, AfterValidator(_tap_address), Field(examples=["127.0.0.1:2950"])] | None = None
    """UNIX socket or loopback port where other programs (gpsd, u-center) may read the receiver's bytes."""


class LeapConfig(Section):
    """``[leap]``: tables of leap seconds, beside what the receiver says."""

    files: Annotated[tuple[FilePath, ...], Field(max_length=16), FromList] = (
        Path("/usr/share/zoneinfo/leap-seconds.list"),
        Path("/usr/share/zoneinfo/leapseconds"),
        Path("/usr/share/zoneinfo/right/UTC"),
    )
    """``leap-seconds.list`` of IERS or NIST, ``leapseconds`` of the tz database, or a zone under ``right/``.

    One that is named here and missing is an alarm; of the default ones, those that the host has are used."""
    warn_days: Annotated[int, Field(ge=1, le=365)] = 60
    """So long before a table expires there is an alarm."""

    @property
    def required(self) -> bool:
        """The administrator has named the files."""
        return "files" in self.model_fields_set


class PtpLimits(Section):
    """``[ptp.limits]``: what one client or all of them may take."""

    max_contracts: Annotated[int, Field(ge=0, le=1_000_000)] = 100_000
    """Unicast grants in force."""
    max_contracts_per_address: Annotated[int, Field(ge=0, le=1_000_000)] = 256
    """Unicast grants of one address."""
    max_duration_s: Annotated[int, Field(ge=1, le=86_400)] = 1_000
    """Longest grant; a longer request is granted this much."""
    fastest_log_interval: Annotated[int, Field(ge=-7, le=7)] = -7
    """Smallest logInterMessagePeriod granted."""
    requests_per_s_per_prefix: Annotated[int, Field(ge=0, le=10_000_000)] = 10_000
    """Requests answered per second to one /24 or /64; 0: no limit."""


class PulseConfig(Section):
    """``[ptp.pulse]``: the card's pulse (PHC on a connector) leads into a pin of the network card.

    With hardware stamps this is the best way to compare both clocks.
    """

    channel: Annotated[int, Field(ge=0, le=255)] = 0
    """External timestamp channel of the network card."""
    pin: Annotated[int, Field(ge=0, le=255)] | None = None
    """Pin that is given this channel; without it the pin is as somebody else has set it."""
    delay_ns: Annotated[float, Field(ge=-1_000_000, le=1_000_000)] = 0.0
    """How late the pulse is at the pin: connector and cable, about 5 ns per metre."""
    uncertainty_ns: Annotated[float, Field(ge=0, le=1_000_000)] = 3.0
    """What is not known of the delay."""


class PtpConfig(Section):
    """``[ptp]``: the PTP and SPTP server."""

    enable: bool = True
    addresses: Annotated[tuple[Address, ...], Field(min_length=1, max_length=64), FromList] = (
        "0.0.0.0",
        "::",
    )
    """Addresses to serve on."""
    interfaces: Annotated[tuple[Interface, ...], Field(max_length=64), FromList] = ()
    """Serve only on these; empty: all that have the addresses."""
    timestamping: Literal["auto", "software", "hardware"] = "auto"
    """``auto``: hardware stamps where a single interface is named and has them, else software stamps."""
    ports: Annotated[tuple[Port, Port], FromList] = (319, 320)
    """UDP ports of event and of general messages."""
    domain: Annotated[int, Field(ge=0, le=255)] = 0
    """domainNumber; 44 with the g8275 profile."""
    profile: Literal["meta", "ieee1588", "g8275"] = "meta"
    """Which clockClass table is announced."""
    priority1: Priority = 128
    priority2: Priority = 128
    dscp: Annotated[int, Field(ge=0, le=63)] = 0
    minor_version: Annotated[int, Field(ge=0, le=1)] = 1
    """minorVersionPTP; 0 for network cards that only stamp versionPTP 0x02."""
    limits: PtpLimits = PtpLimits()
    pulse: PulseConfig | None = None

    @model_validator(mode="after")
    def _two_ports(self) -> PtpConfig:
        if self.ports[0] == self.ports[1]:
            raise PydanticCustomError("order", "ports: event and general messages need two different ports")
        return self


class ApiConfig(Section):
    """``[api]``: REST over loopback TCP and ``api.sock``."""

    enable: bool = True
    host: Annotated[str, AfterValidator(_loopback_only)] = "127.0.0.1"
    port: Port = 8080


def default_directories(environ: Mapping[str, str], effective_uid: int) -> tuple[Path, Path]:
    """Runtime and state directory: systemd's, else the system's for root, else the user's XDG folders."""
    state = state_directory(environ, effective_uid)
    unit_runtime = environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    user_runtime = environ.get("XDG_RUNTIME_DIR")
    if unit_runtime:
        return Path(unit_runtime), state
    if effective_uid == 0:
        return SYSTEM_RUNTIME, state
    return Path(user_runtime) / PROGRAM if user_runtime else state / "run", state


def _default_runtime() -> Path:
    return default_directories(os.environ, os.geteuid())[0]


def _default_state() -> Path:
    return default_directories(os.environ, os.geteuid())[1]


class PathsConfig(Section):
    """``[paths]``: where files are kept."""

    runtime: FilePath = Field(default_factory=_default_runtime)
    """Sockets and the bound page; gone after a reboot."""
    state: FilePath = Field(default_factory=_default_state)
    """History, flight record, runtime record."""
    group: Annotated[str, StringConstraints(min_length=1, max_length=32)] | None = None
    """Members of this group may use ``core.sock`` beside its owner and root."""

    @property
    def core_socket(self) -> Path:
        """Where core answers."""
        return self.runtime / "core.sock"

    @property
    def flight(self) -> Path:
        """Where the flight record is."""
        return self.state / "flight"

    @property
    def api_socket(self) -> Path:
        """Where the API answers besides TCP."""
        return self.runtime / "api.sock"

    @property
    def bound_page(self) -> Path:
        """The page in shared memory that programs read TAI from."""
        return self.runtime / PAGE_NAME


class FlightConfig(Section):
    """``[flight]``: the flight record, what the loop was given and decided."""

    enable: bool = True
    total_mib: Annotated[int, Field(ge=16, le=1 << 20)] = 1024
    """Of all files together; the oldest ones are deleted. A day takes about 20 MiB."""
    file_hours: Annotated[float, Field(ge=0.1, le=168)] = 24.0
    """A new file is begun after this long, and when one has grown to an eighth of ``total_mib``."""


class Config(Section):
    """The whole configuration."""

    card: CardConfig = CardConfig()
    timescale: TimescaleConfig = TimescaleConfig()
    gnss: GnssConfig = GnssConfig()
    leap: LeapConfig = LeapConfig()
    delays: Annotated[tuple[DelayRow, ...], AfterValidator(_known_delays), FromList] = ()
    """``[[delays]]``: one row per segment."""
    ensemble: EnsembleConfig = EnsembleConfig()
    peers: Peers = ()
    """``[[peers]]``: other sources of time, compared with ours."""
    ptp: PtpConfig = PtpConfig()
    api: ApiConfig = ApiConfig()
    flight: FlightConfig = FlightConfig()
    paths: PathsConfig = Field(default_factory=PathsConfig)

    @model_validator(mode="before")
    @classmethod
    def _profile_defaults(cls, data: Any) -> Any:
        """The telecom profile changes defaults, never what the administrator wrote."""
        if not isinstance(data, dict) or not isinstance(ptp := data.get("ptp"), dict):
            return data
        timescale = data.get("timescale", {})
        if ptp.get("profile") != "g8275" or not isinstance(timescale, dict):
            return data
        return {
            **data,
            "ptp": {"domain": G8275_2_DOMAIN, **ptp},
            "timescale": {"budget_ns": TELECOM_BUDGET_NS, **timescale},
        }

    @property
    def ledger(self) -> DelayLedger:
        """The delay ledger."""
        return DelayLedger(self.delays)
