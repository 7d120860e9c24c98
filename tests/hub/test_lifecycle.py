from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, unquote

import pytest

from hub.errors import HubError, NotFound
from hub.jobs.handler import JobContext, Outcome
from hub.jobs.lease_rows import LeaseRows
from hub.jobs.model import Job, Kind, Status
from hub.jobs.table import JOBS
from hub.lifecycle import Cleared

from .jobs.bench import TERMS, Bench, Gate, copy_upload

BOTH = (Kind.IMAGE, Kind.VIDEO)
MakeBench = Callable[..., Bench]
UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def hub(bench: MakeBench) -> Bench:
    return bench()


def there(hub: Bench, job: Job) -> bool:
    """Whether the job is known and its result can be fetched; both or neither."""
    try:
        hub.store.get(job.id)
    except NotFound:
        with pytest.raises(NotFound):
            hub.files.resolve(job.result_path or "")
        assert job.id not in hub.files.stored_ids()
        return False
    hub.files.resolve(job.result_path or "")
    return True


def test_a_download_is_confirmed_once(hub: Bench) -> None:
    stream = io.BytesIO(b"content")
    job_id = hub.manager.submit(Kind.IMAGE, "denoise", {}, "写真 1.jpg", stream).id
    path = hub.manager.wait(job_id, 10).job.result_path or ""
    assert path != unquote(path)
    assert hub.lifecycle.confirm(unquote(path))
    confirmed_at = hub.store.get(job_id).confirmed_at
    assert confirmed_at is not None
    assert time.time() - confirmed_at < 10
    for again in (path, unquote(path), quote(unquote(path), safe="")):
        assert not hub.lifecycle.confirm(again)
    assert hub.store.get(job_id).confirmed_at == confirmed_at


def test_what_is_no_result_cannot_be_confirmed(hub: Bench) -> None:
    path = hub.done().result_path or ""
    stray = hub.folder / "results" / "images" / "denoise" / "processed" / f"1_00000000_{'0' * 24}_enhanced_a.jpg"
    stray.write_bytes(b"no job's")
    for other in (
        "",
        "/",
        path.removesuffix(".bin") + ".png",
        path.replace("images", "videos"),
        path[1:],
        f"/static_results/images/denoise/processed/{stray.name}",
        "/static_results/../data/hub.sqlite3",
        "/static_results/\0",
        "%",
    ):
        with pytest.raises(NotFound) as raised:
            hub.lifecycle.confirm(other)
        assert raised.value.code == "result_not_found"


def test_heartbeats_are_for_results(bench: MakeBench) -> None:
    gate = Gate()
    hub = bench(gate, workers=1)
    running, waiting = hub.submit(), hub.submit()
    assert gate.begun.acquire(timeout=5)
    for job_id in (running.id, waiting.id, UNKNOWN, "", "x" * 5000):
        with pytest.raises(NotFound) as raised:
            hub.lifecycle.heartbeat(job_id)
        assert raised.value.code == "result_not_found"
    gate.go.set()
    hub.manager.wait(running.id, 10)
    hub.lifecycle.heartbeat(running.id)
    assert hub.store.get(running.id).heartbeat_at is not None


def test_each_goes_when_its_time_has_come(hub: Bench) -> None:
    forgotten, watched = hub.done(), hub.done()
    photo, clip = hub.done(), hub.done(kind=Kind.VIDEO)
    for job in (photo, clip):
        assert hub.lifecycle.confirm(job.result_path or "")
    steps: list[tuple[float, list[Job], Cleared]] = [
        (590, [], Cleared(0, 0, 4)),
        (10, [photo], Cleared(1, 0, 3)),
        (2400, [clip], Cleared(1, 0, 2)),
        (590, [], Cleared(0, 0, 2)),
        (10, [forgotten], Cleared(1, 0, 1)),
        (400, [], Cleared(0, 0, 1)),
        (10, [watched], Cleared(1, 0, 0)),
    ]
    left = [forgotten, watched, photo, clip]
    for seconds, gone, cleared in steps:
        hub.pass_time(seconds)
        if seconds == 590:
            hub.lifecycle.heartbeat(watched.id)
        assert hub.lifecycle.clear(BOTH) == cleared
        left = [job for job in left if job not in gone]
        assert [job for job in (forgotten, watched, photo, clip) if there(hub, job)] == left
    assert hub.results() == []
    assert hub.files.stored_ids() == set()


def test_only_the_kinds_that_were_asked_for(hub: Bench) -> None:
    photo, clip = hub.done(), hub.done(kind=Kind.VIDEO)
    hub.pass_time(3601)
    assert hub.lifecycle.clear([Kind.VIDEO]) == Cleared(1, 0, 0)
    assert there(hub, photo)
    assert not there(hub, clip)
    assert hub.lifecycle.clear([Kind.IMAGE]) == Cleared(1, 0, 0)


