from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

import app
from hub.settings import Settings

CHECKOUT = Path(app.__file__).parent


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, ("127.0.0.1", 8000)),
        ({"HUB_HOST": "::1", "HUB_PORT": "81"}, ("::1", 81)),
        ({"GRADIO_SERVER_NAME": "0.0.0.0", "GRADIO_SERVER_PORT": "7860"}, ("0.0.0.0", 7860)),  # noqa: S104
        ({"HUB_PORT": "81", "GRADIO_SERVER_NAME": "::1", "GRADIO_SERVER_PORT": "7860"}, ("::1", 81)),
        ({"PORT": "8080"}, ("127.0.0.1", 8080)),
        ({"PORT": "8080", "GRADIO_SERVER_PORT": "7860"}, ("127.0.0.1", 7860)),
        ({"PORT": "8080", "HUB_PORT": "81", "HUB_HOST": "::"}, ("::", 81)),
        ({"SPACE_ID": "me/restore"}, ("0.0.0.0", 7860)),  # noqa: S104
        # What a Space of the Gradio kind sets.
        ({"SPACE_ID": "me/restore", "SYSTEM": "spaces", "GRADIO_SERVER_NAME": "0.0.0.0"}, ("0.0.0.0", 7860)),  # noqa: S104
        ({"SPACE_ID": "me/restore", "PORT": "0"}, ("0.0.0.0", 0)),  # noqa: S104
        ({"SPACE_ID": "me/restore", "HUB_HOST": "::1", "HUB_PORT": "81"}, ("::1", 81)),
        ({"SPACE_ID": "", "PORT": "", "GRADIO_SERVER_PORT": ""}, ("127.0.0.1", 8000)),
    ],
)
def test_address(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: tuple[str, int]) -> None:
    _set_platform(monkeypatch, environment)

    assert app.address(Settings()) == expected


def test_a_space_keeps_its_data_in_its_storage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    storage = tmp_path / "storage"
    monkeypatch.setattr(app, "SPACE_STORAGE", storage)
    default = Settings().data_dir

    _set_platform(monkeypatch, {"SPACE_ID": "me/restore"})
    assert app.settings_here().data_dir == default  # It has none.
    storage.mkdir()
    settings = app.settings_here()
    assert settings.data_dir == storage
    assert settings.resolved_results_dir.parent == storage

    monkeypatch.setenv("HUB_DATA_DIR", str(tmp_path / "elsewhere"))
    assert app.settings_here().data_dir == tmp_path / "elsewhere"

    monkeypatch.delenv("HUB_DATA_DIR")
    monkeypatch.delenv("SPACE_ID")
    assert app.settings_here().data_dir == default


