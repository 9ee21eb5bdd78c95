"""PTP and SPTP server, and what it announces."""

from __future__ import annotations

from fastapi import APIRouter

from api import views
from api.deps import ValidReport
from api.errors import NO_REPORT
from api.schemas import PtpView

router = APIRouter(tags=["ptp"], responses=NO_REPORT)


@router.get("/ptp", operation_id="get_ptp", summary="PTP and SPTP server, and what it announces")
async def get_ptp(report: ValidReport) -> PtpView:
    """Of one report of core, valid now."""
    return views.ptp(report)
