"""The server dies at any moment, again and again (twenty times with `--long`), and nothing that it promised is lost."""

from __future__ import annotations

import hashlib
import io
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

MOST_UNFINISHED = 5
SIZE = (168, 120)


class Client:
    """Posts photos, watches them, and remembers what the server has promised."""

    def __init__(self, address: str, photo: bytes) -> None:
        self.http = httpx.Client(base_url=address, timeout=120)
        self.photo = photo
        self.accepted: list[str] = []
        self.results: dict[str, tuple[str, str]] = {}
        """Task → its result's address and the checksum of what came from there."""

    def post(self) -> None:
        files = {"image_file": (f"photo {len(self.accepted)}.png", self.photo, "image/png")}
        answer = self.http.post("/api/process_image", files=files)
        assert answer.status_code == 202, answer.text
        self.accepted.append(answer.json()["task_id"])

    def look(self, task_id: str) -> bool:
        """Ask for a task's status, and for its result once it has one; returns whether it has."""
        answer = self.http.get(f"/api/image_status/{task_id}")
        assert answer.status_code == 200, f"An accepted task is unknown: {answer.text}"
        status: dict[str, Any] = answer.json()
        assert status["status"] in ("pending", "processing", "completed"), status
        if status["status"] != "completed":
            assert task_id not in self.results, "A finished task is unfinished again."
            return False
        result = self.http.get(status["result_path"])
        assert result.status_code == 200, result.text
        with Image.open(io.BytesIO(result.content)) as image:
            image.load()  # Raises on half a file.
            assert image.size == SIZE
        seen = status["result_path"], hashlib.sha256(result.content).hexdigest()
        assert self.results.setdefault(task_id, seen) == seen, "A finished result has changed."
        return True

    def work_until_it_breaks(self, kill: Callable[[], None], delay: float, *, once_finished: bool) -> None:
        """Post and watch until the server is gone: killed `delay` seconds from now, or from the first result."""
        killer = threading.Timer(delay, kill)
        before = len(self.results)
        try:
            for task_id in self.accepted:
                self.look(task_id)
            self.post()
            while True:
                if not killer.ident and (not once_finished or len(self.results) > before):
                    killer.start()
                unfinished = [task_id for task_id in self.accepted if task_id not in self.results]
                if len(unfinished) < MOST_UNFINISHED:
                    self.post()
                for task_id in unfinished:
                    self.look(task_id)
                time.sleep(0.02)
        except httpx.TransportError:
            assert killer.ident, "The server died by itself."
            killer.join()


def served_files(results_dir: Path) -> list[Path]:
    """What the server could serve: hidden names are results being written."""
    return [path for path in results_dir.rglob("*") if path.is_file() and not path.name.startswith(".")]


@pytest.mark.timeout(1200)  # Twenty take two to three minutes on two idle cores, most of them for starting servers.
def test_nothing_is_lost(
    make_server: Callable[..., Any], noisy_photo: NDArray[np.uint8], pytestconfig: pytest.Config
) -> None:
    file = io.BytesIO()
    Image.fromarray(noisy_photo).save(file, "png")
    server = make_server(queue_limit="1000", image_workers="2", page="0")
    client = Client(server.address, file.getvalue())
    rng = random.Random()  # noqa: S311

    kills = pytestconfig.getoption("kills")
    for life in range(kills):
        server.start()
        # Some die while they take photos and load the model, the others while results come out.
        client.work_until_it_breaks(server.process.kill, rng.uniform(0, 1), once_finished=life % 3 == 2)
        server.process.wait()
        for path in served_files(server.results_dir):
            with Image.open(path) as image:
                image.load()

    server.start()
    for task_id in client.accepted:
        deadline = time.monotonic() + 120  # For each: how many there are depends on how fast the machine is.
        while not client.look(task_id):
            assert time.monotonic() < deadline, f"Task {task_id} does not end."
            time.sleep(0.05)
    assert len(client.accepted) >= kills
    assert set(client.results) == set(client.accepted)
    assert len({address for address, _ in client.results.values()}) == len(client.accepted)
    server.stop()
    client.http.close()
    assert not list(server.results_dir.rglob(".partial*"))
