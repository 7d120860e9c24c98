"""The lifecycle of results: downloads confirmed, heartbeats while they are viewed, and what they take on the disk."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.exceptions import HTTPException

from hub.api.dependencies import EXAMPLE_ID, CallerOf, HubOf, visible_task
from hub.api.lanes import SIGNS, UPKEEP, USAGE
from hub.api.problems import BAD_BODY, DATABASE_AWAY, SERVER_BUSY, example, missing_field, problems, wrong_switch
from hub.api.schemas_lifecycle import CacheCleared, CacheStatus, Confirmation, Heartbeat, ResultToConfirm, TaskToKeep
from hub.api.submission import NO_SUCH_TASK
from hub.jobs.model import Kind

router = APIRouter(prefix="/api", tags=["Lifecycle"])

NO_SUCH_RESULT = example(404, "result_not_found", "There is no such result; it may have been deleted.")
NOTHING_TO_KEEP = example(404, "result_not_found", f"The task {EXAMPLE_ID!r} has no result; it may have been deleted.")
NOTHING_CHOSEN = "Nothing would be cleared: let clear_images or clear_videos be true."


@router.post(
    "/confirm_download",
    summary="Confirm a download",
    responses=problems(BAD_BODY, NO_SUCH_RESULT, missing_field("body", "result_path"), DATABASE_AWAY),
)
@SIGNS.endpoint
def confirm_download(hub: HubOf, body: ResultToConfirm) -> Confirmation:
    """Tell that a result was downloaded: it is kept for a grace period more, and then cleaned up.

    Whoever knows the path may confirm it, as he may fetch it. Repeating the call changes nothing.
    """
    first = hub.lifecycle.confirm(body.result_path)
    return Confirmation(message="Download confirmed." if first else "Download was already confirmed.")


@router.post(
    "/task_heartbeat",
    summary="Keep a viewed result alive",
    responses=problems(BAD_BODY, NOTHING_TO_KEEP, NO_SUCH_TASK, missing_field("body", "task_id"), DATABASE_AWAY),
)
async def task_heartbeat(hub: HubOf, caller: CallerOf, body: TaskToKeep) -> Heartbeat:
    """Call this every five minutes while a result is viewed, so that it is not taken for abandoned.

    A task that has not completed has no result yet (404); one whose download is confirmed is kept no longer for it.
    """
    view = await visible_task(hub, caller, body.task_id)
    await SIGNS.run(hub.lifecycle.heartbeat, view.job.id)
    return Heartbeat(message="Heartbeat received.")


@router.get("/cache_status", summary="What tasks take on the disk", responses=problems(SERVER_BUSY, DATABASE_AWAY))
@USAGE.endpoint
def cache_status(hub: HubOf) -> CacheStatus:
    """Results, uploads and working folders, by kind."""
    return CacheStatus.model_validate(asdict(hub.lifecycle.usage()))


@router.post(
    "/clear_cache",
    summary="Delete what is no longer needed",
    responses=problems(
        example(400, "bad_request", NOTHING_CHOSEN), wrong_switch("clear_images"), SERVER_BUSY, DATABASE_AWAY
    ),
)
@UPKEEP.endpoint
def clear_cache(
    hub: HubOf,
    clear_images: Annotated[bool, Query(description="Clear photos.", examples=[True])] = True,
    clear_videos: Annotated[bool, Query(description="Clear videos.", examples=[True])] = True,
) -> CacheCleared:
    """Delete results that are abandoned, expired or orphaned; the automatic clean-up does so every now and then.

    What still waits to be downloaded is left and counted, and so is what a running task or an open download uses.
    """
    kinds = [kind for kind, chosen in ((Kind.IMAGE, clear_images), (Kind.VIDEO, clear_videos)) if chosen]
    if not kinds:
        raise HTTPException(400, NOTHING_CHOSEN)
    return CacheCleared.model_validate(asdict(hub.lifecycle.clear(kinds)))
