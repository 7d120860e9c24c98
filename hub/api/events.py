"""The states of a task as server-sent events, each as soon as it is there."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.sse import EventSourceResponse, format_sse_event

from hub.api.dependencies import VisibleTask
from hub.api.lanes import STATUS
from hub.api.problems import problems
from hub.api.schemas import any_status
from hub.api.submission import TASK_PROBLEMS
from hub.errors import Busy
from hub.jobs.manager import JobView
from hub.service import Hub

log = logging.getLogger(__name__)

router = APIRouter(prefix="/api/tasks", tags=["Tasks"])

LOOK_SECONDS = 0.5
"""From one look at the watched tasks to the next: a stream tells of two states a second at most, its end at once."""
KEEP_ALIVE_SECONDS = 15.0
"""After so long a silence a comment is sent, or proxies would take the connection for dead."""
RECONNECT_MS = 2000

_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # The latter lets nginx pass events on at once.
_EXAMPLE = (
    "retry: 2000\n\n"
    'event: status\ndata: {"status":"processing","progress":42,"message":"Restoring tile 12 of 40","eta_seconds":7.5}\n'
    "id: 5d41402abc4b2a76\n\n"
)
# One event, the way FastAPI describes events of its own.
_EVENT = {
    "type": "object",
    "properties": {
        "event": {"type": "string", "const": "status"},
        "data": {"type": "string", "contentMediaType": "application/json"},
        "id": {"type": "string"},
        "retry": {"type": "integer", "minimum": 0},
    },
}


@dataclass(frozen=True)
class State:
    """How a task stands, as an event tells it.

    data: what the status call answers. id: a short digest of `data`, so that it means the same to any server.
    """

    data: str
    id: str
    final: bool

    @classmethod
    def of(cls, view: JobView) -> State:
        data = any_status(view).model_dump_json()
        return cls(data, hashlib.sha256(data.encode()).hexdigest()[:16], view.job.status.finished)

    def event(self) -> bytes:
        return format_sse_event(event="status", data_str=self.data, id=self.id)


class Watch:
    """Looks at all tasks that are being watched, in one call on one thread for each round, while there are any.

    Who watches one that ends hears of it without waiting for the round.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._wanted: set[str] = set()
        self._round: asyncio.Task[Mapping[str, JobView]] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watched: dict[str, set[asyncio.Event]] = {}
        hub.manager.listen(self._tell)

    @contextmanager
    def watching(self, task_id: str) -> Iterator[asyncio.Event]:
        """What is set when the task ends, for one who watches it as long as the block lasts."""
        self._loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        watchers = self._watched.setdefault(task_id, set())
        watchers.add(ended)
        try:
            yield ended
        finally:
            watchers.remove(ended)
            if not watchers:
                del self._watched[task_id]

    async def next(self, task_id: str, ended: asyncio.Event) -> JobView | None:
        """How the task stands in the next round, or as soon as `ended` is set; None if it was deleted.

        Raises Busy while the database is away.
        """
        if self._round is None or self._round.done():
            self._round = asyncio.create_task(self._look())
        round_of_all, told = self._round, asyncio.create_task(ended.wait())
        self._wanted.add(task_id)
        try:
            # Which cancels neither, since the others go on waiting when one client leaves.
            await asyncio.wait((round_of_all, told), return_when=asyncio.FIRST_COMPLETED)
        finally:
            told.cancel()
        if ended.is_set():
            ended.clear()
            return (await STATUS.run(self._hub.manager.views, {task_id})).get(task_id)
        return (await round_of_all).get(task_id)

    async def _look(self) -> Mapping[str, JobView]:
        await asyncio.sleep(LOOK_SECONDS)
        wanted, self._wanted, self._round = self._wanted, set(), None  # Who asks from now on waits for the next round.
        return await STATUS.run(self._hub.manager.views, wanted)

    def _tell(self, task_id: str) -> None:
        """A task has ended; its own thread says so."""
        if self._loop is not None and task_id in self._watched:
            with suppress(RuntimeError):  # The server has stopped, and with it whoever watched.
                self._loop.call_soon_threadsafe(self._wake, task_id)

    def _wake(self, task_id: str) -> None:
        for ended in self._watched.get(task_id, ()):
            ended.set()


async def _watch_of(request: Request) -> Watch:
    watch: Watch = request.app.state.watch
    return watch


async def told(task_id: str, state: State, seen: str | None, watch: Watch) -> AsyncIterator[bytes]:
    """The stream's bytes: `state` unless its id is `seen`, then every other one, until the task has ended."""
    with watch.watching(task_id) as ended:
        yield format_sse_event(retry=RECONNECT_MS)
        spoken = time.monotonic()
        while True:
            if state.id != seen:
                yield state.event()
                seen, spoken = state.id, time.monotonic()
            elif time.monotonic() - spoken >= KEEP_ALIVE_SECONDS:
                yield format_sse_event(comment="still there")
                spoken = time.monotonic()
            if state.final:
                return
            try:
                view = await watch.next(task_id, ended)
            except Busy as error:
                log.warning("Task %s: its watcher waits: %s", task_id, error.message)
                continue
            if view is None:
                return  # Whoever connects again learns that the task is gone.
            state = State.of(view)


@router.get(
    "/{task_id}/events",
    summary="Watch a task",
    response_class=Response,
    responses={
        200: {
            "description": "Server-sent events: `event: status`, whose data is what the status call answers.",
            "content": {"text/event-stream": {"itemSchema": _EVENT, "example": _EXAMPLE}},
        },
        204: {"description": "The task has ended, and `Last-Event-ID` says that you know how: nothing more will come."},
        **problems(*TASK_PROBLEMS),
    },
)
async def task_events(
    task: VisibleTask,
    watch: Annotated[Watch, Depends(_watch_of)],
    last_event_id: Annotated[
        str | None,
        Header(
            alias="Last-Event-ID",
            description="The id of the last event that you got, as browsers send it when they connect again: the "
            "current state is told only if it differs.",
            examples=["5d41402abc4b2a76"],
        ),
    ] = None,
) -> Response:
    """The task's state now, then each new one as it comes, at most two a second, and its end at once.

    A browser's `EventSource` connects again by itself, also to a server that was restarted; after the last state it is
    told to stop (204).
    """
    state = State.of(task)
    if state.final and state.id == last_event_id:
        return Response(status_code=204)
    return EventSourceResponse(told(task.job.id, state, last_event_id, watch), headers=_HEADERS)
