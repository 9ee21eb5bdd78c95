"""Listing and choosing cards from a made-up sysfs, and the bus on a made-up BAR."""

from __future__ import annotations

import mmap
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

import pytest

from timecard.boards import BOARDS, FB
from timecard.card import card_on_bus, find_card
from timecard.discovery import list_cards
from timecard.emulator.fpga_config import ConfigSpace
from timecard.emulator.virtual_card import build_in_process
from timecard.errors import DeviceAbsentError, DeviceLostError, RefusedError
from timecard.pcie.bar import BarBus


@dataclass
class Choice:
    id: str | None = None
    vfio_user: Path | None = None
    pci: str | None = None


def add_device(
    sysfs: Path, address: str, vendor: int, device: int, *, serial: int = 0, config_bytes: int = 4096
) -> Path:
    folder = sysfs / "bus/pci/devices" / address
    folder.mkdir(parents=True)
    (folder / "vendor").write_text(f"0x{vendor:04x}\n", encoding="ascii")
    (folder / "device").write_text(f"0x{device:04x}\n", encoding="ascii")
    (folder / "enable").write_text("1\n", encoding="ascii")
    (folder / "config").write_bytes(ConfigSpace(serial, msix=False, ptm=False).read(0, config_bytes))
    return folder


def bind(folder: Path, driver: str) -> None:
    target = folder.parents[2] / "bus/pci/drivers" / driver
    target.mkdir(parents=True, exist_ok=True)
    (folder / "driver").symlink_to(target)


def test_cards_are_found_by_their_ids_and_named_by_what_they_have(tmp_path: Path) -> None:
    add_device(tmp_path, "0000:01:00.0", 0x8086, 0x1234)
    with_mac = add_device(tmp_path, "0000:02:00.0", 0x1D9B, 0x0400, serial=7)
    (with_mac / "timecard/ocp0").mkdir(parents=True)
    (with_mac / "timecard/ocp0/serialnum").write_text("02:00:5e:10:20:30\n", encoding="ascii")
    bind(with_mac, "ptp_ocp")
    without_eeprom = add_device(tmp_path, "0000:03:00.0", 0x18D4, 0x1008, serial=0x0102_0304_0506_0708)
    (without_eeprom / "timecard/ocp1").mkdir(parents=True)
    (without_eeprom / "timecard/ocp1/serialnum").write_text("00:00:00:00:00:00\n", encoding="ascii")
    add_device(tmp_path, "0000:04:00.0", 0x1D9B, 0x0400, serial=7, config_bytes=64)
    add_device(tmp_path, "0000:05:00.0", 0x1AD7, 0xA000, config_bytes=64)
    cards = list_cards(sysfs=tmp_path)
    assert [(card.id, card.board, card.driver) for card in cards] == [
        ("02:00:5e:10:20:30", "fb", "ptp_ocp"),
        ("01-02-03-04-05-06-07-08", "celestica", None),
        ("pci-0000:04:00.0", "fb", None),
        ("pci-0000:05:00.0", "art", None),
    ]


def test_sockets_are_listed_only_when_they_are_there(tmp_path: Path) -> None:
    path = tmp_path / "card.sock"
    assert list_cards([path], tmp_path) == []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.bind(str(path))
        (card,) = list_cards([path], tmp_path)
    assert (card.access, card.address, card.board) == ("vfio-user", str(path), None)


def test_a_device_that_vanishes_while_listing_is_skipped(tmp_path: Path) -> None:
    folder = add_device(tmp_path, "0000:02:00.0", 0x1D9B, 0x0400)
    (folder / "vendor").write_text("garbage", encoding="ascii")
    assert list_cards(sysfs=tmp_path) == []
    (folder / "vendor").unlink()
    assert list_cards(sysfs=tmp_path) == []
    assert list_cards(sysfs=tmp_path / "no-sysfs") == []


def test_choosing_a_card(tmp_path: Path) -> None:
    with pytest.raises(DeviceAbsentError, match="no Time Card on the PCI bus"):
        find_card(Choice(), tmp_path)
    add_device(tmp_path, "0000:02:00.0", 0x1D9B, 0x0400)
    assert find_card(Choice(), tmp_path).address == "0000:02:00.0"
    add_device(tmp_path, "0000:0a:00.0", 0x1D9B, 0x0400)
    assert find_card(Choice(pci="0A:00.0"), tmp_path).address == "0000:0a:00.0"
    assert find_card(Choice(id="pci-0000:02:00.0"), tmp_path).address == "0000:02:00.0"
    with pytest.raises(DeviceAbsentError, match=r"several.*0000:02:00\.0.*0000:0a:00\.0"):
        find_card(Choice(), tmp_path)
    with pytest.raises(DeviceAbsentError, match=r"card ff:00\.0: find: no such card; there are: pci-0000:02"):
        find_card(Choice(pci="ff:00.0"), tmp_path)
    assert find_card(Choice(vfio_user=tmp_path / "s"), tmp_path).address == str(tmp_path / "s")


