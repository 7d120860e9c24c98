"""Models: what can be chosen."""

from __future__ import annotations

from fastapi import APIRouter

from hub.api.dependencies import HubOf
from hub.api.schemas import Controls

router = APIRouter(prefix="/api", tags=["Models"])


@router.get("/available_controls", summary="What a page needs to build itself")
def available_controls(hub: HubOf) -> Controls:
    """Tasks, their models (installed or not), switches, output formats and limits."""
    return Controls.model_validate(hub.controls())
