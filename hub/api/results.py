"""Results: finished files, by names that cannot be guessed."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response
from starlette.staticfiles import NotModifiedResponse, StaticFiles

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

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    # A result holds a stranger's bytes (metadata, for one): no browser may run any of them.
    "Content-Security-Policy": "sandbox; default-src 'none'",
    # The same name may get a new content (another strength), so caches must ask; the ETag makes that cheap.
    "Cache-Control": "private, no-cache",
}
_PATH = "/static_results/{result_name:path}"
_CONDITIONS = StaticFiles(check_dir=False)


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
    response = FileResponse(path, headers=_HEADERS, media_type=media_type, stat_result=state)
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
            "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
        },
        206: {
            "description": "The bytes that `Range` asked for.",
            "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
        },
        304: {"description": "The file is still the one whose ETag `If-None-Match` names."},
        416: {"description": "`Range` lies beyond the end of the file."},
        **problems(example(404, "result_not_found", "There is no such result; it may have been deleted.")),
    },
)
def get_result(hub: HubOf, request: Request, result_name: str) -> Response:
    """`result_path` of a completed task leads here. Byte ranges and conditional requests are understood."""
    return serve_result(hub, request, result_name)
