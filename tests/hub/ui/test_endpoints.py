"""The endpoints for programs that speak Gradio, called by its own client on the real program."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from numpy.typing import NDArray
from PIL import Image

SLOW = 300  # seconds


def clips(address: str, state: str) -> int:
    """How many clips are in that state, by the hub's own figures."""
    found = re.search(
        rf'^uformer_hub_jobs{{kind="video",status="{state}"}} (\S+)$', httpx.get(f"{address}/metrics").text, re.M
    )
    return int(float(found[1])) if found else 0


def check_shown(client: Client, address: str) -> None:
    """The three endpoints with their types, and nothing else."""
    info = client.view_api(return_format="dict", print_info=False)
    assert set(info["named_endpoints"]) == {"/denoise", "/deblur", "/restore_video"}
    assert info["unnamed_endpoints"] == {}
    parameters = {each["parameter_name"]: each for each in info["named_endpoints"]["/denoise"]["parameters"]}
    assert list(parameters) == ["photo", "model", "strength", "patch_processing"]
    assert [each["python_type"]["type"] for each in parameters.values()] == [
        "filepath",
        "Literal['denoise_b', 'denoise_16_sidd', 'denoise_16']",
        "float",
        "bool",
    ]
    assert [name for name, each in parameters.items() if not each["parameter_has_default"]] == ["photo"]
    described = httpx.get(f"{address}/gradio_api/info").json()["named_endpoints"]["/restore_video"]["description"]
    assert described.startswith("Restores a clip")


def test_gradios_client_restores_files(
    make_server: Callable[..., Any],
    noisy_png: Path,
    noisy_photo: NDArray[np.uint8],
    clean_photo: NDArray[np.uint8],
    make_clip: Callable[..., Path],
    tmp_path: Path,
) -> None:
    server = make_server()
    server.start()
    client = Client(server.address, verbose=False, download_files=tmp_path / "saved")
    check_shown(client, server.address)

    restored = client.predict(handle_file(noisy_png), api_name="/denoise")

    assert Path(restored).name == "noisy-restored.png"
    errors = [np.mean((np.asarray(of, float) - clean_photo) ** 2) for of in (Image.open(restored), noisy_photo)]
    assert errors[0] < errors[1] / 4
    kept = client.predict(handle_file(noisy_png), strength=0, api_name="/denoise")
    assert np.array_equal(np.asarray(Image.open(kept)), noisy_photo)

    for named, words in (
        ({"model": "best"}, "denoise_16"),
        ({"model": "denoise_b"}, "denoise_b"),
        ({"strength": 3}, "between 0 and 1"),
    ):
        with pytest.raises(AppError, match=words):
            client.predict(handle_file(noisy_png), **named, api_name="/denoise")
    letter = tmp_path / "letter.png"
    letter.write_text("Dear hub", "utf-8")
    with pytest.raises(AppError, match="not"):
        client.predict(handle_file(letter), api_name="/denoise")
    with pytest.raises(AppError, match="does not fetch files"):
        client.predict(handle_file(f"{server.address}/static/x.png"), api_name="/denoise")

    clip = client.predict(handle_file(make_clip(frames=6, sound=True)), codec="vp9", end=0.2, api_name="/restore_video")
    with av.open(clip) as container:
        assert container.streams.video[0].codec_context.name in ("vp9", "libvpx-vp9")
        assert sum(1 for _ in container.decode(video=0)) == 5

    check_cancelling(client, server.address, make_clip("long.mp4", frames=400, size=(256, 192)))


def check_cancelling(client: Client, address: str, clip: Path) -> None:
    """A call that is given up, and one whose caller goes away, leave no job at work."""
    job = client.submit(handle_file(clip), api_name="/restore_video")
    wait_for(lambda: clips(address, "processing") == 1)
    job.cancel()
    wait_for(lambda: clips(address, "cancelled") == 1)

    uploaded = httpx.post(f"{address}/gradio_api/upload", files={"files": (clip.name, clip.read_bytes())}).json()[0]
    data = [{"path": uploaded, "meta": {"_type": "gradio.FileData"}}, "denoise", None, 1, "h264", 18, None, None]
    call = f"{address}/gradio_api/call/restore_video"
    event = httpx.post(call, json={"data": data}).json()["event_id"]
    with httpx.stream("GET", f"{call}/{event}", timeout=SLOW):
        wait_for(lambda: clips(address, "processing") == 1)
    wait_for(lambda: clips(address, "cancelled") == 2)


def wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SLOW
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.2)
