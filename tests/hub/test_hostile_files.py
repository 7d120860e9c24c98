"""Files made to harm, sent to the program as users start it: it refuses them or says that they failed, and lives on."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from .hostile_clips import CLIPS, SCRIPTS, clip
from .hostile_photos import COMPLETED, PHOTOS, png

MEGABYTE = 1 << 20
# Far less than what the files would unpack to. What the network itself takes is not counted.
MOST_GROWTH = 300 * MEGABYTE
MOST_OF_THE_CHILDREN = 3000 * MEGABYTE
SETTINGS = {
    "max_megapixels": "4",
    "max_video_megapixels": "4",
    "max_video_seconds": "60",
    "max_video_frames": "2000",
    "decode_seconds": "8",
    "decode_memory_mb": "1500",
    "video_memory_mb": "2000",
    "page": "0",
}
Outcome = tuple[int, str]


@contextmanager
def watched(process: psutil.Process) -> Iterator[list[tuple[int, int]]]:
    """Resident bytes of the server and of all its children, noted ten times a second."""
    notes: list[tuple[int, int]] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.1):
            children = 0
            for child in process.children(recursive=True):
                try:
                    children += child.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            notes.append((process.memory_info().rss, children))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield notes
    finally:
        stop.set()
        thread.join()


def send(client: httpx.Client, kind: str, name: str, content: bytes) -> tuple[str, Outcome]:
    """Post a file; the task's id, or none and the refusal."""
    answer = client.post(f"/api/process_{kind}", files={f"{kind}_file": (name, content)})
    body = answer.json()
    if answer.status_code == 202:
        return body["task_id"], (202, "")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert len(body["detail"]) > 20
    return "", (answer.status_code, body["code"])


