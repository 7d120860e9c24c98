"""What goes wrong around the hub: it says so, it lives, and once the fault is gone it works as before.

The long form, with a database that is locked for 30 seconds and decoders killed again and again:
`python -m pytest tests/test_faults.py --long-faults`.
"""

from __future__ import annotations

import io
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from PIL import Image

from hub.settings import CHECKOUT

MEGABYTE = 1_000_000
DISK_BYTES = 48 << 20

MakeServer = Callable[..., Any]


@pytest.fixture
def long_form(pytestconfig: pytest.Config) -> bool:
    return bool(pytestconfig.getoption("--long-faults"))


def photo(side: int, sigma: float = 40) -> bytes:
    """A PNG of noise: as many bytes as it has samples, or nearly."""
    file = io.BytesIO()
    Image.merge("RGB", [Image.effect_noise((side, side), sigma) for _ in range(3)]).save(file, "png", compress_level=1)
    return file.getvalue()


SMALL = photo(96)


class Client:
    """A program that sends files and asks about them, and is never told 500."""

    def __init__(self, address: str, seconds: float = 120) -> None:
        self.http = httpx.Client(base_url=address, timeout=seconds)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def post(self, content: bytes = SMALL, kind: str = "image", **fields: str) -> httpx.Response:
        name = "photo.png" if kind == "image" else "clip.mp4"
        answer = self.http.post(f"/api/process_{kind}", files={f"{kind}_file": (name, content)}, data=fields)
        assert answer.status_code in (202, 409, 503), answer.text
        if answer.status_code == 503:
            assert int(answer.headers["Retry-After"]) > 0
        return answer

    def accepted(self, content: bytes = SMALL, kind: str = "image", **fields: str) -> str:
        answer = self.post(content, kind, **fields)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["task_id"])

    def status(self, task: str, kind: str = "image") -> dict[str, Any]:
        answer = self.http.get(f"/api/{kind}_status/{task}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def end(self, task: str, kind: str = "image", seconds: float = 300) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while (now := self.status(task, kind))["status"] in ("pending", "processing"):
            assert time.monotonic() < deadline, now
            time.sleep(0.05)
        return now

    def ready(self) -> dict[str, str]:
        """What keeps it from working, by check; empty where it can."""
        checks = self.http.get("/ready").json()["checks"]
        return {name: check["detail"] for name, check in checks.items() if not check["ok"]}

    def check_works(self) -> None:
        """A photo goes through, from the upload to the result."""
        done = self.end(self.accepted())
        assert done["status"] == "completed", done
        assert self.http.get(done["result_path"]).status_code == 200


@dataclass
class SmallDisk:
    """A server whose files lie on a disk that can be filled up.

    real: whether it is a file system of its own, or only the free space that the settings ask for is used up.
    """

    server: Any
    filler: Path
    filler_bytes: int
    real: bool

    @contextmanager
    def full(self, left: int = 0) -> Iterator[None]:
        """Nothing is free meanwhile, but for `left` bytes where the disk is real."""
        filler = Path(f"/proc/{self.server.process.pid}/root{self.filler}") if self.real else self.filler
        with filler.open("wb") as file:
            os.posix_fallocate(
                file.fileno(), 0, self._to_fill(filler.parent) - left if self.real else self.filler_bytes
            )
        try:
            yield
        finally:
            filler.unlink()

    def _to_fill(self, folder: Path) -> int:
        return shutil.disk_usage(folder).free


@pytest.fixture
def small_disk(make_server: MakeServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[SmallDisk]:
    """A real one where a user may mount in a name space of his own; its pages count as memory, so it is small."""
    data = tmp_path / "data"
    data.mkdir()
    mount = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    script = f"mount -t tmpfs -o size={DISK_BYTES} tmpfs '{data}'"
    try:
        real = subprocess.run([*mount, script], capture_output=True, timeout=30, check=False).returncode == 0
    except FileNotFoundError:
        real = False
    if real:
        python = tmp_path / "python"
        python.write_text(f"""#!/bin/sh\nexec {" ".join(mount)} "{script} && exec '{sys.executable}' $*"\n""")
        python.chmod(0o700)
        server = make_server(page="0", min_free_mb="1")
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", str(python))
            server.start()
        yield SmallDisk(server, data / "filler", 0, real=True)
    else:
        margin = min(1_000 * MEGABYTE, shutil.disk_usage(data).free // 10)
        wanted = shutil.disk_usage(data).free - margin
        server = make_server(page="0", min_free_mb=str(wanted // MEGABYTE))
        server.start()
        yield SmallDisk(server, data / "filler", 2 * margin, real=False)
    server.stop()


def test_a_full_disk(small_disk: SmallDisk) -> None:
    """Uploads are refused before they fill it, a job that needs room fails in words, and all is well once there is."""
    with Client(small_disk.server.address) as client:
        client.check_works()
        tasks = [client.accepted(photo(600), output_format="png")]
        while client.status(tasks[0])["status"] == "pending":
            time.sleep(0.02)
        with small_disk.full(left=8 * MEGABYTE), ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(client.post, [photo(700)] * 8))
        refused = [answer.json()["code"] for answer in answers if answer.status_code == 503]
        assert refused
        assert set(refused) <= {"disk_full", "database_unavailable"}
        tasks += [answer.json()["task_id"] for answer in answers if answer.status_code == 202]

        with small_disk.full():
            for task in tasks:
                client.status(task)
            refusal = client.post()
            assert refusal.status_code == 503
            assert refusal.json()["code"] == "disk_full"
            assert "MB are free for the uploads" in client.ready()["disk"]
            assert client.http.get("/health").status_code == 200
            assert client.http.get("/metrics").status_code == 200
            time.sleep(2)

        assert client.ready() == {}
        for task in tasks:
            ended = client.end(task)
            assert ended["status"] == "completed" or "disk" in ended["error"], ended
        client.check_works()
    assert "failed unexpectedly" not in small_disk.server.log


def test_a_locked_database(make_server: MakeServer, long_form: bool) -> None:
    """Another program holds the write lock: who reads is answered, who writes waits or is asked to; nothing is lost."""
    seconds = 30 if long_form else 4
    server = make_server(page="0")
    server.start()
    with Client(server.address) as client, ThreadPoolExecutor(8) as threads:
        client.check_works()
        before = [client.accepted() for _ in range(3)]
        locker = sqlite3.connect(server.data_dir / "hub.sqlite3", isolation_level=None, timeout=30)
        locker.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        posts = [threads.submit(client.post) for _ in range(4)]
        polls = 0
        while time.monotonic() < began + seconds:
            for task in before:
                asked = time.monotonic()
                client.status(task)
                assert time.monotonic() - asked < 2, "A poll waited for the lock."
                polls += 1
            assert client.http.get("/health").status_code == 200
            time.sleep(0.1)
        locker.execute("ROLLBACK")
        locker.close()
        answers = [post.result() for post in posts]
        assert polls
        accepted = [answer.json()["task_id"] for answer in answers if answer.status_code == 202]
        for task in [*before, *accepted]:
            assert client.end(task)["status"] == "completed"
        client.check_works()
    server.stop()
    assert len(list((server.data_dir / "uploads").iterdir())) == len(before) + len(accepted) + 2


def test_a_model_file_that_goes_or_is_replaced_by_garbage(make_server: MakeServer, tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    shutil.copytree(CHECKOUT / "weights", weights)
    (model,) = weights.glob("*.safetensors")
    sound = model.read_bytes()
    server = make_server(page="0", weights_dir=str(weights), image_workers="1")
    server.start()
    with Client(server.address) as client:
        client.check_works()
        for damage in (
            lambda: model.write_bytes(sound[: len(sound) // 2]),
            lambda: model.write_bytes(b"{}" * 50),
            model.unlink,
        ):
            waiting = [client.accepted(photo(400)) for _ in range(3)]
            damage()
            answer = client.post()
            assert answer.status_code == 409, answer.text
            assert answer.json()["code"] in ("weights_unusable", "weights_not_installed")
            assert "No model can be used" in client.ready()["models"]
            for task in waiting:
                ended = client.end(task)
                # Those that hold the model already go on with it.
                assert ended["status"] == "completed" or "denoise_16" in ended["error"], ended
            model.write_bytes(sound)
            assert client.ready() == {}
            client.check_works()
    assert "Traceback" not in server.log
    server.stop()


def kill_children(server: Any, module: str) -> int:
    """SIGKILL to the server's children that run `module`; returns how many there were."""
    killed = 0
    for child in psutil.Process(server.process.pid).children(recursive=True):
        try:
            if module in child.cmdline():
                child.kill()
                killed += 1
        except psutil.NoSuchProcess:
            continue
    return killed


def test_decoders_killed_in_the_middle(
    make_server: MakeServer, make_clip: Callable[..., Path], long_form: bool
) -> None:
    """A photo whose decoder dies fails in words or is decoded again; a clip fails in words, and can go on."""
    server = make_server(segment_seconds="0.1", page="0")
    server.start()
    large, clip = photo(2000), make_clip(frames=40).read_bytes()
    with Client(server.address) as client:
        for _ in range(5 if long_form else 1):
            task = client.accepted(large)
            killed = 0
            while (now := client.status(task))["status"] == "processing" or now["status"] == "pending":
                killed += kill_children(server, "hub.media.worker")
                if "Restoring" in now.get("message", ""):
                    client.http.post(f"/api/tasks/{task}/cancel")  # It is decoded; four megapixels would take long.
            assert killed
            assert now["status"] == "cancelled" or "its log" not in now["error"], f"{now}\n{server.log}"
            client.check_works()

            task = client.accepted(clip, "video")
            while not client.status(task, "video").get("frames_done"):
                time.sleep(0.02)
            assert kill_children(server, "hub.media.video.worker")
            ended = client.end(task, "video")
            assert ended["status"] == "failed", ended
            assert "crash" in ended["error"] or "memory" in ended["error"] or "ended" in ended["error"], ended
            assert client.http.post(f"/api/tasks/{task}/resume").status_code in (200, 202)
            done = client.end(task, "video", seconds=240)
            assert done["status"] == "completed", done
            assert done["result"]["frames"] == 40
    server.stop()


def test_an_engine_out_of_memory(make_server: MakeServer) -> None:
    """The process may not grow any more: large tiles become smaller ones, or the job fails in words."""
    server = make_server(cpu_backend="torch", tile="384", page="0", precision="float32")
    server.start()
    with Client(server.address, seconds=60) as client:
        client.check_works()
        process = psutil.Process(server.process.pid)
        process.rlimit(psutil.RLIMIT_AS, (process.memory_info().vms + 150 * MEGABYTE, -1))
        ended = client.end(client.accepted(photo(300)))
        if ended["status"] == "completed":
            assert ended["result"]["tile_width"] < 384, ended
        else:
            assert "memory" in ended["error"], f"{ended}\n{server.log}"
        process.rlimit(psutil.RLIMIT_AS, (-1, -1))
        client.check_works()
    server.stop()


def test_clients_that_leave_in_the_middle(make_server: MakeServer) -> None:
    """Of an upload that breaks off nothing stays; a download that breaks off harms nobody."""
    server = make_server(page="0")
    server.start()
    head = (
        b"POST /api/process_image HTTP/1.1\r\nHost: x\r\nContent-Length: 20000000\r\n"
        b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
        b'Content-Disposition: form-data; name="image_file"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    )
    with Client(server.address) as client:
        done = client.end(client.accepted(photo(500), output_format="png"))
        for sent in (0, 100_000, 5_000_000):
            with socket.create_connection(("127.0.0.1", server.port)) as leaver:
                leaver.sendall(head + bytes(sent))
                time.sleep(0.2)
        for _ in range(20):
            with client.http.stream("GET", done["result_path"]) as download:
                next(download.iter_raw(1000))
        time.sleep(1)
        ours = [Path(file.path) for file in psutil.Process(server.process.pid).open_files()]
        folders = (server.results_dir, server.data_dir / "tmp", server.data_dir / "uploads")
        assert not [path for path in ours if any(path.is_relative_to(folder) for folder in folders)]
        assert len(list((server.data_dir / "uploads").iterdir())) == 1
        whole = client.http.get(done["result_path"])
        assert len(whole.content) == done["result"]["bytes"]
        client.check_works()
    server.stop()
    assert not [path for path in (server.data_dir / "tmp").rglob("*") if path.is_file()]
