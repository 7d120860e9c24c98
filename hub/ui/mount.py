"""Puts the page at `/` of an application whose other routes keep their own answers."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
from fastapi import FastAPI
from starlette.responses import PlainTextResponse
from starlette.routing import Match, Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from hub.service import Hub
from hub.ui import look, text
from hub.ui.clips import clip_route
from hub.ui.page import build_page

RESERVED = ("/api", "/static_results", "/health", "/ready", "/metrics", "/docs", "/redoc", "/openapi.json", "/ws")
_ASSETS = Path(__file__).parent / "assets"


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
    """ASGI middleware before Gradio: no fetching from other machines on request."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope.get("path", "")
        if "/gradio_api/file=http" in path or "/gradio_api/proxy=" in path:
            await PlainTextResponse(text.GATE_REMOTE, status_code=403)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def mount_page(app: FastAPI, hub: Hub) -> None:
    """Mount the page at `/`, and the clips that it plays. Call it last: routes added later would never be reached.

    Gradio's lifespan runs inside the application's. `hub.settings.root_path` is the sub-path of a reverse proxy.
    """
    app.router.routes.append(clip_route(hub))
    gr.mount_gradio_app(
        app,
        build_page(hub),
        path="/",
        root_path=hub.settings.root_path or None,
        max_file_size=hub.settings.max_upload_mb * 1_000_000,
        allowed_paths=[],
        favicon_path=str(_ASSETS / "icon.svg"),
        footer_links=[],
        run_history=False,
        show_error=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        enable_monitoring=False,
        theme=look.theme(),
        css_paths=[_ASSETS / "page.css"],
    )
    plain = app.router.routes.pop()
    if not isinstance(plain, Mount):
        raise TypeError(f"Gradio was expected to add a Mount, not {plain!r}.")
    app.router.routes.append(PageMount("", app=PageGate(plain.app), name="page"))
