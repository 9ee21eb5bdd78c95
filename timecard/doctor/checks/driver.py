"""Who drives the card, who could, and what stands in the way of opening it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import MappingProxyType
from typing import Final

from timecard.card_values import Access
from timecard.doctor.facts import CardExamination, FailureKind, ModuleState
from timecard.doctor.findings import Case, Entry, Group, Seen, Severity

DRIVER: Final = "ptp_ocp"
OURS: Final = ("time-appliance", "timecard")
"""Programs of this toolkit; their use of the card is what it is for."""
_THERE: Final = (ModuleState.LOADED, ModuleState.BUILT_IN)
_OPEN: Final = ("card-open-failed", "driver-not-bound", "node-permission")
_PROBE_WORDS: Final = ("probe", "failed", "not enabled", "invalid", "Could not", "error")
ENTRIES: Final = MappingProxyType(
    {
        "driver-not-built": Entry(
            severity=Severity.FAIL,
            title="the running kernel has no ptp_ocp driver",
            cause="The kernel {kernel} was built without PTP_1588_CLOCK_OCP; cloud kernels leave it out.",
            fix="Install and boot a kernel that has it (Debian: linux-image-amd64 instead of the cloud "
            "kernel), or let the toolkit drive the registers as root: `timecard info --pci {address}`.",
            explains=_OPEN,
        ),
        "driver-not-loaded": Entry(
            severity=Severity.FAIL,
            title="ptp_ocp is not loaded, and the registers need root",
            cause="The module is installed but nobody loaded it (blacklisted, or removed), and this user may "
            "not open the card without it.",
            fix="`modprobe ptp_ocp`; look for a `blacklist ptp_ocp` below /etc/modprobe.d.",
            explains=_OPEN,
        ),
        "driver-too-old": Entry(
            severity=Severity.FAIL,
            title="the running kernel's ptp_ocp does not know {product}",
            cause="Kernel {kernel} is older than {since}, the first whose driver has this card's PCI id.",
            fix="Boot a kernel from {since} on, or let the toolkit drive the registers as root, or through "
            "vfio-pci.",
            explains=("driver-not-loaded", *_OPEN),
        ),
        "driver-misfit": Entry(
            severity=Severity.FAIL,
            title="ptp_ocp drives an image that it does not fit",
            cause="{product}: the mainline driver takes it for the plain layout of the same PCI id, so every "
            "register that it uses lies elsewhere.",
            fix="Unbind it: `echo {address} > /sys/bus/pci/drivers/ptp_ocp/unbind`; the toolkit then drives "
            "the registers itself. Or use the vendor's driver.",
            explains=(
                *(
                    "class-device-missing",
                    "phc-missing",
                    "tty-missing",
                    "utc-offset-implausible",
                    "clock-1970",
                ),
                *("clock-stopped", "clock-source-unknown", "single-msi", "few-vectors", "card-gone", *_OPEN),
            ),
        ),
        "driver-probe-failed": Entry(
            severity=Severity.FAIL,
            title="ptp_ocp gave up on the card",
            cause="The driver is loaded, found the card and returned an error.",
            fix="Read its lines in `dmesg`; after repair: `echo {address} > "
            "/sys/bus/pci/drivers/ptp_ocp/bind`.",
            explains=_OPEN,
        ),
        "driver-foreign": Entry(
            severity=Severity.FAIL,
            title="the driver {driver} holds the card",
            cause="Something bound another driver: driver_override, a udev rule, or a script.",
            fix="`echo {address} > /sys/bus/pci/drivers/{driver}/unbind`, `echo > /sys/bus/pci/devices/"
            "{address}/driver_override`, then bind ptp_ocp (or leave it without: uio_pci_generic and "
            "pci-stub are of no use to the toolkit).",
            explains=_OPEN,
        ),
        "kernel-lockdown": Entry(
            severity=Severity.FAIL,
            title="the kernel's lockdown forbids to map the registers",
            cause="Lockdown is at '{lockdown}' (secure boot): resource0 of a PCI device cannot be opened, by "
            "nobody.",
            fix="Use the kernel driver (`modprobe ptp_ocp`), or VFIO (vfio-pci is allowed under lockdown), "
            "or switch secure boot off.",
            explains=_OPEN,
        ),
        "driver-not-bound": Entry(
            severity=Severity.FAIL,
            title="no driver is bound, and this user may not open the registers",
            cause="ptp_ocp is there but was unbound from the card; resource0 belongs to root.",
            fix="Bind the driver: `echo {address} > /sys/bus/pci/drivers/ptp_ocp/bind`; or run as root.",
            explains=("card-open-failed",),
        ),
        "vfio-no-iommu": Entry(
            severity=Severity.FAIL,
            title="vfio-pci holds the card, but there is no IOMMU",
            cause="The card is in no IOMMU group: the IOMMU is off in the firmware setup or in the kernel.",
            fix="Enable VT-d or AMD-Vi in the firmware setup and boot with `intel_iommu=on` (AMD: on by "
            "default); or unbind vfio-pci and use resource0.",
            explains=("vfio-permission", *_OPEN),
        ),
        "vfio-group-shared": Entry(
            severity=Severity.FAIL,
            title="other devices share the card's IOMMU group",
            cause="VFIO hands out whole groups; {others} in group {group} are held by kernel drivers.",
            fix="Bind {others} to vfio-pci as well or leave them without a driver, or move the card to a "
            "slot whose root port separates it (ACS).",
            explains=_OPEN,
        ),
        "vfio-permission": Entry(
            severity=Severity.FAIL,
            title="this user may not open the card's VFIO group",
            cause="The node {node} belongs to {owner}:{group} with mode {mode}; this is {user}.",
            fix="`timecard install-udev` gives {node} to the group timecard where no other device shares it: "
            "put the user into that group (`usermod -aG timecard {user}`); or run as root.",
            explains=_OPEN,
        ),
        "class-device-missing": Entry(
            severity=Severity.FAIL,
            title="ptp_ocp is bound but shows no class device",
            cause="Kernels before 5.15 drive only the clock; or the probe stopped half way.",
            fix="Boot a kernel from 5.15 on, better 6.12 or later; with a newer one read `dmesg`.",
            explains=("phc-missing", "tty-missing", "card-open-failed", "eeprom-unreadable"),
        ),
        "phc-missing": Entry(
            severity=Severity.FAIL,
            title="the driver made no PTP clock",
            cause="Registration of the clock failed, or the class device is still being set up.",
            fix="Read `dmesg` for ptp_ocp; wait a second and look again; then bind the driver anew.",
            explains=("card-open-failed",),
        ),
        "card-in-use": Entry(
            severity=Severity.WARN,
            title="another program uses the card",
            cause="{reason}",
            fix="Ask that program ({who}), or stop it for a full examination: `systemctl stop "
            "time-appliance`.",
            explains=("card-open-failed",),
        ),
        "card-silent": Entry(
            severity=Severity.FAIL,
            title="the card hangs: {probes} did not return",
            cause="A read of the card did not come back within its time: the bus is stuck, the process "
            "behind an emulated card is stopped, or the driver waits for the hardware.",
            fix="Switch the machine off and on (an emulated card: restart `timecard emulate`); look for "
            "`hung task` lines in `dmesg`.",
            explains=("card-open-failed", "probe-failed"),
        ),
        "card-open-failed": Entry(
            severity=Severity.FAIL,
            title="the card cannot be opened",
            cause="{reason}",
            fix="Do what the reason says, then run the examination again.",
        ),
        "no-kernel-driver": Entry(
            severity=Severity.INFO,
            title="no kernel driver: the toolkit drives the registers itself",
            cause="There is no PTP clock, tty or flash device for other programs (chrony, gpsd, phc2sys).",
            fix="Nothing to do, unless other programs need the card: then `modprobe ptp_ocp`.",
        ),
    }
)


def driver(case: Case) -> Iterator[Seen]:
    """The driver that is bound, or why none is."""
    card, pci, host, board = case.card, case.card.pci, case.host, case.board
    if pci is None or pci.config_all_ones:
        return
    words = {"address": pci.address, "kernel": host.kernel, "driver": pci.driver, "lockdown": host.lockdown}
    if board is not None:
        words |= {"product": board.product, "since": board.kernel_since}
    if pci.driver == DRIVER:
        if board is not None and not board.kernel_binds:
            yield Seen("driver-misfit", (f"{board.product} is bound to {DRIVER}",), words)
        return
    if pci.driver == "vfio-pci":
        return
    if pci.driver is not None:
        yield Seen("driver-foreign", (f"driver -> {pci.driver}",), words)
        return
    if card.access is not None:
        if card.access is Access.RESOURCE0:
            yield Seen("no-kernel-driver", ("no driver is bound",), words)
        return
    module = host.modules.get(DRIVER, ModuleState.UNKNOWN)
    if board is not None and board.kernel_binds and kernel_version(host.kernel) < version(board.kernel_since):
        yield Seen("driver-too-old", (f"kernel {host.kernel}",), words)
    elif module is ModuleState.ABSENT:
        yield Seen("driver-not-built", (f"kernel {host.kernel}: no ptp_ocp in modules.dep",), words)
    if host.root and host.lockdown in ("integrity", "confidentiality"):
        yield Seen("kernel-lockdown", (f"lockdown: {host.lockdown}",), words)
    refused = _open_failed(card, FailureKind.PERMISSION)
    if module is ModuleState.AVAILABLE and refused:
        yield Seen("driver-not-loaded", ("ptp_ocp is installed, not loaded",), words)
    if module in _THERE:
        lines = case.log(*_PROBE_WORDS)
        if lines:
            yield Seen("driver-probe-failed", lines[-4:], words)
        elif refused and not host.root:
            yield Seen("driver-not-bound", ("no driver is bound", f"user {host.user}"), words)


def vfio(case: Case) -> Iterator[Seen]:
    """A card in the hands of vfio-pci."""
    card, pci = case.card, case.card.pci
    if pci is None or pci.driver != "vfio-pci":
        return
    if pci.iommu_group is None:
        yield Seen("vfio-no-iommu", ("the device has no iommu_group",))
        return
    held = {
        who: by for who, by in pci.group_others.items() if by not in ("", "vfio-pci", "pcieport", "pci-stub")
    }
    if held:
        others = ", ".join(held)
        evidence = tuple(f"{who}: driver {by}" for who, by in held.items())
        yield Seen("vfio-group-shared", evidence, {"others": others, "group": pci.iommu_group})
    for node in card.nodes:
        if node.role == "vfio" and not (node.readable and node.writable):
            mode = f"{node.mode:04o}"
            words = {"node": node.path, "owner": node.owner, "group": node.group, "mode": mode}
            yield Seen("vfio-permission", (f"{node.path}: {mode}",), words | {"user": case.host.user})


def class_device(case: Case) -> Iterator[Seen]:
    """What ptp_ocp made of the card."""
    kernel, pci = case.card.kernel, case.card.pci
    if pci is None or pci.driver != DRIVER or kernel is None:
        return
    if kernel.class_device is None:
        yield Seen(
            "class-device-missing", (f"kernel {case.host.kernel}", "no timecard/ocp* below the device")
        )
    if kernel.phc is None:
        lines = case.log("ptp")
        yield Seen("phc-missing", ("no ptp clock below the device", *lines[-2:]))


def opening(case: Case) -> Iterator[Seen]:
    """Why the card could not be opened, where nothing more particular is known; probes that hang."""
    failures = case.card.failures
    stuck = [
        probe
        for probe, why in failures.items()
        if why.kind is FailureKind.STUCK or (why.kind is FailureKind.TIMEOUT and probe == "open")
    ]
    serial = [probe for probe in stuck if probe not in ("receiver", "oscillator")]
    if serial:
        evidence = tuple(f"{probe}: {failures[probe].text}" for probe in serial[:3])
        yield Seen("card-silent", evidence, {"probes": ", ".join(serial)})
    failed = failures.get("open")
    if failed is None or failed.kind in (FailureKind.SKIPPED, FailureKind.LOST):
        return
    users = [
        holder for node in case.card.nodes if node.role in ("vfio", "resource0") for holder in node.holders
    ]
    if users and all(each.program in OURS for each in users):
        return  # said elsewhere
    if users:
        who = ", ".join(f"{each.program} (pid {each.pid})" for each in users)
        yield Seen("card-in-use", (failed.text,), {"reason": f"{who} has it open.", "who": who})
    elif failed.kind is FailureKind.REFUSED and "client" in failed.text:
        yield Seen(
            "card-in-use",
            (failed.text,),
            {"reason": "The socket of an emulated card serves one client at a time.", "who": "the client"},
        )
    yield Seen("card-open-failed", (failed.text,), {"reason": failed.text})


def kernel_version(release: str) -> tuple[int, int]:
    """Major and minor number of a release such as ``6.12.48+deb13-amd64``."""
    found = re.match(r"(\d{1,4})\.(\d{1,4})", release)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def version(text: str) -> tuple[int, int]:
    """The same of ``Board.kernel_since``; a board without is never new enough."""
    return kernel_version(text) if text[:1].isdigit() else (9999, 0)


def _open_failed(card: CardExamination, kind: FailureKind) -> bool:
    failed = card.failures.get("open")
    return failed is not None and failed.kind is kind


GROUP: Final = Group(
    title="Driver and access",
    entries=ENTRIES,
    card_checks=(driver, vfio, class_device, opening),
)
