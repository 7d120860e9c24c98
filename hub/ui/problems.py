"""What went wrong, in the visitor's language, and what to do about it: by the error's code, as `error_<code>`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hub.errors import Busy, HubError, TooManyRequests
from hub.jobs.model import Job
from hub.ui.language import known, say
from hub.ui.measures import decimal, duration


def explain(error: HubError) -> str:
    """The words for an error; the hub's own English ones where the page has none."""
    data = dict(error.data)
    if isinstance(error, Busy | TooManyRequests):
        data["wait"] = duration(error.retry_after)
    return _words(error.code, error.message, data)


def explain_job(job: Job) -> str:
    """Why a job has failed."""
    if job.error is None:
        return say("server_error")
    return _words(job.error_code or "", job.error, {"model_name": job.spec.get("model_name") or job.filename})


def _words(code: str, message: str, data: Mapping[str, Any]) -> str:
    """message: what is said where there are no words for the code, or they tell more than `data` holds."""
    key = f"error_{code}"
    if not known(key):
        return message
    if known(name := f"model_name_{data.get('model_name')}"):
        data = {**data, "model_name": say(name)}
    try:
        return say(key, code=code, **_measures(data), **data)
    except KeyError:  # One code may come from several places, and not all of them know the figures.
        return message


def _measures(data: Mapping[str, Any]) -> dict[str, str]:
    """The figures of an error as people say them, beside the plain ones."""
    measures = {}
    if "max_bytes" in data:
        measures["max_megabytes"] = f"{data['max_bytes'] / 1e6:.0f}"
    if "max_pixels" in data:
        measures["max_megapixels"] = decimal(f"{data['max_pixels'] / 1e6:g}")
    if "max_seconds" in data and "seconds" in data:
        measures |= {"length": duration(data["seconds"]), "max_length": duration(data["max_seconds"])}
    return measures
