"""The lifecycle of results on the wire: confirmations, heartbeats, disk use, and what a clearing did."""

from __future__ import annotations

from pydantic import BaseModel, Field

from hub.api.dependencies import EXAMPLE_ID
from hub.api.schemas import EXAMPLE_RESULT


class ResultToConfirm(BaseModel):
    """A result that was downloaded."""

    result_path: str = Field(
        max_length=4096,
        description="The `result_path` of the completed task, percent-encoded or not.",
        examples=[EXAMPLE_RESULT],
    )


class TaskToKeep(BaseModel):
    """A task whose result is being viewed."""

    task_id: str = Field(max_length=100, description="The id of the completed task.", examples=[EXAMPLE_ID])


class Confirmation(BaseModel):
    """The result counts as downloaded."""

    message: str = Field(
        description="`Download confirmed.`, or `Download was already confirmed.`", examples=["Download confirmed."]
    )


class Heartbeat(BaseModel):
    """The result is kept for as long as heartbeats come, or until its download is confirmed."""

    message: str = Field(examples=["Heartbeat received."])


class CacheStatus(BaseModel):
    """The disk space that tasks take: results, uploads and working folders."""

    image_cache_mb: float = Field(ge=0, description="Of photos, in megabytes.", examples=[128.4])
    video_cache_mb: float = Field(ge=0, description="Of videos, in megabytes.", examples=[2048.0])
    image_results: int = Field(ge=0, description="Finished photos that can be fetched.", examples=[31])
    video_results: int = Field(ge=0, description="Finished videos that can be fetched.", examples=[4])
    free_mb: float = Field(ge=0, description="Free space on the disk of the results, in megabytes.", examples=[51200.0])


class CacheCleared(BaseModel):
    """What a clearing deleted, and what it left."""

    cleared_count: int = Field(ge=0, description="Results deleted: abandoned, expired or orphaned.", examples=[12])
    skipped_in_progress_count: int = Field(
        ge=0, description="Tasks that wait or run, and results that are being read.", examples=[1]
    )
    skipped_awaiting_download_count: int = Field(
        ge=0, description="Results that are still to be downloaded or viewed.", examples=[3]
    )
