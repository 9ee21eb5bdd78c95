"""Receiver, antenna, satellites, leap data."""

from __future__ import annotations

from fastapi import APIRouter

from api import views
from api.deps import ValidReport
from api.errors import NO_REPORT
from api.schemas import GnssView

router = APIRouter(tags=["gnss"], responses=NO_REPORT)


@router.get("/gnss", operation_id="get_gnss", summary="Receiver, antenna, satellites, leap data")
async def get_gnss(report: ValidReport) -> GnssView:
    """Of one report of core, valid now."""
    return views.gnss(report)
