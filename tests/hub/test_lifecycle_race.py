"""Clean-ups against running jobs, downloads and owners: nothing that is read or written is ever deleted."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from hub.errors import Busy, NotFound
from hub.jobs.handler import JobContext, Outcome
from hub.jobs.model import Kind, Status
from hub.leases import LeaseTerms
from hub.lifecycle import Lifecycle

from .jobs.bench import Bench

BOTH = (Kind.IMAGE, Kind.VIDEO)
SECONDS = 3.0
PIECES = 10
HASTY = LeaseTerms(
    abandoned=0.05, heartbeat=0.05, downloaded={Kind.IMAGE: 0.0, Kind.VIDEO: 0.02}, failed=0.02, clean_up=0.01
)


class Workers:
    """Threads that do something again and again until the time is up; what one of them raises ends the test."""

    def __init__(self) -> None:
        self.failures: list[BaseException] = []
        self.done = threading.Event()
        self._threads: list[threading.Thread] = []

    def add(self, act: Callable[[random.Random], object]) -> None:
        chance = random.Random(len(self._threads))  # noqa: S311 - chance, not secrecy

        def go_on() -> None:
            try:
                while not self.done.is_set():
                    act(chance)
            except BaseException as failure:  # noqa: BLE001 - told below
                self.failures.append(failure)
                self.done.set()

        self._threads.append(threading.Thread(target=go_on))

    def run(self, seconds: float) -> None:
        for thread in self._threads:
            thread.start()
        self.done.wait(seconds)
        self.done.set()
        for thread in self._threads:
            thread.join(30)
        if self.failures:
            raise self.failures[0]


def test_clean_ups_race_with_everything(tmp_path: Path) -> None:
    ended: list[str] = []
    accepted: list[str] = []
    deleted: set[str] = set()
    downloads: list[int] = []
    cleared: list[int] = []

    def restore(context: JobContext) -> Outcome:
        """Look at every file of one's own all the time; raise if one is missing."""
        content = context.input.read_bytes()
        context.keep("segments/1", lambda path: path.write_bytes(content))

        def write(path: Path) -> None:
            with path.open("wb") as file:
                for _ in range(PIECES):
                    context.check_cancelled()
                    file.write(content)
                    file.flush()
                    time.sleep(0.002)
                    assert path.exists()
                    assert context.input.read_bytes() == content
                    assert (context.workdir / "segments" / "1").read_bytes() == content

        result = context.publish(".bin", write)
        ended.append(context.job.id)
        return Outcome(result, {})

    hub = Bench(tmp_path, restore, workers=2)
    hub.manager.start()
    lifecycle = Lifecycle(hub.store, hub.files, hub.manager, HASTY)
    workers = Workers()

    def send(chance: random.Random) -> None:
        with suppress(Busy):
            content = chance.randbytes(chance.randint(1, 5000))
            accepted.append(hub.submit(content, kind=chance.choice(BOTH)).id)
        time.sleep(chance.uniform(0, 0.04))

    def download(chance: random.Random) -> None:
        views = hub.manager.list(status=Status.COMPLETED)
        if not views:
            time.sleep(0.01)
            return
        job = chance.choice(views).job
        with suppress(NotFound):
            if chance.random() < 0.5:
                lifecycle.heartbeat(job.id)
            result = hub.files.resolve(job.result_path or "")
            part = hub.files.job_dir(job.id) / "segments" / "1"
            # What the reader is given is a name of its own: only those of the job tell what was deleted.
            with hub.files.reading(chance.choice([job.result_path or "", part])) as path:
                size = path.stat().st_size
                for _ in range(PIECES):
                    assert path.stat().st_size == size
                    assert result.exists()
                    assert part.exists()
                    time.sleep(0.003)
                downloads.append(size)
            lifecycle.confirm(job.result_path or "")

    def delete(chance: random.Random) -> None:
        for view in hub.manager.list(limit=1):
            if chance.random() < 0.3:
                deleted.add(view.job.id)
                with suppress(NotFound):
                    hub.manager.delete(view.job.id)
        time.sleep(0.05)

    def clear(chance: random.Random) -> None:
        cleared.append(lifecycle.clear(chance.choice([BOTH, [Kind.IMAGE], [*Kind]])).cleared_count)
        lifecycle.usage()
        time.sleep(0.005)

    for act in (send, send, download, download, download, delete, clear):
        workers.add(act)
    lifecycle.start()
    try:
        workers.run(SECONDS)
        for job_id in {*accepted} - deleted:
            with suppress(NotFound):
                assert hub.manager.wait(job_id, 30).job.status is Status.COMPLETED
        assert {*accepted} - deleted <= {*ended}
        assert len(downloads) > 5
        assert sum(cleared) > 5
    finally:
        lifecycle.stop()
        hub.manager.stop(5)
    time.sleep(0.1)
    assert Lifecycle(hub.store, hub.files, hub.manager, HASTY).clear(BOTH).skipped_in_progress_count == 0
    assert hub.manager.list(limit=1000) == []
    assert hub.results() == []
    assert hub.files.stored_ids() == set()
    hub.store.close()
