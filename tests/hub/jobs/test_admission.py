"""One job for one idempotency key, whatever happens."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hub.errors import Busy, HubError, InvalidInput
from hub.jobs.admission import Idempotency
from hub.jobs.handler import JobContext, Outcome
from hub.jobs.model import Job, Kind, Status
from hub.jobs.observer import Observer

from .bench import Bench, Gate, copy_upload

MakeBench = Callable[..., Bench]


def send(hub: Bench, content: bytes = b"content", key: str = "key", **options: Any) -> Job:
    return hub.submit(content, owner="me", idempotency=Idempotency(key, {"strength": 0.5}), **options)


def folders(hub: Bench) -> list[str]:
    """What lies below the uploads, things that are being deleted too."""
    return sorted(path.name for path in (hub.folder / "data" / "uploads").iterdir())


def test_the_same_request_is_the_same_job(bench: MakeBench) -> None:
    hub = bench()
    first = send(hub)
    assert send(hub).id == first.id
    hub.manager.wait(first.id, 10)
    again = send(hub)
    assert (again.id, again.status) == (first.id, Status.COMPLETED)
    assert folders(hub) == [first.id]
    other = send(hub, key="another")
    theirs = hub.submit(owner="you", idempotency=Idempotency("key", {"strength": 0.5}))
    assert len({first.id, other.id, theirs.id, hub.submit(owner="me").id, hub.submit(owner="me").id}) == 5


@pytest.mark.parametrize(
    "other",
    [
        {"content": b"another content"},
        {"idempotency": Idempotency("key", {"strength": 0.25})},
        {"idempotency": Idempotency("key", {})},
        {"kind": Kind.VIDEO},
    ],
)
def test_a_key_is_good_for_one_request(bench: MakeBench, other: dict[str, Any]) -> None:
    hub = bench()
    first = send(hub)
    with pytest.raises(InvalidInput) as raised:
        hub.submit(**{"content": b"content", "idempotency": Idempotency("key", {"strength": 0.5}), **other}, owner="me")
    assert raised.value.code == "idempotency_key_reused"
    assert raised.value.data == {"task_id": first.id}
    assert folders(hub) == [first.id]


def test_the_name_and_the_order_of_fields_do_not_matter(bench: MakeBench) -> None:
    hub = bench()

    def named(name: str, request: dict[str, Any]) -> str:
        stream = io.BytesIO(b"content")
        key = Idempotency("key", request)
        return hub.manager.submit(Kind.IMAGE, "denoise", {}, name, stream, owner="me", idempotency=key).id

    assert named("a.jpg", {"x": 1, "y": 2}) == named("b.jpg", {"y": 2, "x": 1})


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\t", "é"])
def test_a_key_that_is_none(key: str) -> None:
    with pytest.raises(InvalidInput, match="1 to 255"):
        Idempotency(key, {})


def test_repeating_needs_no_room(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    hub = bench(gate, workers=1, queue_limit=1)
    running = send(hub)
    assert gate.begun.acquire(timeout=5)
    waiting = send(hub, key="second")
    with pytest.raises(Busy):
        send(hub, key="third")

    def full() -> None:
        raise Busy("disk_full", "Full.")

    monkeypatch.setattr(hub.files, "check_space", full)
    assert send(hub).id == running.id
    assert send(hub, key="second").id == waiting.id
    hub.manager.cancel(waiting.id)
    assert send(hub, key="second").status is Status.CANCELLED
    monkeypatch.undo()
    gate.go.set()


def test_a_refused_request_leaves_its_key_free(bench: MakeBench) -> None:
    hub = bench()

    def refuse(path: Path) -> None:
        raise InvalidInput("damaged_image", "No photo.")

    with pytest.raises(InvalidInput):
        send(hub, check=refuse)
    with pytest.raises(InvalidInput, match="empty"):
        send(hub, b"")
    job = send(hub)
    hub.manager.wait(job.id, 10)
    hub.manager.delete(job.id)
    assert send(hub, b"something else").id != job.id


@pytest.mark.parametrize("same", [True, False])
def test_of_many_at_once_one_is_the_first(bench: MakeBench, same: bool) -> None:
    hub = bench()
    together = threading.Barrier(6)

    def post(number: int) -> str:
        content = b"content" if same else bytes([number + 1])
        try:
            # All have found the key unknown, and have copied their upload, before any is inserted.
            return send(hub, content, check=lambda path: together.wait(5)).id
        except HubError as error:
            return error.code

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(post, range(6)))
    jobs = hub.manager.list()
    assert len(jobs) == 1
    winner = jobs[0].job.id
    assert answers.count(winner) == (6 if same else 1)
    assert {*answers} <= {winner, "idempotency_key_reused"}
    hub.manager.wait(winner, 10)
    assert folders(hub) == [winner]


def test_a_first_that_is_deleted_meanwhile_makes_the_second_the_first(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = bench()
    look_up = hub.store.keyed
    first: list[Job] = []

    def gone(owner: str, key: str) -> Job | None:
        hub.manager.delete(first[0].id)
        monkeypatch.setattr(hub.store, "keyed", look_up)
        return look_up(owner, key)

    def another_comes_first(path: Path) -> None:
        first.append(send(hub))
        monkeypatch.setattr(hub.store, "keyed", gone)

    second = send(hub, check=another_comes_first)
    assert second.id != first[0].id
    assert [view.job.id for view in hub.manager.list()] == [second.id]
    hub.manager.wait(second.id, 10)
    assert folders(hub) == [second.id]


def install(context: JobContext) -> Outcome:
    context.report(0.5, "Downloading")
    return Outcome(None, {"installed": context.job.spec["a"]})


def test_an_installation_has_no_files(bench: MakeBench) -> None:
    hub = bench(install)
    key = Idempotency("key", {"model_names": ["denoise_b"]})
    job = hub.submit(kind=Kind.INSTALL, owner="me", idempotency=key)
    assert hub.submit(kind=Kind.INSTALL, owner="me", idempotency=key).id == job.id
    view = hub.manager.wait(job.id, 10)
    assert (view.job.status, view.job.result_path, view.job.result) == (Status.COMPLETED, None, {"installed": 1})
    assert hub.manager.view(job.id, Kind.INSTALL).progress == 100
    hub.manager.delete(job.id)
    assert folders(hub) == []
    assert hub.files.stored_ids() == set()


def test_an_upload_where_none_belongs_is_a_mistake_of_the_caller(bench: MakeBench) -> None:
    hub = bench(lambda context: Outcome(None, {"size": context.input.stat().st_size}))
    for kind, stream in ((Kind.INSTALL, io.BytesIO(b"x")), (Kind.IMAGE, None)):
        with pytest.raises(ValueError, match="upload"):
            hub.manager.submit(kind, "denoise", {}, "a", stream)
    assert hub.manager.wait(hub.submit(kind=Kind.INSTALL).id, 10).job.error_code == "upload_missing"
    assert hub.manager.wait(hub.submit().id, 10).job.error_code == "result_not_found"  # No photo without a result.


class Listener:
    """An observer that remembers, and fails where it is told to."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.heard: list[tuple[str, Any]] = []

    def began(self, job: Job, waited: float) -> None:
        self.heard.append((job.id, waited))
        if self.fails:
            raise RuntimeError("a defect of the observer")

    def ended(self, job: Job, status: Status, seconds: float) -> None:
        self.heard.append((job.id, status))
        assert seconds >= 0
        if self.fails:
            raise RuntimeError("a defect of the observer")


