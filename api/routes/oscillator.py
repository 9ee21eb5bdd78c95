"""Oscillator module."""

from __future__ import annotations

from fastapi import APIRouter

from api import views
from api.deps import ValidReport
from api.errors import NO_REPORT
from api.schemas import OscillatorView

router = APIRouter(tags=["oscillator"], responses=NO_REPORT)


@router.get("/oscillator", operation_id="get_oscillator", summary="Oscillator module")
async def get_oscillator(report: ValidReport) -> OscillatorView:
    """Of one report of core, valid now."""
    return views.oscillator(report)
