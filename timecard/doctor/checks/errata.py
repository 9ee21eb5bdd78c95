"""Known faults of the kernel's driver that change what programs read or do."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Final

from timecard.doctor.checks.driver import DRIVER, kernel_version
from timecard.doctor.findings import Case, Entry, Group, Seen, Severity

VENDOR_ATTRIBUTES: Final = ("holdover", "mac_i2c", "tod_protocol", "optional_image_contract", "mro50")
"""Only the vendor's driver has them."""
ENTRIES: Final = MappingProxyType(
    {
        "ts-window-adjust-broken": Entry(
            severity=Severity.WARN,
            title="the driver puts the trailing system stamp 4.29 s too early",
            cause="From 6.12 until before 7.3 the driver's estimate of a read's length comes out as {value} "
            "and is used as an unsigned number: phc2sys and chrony are off by 2.1 s with this card.",
            fix="`echo 0 > /sys/class/timecard/{ocp}/ts_window_adjust` at every start, or a kernel with the "
            "fix (7.3). This toolkit corrects its own readings.",
            explains=("cross-stamp-implausible", "cross-stamp-wide"),
        ),
        "vendor-driver": Entry(
            severity=Severity.INFO,
            title="the vendor's ptp_ocp is bound, not the kernel's own",
            cause="It has faults of its own: steps below -1 s take a very long loop, ADJ_OFFSET crashes "
            "newer kernels, EXTTS polarity is inverted, fine frequency steps are rounded.",
            fix="Use the mainline driver if it can do what is needed; never use ADJ_OFFSET on this one.",
        ),
        "known-errata": Entry(
            severity=Severity.INFO,
            title="known faults of driver and card that apply here: {ids}",
            cause="Each is named in the evidence, with what the toolkit does about it or what to keep in "
            "mind.",
            fix="Nothing to repair; read the evidence (-v) before using the card with other programs.",
        ),
    }
)


TOLD_ELSEWHERE: Final = ("E1", "E2", "E3", "E4", "E5", "E13", "E19", "E33")
"""Findings of their own tell these better."""


def known(case: Case) -> Iterator[Seen]:
    """The rest of the known errata, in one finding: nothing of it can be repaired here and now."""
    rest = [each for each in case.card.errata if each.id not in TOLD_ELSEWHERE]
    if rest:
        evidence = tuple(f"{each.id} {each.title} ({each.evidence}): {each.action}" for each in rest)
        yield Seen("known-errata", evidence, {"ids": ", ".join(each.id for each in rest)})


def window(case: Case) -> Iterator[Seen]:
    """``ts_window_adjust`` below 0."""
    kernel = case.card.kernel
    text = kernel.attributes.get("ts_window_adjust", "") if kernel else ""
    if kernel and text.startswith("-") and text[1:].isdigit():
        words = {"value": text, "ocp": kernel.class_device or "ocp0"}
        yield Seen(
            "ts-window-adjust-broken", (f"ts_window_adjust {text}", f"kernel {case.host.kernel}"), words
        )


def vendor(case: Case) -> Iterator[Seen]:
    """The vendor's driver."""
    kernel, pci = case.card.kernel, case.card.pci
    if kernel is None or pci is None or pci.driver != DRIVER:
        return
    own = [name for name in VENDOR_ATTRIBUTES if name in kernel.attributes]
    if own and kernel_version(case.host.kernel) != (0, 0):
        yield Seen("vendor-driver", tuple(f"attribute {name}" for name in own))


GROUP: Final = Group(title="Driver faults", entries=ENTRIES, card_checks=(window, vendor, known))
