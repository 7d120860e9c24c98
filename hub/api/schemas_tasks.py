"""Tasks of any kind on the wire: what was asked for, beside how it stands."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, Field

from hub.api.dependencies import EXAMPLE_ID
from hub.api.paging import EXAMPLE_CURSOR
from hub.api.schemas import (
    CancelledStatus,
    CompletedStatus,
    FailedStatus,
    InstallCompletedStatus,
    PendingStatus,
    ProcessingStatus,
    VideoCompletedStatus,
    VideoFailedStatus,
    VideoProcessingStatus,
    any_status,
)
from hub.jobs.manager import JobView
from hub.jobs.model import Kind, Status

EXAMPLE_TIME = "2026-11-23T08:17:21.504000Z"


class Task(BaseModel):
    """What was asked for; the fields of the status call of its kind stand beside these."""

    task_id: str = Field(examples=[EXAMPLE_ID])
    kind: Literal["image", "video", "install"] = Field(examples=["image"])
    task: str = Field(description="What is done: `denoise`, `deblur`, or `install`.", examples=["denoise"])
    model_name: str | None = Field(description="The model that restores; null for `install`.", examples=["denoise_16"])
    filename: str = Field(
        description="The name of the uploaded file, without folders; of `install` the models' names.",
        examples=["image.jpg"],
    )
    created_at: AwareDatetime = Field(description="When it was accepted (RFC 3339).", examples=[EXAMPLE_TIME])
    started_at: AwareDatetime | None = Field(
        description="When it last began to run; null while it has not.", examples=[EXAMPLE_TIME]
    )
    finished_at: AwareDatetime | None = Field(
        description="When it ended; null while it has not.", examples=[EXAMPLE_TIME]
    )


class PendingTask(Task, PendingStatus):
    """A task that waits for its turn."""


class ProcessingTask(Task, ProcessingStatus):
    """A photo's or an install's task that runs."""

    kind: Literal["image", "install"]


class ProcessingVideoTask(Task, VideoProcessingStatus):
    """A video's task that runs."""

    kind: Literal["video"]


class CompletedTask(Task, CompletedStatus):
    """A restored photo."""

    kind: Literal["image"]


class CompletedVideoTask(Task, VideoCompletedStatus):
    """A restored video."""

    kind: Literal["video"]


class CompletedInstallTask(Task, InstallCompletedStatus):
    """Models that are installed."""

    kind: Literal["install"]


class FailedTask(Task, FailedStatus):
    """A photo's or an install's task that ended without a result."""

    kind: Literal["image", "install"]


class FailedVideoTask(Task, VideoFailedStatus):
    """A video's task that ended without a result."""

    kind: Literal["video"]


class CancelledTask(Task, CancelledStatus):
    """A task that was cancelled."""


AnyTask = (
    PendingTask
    | ProcessingTask
    | ProcessingVideoTask
    | CompletedTask
    | CompletedVideoTask
    | CompletedInstallTask
    | FailedTask
    | FailedVideoTask
    | CancelledTask
)

_SHAPES: dict[tuple[Kind, Status], type[Task]] = {
    **{(kind, Status.PENDING): PendingTask for kind in Kind},
    **{(kind, Status.CANCELLED): CancelledTask for kind in Kind},
    (Kind.IMAGE, Status.PROCESSING): ProcessingTask,
    (Kind.INSTALL, Status.PROCESSING): ProcessingTask,
    (Kind.VIDEO, Status.PROCESSING): ProcessingVideoTask,
    (Kind.IMAGE, Status.COMPLETED): CompletedTask,
    (Kind.VIDEO, Status.COMPLETED): CompletedVideoTask,
    (Kind.INSTALL, Status.COMPLETED): CompletedInstallTask,
    (Kind.IMAGE, Status.FAILED): FailedTask,
    (Kind.INSTALL, Status.FAILED): FailedTask,
    (Kind.VIDEO, Status.FAILED): FailedVideoTask,
}


class TaskPage(BaseModel):
    """Some of the caller's tasks, newest first."""

    tasks: list[AnyTask]
    next: str | None = Field(
        description="What to send as `before` to get the next page; null on the last one.", examples=[EXAMPLE_CURSOR]
    )


AnyFinishedStatus = (
    CompletedStatus | VideoCompletedStatus | InstallCompletedStatus | FailedStatus | VideoFailedStatus | CancelledStatus
)


def described(view: JobView) -> AnyTask:
    """A task of any kind as it goes over the wire."""
    job = view.job
    task: AnyTask = _SHAPES[job.kind, job.status].model_validate(  # type: ignore[assignment]
        {
            **any_status(view).model_dump(),
            "task_id": job.id,
            "kind": str(job.kind),
            "task": job.task,
            "model_name": job.spec.get("model_name"),
            "filename": job.filename,
            "created_at": _time(job.created_at),
            "started_at": _time(job.started_at),
            "finished_at": _time(job.finished_at),
        }
    )
    return task


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
