"""Photos: start a restoration and watch it."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, File, Form, Request, Response, UploadFile

from hub.api.dependencies import HubOf
from hub.api.problems import example, problems
from hub.api.schemas import TaskStarted, TaskStatus, task_status
from hub.api.submission import NO_SUCH_TASK, ModelName, Strength, TaskType, started, submission_responses
from hub.jobs.model import Kind
from hub.service import PhotoOptions

router = APIRouter(prefix="/api", tags=["Photos"])


@router.post(
    "/process_image",
    status_code=202,
    summary="Start restoring a photo",
    response_description="Accepted; poll the address in `Location`.",
    responses=submission_responses(
        "image_file",
        example(
            413,
            "too_many_pixels",
            "The picture has 20000 by 20000 pixels (400.0 megapixels); at most 100 megapixels are allowed.",
            width=20_000,
            height=20_000,
            max_pixels=100_000_000,
        ),
        example(
            415,
            "not_an_image",
            "The file is a PDF document, not a photo. Send JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF, HEIC, JPEG 2000, "
            "PSD, ICO, TGA, PPM, or a camera's raw file.",
        ),
        example(422, "damaged_image", "The file is damaged: its header makes no sense. Send an undamaged copy."),
    ),
)
def process_image(
    hub: HubOf,
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
    job = hub.submit_photo(image_file.file, image_file.filename or "", options)
    return started(job, "Image processing task started.", request, response)


@router.get(
    "/image_status/{task_id}",
    summary="How far a photo is",
    response_description="The task's state; `status` tells which of the shapes it has.",
    responses=problems(NO_SUCH_TASK),
)
def image_status(hub: HubOf, task_id: str) -> TaskStatus:
    """Poll every 2-5 seconds as long as `status` is `pending` or `processing`."""
    return task_status(hub.view(task_id, Kind.IMAGE))
