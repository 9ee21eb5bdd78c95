"""Every board x MSI-X, MSI with one vector, MSI with interrupt remapping x both stock kernels.

All boards sit in one guest, so that a boot serves them all. In one of them the driver is taken from the cards
at the end, and commands of the toolkit go to their registers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.unit.firmware.firmware_world import firmware
from tests.vm.card import CardProcess, card_processes
from tests.vm.commands import approved, run_commands
from tests.vm.conftest import HERE
from tests.vm.fetch import Machine
from tests.vm.guest import Guest
from tests.vm.kernels import KERNELS
from tests.vm.qemu import Hardware
from timecard.boards import BOARDS, Board
from timecard.boards.board import I2cKind

MODES = {"msix": ("msix", False), "msi-single": ("msi", False), "msi-remapped": ("msi", True)}
UNREADABLE_SERIAL = "00:00:00:00:00:00"
KERNEL_VERSION = {"6.12": (6, 12), "7": (7, 3)}
EXTTS_PHC = 5
BY_REGISTERS = ("6.12", "msix")
"""What reaches a card without its driver does not depend on kernel and interrupts; here are all boards."""

COMMANDS = ("info", "eeprom show", "sma show", "gnss status", "mac status")


@dataclass(frozen=True)
class Bench:
    """A guest with one card of each board."""

    guest: Guest
    kernel: str
    mode: str
    addresses: dict[str, str]
    """PCI address of each board's card."""
    cards: dict[str, CardProcess]

    def path(self, board: Board) -> str:
        return f"/sys/bus/pci/devices/{self.addresses[board.name]}"


@pytest.fixture(scope="module", params=[(kernel, mode) for kernel in KERNELS for mode in MODES], ids="-".join)
def bench(machine: Machine, request: pytest.FixtureRequest) -> Iterator[Bench]:
    kernel, mode = request.param
    interrupts, iommu = MODES[mode]
    boards = [board for board in BOARDS.values() if interrupts == "msix" or not board.msix]
    options = [("--board", board.name, "--interrupts", interrupts) for board in boards]
    with card_processes(*options) as cards:
        hardware = Hardware(cards=tuple(card.path for card in cards), iommu=iommu)
        with Guest.boot(machine, kernel, hardware) as guest:
            addresses = {board.name: f"0000:{i + 1:02x}:00.0" for i, board in enumerate(boards)}
            yield Bench(guest, kernel, mode, addresses, dict(zip(addresses, cards, strict=True)))


@pytest.fixture(params=list(BOARDS))
def board(bench: Bench, request: pytest.FixtureRequest) -> Board:
    found = BOARDS[request.param]
    if found.name not in bench.addresses:
        pytest.skip(f"{found.name} cards have MSI-X only")
    return found


def bound(bench: Bench, board: Board) -> bool:
    """Whether the kernel's driver knows the board."""
    if not board.kernel_binds:
        return False
    return KERNEL_VERSION[bench.kernel] >= tuple(int(part) for part in board.kernel_since.split("."))


def vectors(bench: Bench, board: Board) -> int:
    return int(bench.guest.run(f"ls {bench.path(board)}/msi_irqs 2>/dev/null | wc -l").stdout)


def ocp(bench: Bench, board: Board) -> str:
    return bench.guest.run(f"ls -d {bench.path(board)}/timecard/ocp*").stdout.strip()


def test_the_driver_binds_to_the_boards_it_knows(bench: Bench, board: Board) -> None:
    link = bench.guest.run(f"readlink {bench.path(board)}/driver", check=False).stdout
    identity = bench.guest.run(f"cat {bench.path(board)}/vendor {bench.path(board)}/device").stdout.split()
    assert tuple(int(word, 16) for word in identity) in board.pci_ids
    if bound(bench, board):
        assert link.endswith("/ptp_ocp\n"), bench.guest.kernel_log()[-3000:]
        assert ocp(bench, board)
    elif board.kernel_binds:
        assert not link
    # A LitePCIe image has the FB card's id: the driver takes it for one, and what it shows is not the card's.


