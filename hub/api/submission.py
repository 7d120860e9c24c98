"""What posting a file to be restored has in common, whatever the file."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Form, Request, Response

from hub.api.problems import example, problems, root_path_of
from hub.api.schemas import EXAMPLE_ID, TaskStarted
from hub.jobs.model import Job

POLL_SECONDS = 2
"""What Retry-After proposes for the first look at a job's status."""

NO_SUCH_TASK = example(404, "task_not_found", f"There is no task {EXAMPLE_ID!r}.")
QUEUE_FULL = example(503, "queue_full", "200 tasks are waiting already; please try again later.")

TaskType = Annotated[str, Form(description="What to do, such as `denoise` or `deblur`.", examples=["denoise"])]
ModelName = Annotated[
    str | None,
    Form(
        description="The model, such as `denoise_16`; the task's best installed model if left out.",
        examples=["denoise_16"],
    ),
]
Strength = Annotated[
    float, Form(ge=0, le=1, description="0 keeps the original, 1 is the full restoration.", examples=[1.0])
]


def submission_responses(file_field: str, *examples: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that takes a file in `file_field`; `examples` are the errors of its kind alone."""
    accepted = {
        "headers": {
            "Location": {"description": "The task's status.", "schema": {"type": "string"}},
            "Retry-After": {"description": "Seconds to wait before the first look.", "schema": {"type": "integer"}},
        }
    }
    missing = {"loc": ["body", file_field], "msg": "Field required", "type": "missing"}
    return {
        202: accepted,
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
            example(422, "invalid_request", f"{file_field}: Field required", errors=[missing]),
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
            *examples,
            QUEUE_FULL,
            example(503, "disk_full", "The server's disk is nearly full; please try again later."),
        ),
    }


def started(job: Job, message: str, request: Request, response: Response) -> TaskStarted:
    """The answer to an accepted file, with its headers set on `response`."""
    response.headers["Location"] = f"{root_path_of(request)}/api/{job.kind}_status/{job.id}"
    response.headers["Retry-After"] = str(POLL_SECONDS)
    return TaskStarted(task_id=job.id, message=message)
