"""Readiness for holdover, and when which limit would be passed."""

from __future__ import annotations

from fastapi import APIRouter

from api import views
from api.deps import ValidReport
from api.errors import NO_REPORT
from api.schemas import HoldoverView

router = APIRouter(tags=["holdover"], responses=NO_REPORT)


@router.get(
    "/holdover",
    operation_id="get_holdover",
    summary="Readiness for holdover, and when which limit would be passed",
)
async def get_holdover(report: ValidReport) -> HoldoverView:
    """Of one report of core, valid now."""
    return views.holdover(report)
