"""Keys, addresses and secrets, as the program that users start has them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

ALICE, GUESS = "alices-key-of-24-letters", "a-guess-of-alices-key-01"


def test_keys_hold_and_nothing_secret_is_logged(make_server: Callable[..., Any], noisy_png: Path) -> None:
    """Behind a proxy on the same machine, as the defaults have it: its X-Forwarded-For is believed."""
    server = make_server(api_keys=ALICE, rate_limit="40/minute", log_level="debug")
    server.start()
    key = {"X-API-Key": ALICE}

    def guess(**headers: str) -> int:
        answer = client.get("/api/available_controls", headers={"X-API-Key": GUESS, **headers})
        return answer.status_code

    with httpx.Client(base_url=server.address, timeout=60) as client:
        # The last address is the one that the proxy saw; what stands before it is the client's own invention.
        guesses = [guess(**{"X-Forwarded-For": f"198.51.100.{number}, 192.0.2.1"}) for number in range(41)]
        assert guesses == [401] * 40 + [429]
        assert guess(**{"X-Forwarded-For": "192.0.2.2"}) == 401

        files = {"image_file": ("a.png", noisy_png.read_bytes())}
        assert client.post("/api/process_image", files=files).status_code == 401
        task_id = client.post("/api/process_image", files=files, headers=key).json()["task_id"]
        bearer = {"Authorization": f"Bearer {ALICE}"}
        status: dict[str, Any] = {"status": "pending"}
        while status["status"] in ("pending", "processing"):
            time.sleep(2.5)
            status = client.get(f"/api/image_status/{task_id}", headers=bearer).json()
        assert status["status"] == "completed"
        result = status["result_path"]
        assert client.get(result).status_code == 200
        assert client.get(f"/static_results/nothing?api_key={ALICE}").status_code == 404
    server.stop()

    found = re.search(r"_([0-9a-f]{24})_", result)
    assert found
    log = server.log
    assert task_id in log
    for secret in (ALICE, GUESS, found[1]):
        assert secret not in log


def test_strangers_cannot_choose_their_address(make_server: Callable[..., Any]) -> None:
    """X-Forwarded-For from anybody but a proxy of the settings says nothing."""
    server = make_server(trusted_proxies="192.0.2.0/24", rate_limit="3/minute", page="0")
    server.start()

    answers = [
        httpx.get(f"{server.address}/api/available_controls", headers={"X-Forwarded-For": f"203.0.113.{number}"})
        for number in range(4)
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert int(answers[3].headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rate_limit": "often"}, "HUB_RATE_LIMIT"),
        ({"api_keys": "short-secret"}, "HUB_API_KEYS"),
        ({"database_url": "postgresql+psycopg://hub:hunter2-secret@127.0.0.1:9/hub"}, ""),
    ],
)
def test_what_is_wrong_is_said_without_secrets(
    make_server: Callable[..., Any], settings: dict[str, str], words: str
) -> None:
    server = make_server(**settings)

    with pytest.raises(AssertionError, match="ended by itself"):
        server.start()

    assert server.process.returncode in (1, 2)
    assert server.log.startswith("error: ")
    assert words in server.log
    assert "-secret" not in server.log
