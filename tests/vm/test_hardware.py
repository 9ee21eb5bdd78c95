"""What only some machines have: modules Debian leaves out, hot-plug slots, an IOMMU, NICs with a clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns import missing
from tests.vm.build_modules import built_modules
from tests.vm.card import card_processes
from tests.vm.conftest import HERE
from tests.vm.fetch import Machine
from tests.vm.guest import Guest
from tests.vm.kernels import KERNELS
from tests.vm.qemu import Hardware
from tests.vm.store import VmUnavailableError

OCP = "/sys/class/timecard/ocp0"
CARD = "0000:01:00.0"
MSI = ("--interrupts", "msi")
APPEAR_LIMIT_S = 60


@pytest.fixture(scope="module")
def built(machine: Machine) -> Path:
    try:
        return built_modules(machine)
    except VmUnavailableError as error:
        missing(f"no modules from Debian's source: {error}")


def appears(guest: Guest, path: str) -> bool:
    """The kernel takes its time after a card was plugged in."""
    return (
        guest.run(
            f"for i in $(seq {APPEAR_LIMIT_S}0); do test -e {path} && exit; sleep 0.1; done; exit 1"
        ).status
        == 0
    )


def test_with_the_axi_drivers_eeprom_and_flash_are_there(machine: Machine, built: Path) -> None:
    serial = "02:ac:cd:12:34:56"
    with (
        card_processes(("--eeprom-serial", serial, "--board-id", "FBTC-TEST-123")) as (card,),
        Guest.boot(machine, "6.12", Hardware(cards=(card.path,)), built=built) as guest,
    ):
        assert guest.run(f"cat {OCP}/serialnum").stdout == f"{serial}\n"
        information = guest.run("devlink dev info").stdout
        assert f"serial_number {serial}" in information
        assert "board.id FBTC-TEST-123" in information
        # An erased page takes what is written, through the kernel's flash driver and the FPGA's SPI master.
        page = bytes(range(256)) * 16
        guest.run("dd of=/dev/mtd0 bs=4096 seek=2048", data=page)
        assert guest.run("dd if=/dev/mtd0 bs=4096 skip=2048 count=1").output == page


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("iommu", [False, True])
def test_a_card_leaves_its_slot_and_returns(machine: Machine, kernel: str, iommu: bool) -> None:
    with (
        card_processes(MSI, ("--seed", "7", *MSI)) as (card, other),
        Guest.boot(machine, kernel, Hardware(cards=(card.path,), iommu=iommu)) as guest,
    ):
        guest.unplug(0)
        assert guest.run(f"test -e {OCP}", check=False).status == 1
        card.kill()
        card.start()
        guest.plug(0, card.path)
        assert appears(guest, OCP)
        guest.plug(1, other.path)
        assert appears(guest, "/sys/bus/pci/devices/0000:02:00.0/timecard/ocp1")


def test_a_card_that_dies_reads_all_ones_and_the_guest_lives(machine: Machine) -> None:
    with (
        card_processes(MSI) as (card,),
        Guest.boot(machine, "6.12", Hardware(cards=(card.path,))) as guest,
    ):
        card.kill()
        assert guest.run(f"cat {OCP}/clock_source").stdout == "(null)\n"
        assert "4294967295." in guest.run("phc_ctl /dev/ptp0 get").stdout
        guest.unplug(0)
        card.start()
        guest.plug(0, card.path)
        assert appears(guest, OCP)
        assert guest.run(f"cat {OCP}/clock_source").stdout == "PPS\n"


@pytest.mark.parametrize("kernel", KERNELS)
def test_with_an_iommu_the_card_goes_to_user_space(machine: Machine, kernel: str) -> None:
    with (
        card_processes(()) as (card,),
        Guest.boot(machine, kernel, Hardware(cards=(card.path,), iommu=True)) as guest,
    ):
        guest.load("vfio-pci", "vfio_iommu_type1")
        guest.run(
            f"set -e; cd /sys/bus/pci; echo {CARD} >drivers/ptp_ocp/unbind; "
            f"echo vfio-pci >devices/{CARD}/driver_override; echo {CARD} >drivers_probe"
        )
        group = guest.run(f"basename $(readlink /sys/bus/pci/devices/{CARD}/iommu_group)").stdout.strip()
        assert guest.run(f"test -c /dev/vfio/{group}").status == 0


@pytest.fixture(scope="module", params=KERNELS)
def nics(machine: Machine, request: pytest.FixtureRequest) -> Iterator[tuple[Guest, list[str]]]:
    """Two NICs with clocks on one wire, the second in a namespace of its own, "far"; their PCI addresses."""
    hardware = Hardware(nics=2, append="iomem=relaxed")
    with Guest.boot(machine, request.param, hardware, modules=("igb",)) as guest:
        where = guest.run("for n in eth0 eth1; do basename $(readlink /sys/class/net/$n/device); done").stdout
        guest.run(
            "set -e; ip netns add far; ip link set eth1 netns far; ip addr add 10.9.0.1/24 dev eth0; "
            "ip netns exec far ip addr add 10.9.0.2/24 dev eth1; ip link set eth0 up; "
            "ip netns exec far ip link set eth1 up"
        )
        end = time.monotonic() + APPEAR_LIMIT_S
        while guest.run("ping -c 1 -W 1 10.9.0.2", check=False).status:
            assert time.monotonic() < end
        for script in ("igb_stamps.py", "udp_stamps.py"):
            guest.write(f"/tmp/{script}", (HERE / "guest_scripts" / script).read_bytes())
        yield guest, where.split()


def wait_for(guest: Guest, words: str, file: str, *also: str) -> None:
    guest.run(
        f"for i in $(seq 300); do grep -q '{words}' {file} && exit; sleep 0.2; done; "
        f"cat {file} {' '.join(also)}; exit 1",
        limit_s=150,
    )


def stamping(guest: Guest, address: str, mode: str) -> int:
    log = f"/tmp/stamps-{address}-{mode}"
    pid = guest.spawn(f"exec python3 /tmp/igb_stamps.py {address} {mode}", log)
    wait_for(guest, "ready", log)
    return pid


def test_two_clocks_are_compared_over_ethernet(nics: tuple[Guest, list[str]]) -> None:
    guest, (near, far) = nics
    options = "-m -2 --announceReceiptTimeout=4 --tx_timestamp_timeout=500"
    running = [guest.spawn(f"exec ptp4l -i eth0 {options} --serverOnly=1", "/tmp/master")]
    running += [guest.spawn(f"exec ip netns exec far ptp4l -i eth1 {options} --clientOnly=1", "/tmp/slave")]
    try:
        wait_for(guest, "LISTENING to", "/tmp/master")
        running += [stamping(guest, near, "delay-req"), stamping(guest, far, "sync")]
        wait_for(guest, "master offset.*path delay\\|rms.*delay", "/tmp/slave", "/tmp/master")
    finally:
        guest.run(f"kill {' '.join(map(str, running))}", check=False)


def test_udp_packets_are_stamped_when_the_nic_is_told_how(nics: tuple[Guest, list[str]]) -> None:
    guest, (near, _) = nics
    guest.run("hwstamp_ctl -i eth0 -t 1 -r 12")
    assert guest.run("python3 /tmp/udp_stamps.py 2").stdout == "received 10 stamped 0\n"
    pid = stamping(guest, near, "udp")
    try:
        received, stamped = (int(n) for n in guest.run("python3 /tmp/udp_stamps.py 2").stdout.split()[1::2])
        assert received == 10
        assert stamped >= 8, "one may be let go before the driver saw it"
        assert guest.run("python3 /tmp/udp_stamps.py 0").stdout == "received 10 stamped 0\n"
    finally:
        guest.run(f"kill {pid}")
