"""A small hub around a handler of the test's choice: real files, a real database, real threads."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

from hub.jobs.executor import LocalExecutor
from hub.jobs.handler import Handler, JobContext, Outcome
from hub.jobs.manager import JobManager
from hub.jobs.model import Job, Kind
from hub.jobs.store import JobStore
from hub.results import FileStore


def copy_upload(context: JobContext) -> Outcome:
    """The simplest handler: the result is the upload."""
    context.report(0.5, "Copying")
    path = context.publish(".bin", lambda path: path.write_bytes(context.input.read_bytes()))
    return Outcome(path, {"bytes": context.input.stat().st_size})


class Bench:
    """One hub's life on `folder`; another Bench on the same folder is the hub after a restart."""

    def __init__(self, folder: Path, handler: Handler, *, workers: int = 2, queue_limit: int = 100) -> None:
        """handler: of photos and of clips; workers: for each of the two."""
        self.folder = folder
        self.store = JobStore(f"sqlite:///{folder / 'data' / 'hub.sqlite3'}")
        self.files = FileStore(folder / "data", folder / "results", max_upload_bytes=1_000_000, min_free_bytes=0)
        executors = {kind: LocalExecutor(workers) for kind in Kind}
        handlers = dict.fromkeys(Kind, handler)
        self.manager = JobManager(self.store, self.files, handlers, executors, queue_limit=queue_limit)

    def submit(self, content: bytes = b"content", *, kind: Kind = Kind.IMAGE, **options: Any) -> Job:
        return self.manager.submit(kind, "denoise", {"a": 1}, "photo.jpg", io.BytesIO(content), **options)

    def results(self) -> list[Path]:
        """Every file in the results folder, hidden ones too."""
        return [path for path in (self.folder / "results").rglob("*") if path.is_file()]


class Gate:
    """A handler that stands still until it is let go, or is told to stop as a good handler is."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go = threading.Event()
        self.ran: list[str] = []

    def __call__(self, context: JobContext) -> Outcome:
        self.ran.append(context.job.id)
        (context.workdir / "scratch").write_bytes(b"scratch")
        context.report(0.42, "Halfway")
        self.begun.release()
        while not self.go.wait(0.01):
            context.check_cancelled()
        return copy_upload(context)
