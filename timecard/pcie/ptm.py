"""PTM: the card's clock against the host's by the PCIe link itself (PCI Express Base Specification, 6.21).

The requester's registers are LitePCIe's. One dialogue measures t1 (card) when the request leaves and t4
(card) when the answer comes; the answer says when the request arrived (master time) and, for the *previous*
dialogue, how long the upstream port held it. The very first dialogue therefore only prepares the second.
"""

from __future__ import annotations

from typing import Final

from timecard.errors import DeviceTimeoutError, ProtocolError
from timecard.pcie.bus import burst_reader
from timecard.pcie.words import present
from timecard.protocols import RegisterBus
from timecard.values import CrossTimestamp

GRANULARITY_NS: Final = 8
"""The requester stamps with 125 MHz."""
MAX_POLLS: Final = 100
MAX_LINK_NS: Final = 20_000
"""A longer way through one link is no measurement."""

_ENABLE_TRIGGER: Final = 0x3
_VALID: Final = 0x1
_BUSY: Final = 0x2


class PtmRequester:
    """Cross timestamps by PTM dialogues; only for a card that announces the capability."""

    def __init__(self, bus: RegisterBus, name: str) -> None:
        self.name = name
        self._bus = bus
        self._read_many = burst_reader(bus)
        self._round_trip_ns: int | None = None
        at = bus.board.blocks["ptm"].at
        self._ctrl = at("ptm_ctrl")
        self._words = (
            at("ptm_status"),
            *(at(time) + low for time in ("master_time", "t1_time", "t4_time") for low in (0, 4)),
            at("link_delay"),
        )

    def cross_timestamp(self) -> CrossTimestamp:
        """One comparison; two dialogues when there was none before."""
        previous_ns = self._round_trip_ns
        if previous_ns is None:
            previous_ns = self._dialogue()[3]
        master_ns, t1_ns, held_ns, self._round_trip_ns = self._dialogue()
        way_ns = (previous_ns - held_ns) / 2
        if not -GRANULARITY_NS <= way_ns <= MAX_LINK_NS:
            raise ProtocolError(self.name, "ptm", f"a link delay of {way_ns:g} ns is not plausible")
        return CrossTimestamp(
            card_tai_ns=t1_ns,
            mono_raw_ns=round(master_ns - way_ns),
            # Both ways are taken as equal; at worst one of them takes all the time.
            half_width_ns=max(0.0, way_ns) + 1.5 * GRANULARITY_NS,
            method="ptm",
        )

    def _dialogue(self) -> tuple[int, int, int, int]:
        """Master time, t1, hold time of the previous dialogue, round trip of this one."""
        self._bus.write32(self._ctrl, _ENABLE_TRIGGER)
        for _ in range(MAX_POLLS):
            words = self._read_many(self._words)
            status = words[0]
            present(status, self.name, "ptm", "status")
            if status & _VALID and not status & _BUSY:
                master_ns, t1_ns, t4_ns = (words[i] << 32 | words[i + 1] for i in (1, 3, 5))
                return master_ns, t1_ns, words[7], t4_ns - t1_ns
        raise DeviceTimeoutError(self.name, "ptm", f"no answer to the dialogue within {MAX_POLLS} polls")
