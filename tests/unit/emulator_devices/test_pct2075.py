"""The emulated thermometer as its data sheet says: pointer, formats, power-on values."""

from __future__ import annotations

import pytest

from timecard.emulator.pct2075 import CONFIGURATION, HYSTERESIS, OVERHEAT, TEMPERATURE, Pct2075


def read(chip: Pct2075, register: int | None, size: int) -> bytes:
    """With a pointer before it, or from where the last one was."""
    if register is not None:
        assert chip.select(0x48, False, 0) and chip.receive(register, 0)
    assert chip.select(0x48, True, 0)
    data = bytes(chip.send(0) for _ in range(size))
    chip.stop(0)
    return data


def write(chip: Pct2075, data: bytes) -> list[bool]:
    assert chip.select(0x48, False, 0)
    answers = [chip.receive(byte, 0) for byte in data]
    chip.stop(0)
    return answers


@pytest.mark.parametrize(
    ("degc", "word"),  # twos complement of 0.125 degC, shifted left by five
    [
        (127.0, 0x7F00), (125.0, 0x7D00), (25.0, 0x1900), (0.125, 0x0020), (0.0, 0x0000),
        (-0.125, 0xFFE0), (-25.0, 0xE700), (-55.0, 0xC900), (-300.0, 0x8000), (300.0, 0x7FE0),
    ],
)  # fmt: skip
def test_temperatures_are_eighths_in_the_upper_eleven_bits(degc: float, word: int) -> None:
    assert read(Pct2075(lambda t_ns: degc), TEMPERATURE, 2) == word.to_bytes(2, "big")


def test_registers_keep_what_they_can_and_begin_anew_with_power() -> None:
    chip = Pct2075(lambda t_ns: 25.0)
    assert (read(chip, HYSTERESIS, 2), read(chip, OVERHEAT, 2)) == (b"\x4b\0", b"\x50\0")
    assert write(chip, bytes((OVERHEAT, 0x55, 0xFF))) == [True, True, True]
    assert read(chip, None, 2) == b"\x55\x80", "the pointer stays; nine bits are kept"
    assert write(chip, bytes((CONFIGURATION, 0x01, 0x02))) == [True, True, False]
    assert write(chip, bytes((TEMPERATURE, 1)))[1] is False, "a temperature cannot be written"
    assert read(chip, TEMPERATURE, 3) == b"\x19\0\xff"
    chip.power_up()
    assert read(chip, OVERHEAT, 2) == b"\x50\0"
    assert not chip.select(0x49, True, 0)
