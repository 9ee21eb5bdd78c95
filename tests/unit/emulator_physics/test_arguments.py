"""The command line of ``timecard emulate``: words to options, and to requests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from timecard.emulator.arguments import parse
from timecard.emulator.fpga_sma import Cable
from timecard.emulator.options import OptionError

CARD = ("--vfio-user", "/tmp/card")


def test_a_card_is_described() -> None:
    options = parse(
        [
            *CARD,
            *("--board", "art", "--interrupts", "msi", "--image-version", "0x11", "--no-ptm", "--strict"),
            *("--cable", "sma4:sma1:25", "--cable", "sma3:sma2", "--signal", "sma1:5000"),
            *("--flash-file", "/tmp/flash", "--eeprom-serial", "02:00:00:00:00:09", "--board-id", "X1"),
        ]
    ).options
    assert (options.board, options.interrupts, options.image_version) == ("art", "msi", 0x11)
    assert (options.ptm, options.strict, options.loader) == (False, True, False)
    assert options.sma_cables() == (Cable(4, 1, 25.0), Cable(3, 2))
    assert options.sma_signals() == {1: 5000.0}
    assert options.flash_file == Path("/tmp/flash")
    assert (options.eui48[-1], options.board_id) == (9, "X1")


def test_nothing_said_is_the_usual_card() -> None:
    options = parse(CARD).options
    assert (options.board, options.interrupts, options.ptm, options.cables) == ("fb", "msix", True, ())


@pytest.mark.parametrize(
    ("words", "request_"),
    [
        (["--latches", "7"], {"do": "latches", "since": 7}),
        (["--power-cycle"], {"do": "power-cycle"}),
        (["--status"], {"do": "status"}),
        (["--truth"], {"do": "truth"}),
        (["--inject", "no-10mhz,offset_ppb=-7"], {"do": "inject", "fault": "no-10mhz", "offset_ppb": -7}),
        (["--set-world", "rate_ppb=2.5"], {"do": "set-world", "rate_ppb": 2.5}),
    ],
)
def test_requests(words: list[str], request_: dict[str, Any]) -> None:
    assert parse([*CARD, *words]).requests == (request_,)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cable", "sma4"], "cable 'sma4'"),
        (["--image-version", "many"], "--image-version"),
        (["--board", "litepcie", "--interrupts", "msi"], "MSI-X only"),
        (["--power-cycle", "--board", "art"], "--board belongs to the start"),
        (["--latches", "first"], "--latches"),
    ],
)
def test_mistakes_are_named(words: list[str], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        parse([*CARD, *words])
