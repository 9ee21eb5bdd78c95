"""Doubts about reference and clock that outlast the moment, and a restart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from appliance.printable import shown
from appliance.timescale.record_fields import integer, number, optional_number
from timecard.timescale import NS_PER_S

_CREDIBLE: Final = 1e12
"""Neither ns nor ppb of a clock that runs are more."""


@dataclass(slots=True)
class Doubts:
    """What speaks against the reference, and what for that reason stands in the bound beside its sigma."""

    found_out: bool = False
    """The reference was seen to move where the clock cannot have gone."""
    misled: bool = False
    """And it led the clock away before."""
    lie_ns: float | None = None
    """Clock minus reference since it has moved; None while it was not seen at rest."""
    astray_ppb: float = 0.0
    """How fast the clock has gone wrong if a returned reference, which contradicts it, is right."""
    astray_since_mono_ns: int = 0
    """Since when: the loss of the reference."""
    unexplained_ns: float = 0.0
    """How wrong the clock may be because it follows a reference that was never explained."""

    def suspect_ns(self, mono_ns: int) -> float:
        """What it adds to the bound at ``mono_ns``."""
        astray_s = max(0, mono_ns - self.astray_since_mono_ns) / NS_PER_S
        return self.unexplained_ns + self.astray_ppb * astray_s

    def contradict(self, offset_ns: float, since_mono_ns: int, mono_ns: int) -> None:
        """A reference that may be right is ``offset_ns`` from where the clock says."""
        self.astray_ppb = abs(offset_ns) * NS_PER_S / max(NS_PER_S, mono_ns - since_mono_ns)
        self.astray_since_mono_ns = since_mono_ns

    def to_record(self) -> dict[str, Any]:
        """For the runtime record."""
        return {
            "found_out": self.found_out,
            "misled": self.misled,
            "lie_ns": self.lie_ns,
            "astray_ppb": self.astray_ppb,
            "astray_since_mono_ns": self.astray_since_mono_ns,
            "unexplained_ns": self.unexplained_ns,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Doubts:
        """Rebuild; ``ValueError`` names the field that does not fit."""
        return cls(
            found_out=flag(record, "found_out"),
            misled=flag(record, "misled"),
            lie_ns=optional_number(record, "lie_ns", at_least=-_CREDIBLE, up_to=_CREDIBLE),
            astray_ppb=number(record, "astray_ppb", at_least=0.0, up_to=_CREDIBLE),
            astray_since_mono_ns=integer(record, "astray_since_mono_ns"),
            unexplained_ns=number(record, "unexplained_ns", at_least=0.0, up_to=_CREDIBLE),
        )


def flag(record: Mapping[str, Any], name: str) -> bool:
    """True or false; ``ValueError`` names the field."""
    value = record.get(name)
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {shown(value)}, wants true or false")
    return value
