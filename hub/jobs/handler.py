"""What a job's handler is given and what it hands back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub.errors import Cancelled, NotFound
from hub.jobs.model import Job
from hub.jobs.progress import Progress
from hub.results import FileStore


@dataclass(frozen=True)
class Outcome:
    """What a handler made: the published result's URL path, and details for the client (JSON types only).

    result_path: None for kinds of jobs without files.
    """

    result_path: str | None
    result: dict[str, Any]

    def __post_init__(self) -> None:
        json.dumps(self.result, allow_nan=False)


class JobContext:
    """All that a handler may know and touch.

    job: the row as it was when this run began.
    workdir: the job's own folder; what is written there is kept until the job is deleted, over a crash too.
    """

    def __init__(
        self,
        job: Job,
        files: FileStore,
        *,
        progress: Progress | None = None,
        cancelled: Callable[[], bool] | None = None,
        advanced: Callable[[], None] | None = None,
    ) -> None:
        """Raises NotFound if the upload is gone."""
        self.job = job
        self._input = files.upload(job.id) if job.kind.has_files else None
        self.workdir: Path = files.make_job_dir(job.id)
        self._files = files
        self._progress = progress or Progress()
        self._cancelled = cancelled or (lambda: False)
        self._advanced = advanced or (lambda: None)

    @property
    def input(self) -> Path:
        """The upload. Raises NotFound where the kind of job has none."""
        if self._input is None:
            raise NotFound("upload_missing", f"An {self.job.kind} task has no upload.")
        return self._input

    def report(self, fraction: float, message: str = "", details: Mapping[str, Any] | None = None) -> None:
        """Tell that `fraction` (0 to 1) of the work is done; cheap, any thread, never goes back.

        message, details (JSON types only): stay as they are where none are given.
        """
        self._progress.report(fraction, message, details)

    def begin(self, fraction: float, message: str = "") -> None:
        """Tell that another stage of the work begins at `fraction`: from here on the speed is measured anew.

        What was done before is no measure of it: a download, or the part of a clip that an earlier run has restored.
        """
        self._progress.begin(fraction, message)

    def cancelled(self) -> bool:
        """Whether to stop now, cancelled or shutting down; ask at least once per batch, then raise Cancelled."""
        return self._cancelled()

    def check_cancelled(self) -> None:
        """Raise Cancelled if this run should stop."""
        if self._cancelled():
            raise Cancelled

    def advanced(self) -> None:
        """Tell that a part of the work is kept for good: being interrupted from here on is not held against the job."""
        self._advanced()

    def publish(self, suffix: str, write: Callable[[Path], object]) -> str:
        """Let `write` make the result at the path it is given, put it in place whole, and return its URL path.

        suffix: with its dot, such as `.jpg`; the path given to `write` ends with it.
        The name depends on the job alone: another run replaces its own result.
        Raises Cancelled, leaving nothing, if the job was cancelled meanwhile.
        """
        return self._files.publish(self.job, suffix, write, check=self.check_cancelled)

    def published(self, result_path: str) -> bool:
        """Whether the result that an earlier run published is still there."""
        try:
            self._files.resolve(result_path)
        except NotFound:
            return False
        return True

    def keep(self, name: str, write: Callable[[Path], object]) -> None:
        """Let `write` make the file `name` (`folder/name` too) of `workdir`: whole or not at all, flushed for good.

        The path given to `write` is another one, with the same suffix.
        """
        self._files.keep(self.job.id, name, write)


Handler = Callable[[JobContext], Outcome]
"""Does a job's work: a pure function of (spec, input) to a published result; HubError fails the job with its words."""
