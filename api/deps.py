"""What routes ask for."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from api.access import CoreAccess
from appliance.core_report import CoreReport


async def core_access(request: Request) -> CoreAccess:
    """The application's way to core."""
    access = request.app.state.core
    assert isinstance(access, CoreAccess)
    return access


Core = Annotated[CoreAccess, Depends(core_access)]


async def valid_report(core: Core) -> CoreReport:
    """A report that is valid now; a ``CoreError`` becomes a 503."""
    return await core.report()


ValidReport = Annotated[CoreReport, Depends(valid_report)]
