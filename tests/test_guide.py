"""The API guide: a client written from its first version works unchanged, and what it says now is so."""

from __future__ import annotations

import ast
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import httpx
import pytest
from PIL import Image
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from hub import errors
from hub.api.problems import status_of
from hub.errors import HubError
from hub.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
GUIDE = (ROOT / "docs" / "API_USAGE_GUIDE.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", GUIDE, flags=re.DOTALL | re.MULTILINE)
PYTHON = [text for language, text in BLOCKS if language == "python"]
START_SECONDS = 120


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One server for the whole guide."""
    folder = tmp_path_factory.mktemp("guide")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HUB_")}
    # Nothing listens on port 9: what would be downloaded cannot be reached.
    asked = {
        "HUB_PORT": str(port),
        "HUB_DATA_DIR": str(folder / "data"),
        "HUB_AUTO_FETCH": "0",
        "HUB_FETCH_URLS": '["http://127.0.0.1:9/"]',
    }
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "app.py"], cwd=ROOT, env=kept | asked, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/health").raise_for_status()
                break
            except httpx.HTTPError:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=60)


@pytest.fixture(scope="module")
def document(address: str) -> dict[str, Any]:
    """The OpenAPI document."""
    answer: dict[str, Any] = httpx.get(f"{address}/openapi.json").json()
    return answer


@pytest.fixture
def folder(tmp_path: Path, noisy_png: Path, make_clip: Callable[..., Path]) -> Path:
    """Where the reader stands: two photos, a frame and a clip."""
    here = tmp_path / "reader"
    here.mkdir()
    with Image.open(noisy_png) as photo:
        photo.save(here / "photo.jpg", quality=90)
        photo.save(here / "frame.jpg", quality=90)
        photo.save(here / "another.png")
    make_clip("reader/clip.mov", times=range(0, 1500, 250))
    return here


class FirstClient:
    """All that version 1.0 of the guide says, and nothing else."""

    def __init__(self, base: str, kind: str) -> None:
        """kind: `image` or `video`."""
        self.base = base
        self.kind = kind

    def start(self, path: Path, **fields: str) -> str:
        with path.open("rb") as file:
            answer = httpx.post(
                f"{self.base}/api/process_{self.kind}", files={f"{self.kind}_file": file}, data=fields, timeout=60
            )
        assert answer.status_code == 202
        assert answer.json()["message"] == f"{self.kind.capitalize()} processing task started."
        task_id: str = answer.json()["task_id"]
        return task_id

    def poll(self, task_id: str) -> dict[str, Any]:
        while True:
            status: dict[str, Any] = httpx.get(f"{self.base}/api/{self.kind}_status/{task_id}").json()
            if status["status"] not in ("pending", "processing"):
                return status
            assert 0 <= status["progress"] <= 100
            assert isinstance(status["message"], str)
            time.sleep(2)

    def finish(self, task_id: str) -> bytes:
        status = self.poll(task_id)
        assert status["status"] == "completed", status["error"]
        content = httpx.get(self.base + status["result_path"]).raise_for_status().content
        for path, body in (
            ("/api/task_heartbeat", {"task_id": task_id}),
            ("/api/confirm_download", {"result_path": status["result_path"]}),
        ):
            assert httpx.post(self.base + path, json=body).status_code == 200
        return content


def test_a_client_of_the_first_guide_restores_a_photo(address: str, folder: Path) -> None:
    client = FirstClient(address, "image")
    task_id = client.start(
        folder / "photo.jpg", task_type="denoise", model_name="denoise_16", use_patch_processing="true"
    )
    (folder / "result.jpg").write_bytes(client.finish(task_id))
    with Image.open(folder / "result.jpg") as restored, Image.open(folder / "photo.jpg") as sent:
        assert restored.size == sent.size
        assert restored.tobytes() != sent.tobytes()


def test_a_client_of_the_first_guide_restores_a_clip(address: str, folder: Path) -> None:
    client = FirstClient(address, "video")
    task_id = client.start(folder / "clip.mov", task_type="denoise", model_name="denoise_16")
    (folder / "result.mp4").write_bytes(client.finish(task_id))
    with av.open(folder / "result.mp4") as clip:
        assert [float(frame.time) for frame in clip.decode(video=0)] == [0, 0.25, 0.5, 0.75, 1, 1.25]


def test_a_client_of_the_first_guide_is_told_of_a_failure(address: str, folder: Path) -> None:
    (folder / "half.jpg").write_bytes((folder / "photo.jpg").read_bytes()[:3000])
    client = FirstClient(address, "image")
    status = client.poll(client.start(folder / "half.jpg", task_type="denoise", model_name="denoise_16"))
    assert status["status"] == "failed"
    assert "damaged" in status["error"]


def run(arguments: list[str], folder: Path) -> None:
    """Run a program as the reader would."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        arguments, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_blocks_for_the_shell(address: str, folder: Path) -> None:
    """They follow on each other, as the reader types them."""
    script = "".join(text for language, text in BLOCKS if language == "bash").replace("http://127.0.0.1:8000", address)
    run(["bash", "-euo", "pipefail", "-c", script], folder)
    for name in ("restored.jpg", "preview.jpg", "restored-by-curl.jpg"):
        with Image.open(folder / name) as photo, Image.open(folder / "photo.jpg") as sent:
            assert photo.size == sent.size


