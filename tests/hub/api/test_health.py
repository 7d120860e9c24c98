from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from fastapi.testclient import TestClient


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
        assert client.get("/health").status_code == 200
        assert client.get("/api/available_controls").status_code == 200
        assert time.monotonic() - started < 5
        assert not answers
    finally:
        leave.set()
        thread.join(30)
    assert answers == [202]
