"""Many clients at once: everything that was accepted ends, polls stay quick, memory stays flat.

The long form, a minute and 200 clients: `scripts/test tests/test_load.py -s --long`.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import random
import statistics
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from numpy.typing import NDArray
from PIL import Image

POLL_SECONDS = 2.0
MEGABYTE = 1 << 20


@dataclass
class Tally:
    """What all clients saw. polls, posts: seconds until each was answered."""

    accepted: set[str] = field(default_factory=set)
    ended: dict[str, str] = field(default_factory=dict)
    asked_to_wait: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    polls: list[float] = field(default_factory=list)
    posts: list[float] = field(default_factory=list)

    def told(self, answer: httpx.Response, *expected: int) -> bool:
        """Whether the answer is one of `expected`; being asked to wait is none, anything else is a failure."""
        if answer.status_code in expected:
            return True
        if answer.status_code in (429, 503) and answer.headers.get("Retry-After", "").isdecimal():
            self.asked_to_wait[answer.status_code] += 1
        else:
            self.failures.append(f"{answer.request.method} {answer.request.url.path}: {answer.status_code}")
        return False


async def be_a_client(http: httpx.AsyncClient, photo: bytes, tally: Tally, until: float, rng: random.Random) -> None:
    """Post a photo, poll every two seconds, fetch the result, and begin again until the time is over."""
    await asyncio.sleep(rng.uniform(0, POLL_SECONDS))
    while time.monotonic() < until:
        began = time.perf_counter()
        answer = await http.post("/api/process_image", files={"image_file": ("photo.png", photo, "image/png")})
        tally.posts.append(time.perf_counter() - began)
        if not tally.told(answer, 202):
            await asyncio.sleep(float(answer.headers.get("Retry-After", POLL_SECONDS)) * rng.uniform(1, 1.5))
            continue
        task_id = answer.json()["task_id"]
        tally.accepted.add(task_id)
        await watch(http, task_id, tally)


async def watch(http: httpx.AsyncClient, task_id: str, tally: Tally) -> None:
    """Poll until the task has ended, however long that takes, and fetch its result."""
    while task_id not in tally.ended:
        await asyncio.sleep(POLL_SECONDS)
        began = time.perf_counter()
        answer = await http.get(f"/api/image_status/{task_id}")
        tally.polls.append(time.perf_counter() - began)
        if not tally.told(answer, 200):
            continue
        status: dict[str, Any] = answer.json()
        if status["status"] in ("completed", "failed", "cancelled"):
            tally.ended[task_id] = status["status"]
        if status["status"] == "completed":
            result = await http.get(status["result_path"])
            if tally.told(result, 200):
                with Image.open(io.BytesIO(result.content)) as image:
                    image.load()
            tally.told(await http.post("/api/confirm_download", json={"result_path": status["result_path"]}), 200)


async def be_clients(address: str, photo: bytes, clients: int, seconds: float) -> Tally:
    tally, until = Tally(), time.monotonic() + seconds
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(base_url=address, timeout=120, limits=limits) as http:
        rngs = [random.Random(number) for number in range(clients)]  # noqa: S311
        await asyncio.gather(*(be_a_client(http, photo, tally, until, rng) for rng in rngs))
    return tally


def run_clients(address: str, photo: bytes, clients: int, seconds: float) -> Tally:
    """In a process of its own."""
    return asyncio.run(be_clients(address, photo, clients, seconds))


@dataclass
class Looks:
    """What one more client saw. polls: seconds, by the status that was told. sizes: resident bytes of the server."""

    polls: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    sizes: list[int] = field(default_factory=list)

    @property
    def all_polls(self) -> list[float]:
        return sorted(seconds for polls in self.polls.values() for seconds in polls)


def look_on(address: str, pid: int, photo: bytes, load: Future[Tally]) -> Looks:
    """While the others are at it: post photos of one's own and poll them while they wait, run, and are finished.

    Measured here, by one more client: the many share one event loop, whose own waiting is no part of an answer.
    """
    looks, server, tasks = Looks(), psutil.Process(pid), deque[str](maxlen=2)
    with httpx.Client(base_url=address, timeout=120) as http:
        running = False
        while not load.done():
            if not running:
                answer = http.post("/api/process_image", files={"image_file": ("photo.png", photo, "image/png")})
                if answer.status_code == 202:
                    tasks.append(answer.json()["task_id"])
            for _ in range(5):
                for task_id in tasks:  # The newest one comes last.
                    began = time.perf_counter()
                    answer = http.get(f"/api/image_status/{task_id}")
                    looks.polls[answer.json()["status"]].append(time.perf_counter() - began)
                    assert answer.status_code == 200
                    running = answer.json()["status"] in ("pending", "processing")
                    time.sleep(0.05)
            looks.sizes.append(resident_bytes(server))
    return looks


def statuses(address: str) -> Counter[str]:
    """How all tasks stand that the server knows, by its own list."""
    found: Counter[str] = Counter()
    page: dict[str, Any] = {"next": None}
    with httpx.Client(base_url=address, timeout=120) as http:
        while "tasks" not in page or page["next"]:
            before = {"before": page["next"]} if page["next"] else {}
            page = http.get("/api/tasks", params={"limit": 100, **before}).raise_for_status().json()
            found.update(task["status"] for task in page["tasks"])
    return found


def resident_bytes(server: psutil.Process) -> int:
    size = 0
    for process in (server, *server.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            size += process.memory_info().rss
    return size


@pytest.mark.timeout(1200)
def test_many_clients_at_once(
    make_server: Callable[..., Any], noisy_photo: NDArray[np.uint8], pytestconfig: pytest.Config
) -> None:
    clients, seconds = pytestconfig.getoption("clients"), pytestconfig.getoption("seconds")
    file = io.BytesIO()
    Image.fromarray(noisy_photo).save(file, "png")
    photo = file.getvalue()
    server = make_server()
    server.start()
    # The first jobs load the model, which is no part of the load.
    warm = run_clients(server.address, photo, 1, 3)
    assert set(warm.ended.values()) == {"completed"}

    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as apart:
        load = apart.submit(run_clients, server.address, photo, clients, seconds)
        looks = look_on(server.address, server.process.pid, photo, load)
        tally = load.result()

    polls, sizes = looks.all_polls, looks.sizes
    late = polls[int(len(polls) * 0.99)]
    first, second = max(sizes[: len(sizes) // 2]), max(sizes[len(sizes) // 2 :])
    print(
        f"\n{clients} clients, {seconds:g} s: {len(tally.accepted)} accepted, {dict(Counter(tally.ended.values()))}, "
        f"asked to wait {dict(tally.asked_to_wait)}, failures {len(tally.failures)}; {len(polls)} polls, median "
        f"{statistics.median(polls) * 1e3:.1f} ms, 99th percentile {late * 1e3:.1f} ms, slowest {polls[-1] * 1e3:.1f} "
        f"ms; {len(tally.polls)} by the clients, median {statistics.median(tally.polls) * 1e3:.1f} ms in their own "
        f"event loop; posts, median {statistics.median(tally.posts) * 1e3:.0f} ms, slowest "
        f"{max(tally.posts) * 1e3:.0f} ms; memory at most {first / MEGABYTE:.0f} MiB in the first half, "
        f"{second / MEGABYTE:.0f} MiB in the second"
    )
    assert not tally.failures, tally.failures[:10]
    assert set(tally.ended) == tally.accepted
    assert set(tally.ended.values()) == {"completed"}
    assert len(tally.accepted) >= clients
    # What the clients remember is not all: their list holds each task that was ever taken on.
    deadline = time.monotonic() + 60
    while set(known := statuses(server.address)) != {"completed"}:
        assert time.monotonic() < deadline, known
        time.sleep(0.2)
    assert known["completed"] >= len(tally.accepted) + len(warm.accepted)
    assert min(len(looks.polls[status]) for status in ("pending", "processing", "completed")) >= 5, dict(looks.polls)
    assert late < pytestconfig.getoption("poll_bound")
    assert second < first * 1.05 + 16 * MEGABYTE
    server.stop()
    assert "Traceback" not in server.log