def test_an_observer_hears_of_every_run(bench: MakeBench) -> None:
    listener: Observer
    listener = told = Listener()
    gate = Gate()
    hub = bench(gate, workers=1, observer=listener)
    cancelled, done, back = hub.submit(), hub.submit(), hub.submit()
    assert gate.begun.acquire(timeout=5)
    hub.manager.cancel(cancelled.id)
    hub.manager.wait(cancelled.id, 10)
    assert gate.begun.acquire(timeout=5)
    gate.go.set()
    hub.manager.wait(done.id, 10)
    hub.manager.wait(back.id, 10)
    begun = [entry for entry in told.heard if isinstance(entry[1], float)]
    assert [job_id for job_id, _ in begun] == [cancelled.id, done.id, back.id]
    assert all(0 <= waited < 10 for _, waited in begun)
    ended = [entry for entry in told.heard if isinstance(entry[1], Status)]
    assert ended == [
        (cancelled.id, Status.CANCELLED),
        (done.id, Status.COMPLETED),
        (back.id, Status.COMPLETED),
    ]


def test_an_observer_that_fails_harms_no_run(bench: MakeBench, caplog: pytest.LogCaptureFixture) -> None:
    told = Listener(fails=True)
    hub = bench(copy_upload, observer=told)
    assert hub.manager.wait(hub.submit().id, 10).job.status is Status.COMPLETED
    assert len(told.heard) == 2
    assert "observer failed" in caplog.text
