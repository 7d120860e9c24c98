"""Repetition: of what, how often, after how long, and never so that a job is made twice."""

from __future__ import annotations

import io
import re
import time
from typing import Any

import pytest

from hub.client import (
    BusyError,
    ConflictError,
    HubClient,
    InvalidError,
    NotFoundError,
    Refused,
    ServerError,
    TooManyRequestsError,
    Unreachable,
)

STARTED = {"task_id": "a1", "message": "Image processing task started."}
BUSY = {"type": "about:blank", "title": "x", "status": 503, "code": "queue_full", "detail": "Full.", "waiting": 200}


def test_a_submission_is_repeated_with_one_key(connect: Any, scripted: Any, acts: Any) -> None:
    """The answers are lost, busy, limited, and a proxy's; the file goes whole each time."""
    scripted.script = [
        acts.lose(),
        acts.reply(503, BUSY, Retry_After="0"),
        acts.reply(429, BUSY, Retry_After="0"),
        acts.reply(502, b"<html>Bad Gateway</html>"),
        acts.reply(202, STARTED),
    ]
    task = connect(scripted.address).submit_image(io.BytesIO(b"pixels" * 50_000), strength=0.5, filename="a.png")
    assert task.id == "a1"
    assert len(scripted.seen) == 5
    assert len({seen.headers["Idempotency-Key"] for seen in scripted.seen}) == 1
    for seen in scripted.seen:
        assert seen.body.count(b"pixels") == 50_000
        assert re.search(rb'name="strength"\r\n\r\n0\.5\r\n', seen.body)
        assert re.search(rb'name="task_type"\r\n\r\ndenoise\r\n', seen.body)
        assert b'name="image_file"; filename="a.png"' in seen.body


def test_two_submissions_have_two_keys_and_your_own_is_kept(connect: Any, scripted: Any, acts: Any) -> None:
    scripted.script = [acts.reply(202, STARTED)] * 3
    hub = connect(scripted.address)
    hub.submit_image(b"x")
    hub.submit_image(b"x")
    hub.submit_video(b"x", idempotency_key="mine")
    keys = [seen.headers["Idempotency-Key"] for seen in scripted.seen]
    assert len(set(keys)) == 3
    assert keys[2] == "mine"


def test_retry_after_is_honoured(connect: Any, scripted: Any, acts: Any) -> None:
    scripted.script = [acts.reply(503, BUSY, Retry_After="1"), acts.reply(202, STARTED)]
    connect(scripted.address).submit_image(b"x")
    first, second = scripted.seen
    assert 1 <= second.time - first.time < 5


def test_who_would_wait_too_long_is_told_at_once(connect: Any, scripted: Any, acts: Any) -> None:
    scripted.script = [acts.reply(503, BUSY, Retry_After="60")]
    began = time.monotonic()
    with pytest.raises(BusyError) as caught:
        connect(scripted.address, patience=5).submit_image(b"x")
    assert time.monotonic() - began < 4
    assert (caught.value.status, caught.value.code, caught.value.detail) == (503, "queue_full", "Full.")
    assert caught.value.retry_after == 60
    assert caught.value.data == {"waiting": 200}
    assert str(caught.value) == "Full. (503 queue_full)"


def test_patience_ends(connect: Any, scripted: Any, acts: Any) -> None:
    scripted.script = [acts.reply(429, BUSY, Retry_After="0") for _ in range(1000)]
    with pytest.raises(TooManyRequestsError):
        connect(scripted.address, patience=1).controls()
    assert 2 < len(scripted.seen) < 1000


@pytest.mark.parametrize(
    ("status", "kind"), [(404, NotFoundError), (409, ConflictError), (422, InvalidError), (500, ServerError)]
)
def test_a_refusal_is_final(connect: Any, scripted: Any, acts: Any, status: int, kind: type[Exception]) -> None:
    scripted.script = [acts.reply(status, {"code": "some_code", "detail": "No.", "valid": ["denoise"]})]
    with pytest.raises(kind) as caught:
        connect(scripted.address).submit_image(b"x")
    assert len(scripted.seen) == 1
    assert caught.value.data == {"valid": ["denoise"]}  # type: ignore[attr-defined]


def test_an_answer_that_is_no_problem_document_is_told_too(connect: Any, scripted: Any, acts: Any) -> None:
    scripted.script = [acts.reply(403, b"Go away."), acts.reply(307, b"", Location="https://elsewhere/")]
    hub = connect(scripted.address)
    with pytest.raises(Exception, match=r"Go away\. \(403 http_403\)"):
        hub.controls()
    with pytest.raises(Exception, match="redirects to https://elsewhere/"):
        hub.controls()


def test_an_answer_that_is_not_the_hubs(connect: Any, scripted: Any, acts: Any) -> None:
    """A page where JSON should be is an error of this package too."""
    scripted.script = [acts.reply(200, b"<html>"), acts.reply(202, b"[]"), acts.reply(503, b"<html>")]
    hub = connect(scripted.address)
    for call in (hub.controls, lambda: hub.submit_image(b"x"), hub.ready):
        with pytest.raises(Refused, match=f"is {scripted.address}/ its address"):
            call()


def test_nobody_there(connect: Any, hurry: None) -> None:
    hub = connect("http://127.0.0.1:9", patience=0.2)
    with pytest.raises(Unreachable, match="no answer"):
        hub.health()
    with pytest.raises(ConnectionError):
        hub.ready()


def test_a_silent_server_is_given_up(connect: Any, scripted: Any) -> None:
    scripted.script = [lambda _: time.sleep(0.5)] * 5
    with pytest.raises(Unreachable, match="no answer"):
        connect(scripted.address, timeout=0.1, patience=0.3).health()
    assert len(scripted.seen) >= 2


def test_deleting_again_what_is_gone_already_has_worked(connect: Any, scripted: Any, acts: Any) -> None:
    gone = acts.reply(404, {"code": "task_not_found", "detail": "There is no task."})
    scripted.script = [acts.lose(), gone]
    hub = connect(scripted.address)
    hub.task("a1").delete()
    scripted.script = [gone]
    with pytest.raises(NotFoundError):
        hub.task("a1").delete()


def test_resuming_again_what_runs_already_has_worked(connect: Any, scripted: Any, acts: Any) -> None:
    conflict = acts.reply(409, {"code": "not_resumable", "detail": "It runs.", "task_status": "processing"})
    scripted.script = [acts.lose(), conflict, acts.reply(200, {"status": "processing", "progress": 3})]
    hub = connect(scripted.address)
    assert hub.task("a1").resume().progress == 3
    scripted.script = [conflict]
    with pytest.raises(ConflictError):
        hub.task("a1").resume()


def test_the_key_is_sent_and_never_shown(connect: Any, scripted: Any, acts: Any) -> None:
    scripted.script = [acts.reply(401, {"code": "unauthorized", "detail": "A key is needed."})]
    hub = connect(scripted.address, api_key="secret-key")
    with pytest.raises(Exception, match="A key is needed") as caught:
        hub.controls()
    assert scripted.seen[0].headers["X-API-Key"] == "secret-key"
    assert "secret-key" not in repr(hub) + repr(caught.value) + str(caught.value)


@pytest.mark.parametrize("address", ["127.0.0.1:8000", "ftp://host/", "http://"])
def test_an_address_without_a_scheme_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="must look like http://"):
        HubClient(address)


def test_an_address_may_have_a_path(connect: Any, scripted: Any, acts: Any) -> None:
    scripted.script = [acts.reply(200, {"status": "ok"})]
    connect(f"{scripted.address}/hub/").health()
    assert scripted.paths == ["GET /hub/health"]
