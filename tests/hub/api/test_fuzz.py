"""The running server's OpenAPI document, fuzzed by schemathesis: every check, and no answer that is not documented.

The short form sends some hundred requests. The long form, of some thousands, is
`scripts/test tests/hub/api/test_fuzz.py --long`: a hundred examples of every call, other ones in every run. What it
finds comes with the curl command that shows it again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

HERE = Path(__file__).parent
KEY = "a-key-that-only-this-test-knows"
OPERATOR = "and-another-for-its-operator"

SHORT = ["--generation-deterministic", "--phases", "examples,coverage"]

pytestmark = pytest.mark.timeout(3600)


@pytest.fixture
def fuzz(
    make_server: Callable[..., Any],
    make_clip: Callable[..., Path],
    noisy_png: Path,
    tmp_path: Path,
    pytestconfig: pytest.Config,
) -> Callable[..., dict[str, Any]]:
    """Starts a server with the given settings, fuzzes it, and returns schemathesis' report."""
    examples: int = pytestconfig.getoption("--fuzz")

    def run(*arguments: str, key: str | None = None, **settings: str) -> dict[str, Any]:
        # There is no such port: what would be installed fails at once.
        server = make_server(fetch_urls='["http://127.0.0.1:99999/"]', page="0", cpu_backend="torch", **settings)
        server.start()
        headers = {"X-API-Key": key} if key else {}
        with httpx.Client(base_url=server.address, headers=headers, timeout=60) as client:
            known = tmp_path / "known.json"
            known.write_text(json.dumps(_known(client, noisy_png, make_clip)), encoding="utf-8")
            report = tmp_path / "report.json"
            command = [
                *(sys.executable, "-m", "schemathesis.cli", "--no-color", "--config-file", HERE / "schemathesis.toml"),
                *("run", f"{server.address}/openapi.json", "--continue-on-failure"),
                *("--report-json-path", report, "--report-dir", tmp_path),
                *("--max-examples", str(examples or 3)),
                *(["--generation-database", "none"] if examples else SHORT),
                *(["--header", f"X-API-Key: {key}"] if key else []),
                *arguments,
            ]
            environment = {**os.environ, "PYTHONPATH": str(HERE), "FUZZ_KNOWN": str(known), "NO_PROXY": "127.0.0.1"}
            done = subprocess.run(
                list(map(str, command)), cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{_alarms(server.log)}"
            _check_aftermath(client)
        assert "Traceback" not in server.log, _alarms(server.log)
        told: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
        return told

    return run


def _alarms(log: str) -> str:
    """What the server's log holds besides the usual."""
    return "\n".join(line for line in log.splitlines() if " INFO " not in line)


def _known(client: httpx.Client, photo: Path, make_clip: Callable[..., Path]) -> dict[str, Any]:
    """Photos and clips for uploads, and the names of what the server has."""
    small = Image.open(photo).resize((64, 48))
    photos = [photo.with_name(f"small{suffix}") for suffix in (".png", ".jpg", ".webp", ".tiff")]
    for path in photos:
        small.save(path)
    clip = make_clip("small.mp4", times=range(0, 8000, 1000), size=(64, 48), sound=True)  # Longer than 7.5 seconds.
    with photos[0].open("rb") as file:
        started = client.post("/api/process_image", files={"image_file": file})
    task_id = started.raise_for_status().json()["task_id"]
    deadline = time.monotonic() + 120
    while (status := client.get(f"/api/image_status/{task_id}").json())["status"] in ("pending", "processing"):
        assert time.monotonic() < deadline, status
        time.sleep(0.2)
    return {
        "photos": list(map(str, photos)),
        "clips": [str(clip)],
        "models": ["denoise_16"],
        "task_types": ["denoise"],
        "tasks": [task_id],
        "results": [status["result_path"]],
    }


def _check_aftermath(client: httpx.Client) -> None:
    """The server is well, and none of the tasks that it took on made it stumble."""
    assert client.get("/health").json()["status"] == "ok"
    assert client.get("/ready").status_code == 200
    for task in client.get("/api/tasks", params={"limit": 100}).json()["tasks"]:
        assert task.get("code") != "internal_error", task


def test_every_answer_is_as_documented(fuzz: Callable[..., dict[str, Any]], pytestconfig: pytest.Config) -> None:
    report = fuzz()

    assert report["complete"]
    assert report["operations"]["tested"] == report["operations"]["total"] > 20
    assert report["test_cases"]["generated"] >= (2000 if pytestconfig.getoption("--fuzz") >= 100 else 400)


def test_every_answer_is_as_documented_where_keys_are_asked_for(fuzz: Callable[..., dict[str, Any]]) -> None:
    report = fuzz("--phases", "fuzzing", key=OPERATOR, api_keys=KEY, operator_keys=OPERATOR)

    assert report["complete"]
    assert report["test_cases"]["generated"] > 100
