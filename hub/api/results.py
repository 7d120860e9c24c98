"""Results: finished files, by names that cannot be guessed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, NamedTuple

from anyio import CancelScope
from fastapi import APIRouter, Depends, Request
from fastapi import Path as UrlPath
from fastapi.responses import FileResponse, Response
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Message, Receive, Scope, Send

from hub.api.dependencies import HubOf
from hub.api.lanes import RESULTS
from hub.api.problems import example, problems
from hub.errors import NotFound
from hub.service import Hub

router = APIRouter(tags=["Results"])

MEDIA_TYPES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".bmp": "image/bmp",
    ".gif": "image/gif",
    ".avif": "image/avif",
    ".heic": "image/heic",
    ".heif": "image/heif",
    ".mp4": "video/mp4",
    ".mov": "video/quicktime",
    ".mkv": "video/x-matroska",
    ".webm": "video/webm",
}
"""Fixed here: what the standard library guesses depends on the machine."""

# A result holds a stranger's bytes (metadata, for one): no browser may run any of them.
_POLICY = "sandbox; default-src 'none'"
# Opened by its address, a clip is the media of a page that the browser makes around it: that page must be allowed to
# load it from where it came itself.
_CLIP_POLICY = "sandbox allow-same-origin; default-src 'none'; media-src 'self'"
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    # The same name may get a new content (another strength), so caches must ask; the ETag makes that cheap.
    "Cache-Control": "private, no-cache",
}
_PATH = "/static_results/{result_name:path}"
_CONTENT = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in ("image/*", "video/*")}
_REFUSALS = {
    400: "The Range cannot be read; bytes=0-499 asks for the first 500 bytes.",
    416: "The Range lies beyond the end of the file; Content-Range tells how many bytes it has.",
}
_CONDITIONS = StaticFiles(check_dir=False)


class ResultResponse(FileResponse):
    """A file, or the part of it that `Range` asks for; a range that cannot be served is a problem document."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def unless_refused(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] in _REFUSALS:
                status = message["status"]
                headers = Headers(raw=message["headers"])
                kept = {name: headers[name] for name in ("content-range",) if name in headers}
                raise HTTPException(status, _REFUSALS[status], kept)
            await send(message)

        await super().__call__(scope, receive, unless_refused)


ResultName = Annotated[
    str,
    UrlPath(
        description="What follows `/static_results/` in `result_path`.",
        examples=["images/denoise/processed/1678886400_a1b2c3d4_5b0c9f31e7a24d68902f1c77_enhanced_image.jpg"],
    ),
]


async def _held(hub: HubOf, result_name: ResultName) -> AsyncIterator[Path]:
    """The file, kept from being deleted until the response has ended or its client is gone.

    What could block runs on threads: the last reader of a deleted result is the one that removes it.
    """
    reading = await RESULTS.run(_open, hub, f"/static_results/{result_name}")
    try:
        yield reading.path
    finally:
        with CancelScope(shield=True):
            await RESULTS.run(reading.release.close)


class _Reading(NamedTuple):
    path: Path
    release: ExitStack


def _open(hub: Hub, result_path: str) -> _Reading:
    """Hold a result. Raises NotFound for all that is none, and for files of kinds that the hub never makes."""
    with ExitStack() as stack:
        path = stack.enter_context(hub.files.reading(result_path))
        if path.suffix.lower() not in MEDIA_TYPES:
            raise _no_result()
        return _Reading(path, stack.pop_all())


def _no_result() -> NotFound:
    return NotFound("result_not_found", "There is no such result; it may have been deleted.")


HeldFile = Annotated[Path, Depends(_held)]


# The route that answers takes HEAD too; the one below documents it, since one operation has one method there.
@router.api_route(_PATH, methods=["GET", "HEAD"], include_in_schema=False)
@RESULTS.endpoint
def serve_result(path: HeldFile, request: Request) -> Response:
    """The file; nothing but finished results is ever served."""
    media_type = MEDIA_TYPES[path.suffix.lower()]
    policy = _CLIP_POLICY if media_type.startswith("video/") else _POLICY
    headers = {**_HEADERS, "Content-Security-Policy": policy}
    try:
        state = path.stat()
    except FileNotFoundError as error:  # Its job has made another one, of another format.
        raise _no_result() from error
    response = ResultResponse(path, headers=headers, media_type=media_type, stat_result=state)
    if _CONDITIONS.is_not_modified(response.headers, request.headers):
        return NotModifiedResponse(response.headers)
    return response


@router.get(
    _PATH,
    summary="Fetch a result",
    response_class=FileResponse,
    responses={
        200: {
            "description": "The file, with its ETag.",
            "content": _CONTENT,
        },
        206: {
            "description": "The bytes that `Range` asked for.",
            "content": _CONTENT,
        },
        304: {"description": "The file is still the one whose ETag `If-None-Match` names."},
        **problems(
            example(400, "bad_request", _REFUSALS[400]),
            example(404, "result_not_found", "There is no such result; it may have been deleted."),
            example(416, "range_not_satisfiable", _REFUSALS[416]),
        ),
    },
)
async def get_result(path: HeldFile, request: Request) -> Response:
    """`result_path` of a completed task leads here. Byte ranges and conditional requests are understood."""
    return await serve_result(path, request)
