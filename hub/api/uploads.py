"""A gate before the body parsers: refuses bodies that are too large, or that the disk cannot hold."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.api.problems import BodyRefused, hub_error_response
from hub.errors import HubError
from hub.service import Hub

FORM_ALLOWANCE = 1 << 20
"""Bytes that boundaries, headers and text fields may add to the file itself."""


class UploadGate:
    """ASGI middleware that counts a body while it streams in and stops it at `max_upload_mb`.

    FastAPI's own `max_body_size` answers text/plain whenever the request states its length, and it
    cannot look at the disk; so this takes its place, for the page's uploads too.
    """

    def __init__(self, app: ASGIApp, hub: Hub) -> None:
        self.app = app
        self.hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdigit() and int(declared) > 0:
            try:
                self.hub.check_body(max(0, int(declared) - FORM_ALLOWANCE))
            except HubError as error:
                await hub_error_response(error)(scope, receive, send)
                return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            try:
                self.hub.check_body(max(0, received - FORM_ALLOWANCE))
            except HubError as error:
                raise BodyRefused(error) from error
            return message

        await self.app(scope, counted, send)