def end_of(client: httpx.Client, kind: str, task_id: str) -> dict[str, Any]:
    """The task's last status."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        status: dict[str, Any] = client.get(f"/api/{kind}_status/{task_id}").json()
        if status["status"] not in ("pending", "processing"):
            return status
        time.sleep(0.1)
    raise TimeoutError(task_id)


def outcomes(client: httpx.Client, kind: str, files: dict[str, bytes]) -> dict[str, Outcome]:
    """What becomes of all these files, each being sent while earlier ones are worked on."""
    became: dict[str, Outcome] = {}
    tasks: dict[str, str] = {}
    for name, content in files.items():
        tasks[name], became[name] = send(client, kind, name, content)
    for name, task_id in tasks.items():
        if task_id:
            status = end_of(client, kind, task_id)
            became[name] = (202, status["status"])
            assert status["status"] == "completed" or len(status["error"]) > 20
    return became


def test_no_hostile_file_takes_the_server_down(make_server: Callable[..., Any]) -> None:
    called: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as trap:
        threading.Thread(target=lambda: called.append(trap.accept()), daemon=True).start()
        address = f"http://127.0.0.1:{trap.getsockname()[1]}"
        photos = {name: make() for name, (make, _) in PHOTOS.items()}
        clips = {name: make() for name, (make, _) in CLIPS.items()}
        clips |= {name: write(address) for name, (write, _) in SCRIPTS.items()}
        server = make_server(**SETTINGS)
        server.start()

        process = psutil.Process(server.process.pid)
        with httpx.Client(base_url=server.address, timeout=60) as client:
            assert outcomes(client, "image", {"good.png": png()}) == {"good.png": COMPLETED}
            assert outcomes(client, "video", {"good.mp4": clip()}) == {"good.mp4": COMPLETED}
            before = process.memory_info().rss
            with watched(process) as memory:
                became = outcomes(client, "image", photos)
                became |= outcomes(client, "video", clips)
                assert client.get("/health", timeout=2).json()["status"] == "ok"
            assert outcomes(client, "image", {"good.png": png()}) == {"good.png": COMPLETED}

    expected = {name: outcome for files in (PHOTOS, CLIPS, SCRIPTS) for name, (_, outcome) in files.items()}
    assert became == expected
    assert called == [], "A script in a file made the server call somebody."
    assert server.process.poll() is None
    assert "Traceback" not in server.log
    assert max(own for own, _ in memory) - before < MOST_GROWTH
    assert max(children for _, children in memory) < MOST_OF_THE_CHILDREN
    leftovers = [path for path in (server.data_dir / "tmp").rglob("*") if path.is_file()]
    assert leftovers == []


NAMES = (
    "../../../../escaped.png",
    "..\\..\\escaped.png",
    "/etc/escaped.png",
    "C:\\escaped.png",
    "%2e%2e%2f%2e%2e%2fescaped.png",
    "<script>escaped</script>.png",
    "\u202egnp.escaped",
    ".escaped",
    "escaped.html",
    "escaped" + "a" * 2000 + ".png",
)
ADDRESSES = (
    "/static_results/../hub.sqlite3",
    "/static_results/..%2fhub.sqlite3",
    "/static_results/%252e%252e/hub.sqlite3",
    "/static_results/..%5chub.sqlite3",
    "/static_results/images/%00",
    "/static_results//etc/passwd",
    "/static_results/link.png",
    "/static_results/linked/hub.sqlite3",
    "/clips/../hub.sqlite3",
    "/clips/..%2f..%2fhub.sqlite3/latest.jpg",
    "/clips/{task}/..%2f..%2f..%2fhub.sqlite3",
    "/clips/{task}/original.png",
    "/gradio_api/file={data}/hub.sqlite3",
    "/gradio_api/file={data}/page/../hub.sqlite3",
    "/gradio_api/file=../data/hub.sqlite3",
    "/gradio_api/file=/etc/passwd",
    "/gradio_api/file=%2fetc%2fpasswd",
    "/gradio_api/file=file:///etc/passwd",
    "/file=/etc/passwd",
    "/gradio_api/file={data}/uploads",
    "/theme/..%2f..%2fhub.sqlite3",
    "/static/..%2f..%2f..%2fhub.sqlite3",
    "/assets/..%2f..%2f..%2fhub.sqlite3",
    "/../../../etc/passwd",
)
RESULT = r"/static_results/images/denoise/processed/\d+_[0-9a-f]{8}_[0-9a-f]{24}_enhanced_[\w.%-]+\.jpg"
SECRET = b"SQLite format 3"


def raw_get(server: Any, path: str) -> bytes:
    """What is answered to a path that no client has tidied."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def test_no_name_and_no_address_leads_out_of_its_folder(make_server: Callable[..., Any], tmp_path: Path) -> None:
    server = make_server(max_megapixels="4")
    server.start()
    photo = PHOTOS["polyglot.jpg"][0]()
    with httpx.Client(base_url=server.address, timeout=60) as client:
        tasks = [send(client, "image", name, photo)[0] for name in NAMES]
        ends = [end_of(client, "image", task) for task in tasks]
        assert [end["status"] for end in ends] == ["completed"] * len(NAMES), ends
        for path in (end["result_path"] for end in ends):
            assert re.fullmatch(RESULT, path)
            answer = client.get(path)
            assert answer.headers["Content-Type"] == "image/jpeg"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Content-Security-Policy"].startswith("sandbox")
            assert b"<script>" not in answer.content, "What stood behind the photo travels along."
        page = client.get("/")
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        assert page.headers["Referrer-Policy"] == "same-origin"
        assert "X-Frame-Options" not in page.headers, "Hosts of Gradio apps show the page in a frame."
    found = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*escaped*")}
    assert found <= {"data"}
    for folder in (server.results_dir, server.data_dir):
        for path in folder.rglob("*escaped*"):
            assert path.resolve().is_relative_to(server.data_dir.resolve())
    (server.results_dir / "link.png").symlink_to(server.data_dir / "hub.sqlite3")
    (server.results_dir / "linked").symlink_to(server.data_dir)

    for address in ADDRESSES:
        heard = raw_get(server, address.format(task=tasks[0], data=server.data_dir.resolve()))
        assert SECRET not in heard, address
        assert b"root:" not in heard, address
        assert heard.split(b" ", 2)[1] != b"500", address
