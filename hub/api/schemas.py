"""States of tasks as they go over the wire; these models are the OpenAPI document's schemas."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from hub.api.dependencies import EXAMPLE_ID
from hub.jobs.manager import JobView
from hub.jobs.model import Kind, Status

EXAMPLE_RESULT = (
    "/static_results/images/denoise/processed/1678886400_a1b2c3d4_5b0c9f31e7a24d68902f1c77_enhanced_image.jpg"
)
_CLIP = "/static_results/videos/denoise/processed/1678886400_a1b2c3d4_5b0c9f31e7a24d68902f1c77_enhanced_clip.mp4"


class TaskStarted(BaseModel):
    """A job was accepted; it will survive a restart of the server."""

    task_id: str = Field(
        description="The job's id; store it, and poll its status every 2-5 seconds.", examples=[EXAMPLE_ID]
    )
    message: str = Field(examples=["Image processing task started."])


class PendingStatus(BaseModel):
    """The job waits for its turn."""

    status: Literal["pending"]
    progress: int = Field(ge=0, le=100, description="Per cent; never goes back while the server runs.", examples=[0])
    message: str = Field(examples=["Waiting in the queue."])
    queue_position: int | None = Field(description="Among the jobs of its kind; 1 is the next to run.", examples=[3])


class ProcessingStatus(BaseModel):
    """The job runs."""

    status: Literal["processing"]
    progress: int = Field(ge=0, le=100, description="Per cent; never goes back while the server runs.", examples=[42])
    message: str = Field(examples=["Restoring tile 12 of 40"])
    eta_seconds: float | None = Field(description="Seconds left, once they can be guessed.", examples=[7.5])


class VideoProcessingStatus(ProcessingStatus):
    """The clip is being restored."""

    message: str = Field(examples=["Restored frame 630 of 1500"])
    eta_seconds: float | None = Field(description="Seconds left, once they can be guessed.", examples=[254.4])
    frames_done: int = Field(
        ge=0, description="Frames that are finished; those that an earlier run has finished count.", examples=[630]
    )
    frames_total: int | None = Field(description="Frames to restore, as far as is known.", examples=[1500])
    frames_per_second: float | None = Field(description="How fast it goes, once measured.", examples=[3.42])


class CompletedStatus(BaseModel):
    """The result is there."""

    status: Literal["completed"]
    progress: Literal[100]
    result_path: str = Field(
        description="Put the server's base address before it to get the result's URL. It cannot be guessed: "
        "who knows it may read the result.",
        examples=[EXAMPLE_RESULT],
    )
    result: dict[str, Any] = Field(
        description="What was done: size, format, model, tiles, time, notes.",
        examples=[
            {
                "width": 4000,
                "height": 3000,
                "format": "jpeg",
                "bytes": 5210345,
                "task": "denoise",
                "model": "denoise_16",
                "strength": 1.0,
                "tiles": 48,
                "tile_width": 640,
                "tile_height": 512,
                "overlap": 64,
                "whole": False,
                "seconds": 12.7,
                "notes": [],
            }
        ],
    )


class VideoCompletedStatus(CompletedStatus):
    """The restored clip is there."""

    result_path: str = Field(
        description="Put the server's base address before it to get the result's URL, for a link or a `<video>` "
        "element: byte ranges are served. It cannot be guessed: who knows it may read the result.",
        examples=[_CLIP],
    )
    result: dict[str, Any] = Field(
        description="What was done: picture, frames, streams copied, codec, model, tiles, segments, time, notes.",
        examples=[
            {
                "width": 1280,
                "height": 720,
                "frames": 1500,
                "duration": 60.06,
                "task": "denoise",
                "model": "denoise_16",
                "strength": 1.0,
                "temporal": True,
                "codec": "h264",
                "pixel_format": "yuv420p",
                "format": "mp4",
                "bytes": 48210345,
                "audio_streams": 1,
                "subtitle_streams": 0,
                "tiles": 6,
                "tile_width": 512,
                "tile_height": 512,
                "overlap": 64,
                "segments": 30,
                "resumed_segments": 0,
                "seconds": 438.6,
                "notes": ["The clip is interlaced; it was deinterlaced, one frame for each of its frames."],
            }
        ],
    )


class InstallCompletedStatus(BaseModel):
    """The models are installed; there is no file to fetch."""

    status: Literal["completed"]
    progress: Literal[100]
    result: dict[str, Any] = Field(
        description="What was installed, what had been before, and the time it took.",
        examples=[
            {
                "installed": [{"name": "denoise_b", "bytes": 203520112, "seconds": 21.4}],
                "already_installed": ["denoise_16"],
                "seconds": 21.5,
            }
        ],
    )


class FailedStatus(BaseModel):
    """The job ended without a result."""

    status: Literal["failed"]
    error: str = Field(
        description="What went wrong.",
        examples=["The file is damaged: only 32% of its picture can be decoded. Send an undamaged copy."],
    )
    code: str = Field(description="Machine-readable kind of error.", examples=["damaged_image"])
    resumable: bool = Field(
        description="Whether `POST /api/tasks/{task_id}/resume` takes it up again where it ended; videos only.",
        examples=[False],
    )


class VideoFailedStatus(FailedStatus):
    """The clip could not be restored to its end."""

    error: str = Field(
        description="What went wrong.", examples=["The server's disk is nearly full; please try again later."]
    )
    code: str = Field(description="Machine-readable kind of error.", examples=["disk_full"])
    resumable: bool = Field(
        description="Whether `POST /api/tasks/{task_id}/resume` goes on from its last finished segment.",
        examples=[True],
    )


class CancelledStatus(BaseModel):
    """The job was cancelled."""

    status: Literal["cancelled"]
    message: str = Field(examples=["Cancelled."])


TaskStatus = Annotated[
    PendingStatus | ProcessingStatus | CompletedStatus | FailedStatus | CancelledStatus,
    Field(discriminator="status"),
]

VideoStatus = Annotated[
    PendingStatus | VideoProcessingStatus | VideoCompletedStatus | VideoFailedStatus | CancelledStatus,
    Field(discriminator="status"),
]

InstallStatus = Annotated[
    PendingStatus | ProcessingStatus | InstallCompletedStatus | FailedStatus | CancelledStatus,
    Field(discriminator="status"),
]


def task_status(view: JobView) -> TaskStatus:
    """A job's state as it goes over the wire."""
    job = view.job
    match job.status:
        case Status.PENDING:
            return PendingStatus(
                status="pending", progress=view.progress, message=view.message, queue_position=view.queue_position
            )
        case Status.PROCESSING:
            return ProcessingStatus(
                status="processing", progress=view.progress, message=view.message, eta_seconds=view.eta_seconds
            )
        case Status.COMPLETED:
            if job.result_path is None:
                raise RuntimeError(f"Job {job.id} is completed and has no result path.")
            return CompletedStatus(
                status="completed", progress=100, result_path=job.result_path, result=job.result or {}
            )
        case Status.FAILED:
            return FailedStatus(
                status="failed",
                error=job.error or "The job failed.",
                code=job.error_code or "internal_error",
                resumable=view.resumable,
            )
        case Status.CANCELLED:
            return CancelledStatus(status="cancelled", message="Cancelled.")


