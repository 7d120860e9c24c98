"""Live frames come back soon while the server is busy with a clip."""

from __future__ import annotations

import io
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from websockets.sync.client import ClientConnection, connect

FRAMES = 12
WARM_FRAMES = 6


def test_frames_come_back_while_a_clip_is_restored(
    make_server: Callable[..., Any], make_clip: Callable[..., Path], noisy_photo: NDArray[np.uint8]
) -> None:
    saved = io.BytesIO()
    Image.fromarray(np.tile(noisy_photo, (3, 2, 1))[:256, :256]).save(saved, "JPEG", quality=90)
    frame = saved.getvalue()
    clip = make_clip(frames=120, size=(320, 240))
    server = make_server(page="0")
    server.start()

    def clip_status() -> dict[str, Any]:
        status: dict[str, Any] = httpx.get(f"{server.address}/api/video_status/{task_id}", timeout=30).json()
        return status

    with connect(f"ws://127.0.0.1:{server.port}/ws/process_video") as session:
        session.send(json.dumps({"mode": "binary", "task_type": "denoise", "model_name": "denoise_16"}))
        assert json.loads(session.recv(timeout=60))["ready"]
        for _ in range(WARM_FRAMES):  # The model is loaded, and the graph for tiles of this size is compiled meanwhile.
            round_trip(session, frame, seconds=240)
            time.sleep(0.3)
        alone = statistics.median(round_trip(session, frame) for _ in range(FRAMES // 2))

        with clip.open("rb") as file:
            fields = {"task_type": "denoise", "model_name": "denoise_16"}
            files = {"video_file": file}
            accepted = httpx.post(f"{server.address}/api/process_video", files=files, data=fields, timeout=60)
        task_id = accepted.json()["task_id"]
        wait_for_progress(clip_status)
        for _ in range(WARM_FRAMES):  # Only now the clip's tiles are made to give way: that is compiled meanwhile.
            round_trip(session, frame)
            time.sleep(0.3)
        times = sorted(round_trip(session, frame) for _ in range(FRAMES))
    assert clip_status()["status"] == "processing", "The clip was done before the frames were; the test shows nothing."
    median, late = statistics.median(times), times[int(FRAMES * 0.95)]
    print(
        f"\n256x256 frames: median {alone * 1000:.0f} ms alone; "
        f"{median * 1000:.0f} ms beside a clip, 95th percentile {late * 1000:.0f} ms"
    )
    # On two idle cores the target is 0.4 s. Machines that run tests are slower and do other things besides, so the
    # measure is what a frame costs there when no clip is restored.
    assert median < 0.4 + 3 * alone


def wait_for_progress(status: Callable[[], dict[str, Any]], seconds: float = 120) -> None:
    """Wait until frames of the clip have been restored."""
    deadline = time.monotonic() + seconds
    while status().get("progress", 0) < 1:
        assert time.monotonic() < deadline, "The clip does not get on."
        time.sleep(0.2)


def round_trip(session: ClientConnection, frame: bytes, seconds: float = 60) -> float:
    """Seconds from sending a frame to having it back."""
    began = time.monotonic()
    session.send(frame)
    answer = session.recv(timeout=seconds)
    taken = time.monotonic() - began
    assert isinstance(answer, bytes), answer
    with Image.open(io.BytesIO(answer)) as picture:
        assert picture.size == (256, 256)
    return taken
