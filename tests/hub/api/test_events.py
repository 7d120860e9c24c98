from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from hub.api import events
from hub.errors import Busy

from .clips import clip
from .conftest import Served, eventually

OpenClient = Callable[..., AbstractContextManager[TestClient]]
Post = Callable[..., str]
Wait = Callable[..., dict[str, Any]]


def parse(lines: Iterator[str]) -> Iterator[dict[str, str]]:
    """The events of a stream as a browser would see them; a comment is an event of its own here."""
    event: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if line:
            event[name or "comment"] = value
        elif event:
            yield event
            event = {}


def events_of(client: TestClient, task_id: str, last: str | None = None) -> list[dict[str, str]]:
    """All that a stream tells to its end."""
    headers = {} if last is None else {"Last-Event-ID": last}
    answer = client.get(f"/api/tasks/{task_id}/events", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].partition(";")[0] == "text/event-stream"
    assert answer.headers["Cache-Control"] == "no-store"
    return [event for event in parse(iter(answer.text.split("\n"))) if "data" in event]


def test_a_photo_is_told_of_to_its_end(client: TestClient, post: Post) -> None:
    task_id = post()

    began = time.monotonic()
    told = events_of(client, task_id)
    seconds = time.monotonic() - began

    assert {event["event"] for event in told} == {"status"}
    states = [json.loads(event["data"]) for event in told]
    assert [state["status"] for state in states[:-1]] == sorted(
        (state["status"] for state in states[:-1]), key=["pending", "processing"].index
    )
    assert states[-1]["status"] == "completed"
    assert told[-1]["data"] == client.get(f"/api/image_status/{task_id}").text
    assert len({event["id"] for event in told}) == len(told)
    assert len(told) <= 2 + seconds / events.LOOK_SECONDS


def test_a_video_is_told_of_in_the_words_of_its_own_status(client: TestClient) -> None:
    files = {"video_file": ("a.mp4", clip(12))}
    task_id = client.post("/api/process_video", files=files).json()["task_id"]

    told = events_of(client, task_id)

    assert told[-1]["data"] == client.get(f"/api/video_status/{task_id}").text
    for event in told:
        state = json.loads(event["data"])
        assert state["status"] != "processing" or state["frames_done"] <= 12


def test_whoever_connects_again_is_told_only_what_is_new(client: TestClient, post: Post, wait: Wait) -> None:
    task_id = post()
    wait(client, task_id)

    (told,) = events_of(client, task_id)

    assert events_of(client, task_id, last="another") == [told]
    answer = client.get(f"/api/tasks/{task_id}/events", headers={"Last-Event-ID": told["id"]})
    assert answer.status_code == 204
    assert answer.content == b""


def test_ids_outlive_the_server(open_client: OpenClient, png: bytes) -> None:
    with open_client() as client:
        task_id = client.post("/api/process_image", files={"image_file": ("a.png", png)}).json()["task_id"]
        told = events_of(client, task_id)[-1]

    with open_client() as client:
        again = client.get(f"/api/tasks/{task_id}/events", headers={"Last-Event-ID": told["id"]})
        assert again.status_code == 204


def test_what_is_not_there_has_no_events(client: TestClient) -> None:
    answer = client.get("/api/tasks/a1b2c3d4-e5f6-7890-a1b2-c3d4e5f67890/events")

    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"


class Listener:
    """A client that reads a stream in a thread of its own."""

    def __init__(self, served: Served, task_id: str, last: str = "") -> None:
        self.told: list[dict[str, str]] = []
        self.ended = threading.Event()
        self._url = f"{served.address}/api/tasks/{task_id}/events"
        self._headers = {"Last-Event-ID": last}
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with httpx.stream("GET", self._url, headers=self._headers, timeout=60) as answer:
            for event in parse(answer.iter_lines()):
                self.told.append(event)
        self.ended.set()

    def states(self) -> list[dict[str, Any]]:
        return [json.loads(event["data"]) for event in self.told if "data" in event]


def test_each_new_place_in_the_queue_is_told(served: Served, busy: Callable[[], str]) -> None:
    first, second = busy(), busy()
    listener = Listener(served, second)
    eventually(lambda: [state["queue_position"] for state in listener.states()] == [2])

    served.hub.cancel(first)

    eventually(lambda: [state["queue_position"] for state in listener.states()] == [2, 1])
    served.hub.cancel(second)
    assert listener.ended.wait(10)
    assert listener.states()[-1] == {"status": "cancelled", "message": "Cancelled."}


