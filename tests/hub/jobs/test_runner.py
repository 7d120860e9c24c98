"""Whatever goes wrong around a run, its job ends or runs again."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.exc import DatabaseError

from hub.errors import HubError, NotFound
from hub.jobs.handler import JobContext, Outcome
from hub.jobs.model import Job, Kind, Status

from .bench import Bench, Gate, copy_upload

MakeBench = Callable[..., Bench]


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.jobs.patience.RETRY_SECONDS", 0.05)


def refuse(hub: Bench, name: str, when: str) -> None:
    """Let the database refuse to record what `when` says of the new row."""
    with hub.store.begin() as connection:
        connection.exec_driver_sql(
            f"CREATE TRIGGER {name} BEFORE UPDATE ON jobs WHEN {when} BEGIN SELECT RAISE(ABORT, 'refused'); END"
        )


def fail(context: JobContext) -> Outcome:
    context.keep("pixels", lambda path: path.write_bytes(b"kept"))
    copy_upload(context)
    raise HubError("broken", "Broken.")


def test_an_end_that_the_database_does_not_take_is_a_failure(bench: MakeBench) -> None:
    hub = bench()
    refuse(hub, "no_result", "NEW.status = 'completed'")
    job = hub.done()
    assert (job.status, job.error_code) == (Status.FAILED, "internal_error")
    assert hub.results() == []
    with hub.store.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER no_result")
    assert hub.done().status is Status.COMPLETED


def test_an_end_that_cannot_be_recorded_is_recorded_once_it_can(bench: MakeBench) -> None:
    hub = bench(workers=1)
    refuse(hub, "no_end", "NEW.status IN ('completed', 'failed')")
    first, second = hub.submit(), hub.submit()
    with pytest.raises(TimeoutError):
        hub.manager.wait(first.id, 0.3)
    with hub.store.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER no_end")
    # Dropped between the two attempts to record one end, the trigger leaves that job a failure.
    assert hub.manager.wait(first.id, 10).job.status in (Status.COMPLETED, Status.FAILED)
    assert hub.manager.wait(second.id, 10).job.status is Status.COMPLETED


def test_no_job_waits_for_ever_because_the_table_could_not_be_read(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = bench(workers=1)
    claim, failures = hub.store.claim_next, [RuntimeError("a defect"), DatabaseError("", None, Exception("malformed"))]

    def claim_next(kind: Kind) -> Job | None:
        if failures:
            raise failures.pop()
        return claim(kind)

    monkeypatch.setattr(hub.store, "claim_next", claim_next)
    assert hub.done().status is Status.COMPLETED
    assert failures == []


def test_files_that_cannot_be_deleted_keep_no_job_from_its_end(
    bench: MakeBench, caplog: pytest.LogCaptureFixture
) -> None:
    def leave_a_folder(context: JobContext) -> Outcome:
        path = hub.files.resolve(copy_upload(context).result_path or "")
        path.unlink()
        path.mkdir()  # Which is not deleted as a file is.
        raise HubError("broken", "Broken.")

    hub = bench(leave_a_folder)
    for kind in (Kind.IMAGE, Kind.VIDEO):
        job = hub.done(kind=kind)
        assert (job.status, job.error_code) == (Status.FAILED, "broken")
    assert caplog.text.count("could not be deleted") == 2


def test_a_failed_photo_keeps_nothing_and_a_failed_clip_what_it_goes_on_from(bench: MakeBench) -> None:
    hub = bench(fail)
    photo, clip = hub.done(), hub.done(kind=Kind.VIDEO)
    assert photo.status is clip.status is Status.FAILED
    assert hub.files.stored_ids() == {clip.id}
    assert hub.files.upload(clip.id).read_bytes() == b"content"
    assert (hub.files.job_dir(clip.id) / "pixels").read_bytes() == b"kept"
    assert hub.results() == []


def test_what_a_kill_left_of_a_failed_photo_goes_at_the_next_start(bench: MakeBench) -> None:
    hub = bench(fail)
    photo, clip = hub.done(), hub.done(kind=Kind.VIDEO)
    hub.files.save_upload(photo.id, "photo.jpg", io.BytesIO(b"content"))
    for job in (photo, clip):
        hub.files.publish(job, ".bin", lambda path: path.write_bytes(b"of no use"))
    hub.manager.stop()
    again = bench(fail)
    assert again.files.stored_ids() == {clip.id}
    assert again.results() == []


def test_a_call_that_finds_no_thread_is_made_by_the_next(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = bench()

    def no_more(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_more)
        first = hub.submit()
    second = hub.submit()
    assert [hub.manager.wait(job.id, 10).job.status for job in (first, second)] == [Status.COMPLETED] * 2


@pytest.mark.parametrize("what", ["delete", "collect", "resume"])
def test_a_replacement_holds_up_no_other_job(bench: MakeBench, what: str) -> None:
    hub = bench(lambda context: fail(context) if context.job.kind is Kind.VIDEO else copy_upload(context))
    replaced, other = hub.done(), hub.done(kind=Kind.VIDEO if what == "resume" else Kind.IMAGE)
    gate = Gate()
    thread = threading.Thread(target=hub.manager.replace_result, args=(replaced.id, gate))
    thread.start()
    assert gate.begun.acquire(timeout=5)
    begun = time.monotonic()
    if what == "resume":
        hub.manager.resume(other.id)
    else:
        hub.manager.delete(other.id) if what == "delete" else hub.manager.collect(other)
        with pytest.raises(NotFound):
            hub.store.get(other.id)
    assert time.monotonic() - begun < 2
    assert thread.is_alive()
    own = threading.Thread(target=hub.manager.delete, args=(replaced.id,))
    own.start()
    own.join(0.1)
    assert own.is_alive(), "A job is not deleted while another result of it is made."
    gate.go.set()
    for each in (thread, own):
        each.join(10)
    with pytest.raises(NotFound):
        hub.files.resolve(replaced.result_path or "")


@pytest.mark.parametrize("suffix", [".bin", ".png"])
def test_a_reader_gets_the_version_it_began_with(bench: MakeBench, suffix: str) -> None:
    def another(context: JobContext) -> Outcome:
        return Outcome(context.publish(suffix, lambda path: path.write_bytes(b"another, and longer")), {})

    hub = bench()
    job = hub.done()
    with hub.files.reading(job.result_path or "") as path:
        size = path.stat().st_size
        hub.manager.replace_result(job.id, another)
        assert path.read_bytes() == b"content"
        assert path.stat().st_size == size
    replaced = hub.files.resolve(hub.store.get(job.id).result_path or "")
    assert replaced.read_bytes() == b"another, and longer"
    assert _names(hub.folder) == {replaced.name}


def _names(folder: Path) -> set[str]:
    return {path.name for path in (folder / "results").rglob("*") if path.is_file()}


def test_what_readers_left_when_the_process_died_is_swept(bench: MakeBench) -> None:
    hub = bench()
    job = hub.done()
    with hub.files.reading(job.result_path or "") as held:
        (held.parent / held.name.replace(".pinned-", ".pinned-0")).write_bytes(b"content")
    hub.manager.stop()
    again = bench()
    assert _names(hub.folder) == {again.files.resolve(job.result_path or "").name}
