"""The tree of hardware errors. A device layer raises these and nothing else.

``TimeCardError``
  ├─ ``DeviceAbsentError``    nothing there: no card, no socket, no reply to identification
  ├─ ``DeviceLostError``      it was there and went away, or answers all ones
  ├─ ``DeviceTimeoutError``   it did not answer within the deadline (also a ``TimeoutError``)
  ├─ ``ProtocolError``        it answered something that its own document does not allow
  ├─ ``RefusedError``         it understood and said no (range, read-only, NAK)
  ├─ ``UnsupportedError``     this part or access path does not have the capability
  └─ ``CardPermissionError``  the operating system refused access
"""

from __future__ import annotations

import errno


class TimeCardError(Exception):
    """A device failed; ``device`` and ``operation`` say which and at what."""

    def __init__(self, device: str, operation: str, reason: str) -> None:
        super().__init__(f"{device}: {operation}: {reason}")
        self.device = device
        self.operation = operation
        self.reason = reason


class DeviceAbsentError(TimeCardError):
    """The device is not there."""


class DeviceLostError(TimeCardError):
    """The device went away while in use."""


class DeviceTimeoutError(TimeCardError, TimeoutError):
    """The device did not answer in time."""


class ProtocolError(TimeCardError):
    """The device answered what its protocol does not allow."""


class RefusedError(TimeCardError):
    """The device refused the request."""


class UnsupportedError(TimeCardError):
    """The part or the access path does not have this capability."""


class CardPermissionError(TimeCardError):
    """The operating system refused access to the device."""


_BY_ERRNO: dict[int, type[TimeCardError]] = {
    errno.ENOENT: DeviceAbsentError,
    errno.ENODEV: DeviceAbsentError,
    errno.ENXIO: DeviceAbsentError,
    errno.ECONNREFUSED: DeviceAbsentError,
    errno.EACCES: CardPermissionError,
    errno.EPERM: CardPermissionError,
    errno.ETIMEDOUT: DeviceTimeoutError,
}


def from_oserror(device: str, operation: str, error: OSError) -> TimeCardError:
    """Translate an ``OSError``; what is not listed is a lost device."""
    if isinstance(error, TimeoutError):
        kind: type[TimeCardError] = DeviceTimeoutError
    else:
        kind = _BY_ERRNO.get(error.errno or 0, DeviceLostError)
    return kind(device, operation, error.strerror or str(error))
