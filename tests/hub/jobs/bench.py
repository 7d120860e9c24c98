"""A small hub around a handler of the test's choice: real files, a real database, real threads."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

from hub.disk import PINNED
from hub.jobs.executor import LocalExecutor
from hub.jobs.handler import Handler, JobContext, Outcome
from hub.jobs.manager import JobManager
from hub.jobs.model import Job, Kind
from hub.jobs.store import JobStore
from hub.jobs.table import JOBS
from hub.leases import LeaseTerms
from hub.lifecycle import Lifecycle
from hub.results import FileStore

TERMS = LeaseTerms(
    abandoned=3600,
    heartbeat=420,
    downloaded={Kind.IMAGE: 600, Kind.VIDEO: 3000},
    failed=80_000,
    clean_up=None,
)


def copy_upload(context: JobContext) -> Outcome:
    """The simplest handler: the result is the upload."""
    context.report(0.5, "Copying")
    path = context.publish(".bin", lambda path: path.write_bytes(context.input.read_bytes()))
    return Outcome(path, {"bytes": context.input.stat().st_size})


class Bench:
    """One hub's life on `folder`; another Bench on the same folder is the hub after a restart."""

    def __init__(self, folder: Path, handler: Handler, *, workers: int = 2, **options: Any) -> None:
        """handler: of jobs of every kind; workers: for each kind; options: of the manager."""
        self.folder = folder
        self.store = JobStore(f"sqlite:///{folder / 'data' / 'hub.sqlite3'}")
        self.files = FileStore(folder / "data", folder / "results", max_upload_bytes=1_000_000, min_free_bytes=0)
        executors = {kind: LocalExecutor(workers) for kind in Kind}
        handlers = dict.fromkeys(Kind, handler)
        options.setdefault("queue_limit", 100)
        self.manager = JobManager(self.store, self.files, handlers, executors, **options)
        self.lifecycle = Lifecycle(self.store, self.files, self.manager, TERMS)

    def submit(self, content: bytes = b"content", *, kind: Kind = Kind.IMAGE, **options: Any) -> Job:
        stream = io.BytesIO(content) if kind.has_files else None
        return self.manager.submit(kind, "denoise", {"a": 1}, "photo.jpg", stream, **options)

    def done(self, content: bytes = b"content", **options: Any) -> Job:
        """A job that has ended."""
        return self.manager.wait(self.submit(content, **options).id, 10).job

    def pass_time(self, seconds: float) -> None:
        """Make everything that leases count from so much longer ago."""
        with self.store.begin() as connection:
            for column in (JOBS.c.finished_at, JOBS.c.heartbeat_at, JOBS.c.confirmed_at, JOBS.c.leased_at):
                connection.execute(JOBS.update().values({column: column - seconds}))
        self.lifecycle.heard_since -= seconds

    def results(self) -> list[Path]:
        """Every file in the results folder, hidden ones too, but not by the names that its readers have for it."""
        files = (path for path in (self.folder / "results").rglob("*") if path.is_file())
        return [path for path in files if not path.name.startswith(PINNED)]


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
