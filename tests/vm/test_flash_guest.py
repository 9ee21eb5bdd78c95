"""Stock ``devlink dev flash`` and our ways to the flash leave the same contents, byte for byte.

Debian builds no driver for the cards' SPI masters; they are built from its source of 6.12. Two cards of one
board: what the kernel writes into one, our own masters, without any driver, and our updater on the kernel's
MTD write into the other.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.unit.firmware.firmware_world import firmware, pin_for
from tests.vm.build_modules import built_modules
from tests.vm.card import CardProcess, card_processes
from tests.vm.fetch import Machine
from tests.vm.guest import Guest
from tests.vm.qemu import Hardware
from timecard.boards import BOARDS, Board
from timecard.boards.board import SpiKind

ADDRESSES = ("0000:01:00.0", "0000:02:00.0")
BEFORE_CARD = ("at24", "i2c-ocores", "mtd", "spi-nor", "spi-bitbang")
MODULES = {
    SpiKind.AXI_QUAD_SPI: ("spi-xilinx",),
    SpiKind.ALTERA: ("spi-altera-core", "spi-altera-platform"),
}
PLACE = "/tmp/new.bin"


@dataclass
class Setup:
    guest: Guest
    board: Board
    files: list[Path]
    cards: list[CardProcess]

    def contents(self) -> list[bytes]:
        """What the two chips hold."""
        return [file.read_bytes() for file in self.files]

    def timecard(self, *words: str, status: int = 0) -> str:
        """``timecard flash`` in the guest."""
        script = (
            f"import sys; from timecard.cli.main import main; sys.exit(main(['flash', *{list(words)!r}]))"
        )
        result = self.guest.python(script, limit_s=300, check=False)
        assert result.status == status, result.stdout + result.stderr
        return result.stdout

    def bind(self, number: int, bind: bool = True) -> None:
        action = "bind" if bind else "unbind"
        self.guest.run(f"echo {ADDRESSES[number]} >/sys/bus/pci/drivers/ptp_ocp/{action}")

    def mtd(self, number: int) -> str:
        """The card's flash, as the kernel calls it."""
        device = f"/sys/bus/pci/devices/{ADDRESSES[number]}"
        return (
            self.guest.run(f"cd {device} && find . -name 'mtd[0-9]' | head -1").stdout.strip().split("/")[-1]
        )


@pytest.fixture(scope="module")
def setup(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    with guest_with(BOARDS["fb"], machine, tmp_path_factory) as running:
        yield running


@contextlib.contextmanager
def guest_with(board: Board, machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    """Two cards of a board, the modules for their SPI masters, the stock driver."""
    folder = tmp_path_factory.mktemp("flash")
    files = [folder / f"{number}.bin" for number in range(2)]
    options = [
        ("--board", board.name, "--flash-file", str(file), "--seed", str(n)) for n, file in enumerate(files)
    ]
    with (
        card_processes(*options) as cards,
        Guest.boot(
            machine, "6.12", Hardware(cards=tuple(card.path for card in cards)), modules=BEFORE_CARD
        ) as guest,
    ):
        for module in MODULES[board.flash.kind]:
            guest.write(f"/tmp/{module}.ko", (built_modules(machine) / f"{module}.ko").read_bytes())
            guest.run(f"insmod /tmp/{module}.ko")
        guest.load("ptp_ocp")
        guest.run("echo -n /tmp >/sys/module/firmware_class/parameters/path")
        yield Setup(guest, board, files, cards)


def test_the_kernel_finds_the_flash(setup: Setup) -> None:
    for number in range(2):
        mtd = setup.mtd(number)
        assert mtd, setup.guest.kernel_log()
        facts = setup.guest.run(
            f"cat /sys/class/mtd/{mtd}/size /sys/class/mtd/{mtd}/erasesize"
        ).stdout.split()
        assert [int(fact) for fact in facts] == [setup.board.flash.default_size, 4096]


def test_devlink_and_our_own_master_write_the_same(setup: Setup) -> None:
    guest, board = setup.guest, setup.board
    data = firmware(board.name, size=24_000)
    guest.write(PLACE, data)
    before = setup.contents()
    assert before[0] == before[1]
    guest.run(f"devlink dev flash pci/{ADDRESSES[0]} file new.bin", limit_s=120)
    version = pin_for(data, board.name).version
    pinned = ("--sha256", hashlib.sha256(data).hexdigest(), "--image-version", version)
    setup.bind(1, False)
    guest.run(f"echo 1 >/sys/bus/pci/devices/{ADDRESSES[1]}/enable")
    plan = json.loads(setup.timecard("plan", PLACE, "--pci", ADDRESSES[1], *pinned, "--json"))
    assert (plan["ok"], plan["sectors_to_write"]) == (True, 6)
    told = json.loads(setup.timecard("apply", PLACE, "--pci", ADDRESSES[1], *pinned, "--json"))
    assert (told["sectors_written"], told["version"]) == (6, version)
    stock, own = setup.contents()
    assert stock == own
    start = board.flash.update_start
    assert own[start : start + 24_000] == data[16:]
    assert own[:start] == before[0][:start], "the golden image"
    assert own[start + 24_576 :] == before[0][start + 24_576 :]
    wrong = firmware("celestica")
    guest.write("/tmp/wrong.bin", wrong)
    words = ("--sha256", hashlib.sha256(wrong).hexdigest(), "--image-version", "1.33", "--pci", ADDRESSES[1])
    setup.timecard("apply", "/tmp/wrong.bin", *words, "--json", status=3)
    assert setup.contents()[1] == own
    setup.bind(1)


def test_our_updater_on_the_kernel_s_mtd_writes_the_same(setup: Setup) -> None:
    guest, board = setup.guest, setup.board
    data = firmware(board.name, size=16_100, number=34)
    guest.write(PLACE, data)
    version = pin_for(data, board.name).version
    pinned = ("--sha256", hashlib.sha256(data).hexdigest(), "--image-version", version)
    before = setup.contents()[0]
    apply = ("apply", PLACE, "--pci", ADDRESSES[1], *pinned, "--json")
    plan = json.loads(setup.timecard("plan", *apply[1:]))
    assert "/dev/mtd" in plan["flash"], "through the kernel's driver"
    assert json.loads(setup.timecard(*apply))["sectors_written"] == 4
    assert json.loads(setup.timecard("rollback", "--pci", ADDRESSES[1], "--json"))["sectors_written"] == 4
    assert setup.contents()[1] == before
    setup.timecard(*apply)
    guest.run(f"devlink dev flash pci/{ADDRESSES[0]} file new.bin", limit_s=120)
    stock, own = setup.contents()
    assert stock == own
    assert own != before


def test_the_new_image_runs_after_a_power_cycle(setup: Setup) -> None:
    for card in setup.cards:
        reply = card.ask(do="power-cycle")
        assert (reply["image"] & 0x7FFF, reply["loader"]) == (34, False)


def test_the_kernel_reads_a_flash_behind_altera_s_core(
    machine: Machine, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """In small pieces: it takes an interrupt a byte, too slow under emulation for the driver's time limit."""
    with guest_with(BOARDS["art"], machine, tmp_path_factory) as setup:
        command = f"dd if=/dev/{setup.mtd(0)} bs=32 count=8 skip={setup.board.flash.update_start // 32}"
        read = setup.guest.run(command).output
        assert read == setup.contents()[0][setup.board.flash.update_start :][:256]
        assert read.strip(b"\xff")
