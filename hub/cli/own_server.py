"""A server of the command line's own, on a free port, which leaves nothing behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import httpx

from hub.errors import HubError
from hub.settings import CHECKOUT, Settings

# What decides how fast it is and what it takes. All else is as by default: it has no keys, and no other hub's database.
KEPT = (
    *("weights_dir", "device", "precision", "cpu_backend", "threads", "batch_ms", "model_memory_mb"),
    *("tile", "overlap", "tile_megapixels", "whole_megapixels", "image_workers", "video_workers"),
    *("max_upload_mb", "max_megapixels", "decode_seconds", "decode_memory_mb"),
    *("max_video_seconds", "max_video_megapixels", "max_video_frames", "video_memory_mb"),
    *("segment_seconds", "hardware_encoders"),
)
START_SECONDS = 120.0
STOP_SECONDS = 15.0


class OwnServer:
    """The hub, as fast as `settings` make it, with data of its own.

    Models and compiled graphs are those of `settings`: it is not their making that is of interest.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __enter__(self) -> Self:
        """Start it and wait until it is ready. Raises HubError (`server_failed`) with what it said."""
        with ExitStack() as begun:
            self._start(Path(begun.enter_context(TemporaryDirectory(prefix="hub-benchmark-"))))
            begun.callback(self._stop)
            self._await_ready()
            self._begun = begun.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._begun.close()

    def _start(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        data, fetched = folder / "data", (self._settings.data_dir / "weights").resolve()
        data.mkdir()
        if fetched.is_dir():
            (data / "weights").symlink_to(fetched)
        settings = {name: getattr(self._settings, name) for name in KEPT} | {
            "host": "127.0.0.1",
            "port": port,
            "data_dir": data,
            "graphs_dir": self._settings.resolved_graphs_dir.resolve(),
            "auto_fetch": False,
        }
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HUB_")}
        environment |= {f"HUB_{name.upper()}": str(value) for name, value in settings.items() if value is not None}
        self._log = folder / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(CHECKOUT / "app.py")], env=environment, stdout=log, stderr=subprocess.STDOUT
            )

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _await_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                if httpx.get(f"{self.address}/ready", timeout=5, trust_env=False).status_code == 200:
                    return
            except httpx.TransportError:
                pass  # It does not listen yet.
            time.sleep(0.1)
        said = self._log.read_text("utf-8", errors="replace").strip()
        raise HubError("server_failed", f"The server did not become ready. It said:\n{said}")
