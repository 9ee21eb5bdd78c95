"""Card, image and routing."""

from __future__ import annotations

from fastapi import APIRouter

from api import views
from api.deps import ValidReport
from api.errors import NO_REPORT
from api.schemas import CardView

router = APIRouter(tags=["card"], responses=NO_REPORT)


@router.get("/card", operation_id="get_card", summary="Card, image and routing")
async def get_card(report: ValidReport) -> CardView:
    """Of one report of core, valid now."""
    return views.card(report)
