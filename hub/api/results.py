"""Results: finished files, by names that cannot be guessed."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Message, Receive, Scope, Send

from hub.api.dependencies import HubOf
from hub.api.problems import example, problems
from hub.errors import NotFound

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


# The route that answers takes HEAD too; the one below documents it, since one operation has one method there.
@router.api_route(_PATH, methods=["GET", "HEAD"], include_in_schema=False)
def serve_result(hub: HubOf, request: Request, result_name: str) -> Response:
    """The file; nothing but finished results is ever served."""
    path = hub.result_file(f"/static_results/{result_name}")
    media_type = MEDIA_TYPES.get(path.suffix.lower(), "application/octet-stream")
    try:
        state = path.stat()
    except FileNotFoundError as error:
        raise NotFound("result_not_found", "There is no such result; it may have been deleted.") from error
    policy = _CLIP_POLICY if media_type.startswith("video/") else _POLICY
    headers = {**_HEADERS, "Content-Security-Policy": policy}
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
def get_result(hub: HubOf, request: Request, result_name: str) -> Response:
    """`result_path` of a completed task leads here. Byte ranges and conditional requests are understood."""
    return serve_result(hub, request, result_name)
