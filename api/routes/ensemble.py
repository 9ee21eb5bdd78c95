"""Other sources of time, and what they say of our clock."""

from __future__ import annotations

from fastapi import APIRouter

from api import views
from api.deps import ValidReport
from api.errors import NO_REPORT
from api.schemas import EnsembleView

router = APIRouter(tags=["ensemble"], responses=NO_REPORT)


@router.get("/ensemble", operation_id="get_ensemble", summary="Other sources of time, and who is odd")
async def get_ensemble(report: ValidReport) -> EnsembleView:
    """Of one report of core, valid now."""
    return views.ensemble(report)
