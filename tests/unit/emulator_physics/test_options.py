"""Options of the virtual card: defaults, ranges, and one clear line for everything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from timecard.emulator.fpga_sma import Cable
from timecard.emulator.options import CardOptions, OptionError, options_from


def test_oscillator_follows_the_mac() -> None:
    assert CardOptions().oscillator_source == "sa53"
    assert CardOptions(mac="sa55").oscillator_source == "sa55"
    assert CardOptions(mac="none").oscillator_source == "ocxo"
    assert CardOptions(mac="sa53", oscillator="tcxo").oscillator_source == "tcxo"


def test_a_board_comes_with_its_oscillator() -> None:
    assert CardOptions(board="art").mac == "mro50"
    assert CardOptions(board="art", mac="none").oscillator_source == "ocxo"
    assert CardOptions(board="adva").mac == "sa53"


def test_cables_and_signals() -> None:
    options = CardOptions(cables=("sma4:sma1", "sma3:sma2:25.5"), signals=("sma1:10000000",))
    assert options.sma_cables() == (Cable(4, 1, 0.0), Cable(3, 2, 25.5))
    assert options.sma_signals() == {1: 1e7}


def test_a_card_has_one_number_everywhere() -> None:
    assert CardOptions(seed=7).eui48.hex(":") == "02:ac:cd:00:00:07"
    assert CardOptions(seed=7).pci_serial == 0x02AC_CDFF_FE00_0007
    own = CardOptions(eeprom_serial="10:11:12:13:14:15")
    assert own.pci_serial == 0x1011_12FF_FE13_1415


def test_an_image_version_fits_its_board() -> None:
    assert CardOptions(board="celestica", image_version=0x800C).image_version == 0x800C
    assert CardOptions(board="art", image_version=0x1_0000).image_version == 0x1_0000
    assert CardOptions(board="adva", image_version=0x8000).image_version == 0x8000


def test_oscillator_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "frequency.txt"
    path.write_text("0\n0\n", encoding="utf-8")
    assert CardOptions(oscillator=str(path)).oscillator_source == path
    with pytest.raises(OptionError, match="neither a model"):
        _ = CardOptions(oscillator="maser").oscillator_source


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"colour": 1}, "colour: no such option"),
        ({"board": "moon"}, "board='moon': must be one of fb, litepcie"),
        ({"mac": "sa99"}, "mac='sa99': must be one of sa53, sa55, mro50, csac"),
        ({"gnss": "m9t"}, "gnss='m9t': must be one of f9t_dual"),
        ({"start": "warm"}, "start='warm'"),
        ({"seed": -1}, "seed=-1: must be between"),
        ({"seed": 1.5}, "seed=1.5: must be a whole number"),
        ({"seed": True}, "seed=True: must be a whole number"),
        ({"y0": 1e-3}, "y0=0.001: must be between"),
        ({"y0": "fast"}, "y0='fast': must be a number"),
        ({"world_rate_ppb": float("nan")}, "world_rate_ppb=nan: must be a number"),
        ({"start_tai_ns": 0}, "start_tai_ns=0: must be between"),
        ({"faults": 3}, "faults: must be the path"),
        ({"flash_file": 3}, "flash_file: must be the path"),
        ({"interrupts": "intx"}, "interrupts='intx': must be one of msix, msi"),
        ({"board": "litepcie", "interrupts": "msi"}, "board litepcie has MSI-X only"),
        ({"image_version": 0}, "image_version=0: must be between"),
        ({"image_version": 0x1_0000}, "image_version=65536: must be between"),
        ({"image_version": 0x8000}, "image_version=0x8000: bits 14:0 must not be 0"),
        ({"cables": ("sma4",)}, "cable 'sma4': must look like sma4:sma1"),
        ({"cables": ("sma4:sma4",)}, "cable 'sma4:sma4': must look like"),
        ({"cables": ("sma5:sma1",)}, "cable 'sma5:sma1': must look like"),
        ({"cables": ("sma4:sma1:9999999",)}, "a delay is at most 1e+06 ns"),
        ({"cables": "sma4:sma1"}, "cables: must be a list"),
        ({"signals": ("sma1:0",)}, "signal 'sma1:0': must look like sma1:10000000"),
        ({"signals": ("sma1:999999999",)}, "signal 'sma1:999999999': must look like"),
        ({"eeprom_serial": "12:34"}, "eeprom_serial='12:34': must look like"),
        ({"board_id": "much too long a text"}, "board_id='much too long a text': must be 1 to 13"),
        ({"board_id": ""}, "board_id='': must be 1 to 13"),
    ],
)
def test_bad_options(values: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as error:
        options_from(values)
    assert message in str(error.value)
