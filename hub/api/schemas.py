"""What the REST face answers, as models: they are the OpenAPI document's schemas."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from hub.jobs.manager import JobView
from hub.jobs.model import Status

EXAMPLE_ID = "a1b2c3d4-e5f6-7890-a1b2-c3d4e5f67890"
_RESULT = "/static_results/images/denoise/processed/1678886400_a1b2c3d4_Zk3vV1pXo0J9c2QyT5rWbA_enhanced_image.jpg"


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
    queue_position: int | None = Field(description="1 is the next to run.", examples=[3])


class ProcessingStatus(BaseModel):
    """The job runs."""

    status: Literal["processing"]
    progress: int = Field(ge=0, le=100, description="Per cent; never goes back while the server runs.", examples=[42])
    message: str = Field(examples=["Restoring tile 12 of 40"])
    eta_seconds: float | None = Field(description="Seconds left, once they can be guessed.", examples=[7.5])


class CompletedStatus(BaseModel):
    """The result is there."""

    status: Literal["completed"]
    progress: Literal[100]
    result_path: str = Field(
        description="Put the server's base address before it to get the result's URL. It cannot be guessed: "
        "who knows it may read the result.",
        examples=[_RESULT],
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


class FailedStatus(BaseModel):
    """The job ended without a result."""

    status: Literal["failed"]
    error: str = Field(
        description="What went wrong.",
        examples=["The file is damaged: only 32% of its picture can be decoded. Send an undamaged copy."],
    )
    code: str = Field(description="Machine-readable kind of error.", examples=["damaged_image"])


class CancelledStatus(BaseModel):
    """The job was cancelled."""

    status: Literal["cancelled"]
    message: str = Field(examples=["Cancelled."])


TaskStatus = Annotated[
    PendingStatus | ProcessingStatus | CompletedStatus | FailedStatus | CancelledStatus,
    Field(discriminator="status"),
]

FinishedStatus = Annotated[CompletedStatus | FailedStatus | CancelledStatus, Field(discriminator="status")]


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
                status="failed", error=job.error or "The job failed.", code=job.error_code or "internal_error"
            )
        case Status.CANCELLED:
            return CancelledStatus(status="cancelled", message="Cancelled.")


class ModelControl(BaseModel):
    """One model a page can offer."""

    value: str = Field(description="What to send as `model_name`.", examples=["denoise_16"])
    text: str = Field(description="What to show.", examples=["Uformer-16: any noise, fast"])
    installed: bool = Field(description="Whether its weights are here; else they are fetched on first use if allowed.")
    default: bool = Field(description="Whether it is taken when `model_name` is left out.")
    description: str = Field(
        examples=["A small denoiser for noise of unknown kind and strength, JPEG artefacts included."]
    )
    licence: str | None = Field(description="The licence of its weights.", examples=["MIT"])
    problem: str | None = Field(description="Why a model file cannot be used.", examples=[None])


class TaskControl(BaseModel):
    """One task and its models."""

    display_name: str = Field(examples=["Denoise"])
    default_model: str | None = Field(examples=["denoise_16"])
    models: list[ModelControl]


class PatchControl(BaseModel):
    """The patch processing switch."""

    available: bool
    default_checked: bool


class PageControl(BaseModel):
    """The switches of one page."""

    patch_processing: PatchControl


class PageControls(BaseModel):
    """The switches of every page."""

    live: PageControl
    image: PageControl
    video: PageControl


class Limits(BaseModel):
    """What an upload may be at most."""

    max_upload_mb: int = Field(examples=[512])
    max_megapixels: float = Field(examples=[100.0])


class Controls(BaseModel):
    """All that a page needs to build itself."""

    tasks: dict[str, TaskControl]
    page_controls: PageControls
    output_formats: list[str] = Field(examples=[["same", "png", "jpeg", "webp", "tiff", "avif"]])
    limits: Limits


class Health(BaseModel):
    """The server is alive."""

    status: Literal["ok"]
    version: str = Field(examples=["0.1.0"])
    uptime_seconds: float = Field(examples=[3600.5])
