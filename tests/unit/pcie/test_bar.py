"""The mapped BAR on a made-up sysfs: presence, removal, configuration space; which way is taken."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.unit.pcie.test_discovery import Choice, add_device, bind
from timecard.boards import ART, FB
from timecard.card import access_for, find_card, open_card
from timecard.card_values import Access
from timecard.discovery import vfio_user_card
from timecard.errors import DeviceAbsentError, DeviceLostError, RefusedError
from timecard.pcie.bar import BarBus
from timecard.pcie.bus import device_serial
from timecard.timebase import HostTimebase

ADDRESS = "0000:02:00.0"
VERSION = 0x0100_000C


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    device = add_device(tmp_path, ADDRESS, 0x1D9B, 0x0400, serial=0x0102_0304_0506_0708)
    (device / "resource").write_text(f"0x00000000 {FB.bar0_size - 1:#x} 0x00040200\n")
    with (device / "resource0").open("wb") as resource:
        resource.truncate(FB.bar0_size)
    poke(device, VERSION, 0x0102_0000)
    return device


def poke(device: Path, offset: int, value: int) -> None:
    fd = os.open(device / "resource0", os.O_RDWR)
    os.pwrite(fd, value.to_bytes(4, "little"), offset)
    os.close(fd)


def test_all_ones_are_a_value_until_the_version_is_so_too(folder: Path, tmp_path: Path) -> None:
    bus = BarBus(ADDRESS, FB, tmp_path)
    poke(folder, 0x0022_0008, 0xFFFF_FFFF)
    assert bus.read32(0x0022_0008) == 0xFFFF_FFFF
    assert bus.read32_many((VERSION, 0x0022_0008)) == [0x0102_0000, 0xFFFF_FFFF]
    assert bus.lost is None
    poke(folder, VERSION, 0xFFFF_FFFF)
    with pytest.raises(DeviceLostError, match="removed, or its link is down"):
        bus.read32(0x0022_0008)
    assert "removed" in (bus.lost or "")
    poke(folder, VERSION, 0x0102_0000)
    with pytest.raises(DeviceLostError, match="removed"):
        bus.write32(VERSION, 0)
    bus.close()


def test_a_card_that_comes_back_is_another_one(folder: Path, tmp_path: Path) -> None:
    bus = BarBus(ADDRESS, FB, tmp_path)
    kept = tmp_path / "kept"
    shutil.copytree(folder, kept)
    shutil.rmtree(folder)
    assert bus.lost == "the card was removed"
    kept.rename(folder)
    with pytest.raises(DeviceLostError, match="the card was removed"):
        bus.read32(VERSION)
    bus.close()
    again = BarBus(ADDRESS, FB, tmp_path)
    assert again.read32(VERSION) == 0x0102_0000
    again.close()


def test_a_driver_that_takes_the_card_is_noticed(folder: Path, tmp_path: Path) -> None:
    bus = BarBus(ADDRESS, FB, tmp_path)
    bind(folder, "ptp_ocp")
    assert bus.lost == "the kernel driver ptp_ocp took the card"
    with pytest.raises(DeviceLostError, match="ptp_ocp took"):
        bus.read32(VERSION)
    bus.close()


def test_configuration_space_is_read_from_its_file(folder: Path, tmp_path: Path) -> None:
    bus = BarBus(ADDRESS, FB, tmp_path)
    assert bus.read_config32(0) == 0x0400_1D9B
    assert device_serial(bus) == 0x0102_0304_0506_0708
    assert bus.read_config32(0x1000) == 0, "as if nothing were there"
    (folder / "config").unlink()
    with pytest.raises(DeviceAbsentError, match="config"):
        bus.read_config32(0)
    bus.close()


def test_a_short_bar_is_refused(folder: Path, tmp_path: Path) -> None:
    os.truncate(folder / "resource0", 0x1000)
    with pytest.raises(DeviceAbsentError, match="smaller than"):
        BarBus(ADDRESS, ART, tmp_path)


def test_the_way_follows_from_who_holds_the_card(folder: Path, tmp_path: Path) -> None:
    def way() -> Access:
        return access_for(find_card(Choice(pci=ADDRESS), tmp_path))

    assert way() is Access.RESOURCE0
    for driver, expected in (("ptp_ocp", Access.KERNEL), ("vfio-pci", Access.VFIO)):
        bind(folder, driver)
        assert way() is expected
        (folder / "driver").unlink()
    bind(folder, "snd_hda_intel")
    with pytest.raises(RefusedError, match=r"snd_hda_intel holds 0000:02:00\.0; unbind it first: echo"):
        way()
    assert access_for(vfio_user_card("/run/card.sock")) is Access.VFIO_USER


@pytest.mark.parametrize(
    ("driver", "access", "text"),
    [
        (None, Access.KERNEL, r"ptp_ocp does not hold it; bind it: modprobe ptp_ocp"),
        (None, Access.VFIO, r"no driver holds the card, not vfio-pci"),
        (None, Access.VFIO_USER, r"cannot be reached by vfio-user"),
        ("ptp_ocp", Access.RESOURCE0, r"ptp_ocp holds the card; unbind it first"),
        ("ptp_ocp", Access.VFIO, r"ptp_ocp holds the card, not vfio-pci"),
        ("vfio-pci", Access.RESOURCE0, r"vfio-pci holds the card; unbind it first"),
    ],
)
def test_a_way_that_is_not_free_is_refused(
    folder: Path, tmp_path: Path, driver: str | None, access: Access, text: str
) -> None:
    if driver is not None:
        bind(folder, driver)
    with pytest.raises(RefusedError, match=text):
        open_card(Choice(pci=ADDRESS), HostTimebase(), access=access, sysfs=tmp_path)
