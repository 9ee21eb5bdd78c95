"""Reading the configuration: one TOML file, its drop-ins, and errors a tired person can act on.

``/etc/time-appliance/appliance.toml`` is read first, then ``appliance.d/*.toml`` beside it in order of name
(a file given by ``--config NAME.toml`` has ``NAME.d/``). Tables are merged key by key; a later value, also a
whole list such as ``[[delays]]``, replaces an earlier one. Every error is one line: file, key, what is wrong,
what would be right; all of them are collected before anything is refused.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from appliance.config_errors import Location, describe_error
from appliance.config_models import (
    PROGRAM,
    SYSTEM_CONFIG,
    ApiConfig,
    CardConfig,
    Config,
    GnssConfig,
    PathsConfig,
    Position,
    PtpConfig,
    PtpLimits,
    TimescaleConfig,
)
from appliance.delays import DelayLedger, DelayRow
from timecard.toml_reader import MAX_FILE_BYTES, IntentError, parse_document

__all__ = [
    "ApiConfig",
    "CardConfig",
    "CheckResult",
    "Config",
    "ConfigError",
    "DelayLedger",
    "DelayRow",
    "GnssConfig",
    "PathsConfig",
    "Position",
    "PtpConfig",
    "PtpLimits",
    "TimescaleConfig",
    "check_config",
    "default_config_path",
    "load_config",
]


class ConfigError(Exception):
    """The configuration cannot be used; one line per error."""

    def __init__(self, errors: Sequence[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = tuple(errors)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What ``check_config`` found."""

    config: Config | None
    """None when there are errors."""
    files: tuple[Path, ...]
    """The files read, in order."""
    errors: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """Not wrong, but worth knowing."""


@dataclass(slots=True)
class _Merged:
    """The merged document, and which file said what."""

    document: dict[str, Any] = field(default_factory=dict)
    origin: dict[Location, Path] = field(default_factory=dict)

    def add(self, path: Path, table: Mapping[str, Any]) -> None:
        self._merge(self.document, table, (), path)

    def _merge(self, into: dict[str, Any], table: Mapping[str, Any], at: Location, path: Path) -> None:
        for key, value in table.items():
            here = (*at, key)
            self.origin[here] = path
            if isinstance(value, dict) and isinstance(into.get(key), dict):
                self._merge(into[key], value, here, path)
            elif isinstance(value, dict):
                into[key] = {}
                self._merge(into[key], value, here, path)
            else:
                into[key] = value

    def file_of(self, location: Location) -> Path | None:
        """The file that gave ``location`` or, for something missing, the table around it."""
        for length in range(len(location), 0, -1):
            if location[:length] in self.origin:
                return self.origin[location[:length]]
        return None


def default_config_path(environ: Mapping[str, str] | None = None, effective_uid: int | None = None) -> Path:
    """The file read without ``--config``.

    systemd's ``ConfigurationDirectory`` if set, the user's XDG file if there is one and we are not root, else
    the system's.
    """
    environ = os.environ if environ is None else environ
    uid = os.geteuid() if effective_uid is None else effective_uid
    unit = environ.get("CONFIGURATION_DIRECTORY", "").split(":")[0]
    if unit:
        return Path(unit) / SYSTEM_CONFIG.name
    if uid != 0:
        home = Path(environ.get("HOME") or "/")
        own = Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / PROGRAM / SYSTEM_CONFIG.name
        if own.exists():
            return own
    return SYSTEM_CONFIG


def load_config(path: Path | None = None, dropins: Sequence[Path] | None = None) -> Config:
    """The configuration.

    ``path`` None reads ``default_config_path``, which may be absent; ``dropins`` None takes those beside the
    file. Raises ``ConfigError`` with every error found.
    """
    result = check_config(path, dropins)
    if result.config is None:
        raise ConfigError(result.errors)
    return result.config


def check_config(path: Path | None = None, dropins: Sequence[Path] | None = None) -> CheckResult:
    """Read and check without raising: all errors at once, and notes."""
    main = default_config_path() if path is None else path
    errors: list[str] = []
    files: list[Path] = []
    merged = _Merged()
    if path is not None or main.exists():
        files.append(main)
    try:
        files.extend(_dropins_of(main) if dropins is None else dropins)
    except OSError as error:
        errors.append(f"{_dropin_directory(main)}: cannot be read: {_reason(error)}")
    for file in files:
        try:
            merged.add(file, _read(file))
        except ConfigError as error:
            errors.extend(error.errors)
    try:
        config = Config.model_validate(merged.document)
    except ValidationError as error:
        for location, text in describe_error(error, Config):
            file = merged.file_of(location) or main
            errors.append(f"{file}: {text}")
        return CheckResult(config=None, files=tuple(files), errors=tuple(errors))
    notes = tuple(note for note in (config.ledger.not_calibrated_reason,) if note)
    return CheckResult(
        config=None if errors else config, files=tuple(files), errors=tuple(errors), notes=notes
    )


def _dropin_directory(main: Path) -> Path:
    return main.parent / f"{main.stem}.d"


def _dropins_of(main: Path) -> list[Path]:
    directory = _dropin_directory(main)
    if not directory.is_dir():
        return []
    return sorted(entry for entry in directory.iterdir() if entry.name.endswith(".toml"))


def _reason(error: OSError) -> str:
    hint = {
        FileNotFoundError: "no such file; give an existing one with --config, or leave --config out",
        PermissionError: "permission denied; run as a user who may read it",
        IsADirectoryError: "it is a directory; give the file in it",
    }
    return hint.get(type(error), error.strerror or str(error))


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {_reason(error)}"]) from error
    try:
        return parse_document(raw, str(path), "configuration file")
    except IntentError as error:
        raise ConfigError(error.errors) from error