def test_the_vectors_are_those_of_the_mode(bench: Bench, board: Board) -> None:
    if not bound(bench, board):
        pytest.skip(f"{board.name} is not bound by {bench.kernel}")
    assert (vectors(bench, board) == 1) == (bench.mode == "msi-single")


def test_the_ttys_are_those_of_the_board(bench: Bench, board: Board) -> None:
    if not bound(bench, board):
        pytest.skip(f"{board.name} is not bound by {bench.kernel}")
    folder = f"{ocp(bench, board)}/tty"
    names = bench.guest.run(f"test -d {folder} && cd {folder} && ls; :").stdout.split()
    wanted = {port.kernel_name for port in board.serial_ports.values()}
    if bench.mode == "msi-single":
        # Its driver takes what needs no other vector than the first.
        assert set(names) < wanted
    else:
        assert set(names) == wanted


def test_the_serial_number_is_read_where_the_kernel_has_the_i2c_driver(bench: Bench, board: Board) -> None:
    if not bound(bench, board):
        pytest.skip(f"{board.name} is not bound by {bench.kernel}")
    said = bench.guest.run(f"cat {ocp(bench, board)}/serialnum").stdout.strip()
    assert re.fullmatch(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", said)
    # Debian builds the OpenCores driver and not the Xilinx one.
    readable = board.i2c.kind is I2cKind.OPENCORES and bench.mode != "msi-single"
    assert (said != UNREADABLE_SERIAL) == readable


def test_the_clock_ticks_and_stamps_its_own_second(bench: Bench, board: Board) -> None:
    if not bound(bench, board):
        pytest.skip(f"{board.name} is not bound by {bench.kernel}")
    phc = bench.guest.run(f"ls {bench.path(board)}/ptp").stdout.strip()
    said = bench.guest.run(f"phc_ctl /dev/{phc} get wait 1 get").stdout
    first, second = (float(word) for word in re.findall(r"clock time is (\d+\.\d+)", said))
    assert 0.9 < second - first < 10
    if bench.mode == "msi-single" and board.blocks[board.channels["ts5"]].vector:
        return
    script = (HERE / "guest_scripts" / "extts.py").read_text().replace("/dev/ptp0", f"/dev/{phc}")
    bench.guest.write("/tmp/extts.py", script.encode())
    lines = bench.guest.run(f"python3 /tmp/extts.py {EXTTS_PHC} 3").stdout.splitlines()
    assert lines
    for line in lines:
        _, nanosecond, channel = (int(word) for word in line.split())
        assert channel == EXTTS_PHC
        assert nanosecond < 50


def test_without_the_driver_only_aligned_words_reach_any_board(bench: Bench) -> None:
    """The last test: it takes the cards from the driver."""
    if (bench.kernel, bench.mode) != BY_REGISTERS:
        pytest.skip("the same in every guest")
    guest = bench.guest
    for name, address in bench.addresses.items():
        image = firmware(name)
        guest.write(f"/tmp/{name}.bin", image)
        device = f"/sys/bus/pci/devices/{address}"
        guest.run(f"[ ! -e {device}/driver ] || echo {address} > {device}/driver/unbind")
        guest.run(f"echo 1 > {device}/enable")
        before = bench.cards[name].ask(do="status")["narrow_accesses"]
        lines = [
            *(f"timecard {words} --pci {address} --json" for words in COMMANDS),
            f"timecard flash plan /tmp/{name}.bin {approved(image, name)} --pci {address} --json",
        ]
        said = run_commands(guest, lines, limit_s=300)
        assert [each.status for each in said] == [0] * len(lines), said
        assert said[0].json()["access"] == "resource0"
        assert bench.cards[name].ask(do="status")["narrow_accesses"] == before, name
