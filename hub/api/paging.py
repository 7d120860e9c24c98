"""Where one page of a listing ends and the next begins, as a word that means something to this server alone."""

from __future__ import annotations

import base64
import binascii
import math

from hub.api.dependencies import EXAMPLE_ID
from hub.errors import InvalidInput
from hub.jobs.model import Job, is_job_id

CURSOR_MESSAGE = "before must be the `next` of an earlier page, exactly as it was given."


def cursor_of(job: Job) -> str:
    """The cursor of what follows after this job. It stays good when the job is deleted."""
    return _written(job.created_at, job.id)


def place_of(cursor: str) -> tuple[float, str]:
    """The `created_at` and id that a cursor stands for. Raises InvalidInput."""
    try:
        created, _, job_id = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True).partition(b" ")
        place = float(created), job_id.decode("ascii")
    except (ValueError, binascii.Error) as error:
        raise InvalidInput("invalid_cursor", CURSOR_MESSAGE) from error
    if not (math.isfinite(place[0]) and is_job_id(place[1])):
        raise InvalidInput("invalid_cursor", CURSOR_MESSAGE)
    return place


def _written(created_at: float, job_id: str) -> str:
    return base64.urlsafe_b64encode(f"{created_at!r} {job_id}".encode()).decode().rstrip("=")


EXAMPLE_CURSOR = _written(1763885837.5, EXAMPLE_ID)
