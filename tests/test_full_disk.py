"""A disk that fills up: uploads are refused, who runs fails in words, and all is well once there is room."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .faulty import Client, eventually, photo

MEGABYTE = 1_000_000
DISK_BYTES = 48 << 20


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
        wanted = shutil.disk_usage(filler.parent).free - left if self.real else self.filler_bytes
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, wanted)
        try:
            yield
        finally:
            filler.unlink()


@pytest.fixture
def small_disk(make_server: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[SmallDisk]:
    """A real one where a user may mount in a name space of his own; its pages count as memory, so it is small."""
    data = tmp_path / "data"
    data.mkdir()
    mount = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    script = f"mount -t tmpfs -o size={DISK_BYTES} tmpfs '{data}'"
    try:
        real = subprocess.run([*mount, script], capture_output=True, timeout=30, check=False).returncode == 0
    except FileNotFoundError:
        real = False
    settings = {"page": "0", "cpu_backend": "torch", "precision": "float32"}
    if real:
        python = tmp_path / "python"
        python.write_text(f"""#!/bin/sh\nexec {" ".join(mount)} "{script} && exec '{sys.executable}' $*"\n""")
        python.chmod(0o700)
        server = make_server(**settings, min_free_mb="1")
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", str(python))
            server.start()
        yield SmallDisk(server, data / "filler", 0, real=True)
    else:
        margin = min(1_000 * MEGABYTE, shutil.disk_usage(data).free // 10)
        wanted = shutil.disk_usage(data).free - margin
        server = make_server(**settings, min_free_mb=str(wanted // MEGABYTE))
        server.start()
        yield SmallDisk(server, data / "filler", 2 * margin, real=False)
    server.stop()


def test_a_full_disk(small_disk: SmallDisk) -> None:
    server = small_disk.server
    with Client(server.address) as client:
        client.check_works()
        running = client.accepted(photo(256), output_format="png")
        client.restoring(running)
        with small_disk.full():
            refusal = client.post()
            assert refusal.status_code == 503
            assert refusal.json()["code"] == "disk_full"
            assert "MB are free for the uploads" in client.ready()["disk"]
            assert client.http.get("/health").status_code == 200
            assert client.http.get("/metrics").status_code == 200
            if small_disk.real:  # Elsewhere it is only full by the settings, and who runs may write.
                eventually(lambda: f"Job {running}: failed: disk_full" in server.log, "It found room.")
                client.status(running)
        assert client.ready() == {}
        ended = client.end(running)
        assert ended["status"] == ("failed" if small_disk.real else "completed"), ended
        assert not small_disk.real or ended["code"] == "disk_full"

        with small_disk.full(left=6 * MEGABYTE), ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(client.post, [photo(700)] * 8))
        assert {answer.json()["code"] for answer in answers if answer.status_code == 503} & {"disk_full"}
        for answer in answers:
            if answer.status_code == 202:  # Half a megapixel is long in coming.
                client.http.post(f"/api/tasks/{answer.json()['task_id']}/cancel")
                ended = client.end(answer.json()["task_id"])
                assert ended["status"] == "cancelled" or ended["code"] == "disk_full", ended
        client.check_works()
    assert "failed unexpectedly" not in server.log
