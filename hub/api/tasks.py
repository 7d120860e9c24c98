"""Tasks of any kind: cancel."""

from __future__ import annotations

from fastapi import APIRouter

from hub.api.dependencies import HubOf
from hub.api.problems import example, problems
from hub.api.schemas import EXAMPLE_ID, FinishedStatus, TaskStatus, task_status

router = APIRouter(prefix="/api/tasks", tags=["Tasks"])


@router.post(
    "/{task_id}/cancel",
    summary="Cancel a task",
    response_model=FinishedStatus,
    response_description="How the task ended: `cancelled`, unless it had completed or failed before.",
    responses=problems(example(404, "task_not_found", f"There is no task {EXAMPLE_ID!r}.")),
)
def cancel_task(hub: HubOf, task_id: str) -> TaskStatus:
    """Cancel a pending or running task; a finished one stays as it is. Repeating the call changes nothing."""
    return task_status(hub.cancel(task_id))
