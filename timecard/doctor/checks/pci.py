"""The slot, the PCI function and its address window."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import MappingProxyType
from typing import Final

from timecard.doctor.facts import CardExamination, FailureKind, HostFacts
from timecard.doctor.findings import Case, Entry, Group, Seen, Severity

ASLEEP: Final = ("D1", "D2", "D3hot", "D3cold")
MANY_CORRECTABLE: Final = 1000
_NOTHING_ANSWERS: Final = (
    *(
        "clock-stopped",
        "clock-1970",
        "receiver-silent",
        "mac-silent",
        "eeprom-unreadable",
        "card-open-failed",
    ),
    *("card-silent", "clock-not-readable", "utc-offset-implausible", "clock-source-unknown", "probe-failed"),
    *(
        "flash-unreadable",
        "pps-none",
        "clock-not-in-sync",
        "tod-off",
        "tod-silent",
        "driver-not-bound",
        "serial-unknown",
    ),
)
ENTRIES: Final = MappingProxyType(
    {
        "no-card": Entry(
            severity=Severity.FAIL,
            title="no Time Card on the PCI bus",
            cause="No PCI device has the id of a Time Card: the card is not seated or has no power, the "
            "slot is switched off in the firmware setup, or an FPGA image for another board keeps it off "
            "the bus.",
            fix="Look with `lspci -nn`; reseat the card, check slot and firmware setup, and cut the "
            "machine's power for a moment (a reset is not enough for the FPGA). A card that stays away "
            "after a firmware update needs its golden image, by JTAG if need be. An emulated card is named "
            "by --vfio-user.",
        ),
        "blank-image": Entry(
            severity=Severity.FAIL,
            title="an FPGA without a Time Card's image: {devices}",
            cause="A PCI device shows the FPGA maker's default id: the FPGA is blank, or its image was built "
            "without the card's ids.",
            fix="Programme the golden image of this board by JTAG (or by its maker), then switch the machine "
            "off and on again.",
            explains=("no-card",),
        ),
        "duplicate-id": Entry(
            severity=Severity.WARN,
            title="two cards have the id {id}",
            cause="Images of one build may carry the same serial number, and the EEPROMs cannot be read.",
            fix="Name the cards by --pci; make their EEPROMs readable so that each gets its own id.",
        ),
        "card-gone": Entry(
            severity=Severity.FAIL,
            title="the card does not answer: all its registers read all ones",
            cause="The card fell off the bus: power, contact, or the FPGA reconfigured itself while in use.",
            fix="Remove and rescan: `echo 1 > /sys/bus/pci/devices/{address}/remove`, then `echo 1 > "
            "/sys/bus/pci/rescan`. If it stays away, switch the machine off and on; check power and seating.",
            explains=_NOTHING_ANSWERS,
        ),
        "card-asleep": Entry(
            severity=Severity.FAIL,
            title="the card is in power state {state}",
            cause="Without a driver the kernel puts the function to sleep; its registers then read all ones.",
            fix="Keep it awake: `echo on > /sys/bus/pci/devices/{address}/power/control`.",
            explains=("card-gone", *_NOTHING_ANSWERS),
        ),
        "bar-unassigned": Entry(
            severity=Severity.FAIL,
            title="BAR0 has no address",
            cause="The firmware, or the kernel after a hot plug, found no room for the card's window of "
            "{size} MiB.",
            fix="Boot with `pci=realloc`, or enable a larger MMIO window (often: above 4G decoding) in the "
            "firmware setup.",
            explains=("memory-decoding-off", "driver-not-bound", "driver-probe-failed", "card-open-failed"),
        ),
        "bar-too-small": Entry(
            severity=Severity.FAIL,
            title="BAR0 has {has} bytes, {product} needs {needs}",
            cause="The FPGA image was built with another address window than its PCI id stands for.",
            fix="Programme an image made for this board (`timecard flash plan` shows what fits), then power "
            "cycle.",
            explains=("driver-not-bound", "driver-probe-failed", "card-open-failed"),
        ),
        "memory-decoding-off": Entry(
            severity=Severity.FAIL,
            title="the PCI device is not enabled",
            cause="No driver has enabled the device (or one was unbound and disabled it), so its registers "
            "are not on the bus.",
            fix="`echo 1 > /sys/bus/pci/devices/{address}/enable`, or bind a driver.",
            explains=("card-open-failed", "driver-not-bound"),
        ),
        "bus-master-off": Entry(
            severity=Severity.FAIL,
            title="bus mastering is off although a driver is bound",
            cause="Interrupt messages are writes of the card to memory: without bus mastering none arrives. "
            "Something (a tool, a bus reset) cleared the bit behind the driver's back.",
            fix="Bind the driver anew: `echo {address} > /sys/bus/pci/drivers/{driver}/unbind`, then the "
            "same to `bind`.",
        ),
        "link-narrow": Entry(
            severity=Severity.WARN,
            title="the PCIe link runs on {width} of {max_width} lanes",
            cause="The slot has fewer lanes, or a contact is bad.",
            fix="Reseat the card; use a slot with {max_width} lanes. The clock works meanwhile.",
        ),
        "link-slow": Entry(
            severity=Severity.WARN,
            title="the PCIe link runs at {speed} GT/s, both sides can do {max_speed}",
            cause="Link training fell back: signal quality, a riser, or a limit in the firmware setup.",
            fix="Reseat the card, leave risers out, check the slot's speed in the firmware setup.",
        ),
        "pcie-errors": Entry(
            severity=Severity.WARN,
            title="PCIe errors: {counts}",
            cause="Packets were damaged or refused: a bad contact or riser, or accesses to addresses where "
            "the FPGA has no block.",
            fix="Reseat the card and leave risers out; if the count still grows, find the program that reads "
            "registers which the image does not have.",
        ),
    }
)


def missing_cards(host: HostFacts, cards: Iterable[CardExamination]) -> Iterator[Seen]:
    """No card at all, FPGAs without image, two cards of one id."""
    ids = [card.id for card in cards]
    for each in sorted({card_id for card_id in ids if ids.count(card_id) > 1}):
        yield Seen("duplicate-id", (f"{ids.count(each)} cards report it",), {"id": each})
    if host.strangers:
        yield Seen("blank-image", host.strangers, {"devices": ", ".join(host.strangers)})
    if not ids:
        yield Seen("no-card", ("no device of a known id in /sys/bus/pci/devices",))


def alive(case: Case) -> Iterator[Seen]:
    """Does anybody answer, is it awake."""
    pci, card = case.card.pci, case.card
    address = pci.address if pci else (card.access_path or card.id)
    lost = [
        f"{probe}: {why.text}"
        for probe, why in card.failures.items()
        if why.kind is FailureKind.LOST and probe != "flash_bytes"  # that may be the chip alone
    ]
    # vfio-pci lets a card sleep until somebody opens it; one that answers is awake by now.
    if pci and pci.power_state in ASLEEP and (lost or pci.config_all_ones):
        yield Seen(
            "card-asleep", (f"power_state {pci.power_state}",), {"state": pci.power_state, "address": address}
        )
    if pci and pci.config_all_ones:
        yield Seen("card-gone", ("configuration space reads all ones", *lost[:2]), {"address": address})
    elif lost:
        yield Seen("card-gone", tuple(lost[:3]), {"address": address})


def window(case: Case) -> Iterator[Seen]:
    """BAR0 and the command register."""
    pci, board = case.card.pci, case.board
    if pci is None or pci.config_all_ones:
        return
    words = {"address": pci.address, "driver": pci.driver or "ptp_ocp"}
    if pci.bar0_start == 0:
        size = (board.bar0_size if board else 1 << 25) >> 20
        yield Seen("bar-unassigned", ("resource: BAR0 starts at 0",), words | {"size": size})
    elif board and pci.bar0_size is not None and pci.bar0_size < board.bar0_size:
        needs = f"{board.bar0_size:#x}"
        texts = words | {"has": f"{pci.bar0_size:#x}", "needs": needs, "product": board.product}
        yield Seen("bar-too-small", (f"resource: BAR0 of {pci.bar0_size:#x} bytes",), texts)
    off = []
    if pci.decoding is False and pci.driver != "vfio-pci":  # which switches it on when it is opened
        off.append("bit 1 of the PCI command register is 0")
    if pci.enabled is False and pci.driver is None:
        off.append("the device's file enable says 0")
    if off and pci.bar0_start != 0 and (pci.power_state or "D0") not in ASLEEP:
        yield Seen("memory-decoding-off", tuple(off), words)
    if pci.driver == "ptp_ocp" and pci.bus_master is False:
        yield Seen("bus-master-off", ("bit 2 of the PCI command register is 0",), words)


def link(case: Case) -> Iterator[Seen]:
    """Width, speed and errors of the link."""
    pci = case.card.pci
    if pci is None or pci.config_all_ones:
        return
    own, port = pci.link, pci.port
    if own.width and own.max_width and own.width < own.max_width:
        words = {"width": own.width, "max_width": own.max_width}
        yield Seen("link-narrow", (f"current_link_width {own.width}, max_link_width {own.max_width}",), words)
    if own.speed_gts and own.max_speed_gts and port.max_speed_gts:
        possible = min(own.max_speed_gts, port.max_speed_gts)
        if own.speed_gts < possible:
            texts = {"speed": f"{own.speed_gts:g}", "max_speed": f"{possible:g}"}
            yield Seen("link-slow", (f"current_link_speed {own.speed_gts:g} GT/s",), texts)
    counts = {
        kind: count
        for kind, count in pci.errors.items()
        if count > (MANY_CORRECTABLE if kind == "correctable" else 0)
    }
    if counts:
        text = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        yield Seen(
            "pcie-errors",
            tuple(f"aer_dev_{kind} {count}" for kind, count in counts.items()),
            {"counts": text},
        )


GROUP: Final = Group(
    title="PCI and slot",
    entries=ENTRIES,
    card_checks=(alive, window, link),
    host_checks=(missing_cards,),
)