MADE = {
    "hub.denoise(": "restored.jpg",
    "websockets": "restored.jpg",
    "httpx.Client": "restored-by-httpx.jpg",
    "BESIDE": "enhanced_photo.jpg",
    "submit_video": "restored.mp4",
    "AsyncHubClient": "restored/enhanced_another.png",
}
"""A word of each block in Python, the later ones the more telling, and what it makes."""


@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_the_blocks_for_python(address: str, folder: Path, number: int) -> None:
    code = PYTHON[number]
    made = [path for word, path in MADE.items() if word in code][-1]
    port = address.rpartition(":")[2]
    run([sys.executable, "-c", code.replace("127.0.0.1:8000", f"127.0.0.1:{port}")], folder)
    assert (folder / made).stat().st_size > 1000


def test_the_blocks_in_json_are_json() -> None:
    for language, text in BLOCKS:
        if language == "json":
            json.loads(text)


def test_it_names_the_calls_that_there_are(document: dict[str, Any]) -> None:
    """With their methods, where a path has several."""
    there = {path: {method.upper() for method in operations} for path, operations in document["paths"].items()}
    named: dict[str, set[str]] = {}
    for method, path in re.findall(r"`(?:([A-Z]+) )?(/(?:api/|static_results/\{|health|ready|metrics)[^\s`?]*)", GUIDE):
        assert path in there, path
        assert not method or method in there[path], (method, path)
        named.setdefault(path, set()).update([method] if method else there[path] if len(there[path]) == 1 else [])
    assert named == there


def test_it_names_every_field_that_can_be_sent(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for name in ("image", "video"):
        content = document["paths"][f"/api/process_{name}"]["post"]["requestBody"]["content"]
        form = schemas[content["multipart/form-data"]["schema"]["$ref"].rpartition("/")[2]]
        for field in form["properties"]:
            assert re.search(rf"^\|.*`{field}`.*\|.*\|.*\|$", GUIDE, re.MULTILINE), field


NOT_SENT = {
    "bad_setting": "the hub does not start",
    "bad_manifest": "the hub does not start",
    "bad_database": "the hub does not start",
    "data_dir_in_use": "the hub does not start",
    "no_such_device": "the hub does not start",
    "no_usable_model": "the hub does not start",
    "bad_quality": "the form's own bounds come first",
    "invalid_quality": "the form's own bounds come first",
    "invalid_strength": "the form's own bounds come first",
    "unknown_codec": "the form's own choices come first",
    "unknown_format": "the form's own choices come first",
    "invalid_time": "the page's preview of a frame",
    "not_completed": "the page's pictures",
    "not_reblendable": "the page's pictures",
    "no_display_files": "the page's pictures",
    "invalid_idempotency_key": "the bounds of the header come first",
    "idempotency_key_taken": "becomes the first task, or idempotency_key_reused",
    "wrong_status": "becomes not_resumable, or is tried again",
}
"""Codes of which no program is ever told, and why."""


def raised_codes() -> set[tuple[str, str]]:
    """The status and code of every error that the source makes with a code of its own, the page's own ones aside."""
    kinds = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type)}
    found = {("500", "internal_error"), ("500", "interrupted"), ("429", "too_many_requests")}
    for path in (ROOT / "hub").rglob("*.py"):
        if path.relative_to(ROOT / "hub").parts[0] in ("cli", "client", "ui"):
            continue
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(call, ast.Call) or not call.args or not isinstance(call.args[0], ast.Constant):
                continue
            name = ast.unparse(call.func)
            if issubclass(kinds.get(name, object), HubError) and name not in ("TooManyRequests", "Cancelled"):
                found.add((str(status_of(kinds[name]("", ""))), call.args[0].value))
            elif name == "super().__init__" and path.parent.name == "engine" and call.args:
                found.add(("503", call.args[0].value))
    return {(status, code) for status, code in found if code not in NOT_SENT}


