"""Who is let in to the live socket, for how long, and how many."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketDenialResponse, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from hub.api import live

from .frames import ADDRESS, ask, error_of, picture, shown, url

KEY = "a-key-of-24-characters-x"

OpenClient = Callable[..., AbstractContextManager[TestClient]]


def test_pages_of_other_sites_may_not_connect(open_client: OpenClient) -> None:
    with open_client(cors_origins=["https://friend.example"]) as client:
        for origin in (
            "http://evil.example",
            "null",
            "http://testserver.evil.example",
            "http://[",
            "http://testserver:81",
        ):
            with (
                pytest.raises(WebSocketDenialResponse) as caught,
                client.websocket_connect(ADDRESS, headers={"Origin": origin}),
            ):
                pass
            assert caught.value.status_code == 403
            assert caught.value.json()["code"] == "foreign_page"
        for origin in ("http://testserver", "http://testserver:80", "https://TESTSERVER", "https://friend.example"):
            with client.websocket_connect(ADDRESS, headers={"Origin": origin}) as session:
                assert json.loads(ask(session, {"mode": "binary"}))["ready"]


def ends(session: WebSocketTestSession) -> int:
    """The code with which the server closes the socket."""
    with pytest.raises(WebSocketDisconnect) as caught:
        session.receive_text()
    return int(caught.value.code)


def test_a_key_is_asked_for(open_client: OpenClient, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_client(api_keys=[KEY]) as client:
        for first, code in (
            ({"mode": "binary"}, "key_required"),
            ({"image_b64": url(picture())}, "key_required"),
            (b"bytes", "key_required"),
            ("no JSON", "key_required"),
            ({"mode": "binary", "api_key": "another-key-of-mine-123"}, "wrong_key"),
        ):
            with client.websocket_connect(ADDRESS) as session:
                assert error_of(ask(session, first)) == code
                assert ends(session) == 4401
        with monkeypatch.context() as hurried:
            hurried.setattr(live, "KEY_SECONDS", 0.2)
            with client.websocket_connect(ADDRESS) as session:
                assert error_of(session.receive_text()) == "key_required"
                assert ends(session) == 4401
        with client.websocket_connect(ADDRESS, headers={"X-API-Key": "wrong-key-of-some-length"}) as session:
            assert error_of(session.receive_text()) == "wrong_key"
            assert ends(session) == 4401
        for headers in ({"X-API-Key": KEY}, {"Authorization": f"Bearer {KEY}"}):
            with client.websocket_connect(ADDRESS, headers=headers) as session:
                assert json.loads(ask(session, {"mode": "binary"}))["ready"]
        with client.websocket_connect(ADDRESS) as session:
            ready = ask(session, {"mode": "binary", "api_key": KEY})
            assert json.loads(ready)["ready"]
            assert KEY not in ready
        with client.websocket_connect(ADDRESS) as session:
            assert shown(ask(session, {"image_b64": url(picture()), "api_key": KEY})).shape == (40, 60, 3)
            assert shown(ask(session, {"image_b64": url(picture())})).shape == (40, 60, 3)


def test_connections_are_counted(open_client: OpenClient) -> None:
    with open_client(rate_limit="2/hour") as client:
        for _ in range(2):
            with client.websocket_connect(ADDRESS) as session:
                assert json.loads(ask(session, {"mode": "binary"}))["ready"]
        with client.websocket_connect(ADDRESS) as session:
            told = json.loads(session.receive_text())
            assert told["code"] == "too_many_requests"
            assert 0 < told["retry_after"] <= 3600
            assert ends(session) == 1013
