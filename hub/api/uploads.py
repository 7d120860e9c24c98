"""A gate before the body parsers: refuses bodies that are too large, or that the disk cannot hold."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.api.problems import BodyRefused, hub_error_response
from hub.errors import HubError
from hub.service import Hub

FORM_ALLOWANCE = 1 << 20
"""Bytes that boundaries, headers and text fields may add to the file itself."""
UPLOADS = ("/api/process_", "/gradio_api/upload")
"""How the paths begin whose bodies are files."""


class UploadGate:
    """ASGI middleware that counts bodies while they stream in and stops them at `max_upload_mb`.

    On a disk that is nearly full, bodies that would be written to it are refused, the page's uploads too; others,
    such as the page's events and cancels, are taken. FastAPI's own `max_body_size` answers text/plain whenever the
    request states its length, and cannot look at the disk.
    """

    def __init__(self, app: ASGIApp, hub: Hub) -> None:
        self.app = app
        self.hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", "").rstrip("/"))
        stored = scope["method"] == "POST" and path.startswith(UPLOADS)
        received = 0

        def check(size: int) -> None:
            self.hub.check_body_size(max(0, size - FORM_ALLOWANCE))
            if stored:
                self.hub.check_space()

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            try:
                check(received)
            except HubError as error:
                raise BodyRefused(error) from error
            return message

        declared = Headers(scope=scope).get("content-length", "")
        try:
            check(int(declared) if declared.isdecimal() else 0)
        except HubError as error:
            await hub_error_response(error)(scope, receive, send)
            return
        await self.app(scope, counted, send)
