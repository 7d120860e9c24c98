"""Puts the page at `/` of an application whose other routes keep their own answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Match, Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from hub.service import Hub
from hub.ui.bundles import bundle_route
from hub.ui.clips import clip_route
from hub.ui.language import say
from hub.ui.pages import Pages
from hub.ui.thumbnails import thumbnail_route

RESERVED = ("/api", "/static_results", "/health", "/ready", "/metrics", "/docs", "/redoc", "/openapi.json", "/ws")
# What Gradio's API page asks for although it is off. A 404 or 403 would be an error in the browser's console. Of MCP it
# must get no success either, or it would show how to use it; 300 is neither.
_OFF: dict[str, tuple[int, Any]] = {
    "/gradio_api/mcp/schema": (300, []),
    "/monitoring/summary": (200, {"functions": {}}),
}


class PageMount(Mount):
    """A mount at `/` that leaves the reserved prefixes to the other routes.

    A plain mount at `/` matches every path in full, so that a wrong method on an API route, which matches in part,
    would get the page's 404 instead of 405, and a missing path under `/api` the page's answer instead of the API's.
    """

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As Mount, but no match for a reserved path."""
        if scope["type"] in ("http", "websocket"):
            path = scope["path"].removeprefix(scope.get("root_path", "").rstrip("/"))
            if any(path == prefix or path.startswith(f"{prefix}/") for prefix in RESERVED):
                return Match.NONE, {}
        return super().matches(scope)


class PageGate:
    """ASGI middleware before Gradio: no fetching from other machines on request, and no errors for what is off."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope.get("path", "")
        if "/gradio_api/file=http" in path or "/gradio_api/proxy=" in path:
            await PlainTextResponse(say("gate_remote"), status_code=403)(scope, receive, send)
        elif (asked := path.removeprefix(scope.get("root_path", "").rstrip("/"))) in _OFF:
            status, nothing = _OFF[asked]
            await JSONResponse(nothing, status)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def mount_page(app: FastAPI, hub: Hub) -> None:
    """Mount the page at `/`, and the clips and thumbnails that it shows.

    Call it last: routes added later would never be reached. The pages' lifespan runs inside the application's.
    """
    pages = Pages(hub)
    outer = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(parent: Any) -> AsyncIterator[Any]:
        async with outer(parent) as state, pages:
            yield state

    app.router.lifespan_context = lifespan
    app.router.routes.append(clip_route(hub))
    app.router.routes.append(bundle_route(hub))
    app.router.routes.append(thumbnail_route(hub))
    app.router.routes.append(PageMount("", app=PageGate(pages), name="page"))
