"""What emulated u-blox receivers say of themselves (UBX-MON-VER), and what each of them has and lacks.

Strings of the ZED-F9T and NEO-M9N are as found on Time Cards, those of the NEO-F10T are model values.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from pyubx2.ubxtypes_configdb import UBX_CONFIG_DATABASE

from timecard.emulator.receiver_epoch import Traits


class Firmware(NamedTuple):
    """One firmware of one module."""

    software: str
    hardware: str
    extensions: tuple[str, ...]
    missing_keys: frozenset[str] = frozenset()
    """Configuration keys that it lacks."""
    traits: Traits = Traits()
    takes_keys: bool = True
    """CFG-VALSET, -VALGET and -VALDEL."""
    takes_messages: frozenset[int] = frozenset()
    """Which of the CFG messages of generation 8."""
    factory: Mapping[str, int] = MappingProxyType({})
    """Where it leaves the factory otherwise than the table of ``receiver_config``."""
    order: tuple[str, ...] = ()
    """Messages that leave first, in this order."""

    def mon_ver(self) -> bytes:
        """Payload of MON-VER."""
        texts = [(self.software, 30), (self.hardware, 10), *((text, 30) for text in self.extensions)]
        return b"".join(text.encode("ascii").ljust(size, b"\0") for text, size in texts)


def _keys(*beginnings: str) -> frozenset[str]:
    return frozenset(name for name in UBX_CONFIG_DATABASE if name.startswith(beginnings))


def _outputs(*messages: str) -> frozenset[str]:
    return _keys(*(f"CFG_MSGOUT_UBX_{name}_" for name in messages))


def _signals(*names: str) -> frozenset[str]:
    return _keys(*(f"CFG_SIGNAL_{name}" for name in names))


_SECOND_BAND_L2: Final = _signals("GPS_L2C", "GLO_L2", "GAL_E5B", "BDS_B2_", "QZSS_L2C")
_SECOND_BAND_L5: Final = _signals("GPS_L5", "GAL_E5A", "BDS_B2A", "QZSS_L5", "NAVIC", "HEALTH_L5")
_OTHER_BANDS: Final = _signals("GAL_E6", "BDS_B3", "LBAND", "IMES")
_SECOND_PULSE: Final = frozenset(name for name in UBX_CONFIG_DATABASE if name.startswith("CFG_TP_") and
                                 ("TP2" in name or "TP3" in name))  # fmt: skip
_NEWEST: Final = _keys("CFG_SEC_JAMDET", "CFG_SEC_SPOOFDET", "CFG_GAL_", "CFG_NAVSPG_ONLY_AUTHDATA")
_SOME_MESSAGES: Final = frozenset({0x0600, 0x0601, 0x0608})
"""CFG-PRT, CFG-MSG and CFG-RATE, which a ZED-F9T still takes."""
_ALL_MESSAGES: Final = _SOME_MESSAGES | {0x0613, 0x0624, 0x0631, 0x0639, 0x063D, 0x063E}
_M8_ORDER: Final = (
    *("TIM_TP", "NAV_SAT", "NAV_STATUS", "NAV_POSECEF", "NAV_POSLLH", "NAV_DOP", "NAV_TIMEGPS"),
    *("NAV_TIMEUTC", "NAV_TIMELS", "TIM_SVIN"),
)
"""As recorded: the burst of second t begins with the label of pulse t + 1."""

FIRMWARES: Final[Mapping[str, Firmware]] = MappingProxyType({
    "TIM 2.01": Firmware(
        "EXT CORE 1.00 (71b20c)", "00190000",
        ("ROM BASE 0x118B2060", "FWVER=TIM 2.01", "PROTVER=29.00", "MOD=ZED-F9T", "GPS;GLO;GAL;BDS",
         "SBAS;QZSS"),
        _outputs("SEC_SIG", "SEC_SIGLOG") | _SECOND_BAND_L5 | _OTHER_BANDS, Traits(second_band="L2"),
        takes_messages=_SOME_MESSAGES,
    ),
    "TIM 2.20": Firmware(
        "EXT CORE 1.00 (3fda8e)", "00190000",
        ("ROM BASE 0x118B2060", "FWVER=TIM 2.20", "PROTVER=29.20", "MOD=ZED-F9T", "GPS;GLO;GAL;BDS",
         "SBAS;QZSS", "NAVIC"),
        _SECOND_BAND_L2 | _OTHER_BANDS, takes_messages=_SOME_MESSAGES,
    ),
    "SPG 4.04": Firmware(
        "EXT CORE 4.04 (7f89f7)", "00190000",
        ("ROM BASE 0x118B2060", "FWVER=SPG 4.04", "PROTVER=32.01", "MOD=NEO-M9N", "GPS;GLO;GAL;BDS",
         "SBAS;QZSS"),
        _keys("CFG_TMODE_") | _SECOND_PULSE
        | _SECOND_BAND_L2 | _SECOND_BAND_L5 | _OTHER_BANDS | _NEWEST
        | _outputs("SEC_SIG", "SEC_SIGLOG", "TIM_SVIN", "NAV_SVIN", "NAV_TIMETRUSTED", "RXM_RAWX"),
        Traits(second_band="", lock_flags=True), takes_messages=_ALL_MESSAGES,
    ),
    "TIM 3.01": Firmware(
        "EXT CORE 1.00 (4a3b2f)", "000A0000",
        ("ROM BASE 0xDD3FE36C", "FWVER=TIM 3.01", "PROTVER=40.00", "MOD=NEO-F10T", "GPS;GLO;GAL;BDS",
         "SBAS;QZSS", "NAVIC"),
        _SECOND_BAND_L2 | _OTHER_BANDS | _outputs("MON_HW", "MON_HW2"),
        Traits(lock_flags=True, sec_sig_version=2), factory=MappingProxyType({"CFG_UART1_BAUDRATE": 38_400}),
    ),
    "TIM 1.10": Firmware(
        "EXT CORE 3.01 (111141)", "00080000",
        ("ROM BASE 2.01 (75331)", "FWVER=TIM 1.10", "PROTVER=22.00", "MOD=NEO-M8T-0", "FIS=0xEF4015 (100111)",
         "GPS;GLO;GAL;BDS", "SBAS;IMES;QZSS"),
        _outputs("MON_RF", "SEC_SIG", "SEC_SIGLOG", "NAV_SIG", "NAV_TIMETRUSTED"),
        Traits(second_band="", qerr_flag=False), takes_keys=False, takes_messages=_ALL_MESSAGES,
        factory=MappingProxyType({"CFG_UART1_BAUDRATE": 9_600, "CFG_UART1OUTPROT_RTCM3X": 0}),
        order=_M8_ORDER,
    ),
})  # fmt: skip
"""By firmware version."""

M8T: Final = FIRMWARES["TIM 1.10"]
"""A NEO-M8T: configured by messages, not by keys."""
