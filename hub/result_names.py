"""What results are called on disk and in URLs; pure arithmetic on names."""

from __future__ import annotations

import re
from pathlib import Path, PurePath
from urllib.parse import quote, unquote

from hub.filenames import clean_name
from hub.jobs.model import Job, Kind

RESULTS_URL = "/static_results"
KIND_FOLDERS = {Kind.IMAGE: "images", Kind.VIDEO: "videos"}

_TASK = re.compile(r"[a-z0-9_]{1,64}")
_SUFFIX = re.compile(r"\.[a-z0-9]{1,10}")
_RESULT = re.compile(r"\d+_[0-9a-f]{8}_([0-9a-f]{24})_enhanced_.+")


def result_name(job: Job, suffix: str) -> str:
    """The one name that a result of this job with this suffix (with its dot) can have."""
    if not _SUFFIX.fullmatch(suffix):
        raise ValueError(f"A result's suffix must look like '.jpg', not {suffix!r}.")
    return result_prefix(job) + clean_name(Path(job.filename).stem) + suffix


def result_prefix(job: Job) -> str:
    """How the names of all results of this job begin."""
    return f"{int(job.created_at)}_{job.id[:8]}_{job.secret}_enhanced_"


def secret_of(name: str) -> str | None:
    """The secret of the job whose result has this file name; None for names that no result has."""
    match = _RESULT.fullmatch(name)
    return match[1] if match else None


def results_folder(job: Job) -> str:
    """Where the job's results lie, below the results folder."""
    if not _TASK.fullmatch(job.task):
        raise ValueError(f"A task that names a folder must be lower-case letters, digits and _, not {job.task!r}.")
    return f"{KIND_FOLDERS[job.kind]}/{job.task}/processed"


def result_url(job: Job, name: str) -> str:
    """The percent-encoded URL path of the job's result of this name."""
    return f"{RESULTS_URL}/{results_folder(job)}/{quote(name)}"


def parts_of(result_path: str) -> PurePath | None:
    """Where a URL path, percent-encoded or not, leads to below the results folder; None if it can be no result.

    What else lies there, such as an operator's own pictures, has no secret in its name and is nobody's to fetch.
    """
    parts = unquote(result_path).split("/")
    if parts[:2] != RESULTS_URL.split("/") or len(parts) != 6:
        return None
    kind, task, folder, name = parts[2:]
    named = kind in KIND_FOLDERS.values() and _TASK.fullmatch(task) and folder == "processed" and secret_of(name)
    if not named or not name.isprintable() or set(name) & set("\\:"):  # Which could lead elsewhere on Windows.
        return None
    return PurePath(kind, task, folder, name)
