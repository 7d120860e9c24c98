"""A server that is told to stop does so in time, loses nothing, and says what it no longer takes."""

from __future__ import annotations

import http.server
import io
import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from websockets.sync.client import connect

MOST_SECONDS = 10.0
CLIP_FRAMES = 40
BOUNDARY = (
    b'--x\r\nContent-Disposition: form-data; name="image_file"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
)


@pytest.fixture
def slow_mirror() -> Iterator[str]:
    """An address of official weights from which a download never ends."""
    leave = threading.Event()

    class Dribble(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(206 if "Range" in self.headers else 200)
            self.send_header("Content-Length", "100000000")
            self.end_headers()
            try:
                while not leave.wait(0.05):
                    self.wfile.write(bytes(1000))
            except ConnectionError:
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Dribble) as mirror:
        mirror.daemon_threads = True
        thread = threading.Thread(target=mirror.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{mirror.server_port}/"
        leave.set()
        mirror.shutdown()
        thread.join()


def half_an_upload(port: int) -> socket.socket:
    """A photo of which only the first bytes have come."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    connection.sendall(
        b"POST /api/process_image HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n"
        b"Content-Type: multipart/form-data; boundary=x\r\n\r\n" + BOUNDARY + bytes(5000)
    )
    return connection


def open_stream(port: int, path: str) -> socket.socket:
    """A request whose answer has begun."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    first = connection.recv(12)
    assert first == b"HTTP/1.1 200", first
    return connection


def read_to_end(connection: socket.socket) -> bytes:
    read = b""
    while chunk := connection.recv(65536):
        read += chunk
    return read


def post(client: httpx.Client, kind: str, name: str, content: bytes) -> str:
    answer = client.post(f"/api/process_{kind}", files={f"{kind}_file": (name, content)})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["task_id"])


def await_status(client: httpx.Client, kind: str, task: str, *wanted: str, seconds: float = 400) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while (now := client.get(f"/api/{kind}_status/{task}").json())["status"] not in wanted:
        assert time.monotonic() < deadline, now
        assert now["status"] in ("pending", "processing"), now
        time.sleep(0.05)
    return dict(now)


def photo(side: int) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((side, side), 60).convert("RGB").save(file, "png")
    return file.getvalue()


def test_everything_is_going_on(
    make_server: Callable[..., Any], make_clip: Callable[..., Path], slow_mirror: str
) -> None:
    """A clip, a large photo, a download, pages, streams of events, a live socket and two halves of uploads at once."""
    server = make_server(auto_fetch="1", fetch_urls=json.dumps([slow_mirror]), segment_seconds="0.1")
    server.start()
    with httpx.Client(base_url=server.address, timeout=60) as client, ExitStack() as held:
        clip = post(client, "video", "a.mp4", make_clip(frames=CLIP_FRAMES).read_bytes())
        # A finished segment first: beside a photo the clip hardly gets on.
        while not any(server.data_dir.rglob("000000.json")):
            await_status(client, "video", clip, "pending", "processing")
            time.sleep(0.05)
        image = post(client, "image", "a.png", photo(600))
        install = client.post("/api/install_models", json={"model_names": ["denoise_b"]}).json()["task_id"]
        await_status(client, "image", image, "processing")
        page = held.enter_context(open_stream(server.port, "/gradio_api/heartbeat/abc"))
        events = held.enter_context(open_stream(server.port, f"/api/tasks/{clip}/events"))
        idle = held.enter_context(open_stream(server.port, "/health"))
        uploads = [held.enter_context(half_an_upload(server.port)) for _ in range(2)]
        live = held.enter_context(connect(f"ws://127.0.0.1:{server.port}/ws/process_video", open_timeout=30))
        time.sleep(0.3)

        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        refusals = [read_to_end(upload) for upload in uploads]
        refused = time.monotonic() - began
        ends = [read_to_end(stream) for stream in (events, page, idle)]
        exit_status = server.process.wait(30)
        took = time.monotonic() - began
        live.close()

    assert took < MOST_SECONDS, server.log
    # 0: a native call, such as the compilation of a graph, did not end in time.
    assert exit_status in (-signal.SIGTERM, 0), server.log
    assert refused < 3
    for refusal in refusals:
        assert refusal.startswith(b"HTTP/1.1 503 "), refusal
        assert b"\r\nretry-after: " in refusal.lower()
        assert b'"code":"not_accepting"' in refusal
    assert ends[0].endswith(b"\r\n0\r\n\r\n"), "The stream of events was torn off."
    assert "Traceback" not in server.log
    assert not list((server.data_dir / "tmp").glob("*upload*"))
    assert len(list((server.data_dir / "uploads").iterdir())) == 2, "Half an upload was kept."

    # The download would keep the only worker for installations; the rest goes on where it was.
    server.start()
    with httpx.Client(base_url=server.address, timeout=60) as client:
        done = await_status(client, "video", clip, "completed")
        assert done["result"]["frames"] == CLIP_FRAMES
        assert done["result"]["resumed_segments"] > 0, server.log
        await_status(client, "image", image, "completed")
        client.post(f"/api/tasks/{install}/cancel")
        server.stop()
    assert "interrupted" not in server.log, "The jobs were not put back by the server that stopped."


def test_a_second_signal_hurries(make_server: Callable[..., Any], make_clip: Callable[..., Path]) -> None:
    server = make_server()
    server.start()
    with httpx.Client(base_url=server.address, timeout=60) as client:
        task = post(client, "video", "a.mp4", make_clip(frames=60).read_bytes())
        await_status(client, "video", task, "processing")
        with open_stream(server.port, "/gradio_api/heartbeat/abc"):
            began = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
            server.process.send_signal(signal.SIGINT)
            server.process.wait(30)
    assert time.monotonic() - began < 4