def _set_platform(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    """Let the environment say this of the place where the hub runs, and nothing else."""
    for name in ("GRADIO_SERVER_NAME", "GRADIO_SERVER_PORT", "PORT", "SPACE_ID", "SYSTEM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def test_temporary_files_stay_in_the_data_directory(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", os.environ.get("TMPDIR", "/tmp"))  # noqa: S108

    app.keep_temporary_files_in(settings)

    assert Path(tempfile.gettempdir()) == settings.data_dir.resolve() / "tmp"
    with tempfile.NamedTemporaryFile() as file:
        assert Path(file.name).is_relative_to(settings.data_dir.resolve())


@pytest.mark.parametrize(
    ("environment", "status", "words"),
    [
        ({"HUB_TILE": "200"}, 2, "HUB_TILE must be a multiple of 128, not 200."),
        ({"HUB_PORT": "http"}, 2, "HUB_PORT: "),
        ({"GRADIO_SERVER_PORT": "abc"}, 2, "GRADIO_SERVER_PORT must be a number from 0 to 65535, not 'abc'."),
        ({"GRADIO_SERVER_PORT": "70000"}, 2, "GRADIO_SERVER_PORT must be a number from 0 to 65535, not '70000'."),
        ({"PORT": "tcp://10.0.0.7:80"}, 2, "PORT must be a number from 0 to 65535, not 'tcp://10.0.0.7:80'."),
        ({"HUB_DATA_DIR": "{tmp}/file/data"}, 1, "/file/data/tmp: it is not a folder, or not inside one"),
        ({"HUB_DATA_DIR": "/proc/hub"}, 1, "The hub cannot use /proc/hub: "),
        ({"HUB_RESULTS_DIR": "{tmp}/file"}, 1, "/file: it is not a folder"),
        ({"HUB_DATABASE_URL": "hub.sqlite3"}, 1, "not one that SQLAlchemy understands"),
        ({"HUB_DATABASE_URL": "sqlite://"}, 1, "it must be a file, such as sqlite:///"),
        ({"HUB_DATABASE_URL": "oddsql://me:geheim@nowhere/hub"}, 1, "oddsql://me:***@nowhere/hub cannot be used: "),
        ({"HUB_DATABASE_URL": "sqlite:///{tmp}/file"}, 1, "cannot be used: file is not a database"),
        ({"HUB_WEIGHTS_DIR": "{tmp}/weights"}, 1, "manifest.json: "),
        ({"HUB_WEIGHTS_DIR": "{tmp}/none", "HUB_AUTO_FETCH": "0"}, 1, "No model can be used; none is installed. Put "),
        ({"HUB_DEVICE": "cuda:99"}, 2, "HUB_DEVICE: There is no device 'cuda:99' here; there are cpu"),
        ({"HUB_RESULTS_DIR": "{tmp}/data/tmp"}, 2, "HUB_RESULTS_DIR must not be "),
        ({"HUB_HOST": "203.0.113.1"}, 2, "Nobody can listen on '203.0.113.1', port 8000: "),
        ({"HUB_PORT": "{taken}"}, 1, "already. Stop it, or set HUB_PORT to another port."),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_keeps_it_from_starting_is_told_in_one_line(
    tmp_path: Path, environment: dict[str, str], status: int, words: str
) -> None:
    (tmp_path / "file").write_bytes(b"No folder and no database. " * 100)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "manifest.json").write_text('{"models": [{"name": 7}]}')
    platform = ("GRADIO_", "PORT", "SPACE_ID")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(platform)}

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        asked = {k: v.replace("{tmp}", str(tmp_path)).replace("{taken}", port) for k, v in environment.items()}
        finished = subprocess.run(
            [sys.executable, "app.py"],
            cwd=CHECKOUT,
            env={**inherited, "HUB_DATA_DIR": str(tmp_path / "data"), **asked},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    assert finished.returncode == status, finished.stderr
    assert words in finished.stderr
    assert finished.stderr.startswith("error: ")
    assert finished.stderr.count("\n") == 1, finished.stderr
    assert "geheim" not in finished.stderr


def test_importing_it_stays_cheap() -> None:
    """What is wrong with the settings shows at once."""
    check = "import app, sys; sys.exit(any(name in sys.modules for name in ('torch', 'gradio', 'fastapi', 'cv2')))"

    assert subprocess.run([sys.executable, "-c", check], cwd=CHECKOUT, timeout=60, check=False).returncode == 0


def test_serving_does_not_wait_for_pytorch() -> None:
    check = "import hub.api.app, hub.ui.mount, sys; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", check], cwd=CHECKOUT, timeout=120, check=False).returncode == 0


def test_the_whole_program(make_server: Callable[..., Any], noisy_png: Path) -> None:
    """Page, API and documentation on one address; a photo restored; a clean stop with a page open."""
    server = make_server(max_upload_mb="2")
    server.start()
    with httpx.Client(base_url=server.address, timeout=30) as client:
        page = client.get("/")
        assert page.status_code == 200
        assert "text/html" in page.headers["Content-Type"]
        for path in ("/docs", "/redoc", "/openapi.json", "/api/available_controls", "/ready", "/metrics"):
            assert client.get(path).status_code == 200
        missing = client.get("/api/nothing")
        assert missing.status_code == 404
        assert missing.headers["Content-Type"] == "application/problem+json"
        wrong = client.get("/api/process_image")
        assert wrong.status_code == 405
        assert wrong.headers["Allow"] == "POST"
        assert client.get("/static_results/nothing.png").headers["Content-Type"] == "application/problem+json"

        refused = client.post("/api/process_image", files={"image_file": ("a.png", io.BytesIO(bytes(8_000_000)))})
        assert refused.status_code == 413
        assert refused.headers["Content-Type"] == "application/problem+json"

        answer = client.post("/api/process_image", files={"image_file": ("a.png", noisy_png.read_bytes())})
        assert answer.status_code == 202
        deadline = time.monotonic() + 120
        while (status := client.get(answer.headers["Location"]).json())["status"] != "completed":
            assert status["status"] in ("pending", "processing"), status
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert client.get(status["result_path"]).headers["Content-Type"] == "image/png"

        with socket.create_connection(("127.0.0.1", server.port)) as open_page:
            open_page.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert open_page.recv(64)
            began = time.monotonic()
            # Having stopped, uvicorn ends the process with the signal that asked for it.
            assert server.stop() == -signal.SIGTERM
            assert time.monotonic() - began < 10
    assert "Finished server process" in server.log
    assert "Traceback" not in server.log