def test_a_card_answers_to_every_id_that_is_its_own(tmp_path: Path) -> None:
    for number in (2, 3):
        folder = add_device(tmp_path, f"0000:0{number}:00.0", 0x18D4, 0x1008, serial=number)
        (folder / "timecard/ocp0").mkdir(parents=True)
        (folder / "timecard/ocp0/serialnum").write_text(f"02:00:5e:10:20:3{number}\n", encoding="ascii")
    for name in ("02:00:5e:10:20:33", "00-00-00-00-00-00-00-03", "pci-0000:03:00.0"):
        card = find_card(Choice(id=name), tmp_path)
        assert (card.id, card.address) == (name, "0000:03:00.0")
    add_device(tmp_path, "0000:04:00.0", 0x18D4, 0x1008, serial=3)
    with pytest.raises(DeviceAbsentError, match="no such card"):
        find_card(Choice(id="00-00-00-00-00-00-00-03"), tmp_path)


@pytest.mark.parametrize("board", ["fb", "art", "adva"])
def test_the_id_that_the_kernel_driver_gives_holds_without_it(
    board: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    virtual = build_in_process(board=board, seed=3)
    monkeypatch.setattr("timecard.card.BarBus", lambda *_: virtual.bus)
    monkeypatch.setattr("timecard.card.HostTimebase", lambda: virtual.timebase)
    with card_on_bus(virtual.bus, virtual.timebase) as card:
        serial = card.identity().serial or ""
    shown = serial if serial.count(":") == 5 else serial.encode()[:6].hex(":")
    add_device(tmp_path, "0000:05:00.0", *BOARDS[board].pci_ids[0])
    assert find_card(Choice(id=shown), tmp_path).id == shown
    with pytest.raises(DeviceAbsentError, match="no such card"):
        find_card(Choice(id="02:00:00:00:00:77"), tmp_path)


class TestBarBus:
    def make(self, sysfs: Path, size: int = FB.bar0_size) -> Path:
        folder = add_device(sysfs, "0000:02:00.0", 0x1D9B, 0x0400)
        with (folder / "resource0").open("wb") as resource:
            resource.truncate(size)
        return folder

    def test_words_are_read_and_written_in_place(self, tmp_path: Path) -> None:
        folder = self.make(tmp_path)
        bus = BarBus("0000:02:00.0", FB, tmp_path)
        bus.write32(0x0100_0020, 0x1_1122_3344)
        assert bus.read32(0x0100_0020) == 0x1122_3344
        with (folder / "resource0").open("rb") as resource:
            view = mmap.mmap(resource.fileno(), 0, access=mmap.ACCESS_READ)
            assert struct.unpack_from("<I", view, 0x0100_0020) == (0x1122_3344,)
            view.close()
        for offset in (2, -4, FB.bar0_size):
            with pytest.raises(RefusedError, match="aligned word of BAR0"):
                bus.read32(offset)
        bus.close()
        bus.close()
        with pytest.raises(DeviceLostError, match="closed"):
            bus.read32(0)

    def test_a_card_that_the_kernel_driver_holds_is_left_alone(self, tmp_path: Path) -> None:
        bind(self.make(tmp_path), "ptp_ocp")
        with pytest.raises(
            RefusedError, match=r"ptp_ocp holds the card; unbind it first: echo 0000:02:00\.0 >"
        ):
            BarBus("0000:02:00.0", FB, tmp_path)

    def test_what_is_missing_is_said(self, tmp_path: Path) -> None:
        with pytest.raises(DeviceAbsentError, match="no such PCI device"):
            BarBus("0000:02:00.0", FB, tmp_path)
        folder = self.make(tmp_path, size=4096)
        with pytest.raises(DeviceAbsentError, match="smaller than the 0x2000000 bytes"):
            BarBus("0000:02:00.0", FB, tmp_path)
        (folder / "enable").write_text("0\n", encoding="ascii")
        with pytest.raises(RefusedError, match="memory decoding is off"):
            BarBus("0000:02:00.0", FB, tmp_path)
        (folder / "enable").write_text("1\n", encoding="ascii")
        (folder / "resource0").unlink()
        with pytest.raises(DeviceAbsentError, match="map BAR0"):
            BarBus("0000:02:00.0", FB, tmp_path)
