"""Facts about the machine: kernel, modules, log, who asks. Only small files are read, nothing is opened."""

from __future__ import annotations

import ctypes
import errno
import grp
import os
import pwd
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from timecard.digits import whole_number
from timecard.doctor.facts import HostFacts, ModuleState
from timecard.kernel.modules import KernelModules
from timecard.kernel.modules import ModuleState as Seen
from timecard.kernel.nodes import read_text
from timecard.timescale import NS_PER_S

MODULES: Final = (
    *("ptp_ocp", "i2c-xiic", "i2c-ocores", "at24"),
    *("spi-xilinx", "spi-altera-platform", "mtd", "spi-nor"),
)
BLANK_IDS: Final = (("0x10ee", "0x7011"),)
"""What a Xilinx FPGA shows without a card's ids in its image."""
_TIMEX_BYTES: Final = 512
"""More than ``struct timex`` has anywhere; all zero asks and sets nothing."""
_TIME_ERROR: Final = 5
MAX_LOG_LINES: Final = 200
MAX_LOG_BYTES: Final = 8_000_000
MAX_LINE: Final = 300
_STATES: Final = {
    Seen.LOADED: ModuleState.LOADED,
    Seen.BUILT_IN: ModuleState.BUILT_IN,
    Seen.AVAILABLE: ModuleState.AVAILABLE,
    Seen.MISSING: ModuleState.ABSENT,
}


@dataclass(frozen=True, slots=True)
class User:
    """Who asks."""

    uid: int
    name: str
    gids: frozenset[int]


def current_user() -> User:
    """The user of this process."""
    uid = os.geteuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    return User(uid, name, frozenset({os.getegid(), *os.getgroups()}))


def host_facts(root: Path, user: User, release: str | None = None) -> HostFacts:
    """Look at the host whose files are below ``root``."""
    sysfs = root / "sys"
    own = root == Path("/")
    kernel = read_text(root / "proc/sys/kernel/osrelease") or release or os.uname().release
    return HostFacts(
        kernel=kernel,
        user=user.name,
        root=user.uid == 0,
        groups=tuple(sorted(group_name(gid) for gid in user.gids)),
        lockdown=_lockdown(sysfs),
        modules=module_states(root, kernel),
        kernel_log=_kernel_log(root / "dev/kmsg"),
        tai_offset_s=tai_offset_s() if own else None,
        clock_synchronised=clock_synchronised() if own else None,
        uart_limit=_number(read_text(sysfs / "module/8250/parameters/nr_uarts")),
        uarts=_uarts(sysfs),
        strangers=tuple(_strangers(sysfs)),
    )


def tai_offset_s() -> int | None:
    """TAI minus UTC as the kernel has it; 0 until a time daemon tells it."""
    tai_ns, real_ns = time.clock_gettime_ns(time.CLOCK_TAI), time.clock_gettime_ns(time.CLOCK_REALTIME)
    return round((tai_ns - real_ns) / NS_PER_S)


def clock_synchronised() -> bool | None:
    """What adjtimex(2) returns: 5 stands for a clock that nobody keeps."""
    try:
        state = int(ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES)))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR


def group_name(gid: int) -> str:
    """Name of a group, or its number."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def user_name(uid: int) -> str:
    """Name of a user, or its number."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def module_states(root: Path, kernel: str, names: Iterable[str] = MODULES) -> dict[str, ModuleState]:
    """How the modules stand, by ``/proc/modules`` and the running kernel's lists of modules."""
    modules = root / "lib/modules"
    known = KernelModules(root / "proc", modules, kernel)
    listed = (modules / kernel / "modules.dep").is_file()
    states = {name: _STATES[known.state(name)] for name in names}
    if not listed:
        states = {n: ModuleState.UNKNOWN if s is ModuleState.ABSENT else s for n, s in states.items()}
    return states


def _lockdown(sysfs: Path) -> str | None:
    found = re.search(r"\[(\w+)\]", read_text(sysfs / "kernel/security/lockdown") or "")
    return found[1] if found else None


def _kernel_log(path: Path) -> tuple[str, ...] | None:
    """Lines of the driver, newest last; a record is ``priority,sequence,time,flags;text``."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    data = bytearray()
    try:
        while len(data) < MAX_LOG_BYTES:
            try:
                part = os.read(descriptor, 8192)
            except OSError as error:
                if error.errno == errno.EPIPE:  # overwritten while we read: go on with the oldest left
                    continue
                break
            if not part:
                break
            data += part
    finally:
        os.close(descriptor)
    texts = [line.partition(";")[2] for line in data.decode("utf-8", "replace").splitlines() if ";" in line]
    return tuple(text[:MAX_LINE] for text in texts if "ptp_ocp" in text)[-MAX_LOG_LINES:]


def _uarts(sysfs: Path) -> int | None:
    ports = list((sysfs / "class/tty").glob("ttyS*"))
    return sum(1 for port in ports if read_text(port / "type") not in (None, "0")) if ports else None


def _strangers(sysfs: Path) -> Iterable[str]:
    for device in sorted((sysfs / "bus/pci/devices").glob("*")):
        ids = (read_text(device / "vendor") or "", read_text(device / "device") or "")
        if ids in BLANK_IDS and not (device / "driver").exists():
            yield f"{device.name} {ids[0][2:]}:{ids[1][2:]}"


def _number(text: str | None) -> int | None:
    return None if text is None else whole_number(text)
