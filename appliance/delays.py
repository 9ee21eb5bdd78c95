"""``[[delays]]`` of the daemon's configuration: validated rows of ``timecard.bringup.delays.DelayLedger``."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from timecard.bringup.delays import DelayLedger, Place, Plane, Segment, ledger_problems

__all__ = ["DelayLedger", "DelayRow", "Place", "Plane", "Segment", "ledger_problems"]


class DelayRow(BaseModel):
    """One delay segment."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    segment: Segment
    """Which part of the way."""
    value_ns: Annotated[float, Field(ge=-1e9, le=1e9)]
    """Delay in ns; positive makes the signal late."""
    uncertainty_ns: Annotated[float, Field(ge=0, le=1e9)]
    """How wrong the value may be, in ns, as a certificate states it (expanded, k = 2). Counted as a bias."""
    origin: Annotated[str, Field(min_length=1, max_length=200)]
    """Where the value comes from: measured, a certificate, a data sheet. A beginning ``guess`` leaves the
    antenna chain uncalibrated."""
    compensated_by: Place
    """The one place that removes it."""
