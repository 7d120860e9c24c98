"""The server dies again and again in the middle of a clip, and the result is the same as without."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import httpx
import pytest

MakeClip = Callable[..., Path]
FRAMES = 48


def post(address: str, clip: Path) -> str:
    with clip.open("rb") as file:
        answer = httpx.post(f"{address}/api/process_video", files={"video_file": (clip.name, file)}, timeout=60)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["task_id"])


def status(address: str, task: str) -> dict[str, Any]:
    answer = httpx.get(f"{address}/api/video_status/{task}", timeout=60)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def wait(address: str, task: str) -> dict[str, Any]:
    deadline = time.monotonic() + 300
    while (now := status(address, task))["status"] in ("pending", "processing"):
        assert time.monotonic() < deadline, now
        time.sleep(0.1)
    assert now["status"] == "completed", now
    return now


def packets(path: Path) -> list[tuple[str, Fraction, str]]:
    """Stream, time and content of everything in the file, in its order."""
    with av.open(path) as clip:
        coded = [packet for packet in clip.demux() if packet.size]
        return [
            (packet.stream.type, packet.pts * packet.time_base, hashlib.sha256(bytes(packet)).hexdigest())
            for packet in coded
        ]


@pytest.mark.timeout(1800)
def test_the_result_is_that_of_an_uninterrupted_run(
    make_server: Callable[..., Any], make_clip: MakeClip, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    kills = pytestconfig.getoption("kills")
    clip = make_clip(frames=FRAMES, sound=True)
    server = make_server(segment_seconds="0.1", page="0")
    rng = random.Random()  # noqa: S311

    server.start()
    calm = wait(server.address, post(server.address, clip))
    killed = post(server.address, clip)
    for life in range(kills):
        while status(server.address, killed)["status"] == "pending":
            time.sleep(0.02)
        # Now and then before the first frame, else at any moment up to the end.
        if life % 4:
            while "frames_done" not in (now := status(server.address, killed)) or not now["frames_done"]:
                if now["status"] == "completed":
                    break
                time.sleep(0.02)
        time.sleep(rng.uniform(0, 1.5))
        server.kill()
        server.start()
    done = wait(server.address, killed)
    server.stop()

    ours, whole = (server.results_dir.parent / now["result_path"][1:] for now in (done, calm))
    assert packets(ours) == packets(whole)
    assert sum(kind == "video" for kind, _, _ in packets(ours)) == FRAMES
    for detail in ("frames", "duration", "audio_streams", "segments", "notes"):
        assert done["result"][detail] == calm["result"][detail]
    assert not list((server.data_dir / "jobs").rglob("*.partial*"))
