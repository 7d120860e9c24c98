"""Photos: start a restoration and watch it."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, File, Form, Request, Response, UploadFile

from hub.api.dependencies import CallerOf, HubOf, IdempotencyKey, VisiblePhoto
from hub.api.lanes import SUBMISSIONS
from hub.api.problems import problems
from hub.api.schemas import TaskStarted, TaskStatus, task_status
from hub.api.submission import (
    PHOTO_PROBLEMS,
    TASK_PROBLEMS,
    ModelName,
    Strength,
    TaskType,
    started,
    submission_responses,
)
from hub.service import PhotoOptions

router = APIRouter(prefix="/api", tags=["Photos"])


@router.post(
    "/process_image",
    status_code=202,
    summary="Start restoring a photo",
    response_description="Accepted; poll the address in `Location`.",
    responses=submission_responses(
        "image_file",
        *PHOTO_PROBLEMS,
    ),
)
@SUBMISSIONS.endpoint
def process_image(
    hub: HubOf,
    caller: CallerOf,
    request: Request,
    response: Response,
    image_file: Annotated[UploadFile, File(description="The photo: JPEG, PNG, WebP, TIFF, BMP, AVIF, HEIC or raw.")],
    task_type: TaskType = "denoise",
    model_name: ModelName = None,
    use_patch_processing: Annotated[
        bool,
        Form(
            description="`true` (recommended): overlapping tiles, blended without seams. `false`: the whole photo in "
            "one piece, as far as memory allows.",
            examples=[True],
        ),
    ] = True,
    strength: Strength = 1.0,
    output_format: Annotated[
        Literal["same", "png", "jpeg", "webp", "tiff", "avif"],
        Form(description="`same` follows the upload.", examples=["same"]),
    ] = "same",
    quality: Annotated[
        int, Form(ge=1, le=100, description="For the lossy formats; 100 is the best.", examples=[95])
    ] = 95,
    idempotency_key: IdempotencyKey = None,
) -> TaskStarted:
    """Queue a photo. Everything that its header can show is checked before the answer.

    The answer comes at once; the photo is restored in the background, also after a restart of the server.
    """
    options = PhotoOptions(
        task_type=task_type,
        model_name=model_name,
        use_patch_processing=use_patch_processing,
        strength=strength,
        output_format=output_format,
        quality=quality,
    )
    job = hub.submit_photo(
        image_file.file, image_file.filename or "", options, owner=caller.owner, idempotency_key=idempotency_key
    )
    return started(job, "Image processing task started.", request, response)


@router.get(
    "/image_status/{task_id}",
    summary="How far a photo is",
    response_description="The task's state; `status` tells which of the shapes it has.",
    responses=problems(*TASK_PROBLEMS),
)
async def image_status(task: VisiblePhoto) -> TaskStatus:
    """Poll every 2-5 seconds as long as `status` is `pending` or `processing`."""
    return task_status(task)
