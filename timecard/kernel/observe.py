"""Topology D: the FPGA's own servo follows the pulse, and we only watch.

Nothing here steers: the servo would take any adjustment back. What can be promised is little, and is said
here. While the pulse is there the servo's noise is what is measured; once it is gone a bare crystal remains,
as the driver sets the servo's drift gains to 0 and clears its last rate (``drivers/ptp/ptp_ocp.c``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from timecard.card_values import PpsSource
from timecard.errors import TimeCardError

if TYPE_CHECKING:
    from timecard.kernel.kernel_card import KernelCard

FREE_RUN_PPB: Final = 20_000.0
"""Pull-in of a card's on-board crystal that was seen on real cards; without pulse the error grows by this."""
WATCHDOG_S: Final = 1.0
"""The driver looks for lost pulses once a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Whether the clock may be observed as a follower of GNSS, and what holds when its pulse is lost."""

    usable: bool
    reason: str
    """Why not; or what was concluded from."""
    source: str
    free_run_ppb: float = FREE_RUN_PPB
    loss_seen_within_s: float = 2 * WATCHDOG_S


def observe(card: KernelCard) -> Observation:
    """Ask the driver what the clock follows; raises ``TimeCardError`` only when the card has gone."""
    source = card.clock.source_name()

    def answer(usable: bool, reason: str) -> Observation:
        return Observation(usable=usable, reason=reason, source=source)

    if source != "PPS":
        return answer(False, f"the clock follows {source}, not a pulse")
    try:
        if card.pps_slave().lost:
            return answer(False, "the driver sees no pulse (gnss_sync)")
    except TimeCardError as error:
        return answer(False, str(error))
    try:
        selected = card.selector().selected
    except TimeCardError as error:
        return answer(False, f"which pulse is selected is not known: {error.reason}")
    if selected is not PpsSource.GNSS:
        shown = selected.name if selected else "nothing"
        return answer(
            False, f"the selector shows {shown}, not GNSS: that pulse's source has to be watched instead"
        )
    return answer(True, "the clock follows PPS, and the selector shows GNSS")
