"""A completed job's result replaced: its row and its files change together, whenever the process dies."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from hub.jobs.handler import Handler, JobContext, Outcome
from hub.jobs.model import Job
from hub.jobs.store import JobStore
from hub.results import FileStore

NOTE = "replacement.json"
"""While this file is in a job's folder, its replacement is decided and must be carried out to its end."""


class ReplacementContext(JobContext):
    """What a handler is given to make another result: new files wait beside the ones they are to replace."""

    def __init__(self, job: Job, files: FileStore) -> None:
        super().__init__(job, files)
        self.kept: list[str] = []

    def publish(self, suffix: str, write: Callable[[Path], object]) -> str:
        """As JobContext.publish, but the result is not in place yet."""
        return self._files.stage(self.job, suffix, write)

    def keep(self, name: str, write: Callable[[Path], object]) -> None:
        """As JobContext.keep, but the file is not in place yet."""
        self._files.keep(self.job.id, name, write, staged=True)
        self.kept.append(name)


def replace_result(job: Job, make: Handler, store: JobStore, files: FileStore) -> Job:
    """Let `make` make a new result of a completed job; all of it takes effect, or nothing.

    Raises what `make` raises, NotFound, Conflict if the job is not completed, Busy.
    """
    finish_replacement(job, store, files)
    context = ReplacementContext(job, files)
    try:
        outcome = make(context)
        result_path = _published(outcome)
        note = {"result_path": result_path, "result": outcome.result, "kept": context.kept}
        files.keep(job.id, NOTE, lambda path: path.write_text(json.dumps(note), encoding="utf-8"))
        # Before the files: of the steps that are left, only this one can fail while the server lives on.
        job = store.update_result(job.id, result_path, outcome.result)
    except BaseException:
        files.unkeep(job.id, NOTE)
        files.discard_staged(job)
        raise
    _put_in_place(job, result_path, context.kept, files)
    return job


def finish_replacement(job: Job, store: JobStore, files: FileStore) -> None:
    """Carry out a replacement that a crash cut short, if there is one."""
    path = files.job_dir(job.id) / NOTE
    if path.is_file():
        note = json.loads(path.read_text(encoding="utf-8"))
        store.update_result(job.id, note["result_path"], note["result"])
        _put_in_place(job, note["result_path"], note["kept"], files)


def _published(outcome: Outcome) -> str:
    if outcome.result_path is None:
        raise ValueError("What replaces a result must be one.")
    return outcome.result_path


def _put_in_place(job: Job, result_path: str, kept: list[str], files: FileStore) -> None:
    """The rest of a replacement; may be repeated from any point."""
    files.put_staged(job, result_path, kept)
    files.unkeep(job.id, NOTE)
