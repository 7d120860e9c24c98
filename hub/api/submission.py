"""What posting a file to be restored has in common, whatever the file."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Form, Request, Response
from pydantic import WithJsonSchema

from hub.api.dependencies import EXAMPLE_ID
from hub.api.problems import DATABASE_AWAY, example, missing_field, problems, root_path_of
from hub.api.schemas import TaskStarted
from hub.jobs.model import Job, Kind

POLL_SECONDS = 2
"""What Retry-After proposes for the first look at a job's status."""

NO_SUCH_TASK = example(404, "task_not_found", f"There is no task {EXAMPLE_ID!r}.")
TASK_PROBLEMS = (NO_SUCH_TASK, DATABASE_AWAY)
"""The errors of every route with a task's id."""
KEY_REUSED = example(
    422,
    "idempotency_key_reused",
    "This idempotency key was used for another request; repeat a request as it was, or use a new key for a new one.",
    task_id=EXAMPLE_ID,
)
QUEUE_FULL = example(503, "queue_full", "200 tasks are waiting already; please try again later.")

TaskType = Annotated[str, Form(description="What to do, such as `denoise` or `deblur`.", examples=["denoise"])]
ModelName = Annotated[
    str | None,
    WithJsonSchema({"type": "string"}),  # No form can say null.
    Form(
        description="The model, such as `denoise_16`; the task's best installed model if left out.",
        examples=["denoise_16"],
    ),
]
Strength = Annotated[
    float,
    Form(
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="0 keeps the original, 1 is the full restoration.",
        examples=[1.0],
    ),
]


PHOTO_PROBLEMS = (
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
)
"""The errors of every route that takes a photo."""


def upload_problems(file_field: str) -> tuple[dict[str, Any], ...]:
    """The errors of a route that takes a file in `file_field`, whatever it does with it."""
    return (
        example(400, "bad_request", "Invalid multipart data."),
        example(413, "upload_too_large", "The upload is larger than the 512 MB allowed here.", max_bytes=512_000_000),
        missing_field("body", file_field),
        example(422, "empty_file", "The file is empty (zero bytes); please send a file with content."),
        example(503, "disk_full", "The server's disk is nearly full; please try again later."),
    )


def submission_responses(file_field: str, *examples: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that queues a file in `file_field`; `examples` are the errors of its kind alone."""
    return {
        202: accepted("The task's status."),
        **problems(
            *upload_problems(file_field),
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
            KEY_REUSED,
            *examples,
            QUEUE_FULL,
            DATABASE_AWAY,
        ),
    }


def accepted(location: str) -> dict[str, Any]:
    """The documented answer to a task that was accepted; `location` says what its Location leads to."""
    return {
        "headers": {
            "Location": {"description": location, "schema": {"type": "string"}},
            "Retry-After": {"description": "Seconds to wait before the first look.", "schema": {"type": "integer"}},
        }
    }


def started(job: Job, message: str, request: Request, response: Response) -> TaskStarted:
    """The answer to an accepted task, with its headers set on `response`."""
    call = "tasks" if job.kind is Kind.INSTALL else f"{job.kind}_status"
    response.headers["Location"] = f"{root_path_of(request)}/api/{call}/{job.id}"
    response.headers["Retry-After"] = str(POLL_SECONDS)
    return TaskStarted(task_id=job.id, message=message)
