"""What the tests of faults share: photos, a client that is never told 500, and a look at a server's insides."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families


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

    def restoring(self, task: str) -> None:
        """Wait until a photo has been decoded and is in the network."""
        eventually(lambda: "Restoring" in self.status(task).get("message", ""), f"{task} is not being restored.")

    def ready(self) -> dict[str, str]:
        """What keeps it from working, by check; empty where it can."""
        checks = self.http.get("/ready").json()["checks"]
        return {name: check["detail"] for name, check in checks.items() if not check["ok"]}

    def metric(self, name: str) -> float:
        """One number of /metrics."""
        families = text_string_to_metric_families(self.http.get("/metrics").text)
        (value,) = [sample.value for family in families for sample in family.samples if sample.name == name]
        return float(value)

    def check_works(self) -> None:
        """A photo goes through, from the upload to the result."""
        done = self.end(self.accepted())
        assert done["status"] == "completed", done
        assert self.http.get(done["result_path"]).status_code == 200


def eventually(condition: Callable[[], object], otherwise: str, seconds: float = 60) -> None:
    """Wait until `condition` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.02)


def open_files(process: int, folder: Path) -> set[str]:
    """The files below `folder` that a process has open, nameless ones too."""
    targets = []
    for descriptor in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):
            targets.append(str(descriptor.readlink()))
    return {target for target in targets if target.startswith(f"{folder}/")}


def kill_children(server: Any, module: str, reading: Path | None = None) -> int:
    """SIGKILL to the server's children that run `module`, and have a file below `reading` open; returns how many."""
    killed = []
    for child in psutil.Process(server.process.pid).children(recursive=True):
        try:
            if module in child.cmdline() and (reading is None or open_files(child.pid, reading)):
                child.kill()
                killed.append(child)
        except (psutil.NoSuchProcess, FileNotFoundError):
            continue
    psutil.wait_procs(killed, timeout=10)  # Else it might be found, and counted, again.
    return len(killed)
