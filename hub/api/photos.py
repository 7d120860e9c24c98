"""Photos: start a restoration and watch it."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, File, Form, Request, Response, UploadFile

from hub.api.dependencies import HubOf
from hub.api.problems import example, problems, root_path_of
from hub.api.schemas import EXAMPLE_ID, TaskStarted, TaskStatus, task_status
from hub.jobs.model import Kind
from hub.service import PhotoOptions

router = APIRouter(prefix="/api", tags=["Photos"])

POLL_SECONDS = 2
"""What Retry-After proposes for the first look at a job's status."""

_NO_SUCH_TASK = example(404, "task_not_found", f"There is no task {EXAMPLE_ID!r}.")


@router.post(
    "/process_image",
    status_code=202,
    summary="Start restoring a photo",
    response_description="Accepted; poll the address in `Location`.",
    responses={
        202: {
            "headers": {
                "Location": {"description": "The task's status.", "schema": {"type": "string"}},
                "Retry-After": {"description": "Seconds to wait before the first look.", "schema": {"type": "integer"}},
            }
        },
        **problems(
            example(400, "bad_request", "Invalid multipart data."),
            example(
                409,
                "weights_not_installed",
                "The weights of 'denoise_b' are not installed. Install them with: python -m hub fetch denoise_b",
                model_name="denoise_b",
                command="python -m hub fetch denoise_b",
            ),
            example(
                409,
                "weights_unusable",
                "The model 'mine' cannot be used: mine.safetensors: not a checkpoint; "
                "a .safetensors, .pth or .pt file of a Uformer is needed.",
                model_name="mine",
            ),
            example(409, "no_models", "There is no model for 'deblur'; put one into the weights folder."),
            example(
                413, "upload_too_large", "The upload is larger than the 512 MB allowed here.", max_bytes=512_000_000
            ),
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
            example(
                422,
                "invalid_request",
                "image_file: Field required",
                errors=[{"loc": ["body", "image_file"], "msg": "Field required", "type": "missing"}],
            ),
            example(
                422,
                "unknown_task",
                "There is no task 'sharpen'; valid are: denoise, deblur.",
                valid=["denoise", "deblur"],
            ),
            example(
                422,
                "unknown_model",
                "There is no model 'denoise_x'; valid are: denoise_b, denoise_16, deblur_b.",
                valid=["denoise_b", "denoise_16", "deblur_b"],
            ),
            example(
                422,
                "wrong_task",
                "The model 'deblur_b' is for deblur; for denoise valid are: denoise_b, denoise_16.",
                valid=["denoise_b", "denoise_16"],
            ),
            example(422, "empty_file", "The file is empty (zero bytes); please send a file with content."),
            example(
                422,
                "damaged_image",
                "The file is damaged: its header makes no sense. Send an undamaged copy.",
            ),
            example(503, "queue_full", "200 tasks are waiting already; please try again later."),
            example(503, "disk_full", "The server's disk is nearly full; please try again later."),
        ),
    },
)
def process_image(
    hub: HubOf,
    request: Request,
    response: Response,
    image_file: Annotated[UploadFile, File(description="The photo: JPEG, PNG, WebP, TIFF, BMP, AVIF, HEIC or raw.")],
    task_type: Annotated[
        str, Form(description="What to do, such as `denoise` or `deblur`.", examples=["denoise"])
    ] = "denoise",
    model_name: Annotated[
        str | None,
        Form(
            description="The model, such as `denoise_16`; the task's best installed model if left out.",
            examples=["denoise_16"],
        ),
    ] = None,
    use_patch_processing: Annotated[
        bool,
        Form(
            description="`true` (recommended): overlapping tiles, blended without seams. `false`: the whole photo in "
            "one piece, as far as memory allows.",
            examples=[True],
        ),
    ] = True,
    strength: Annotated[
        float,
        Form(ge=0, le=1, description="0 keeps the original, 1 is the full restoration.", examples=[1.0]),
    ] = 1.0,
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
    response.headers["Location"] = f"{root_path_of(request)}/api/image_status/{job.id}"
    response.headers["Retry-After"] = str(POLL_SECONDS)
    return TaskStarted(task_id=job.id, message="Image processing task started.")


@router.get(
    "/image_status/{task_id}",
    summary="How far a photo is",
    response_description="The task's state; `status` tells which of the shapes it has.",
    responses=problems(_NO_SUCH_TASK),
)
def image_status(hub: HubOf, task_id: str) -> TaskStatus:
    """Poll every 2-5 seconds as long as `status` is `pending` or `processing`."""
    return task_status(hub.view(task_id, Kind.IMAGE))
