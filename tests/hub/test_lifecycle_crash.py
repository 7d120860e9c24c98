"""kill -9 in the middle of heartbeats, confirmations and clean-ups: what was promised is kept, and not for ever."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from hub.jobs.model import Job, Kind, Status
from hub.lifecycle import Cleared, Lifecycle

from .jobs.bench import Bench, copy_upload
from .lease_server import TERMS

SERVER = Path(__file__).parent / "lease_server.py"
BOTH = (Kind.IMAGE, Kind.VIDEO)
KILLS = 4


def serve_and_kill(folder: Path, promises: int, seconds: float) -> list[str]:
    """Run the server until it has made some promises, and a moment more; SIGKILL it; return all that it promised."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, str(SERVER), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        lines = [server.stdout.readline() for _ in range(promises)]
        time.sleep(seconds)
        server.kill()
        lines += server.stdout.readlines()
    return [line for line in lines if line.endswith("\n")]  # The last one may be cut by the kill.


def rows(hub: Bench) -> dict[str, Job]:
    return {job.id: job for job in hub.store.list(limit=100_000)}


def test_no_lease_is_lost(tmp_path: Path) -> None:
    chance = random.Random(9)  # noqa: S311 - chance, not secrecy
    kept: dict[str, Job] = {}
    for _ in range(KILLS):
        promises = [line.split() for line in serve_and_kill(tmp_path, 3, chance.uniform(0, 0.05))]
        hub = Bench(tmp_path, copy_upload)
        now = rows(hub)
        for promise, job_id in promises:
            job = now[job_id]
            assert (job.heartbeat_at if promise == "watched" else job.confirmed_at) is not None
            kept[job_id] = job
        for job_id, job in kept.items():
            assert now[job_id] == job
            assert hub.files.resolve(job.result_path or "").read_bytes() == hub.files.upload(job_id).read_bytes()
        hub.store.close()

    hub = Bench(tmp_path, copy_upload)
    hub.manager.start()
    for job_id, job in rows(hub).items():
        if not job.status.finished:
            hub.manager.wait(job_id, 30)
    lifecycle = hub.lifecycle = Lifecycle(hub.store, hub.files, hub.manager, replace(TERMS, clean_up=None))
    time.sleep(TERMS.abandoned)
    lifecycle.clear(BOTH)
    left = rows(hub)
    assert {*kept} <= {*left}
    assert all(job.status is Status.COMPLETED for job in left.values())
    assert all(job.heartbeat_at or job.confirmed_at for job in left.values())
    assert len(hub.results()) == len(left)  # What kills left behind half-deleted is gone.
    assert hub.files.stored_ids() == {*left}

    hub.pass_time(3500)
    assert lifecycle.clear(BOTH) == Cleared(0, 0, len(left))
    hub.pass_time(101)
    assert lifecycle.clear(BOTH) == Cleared(len(left), 0, 0)
    assert hub.results() == []
    hub.manager.stop()
    hub.store.close()
