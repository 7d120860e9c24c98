"""What routes ask for: the hub of the application they run in, who calls, and tasks that the caller may see."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Header, Path, Request

from hub.access import Caller
from hub.api.lanes import STATUS
from hub.errors import NotFound
from hub.jobs.admission import KEY_PATTERN
from hub.jobs.manager import JobView
from hub.jobs.model import Kind, is_job_id
from hub.service import Hub

EXAMPLE_ID = "a1b2c3d4-e5f6-7890-a1b2-c3d4e5f67890"


async def _hub_of(request: Request) -> Hub:
    hub: Hub = request.app.state.hub
    return hub


async def _caller_of(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


HubOf = Annotated[Hub, Depends(_hub_of)]
"""The hub; the dependency is a coroutine, so that it never waits for a worker thread."""

CallerOf = Annotated[Caller, Depends(_caller_of)]
"""Who calls, as the gate found out before the body was read."""


async def visible_task(hub: Hub, caller: Caller, task_id: str, kind: Kind | None = None) -> JobView:
    """The task, if it is of this kind and this caller may see it.

    Raises NotFound, in the same words whether there is no such task or it is not the caller's to see.
    """
    missing = NotFound("task_not_found", f"There is no task {task_id!r}.")
    if not is_job_id(task_id):  # Some databases refuse to look for NUL characters and the like.
        raise missing
    view = await STATUS.run(hub.view, task_id)
    if not caller.may_see(view.job.owner):
        raise missing
    if kind not in (None, view.job.kind):
        raise NotFound("task_not_found", f"There is no {kind} task {task_id!r}.")
    return view


TaskId = Annotated[str, Path(description="The `task_id` that the task was accepted with.", examples=[EXAMPLE_ID])]


async def _task(hub: HubOf, caller: CallerOf, task_id: TaskId) -> JobView:
    return await visible_task(hub, caller, task_id)


async def _photo(hub: HubOf, caller: CallerOf, task_id: TaskId) -> JobView:
    return await visible_task(hub, caller, task_id, Kind.IMAGE)


async def _video(hub: HubOf, caller: CallerOf, task_id: TaskId) -> JobView:
    return await visible_task(hub, caller, task_id, Kind.VIDEO)


VisibleTask = Annotated[JobView, Depends(_task)]
"""The task whose id stands in the path, of any kind: every route with an id of a task asks for one of these."""
VisiblePhoto = Annotated[JobView, Depends(_photo)]
VisibleVideo = Annotated[JobView, Depends(_video)]

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=f"^{KEY_PATTERN}$",
        description="A random word of your own, such as a UUID. Sent again with the same fields and file, the call "
        "returns the task that it began the first time: so it may be repeated when an answer got lost.",
        examples=["0d9f3a52-6a57-4c8b-93a8-2f9f3f1d9c44"],
    ),
]
