"""Health: is the server alive."""

from __future__ import annotations

from fastapi import APIRouter

from hub.api.dependencies import HubOf
from hub.api.schemas import Health

router = APIRouter(tags=["Operations"])


@router.get("/health", summary="Is the server alive?")
async def health(hub: HubOf) -> Health:
    """Answers from memory, on the event loop: also while every worker is busy."""
    return Health.model_validate(hub.health())
