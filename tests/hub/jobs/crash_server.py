"""A hub to be killed: restores photos and clips slowly, accepts and cancels jobs all the time, tells what it promised.

Usage: crash_server.py FOLDER serve|drain. Prints `ready`, then `accepted ID` and `cancelled ID` lines.
"""

from __future__ import annotations

import io
import os
import random
import sys
import threading
import time
from pathlib import Path

from hub.errors import Busy
from hub.jobs.executor import LocalExecutor
from hub.jobs.handler import JobContext, Outcome
from hub.jobs.manager import JobManager
from hub.jobs.model import Kind, Status
from hub.jobs.store import JobStore
from hub.results import FileStore

PIECES = 20


class SlowStream(io.BytesIO):
    """An upload that comes in over a slow line."""

    def read(self, size: int | None = -1) -> bytes:
        time.sleep(0.002)
        return super().read(4096)


def restore(context: JobContext) -> Outcome:
    """Write the upload PIECES times over, piece by piece."""
    content = context.input.read_bytes()

    def write(path: Path) -> None:
        with path.open("wb") as file:
            for piece in range(PIECES):
                context.check_cancelled()
                file.write(content)
                file.flush()
                context.report((piece + 1) / PIECES)
                time.sleep(0.002)

    (context.workdir / "scratch").write_bytes(content)
    return Outcome(context.publish(".bin", write), {"bytes": len(content) * PIECES})


def restore_clip(context: JobContext) -> Outcome:
    """As `restore`, but every piece is a finished segment that the next run does not make again."""
    content = context.input.read_bytes()
    segments = [f"segments/{piece:02}.bin" for piece in range(PIECES)]
    finished = sum((context.workdir / name).is_file() for name in segments)
    for piece in range(finished, PIECES):
        context.check_cancelled()
        context.keep(segments[piece], lambda path: path.write_bytes(content))
        context.report((piece + 1) / PIECES)

    def join(path: Path) -> None:
        path.write_bytes(b"".join((context.workdir / name).read_bytes() for name in segments))

    return Outcome(context.publish(".bin", join), {"found": finished})


def feed(manager: JobManager) -> None:
    chance = random.Random()  # noqa: S311 - chance, not secrecy
    while True:
        content = os.urandom(chance.randint(1, 20_000))
        try:
            job = manager.submit(
                chance.choice([Kind.IMAGE, Kind.VIDEO]), "denoise", {}, "photo.jpg", SlowStream(content)
            )
        except Busy:
            time.sleep(0.05)
            continue
        print(f"accepted {job.id}\n", end="", flush=True)
        if chance.random() < 0.25:
            time.sleep(chance.uniform(0, 0.1))
            if manager.cancel(job.id).job.status is Status.CANCELLED:
                print(f"cancelled {job.id}\n", end="", flush=True)


def main(folder: Path, mode: str) -> None:
    store = JobStore(f"sqlite:///{folder / 'data' / 'hub.sqlite3'}")
    files = FileStore(folder / "data", folder / "results", max_upload_bytes=100_000, min_free_bytes=0)
    handlers = {Kind.IMAGE: restore, Kind.VIDEO: restore_clip}
    manager = JobManager(store, files, handlers, {kind: LocalExecutor(1) for kind in handlers}, queue_limit=15)
    manager.start()
    print("ready", flush=True)
    if mode == "drain":
        for job in store.unfinished():
            manager.wait(job.id, 60)
        manager.stop()
        return
    for _ in range(2):
        threading.Thread(target=feed, args=(manager,), daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
