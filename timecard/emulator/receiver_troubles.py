"""What may be wrong with what an emulated receiver says, while its sky and its pulses are all right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from timecard.emulator.receiver_epoch import Epoch
from timecard.emulator.receiver_leap import LeapSchedule
from timecard.timescale import GPS_EPOCH_UNIX_S, TAI_MINUS_GPS_S

if TYPE_CHECKING:
    from timecard.emulator.receiver_core import Piece

_TIM_TP: Final = 0x0D01
_EPOCH_KEYS: Final = frozenset({0x0101, 0x0102, 0x0103, 0x0107, 0x0120, 0x0121})
_EPOCH_SENTENCES: Final = frozenset({b"RMC", b"GGA", b"GLL", b"GNS", b"ZDA"})
_EPOCH_BLOCKS: Final = frozenset({4007, 5914, 5921})
"""PVTGeodetic, ReceiverTime, EndOfPVT."""


@dataclass(slots=True)
class Troubles:
    """Plain attributes, in force from the next epoch on."""

    label_off_s: int = 0
    """The next pulse is named by another second."""
    north_m: float = 0.0
    """The position is found so far north of the antenna."""
    leap_off_s: int = 0
    leap_change: int = 0
    """A leap second is announced ..."""
    leap_at_tai_s: int = 0
    """... for this second."""
    leap_hidden: bool = False
    """No leap second is announced."""
    leap_unknown: bool = False
    time_invalid: bool = False
    frozen_tai_s: int | None = None
    """This second is told again and again."""
    unset: bool = False
    """The date is that of GPS week 0."""
    accuracy_ns: int | None = None
    qerr_invalid: bool = False
    pulse_unlocked: bool = False
    survey_lost: bool = False
    without_labels: bool = False
    without_epochs: bool = False
    repeated: bool = False
    """Everything is sent twice."""
    late_ns: int = 0
    """Everything is sent so late."""

    def spoil(self, epoch: Epoch) -> Epoch:
        """What the receiver believes instead."""
        nav, tai_s, leap = epoch.nav, epoch.tai_s, epoch.leap
        if self.time_invalid:
            nav = nav._replace(time_known=False)
        if self.leap_unknown:
            nav = nav._replace(leap_known=False)
        if self.accuracy_ns is not None:
            nav = nav._replace(time_accuracy_ns=self.accuracy_ns)
        if self.pulse_unlocked:
            nav = nav._replace(pulse_locked=False)
        if self.survey_lost:
            fix_type = 3 if nav.fix_type == 5 else nav.fix_type
            nav = nav._replace(survey_active=True, survey_valid=False, survey_s=1, fix_type=fix_type)
        if self.unset:
            tai_s = GPS_EPOCH_UNIX_S + TAI_MINUS_GPS_S + tai_s % 86_400
        elif self.frozen_tai_s is not None:
            tai_s = self.frozen_tai_s
        if self.leap_off_s or self.leap_change or self.leap_hidden:
            leap = LeapSchedule(leap.tai_minus_utc_s(tai_s) + self.leap_off_s)
            if self.leap_change:
                leap.announce(self.leap_change, self.leap_at_tai_s)
            if self.leap_hidden:
                leap = LeapSchedule(leap.tai_minus_utc_s(tai_s))
        return epoch._replace(
            nav=nav,
            tai_s=tai_s,
            leap=leap,
            label_off_s=self.label_off_s,
            north_m=self.north_m,
            qerr_valid=epoch.qerr_valid and not self.qerr_invalid,
        )

    def passed(self, pieces: Sequence[Piece]) -> Sequence[Piece]:
        """The messages that leave."""
        if self.without_labels:
            pieces = [piece for piece in pieces if piece.key != _TIM_TP]
        if self.without_epochs:
            pieces = [piece for piece in pieces if not _tells_time(piece)]
        return [*pieces, *pieces] if self.repeated else pieces


def _tells_time(piece: Piece) -> bool:
    raw = piece.raw
    if raw[:2] == b"$@":
        return int.from_bytes(raw[4:6], "little") & 0x1FFF in _EPOCH_BLOCKS
    return piece.key in _EPOCH_KEYS or raw[3:6] in _EPOCH_SENTENCES
