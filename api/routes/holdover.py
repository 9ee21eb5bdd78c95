"""Readiness for holdover, and when which limit would be passed."""

from __future__ import annotations

from fastapi import APIRouter

from api import views
from api.deps import ValidReport
from api.errors import NO_REPORT
from api.schemas import HoldoverView, RehearsalView

router = APIRouter(tags=["holdover"], responses=NO_REPORT)


@router.get(
    "/holdover",
    operation_id="get_holdover",
    summary="Readiness for holdover, and when which limit would be passed",
)
async def get_holdover(report: ValidReport) -> HoldoverView:
    """Of one report of core, valid now."""
    return views.holdover(report)


@router.get(
    "/holdover/rehearsal",
    operation_id="get_holdover_rehearsal",
    summary="The newest rehearsal of holdover: forecast against fact",
)
async def get_rehearsal(report: ValidReport) -> RehearsalView:
    """Of one report of core, valid now. Running or over; ``state`` is null before the first."""
    return views.rehearsal(report)
