"""Lines of the board itself: write protection of the EEPROM, resets, alarms of the oscillator.

Assignments: the published FPGA projects (SOM and Production boards) and the vendor's ``ptp_ocp`` driver.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from timecard.boards.registers import ALL_ONES
from timecard.errors import RefusedError, UnsupportedError
from timecard.pcie.words import present
from timecard.protocols import RegisterBus

OUTPUTS: Final = MappingProxyType(
    {
        "eeprom_wp": ("gpio_ext", 4),
        "pca9546_reset": ("gpio_ext", 8),
        "rgb_shutdown": ("gpio_ext", 9),
        "sht3x_reset": ("gpio_ext", 10),
        "bno_reset": ("gpio_ext", 11),
        "bno_boot": ("gpio_ext", 12),
        "i2c_buffer_enable": ("gpio_ext", 13),
        "debug_usb_mux": ("gpio_ext", 14),
        "mac_i2c": ("gpio_ext", 31),
        "gnss1_reset": ("gpio_gnss_mac", 0),
        "gnss2_reset": ("gpio_gnss_mac", 1),
    }
)
"""Line to block and bit. Production boards only: ``pca9546_reset`` to ``debug_usb_mux``."""
INPUTS: Final = MappingProxyType(
    {
        "sht3x_alert": ("gpio_ext", 8),
        "bno_interrupt": ("gpio_ext", 12),
        "mac_alarm": ("gpio_gnss_mac", 0),
        "mac_bite": ("gpio_gnss_mac", 1),
    }
)


class BoardGpio:
    """The two GPIO blocks of FB-layout boards."""

    def __init__(self, bus: RegisterBus) -> None:
        if not bus.board.has("gpio_ext"):
            raise UnsupportedError(bus.name, "open board GPIO", f"{bus.board.product} has no GPIO block")
        self.name = f"{bus.name} GPIO"
        self._bus = bus

    def get(self, line: str) -> bool:
        """Level of an input, or what an output is set to."""
        block, bit, register = self._line(line, "read")
        return bool(self._word(block, register) >> bit & 1)

    def set(self, line: str, level: bool) -> None:
        """Set an output; the others of its word stay."""
        if line not in OUTPUTS:
            raise RefusedError(self.name, "set", f"{line!r} is no output; there are {', '.join(OUTPUTS)}")
        block, bit, register = self._line(line, "set")
        word = self._word(block, register)
        wanted = word | 1 << bit if level else word & ~(1 << bit)
        self._bus.write32(self._bus.board.at(block, register), wanted & ALL_ONES)

    def board_revision(self) -> int:
        """Revision of a Production board, 0 to 7; SOM boards have keys there."""
        return self._word("gpio_ext", "gpio1") >> 4 & 7

    def _line(self, line: str, operation: str) -> tuple[str, int, str]:
        known, register = (OUTPUTS, "gpio2") if line in OUTPUTS else (INPUTS, "gpio1")
        if line not in known:
            raise RefusedError(
                self.name, operation, f"no line {line!r}; there are {', '.join((*OUTPUTS, *INPUTS))}"
            )
        block, bit = known[line]
        return block, bit, register

    def _word(self, block: str, register: str) -> int:
        return present(
            self._bus.read32(self._bus.board.at(block, register)), self.name, "read", f"{register} of {block}"
        )
