"""All resources at once, of one and the same report."""

from __future__ import annotations

from fastapi import APIRouter

from api import views
from api.deps import Core
from api.errors import NO_REPORT
from api.schemas import StatusView

router = APIRouter(tags=["status"], responses=NO_REPORT)


@router.get("/status", operation_id="get_status", summary="All resources of one report")
async def get_status(core: Core) -> StatusView:
    """What ``time-appliance status`` shows. The verdict is in ``health.verdict``; the status code is 200."""
    return views.status(await core.report(), core.mono_ns())
