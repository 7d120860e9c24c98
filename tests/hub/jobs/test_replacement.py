"""Another result for a completed job: all of it or nothing, wherever the process dies."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hub.errors import Busy, Conflict, NotFound
from hub.jobs.handler import Handler, JobContext, Outcome
from hub.jobs.replacement import NOTE

from .bench import Bench, Gate, copy_upload

MakeBench = Callable[..., Bench]


def writer(words: str) -> Handler:
    """A handler whose row, result and kept file all say `words`."""

    def write(context: JobContext) -> Outcome:
        path = context.publish(".bin", lambda path: path.write_text(words))
        context.keep("after.txt", lambda path: path.write_text(words))
        return Outcome(path, {"words": words})

    return write


def told(hub: Bench, job_id: str) -> tuple[Any, str, str]:
    """What the row, the result and the kept file say."""
    job = hub.store.get(job_id)
    assert job.result is not None
    result = hub.files.resolve(job.result_path or "")
    return job.result["words"], result.read_text(), (hub.files.job_dir(job_id) / "after.txt").read_text()


def everything(hub: Bench) -> set[str]:
    folders = (hub.folder / "results", hub.folder / "data" / "jobs")
    return {path.name for folder in folders for path in folder.rglob("*") if path.is_file()}


def test_row_and_files_change(bench: MakeBench) -> None:
    hub = bench(writer("hard"))
    job = hub.manager.wait(hub.submit().id, 10).job
    before = everything(hub)

    view = hub.manager.replace_result(job.id, writer("soft"))

    assert view.job == hub.store.get(job.id)
    assert view.progress == 100
    assert view.job.result_path == job.result_path
    assert told(hub, job.id) == ("soft", "soft", "soft")
    assert everything(hub) == before


def test_dying_at_any_moment_leaves_the_old_or_the_new(
    bench: MakeBench, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = bench(writer("hard"))
    job = hub.manager.wait(hub.submit().id, 10).job
    files = everything(hub)
    moments: list[Path] = []
    snapshots = tmp_path_factory.mktemp("moments")

    def watched(call: Callable[..., Any]) -> Callable[..., Any]:
        def snapshot_first(*args: Any, **options: Any) -> Any:
            moments.append(snapshots / str(len(moments)))
            shutil.copytree(hub.folder, moments[-1])
            return call(*args, **options)

        return snapshot_first

    with monkeypatch.context() as patch:
        for owner, name in ((Path, "replace"), (Path, "unlink"), (os, "fsync"), (hub.store, "update_result")):
            patch.setattr(owner, name, watched(getattr(owner, name)))
        hub.manager.replace_result(job.id, writer("soft"))

    ends = []
    for moment in moments:
        again = Bench(moment, copy_upload)
        again.manager.start()
        ends.append(told(again, job.id))
        assert everything(again) == files
        again.manager.stop()
        again.store.close()
    change = ends.index(("soft", "soft", "soft"))
    assert 0 < change < len(ends) - 4, "The steps before and after the decision were not all seen."
    assert set(ends[:change]) == {("hard", "hard", "hard")}
    assert set(ends[change:]) == {("soft", "soft", "soft")}


def test_a_failure_changes_nothing(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = bench(writer("hard"))
    job = hub.manager.wait(hub.submit().id, 10).job
    before = everything(hub)

    def fail(context: JobContext) -> Outcome:
        writer("soft")(context)
        raise RuntimeError("a defect")

    def away(*args: Any) -> None:
        raise Busy("database_unavailable", "Away.")

    with pytest.raises(RuntimeError, match="a defect"):
        hub.manager.replace_result(job.id, fail)
    monkeypatch.setattr(hub.store, "update_result", away)
    with pytest.raises(Busy):
        hub.manager.replace_result(job.id, writer("soft"))

    assert told(hub, job.id) == ("hard", "hard", "hard")
    assert everything(hub) == before
    assert NOTE not in before


def test_only_a_completed_job(bench: MakeBench) -> None:
    gate = Gate()
    hub = bench(gate)
    job = hub.submit()
    assert gate.begun.acquire(timeout=5)

    with pytest.raises(Conflict):
        hub.manager.replace_result(job.id, writer("soft"))
    hub.manager.delete(job.id)
    with pytest.raises(NotFound):
        hub.manager.replace_result(job.id, writer("soft"))
    assert everything(hub) == set()