def test_what_waits_or_runs_or_is_read_is_in_progress(bench: MakeBench) -> None:
    gate = Gate()
    gate.go.set()
    hub = bench(gate, workers=1)
    read, shown = hub.done(), hub.done()
    gate.go.clear()
    hub.submit()
    hub.submit()
    hub.pass_time(1e6)
    scratch = hub.files.job_dir(shown.id) / "scratch"
    with hub.files.reading(read.result_path or "") as path, hub.files.reading(scratch):
        assert hub.lifecycle.clear(BOTH) == Cleared(0, 4, 0)
        assert path.read_bytes() == b"content"
        assert scratch.read_bytes() == b"scratch"
        assert there(hub, shown)
    assert hub.lifecycle.clear(BOTH) == Cleared(2, 2, 0)
    assert not scratch.exists()
    gate.go.set()


def test_a_deleted_result_is_read_to_its_end(hub: Bench) -> None:
    job = hub.done()
    path = hub.files.resolve(job.result_path or "")
    with hub.files.reading(path) as held:
        hub.manager.delete(job.id)
        assert not there_at_all(hub, job)
        assert held.read_bytes() == b"content"
        with pytest.raises(NotFound), hub.files.reading(path):
            pass
        assert hub.lifecycle.clear(BOTH) == Cleared(0, 0, 0)
        assert path.exists()
    assert not path.exists()
    assert hub.files.stored_ids() == set()


def there_at_all(hub: Bench, job: Job) -> bool:
    try:
        hub.files.resolve(job.result_path or "")
    except NotFound:
        return False
    return True


def test_jobs_without_a_result_go_later_and_uncounted(bench: MakeBench) -> None:
    def fail(context: JobContext) -> Outcome:
        if context.job.kind is Kind.INSTALL:
            return Outcome(None, {})
        context.keep("segment", lambda path: path.write_bytes(b"frames"))
        raise HubError("broken", "Broken.")

    hub = bench(fail)
    failed, installed = hub.done(kind=Kind.VIDEO), hub.done(kind=Kind.INSTALL)
    cancelled = hub.submit()
    hub.manager.cancel(cancelled.id)
    hub.manager.wait(cancelled.id, 10)
    assert hub.lifecycle.clear([*Kind]) == Cleared()
    hub.pass_time(TERMS.failed - 5)
    assert hub.lifecycle.clear([*Kind]) == Cleared()
    assert hub.manager.view(failed.id).resumable
    assert {view.job.id for view in hub.manager.list()} == {failed.id, installed.id, cancelled.id}
    hub.pass_time(10)
    assert hub.lifecycle.clear([*Kind]) == Cleared()
    assert hub.manager.list() == []
    assert hub.files.stored_ids() == set()


def test_orphans_go_and_other_files_stay(hub: Bench) -> None:
    job = hub.done()
    folder = hub.files.resolve(job.result_path or "").parent
    clips = hub.folder / "results" / "videos" / "deblur" / "processed"
    clips.mkdir(parents=True)
    orphans = [folder / f"17_0123abcd_{'ab' * 12}_enhanced_x.png", clips / f"17_0123abcd_{'cd' * 12}_enhanced_x.mp4"]
    others = [
        folder / "holiday.jpg",
        folder / "1700000000_0123abcd_short_enhanced_x.jpg",
        folder / f".partial-{'0' * 16}.png",
        clips.parent / orphans[0].name,
        hub.folder / "results" / "index.html",
    ]
    for path in (*orphans, *others):
        path.write_bytes(b"bytes")
    with hub.files.reading(orphans[1]):
        assert hub.lifecycle.clear(BOTH) == Cleared(1, 0, 1)
    assert hub.lifecycle.clear(BOTH) == Cleared(1, 0, 1)
    assert not any(path.exists() for path in orphans)
    assert all(path.exists() for path in others)
    assert there(hub, job)


def test_a_half_written_result_is_no_orphan(bench: MakeBench) -> None:
    writing, go = threading.Event(), threading.Event()

    def slowly(context: JobContext) -> Outcome:
        def write(path: Path) -> None:
            path.write_bytes(b"half")
            writing.set()
            assert go.wait(10)
            path.write_bytes(b"whole")

        return Outcome(context.publish(".bin", write), {})

    hub = bench(slowly)
    job = hub.submit()
    assert writing.wait(5)
    hub.pass_time(1e6)
    assert hub.lifecycle.clear(BOTH) == Cleared(0, 1, 0)
    go.set()
    done = hub.manager.wait(job.id, 10).job
    assert hub.files.resolve(done.result_path or "").read_bytes() == b"whole"


