"""A host made of files: sysfs, /proc, /dev and the list of modules, healthy unless told otherwise."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from timecard.boards import BOARDS, Board
from timecard.doctor.host import MODULES, User

ADDRESS: Final = "0000:3b:00.0"
PORT: Final = "0000:3a:00.0"
BAR_START: Final = 0x9000_0000
EUI48: Final = "02:ac:cd:00:00:01"


@dataclass(frozen=True, kw_only=True)
class HostOptions:
    """What the host is like; every default is healthy."""

    board: str = "fb"
    present: bool = True
    driver: str = "ptp_ocp"
    """Empty: none."""
    kernel: str = "7.3.4+deb13-amd64"
    user: str = "root"
    groups: Sequence[str] = ()
    lockdown: str = "none"
    config_all_ones: bool = False
    bar_assigned: bool = True
    bar_size: int | None = None
    memory_decoding: bool = True
    bus_master: bool = True
    power_state: str = "D0"
    link_width: int = 1
    link_max_width: int = 1
    link_speed: str = "2.5 GT/s PCIe"
    aer: Mapping[str, int] = field(default_factory=dict)
    iommu_group: str = "17"
    group_others: Mapping[str, str] = field(default_factory=dict)
    vectors: int | None = None
    modules_absent: Sequence[str] = ()
    modules_unloaded: Sequence[str] = ()
    log: Sequence[str] = ()
    nr_uarts: int = 32
    onboard_uarts: int = 1
    class_device: bool = True
    attributes: Mapping[str, str] = field(default_factory=dict)
    phc: bool = True
    ttys: Sequence[str] | None = None
    """Roles that have a tty; None: all of the board."""
    tty_form: str = "directory"
    i2c: bool = True
    eeprom: bool = True
    mtd: bool = True
    holders: Mapping[str, str] = field(default_factory=dict)
    """Role of a node to the program that has it open."""
    modes: Mapping[str, int] = field(default_factory=dict)
    strangers: Sequence[str] = ()
    kernel_tai_offset_s: int = 37


@dataclass(frozen=True)
class FakeHost:
    """The files, and who asks."""

    root: Path
    user: User
    options: HostOptions


def build_host(root: Path, options: HostOptions) -> FakeHost:
    """Make the files below ``root``."""
    board = BOARDS[options.board]
    _Builder(root, options, board).build()
    user = (
        User(0, "root", frozenset({0}))
        if options.user == "root"
        else User(54321, options.user, frozenset({54321}))
    )
    return FakeHost(root, user, options)


class _Builder:
    def __init__(self, root: Path, options: HostOptions, board: Board) -> None:
        self.root, self.options, self.board = root, options, board
        self.sys = root / "sys"
        self.device = self.sys / "devices/pci0000:3a" / PORT / ADDRESS
        self.pid = 4000

    def build(self) -> None:
        options = self.options
        self.write("proc/sys/kernel/osrelease", options.kernel)
        choices = ("none", "integrity", "confidentiality")
        lockdown = " ".join(f"[{word}]" if word == options.lockdown else word for word in choices)
        self.write("sys/kernel/security/lockdown", lockdown)
        self.write("sys/module/8250/parameters/nr_uarts", str(options.nr_uarts))
        self.write("dev/kmsg", "".join(f"6,{n},{n},-;{line}\n" for n, line in enumerate(options.log)))
        (self.sys / "bus/pci/devices").mkdir(parents=True)
        (self.sys / "class/tty").mkdir(parents=True)
        self.modules()
        for number, ids in enumerate(options.strangers):
            self.pci_function(self.sys / f"devices/pci0000:3a/0000:3a:0{number + 1}.0", *ids.split(":"))
        for number in range(options.onboard_uarts):
            self.tty(f"ttyS{number}", None)
        if options.present:
            self.card()

    # --- parts ---

    def modules(self) -> None:
        options = self.options
        installed = [name for name in MODULES if name not in options.modules_absent]
        folder = f"lib/modules/{options.kernel}"
        self.write(f"{folder}/modules.dep", "".join(f"kernel/x/{name}.ko.xz:\n" for name in installed))
        self.write(f"{folder}/modules.builtin", "kernel/drivers/pps/pps_core.ko\n")
        loaded = [name.replace("-", "_") for name in installed if name not in options.modules_unloaded]
        self.write("proc/modules", "".join(f"{name} 16384 0 - Live 0x0\n" for name in loaded))

    def pci_function(self, device: Path, vendor: str, device_id: str) -> None:
        device.mkdir(parents=True)
        self.text(device / "vendor", f"0x{vendor}")
        self.text(device / "device", f"0x{device_id}")
        self.link(self.sys / "bus/pci/devices" / device.name, device)

    def card(self) -> None:
        options, device, board = self.options, self.device, self.board
        vendor, device_id = board.pci_ids[0]
        self.pci_function(device, f"{vendor:04x}", f"{device_id:04x}")
        port = device.parent
        for folder in (device, port):
            self.text(folder / "current_link_speed", options.link_speed)
            self.text(folder / "max_link_speed", options.link_speed)
            self.text(folder / "current_link_width", str(options.link_width))
            self.text(folder / "max_link_width", str(options.link_max_width))
        self.text(device / "revision", f"{board.pci_revision:#04x}")
        self.text(device / "power_state", options.power_state)
        command = 2 * options.memory_decoding | 4 * options.bus_master
        config = struct.pack("<HHHH", vendor, device_id, command, 0) + bytes(56)
        (device / "config").write_bytes(b"\xff" * 64 if options.config_all_ones else config)
        start = BAR_START if options.bar_assigned else 0
        size = board.bar0_size if options.bar_size is None else options.bar_size
        self.text(device / "resource", f"{start:#018x} {start + size - 1:#018x} 0x0000000000040200")
        self.text(device / "enable", str(int(options.memory_decoding)))
        self.text(device / "resource0", "")
        (device / "resource0").chmod(0o600)
        for kind, total in (("correctable", "COR"), ("nonfatal", "NONFATAL"), ("fatal", "FATAL")):
            count = options.aer.get(kind, 0)
            self.text(device / f"aer_dev_{kind}", f"RxErr {count}\nTOTAL_ERR_{total} {count}")
        self.iommu()
        if "resource0" in options.holders:
            process = self.root / "proc/4999"
            self.text(process / "comm", options.holders["resource0"])
            self.text(
                process / "maps",
                f"7f0000000000-7f0002000000 rw-s 0 0:17 42 /sys/x/{ADDRESS}/resource0",
            )
        if options.driver:
            driver = self.sys / "bus/pci/drivers" / options.driver
            driver.mkdir(parents=True)
            self.link(device / "driver", driver)
            vectors = board.vectors_needed if options.vectors is None else options.vectors
            for number in range(vectors):
                self.text(device / "msi_irqs" / str(120 + number), "msi")
        if options.driver == "ptp_ocp":
            self.driven()
        if options.driver == "vfio-pci" and options.iommu_group:
            self.node("vfio", f"vfio/{options.iommu_group}", 0o660)

    def iommu(self) -> None:
        if not self.options.iommu_group:
            return
        group = self.sys / "kernel/iommu_groups" / self.options.iommu_group
        self.link(self.device / "iommu_group", group)
        self.link(group / "devices" / ADDRESS, self.device)
        for address, name in self.options.group_others.items():
            other = self.device.parent / address
            self.text(other / "class", "0x020000")
            driver = self.sys / "bus/pci/drivers" / name
            driver.mkdir(parents=True)
            self.link(other / "driver", driver)
            self.link(group / "devices" / address, other)

    def driven(self) -> None:
        options, device, board = self.options, self.device, self.board
        ocp = device / "timecard/ocp0"
        roles = [role for role in board.serial_ports if options.ttys is None or role.value in options.ttys]
        if options.class_device:
            attributes = {
                "serialnum": EUI48 if options.i2c and options.eeprom else "00:00:00:00:00:00",
                "clock_source": "PPS",
                "ts_window_adjust": "267",
                "utc_tai_offset": "37",
            }
            for name, text in (attributes | dict(options.attributes)).items():
                self.text(ocp / name, text)
        for card_id in (EUI48, f"pci-{ADDRESS}"):
            (self.root / "dev/timecard" / card_id).mkdir(parents=True)
        if options.phc:
            clock = device / "ptp/ptp2"
            self.text(clock / "clock_name", "ptp_ocp")
            self.node("phc", "ptp2", 0o660)
            if options.class_device:
                self.link(ocp / "ptp", clock)
        for number, role in enumerate(roles):
            port = board.serial_ports[role]
            name = f"ttyS{options.onboard_uarts + number}"
            self.tty(name, BAR_START + board.blocks[port.block].offset)
            self.node(role.value, name, 0o660)
            if options.tty_form == "directory":
                self.text(ocp / "tty" / port.kernel_name, name)
            elif options.tty_form == "links":
                self.link(ocp / port.kernel_name, self.sys / "class/tty" / name)
        if options.i2c:
            adapter = device / f"{board.i2c.kind.value}.1/i2c-5"
            for chip in board.i2c.chips if options.eeprom else ():
                self.text(adapter / f"5-{chip.address:04x}/eeprom", "")
            if not options.eeprom:
                adapter.mkdir(parents=True)
            if options.class_device:
                self.link(ocp / "i2c", adapter)
        if options.mtd:
            self.text(device / "spi.2/spi_master/spi2/spi2.0/mtd/mtd0/size", "16777216")

    def tty(self, name: str, address: int | None) -> None:
        folder = self.sys / "class/tty" / name
        self.text(folder / "type", "4")
        if address is not None:
            self.text(folder / "iomem_base", f"{address:#x}")
            (self.device / "tty" / name).mkdir(parents=True, exist_ok=True)
            self.link(folder / "device", self.device)

    def node(self, role: str, name: str, mode: int) -> None:
        path = self.root / "dev" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        # Readable for everybody unless told otherwise: the tests' users are in no group of this host.
        path.chmod(self.options.modes.get(role, 0o600 if role == "vfio" else 0o666))
        program = self.options.holders.get(role)
        if program is not None:
            self.pid += 1
            process = self.root / "proc" / str(self.pid)
            self.text(process / "comm", program)
            self.link(process / "fd/7", Path("/dev") / name)

    # --- files ---

    def write(self, path: str, text: str) -> None:
        self.text(self.root / path, text)

    @staticmethod
    def text(path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="ascii")

    @staticmethod
    def link(path: Path, target: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)
