"""Serial ports and device nodes: are they there, may this user open them, who else has them open."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Final

from timecard.doctor.checks.driver import DRIVER, OURS
from timecard.doctor.checks.kernel_parts import vectors
from timecard.doctor.facts import NodeFacts
from timecard.doctor.findings import Case, Entry, Group, Seen, Severity

SERIAL_ROLES: Final = ("gnss", "gnss2", "mac", "nmea")
_STOP: Final = MappingProxyType(
    {
        "ModemManager": "`timecard install-udev` tells it to leave the card's ports alone "
        '(ENV{ID_MM_DEVICE_IGNORE}="1"); then `systemctl restart ModemManager`, or stop it for good.',
        "agetty": "Switch the console on that port off: `systemctl disable --now serial-getty@{tty}`.",
    }
)
_STOP_ANY: Final = (
    "Stop {who}, or let it have the port and leave the role out of the toolkit's configuration."
)
ENTRIES: Final = MappingProxyType(
    {
        "uart-ports-used-up": Entry(
            severity=Severity.FAIL,
            title="the 8250 driver has no port left for the card",
            cause="It may have {limit} ports and has {used} already.",
            fix="Boot with `8250.nr_uarts=32` (each card needs up to four).",
            explains=("tty-missing", "tty-links-missing", "receiver-silent", "mac-silent"),
        ),
        "tty-missing": Entry(
            severity=Severity.WARN,
            title="no serial port for {roles}",
            cause="The driver has registered no tty for that UART.",
            fix="Read `dmesg` for ttyS and ptp_ocp lines, then bind the driver anew.",
        ),
        "tty-links-missing": Entry(
            severity=Severity.WARN,
            title="the driver does not say which ttys are the card's",
            cause="Kernels 6.8 to 6.10 cannot make the links ttyGNSS ...; the ports were found by their "
            "address.",
            fix="The toolkit works with them. For other programs: kernel 6.11 or later, or the links of the "
            "toolkit's udev rules (`timecard install-udev`).",
        ),
        "port-in-use": Entry(
            severity=Severity.WARN,
            title="{who} has the {role} port open",
            cause="Two readers of one serial port each get a part of the messages; this one was not opened "
            "for the examination.",
            fix="{advice}",
            explains=("receiver-silent", "receiver-garbled", "mac-silent"),
        ),
        "clock-in-use": Entry(
            severity=Severity.WARN,
            title="{who} has the card's clock open",
            cause="A program that steers the clock fights with the card's own servo and with this toolkit.",
            fix="Stop {who}, or let it only read (phc2sys: the card as the master clock, never as the "
            "slave).",
        ),
        "node-permission": Entry(
            severity=Severity.WARN,
            title="user {user} may not open {nodes}",
            cause="{details}; the user is in {groups}.",
            fix="Install the udev rules (`timecard install-udev`), which give the nodes to the group "
            "timecard, and put the user into that group: `usermod -aG timecard {user}`; or run as root.",
            explains=("card-open-failed", "receiver-silent", "mac-silent"),
        ),
        "daemon-has-card": Entry(
            severity=Severity.INFO,
            title="{who} has {roles} open",
            cause="This toolkit's own program uses the card; what it holds was not opened.",
            fix="Nothing to do; ask it for its view with `time-appliance status`.",
        ),
        "udev-links-missing": Entry(
            severity=Severity.INFO,
            title="there is no /dev/timecard/{id}",
            cause="The toolkit's udev rules are not installed.",
            fix="`timecard install-udev`, then `udevadm trigger`.",
        ),
    }
)


def serial_ports(case: Case) -> Iterator[Seen]:
    """Ports that the board has and the driver does not show."""
    card, board, host = case.card, case.board, case.host
    kernel = card.kernel
    if board is None or kernel is None or kernel.class_device is None or not board.kernel_binds:
        return
    lacking = [role.value for role in board.serial_ports if role.value not in kernel.ttys]
    if lacking:
        full = host.uart_limit is not None and host.uarts is not None and host.uarts >= host.uart_limit
        if full and not any(seen.id == "single-msi" for seen in vectors(case)):
            words = {"limit": host.uart_limit, "used": host.uarts}
            yield Seen("uart-ports-used-up", (f"8250.nr_uarts={host.uart_limit}, all in use",), words)
        yield Seen("tty-missing", tuple(f"{role}: no tty" for role in lacking), {"roles": ", ".join(lacking)})
    if kernel.ttys and kernel.tty_form == "address":
        evidence = tuple(f"{role}: {tty}, by its address" for role, tty in kernel.ttys.items())
        yield Seen("tty-links-missing", (f"kernel {host.kernel}", *evidence))


def holders(case: Case) -> Iterator[Seen]:
    """Other programs on the card's nodes."""
    ours: dict[str, list[str]] = {}
    for node in case.card.nodes:
        for holder in node.holders:
            who = f"{holder.program} (pid {holder.pid})"
            if holder.program in OURS:
                ours.setdefault(who, []).append(node.role)
                continue
            words = {"who": who, "role": node.role}
            if node.role in SERIAL_ROLES:
                advice = _STOP.get(holder.program, _STOP_ANY)
                tty = node.path.rsplit("/", 1)[-1]
                words["advice"] = advice.replace("{who}", holder.program).replace("{tty}", tty)
                yield Seen("port-in-use", (f"{who} has {node.path} open",), words)
            elif node.role == "phc":
                yield Seen("clock-in-use", (f"{who} has {node.path} open",), words)
    for who, roles in ours.items():
        yield Seen("daemon-has-card", tuple(roles), {"who": who, "roles": ", ".join(roles)})


def permissions(case: Case) -> Iterator[Seen]:
    """Nodes that this user may not open."""
    pci = case.card.pci
    if pci is None or pci.driver != DRIVER:
        return
    closed = [node for node in case.card.nodes if node.role != "resource0" and not _usable(node)]
    if closed:
        details = ", ".join(f"{node.path} is {node.owner}:{node.group} {node.mode:04o}" for node in closed)
        words = {
            "user": case.host.user,
            "nodes": ", ".join(node.path for node in closed),
            "details": details,
            "groups": ", ".join(case.host.groups) or "no group",
        }
        severity = Severity.FAIL if any(node.role == "phc" for node in closed) else None
        yield Seen("node-permission", tuple(f"{n.path}: mode {n.mode:04o}" for n in closed), words, severity)


def links(case: Case) -> Iterator[Seen]:
    """``/dev/timecard``."""
    kernel = case.card.kernel
    if kernel is not None and kernel.by_id is False:
        yield Seen("udev-links-missing", ("no such folder",), {"id": case.card.id})


def _usable(node: NodeFacts) -> bool:
    return node.readable and (node.writable or node.role == "pps")


GROUP: Final = Group(
    title="Ports and nodes",
    entries=ENTRIES,
    card_checks=(serial_ports, holders, permissions, links),
)
