"""The configuration interface of an emulated u-blox receiver: keys in layers, CFG-VALSET, -VALGET, -VALDEL.

Rules from the u-blox F9 interface description, "Configuration interface": start-up stacks default, flash
and BBR into RAM; one unknown key or bad value rejects a whole message; a reply holds at most 64 keys in
ascending order. Which keys exist, and their types, comes from pyubx2's database.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from pyubx2.ubxtypes_configdb import UBX_CONFIG_DATABASE

RAM: Final = 1
BBR: Final = 2
FLASH: Final = 4
MAX_PAIRS: Final = 64
_SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8}
"""Bits 30-28 of a key id say how long its value is."""
_ALL_KEYS: Final = frozenset({0x0FFFFFFF, 0x0FFF0000})
"""Both wildcards for "everything" are in use by host software."""
_VALGET_LAYERS: Final = {0: "ram", 1: "bbr", 2: "flash", 7: "default"}
_MAX_TRANSACTION: Final = 4096

FACTORY_DEFAULTS: Final[Mapping[str, int | float]] = MappingProxyType({
    "CFG_UART1_BAUDRATE": 115_200, "CFG_UART1_STOPBITS": 1, "CFG_UART1_ENABLED": 1,
    "CFG_UART1INPROT_UBX": 1, "CFG_UART1INPROT_NMEA": 1, "CFG_UART1INPROT_RTCM3X": 1,
    "CFG_UART1OUTPROT_UBX": 1, "CFG_UART1OUTPROT_NMEA": 1, "CFG_UART1OUTPROT_RTCM3X": 1,
    "CFG_MSGOUT_NMEA_ID_GGA_UART1": 1, "CFG_MSGOUT_NMEA_ID_GLL_UART1": 1, "CFG_MSGOUT_NMEA_ID_GSA_UART1": 1,
    "CFG_MSGOUT_NMEA_ID_GSV_UART1": 1, "CFG_MSGOUT_NMEA_ID_RMC_UART1": 1, "CFG_MSGOUT_NMEA_ID_VTG_UART1": 1,
    "CFG_RATE_MEAS": 1000, "CFG_RATE_NAV": 1, "CFG_RATE_TIMEREF": 1,
    "CFG_TP_PULSE_LENGTH_DEF": 1, "CFG_TP_ANT_CABLEDELAY": 50, "CFG_TP_TP1_ENA": 1, "CFG_TP_POL_TP1": 1,
    "CFG_TP_PERIOD_TP1": 1_000_000, "CFG_TP_PERIOD_LOCK_TP1": 1_000_000, "CFG_TP_LEN_LOCK_TP1": 100_000,
    "CFG_TP_FREQ_TP1": 1, "CFG_TP_FREQ_LOCK_TP1": 1, "CFG_TP_DUTY_LOCK_TP1": 10.0,
    "CFG_TP_SYNC_GNSS_TP1": 1, "CFG_TP_USE_LOCKED_TP1": 1, "CFG_TP_ALIGN_TO_TOW_TP1": 1,
    "CFG_TP_TIMEGRID_TP1": 1,
    "CFG_TMODE_SVIN_ACC_LIMIT": 0, "CFG_NAVSPG_FIXMODE": 3, "CFG_NAVSPG_DYNMODEL": 0,
    "CFG_NAVSPG_INFIL_MINSVS": 1, "CFG_NAVSPG_INFIL_MAXSVS": 32, "CFG_NAVSPG_INFIL_MINCNO": 9,
    "CFG_NAVSPG_INFIL_MINELEV": 5, "CFG_NAVSPG_OUTFIL_PDOP": 250, "CFG_NAVSPG_OUTFIL_TDOP": 250,
    "CFG_ITFM_BBTHRESHOLD": 3, "CFG_ITFM_CWTHRESHOLD": 15,
    "CFG_HW_ANT_CFG_VOLTCTRL": 1, "CFG_HW_ANT_CFG_SHORTDET": 1, "CFG_HW_ANT_CFG_SHORTDET_POL": 1,
    "CFG_HW_ANT_CFG_OPENDET": 1, "CFG_HW_ANT_CFG_OPENDET_POL": 1, "CFG_HW_ANT_CFG_PWRDOWN": 1,
    "CFG_HW_ANT_CFG_PWRDOWN_POL": 1, "CFG_HW_ANT_CFG_RECOVER": 1, "CFG_HW_ANT_SUP_SWITCH_PIN": 16,
    "CFG_HW_ANT_SUP_SHORT_PIN": 15, "CFG_HW_ANT_SUP_OPEN_PIN": 14,
    **{f"CFG_SIGNAL_{name}_ENA": 1 for name in (
        "GPS", "GPS_L1CA", "GPS_L2C", "GAL", "GAL_E1", "GAL_E5A", "GAL_E5B", "BDS", "BDS_B1", "BDS_B2",
        "BDS_B2A", "GLO", "GLO_L1", "GLO_L2", "QZSS", "QZSS_L1CA", "QZSS_L2C", "QZSS_L5", "SBAS", "NAVIC",
    )},
})  # fmt: skip
"""What is not 0, where the firmware has it. Every other key of the database defaults to 0."""

TIME_CARD_FLASH: Final[Mapping[str, int]] = MappingProxyType({
    "CFG_UART1OUTPROT_NMEA": 0, "CFG_UART1OUTPROT_RTCM3X": 0, "CFG_NAVSPG_DYNMODEL": 2,
    "CFG_TP_LEN_LOCK_TP1": 200_000,
    "CFG_MSGOUT_UBX_NAV_TIMEUTC_UART1": 1, "CFG_MSGOUT_UBX_NAV_TIMELS_UART1": 1,
    "CFG_MSGOUT_UBX_MON_HW_UART1": 1, "CFG_MSGOUT_UBX_NAV_SAT_UART1": 1, "CFG_MSGOUT_UBX_NAV_STATUS_UART1": 1,
    **{f"CFG_MSGOUT_NMEA_ID_{kind}_UART1": 0 for kind in ("GGA", "GLL", "GSA", "GSV", "RMC", "VTG")},
})  # fmt: skip
"""The Time Card's own minimum, as stored in the modules on the cards: the FPGA does the rest."""
SURVEYED: Final[Mapping[str, int]] = MappingProxyType({
    "CFG_TMODE_MODE": 2, "CFG_TMODE_POS_TYPE": 0, "CFG_TMODE_FIXED_POS_ACC": 10_000,
    "CFG_TMODE_ECEF_X": 389_374_500, "CFG_TMODE_ECEF_Y": 31_825_100, "CFG_TMODE_ECEF_Z": 502_742_900,
})  # fmt: skip
"""A card that has been in service: its antenna's position is stored."""