def video_status(view: JobView) -> VideoStatus:
    """The state of a clip's job as it goes over the wire."""
    status = task_status(view)
    match status:
        case ProcessingStatus():
            return VideoProcessingStatus(
                **status.model_dump(),
                frames_done=view.details.get("frames_done", 0),
                frames_total=view.details.get("frames_total"),
                frames_per_second=view.details.get("frames_per_second"),
            )
        case CompletedStatus():
            return VideoCompletedStatus(**status.model_dump())
        case FailedStatus():
            return VideoFailedStatus(**status.model_dump())
        case _:
            return status


def install_status(view: JobView) -> InstallStatus:
    """The state of an install as it goes over the wire."""
    if view.job.status is Status.COMPLETED:
        return InstallCompletedStatus(status="completed", progress=100, result=view.job.result or {})
    status = task_status(view)
    if isinstance(status, CompletedStatus):
        raise TypeError("Only photos and videos have a result to fetch.")
    return status


def any_status(view: JobView) -> TaskStatus | VideoStatus | InstallStatus:
    """The state of a task as its kind has it."""
    match view.job.kind:
        case Kind.IMAGE:
            return task_status(view)
        case Kind.VIDEO:
            return video_status(view)
        case Kind.INSTALL:
            return install_status(view)


class Health(BaseModel):
    """The server is alive."""

    status: Literal["ok"]
    version: str = Field(examples=["0.1.0"])
    uptime_seconds: float = Field(examples=[3600.5])
