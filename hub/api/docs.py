"""The interactive documentation: rendered from assets of this server, with no other machine asked."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; worker-src 'self' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:"
)


class DocsPolicy:
    """ASGI middleware that keeps the documentation pages from loading anything from elsewhere.

    ReDoc asks its maker's server for a logo, and Swagger UI may ask a validator; both render well without.
    """

    def __init__(self, app: ASGIApp, pages: tuple[str, ...] = ("/docs", "/redoc")) -> None:
        self.app = app
        self.pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].endswith(self.pages):
            await self.app(scope, receive, send)
            return

        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Content-Security-Policy"] = _POLICY
            await send(message)

        await self.app(scope, receive, with_policy)
