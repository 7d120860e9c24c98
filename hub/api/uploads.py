"""A gate before the body parsers: refuses bodies that are too large, too slow, or more than the disk can hold."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.api.lanes import STATUS
from hub.api.problems import BodyRefused, hub_error_response
from hub.errors import Busy, HubError, TooLarge
from hub.service import Hub

FORM_ALLOWANCE = 1 << 20
"""Bytes that boundaries, headers and text fields may add to the file itself."""
API_BYTES = 1 << 16
"""Largest body of an API call that takes no file: a few names or a path."""
PAGE_BYTES = 8 << 20
"""Largest event of the page, whose files come by themselves."""
PAGE_UPLOAD = "/gradio_api/upload"
UPLOADS = ("/api/process_", "/api/generate_preview", PAGE_UPLOAD)
"""How the paths begin whose bodies are files."""


@dataclass(frozen=True)
class UploadPace:
    """How fast a body must come in; slower than any line that people use.

    silence: seconds until the next bytes at most.
    rate: bytes per second on average, once `patience` seconds have passed.
    """

    silence: float = 30.0
    rate: float = 1_000.0
    patience: float = 60.0


def path_of(scope: Scope) -> str:
    """The path below the sub-path of a reverse proxy, found as the router finds it."""
    path: str = scope["path"]
    root_path: str = scope.get("root_path", "")
    below = path.removeprefix(root_path)
    return below if below == "" or below.startswith("/") else path


def is_api(path: str) -> bool:
    """Whether `path`, as `path_of` gives it, is the API's, where keys are asked for and requests are counted."""
    return path == "/api" or path.startswith("/api/")


class UploadGate:
    """ASGI middleware that counts bodies while they stream in and stops them at the limit of their path.

    On a disk that is nearly full, bodies that would be written to it are refused, the page's uploads too; others,
    such as the page's events and cancels, are taken, and so is what was sent before with the same idempotency key,
    for its job is all that is asked for. FastAPI's own `max_body_size` answers text/plain whenever the
    request states its length, and cannot look at the disk. A body is read on the event loop, so a slow one holds no
    worker; but it holds a socket and a file, hence `pace`.
    """

    def __init__(self, app: ASGIApp, hub: Hub, pace: UploadPace | None = None) -> None:
        self.app = app
        self.hub = hub
        self.pace = pace or UploadPace()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = path_of(scope)
        headers = Headers(scope=scope)
        declared = headers.get("content-length", "")
        stored = scope["method"] == "POST" and path.startswith(UPLOADS)
        repeated = False
        try:
            self._check_size(path, int(declared) if declared.isdecimal() else 0, stored=stored)
            if stored:
                try:
                    self.hub.check_space()
                except Busy:
                    repeated = await self._is_repeated(scope, headers)
                    self.hub.check_space(repeated=repeated)
        except HubError as error:
            await hub_error_response(error)(scope, receive, send)
            return
        received = 0
        complete = False
        began = time.monotonic()

        async def counted() -> Message:
            nonlocal received, complete
            if complete:  # What follows is the client's leaving, which may take as long as it likes.
                return await receive()
            try:
                async with asyncio.timeout(self.pace.silence):
                    message = await receive()
            except TimeoutError as error:
                raise _too_slow(f"Nothing came for {self.pace.silence:g} seconds") from error
            received += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            try:
                self._check_size(path, received, stored=stored)
                if stored:
                    self.hub.check_space(repeated=repeated)
            except HubError as error:
                raise BodyRefused(error) from error
            seconds = time.monotonic() - began
            if not complete and seconds > self.pace.patience and received < seconds * self.pace.rate:
                raise _too_slow(f"{received:,} bytes came in {seconds:.0f} seconds")
            return message

        await self.app(scope, counted, send)

    async def _is_repeated(self, scope: Scope, headers: Headers) -> bool:
        """Whether the caller has a job with the same idempotency key. Raises Busy for a lost database."""
        key, caller = headers.get("idempotency-key"), scope.get("state", {}).get("caller")
        return bool(key and caller and await STATUS.run(self.hub.manager.knows, caller.owner, key))

    def _check_size(self, path: str, size: int, *, stored: bool) -> None:
        """Raises TooLarge for a body of which `size` bytes are known."""
        if stored:
            self.hub.check_body_size(max(0, size - FORM_ALLOWANCE))
            return
        most = API_BYTES if is_api(path) else min(PAGE_BYTES, self.hub.max_upload_bytes + FORM_ALLOWANCE)
        if size > most:
            raise TooLarge(
                "body_too_large",
                f"The body is larger than the {most:,} bytes that this address takes.",
                {"max_bytes": most},
            )


def _too_slow(what: str) -> HTTPException:
    return HTTPException(408, f"{what}; the request was given up. Please send it again on a faster line.")
