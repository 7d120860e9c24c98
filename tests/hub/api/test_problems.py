from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.types import Receive, Scope, Send

from hub.api import problems
from hub.api.problems import hub_error_response, problem_response, status_of
from hub.errors import Busy, Conflict, HubError, InvalidInput, NotFound, TooLarge, UnsupportedMedia
from hub.logs import _TASK


@pytest.mark.parametrize("path", ["/api", "/api/nothing", "/api/process_image/more"])
def test_unknown_path(client: TestClient, path: str) -> None:
    answer = client.get(path)

    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": f"There is nothing at {path}; /docs lists every address.",
        "code": "not_found",
    }


def test_unknown_path_behind_a_proxy(client: TestClient) -> None:
    behind = TestClient(client.app, root_path="/restore")

    assert behind.get("/restore/api/nothing").json()["detail"] == (
        "There is nothing at /restore/api/nothing; /restore/docs lists every address."
    )


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/api/process_image", "POST"),
        ("PUT", "/api/process_image", "POST"),
        ("DELETE", "/api/image_status/x", "GET"),
        ("PUT", "/api/tasks/x", "DELETE, GET"),
        ("POST", "/api/tasks", "GET"),
        ("OPTIONS", "/api/tasks/x/events", "GET"),
        ("TRACE", "/api/clear_cache", "POST"),
        ("QUERY", "/static_results/a.png", "GET, HEAD"),
        ("GET", "/api/tasks/x/cancel", "POST"),
        ("POST", "/health", "GET"),
    ],
)
def test_wrong_method(client: TestClient, method: str, path: str, allow: str) -> None:
    answer = client.request(method, path)

    assert answer.status_code == 405
    assert answer.headers["Allow"] == allow
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "method_not_allowed"


def test_a_body_that_is_no_form(client: TestClient) -> None:
    answer = client.post(
        "/api/process_image", content=b"nonsense", headers={"Content-Type": "multipart/form-data; boundary=x"}
    )

    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_defect_is_logged_and_counted_and_not_shown(
    open_client: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As every answer it has the headers that all have, and those for pages of other sites; its log line has the task.

    The client here raises what gets past the application, which the server would log a second time.
    """
    task = "a1b2c3d4-e5f6-7890-a1b2-c3d4e5f67890"
    logged: list[str] = []
    monkeypatch.setattr(problems.log, "filters", [lambda _: logged.append(str(_TASK.get())) or True])

    def broken(*_: object) -> None:
        raise RuntimeError("a secret of the house")

    with open_client(cors_origins=["https://there.example"]) as opened:
        client = TestClient(opened.app)
        monkeypatch.setattr(opened.app.state.hub, "view", broken)
        answer = client.get(f"/api/image_status/{task}", headers={"Origin": "https://there.example"})
        counts = client.get("/metrics").text

    assert answer.status_code == 500
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert answer.headers["Access-Control-Allow-Origin"] == "https://there.example"
    assert answer.json()["code"] == "internal_error"
    assert "secret" not in answer.text
    assert caplog.text.count("RuntimeError: a secret of the house") == 1
    assert logged == [task]
    assert re.search(r'requests_total\{.*image_status.*status="500"\} 1', counts)


def test_a_defect_after_the_answer_has_begun_breaks_it_off() -> None:
    async def half(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("half")

    with pytest.raises(RuntimeError, match="half"):
        TestClient(problems.Defects(half)).get("/")


@pytest.mark.parametrize(
    ("kind", "status"),
    [(InvalidInput, 422), (UnsupportedMedia, 415), (TooLarge, 413), (NotFound, 404), (Conflict, 409), (HubError, 500)],
)
def test_status_of(kind: type[HubError], status: int) -> None:
    assert status_of(kind("some_code", "Words.")) == status


def test_busy_says_when_to_come_back() -> None:
    answer = hub_error_response(Busy("queue_full", "Full.", retry_after=7))

    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "7"


def test_data_never_replaces_the_standard_members() -> None:
    answer = problem_response(422, "code", "detail", data={"status": 200, "valid": ["a"]})

    assert b'"status":422' in answer.body
    assert b'"valid":["a"]' in answer.body


def test_what_no_encoding_can_hold_is_told_nevertheless() -> None:
    answer = problem_response(422, "code", "half of a pair: \ud800.", data={"valid": ["\udfff"]})

    problem = json.loads(answer.body)
    assert problem["detail"] == "half of a pair: ?."
    assert problem["valid"] == ["?"]
