from __future__ import annotations

import json
import logging

import pytest
from fastapi.testclient import TestClient

from hub.api.problems import hub_error_response, problem_response, status_of
from hub.errors import Busy, Conflict, HubError, InvalidInput, NotFound, TooLarge, UnsupportedMedia


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


def test_a_defect_is_logged_and_not_shown(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise RuntimeError("a secret of the house")

    monkeypatch.setattr(client.app.state.hub, "controls", broken)  # type: ignore[attr-defined]
    with caplog.at_level(logging.ERROR):
        answer = client.get("/api/available_controls")

    assert answer.status_code == 500
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "internal_error"
    assert "secret" not in answer.text
    assert "a secret of the house" in caplog.text


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
