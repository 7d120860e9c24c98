"""A hub to be killed: makes results, says that some are looked at and others downloaded, and cleans up all the time.

Usage: lease_server.py FOLDER. Prints `ready`, then what it promised: `watched ID` and `confirmed ID`. Both are kept for
an hour; all others go at once.
"""

from __future__ import annotations

import io
import os
import random
import sys
import threading
from contextlib import suppress
from pathlib import Path

from hub.errors import NotFound
from hub.jobs.executor import LocalExecutor
from hub.jobs.handler import JobContext, Outcome
from hub.jobs.manager import JobManager
from hub.jobs.model import Kind
from hub.jobs.store import JobStore
from hub.leases import LeaseTerms
from hub.lifecycle import Lifecycle
from hub.results import FileStore

TERMS = LeaseTerms(
    abandoned=0.1, heartbeat=3600, downloaded={Kind.IMAGE: 3600, Kind.VIDEO: 3600}, failed=3600, clean_up=0.005
)


def restore(context: JobContext) -> Outcome:
    content = context.input.read_bytes()
    context.keep("segment", lambda path: path.write_bytes(content))
    return Outcome(context.publish(".bin", lambda path: path.write_bytes(content)), {})


def use(manager: JobManager, lifecycle: Lifecycle) -> None:
    chance = random.Random()  # noqa: S311 - chance, not secrecy
    while True:
        kind = chance.choice([Kind.IMAGE, Kind.VIDEO])
        job_id = manager.submit(kind, "denoise", {}, "photo.jpg", io.BytesIO(os.urandom(1000))).id
        wish = chance.choice(["watched", "confirmed", "forgotten", "forgotten"])
        with suppress(NotFound):  # It is gone already.
            path = manager.wait(job_id, 60).job.result_path or ""
            if wish == "watched":
                lifecycle.heartbeat(job_id)
            if wish == "confirmed":
                lifecycle.confirm(path)
            if wish != "forgotten":
                print(f"{wish} {job_id}\n", end="", flush=True)


def main(folder: Path) -> None:
    store = JobStore(f"sqlite:///{folder / 'data' / 'hub.sqlite3'}")
    files = FileStore(folder / "data", folder / "results", max_upload_bytes=100_000, min_free_bytes=0)
    kinds = (Kind.IMAGE, Kind.VIDEO)
    executors = {kind: LocalExecutor(1) for kind in kinds}
    manager = JobManager(store, files, dict.fromkeys(kinds, restore), executors, queue_limit=15)
    lifecycle = Lifecycle(store, files, manager, TERMS)
    manager.start()
    lifecycle.start()
    print("ready", flush=True)
    for _ in range(2):
        threading.Thread(target=use, args=(manager, lifecycle), daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
