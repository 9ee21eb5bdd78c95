"""What an error number of a PTP hardware clock means."""

from __future__ import annotations

import errno
from typing import Final

from timecard.errors import (
    CardPermissionError,
    DeviceAbsentError,
    DeviceLostError,
    DeviceTimeoutError,
    RefusedError,
    TimeCardError,
    UnsupportedError,
)

_KINDS: Final[dict[int, type[TimeCardError]]] = {
    **dict.fromkeys((errno.ENODEV, errno.EBADF, errno.EIO), DeviceLostError),
    **dict.fromkeys((errno.EINVAL, errno.ERANGE, errno.EBUSY, errno.EOVERFLOW), RefusedError),
    **dict.fromkeys((errno.ENOTTY, errno.ENXIO, errno.EOPNOTSUPP, errno.ENOSYS), UnsupportedError),
    **dict.fromkeys((errno.EACCES, errno.EPERM), CardPermissionError),
    errno.ENOENT: DeviceAbsentError,
    errno.ETIMEDOUT: DeviceTimeoutError,
}


def phc_error(device: str, operation: str, error: Exception, *, writable: bool) -> TimeCardError:
    """Translate; a value that does not fit its structure counts as an invalid argument."""
    code = getattr(error, "errno", None) or errno.EINVAL
    if code in (errno.EACCES, errno.EPERM) and not writable:
        return CardPermissionError(device, operation, "opened read-only: no right to write to it")
    kind = _KINDS.get(code, DeviceLostError)
    # A clock that is taken away answers that there is no such device: at the first opening, absence.
    if operation == "open" and kind in (DeviceLostError, UnsupportedError):
        kind = DeviceAbsentError
    return kind(device, operation, getattr(error, "strerror", None) or str(error))
