"""TAI as an interval."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from api.bound_view import BoundView, bound_view
from appliance.bound.reader import BoundReader

router = APIRouter(tags=["bound"])


@router.get("/bound", operation_id="get_bound", summary="TAI now, as an interval that contains it")
async def get_bound(
    request: Request, wide: Annotated[bool, Query(description="Five sigma and all biases.")] = False
) -> BoundView:
    """From the bound page, when this is answered.

    Whoever asks over a network knows no more than that it was during the request. A plane without an interval
    says why; the status code is 200.
    """
    reader = request.app.state.bound
    assert isinstance(reader, BoundReader)
    return bound_view(reader, wide=wide)