@pytest.mark.parametrize("asked", [{"page": False}, {"api_keys": ["alices-key-long-enough"]}], ids=list)
def test_without_the_page(settings: Settings, asked: dict[str, Any]) -> None:
    """Where the API asks for keys there is none unless it is asked for, since it would ask for none."""
    application = app.build(Settings(**{**settings.model_dump(include={"data_dir", "auto_fetch"}), **asked}))

    with TestClient(application) as client:
        assert client.get("/").status_code == 404
        assert client.get("/").headers["Content-Type"] == "application/problem+json"
        assert client.get("/gradio_api/info").status_code == 404
        assert client.get("/clips/00000000-0000-4000-8000-000000000000/latest.jpg").status_code == 404
        assert client.get("/api/available_controls").status_code == (401 if "api_keys" in asked else 200)


def test_the_log_tells_of_a_page_that_goes_round_the_keys(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    mounted: list[object] = []
    monkeypatch.setattr("hub.ui.mount.mount_page", lambda *parts: mounted.append(parts))
    asked = settings.model_dump(include={"data_dir", "auto_fetch"})

    app.build(Settings(**asked, page=True, api_keys=["alices-key-long-enough"])).state.hub.stop()
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    app.build(Settings(**asked)).state.hub.stop()

    assert len(mounted) == 2
    assert told == ["HUB_PAGE is on: whoever reaches the hub may use the page, without any of HUB_API_KEYS."]
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == told


def test_the_log_is_json_with_the_task_in_its_lines_and_no_secret(
    make_server: Callable[..., Any], noisy_png: Path
) -> None:
    key = "correct-horse-battery-staple"
    server = make_server(log_format="json", api_keys=key)
    server.start()
    with httpx.Client(base_url=server.address, timeout=30, headers={"X-API-Key": key}) as client:
        task = client.post("/api/process_image", files={"image_file": ("a.png", noisy_png.read_bytes())}).json()[
            "task_id"
        ]
        deadline = time.monotonic() + 120
        while (status := client.get(f"/api/image_status/{task}").json())["status"] != "completed":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert client.get(status["result_path"]).status_code == 200
        assert client.get("/api/tasks", params={"api_key": key}).status_code == 200
    server.stop()

    lines = [json.loads(line) for line in server.log.splitlines()]
    told = {line["logger"] for line in lines if line["task_id"] == task}
    assert told >= {"hub.jobs.run", "uvicorn.access"}
    assert all(line["timestamp"].endswith("+00:00") for line in lines)
    assert any("_***_enhanced_a.png" in line["message"] for line in lines)
    assert status["result_path"] not in server.log
    assert key not in server.log


def test_the_address_of_a_client_behind_a_proxy(make_server: Callable[..., Any]) -> None:
    """Believed from trusted proxies only."""
    for trusted, believed in (("127.0.0.0/8", True), ("10.0.0.1", False)):
        server = make_server(trusted_proxies=trusted, page="0")
        server.start()
        httpx.get(f"{server.address}/health", headers={"X-Forwarded-For": "203.0.113.7"}, timeout=30)
        server.stop()
        line = next(line for line in reversed(server.log.splitlines()) if "GET /health" in line)
        assert ("203.0.113.7" in line) == believed


def test_behind_a_proxy_on_a_sub_path(make_server: Callable[..., Any], noisy_png: Path) -> None:
    server = make_server(root_path="/restore", page="0")
    server.start()
    with httpx.Client(base_url=server.address, timeout=30) as client:
        docs = client.get("/docs")
        assert "'/restore/openapi.json'" in docs.text
        assert client.get("/api/nothing").json()["detail"].endswith("; /restore/docs lists every address.")
        answer = client.post("/api/process_image", files={"image_file": ("a.png", noisy_png.read_bytes())})
        assert answer.headers["Location"].startswith("/restore/api/image_status/")
        assert client.get(answer.headers["Location"].removeprefix("/restore")).status_code == 200


def test_two_servers_never_share_a_data_directory(make_server: Callable[..., Any]) -> None:
    first = make_server(page="0")
    first.start()
    second = make_server(page="0")

    with pytest.raises(AssertionError, match="ended by itself"):
        second.start(seconds=60)
    assert second.process.returncode == 1
    assert "error: Another hub is running on" in second.log
    assert httpx.get(f"{first.address}/health", timeout=30).status_code == 200


def test_a_slow_client_holds_nobody_up(make_server: Callable[..., Any]) -> None:
    """A form that never ends is read on the event loop, and costs no worker."""
    server = make_server(page="0")
    server.start()
    stop = threading.Event()

    def dribble() -> None:
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(
                b"POST /api/process_image HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n"
                b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
            )
            stop.wait(30)

    threads = [threading.Thread(target=dribble) for _ in range(60)]
    for thread in threads:
        thread.start()
    try:
        for path in ("/health", "/api/available_controls"):
            assert httpx.get(server.address + path, timeout=10).status_code == 200
    finally:
        stop.set()
        for thread in threads:
            thread.join()
