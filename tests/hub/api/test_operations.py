from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from starlette.types import Message

from hub.api.stopping import StopGate
from hub.stopping import Stopping


def counted(client: TestClient, **labels: str) -> float:
    """Requests counted so far with these labels."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
        if sample.name == "uformer_hub_http_requests_total" and labels.items() <= sample.labels.items()
    )


def test_health(client: TestClient) -> None:
    answer = client.get("/health")

    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"
    assert answer.json()["uptime_seconds"] >= 0


def test_health_answers_while_another_request_blocks(
    client: TestClient, png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, leave = threading.Event(), threading.Event()
    hub = client.app.state.hub  # type: ignore[attr-defined]
    probe = hub.decoder.probe

    def slow_probe(path: Any) -> Any:
        entered.set()
        assert leave.wait(30)
        return probe(path)

    monkeypatch.setattr(hub.decoder, "probe", slow_probe)
    answers: list[int] = []

    def post() -> None:
        files = {"image_file": ("slow.png", png)}
        answers.append(client.post("/api/process_image", files=files).status_code)

    thread = threading.Thread(target=post)
    thread.start()
    try:
        assert entered.wait(30)
        started = time.monotonic()
        for path in ("/health", "/ready", "/metrics", "/api/available_controls"):
            assert client.get(path).status_code == 200
        assert time.monotonic() - started < 5
        assert not answers
    finally:
        leave.set()
        thread.join(30)
    assert answers == [202]


def test_ready(client: TestClient) -> None:
    answer = client.get("/ready")

    assert answer.status_code == 200
    assert answer.json() == {
        "ready": True,
        "checks": {name: {"ok": True, "detail": ""} for name in ("models", "queue", "engine", "database", "disk")},
    }


def test_not_ready_while_the_disk_is_nearly_full(open_client: Callable[..., Any]) -> None:
    with open_client(min_free_mb=10**9) as client:
        answer = client.get("/ready")

        assert answer.status_code == 503
        assert answer.json()["ready"] is False
        assert not answer.json()["checks"]["disk"]["ok"]
        assert int(answer.headers["Retry-After"]) > 0
        assert client.get("/health").status_code == 200


def test_not_ready_once_the_engine_has_ended(client: TestClient) -> None:
    client.app.state.hub.engine.stop()

    answer = client.get("/ready")
    client.app.state.hub.engine.start()

    assert answer.status_code == 503
    assert [name for name, check in answer.json()["checks"].items() if not check["ok"]] == ["engine"]
    assert client.get("/ready").status_code == 200


def test_not_ready_and_taking_nothing_once_it_stops(open_client: Callable[..., Any], png: bytes) -> None:
    with open_client() as client:
        client.app.state.hub.begin_stop()

        answer = client.get("/ready")
        refused = client.post("/api/process_image", files={"image_file": ("a.png", png)})

        assert answer.status_code == 503
        assert "stopping" in answer.json()["checks"]["queue"]["detail"]
        assert refused.status_code == 503
        assert refused.json()["code"] == "not_accepting"
        assert int(refused.headers["Retry-After"]) > 0
        assert client.get("/api/available_controls").status_code == 200


def test_metrics_count_requests_by_template(client: TestClient) -> None:
    before = counted(client, route="/api/image_status/{task_id}", method="GET", status="404")

    for task_id in ("1b4e28ba-2fa1-41d2-883f-0016d3cca427", "nothing"):
        client.get(f"/api/image_status/{task_id}")
    client.get("/api/no-such-thing")

    assert counted(client, route="/api/image_status/{task_id}", method="GET", status="404") == before + 2
    assert counted(client, route="none", method="GET", status="404") >= 1
    answer = client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert "nothing" not in answer.text
    for name in ("jobs", "disk_free_bytes", "engine_running", "database_up", "live_clients"):
        assert f"\nuformer_hub_{name}" in answer.text


def test_metrics_follow_a_job(open_client: Callable[..., Any], png: bytes, wait: Callable[..., Any]) -> None:
    with open_client() as client:
        task_id = client.post("/api/process_image", files={"image_file": ("a.png", png)}).json()["task_id"]
        wait(client, task_id)

        text = client.get("/metrics").text

    for line in (
        'uformer_hub_jobs{kind="image",status="completed"} 1.0',
        'uformer_hub_runs_total{kind="image",status="completed"} 1.0',
        'uformer_hub_queue_wait_seconds_count{kind="image"} 1.0',
        "uformer_hub_models_loaded 1.0",
        "uformer_hub_model_loads_total 1.0",
    ):
        assert line in text
    assert "uformer_hub_tiles_total 0.0" not in text
    assert 'uformer_hub_model_memory_bytes{model="denoise_16"}' in text


def test_the_operations_are_documented(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]

    assert set(paths["/ready"]["get"]["responses"]) >= {"200", "503"}
    assert "text/plain" in paths["/metrics"]["get"]["responses"]["200"]["content"]
    assert paths["/health"]["get"]["responses"]["200"]


class Standing:
    """What StopGate needs to know of a hub."""

    def __init__(self) -> None:
        self.stopping = Stopping()


def scope_of(method: str, path: str) -> dict[str, Any]:
    return {"type": "http", "method": method, "path": path, "headers": [], "root_path": ""}


def test_a_stream_of_events_ends_whole_when_the_hub_stops() -> None:
    hub = Standing()
    sent: list[Message] = []

    async def stream(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass

    async def run() -> None:
        asyncio.get_running_loop().call_later(0.05, hub.stopping.begin)
        arrived = iter([{"type": "http.request", "body": b""}])

        async def receive() -> Message:
            for message in arrived:
                return message
            await asyncio.sleep(30)
            raise TimeoutError

        async def send(message: Message) -> None:
            sent.append(message)

        await asyncio.wait_for(StopGate(stream, hub)(scope_of("GET", "/events"), receive, send), 10)  # type: ignore[arg-type]

    asyncio.run(run())

    assert [message.get("more_body", False) for message in sent[1:]] == [True, False]


def test_downloads_go_on_while_the_hub_stops() -> None:
    hub = Standing()
    sent: list[Message] = []

    async def download(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"image/png")]})
        left = asyncio.create_task(receive())
        await asyncio.sleep(0.1)
        assert not left.done()
        left.cancel()
        await send({"type": "http.response.body", "body": b"all"})

    async def run() -> None:
        asyncio.get_running_loop().call_later(0.02, hub.stopping.begin)

        async def receive() -> Message:
            await asyncio.sleep(30)
            raise TimeoutError

        async def send(message: Message) -> None:
            sent.append(message)

        await StopGate(download, hub)(scope_of("GET", "/static_results/a"), receive, send)  # type: ignore[arg-type]

    asyncio.run(run())

    assert sent[-1]["body"] == b"all"