_RANGES: Final[Mapping[str, tuple[int, int]]] = MappingProxyType({
    "CFG_TMODE_MODE": (0, 2), "CFG_TMODE_POS_TYPE": (0, 1), "CFG_TP_PULSE_DEF": (0, 1),
    "CFG_TP_PULSE_LENGTH_DEF": (0, 1), "CFG_TP_TIMEGRID_TP1": (0, 5), "CFG_NAVSPG_FIXMODE": (1, 3),
    "CFG_RATE_MEAS": (1000, 65_000), "CFG_RATE_NAV": (1, 127), "CFG_RATE_TIMEREF": (0, 5),
    "CFG_UART1_BAUDRATE": (4_800, 921_600), "CFG_ITFM_ANTSETTING": (0, 2),
})  # fmt: skip
"""Measurements more often than once a second are refused: the emulated receiver has epochs of whole
seconds."""


class ConfigStore:
    """Four layers of key -> value bytes; RAM holds every key."""

    def __init__(self, flash: Mapping[str, int], without: frozenset[str] = frozenset()) -> None:
        """``flash``: what is stored on the module; ``without``: keys that this firmware does not have."""
        self._types = {key: kind for name, (key, kind) in UBX_CONFIG_DATABASE.items() if name not in without}
        self._ids = {name: key for name, (key, _) in UBX_CONFIG_DATABASE.items() if name not in without}
        self._ranges = {self._ids[name]: limits for name, limits in _RANGES.items() if name in self._ids}
        self._lock_id = self._ids["CFG_SEC_CFG_LOCK"]
        self.changes = 0
        """Counts changes of the RAM layer."""
        self.refused: set[str] = set()
        """Keys for which every CFG-VALSET is refused: a fault to be set."""
        self.crooked: dict[str, int] = {}
        """Keys that take, once, another value than the one that is accepted: a fault to be set."""
        default = {key: bytes(_SIZES[key >> 28]) for key in self._types}
        default |= {
            self._ids[name]: self._encode(name, value)
            for name, value in FACTORY_DEFAULTS.items()
            if name in self._ids
        }
        self._layers: dict[str, dict[int, bytes]] = {
            "default": default,
            "flash": {self._ids[name]: self._encode(name, value) for name, value in flash.items()},
            "bbr": {},
            "ram": {},
        }
        self._transaction: tuple[int, dict[int, bytes]] | None = None
        self.restart()

    def restart(self) -> None:
        """Build RAM from the other layers."""
        layers = self._layers
        layers["ram"] = layers["default"] | layers["flash"] | layers["bbr"]
        self._transaction = None
        self.changes += 1

    def value(self, name: str) -> int:
        """An integer key in force; 0 for a key that this firmware does not have."""
        key = self._ids.get(name)
        return 0 if key is None else self._decode(key, self._layers["ram"][key])

    def knows(self, name: str) -> bool:
        """Whether this firmware has the key."""
        return name in self._ids

    def write(self, values: Mapping[str, int]) -> bool:
        """Put integer keys in force (RAM); False changes nothing."""
        if not all(name in self._ids for name in values):
            return False
        try:
            data = b"".join(struct.pack("<I", self._ids[k]) + self._encode(k, v) for k, v in values.items())
        except OverflowError:
            return False
        pairs = self._pairs(data)
        if pairs is None:
            return False
        self._apply(RAM, pairs)
        return True

    def save(self) -> None:
        """Store all that is in force (CFG-CFG, save)."""
        changed = {k: v for k, v in self._layers["ram"].items() if v != self._layers["default"][k]}
        self._layers["bbr"] = dict(changed)
        self._layers["flash"] = changed

    def clear_stored(self) -> None:
        """Back to factory settings at the next restart (CFG-CFG, clear)."""
        self._layers["flash"].clear()
        self._layers["bbr"].clear()

    def set_values(self, payload: bytes) -> bool:
        """CFG-VALSET; False (NAK) changes nothing."""
        if len(payload) < 4 or payload[0] > 1 or not 1 <= payload[1] <= 7:
            return False
        if self._layers["ram"][self._lock_id] != b"\0":
            return False
        layers = payload[1]
        action = payload[2] if payload[0] == 1 else 0
        pairs = self._pairs(payload[4:])
        # Whatever does not continue a transaction as it should ends it, with nothing applied.
        opened, self._transaction = self._transaction, None
        if pairs is None or len(pairs) > MAX_PAIRS or action > 3:
            return False
        if action in (0, 1):
            together = pairs
        elif opened is None or opened[0] != layers:
            return False
        else:
            together = opened[1] | pairs
        if action in (0, 3):
            self._apply(layers, together)
        elif len(together) > _MAX_TRANSACTION:
            return False
        else:
            self._transaction = (layers, together)
        return True

    def delete_values(self, payload: bytes) -> bool:
        """CFG-VALDEL of BBR and flash; RAM keeps its values until a restart."""
        if len(payload) < 4 or len(payload) % 4 or not payload[1] or payload[1] & ~(BBR | FLASH):
            return False
        keys = [key for (key,) in struct.iter_unpack("<I", payload[4:])]
        if len(keys) > MAX_PAIRS or any(key not in self._types for key in keys):
            return False
        for bit, name in ((BBR, "bbr"), (FLASH, "flash")):
            if payload[1] & bit:
                for key in keys:
                    self._layers[name].pop(key, None)
        return True

    def get_values(self, payload: bytes) -> bytes | None:
        """Payload of the answer to a CFG-VALGET poll; None (NAK) for what cannot be answered."""
        if len(payload) < 8 or len(payload) % 4 or payload[0] != 0 or payload[1] not in _VALGET_LAYERS:
            return None
        asked = [key for (key,) in struct.iter_unpack("<I", payload[4:])]
        layer = self._layers[_VALGET_LAYERS[payload[1]]]
        found: set[int] = set()
        for key in asked[: MAX_PAIRS + 1]:
            if key in _ALL_KEYS:
                found.update(layer)
            elif key & 0xFFFF == 0xFFFF:
                found.update(known for known in layer if known >> 16 & 0xFFF == key >> 16 & 0xFFF)
            elif key not in self._types:
                return None
            elif key in layer:
                found.add(key)
        (position,) = struct.unpack_from("<H", payload, 2)
        page = sorted(found)[position : position + MAX_PAIRS]
        if not found or len(asked) > MAX_PAIRS:
            return None
        body = b"".join(struct.pack("<I", key) + layer[key] for key in page)
        return bytes((1, payload[1])) + payload[2:4] + body

    def snapshot(self) -> dict[str, dict[int, bytes]]:
        """What every layer holds."""
        return {name: dict(held) for name, held in self._layers.items()}

    def _apply(self, layers: int, pairs: Mapping[int, bytes]) -> None:
        for name in [name for name in self.crooked if self._ids[name] in pairs]:
            pairs = {**pairs, self._ids[name]: self._encode(name, self.crooked.pop(name))}
        for bit, name in ((RAM, "ram"), (BBR, "bbr"), (FLASH, "flash")):
            if layers & bit:
                self._layers[name] |= pairs
        if layers & RAM:
            self.changes += 1

    def _pairs(self, data: bytes) -> dict[int, bytes] | None:
        """Key-value pairs; None if one of them is not acceptable."""
        pairs = {}
        for key, value in self._split(data):
            if key not in self._types or len(value) != _SIZES[key >> 28]:
                return None
            if self.refused and any(self._ids[name] == key for name in self.refused):
                return None
            if self._types[key].startswith("L") and value[0] > 1:
                return None
            low, high = self._ranges.get(key, (0, 0))
            if key in self._ranges and not low <= self._decode(key, value) <= high:
                return None
            pairs[key] = value
        return pairs

    @staticmethod
    def _split(data: bytes) -> Iterator[tuple[int, bytes]]:
        at = 0
        while at < len(data):
            key = int.from_bytes(data[at : at + 4], "little")
            size = _SIZES.get(key >> 28, 0)
            yield key, data[at + 4 : at + 4 + size]
            at += 4 + size

    def _encode(self, name: str, value: float) -> bytes:
        key = self._ids[name]
        if self._types[key].startswith("R"):
            return struct.pack("<d" if key >> 28 == 5 else "<f", value)
        return int(value).to_bytes(_SIZES[key >> 28], "little", signed=value < 0)

    def _decode(self, key: int, value: bytes) -> int:
        return int.from_bytes(value, "little", signed=self._types[key].startswith("I"))
