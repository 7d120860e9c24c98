"""kill -9 at random moments: what was accepted is done, what was finished stays, nothing else remains."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

from hub.jobs.model import Job, Kind, Status
from hub.jobs.store import JobStore
from hub.results import FileStore

SERVER = Path(__file__).parent / "crash_server.py"
PIECES = 20
KILLS = 20


def launch(folder: Path, mode: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, str(SERVER), str(folder), mode]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def serve_and_kill(folder: Path, chance: random.Random, *, while_starting: bool) -> list[str]:
    """Run the server for a moment, SIGKILL it, and return the promises that it had made."""
    with launch(folder, "serve") as server:
        assert server.stdout is not None
        if while_starting:
            time.sleep(chance.uniform(0, 0.6))
        else:
            assert server.stdout.readline() == "ready\n"
            time.sleep(chance.uniform(0, 0.5))
        server.kill()
        lines = server.stdout.read().split("\n")
    return lines[:-1]  # The last one is empty, or was cut by the kill.


def finished_jobs(folder: Path) -> dict[str, Job]:
    """All finished jobs; on the way, check that every file that could be fetched is whole."""
    store = JobStore(f"sqlite:///{folder / 'data' / 'hub.sqlite3'}")
    files = FileStore(folder / "data", folder / "results", max_upload_bytes=1, min_free_bytes=0)
    jobs = {job.id: job for job in store.list(limit=100_000)}
    store.close()
    by_prefix = {job_id[:8]: job_id for job_id in jobs}
    for path in (folder / "results").glob("*/*/processed/[!.]*"):
        job_id = by_prefix[path.name.split("_")[1]]
        if jobs[job_id].status is not Status.CANCELLED:  # Else its upload may be half-way through deletion.
            assert path.read_bytes() == files.upload(job_id).read_bytes() * PIECES
    return {job.id: job for job in jobs.values() if job.status.finished}


def test_nothing_is_lost_over_twenty_kills(tmp_path: Path) -> None:
    chance = random.Random(20)  # noqa: S311 - chance, not secrecy
    promises: list[str] = []
    finished: dict[str, Job] = {}
    for kill in range(KILLS):
        promises += serve_and_kill(tmp_path, chance, while_starting=kill % 5 == 4)
        now = finished_jobs(tmp_path)
        assert {job_id: now.get(job_id) for job_id in finished} == finished
        finished = now
    with launch(tmp_path, "drain") as server:
        assert server.wait(90) == 0

    jobs = finished_jobs(tmp_path)
    assert {job_id: jobs.get(job_id) for job_id in finished} == finished
    accepted = {line.split()[1] for line in promises if line.startswith("accepted")}
    cancelled = {line.split()[1] for line in promises if line.startswith("cancelled")}
    assert len(accepted) > KILLS
    assert accepted <= jobs.keys()
    assert {job.status for job in jobs.values()} == {Status.COMPLETED, Status.CANCELLED}
    assert {jobs[job_id].status for job_id in cancelled} == {Status.CANCELLED}
    assert any(job.attempts > 1 for job in jobs.values())  # Some kill did hit a running job.

    clips = [job.result or {} for job in jobs.values() if job.kind is Kind.VIDEO and job.status is Status.COMPLETED]
    assert any(clip["found"] > 0 for clip in clips)  # Some clip went on from its finished segments.

    completed = [job for job in jobs.values() if job.status is Status.COMPLETED]
    files = FileStore(tmp_path / "data", tmp_path / "results", max_upload_bytes=1, min_free_bytes=0)
    results = {files.resolve(job.result_path or "") for job in completed}
    assert {path for path in (tmp_path / "results").rglob("*") if path.is_file()} == results
    assert len(results) == len(completed)
    kept = {job.id for job in completed}
    assert {path.name for path in (tmp_path / "data" / "uploads").iterdir()} == kept
    assert {path.name for path in (tmp_path / "data" / "jobs").iterdir()} == kept
