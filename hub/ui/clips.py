"""The clips and pictures of a video job, served from where the job keeps them, with byte ranges; nothing is copied."""

from __future__ import annotations

from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from hub.errors import HubError, NotFound
from hub.jobs.model import Job
from hub.service import Hub

PREFIX = "/clips"
BEFORE, AFTER, LATEST = "before.mp4", "after.mp4", "latest.jpg"
_TYPES = {BEFORE: "video/mp4", AFTER: "video/mp4", LATEST: "image/jpeg"}
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    # An address names one content: its version stands in it.
    "Cache-Control": "private, max-age=3600",
}


def clip_route(hub: Hub) -> Route:
    """`/clips/<job id>/<name>`: whoever knows a job's id may see it, as the page's browser does."""

    def serve(request: Request) -> Response:
        name = request.path_params["name"]
        try:
            path = _file(hub, request.path_params["job_id"], name)
            return FileResponse(path, headers=_HEADERS, media_type=_TYPES[name], stat_result=path.stat())
        except (NotFound, FileNotFoundError) as error:
            words = error.message if isinstance(error, HubError) else "It has just been deleted."
            raise HTTPException(404, words) from error

    return Route(f"{PREFIX}/{{job_id}}/{{name}}", serve, methods=["GET", "HEAD"], name="clips")


def latest_address(hub: Hub, job: Job) -> str | None:
    """Where the page finds the frame that was restored last, if there is one; another frame has another address.

    Relative, as all of the page's addresses, so that it holds below a sub-path too.
    """
    path = hub.latest_frame(job.id)
    try:
        return None if path is None else _address(job, LATEST, path)
    except FileNotFoundError:  # The job has just ended.
        return None


def clip_addresses(hub: Hub, job: Job) -> tuple[str, str]:
    """Where the page finds a finished job's clips, before and after. Raises NotFound, FileNotFoundError."""
    before, after = hub.display_clips(job.id)
    if job.result_path is not None and after == hub.result_file(job.result_path):
        return _address(job, BEFORE, before), job.result_path.lstrip("/")
    return _address(job, BEFORE, before), _address(job, AFTER, after)


def _address(job: Job, name: str, path: Path) -> str:
    return f"{PREFIX.lstrip('/')}/{job.id}/{name}?v={path.stat().st_mtime_ns:x}"


def _file(hub: Hub, job_id: str, name: str) -> Path:
    """Raises NotFound."""
    if name in (BEFORE, AFTER):
        return hub.display_clips(job_id)[name == AFTER]
    path = hub.latest_frame(job_id) if name == LATEST else None
    if path is None:
        raise NotFound("no_display_files", f"There is no {name} of this job.")
    return path
