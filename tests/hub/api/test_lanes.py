"""Quick calls never wait behind slow ones."""

from __future__ import annotations

import sqlite3
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import httpx
import pytest

from hub.api.lanes import Lane
from hub.errors import Busy
from hub.jobs.model import Status

from .conftest import Served

BLOCKED = 45


@pytest.fixture
def held(served: Served, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
    """While the test lasts nobody gets through the checks of photos, previews and deletions; tells how many wait."""
    leave = threading.Event()
    waiting: list[int] = []

    def hold(call: Callable[..., Any]) -> Callable[..., Any]:
        def held(*args: Any) -> Any:
            waiting.append(1)
            assert leave.wait(60)
            return call(*args)

        return held

    decoder, manager = served.hub.decoder, served.hub.manager
    monkeypatch.setattr(decoder, "probe", hold(decoder.probe))
    monkeypatch.setattr(decoder, "preview", hold(decoder.preview))
    monkeypatch.setattr(manager, "delete", hold(manager.delete))
    yield lambda: len(waiting)
    leave.set()


def test_status_polls_do_not_wait_behind_heartbeats(served: Served, png: bytes) -> None:
    """Another program holds the database's write lock: whoever writes waits, whoever reads does not."""
    locker = sqlite3.connect(served.hub.settings.data_dir / "hub.sqlite3", isolation_level=None, timeout=30)
    with ThreadPoolExecutor(24) as threads, httpx.Client(base_url=served.address, timeout=60) as client:
        task = client.post("/api/process_image", files={"image_file": ("a.png", png)}).json()["task_id"]
        assert served.hub.manager.wait(task, 60).job.status is Status.COMPLETED
        locker.execute("BEGIN IMMEDIATE")
        beats = [threads.submit(client.post, "/api/task_heartbeat", json={"task_id": task}) for _ in range(24)]
        time.sleep(0.3)
        seconds = []
        for _ in range(9):
            began = time.monotonic()
            assert client.get(f"/api/image_status/{task}").status_code == 200
            seconds.append(time.monotonic() - began)
        assert not any(beat.done() for beat in beats)
        locker.execute("ROLLBACK")
        assert {beat.result().status_code for beat in beats} == {200}
    locker.close()
    assert statistics.median(seconds) < 0.1


def test_status_polls_do_not_wait_behind_uploads(
    served: Served, busy: Callable[[], str], held: Callable[[], int], png: bytes
) -> None:
    known = served.hub.manager.list(limit=1)[0].job.id
    files = {"image_file": ("a.png", png)}
    threads = ThreadPoolExecutor(3 * BLOCKED)
    with httpx.Client(limits=httpx.Limits(max_connections=None), timeout=60) as client:
        posts = [
            *(threads.submit(client.post, f"{served.address}/api/process_image", files=files) for _ in range(BLOCKED)),
            *(threads.submit(client.post, f"{served.address}/api/generate_preview", files=files) for _ in range(12)),
            *(threads.submit(client.delete, f"{served.address}/api/tasks/{known}") for _ in range(12)),
        ]
        deadline = time.monotonic() + 30
        # All threads of their lanes are taken, and further calls wait for one.
        while held() < 40 + 8 + 8:
            assert time.monotonic() < deadline
            time.sleep(0.02)

        calls: dict[str, Callable[[], httpx.Response]] = {
            "status": lambda: client.get(f"{served.address}/api/image_status/{known}"),
            "task": lambda: client.get(f"{served.address}/api/tasks/{known}"),
            "list": lambda: client.get(f"{served.address}/api/tasks"),
            "controls": lambda: client.get(f"{served.address}/api/available_controls"),
            "usage": lambda: client.get(f"{served.address}/api/cache_status"),
            "health": lambda: client.get(f"{served.address}/health"),
        }
        for name, call in calls.items():
            seconds = []
            for _ in range(9):
                began = time.monotonic()
                assert call().status_code == 200, name
                seconds.append(time.monotonic() - began)
            assert statistics.median(seconds) < 0.1, name
        assert not any(post.done() for post in posts)
        for view in served.hub.manager.list(limit=1000):
            served.hub.cancel(view.job.id)
        threads.shutdown(wait=False)


def test_a_call_that_gets_no_turn_is_refused() -> None:
    refusal = Busy("test_busy", "Busy.")
    lane, free = Lane("impatient", 1, patience=0.05, refusal=lambda: refusal), threading.Event()

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(lane.run, free.wait)
            await anyio.sleep(0.05)
            with pytest.raises(Busy) as raised:
                await lane.run(free.is_set)
            assert raised.value is refusal
            free.set()
        assert await lane.run(free.is_set)

    anyio.run(main)


def test_a_lane_has_so_many_threads_and_no_more() -> None:
    lane = Lane("test", 2)
    at_once: list[int] = []
    inside: list[int] = []

    def call(number: int) -> int:
        inside.append(number)
        at_once.append(len(inside))
        time.sleep(0.02)
        inside.remove(number)
        return number

    async def main() -> list[int]:
        results: list[int] = []

        async def one(number: int) -> None:
            results.append(await lane.run(call, number))

        async with anyio.create_task_group() as group:
            for number in range(6):
                group.start_soon(one, number)
        return results

    assert sorted(anyio.run(main)) == list(range(6))
    assert max(at_once) == 2
