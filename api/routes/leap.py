"""Leap seconds: TAI - UTC, its next change, and what every source says."""

from __future__ import annotations

from fastapi import APIRouter

from api import views
from api.deps import ValidReport
from api.errors import NO_REPORT
from api.schemas import LeapView

router = APIRouter(tags=["leap"], responses=NO_REPORT)


@router.get("/leap", operation_id="get_leap", summary="TAI - UTC, its next change, and every source of it")
async def get_leap(report: ValidReport) -> LeapView:
    """Of one report of core, valid now."""
    return views.leap(report)
