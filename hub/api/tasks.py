"""Tasks of any kind: cancel and resume."""

from __future__ import annotations

from fastapi import APIRouter

from hub.api.dependencies import HubOf
from hub.api.problems import example, problems
from hub.api.schemas import FinishedStatus, TaskStatus, VideoStatus, task_status, video_status
from hub.api.submission import NO_SUCH_TASK, QUEUE_FULL

router = APIRouter(prefix="/api/tasks", tags=["Tasks"])


@router.post(
    "/{task_id}/cancel",
    summary="Cancel a task",
    response_model=FinishedStatus,
    response_description="How the task ended: `cancelled`, unless it had completed or failed before.",
    responses=problems(NO_SUCH_TASK),
)
def cancel_task(hub: HubOf, task_id: str) -> TaskStatus:
    """Cancel a pending or running task; a finished one stays as it is. Repeating the call changes nothing.

    Nothing is kept of a cancelled task: neither its file nor finished segments of a video.
    """
    return task_status(hub.cancel(task_id))


@router.post(
    "/{task_id}/resume",
    summary="Resume a failed video",
    response_description="The task's state: `pending`, or what has become of it since.",
    responses=problems(
        NO_SUCH_TASK,
        example(
            409,
            "not_resumable",
            "The task was cancelled, and nothing of it was kept; please send the file again.",
            task_status="cancelled",
        ),
        QUEUE_FULL,
    ),
)
def resume_task(hub: HubOf, task_id: str) -> VideoStatus:
    """Queue a failed or interrupted video again, behind all that wait; it goes on after its last finished segment.

    Of several calls one takes effect; the others are told that the task is waiting or running already (409). Photos
    are not resumed: post them again.
    """
    return video_status(hub.resume(task_id))
