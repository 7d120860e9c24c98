"""Tasks of any kind: list, look, cancel, resume and delete."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from hub.api.dependencies import CallerOf, HubOf, VisibleTask
from hub.api.lanes import CHANGES, STATUS, UPKEEP
from hub.api.paging import CURSOR_MESSAGE, EXAMPLE_CURSOR, cursor_of, place_of
from hub.api.problems import DATABASE_AWAY, SERVER_BUSY, example, problems
from hub.api.schemas import VideoStatus, any_status, video_status
from hub.api.schemas_tasks import AnyFinishedStatus, AnyTask, TaskPage, described
from hub.api.submission import QUEUE_FULL, TASK_PROBLEMS
from hub.jobs.model import Kind, Status

router = APIRouter(prefix="/api/tasks", tags=["Tasks"])


@router.get(
    "",
    summary="List your tasks",
    responses=problems(
        DATABASE_AWAY,
        example(422, "invalid_cursor", CURSOR_MESSAGE),
        example(
            422,
            "invalid_request",
            "limit: Input should be less than or equal to 100",
            errors=[
                {
                    "loc": ["query", "limit"],
                    "msg": "Input should be less than or equal to 100",
                    "type": "less_than_equal",
                }
            ],
        ),
    ),
)
async def list_tasks(
    hub: HubOf,
    caller: CallerOf,
    kind: Annotated[
        Literal["image", "video", "install"] | None, Query(description="Only tasks of this kind.", examples=["image"])
    ] = None,
    status: Annotated[
        Literal["pending", "processing", "completed", "failed", "cancelled"] | None,
        Query(description="Only tasks that stand so.", examples=["completed"]),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=100, description="How many at most.", examples=[20])] = 20,
    before: Annotated[
        str | None,
        Query(
            max_length=200,
            description="`next` of the page before, as it was: only tasks older than those.",
            examples=[EXAMPLE_CURSOR],
        ),
    ] = None,
) -> TaskPage:
    """The tasks sent with your key, newest first; where no keys are asked for, those sent from your address."""
    views = await STATUS.run(
        hub.manager.list,
        owner=caller.owner,
        kind=None if kind is None else Kind(kind),
        status=None if status is None else Status(status),
        limit=limit + 1,
        before=None if before is None else place_of(before),
    )
    page = views[:limit]
    return TaskPage(
        tasks=[described(view) for view in page], next=cursor_of(page[-1].job) if len(views) > limit else None
    )


@router.get(
    "/{task_id}",
    summary="Look at a task",
    response_description="What was asked for, and the fields of the status call of its kind.",
    responses=problems(*TASK_PROBLEMS),
)
async def get_task(task: VisibleTask) -> AnyTask:
    """A task of any kind, as in the list. For installs this is the status call; poll it every 2-5 seconds."""
    return described(task)


@router.post(
    "/{task_id}/cancel",
    summary="Cancel a task",
    response_model=AnyFinishedStatus,
    response_description="How the task ended: `cancelled`, unless it had completed or failed before.",
    responses=problems(*TASK_PROBLEMS),
)
async def cancel_task(hub: HubOf, task: VisibleTask) -> object:
    """Cancel a pending or running task; a finished one stays as it is. Repeating the call changes nothing.

    Nothing is kept of a cancelled task: neither its file nor finished segments of a video.
    """
    return any_status(await CHANGES.run(hub.cancel, task.job.id))


@router.post(
    "/{task_id}/resume",
    summary="Resume a failed video",
    response_description="The task's state: `pending`, or what has become of it since.",
    responses=problems(
        *TASK_PROBLEMS,
        example(
            409,
            "not_resumable",
            "The task was cancelled, and nothing of it was kept; please send the file again.",
            task_status="cancelled",
        ),
        QUEUE_FULL,
        SERVER_BUSY,
    ),
)
async def resume_task(hub: HubOf, task: VisibleTask) -> VideoStatus:
    """Queue a failed or interrupted video again, behind all that wait; it goes on after its last finished segment.

    Of several calls one takes effect; the others are told that the task is waiting or running already (409). Photos
    are not resumed: post them again.
    """
    return video_status(await UPKEEP.run(hub.resume, task.job.id))


@router.delete(
    "/{task_id}",
    status_code=204,
    summary="Delete a task",
    response_description="It is gone, and its files with it.",
    responses=problems(
        *TASK_PROBLEMS,
        example(503, "task_still_stopping", "The task is still stopping; please try again a little later."),
        SERVER_BUSY,
    ),
)
async def delete_task(hub: HubOf, task: VisibleTask) -> None:
    """Cancel the task if need be and remove its files: the upload, what was kept of the work, and the result.

    Whoever is fetching the result gets it whole; nobody else from now on.
    """
    await UPKEEP.run(hub.manager.delete, task.job.id)
