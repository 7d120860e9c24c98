"""Only clips are opened, by what they contain, and nothing but the one file."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from PIL import Image

from hub.errors import HubError, InvalidInput, UnsupportedMedia
from hub.media.video.limits import Limits
from hub.media.video.opening import open_clip
from hub.media.video.probe import probe

LIMITS = Limits(max_pixels=4_000_000, max_seconds=3600, max_frames=100_000)


def refusal(path: Path) -> HubError:
    with pytest.raises(HubError) as caught:
        probe(path, LIMITS)
    return caught.value


@pytest.mark.parametrize(
    "script",
    ["#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n", "ffconcat version 1.0\nfile '{}'\n"],
    ids=["playlist", "concat"],
)
@pytest.mark.parametrize("name", ["script.txt", "script.m3u8", "script.mp4", "script.ts"])
def test_a_script_cannot_lead_to_another_file(make_clip: Callable[..., Path], script: str, name: str) -> None:
    canary = make_clip("canary.ts")
    path = canary.with_name(name)
    path.write_text(script.format(canary))
    error = refusal(path)
    assert isinstance(error, UnsupportedMedia)
    assert error.code == "not_a_video"
    assert "text" in error.message


def test_other_files_are_called_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", "b")
    assert "ZIP" in refusal(path).message
    path.write_bytes(b"%PDF-1.7\n" + bytes(300))
    assert "PDF" in refusal(path).message
    path.write_bytes(np.random.default_rng(0).bytes(30_000))
    assert refusal(path).code == "not_a_video"
    path.write_bytes(b"")
    assert refusal(path).code == "empty_file"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WebP", "AVIF", "GIF"])
def test_photos_are_sent_to_the_photo_task(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "clip.mp4"
    Image.new("RGB", (64, 48), "red").save(path, kind)
    error = refusal(path)
    assert error.code == "not_a_video"
    assert "process_image" in error.message


def test_sound_is_no_video(tmp_path: Path) -> None:
    for name, codec in (("sound.mp4", "aac"), ("sound.wav", "pcm_s16le"), ("sound.mp3", "libmp3lame")):
        path = tmp_path / name
        with av.open(path, "w") as output:
            voice = output.add_stream(codec, rate=48_000, layout="mono")
            cover = output.add_stream("mjpeg", rate=1) if codec == "libmp3lame" else None
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.int16), format="s16", layout="mono")
            frame.sample_rate = 48_000
            if cover is not None:
                cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
                cover.disposition = Disposition.attached_pic
                output.mux(cover.encode(av.VideoFrame(64, 48, "yuvj420p")))
                output.mux(cover.encode(None))
            output.mux(voice.encode(frame))
            output.mux(voice.encode(None))
        assert refusal(path).code == "no_video_stream", name
        renamed = path.rename(tmp_path / f"{name}.mp4")
        assert refusal(renamed).code == "no_video_stream", name


def test_the_name_of_a_clip_does_not_matter(make_clip: Callable[..., Path]) -> None:
    for name, container in (("a.mp4", "mov"), ("b.mkv", "matroska"), ("c.ts", "mpegts"), ("d.avi", "avi")):
        renamed = make_clip(name).rename(make_clip(name).with_name(f"{name}.jpg"))
        with open_clip(renamed) as clip:
            assert clip.format.name.startswith(container)


def test_a_clip_without_its_end_has_no_table_of_contents(make_clip: Callable[..., Path]) -> None:
    path = make_clip(times=range(30))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    error = refusal(path)
    assert isinstance(error, InvalidInput)
    assert error.code == "damaged_video"
    assert "table of contents" in error.message


def test_a_clip_of_which_nothing_decodes_is_damaged(make_clip: Callable[..., Path]) -> None:
    path = make_clip("clip.mkv", times=range(3))
    data = bytearray(path.read_bytes())
    middle = data.index(b"\x1f\x43\xb6\x75") + 40  # Behind the header of the first cluster.
    data[middle:] = np.random.default_rng(0).bytes(len(data) - middle)
    path.write_bytes(data)
    assert refusal(path).code == "damaged_video"