def test_a_replaced_result_is_a_new_one(hub: Bench) -> None:
    job = hub.done()
    hub.lifecycle.confirm(job.result_path or "")
    hub.pass_time(1e6)
    before = hub.store.get(job.id)
    hub.manager.replace_result(job.id, copy_upload)
    assert not hub.manager.collect(before)  # As seen by a clean-up that looked before.
    assert hub.lifecycle.clear(BOTH) == Cleared(0, 0, 1)
    assert hub.lifecycle.confirm(job.result_path or "")


@pytest.mark.parametrize("change", ["heartbeat", "confirm", "resume", "running"])
def test_a_job_that_changed_meanwhile_is_not_collected(bench: MakeBench, change: str) -> None:
    gate = Gate()
    failing = threading.Event()

    def handler(context: JobContext) -> Outcome:
        if failing.is_set():
            raise HubError("broken", "Broken.")
        return gate(context)

    hub = bench(handler)
    if change == "resume":
        failing.set()
        job = hub.done(kind=Kind.VIDEO)
        failing.clear()
        hub.manager.resume(job.id)
    elif change == "running":
        job = hub.submit()
        assert gate.begun.acquire(timeout=5)
    else:
        gate.go.set()
        job = hub.done()
        path = job.result_path or ""
        {"heartbeat": lambda: hub.lifecycle.heartbeat(job.id), "confirm": lambda: hub.lifecycle.confirm(path)}[change]()
    assert not hub.manager.collect(job)
    gate.go.set()
    done = hub.manager.wait(job.id, 10).job
    assert done.status is Status.COMPLETED
    assert there(hub, done)
    assert hub.manager.collect(done)
    assert not there(hub, done)
    assert not hub.manager.collect(done)


def test_usage_counts_what_is_kept(hub: Bench) -> None:
    hub.done(bytes(100_000))
    clip = hub.done(bytes(200_000), kind=Kind.VIDEO)
    hub.files.keep(clip.id, "segments/1", lambda path: path.write_bytes(bytes(50_000)))
    usage = hub.lifecycle.usage()
    assert (usage.image_cache_mb, usage.video_cache_mb) == (0.2, 0.45)  # Uploads, results, working folders.
    assert (usage.image_results, usage.video_results) == (1, 1)
    assert usage.free_mb > 0
    hub.pass_time(1e6)
    hub.lifecycle.clear([Kind.VIDEO])
    assert hub.lifecycle.usage().video_cache_mb == 0


def test_leases_outlive_the_process(bench: MakeBench) -> None:
    first = bench()
    watched, confirmed = first.done(), first.done(kind=Kind.VIDEO)
    first.lifecycle.heartbeat(watched.id)
    first.lifecycle.confirm(confirmed.result_path or "")
    rows = [first.store.get(job.id) for job in (watched, confirmed)]
    first.manager.stop()
    second = bench()
    assert [second.store.get(job.id) for job in (watched, confirmed)] == rows
    second.pass_time(2999)
    assert second.lifecycle.clear(BOTH) == Cleared(0, 0, 2)
    second.pass_time(2)
    assert second.lifecycle.clear(BOTH) == Cleared(1, 0, 1)


def test_what_was_looked_at_before_the_hub_was_down_is_kept_for_a_heartbeat(bench: MakeBench) -> None:
    first = bench()
    watched, forgotten = first.done(), first.done()
    first.lifecycle.heartbeat(watched.id)
    first.manager.stop()
    first.pass_time(1e6)
    second = bench()
    assert second.lifecycle.clear(BOTH) == Cleared(1, 0, 1)
    assert there(second, watched)
    assert not there(second, forgotten)
    second.pass_time(TERMS.heartbeat + 1)
    assert second.lifecycle.clear(BOTH) == Cleared(1, 0, 0)


def test_what_may_go_is_read_from_the_table_in_portions(hub: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    old = [hub.done().id for _ in range(5)]
    hub.pass_time(TERMS.abandoned + 1)
    new = hub.done()
    monkeypatch.setattr("hub.jobs.lease_rows.IDS_PER_QUERY", 2)
    portions = list(LeaseRows(hub.store).due(BOTH, TERMS, time.time()))
    assert [len(jobs) for jobs in portions] == [2, 2, 1]
    assert sorted(job.id for jobs in portions for job in jobs) == sorted(old)
    assert hub.lifecycle.clear(BOTH) == Cleared(5, 0, 1)
    assert there(hub, new)


def test_results_of_a_version_that_kept_everything_are_kept_for_a_while(hub: Bench) -> None:
    job = hub.done()
    hub.pass_time(1e6)
    with hub.store.begin() as connection:
        connection.execute(JOBS.update().values(leased_at=time.time()))
    assert hub.lifecycle.clear(BOTH) == Cleared(0, 0, 1)
    hub.pass_time(TERMS.abandoned + 1)
    assert hub.lifecycle.clear(BOTH) == Cleared(1, 0, 0)
    assert not there(hub, job)
