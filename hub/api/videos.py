"""Videos: start a restoration and watch it."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, File, Form, Request, Response, UploadFile
from pydantic import WithJsonSchema

from hub.api.dependencies import CallerOf, HubOf, IdempotencyKey, VisibleVideo
from hub.api.lanes import SUBMISSIONS
from hub.api.problems import example, problems
from hub.api.schemas import TaskStarted, VideoStatus
from hub.api.schemas import video_status as status_of_video
from hub.api.submission import (
    TASK_PROBLEMS,
    ModelName,
    Strength,
    TaskType,
    started,
    submission_responses,
)
from hub.service import VideoOptions

router = APIRouter(prefix="/api", tags=["Videos"])


@router.post(
    "/process_video",
    status_code=202,
    summary="Start restoring a video",
    response_description="Accepted; poll the address in `Location`.",
    responses=submission_responses(
        "video_file",
        example(
            413,
            "too_many_pixels",
            "The picture has 8192 x 6144 = 50,331,648 pixels; at most 36,000,000 are allowed. Send a smaller one.",
            width=8192,
            height=6144,
            max_pixels=36_000_000,
        ),
        example(
            413,
            "too_long",
            "The clip lasts 18,000.0 seconds; at most 14,400 are allowed. Send a shorter one.",
            seconds=18_000.0,
            max_seconds=14_400.0,
        ),
        example(
            413,
            "too_many_frames",
            "The clip has 1,200,000 frames or more; at most 1,000,000 are allowed. Send a shorter one.",
            frames=1_200_000,
            max_frames=1_000_000,
        ),
        example(
            415,
            "not_a_video",
            "The file is a PDF document, not a clip. Send MP4, MOV, MKV, WebM, AVI, MPEG-TS, MPEG, FLV, WMV, OGG, MXF "
            "or GIF.",
        ),
        example(415, "no_video_stream", "The file has no video, only sound or pictures. Send a clip."),
        example(
            422,
            "damaged_video",
            "The clip is damaged: its table of contents is missing, most likely because its end is. Send a complete "
            "copy.",
        ),
        example(
            422,
            "picture_too_large",
            "AV1 holds pictures of up to 16384 x 8704 pixels; this clip has 128 x 8736. Choose the codec vp9, prores "
            "or lossless.",
            codec="av1",
        ),
        example(
            422,
            "invalid_range",
            "The clip lasts from 0 to 1 seconds; start and end must leave a part of that.",
            first=0.0,
            last=1.0,
        ),
    ),
)
@SUBMISSIONS.endpoint
def process_video(
    hub: HubOf,
    caller: CallerOf,
    request: Request,
    response: Response,
    video_file: Annotated[
        UploadFile, File(description="The clip, in any container and codec that FFmpeg reads: MP4, MOV, MKV, WebM...")
    ],
    task_type: TaskType = "denoise",
    model_name: ModelName = None,
    strength: Strength = 1.0,
    codec: Annotated[
        Literal["h264", "h265", "av1", "vp9", "prores", "lossless"],
        Form(
            description="`h264` plays everywhere; `prores` (.mov) is for editing; `lossless` is FFV1.",
            examples=["h264"],
        ),
    ] = "h264",
    quality: Annotated[
        int,
        Form(
            ge=0,
            le=63,
            description="Constant rate factor: 0 is the best and largest. `prores` and `lossless` have none.",
            examples=[18],
        ),
    ] = 18,
    temporal: Annotated[
        bool | None,
        WithJsonSchema({"type": "boolean"}),  # No form can say null.
        Form(
            description="Smooth the result over time, along motion, against flicker. Left out: on for `denoise`, off "
            "otherwise.",
            examples=[True],
        ),
    ] = None,
    start: Annotated[
        float | None,
        WithJsonSchema({"type": "number"}),
        Form(
            allow_inf_nan=False,
            description="Seconds of presentation time: frames from here on. Left out: from the first.",
            examples=[2],
        ),
    ] = None,
    end: Annotated[
        float | None,
        WithJsonSchema({"type": "number"}),
        Form(
            allow_inf_nan=False,
            description="Seconds of presentation time: frames before. Left out: to the last.",
            examples=[7.5],
        ),
    ] = None,
    idempotency_key: IdempotencyKey = None,
) -> TaskStarted:
    """Queue a clip. Everything that its header can show is checked before the answer.

    The best video stream is restored, at its own times; sound, subtitles, chapters and tags are copied. The work is
    done in segments of a few seconds: after a restart of the server it goes on from the last finished one.
    """
    options = VideoOptions(
        task_type=task_type,
        model_name=model_name,
        strength=strength,
        codec=codec,
        quality=quality,
        temporal=temporal,
        start=start,
        end=end,
    )
    job = hub.submit_video(
        video_file.file, video_file.filename or "", options, owner=caller.owner, idempotency_key=idempotency_key
    )
    return started(job, "Video processing task started.", request, response)


@router.get(
    "/video_status/{task_id}",
    summary="How far a video is",
    response_description="The task's state; `status` tells which of the shapes it has.",
    responses=problems(*TASK_PROBLEMS),
)
async def video_status(task: VisibleVideo) -> VideoStatus:
    """Poll every 2-5 seconds as long as `status` is `pending` or `processing`.

    A `failed` video that is `resumable` goes on with `POST /api/tasks/{task_id}/resume`.
    """
    return status_of_video(task)
