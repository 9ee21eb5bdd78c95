"""What the command line asks of a run, apart from the configuration file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from appliance.config import Config, ConfigError, load_config
from appliance.config_errors import describe_error


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """Values of the command line that win over the configuration file; None leaves the file's value."""

    ports: tuple[int, int] | None = None
    """UDP ports of event and of general messages."""
    api_port: int | None = None
    runtime_dir: Path | None = None
    state_dir: Path | None = None
    vfio_user: Path | None = None
    """Socket of the card, instead of the one that ``[card]`` selects."""
    cold: bool = False
    """Start in free-run even when there is a valid runtime record."""

    def apply(self, config: Config) -> Config:
        """``config`` with these values; raises ``ConfigError`` when one is out of range.

        What the file did not set stays unset, so that ``model_fields_set`` still tells what was explicit.
        """
        document: dict[str, Any] = config.model_dump(exclude_unset=True)
        if self.vfio_user is not None:
            document["card"] = {"vfio_user": self.vfio_user.absolute()}
        for section, key, value in (
            ("ptp", "ports", self.ports),
            ("api", "port", self.api_port),
            ("paths", "runtime", self.runtime_dir and self.runtime_dir.absolute()),
            ("paths", "state", self.state_dir and self.state_dir.absolute()),
            ("timescale", "resume", False if self.cold else None),
        ):
            if value is not None:
                document.setdefault(section, {})[key] = value
        try:
            return Config.model_validate(document)
        except ValidationError as error:
            raise ConfigError(
                [f"command line: {text}" for _, text in describe_error(error, Config)]
            ) from error

    def arguments(self) -> list[str]:
        """The same overrides as arguments of ``time-appliance core`` and ``time-appliance api``."""
        pairs = (
            ("--ports", ",".join(map(str, self.ports)) if self.ports else None),
            ("--api-port", self.api_port),
            ("--runtime-dir", self.runtime_dir),
            ("--state-dir", self.state_dir),
            ("--vfio-user", self.vfio_user),
        )
        arguments = [text for name, value in pairs if value is not None for text in (name, str(value))]
        return [*arguments, *(["--cold"] if self.cold else [])]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """``time-appliance run``."""

    config_path: Path | None = None
    overrides: Overrides = Overrides()
    virtual: bool = False
    """Start an emulated card and use it."""
    gnss_phase: Path | None = None
    """Recorded phase error of a GNSS pulse, for the emulated receiver."""
    oscillator: Path | None = None
    """Recorded frequency series, for the emulated oscillator."""
    gnss_capture: Path | None = None
    """Recorded bytes of a receiver, replayed by the emulated card."""
    faults: Path | None = None
    """Script of faults for the emulated card."""
    seed: int = 1
    fast: bool = False
    """Virtual time, one process, nothing served."""
    duration_s: float | None = None
    """End after this long; None runs until stopped."""
    report: Path | None = None
    series: Path | None = None
    """A row for every second of a fast run, as ``time-appliance analyse`` reads it."""
    plot: Path | None = None
    flight: Path | None = None
    """Folder for the flight record of a fast run."""
    json: bool = False
    """Print the summary as JSON."""

    def load(self) -> Config:
        """The configuration in force: file and drop-ins, then the command line. Raises ``ConfigError``."""
        return self.overrides.apply(load_config(self.config_path))

    def arguments(self) -> list[str]:
        """Arguments that make ``time-appliance core`` or ``api`` use the same configuration."""
        config = [] if self.config_path is None else ["--config", str(self.config_path)]
        return [*config, *self.overrides.arguments()]
