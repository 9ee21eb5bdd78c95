"""Whether to use this appliance."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api import views
from api.deps import Core
from api.schemas import Health
from appliance.ipc import CoreError
from appliance.verdict import Verdict

router = APIRouter(tags=["health"])


@router.get(
    "/health",
    operation_id="get_health",
    summary="Verdict for load balancers and operators",
    responses={503: {"model": Health, "description": "do_not_serve"}},
)
async def get_health(core: Core, response: Response) -> Health:
    """200 for ``serve`` and ``degraded``, 503 for ``do_not_serve``; the same schema in both cases."""
    try:
        health = views.health(await core.report(), core.mono_ns())
    except CoreError as error:
        health = views.health_without_report(str(error))
    if health.verdict is Verdict.DO_NOT_SERVE:
        response.status_code = 503
    return health
