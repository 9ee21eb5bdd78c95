"""What emulated receivers say of themselves (UBX-MON-VER), as real modules do."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple


class Firmware(NamedTuple):
    """One firmware of one module."""

    software: str
    hardware: str
    extensions: tuple[str, ...]
    missing_keys: frozenset[str] = frozenset()
    """Configuration keys that it lacks."""

    def mon_ver(self) -> bytes:
        """Payload of MON-VER."""
        texts = [(self.software, 30), (self.hardware, 10), *((text, 30) for text in self.extensions)]
        return b"".join(text.encode("ascii").ljust(size, b"\0") for text, size in texts)


FIRMWARES: Final[Mapping[str, Firmware]] = MappingProxyType({
    "TIM 2.01": Firmware(
        "EXT CORE 1.00 (71b20c)", "00190000",
        ("ROM BASE 0x118B2060", "FWVER=TIM 2.01", "PROTVER=29.00", "MOD=ZED-F9T", "GPS;GLO;GAL;BDS",
         "SBAS;QZSS"),
        frozenset({"CFG_MSGOUT_UBX_SEC_SIG_UART1", "CFG_MSGOUT_UBX_SEC_SIGLOG_UART1"}),
    ),
    "TIM 2.20": Firmware(
        "EXT CORE 1.00 (3fda8e)", "00190000",
        ("ROM BASE 0x118B2060", "FWVER=TIM 2.20", "PROTVER=29.20", "MOD=ZED-F9T", "GPS;GLO;GAL;BDS",
         "SBAS;QZSS", "NAVIC"),
    ),
})  # fmt: skip
"""ZED-F9T modules as found on Time Cards."""

M8T: Final = Firmware(
    "EXT CORE 3.01 (111141)", "00080000",
    ("ROM BASE 2.01 (75331)", "FWVER=TIM 1.10", "PROTVER=22.00", "MOD=NEO-M8T-0", "FIS=0xEF4015 (100111)",
     "GPS;GLO;GAL;BDS", "SBAS;IMES;QZSS"),
)  # fmt: skip
"""A NEO-M8T: configured by messages, not by keys."""
