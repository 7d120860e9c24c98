"""Operations: is the server alive, can it work, and what it counts."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, Field

from hub.api.dependencies import HubOf
from hub.api.lanes import Lane
from hub.api.schemas import Health

WATCHING = Lane("watching", 4)
"""Whoever watches the hub: seconds at most, even when nothing else answers."""

router = APIRouter(tags=["Operations"])


class Check(BaseModel):
    """One thing that must be in order."""

    ok: bool = Field(description="Whether it is.")
    detail: str = Field(description="What is wrong, in words; empty if nothing is.")


class Checks(BaseModel):
    """All that must be in order for a job to be accepted and run."""

    models: Check = Field(description="A model can be used: its file is there and readable, or can be downloaded.")
    queue: Check = Field(description="Jobs are accepted: the hub runs, is not stopping, and the queue has room.")
    engine: Check = Field(description="What restores photos and clips runs, or was not needed yet.")
    database: Check = Field(description="The jobs database answers.")
    disk: Check = Field(description="`HUB_MIN_FREE_MB` are free for uploads and for results.")


class Ready(BaseModel):
    """Whether a job that is sent now would be accepted and run."""

    ready: bool = Field(description="Whether every check is ok.")
    checks: Checks


_FINE = {"ok": True, "detail": ""}
_READY = {"ready": True, "checks": dict.fromkeys(Checks.model_fields, _FINE)}
_NOT_READY = {
    "ready": False,
    "checks": {
        **_READY["checks"],  # type: ignore[dict-item]
        "disk": {"ok": False, "detail": "112 MB are free for the uploads; 512 MB must be."},
    },
}


@router.get("/health", summary="Is the server alive?")
async def health(hub: HubOf) -> Health:
    """Answers from memory, on the event loop: also while every worker is busy."""
    return Health.model_validate(hub.health())


@router.get(
    "/ready",
    summary="Can the server work?",
    response_model=Ready,
    responses={
        200: {"description": "A job sent now is accepted.", "content": {"application/json": {"example": _READY}}},
        503: {
            "description": "It would not be, and `checks` says why.",
            "model": Ready,
            "content": {"application/json": {"example": _NOT_READY}},
            "headers": {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}},
        },
    },
)
@WATCHING.endpoint
def ready(hub: HubOf) -> Response:
    """For load balancers: every check is answered within two seconds, whatever has got stuck.

    A full queue counts as not ready; so does a disk that is too full for uploads, and a hub that is stopping.
    """
    report = Ready.model_validate(hub.readiness.report())
    headers = {} if report.ready else {"Retry-After": "10"}
    return JSONResponse(report.model_dump(), status_code=200 if report.ready else 503, headers=headers)


@router.get(
    "/metrics",
    summary="What does the server count?",
    response_class=PlainTextResponse,
    responses={
        200: {"description": "Prometheus' text format.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    },
)
@WATCHING.endpoint
def metrics(hub: HubOf) -> Response:
    """Jobs by state and kind, queue waits, tiles and batches, models, memory, disk, live sockets, HTTP requests."""
    return Response(hub.metrics.render(), media_type=hub.metrics.content_type)
