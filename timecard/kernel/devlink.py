"""The kernel's devlink: which image runs, and its own way to update it. Generic netlink, family ``devlink``.

Sources: ``include/uapi/linux/devlink.h``, ``Documentation/networking/devlink/``. Reading needs no privilege.
"""

from __future__ import annotations

import contextlib
import os
import re
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pyroute2.netlink.devlink import DEVLINK_NAMES, devlinkcmd

from timecard.card_values import ImageVersion
from timecard.errors import (
    CardPermissionError,
    DeviceAbsentError,
    DeviceTimeoutError,
    ProtocolError,
    RefusedError,
    TimeCardError,
    UnsupportedError,
)
from timecard.kernel.genetlink import GenericNetlink, NetlinkRefusal

GROUP: Final = "config"
"""Multicast group that progress messages go to."""
INFO_LIMIT_S: Final = 10.0
FLASH_LIMIT_S: Final = 3600.0
MAX_TEXT: Final = 256
_POLL_S: Final = 0.2
_VERSION: Final = re.compile(r"([0-9]{1,5})\.([0-9]{1,5})")
_CODES: Final[Mapping[int, type[TimeCardError]]] = {
    1: CardPermissionError,
    2: UnsupportedError,
    13: CardPermissionError,
    19: DeviceAbsentError,
    22: RefusedError,
    95: UnsupportedError,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DevlinkInfo:
    """What the driver says of a device."""

    driver: str | None
    serial_number: str | None
    fixed: Mapping[str, str] = field(default_factory=dict)
    running: Mapping[str, str] = field(default_factory=dict)
    """``fw`` or ``loader`` to ``tag.number``."""

    @property
    def image(self) -> ImageVersion | None:
        """Which image runs; None when the driver did not say it in the form that is known."""
        for name, loader in (("fw", False), ("loader", True)):
            match = _VERSION.fullmatch(self.running.get(name, ""))
            if match:
                return ImageVersion(loader, int(match[1]), int(match[2]))
        return None

    @property
    def board_id(self) -> str | None:
        """From the EEPROM."""
        return self.fixed.get("board.id")


@dataclass(frozen=True, slots=True)
class FlashProgress:
    """One progress message of the driver."""

    text: str
    done: int
    total: int


def devlink_info(address: str) -> DevlinkInfo:
    """Ask about the PCI device at ``address``. ``UnsupportedError`` when the kernel has no devlink."""
    operation = "devlink info"
    with _family(address, operation) as link:
        replies = link.ask(_message("DEVLINK_CMD_INFO_GET", address), INFO_LIMIT_S)
    for reply in replies:
        if reply.get_attr("DEVLINK_ATTR_DEV_NAME") == address:
            return DevlinkInfo(
                driver=_text(reply.get_attr("DEVLINK_ATTR_INFO_DRIVER_NAME")),
                serial_number=_text(reply.get_attr("DEVLINK_ATTR_INFO_SERIAL_NUMBER")),
                fixed=_versions(reply, "DEVLINK_ATTR_INFO_VERSION_FIXED"),
                running=_versions(reply, "DEVLINK_ATTR_INFO_VERSION_RUNNING"),
            )
    raise ProtocolError(address, operation, "no answer names this device")


def devlink_flash(
    address: str,
    file_name: str,
    progress: Callable[[FlashProgress], None] = lambda _: None,
    limit_s: float = FLASH_LIMIT_S,
) -> None:
    """Have the driver write a headered file; returns when it is done.

    ``file_name`` is relative to ``/lib/firmware`` (the kernel loads it). The caller has made sure that the
    card has an MTD, as ``KernelCard.devlink_flash`` does.
    ``RefusedError`` carries the driver's last words.
    """
    operation = f"devlink flash {file_name}"
    if Path(file_name).is_absolute() or ".." in Path(file_name).parts:
        raise RefusedError(address, operation, "the name must be relative to /lib/firmware")
    said: list[FlashProgress] = []
    finished = threading.Event()
    failure: list[TimeCardError] = []

    def request() -> None:
        try:
            with _family(address, operation) as link:
                message = _message("DEVLINK_CMD_FLASH_UPDATE", address)
                message["attrs"].append(("DEVLINK_ATTR_FLASH_UPDATE_FILE_NAME", file_name))
                link.ask(message, limit_s)
        except TimeCardError as error:
            failure.append(error)
        finally:
            finished.set()

    with _family(address, operation) as listener:
        listener.join(GROUP)
        worker = threading.Thread(target=request, name="devlink-flash", daemon=True)
        worker.start()
        deadline = time.monotonic() + limit_s
        while not finished.wait(_POLL_S) and time.monotonic() < deadline:
            _progress(listener, address, said, progress)
        _progress(listener, address, said, progress)
    if not finished.is_set():
        raise DeviceTimeoutError(address, operation, f"not done after {limit_s:.0f} s")
    worker.join()
    if failure:
        last = "; ".join(dict.fromkeys(p.text for p in said[-3:] if p.text))
        reason = f"{failure[0].reason} ({last})" if last else failure[0].reason
        raise type(failure[0])(address, operation, reason)


# --- internals ---


def _progress(
    listener: GenericNetlink,
    address: str,
    said: list[FlashProgress],
    progress: Callable[[FlashProgress], None],
) -> None:
    for message in listener.heard(0.0):
        if message.get("cmd") != DEVLINK_NAMES["DEVLINK_CMD_FLASH_UPDATE_STATUS"]:
            continue
        if message.get_attr("DEVLINK_ATTR_DEV_NAME") != address:
            continue
        said.append(
            FlashProgress(
                _text(message.get_attr("DEVLINK_ATTR_FLASH_UPDATE_STATUS_MSG")) or "",
                int(message.get_attr("DEVLINK_ATTR_FLASH_UPDATE_STATUS_DONE") or 0),
                int(message.get_attr("DEVLINK_ATTR_FLASH_UPDATE_STATUS_TOTAL") or 0),
            )
        )
        progress(said[-1])


@contextlib.contextmanager
def _family(address: str, operation: str) -> Iterator[GenericNetlink]:
    """The family; whatever fails inside becomes a ``TimeCardError``."""
    known = False
    try:
        with GenericNetlink("devlink", devlinkcmd) as link:
            known = True
            yield link
    except NetlinkRefusal as error:
        if not known:
            raise UnsupportedError(address, operation, "this kernel has no devlink") from error
        kind = _CODES.get(error.code, ProtocolError)
        raise kind(address, operation, error.words or os.strerror(error.code)) from error
    except TimeoutError as error:
        raise DeviceTimeoutError(address, operation, str(error)) from error
    except OSError as error:
        raise UnsupportedError(address, operation, f"no netlink here: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, struct.error) as error:
        raise ProtocolError(
            address, operation, f"the kernel's answer is not understood: {error!r}"
        ) from error


def _message(command: str, address: str) -> Any:
    message = devlinkcmd()
    message["cmd"] = DEVLINK_NAMES[command]
    message["version"] = 1
    message["attrs"] = [("DEVLINK_ATTR_BUS_NAME", "pci"), ("DEVLINK_ATTR_DEV_NAME", address)]
    return message


def _versions(reply: Any, name: str) -> dict[str, str]:
    found = {}
    for nested in reply.get_attrs(name):
        key = _text(nested.get_attr("DEVLINK_ATTR_INFO_VERSION_NAME"))
        value = _text(nested.get_attr("DEVLINK_ATTR_INFO_VERSION_VALUE"))
        if key and value:
            found[key] = value
    return found


def _text(value: object) -> str | None:
    if not isinstance(value, str):
        return None
    return "".join(c for c in value[:MAX_TEXT] if c.isprintable()) or None
