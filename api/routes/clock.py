"""State, offset, bounds and clock maps."""

from __future__ import annotations

from fastapi import APIRouter

from api import views
from api.deps import ValidReport
from api.errors import NO_REPORT
from api.schemas import ClockView

router = APIRouter(tags=["clock"], responses=NO_REPORT)


@router.get("/clock", operation_id="get_clock", summary="State, offset, bounds and clock maps")
async def get_clock(report: ValidReport) -> ClockView:
    """Of one report of core, valid now."""
    return views.clock(report)
