"""Several results as one ZIP file, made while it is sent."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from hub.errors import NotFound
from hub.jobs.model import Job, is_job_id
from hub.service import Hub
from hub.ui.selection import MOST
from hub.ui.stage import download_name
from hub.ui.visitors import check_visible

PATH = "/bundles/photos.zip"
_CHUNK = 1 << 20


def bundle_address(job_ids: Sequence[str]) -> str:
    """Where the page finds these jobs' results together. Relative, so that it holds below a sub-path too."""
    return f"{PATH.lstrip('/')}?{urlencode([('job', job_id) for job_id in job_ids])}"


def bundle_route(hub: Hub) -> Route:
    """`/bundles/photos.zip?job=...`: whoever knows the jobs' ids may have their results, as with clips."""

    def serve(request: Request) -> Response:
        jobs = []
        for job_id in list(dict.fromkeys(request.query_params.getlist("job")))[:MOST]:
            job = _finished(hub, job_id)
            if job is not None:
                jobs.append(job)
        if not jobs:
            raise HTTPException(404, "None of these results is there any more.")
        headers = {"Content-Disposition": 'attachment; filename="photos.zip"', "X-Content-Type-Options": "nosniff"}
        return StreamingResponse(_zipped(hub, jobs), headers=headers, media_type="application/zip")

    return Route(PATH, serve, methods=["GET"], name="bundles")


class _Pipe:
    """What a ZIP file is written to; what was written is taken out again piece by piece."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, part: bytes) -> int:
        """Keep a part; a file that cannot seek, so sizes and checksums follow the data."""
        self._parts.append(bytes(part))
        return len(part)

    def flush(self) -> None:
        """As files have."""

    def take(self) -> bytes:
        """All that was written since the last time."""
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _finished(hub: Hub, job_id: str) -> Job | None:
    try:
        if not is_job_id(job_id):
            return None
        check_visible(hub, job_id)
        job = hub.view(job_id).job
    except NotFound:
        return None
    return job if job.result_path is not None else None


def _zipped(hub: Hub, jobs: Sequence[Job]) -> Iterator[bytes]:
    """The bytes of the archive. Pictures are compressed already; one that is deleted meanwhile is left out."""
    pipe, names = _Pipe(), set[str]()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]  # it only writes
        for job in jobs:
            try:
                with hub.files.reading(str(job.result_path)) as path:
                    yield from _member(archive, pipe, path, job, names)
            except NotFound:
                continue
    yield pipe.take()


def _member(archive: zipfile.ZipFile, pipe: _Pipe, path: Path, job: Job, names: set[str]) -> Iterator[bytes]:
    name = _unused(download_name(job), names)
    names.add(name.casefold())
    moment = datetime.fromtimestamp(job.finished_at or job.created_at, UTC)
    info = zipfile.ZipInfo(name, moment.timetuple()[:6])
    info.external_attr = 0o644 << 16
    info.file_size = path.stat().st_size
    with archive.open(info, "w") as member, path.open("rb") as source:
        while chunk := source.read(_CHUNK):
            member.write(chunk)
            yield pipe.take()


def _unused(name: str, taken: set[str]) -> str:
    """The name, numbered if another photo was called the same."""
    path, number, unused = PurePosixPath(name), 1, name
    while unused.casefold() in taken:
        number += 1
        unused = f"{path.stem} ({number}){path.suffix}"
    return unused
