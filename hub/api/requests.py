"""What is noted of every request: how it was answered, and whose task it was about."""

from __future__ import annotations

import re
import time
from contextlib import nullcontext

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.jobs.model import JOB_ID
from hub.logs import task_context
from hub.service import Hub

_TASK = re.compile(f"/({JOB_ID})(?:/|$)")


class RequestNotes:
    """ASGI middleware, the outermost: counts answers, and puts the task of the path into what is logged meanwhile."""

    def __init__(self, app: ASGIApp, hub: Hub) -> None:
        self.app = app
        self.hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        task = _TASK.search(scope["path"])
        with task_context(task[1]) if task else nullcontext():
            if scope["type"] == "http":
                await self._count(scope, receive, send)
            else:
                await self.app(scope, receive, send)

    async def _count(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count when the answer begins: a download or a stream of events goes on for as long as its client likes."""
        began = time.perf_counter()
        answered = False

        async def noted(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start" and not answered:
                answered = True
                seconds = time.perf_counter() - began
                self.hub.metrics.answered(route_of(scope), scope["method"], message["status"], seconds)
            await send(message)

        await self.app(scope, receive, noted)


def route_of(scope: Scope) -> str:
    """The template of the route that answers, such as `/api/image_status/{task_id}`.

    `page` for all of the page's own; `none` where nothing was found, or a gate refused before anything was sought.
    """
    route = scope.get("route")
    path = getattr(route, "path", None)
    if getattr(route, "name", None) == "page" or (path is None and "endpoint" in scope):
        return "page"
    return path or "none"
