"""Reading and writing the class device: bounded, with typed errors that say what the driver's rule is.

Nothing is cached and no presence is assumed: an attribute that is not there is an ``UnsupportedError`` that
names driver and kernel, a whole class device that is not there any more is a ``DeviceLostError``.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final, TypeVar

from timecard.errors import (
    CardPermissionError,
    DeviceLostError,
    DeviceTimeoutError,
    ProtocolError,
    RefusedError,
    TimeCardError,
    UnsupportedError,
    from_oserror,
)
from timecard.kernel.attributes import FREQ, GEN, Attribute

T = TypeVar("T")

PAGE: Final = 4096
"""The kernel gives an attribute one page."""
EPROBE_DEFER: Final = 517
"""The kernel's own, without a name in libc: something that the attribute needs has no driver yet."""
_REFUSALS: Final = frozenset(
    {errno.EINVAL, errno.ERANGE, errno.EOPNOTSUPP, errno.EFAULT, errno.EBUSY, errno.ENOMEM, errno.EPERM}
)


class SysfsDevice:
    """One class device ``timecard/ocpN``."""

    def __init__(self, path: Path, *, driver: str = "ptp_ocp") -> None:
        """``driver`` is told in reasons, such as ``mainline driver on kernel 6.12``."""
        self.path = path
        self.name = path.name
        self._driver = driver

    def has(self, attribute: Attribute[T], number: int | None = None) -> bool:
        """Whether the attribute is there now."""
        return self._path(attribute, number).exists()

    def read(self, attribute: Attribute[T], number: int | None = None) -> T:
        """The value. ``number`` chooses the generator or counter, from 1.

        Raises ``UnsupportedError`` when the attribute is not there, ``ProtocolError`` for text that no driver
        writes.
        """
        operation = f"read {self._label(attribute, number)}"
        data = self._read(self._path(attribute, number), operation, PAGE)
        if not data and not attribute.may_be_empty:
            raise ProtocolError(self.name, operation, "it is empty")
        try:
            return attribute.parse(data.decode("ascii").rstrip())
        except ValueError as error:
            shown = data[:40].decode("ascii", "backslashreplace")
            raise ProtocolError(self.name, operation, f"{shown!r} is no answer ({error})") from error

    def write(self, attribute: Attribute[T], value: T, number: int | None = None) -> None:
        """Write a value; raises ``RefusedError`` with the driver's rule when it cannot be."""
        operation = f"write {self._label(attribute, number)}"
        if attribute.write is None:
            raise RefusedError(self.name, operation, "it is read-only")
        low, high = attribute.low, attribute.high
        if isinstance(value, int) and (
            (low is not None and value < low) or (high is not None and value > high)
        ):
            raise RefusedError(
                self.name, operation, f"{value} is outside {low} to {high} {attribute.unit}".rstrip()
            )
        self._write(
            self._path(attribute, number), operation, attribute.write(value).encode("ascii"), attribute.rule
        )

    @property
    def gone(self) -> bool:
        """The class device is not there any more: card removed, or driver unbound."""
        return not self.path.is_dir()

    # --- internals ---

    def _path(self, attribute: Attribute[T], number: int | None) -> Path:
        return self.path / self._label(attribute, number)

    @staticmethod
    def _label(attribute: Attribute[T], number: int | None) -> str:
        if not attribute.directory:
            return attribute.name
        if attribute.directory in (GEN, FREQ):
            if number is None:
                raise ValueError(f"{attribute.directory}/{attribute.name} needs a number")
            return f"{attribute.directory}{number}/{attribute.name}"
        return f"{attribute.directory}/{attribute.name}"

    def _read(self, path: Path, operation: str, limit: int) -> bytes:
        """At most ``limit`` bytes; more are an error, so that a wrong file cannot fill the memory."""
        data = b""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                while len(data) <= limit:
                    part = os.read(descriptor, limit + 1 - len(data))
                    if not part:
                        return data
                    data += part
            finally:
                os.close(descriptor)
        except OSError as error:
            raise self._failed(operation, error, "") from error
        raise ProtocolError(self.name, operation, f"more than {limit} bytes")

    def _write(self, path: Path, operation: str, data: bytes, rule: str) -> None:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                written = os.write(descriptor, data)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise self._failed(operation, error, rule) from error
        if written != len(data):
            raise ProtocolError(self.name, operation, f"the driver took {written} of {len(data)} bytes")

    def _failed(self, operation: str, error: OSError, rule: str) -> TimeCardError:
        code = error.errno or 0
        if self.gone:
            return DeviceLostError(self.name, operation, "the card or its driver has gone")
        if code in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR):
            return UnsupportedError(self.name, operation, f"the {self._driver} has no such attribute")
        if code == EPROBE_DEFER:
            return UnsupportedError(
                self.name, operation, "the EEPROM behind it has no driver (at24, I2C master)"
            )
        if code == errno.ENODEV:
            return UnsupportedError(
                self.name, operation, "the flash behind it has no driver (spi-nor, SPI master)"
            )
        if code == errno.ETIMEDOUT:
            return DeviceTimeoutError(self.name, operation, "the card's clock gave no snapshot")
        if code == errno.EACCES:
            return CardPermissionError(
                self.name, operation, "permission denied: be root, or in the group that owns the attribute"
            )
        if code in _REFUSALS:
            return RefusedError(
                self.name,
                operation,
                f"{error.strerror}; the driver takes {rule}" if rule else error.strerror or "",
            )
        return from_oserror(self.name, operation, error)
