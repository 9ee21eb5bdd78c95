"""The web application, as a function of core. It holds no device and keeps no state of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI

from api import errors
from api.access import HOLD_NS, CoreAccess, CoreLike
from api.guard import Guard
from api.routes import bound, card, clock, ensemble, gnss, health, holdover, leap, oscillator, ptp, status
from api.schemas import Problem
from appliance.bound.reader import DEFAULT_PATH, BoundReader
from appliance.version import installed_version
from timecard.timebase import HostTimebase, Timebase

PREFIX: Final = "/api/v1"
OPENAPI: Final = "/api/openapi.json"
DESCRIPTION: Final = """\
State, error bound and health of a time appliance.

* A name carries its unit: `_ns`, `_ppb`, `_s`. `offset_ns` is clock minus reference; a positive
  `frequency_ppb` makes the clock faster; sigma is one standard deviation.
* Instants (`..._tai_ns`, `..._mono_ns`, `since`) are integers of nanoseconds *as strings of digits*, since
  JSON numbers lose digits beyond 2^53. Every other number is a JSON number.
* A field is `null` with a reason in `why_null`, never absent.
* Answers come from one report of core and hold until `valid_until_tai_ns`. Without a valid report the answer
  is 503 with the verdict `do_not_serve`, never an old value.
* Errors are `application/problem+json`.
"""


def create_app(
    core: CoreLike,
    *,
    timebase: Timebase | None = None,
    hold_ns: int = HOLD_NS,
    bound_page: Path = DEFAULT_PATH,
) -> FastAPI:
    """Make the application. ``hold_ns`` is how long one answer of core is shared between requests."""
    app = _TimeAppliance(
        title="Time appliance",
        version=installed_version(),
        description=DESCRIPTION,
        openapi_url=OPENAPI,
        docs_url=None,  # its page would load programs from elsewhere, which an appliance must not
        redoc_url=None,
    )
    app.state.core = CoreAccess(core, timebase or HostTimebase(), hold_ns=hold_ns)
    app.state.bound = BoundReader(bound_page)
    errors.install(app)
    for module in (health, status, holdover, clock, bound, leap, gnss, oscillator, ensemble, ptp, card):
        app.include_router(module.router, prefix=PREFIX)

    @app.get("/", include_in_schema=False)
    async def pointer() -> dict[str, str]:
        return {
            "openapi": OPENAPI,
            "status": f"{PREFIX}/status",
            "health": f"{PREFIX}/health",
        }

    app.add_middleware(Guard)
    return app


class _TimeAppliance(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """The schema, with problem documents under the media type that they are sent with."""
        if self.openapi_schema is None:
            for operations in super().openapi()["paths"].values():
                for operation in operations.values():
                    for response in operation["responses"].values():
                        content = response.get("content", {})
                        schema = content.get("application/json", {}).get("schema", {})
                        if schema.get("$ref", "").endswith(f"/{Problem.__name__}"):
                            content["application/problem+json"] = content.pop("application/json")
        return super().openapi()
