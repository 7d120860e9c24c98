"""The clips and pictures of a video job, served from where the job keeps them, with byte ranges; nothing is copied."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from anyio import CancelScope
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from hub.errors import NotFound
from hub.jobs.model import Job
from hub.service import Hub
from hub.ui.visitors import check_visible

PREFIX = "/clips"
BEFORE, AFTER, LATEST = "before.mp4", "after.mp4", "latest.jpg"
_TYPES = {BEFORE: "video/mp4", AFTER: "video/mp4", LATEST: "image/jpeg"}
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    # An address names one content: its version stands in it.
    "Cache-Control": "private, max-age=3600",
}


class _ClipResponse(FileResponse):
    """A file that stays as it is until it was sent."""

    def __init__(self, hub: Hub, path: Path, media_type: str) -> None:
        super().__init__(path, headers=_HEADERS, media_type=media_type)
        self._hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # On threads: the last reader of a deleted job is the one that removes its files.
        reading = ExitStack()
        try:
            self.path = await run_in_threadpool(reading.enter_context, self._hub.files.reading(Path(self.path)))
        except NotFound as error:
            raise HTTPException(404, error.message) from error
        try:
            await super().__call__(scope, receive, send)
        finally:
            with CancelScope(shield=True):
                await run_in_threadpool(reading.close)


def clip_route(hub: Hub) -> Route:
    """`/clips/<job id>/<name>`: whoever knows a job's id may see it, as the page's browser does.

    Where the API asks for keys, jobs that were sent with one are not found.
    """

    def serve(request: Request) -> Response:
        name = request.path_params["name"]
        try:
            path = _file(hub, request.path_params["job_id"], name)
            return _ClipResponse(hub, path, _TYPES[name])
        except NotFound as error:
            raise HTTPException(404, error.message) from error

    return Route(f"{PREFIX}/{{job_id}}/{{name}}", serve, methods=["GET", "HEAD"], name="clips")


def latest_address(hub: Hub, job: Job) -> str | None:
    """Where the page finds the frame that was restored last, if there is one; another frame has another address.

    Relative, as all of the page's addresses, so that it holds below a sub-path too.
    """
    path = hub.display.latest_frame(job.id)
    try:
        return None if path is None else _address(job, LATEST, path)
    except FileNotFoundError:  # The job has just ended.
        return None


def clip_addresses(hub: Hub, job: Job) -> tuple[str, str]:
    """Where the page finds a finished job's clips, before and after. Raises NotFound, FileNotFoundError."""
    before, after = hub.display.clips(job.id)
    if job.result_path is not None and after == hub.result_file(job.result_path):
        return _address(job, BEFORE, before), job.result_path.lstrip("/")
    return _address(job, BEFORE, before), _address(job, AFTER, after)


def _address(job: Job, name: str, path: Path) -> str:
    return f"{PREFIX.lstrip('/')}/{job.id}/{name}?v={path.stat().st_mtime_ns:x}"


def _file(hub: Hub, job_id: str, name: str) -> Path:
    """Raises NotFound."""
    check_visible(hub, job_id)
    if name in (BEFORE, AFTER):
        return hub.display.clips(job_id)[name == AFTER]
    path = hub.display.latest_frame(job_id) if name == LATEST else None
    if path is None:
        raise NotFound("no_display_files", f"There is no {name} of this job.")
    return path
