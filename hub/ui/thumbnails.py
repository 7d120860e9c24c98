"""Small pictures of jobs for the list of them: made when a browser first asks for one, and kept in memory, bounded."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from pathlib import Path

import anyio
import cv2
import numpy as np
from anyio.to_thread import run_sync
from numpy.typing import NDArray
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hub.errors import Busy, HubError, NotFound
from hub.jobs.model import Job, Kind, Status, is_job_id
from hub.service import Hub
from hub.ui.frames import Span
from hub.ui.visitors import check_visible
from hub.video.preview import shown, square_pixels

log = logging.getLogger(__name__)

PREFIX = "/thumbnails"
SIDE = 240  # Pixels; shown at a third of that, on screens of whatever density.
AT_ONCE = 2  # Made at a time: jobs want the processor too.
KEPT_BYTES = 16 << 20
_UNTOLD = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 48 48"><g fill="none" stroke="#85858f" stroke-width="2" '
    'stroke-linejoin="round"><rect x="9" y="12" width="30" height="24" rx="4"/><circle cx="18" cy="20" r="2.5"/>'
    '<path d="M10 33l8-8 6 5 5-4 9 7"/></g></svg>'
)


class Thumbnails:
    """JPEGs by job and version. Any thread may call."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._lock = threading.Lock()
        self._made: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._bytes = 0

    def get(self, job_id: str) -> bytes | None:
        """The picture of a job as it stands now; None if there can be none. Raises NotFound, Busy."""
        job = self._hub.view(job_id).job
        key = (job.id, version(job))
        with self._lock:
            if key in self._made:
                self._made.move_to_end(key)
                return self._made[key]
        try:
            picture = _jpeg(self._picture(job))
        except Busy:
            raise
        except (HubError, FileNotFoundError) as error:
            log.info("Job %s: no thumbnail: %s", job.id, error)
            return None
        self._keep(key, picture)
        return picture

    def _picture(self, job: Job) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB: of the result, or of the upload until there is one. Raises HubError."""
        of = self._hub.files.upload(job.id) if job.result_path is None else job.result_path
        with self._hub.files.reading(of) as path:
            if job.kind is Kind.IMAGE:
                return np.asarray(self._hub.decoder.preview(path, SIDE).pixels)
            return self._frame(path)

    def _frame(self, path: Path) -> NDArray[np.uint8]:
        info = self._hub.clips.probe(path)
        frame = self._hub.clips.frame_at(path, info, Span.of(info).telling + float(info.origin))
        return square_pixels(shown(frame.pixels, SIDE), info.aspect)

    def _keep(self, key: tuple[str, str], picture: bytes) -> None:
        with self._lock:
            self._bytes += len(picture) - len(self._made.pop(key, b""))
            self._made[key] = picture
            while self._bytes > KEPT_BYTES:
                _, oldest = self._made.popitem(last=False)
                self._bytes -= len(oldest)


def version(job: Job) -> str:
    """What changes when a job's picture does: with its result, and again whenever that is replaced."""
    if job.status is not Status.COMPLETED:
        return "upload"
    return f"{job.leased_at or job.finished_at or 0:.3f}"


def thumbnail_address(job: Job) -> str | None:
    """Where the page finds the picture of a job; None for what has none. Relative, so that it holds below a sub-path.

    A cancelled job keeps no files.
    """
    if not job.kind.has_files or job.status is Status.CANCELLED:
        return None
    return f"{PREFIX.lstrip('/')}/{job.id}?v={version(job)}"


def thumbnail_route(hub: Hub) -> Route:
    """`/thumbnails/<job id>`: whoever knows a job's id may see it, as with clips; a plain sign where there is none."""
    thumbnails = Thumbnails(hub)
    limiter = anyio.CapacityLimiter(AT_ONCE)

    def picture(job_id: str) -> bytes | None:
        if not is_job_id(job_id):
            raise NotFound("task_not_found", f"There is no task {job_id!r}.")
        check_visible(hub, job_id)
        return thumbnails.get(job_id)

    async def serve(request: Request) -> Response:
        job_id = request.path_params["job_id"]
        try:
            made = await run_sync(picture, job_id, limiter=limiter)
        except NotFound as error:
            raise HTTPException(404, error.message) from error
        except Busy as error:
            log.info("Job %s: no thumbnail yet: %s", job_id, error.message)
            made = None
        headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"}
        if made is None:
            return Response(_UNTOLD, media_type="image/svg+xml", headers={**headers, "Cache-Control": "no-store"})
        # An address names one content: its version stands in it.
        return Response(made, media_type="image/jpeg", headers={**headers, "Cache-Control": "private, max-age=3600"})

    return Route(f"{PREFIX}/{{job_id}}", serve, methods=["GET", "HEAD"], name="thumbnails")


def _jpeg(rgb: NDArray[np.uint8]) -> bytes:
    colours = np.ascontiguousarray(np.broadcast_to(rgb[..., :3], (*rgb.shape[:2], 3))[..., ::-1])
    return cv2.imencode(".jpg", colours, [cv2.IMWRITE_JPEG_QUALITY, 82])[1].tobytes()