def test_an_end_is_told_at_once(served: Served, busy: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LOOK_SECONDS", 60.0)
    task_id = busy()
    listener = Listener(served, task_id)
    eventually(listener.states)

    served.hub.cancel(task_id)

    assert listener.ended.wait(20)
    assert listener.states()[-1]["status"] == "cancelled"


def test_a_state_that_is_known_is_not_told_again(served: Served, busy: Callable[[], str]) -> None:
    task_id = busy()
    first = Listener(served, task_id)
    eventually(first.states)

    second = Listener(served, task_id, last=first.told[-1]["id"])

    eventually(lambda: second.told)
    time.sleep(2 * events.LOOK_SECONDS)
    assert second.states() == []
    served.hub.cancel(task_id)
    assert second.ended.wait(10)
    assert [state["status"] for state in second.states()] == ["cancelled"]


def test_a_silent_stream_is_kept_alive(
    served: Served, busy: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "KEEP_ALIVE_SECONDS", 0.2)

    listener = Listener(served, busy())

    eventually(lambda: sum("comment" in event for event in listener.told) >= 2)
    assert len(listener.states()) == 1


def test_a_database_that_is_away_is_waited_for(
    served: Served, busy: Callable[[], str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    task_id = busy()
    listener = Listener(served, task_id)
    eventually(listener.states)

    def away(_: object) -> None:
        raise Busy("database_unavailable", "The jobs database does not answer.")

    with monkeypatch.context() as patch:
        patch.setattr(served.hub.manager, "views", away)
        eventually(lambda: "does not answer" in caplog.text)
    served.hub.cancel(task_id)

    assert listener.ended.wait(10)
    assert listener.states()[-1]["status"] == "cancelled"


def test_a_deleted_task_ends_its_stream(served: Served, busy: Callable[[], str]) -> None:
    task_id = busy()
    listener = Listener(served, task_id)
    eventually(listener.states)

    assert httpx.delete(f"{served.address}/api/tasks/{task_id}").status_code == 204

    assert listener.ended.wait(10)


def test_streams_end_at_once_when_the_server_stops(
    open_server: Callable[..., AbstractContextManager[Served]], tmp_path: Path, png: bytes
) -> None:
    entered, leave = threading.Event(), threading.Event()
    with open_server(image_workers=1) as served, pytest.MonkeyPatch.context() as patch:
        decode = served.hub.decoder.decode

        def slow(path: Path) -> Any:
            entered.set()
            assert leave.wait(60)
            return decode(path)

        patch.setattr(served.hub.decoder, "decode", slow)
        files = {"image_file": ("a.png", png)}
        task_id = httpx.post(f"{served.address}/api/process_image", files=files).json()["task_id"]
        assert entered.wait(30)
        listener = Listener(served, task_id)
        eventually(listener.states)
        began = time.monotonic()

        served.hub.begin_stop()

        assert listener.ended.wait(10)
        assert time.monotonic() - began < 1
        assert listener.states()[-1]["status"] == "processing"
        leave.set()


STREAMS = 200


def test_many_streams_cost_one_look_and_no_thread(
    served: Served, busy: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [busy() for _ in range(4)]
    views = served.hub.manager.views
    looks: list[int] = []

    def counted(task_ids: set[str]) -> Any:
        looks.append(len(task_ids))
        return views(task_ids)

    @asynccontextmanager
    async def listening(client: httpx.AsyncClient, number: int) -> AsyncIterator[None]:
        url = f"{served.address}/api/tasks/{tasks[number % len(tasks)]}/events"
        async with client.stream("GET", url) as answer:
            lines = answer.aiter_lines()
            while not (await anext(lines)).startswith("data"):
                pass
            yield

    async def listen() -> list[float]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(limits=limits, timeout=30) as client:
            streams = [listening(client, number) for number in range(STREAMS)]
            await asyncio.gather(*(stream.__aenter__() for stream in streams))
            monkeypatch.setattr(served.hub.manager, "views", counted)
            before = threading.active_count()
            await asyncio.sleep(4 * events.LOOK_SECONDS)
            assert 1 <= len(looks) <= 5
            assert set(looks) <= {*range(len(tasks) + 1)}
            assert threading.active_count() < before + STREAMS / 4  # The hub starts some of its own now and then.
            waited = []
            for _ in range(20):
                began = time.monotonic()
                await client.get(f"{served.address}/api/image_status/{tasks[0]}")
                waited.append(time.monotonic() - began)
        return waited

    waited = asyncio.run(listen())

    assert sorted(waited)[len(waited) // 2] < 0.1
    # All clients have left: nobody looks any more.
    time.sleep(2 * events.LOOK_SECONDS)
    looks.clear()
    time.sleep(2 * events.LOOK_SECONDS)
    assert not looks