def test_its_errors_are_those_that_there_are(document: dict[str, Any]) -> None:
    """Every code in its tables stands in the program, and every one that a program can be told is in them.

    Documented answers stand there with their status; what only ends tasks or live frames may stand there without.
    """
    rows = re.findall(r"^\| (\d{3}) \| (.*?) \|", GUIDE, re.MULTILINE)
    told = {(status, code) for status, cell in rows for code in re.findall(r"`(\w+)`", cell)}
    later = {
        code
        for heading in ("`code` of a failed task", "`code` of an error")
        for row in re.findall(rf"^\| {heading} \|.*\n((?:\|.*\n)+)", GUIDE, re.MULTILINE)[0].splitlines()
        for code in re.findall(r"`(\w+)`", row.split("|")[1])
    }
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "hub").rglob("*.py"))
    for code in later | {code for _, code in told}:
        assert f'"{code}"' in source, code
    documented = set()
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                if "$ref" in answer:
                    answer = document["components"]["responses"][answer["$ref"].rpartition("/")[2]]
                examples = answer.get("content", {}).get("application/problem+json", {}).get("examples", {})
                documented |= {(status, example["value"]["code"]) for example in examples.values()}
    assert documented <= told
    raised = raised_codes()
    assert len(raised) > 40
    assert {(status, code) for status, code in raised if code not in later} <= told


def test_the_live_sockets_limit_is_as_it_says(address: str) -> None:
    """A message just within it is refused in words, one beyond it closes the socket."""
    kilobytes = int(re.findall(r"^\| 1009 \|.*\((\d+) kB\)", GUIDE, re.MULTILINE)[0])
    with connect(f"ws{address.removeprefix('http')}/ws/process_video") as live:
        live.send("x" * kilobytes * 1000)
        assert json.loads(live.recv())["code"] == "frame_too_large"
        with pytest.raises(ConnectionClosed) as closed:  # noqa: PT012 - perhaps while the message is still on its way
            # In parts, so that the server has read nearly all: what it has not read when it closes may undo its words.
            live.send(["x" * kilobytes * 1000, "x"])
            live.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


def test_its_settings_exist_and_have_these_defaults() -> None:
    fields = Settings.model_fields
    assert set(re.findall(r"\bHUB_([A-Z_]+)\b", GUIDE)) <= {name.upper() for name in fields}
    for name, words in {
        "abandoned_minutes": "{:.0f} minutes after it was finished",
        "heartbeat_minutes": "{:.0f} minutes after its last heartbeat",
        "keep_image_minutes": "a confirmed image | {:.0f} minutes more",
        "keep_video_minutes": "a confirmed video | {:.0f} minutes more",
        "keep_failed_hours": "| {:.0f} hours |",
        "clean_up_minutes": "every {:.0f} minutes (`HUB_CLEAN_UP_MINUTES`",
        "max_upload_mb": "{:.0f} MB",
        "max_megapixels": "photos {:.0f} megapixels",
        "max_video_megapixels": "clips {:.0f} megapixels",
        "live_max_frame_kb": "`HUB_LIVE_MAX_FRAME_KB` ({:.0f})",
        "live_max_megapixels": "`HUB_LIVE_MAX_MEGAPIXELS` ({:.1f}",
        "live_max_fps": "`HUB_LIVE_MAX_FPS` ({:.0f})",
        "live_max_mb_per_second": "`HUB_LIVE_MAX_MB_PER_SECOND` ({:.0f})",
        "live_clients": "`HUB_LIVE_CLIENTS` ({:.0f})",
    }.items():
        assert words.format(fields[name].default) in GUIDE, name


def test_its_links_lead_somewhere() -> None:
    headings = re.findall(
        r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", GUIDE, flags=re.DOTALL | re.MULTILINE), re.MULTILINE
    )
    anchors = {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
    for target in re.findall(r"\]\(([^)]+)\)", GUIDE):
        if target.startswith("#"):
            assert target[1:] in anchors, target
        elif not target.startswith(("https://", "http://127.0.0.1:8000/")):
            assert (ROOT / "docs" / target.partition("#")[0]).is_file(), target
