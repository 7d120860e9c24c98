"""What is sent: names, kinds, and files of every sort."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hub.client import HubClient
from hub.client.sources import Upload
from hub.media.sniffing import RAW_SUFFIXES

STARTED = {"task_id": "a1", "message": "Video processing task started."}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("clip.mp4", "video"),
        ("CLIP.MOV", "video"),
        ("a.b.webm", "video"),
        ("photo.jpg", "image"),
        ("photo.cr3", "image"),
        ("moving.gif", "image"),
        ("odd.xyz", "image"),
    ],
)
def test_the_kind_by_the_name(name: str, kind: str) -> None:
    with Upload(b"", name) as upload:
        assert upload.kind == kind


def test_no_photo_counts_as_a_clip() -> None:
    for suffix in RAW_SUFFIXES:
        assert Upload(b"", f"x{suffix}").kind == "image"


def test_the_kind_by_the_content(make_clip: Callable[..., Path], noisy_png: Path) -> None:
    for name in ("a.mp4", "a.mkv", "a.avi"):
        with Upload(make_clip(name, frames=2).read_bytes()) as upload:
            upload.open()
            assert upload.kind == "video", name
            assert upload.filename == "file"
    with Upload(noisy_png.read_bytes()) as upload:
        upload.open()
        assert upload.kind == "image"
    with Upload(b"\0\0\0\x18ftypheic\0\0\0\0") as upload:
        upload.open()
        assert upload.kind == "image"


def test_open_files_have_names_and_stay_open(noisy_png: Path) -> None:
    with noisy_png.open("rb") as file:
        with Upload(file) as upload:
            upload.open()
            assert upload.filename == "noisy.png"
        assert not file.closed
    with os.fdopen(os.open(noisy_png, os.O_RDONLY), "rb") as file, Upload(file) as upload:
        assert upload.filename == "file"


def test_what_is_no_file_is_refused() -> None:
    with pytest.raises(TypeError, match="not int"):
        Upload(3)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError), Upload("/nowhere/photo.png") as upload:
        upload.open()


def test_a_pipe_is_sent_again_whole(connect: Any, scripted: Any, acts: Any) -> None:
    scripted.script = [acts.lose(), acts.reply(202, STARTED)]
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as end:
        end.write(b"pixels" * 1000)
    with os.fdopen(reading, "rb") as pipe:
        connect(scripted.address).submit_image(pipe)
    assert [seen.body.count(b"pixels") for seen in scripted.seen] == [1000, 1000]


def test_an_open_file_is_sent_from_its_beginning(connect: Any, scripted: Any, acts: Any) -> None:
    scripted.script = [acts.reply(202, STARTED)]
    file = io.BytesIO(b"pixels")
    file.read(3)
    connect(scripted.address).submit_image(file)
    assert b"\r\n\r\npixels\r\n" in scripted.seen[0].body


def test_options_are_checked_before_anything_is_sent(connect: Any, scripted: Any) -> None:
    hub = connect(scripted.address)
    with pytest.raises(ValueError, match=r"output_format is not for clips, and a\.mp4 goes as one"):
        hub.denoise(b"x", filename="a.mp4", output_format="png")
    with pytest.raises(ValueError, match="codec is not for photos"):
        hub.denoise(b"x", filename="a.png", codec="h264")
    with pytest.raises(TypeError, match="no option 'strenght'; valid are: codec, end, model"):
        hub.deblur(b"x", strenght=0.5)
    assert scripted.seen == []


def test_every_option_goes_as_a_field(connect: Any, scripted: Any, acts: Any) -> None:
    scripted.script = [acts.reply(202, STARTED)] * 2
    hub = connect(scripted.address)
    hub.submit_video(b"x", "deblur", model="deblur_b", codec="av1", quality=30, temporal=True, start=1.5, end=None)
    hub.submit_image(b"x", use_patch_processing=False, output_format="webp")
    fields = [dict(re.findall(rb'name="(\w+)"\r\n\r\n([^\r]*)\r\n', seen.body)) for seen in scripted.seen]
    assert fields[0] == {
        b"task_type": b"deblur",
        b"model_name": b"deblur_b",
        b"codec": b"av1",
        b"quality": b"30",
        b"temporal": b"true",
        b"start": b"1.5",
    }
    assert fields[1] == {b"task_type": b"denoise", b"use_patch_processing": b"false", b"output_format": b"webp"}
    assert scripted.paths == ["POST /api/process_video", "POST /api/process_image"]


def test_an_empty_field_does_not_end_the_upload(connect: Any, scripted: Any, acts: Any) -> None:
    scripted.script = [acts.reply(202, STARTED)]
    connect(scripted.address, timeout=2, patience=0).submit_image(b"pixels", model="")
    assert b'name="model_name"\r\n\r\n\r\n' in scripted.seen[0].body
    assert b"\r\n\r\npixels\r\n" in scripted.seen[0].body


def test_a_clip_is_not_held_in_memory(scripted: Any, acts: Any, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with path.open("wb") as file:
        file.truncate(40_000_000)
    scripted.script = [acts.reply(202, STARTED)]
    tracemalloc.start()
    try:
        with HubClient(scripted.address) as hub:
            hub.submit_video(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert scripted.seen[0].length > 40_000_000
    assert peak < 10_000_000


def test_importing_the_client_needs_httpx_alone() -> None:
    """In a fresh process, where nothing else that is installed can be imported, nor anything of the server."""
    code = """
import sys
known = {"httpx", "httpcore", "h11", "anyio", "sniffio", "certifi", "idna", "typing_extensions", "hub"}
class Guard:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in known | sys.stdlib_module_names or name.startswith("hub.") and not name.startswith("hub.client"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Guard())
import hub.client
hub.client.HubClient().close()
"""
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
